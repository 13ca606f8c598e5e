//! `vca key`

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::actor;
use super::failure::Failure;
use super::output::Output;
use super::span::span;
use super::table::{Sheet, Table, or_dash};
use super::tenant;
use super::trial::Trial;
use crate::control::{Keys, in_any_state, try_rotation};
use crate::store::{KeyFilter, KeyWithSecret, NewKey, Rotation, Store, Window};
use crate::tenancy::{ApiKey, KeyId, Role};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key. Its secret is printed now, and never again.
    Create(CreateKey),
    /// List keys.
    List {
        /// Id or name. Default: all keys.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Revoke a key: the next request with it is refused.
    Revoke(Revoke),
    /// Put a new key in the place of one: same name, same role, a new secret.
    Rotate(Rotate),
}

#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    which: KeySelector,
    #[command(flatten)]
    trial: Trial,
}

#[derive(Debug, Args)]
pub struct CreateKey {
    /// A key for everything, for every tenant.
    #[arg(long, required_unless_present = "tenant", conflicts_with_all = ["tenant", "role"])]
    operator: bool,
    /// A key for one tenant. Id or name.
    #[arg(long)]
    tenant: Option<String>,
    /// `tenant_admin` changes what is the tenant's, `tenant_viewer` reads it.
    #[arg(long, default_value = "tenant_admin", value_parser = tenants_role)]
    role: Role,
    /// The purpose of the key. Default: its creator.
    #[arg(long)]
    name: Option<String>,
    /// After how long it expires. Default: never.
    #[arg(long, value_name = "90d", value_parser = span)]
    expires: Option<TimeDelta>,
}

#[derive(Debug, Args)]
pub struct KeySelector {
    /// How it begins, such as vca_1a2b3c4d, or its id.
    key: String,
}

#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    which: KeySelector,
    /// For how long the old secret still works, at most a week. Default: not at all.
    #[arg(long, value_name = "30m", value_parser = span)]
    grace: Option<TimeDelta>,
    /// After how long the new key expires. Default: it lives as long as the old one did.
    #[arg(long, value_name = "90d", value_parser = span)]
    expires: Option<TimeDelta>,
    #[command(flatten)]
    trial: Trial,
}

fn tenants_role(text: &str) -> Result<Role, String> {
    match text.parse() {
        Ok(Role::Operator) => Err("--operator makes an operator's key".to_owned()),
        Ok(role) => Ok(role),
        Err(_) => Err("tenant_admin or tenant_viewer".to_owned()),
    }
}

/// A key and its secret.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    key: &'a ApiKey,
    secret: &'a str,
}

impl Command {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Command::Create(command) => print_made(&command.run(store).await?, output),
            Command::List { tenant } => list(store, tenant.as_deref(), output).await,
            Command::Revoke(Revoke { which, trial }) => {
                let key = which.find(store).await?;
                if trial.dry_run {
                    return output.print(&key, || format!("{}\n\nwould be revoked for good", sheet(&key)));
                }
                let key = Keys::All(store).revoke::<Failure>(&actor(), key.id, in_any_state).await?;
                output.print(&key, || sheet(&key).to_string())
            }
            Command::Rotate(command) => command.run(store, output).await,
        }
    }
}

impl CreateKey {
    async fn run(self, store: &Store) -> Result<KeyWithSecret, Failure> {
        let name = self.name.unwrap_or_else(|| actor().name);
        let expires_at = self.expires.map(from_now);
        let Some(tenant) = self.tenant else {
            let new = NewKey { name, role: Role::Operator, expires_at };
            return Ok(Keys::All(store).create(&actor(), new).await?);
        };
        let tenant = tenant::find(store, &tenant).await?;
        let new = NewKey { name, role: self.role, expires_at };
        Ok(Keys::Of(&store.scope(tenant.id)).create(&actor(), new).await?)
    }
}

impl Rotate {
    async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let Rotate { which, grace, expires, trial } = self;
        let how = Rotation { grace: grace.unwrap_or_default(), expires_at: expires.map(from_now) };
        let key = which.find(store).await?;
        if trial.dry_run {
            try_rotation(store, &actor(), key.id, how).await?;
            let end = match how.grace.num_minutes() {
                0 => "its secret would stop working at once".to_owned(),
                minutes => format!("its secret would work for {minutes} more minutes"),
            };
            return output.print(&key, || format!("{}\nwould be replaced, and {end}", sheet(&key)));
        }
        print_made(&Keys::All(store).rotate(&actor(), key.id, how).await?, output)
    }
}

impl KeySelector {
    async fn find(&self, store: &Store) -> Result<ApiKey, Failure> {
        let missing =
            || Failure::not_found(format!("there is no key {:?}: `vca key list` shows them all", self.key));
        if let Ok(id) = self.key.parse::<KeyId>() {
            return store.key(id).await.map_err(Failure::from);
        }
        let filter = KeyFilter { prefix: Some(self.key.clone()), role: None };
        let found = store.keys(&filter, Window::first(2)).await?.items;
        match found.as_slice() {
            [key] => Ok(key.clone()),
            [] => Err(missing()),
            _ => Err(Failure::unacceptable("several keys begin like this: choose one by its id")),
        }
    }
}

fn from_now(span: TimeDelta) -> DateTime<Utc> {
    Utc::now() + span
}

fn print_made(KeyWithSecret { key, secret }: &KeyWithSecret, output: &mut Output<'_>) -> Result<(), Failure> {
    let secret = secret.expose_secret();
    output.print(&Made { key, secret }, || {
        format!("{}\nKeep the secret now: it cannot be shown again.", sheet(key).line("secret", secret))
    })
}

async fn list(store: &Store, tenant: Option<&str>, output: &mut Output<'_>) -> Result<(), Failure> {
    let owner = match tenant {
        Some(tenant) => Some(tenant::find(store, tenant).await?.id),
        None => None,
    };
    let (filter, mut window, mut keys) = (KeyFilter::default(), Window::first(500), Vec::new());
    loop {
        let page = match owner {
            Some(owner) => store.scope(owner).keys(&filter, window).await?,
            None => store.keys(&filter, window).await?,
        };
        keys.extend(page.items);
        let Some(next) = page.next else { break };
        window.after = Some(next);
    }
    let now = Utc::now();
    output.print(&keys, || {
        let mut table = Table::new(["key", "name", "role", "state", "last used", "expires", "tenant", "id"]);
        for key in &keys {
            table.row([
                key.prefix.clone(),
                key.name.clone(),
                key.role.to_string(),
                state(key, now).to_owned(),
                or_dash(key.last_used_at.map(|at| at.format("%F %R"))),
                or_dash(key.expires_at.map(|at| at.format("%F %R"))),
                or_dash(key.tenant_id),
                key.id.to_string(),
            ]);
        }
        table.to_string()
    })
}

fn sheet(key: &ApiKey) -> Sheet {
    Sheet::new()
        .line("id", key.id)
        .line("name", &key.name)
        .line("role", key.role)
        .line("tenant id", or_dash(key.tenant_id))
        .line("state", state(key, Utc::now()))
        .line("created", key.created_at.format("%F %T UTC"))
        .line("expires", or_dash(key.expires_at.map(|at| at.format("%F %T UTC"))))
        .line("begins", &key.prefix)
}

fn state(key: &ApiKey, now: DateTime<Utc>) -> &'static str {
    match key {
        key if key.revoked_at.is_some() => "revoked",
        key if !key.is_valid(now) => "expired",
        _ => "valid",
    }
}
