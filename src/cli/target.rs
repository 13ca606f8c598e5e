//! `vca target`

use clap::{Args, Subcommand};
use serde::Serialize;

use super::actor;
use super::failure::Failure;
use super::output::Output;
use super::table::{Sheet, Table};
use super::tenant;
use super::trial::Trial;
use crate::config::Config;
use crate::control;
use crate::store::{NewTarget, Store, TargetChanges};
use crate::tenancy::{
    AfterBridge, Hours, Label, TargetKind, TargetResolver, Tenant, TransferMethod, TransferStyle,
    TransferTarget,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a transfer target: a person or queue that a tenant's agents may transfer callers to.
    Create(CreateTarget),
    /// List transfer targets.
    List {
        /// Id or name; all tenants when absent.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Show one transfer target.
    Show(TargetSelector),
    /// Change a transfer target. Calls that begin later use it as it is then.
    Update(UpdateTarget),
    /// Delete a transfer target. A failover route to it then leads to the dialplan.
    Delete {
        #[command(flatten)]
        which: TargetSelector,
        #[command(flatten)]
        trial: Trial,
    },
}

#[derive(Debug, Args)]
pub struct TargetSelector {
    /// Its name, or its id.
    target: String,
    /// The tenant. Id or name.
    #[arg(long)]
    tenant: String,
}

#[derive(Debug, Args)]
pub struct CreateTarget {
    /// Id or name.
    #[arg(long)]
    tenant: String,
    /// The name by which the model and failover routes choose it: a to z, 0 to 9, _ and -.
    #[arg(long)]
    name: Label,
    /// When to choose it, for the model.
    #[arg(long)]
    description: String,
    #[arg(long)]
    kind: TargetKind,
    /// Written by kind: 1001@sales (extension), +493055500100 (number), shop@pbx.example.com (sip), reception (queue), shop (voicemail),
    /// https://example.com/target (http).
    #[arg(long, allow_hyphen_values = true)]
    address: String,
    /// Default: dialplan for a queue or a mailbox, dial for the others.
    #[arg(long)]
    method: Option<TransferMethod>,
    /// How it receives the caller: at once (cold), after it has accepted by key 1 or a word (confirmed), or after it has heard the agent's
    /// summary and accepted (warm). For the method dial.
    #[arg(long, default_value_t)]
    style: TransferStyle,
    /// VCA's part once it has the caller: none (leave), or to transcribe both sides for the record (stay). For the
    /// method dial.
    #[arg(long, default_value_t)]
    after_bridge: AfterBridge,
    /// For the kind http: headers, secret_headers, timeout_ms and allow, as JSON.
    #[arg(long, value_parser = read_resolver)]
    resolver: Option<TargetResolver>,
    /// Business hours as JSON, as in a profile's settings. Default: always.
    #[arg(long, value_parser = read_hours)]
    hours: Option<Hours>,
}

#[derive(Debug, Args)]
pub struct UpdateTarget {
    #[command(flatten)]
    which: TargetSelector,
    #[arg(long)]
    name: Option<Label>,
    #[arg(long)]
    description: Option<String>,
    #[arg(long)]
    kind: Option<TargetKind>,
    #[arg(long, allow_hyphen_values = true)]
    address: Option<String>,
    #[arg(long)]
    method: Option<TransferMethod>,
    #[arg(long)]
    style: Option<TransferStyle>,
    #[arg(long)]
    after_bridge: Option<AfterBridge>,
    /// For the kind http: headers, secret_headers, timeout_ms and allow, as JSON.
    #[arg(long, value_parser = read_resolver, conflicts_with = "no_resolver")]
    resolver: Option<TargetResolver>,
    /// Remove the resolver, as for another kind.
    #[arg(long)]
    no_resolver: bool,
    /// Business hours as JSON.
    #[arg(long, value_parser = read_hours, conflicts_with = "always")]
    hours: Option<Hours>,
    /// It can be reached at all hours.
    #[arg(long)]
    always: bool,
}

fn read_resolver(text: &str) -> Result<TargetResolver, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn read_hours(text: &str) -> Result<Hours, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// A target and its tenant.
#[derive(Debug, Serialize)]
struct OwnedTarget {
    #[serde(flatten)]
    target: TransferTarget,
    tenant_name: String,
}

impl Command {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let rules = &config.transfer;
        let (target, tenant) = match self {
            Command::List { tenant } => return list(store, tenant.as_deref(), output).await,
            Command::Create(CreateTarget {
                tenant,
                name,
                description,
                kind,
                address,
                method,
                style,
                after_bridge,
                resolver,
                hours,
            }) => {
                let tenant = tenant::find(store, &tenant).await?;
                let new = NewTarget {
                    name,
                    description,
                    kind,
                    address,
                    method,
                    style,
                    after_bridge,
                    resolver,
                    hours,
                };
                let scope = store.scope(tenant.id);
                (control::create_target(&scope, &actor(), rules, new).await?, tenant)
            }
            Command::Show(which) => which.find(store).await?,
            Command::Update(update) => update.run(store, config).await?,
            Command::Delete { which, trial } => {
                let (target, tenant) = which.find(store).await?;
                let owned = OwnedTarget { target, tenant_name: tenant.name };
                if trial.dry_run {
                    return output.print(&owned, || format!("{} would be deleted", owned.target.name));
                }
                let any = control::in_any_state::<_, Failure>;
                store.scope(tenant.id).delete_target_if(&actor(), owned.target.id, any).await?;
                return output.print(&owned, || format!("Deleted {}.", owned.target.name));
            }
        };
        let owned = OwnedTarget { target, tenant_name: tenant.name };
        output.print(&owned, || sheet(&owned))
    }
}

impl UpdateTarget {
    async fn run(self, store: &Store, config: &Config) -> Result<(TransferTarget, Tenant), Failure> {
        let UpdateTarget {
            which,
            name,
            description,
            kind,
            address,
            method,
            style,
            after_bridge,
            resolver,
            no_resolver,
            hours,
            always,
        } = self;
        let (target, tenant) = which.find(store).await?;
        let hours = if always { Some(None) } else { hours.map(Some) };
        let resolver = if no_resolver { Some(None) } else { resolver.map(Some) };
        let changes =
            TargetChanges { name, description, kind, address, method, style, after_bridge, resolver, hours };
        let (scope, actor, any) = (store.scope(tenant.id), actor(), control::in_any_state::<_, Failure>);
        let changed = control::update_target(&scope, &actor, &config.transfer, target.id, changes, any);
        Ok((changed.await?, tenant))
    }
}

impl TargetSelector {
    async fn find(&self, store: &Store) -> Result<(TransferTarget, Tenant), Failure> {
        let tenant = tenant::find(store, &self.tenant).await?;
        let targets = store.scope(tenant.id).targets().await?;
        let is_named =
            |it: &TransferTarget| it.name.as_str() == self.target || it.id.to_string() == self.target;
        let missing = || {
            let (target, tenant) = (&self.target, &tenant.name);
            Failure::not_found(format!("{tenant:?} has no transfer target {target:?}: see `vca target list`"))
        };
        let target = targets.into_iter().find(is_named).ok_or_else(missing)?;
        Ok((target, tenant))
    }
}

async fn list(store: &Store, tenant: Option<&str>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut all = Vec::new();
    for tenant in tenant::find_or_all(store, tenant).await? {
        let targets = store.scope(tenant.id).targets().await?;
        let name = tenant.name;
        all.extend(targets.into_iter().map(|target| OwnedTarget { target, tenant_name: name.clone() }));
    }
    output.print(&all, || {
        let mut table = Table::new(["name", "tenant", "kind", "address", "method", "style", "description"]);
        for OwnedTarget { target, tenant_name } in &all {
            table.row([
                target.name.to_string(),
                tenant_name.clone(),
                target.kind.to_string(),
                target.address.clone(),
                target.method.to_string(),
                target.style.to_string(),
                target.description.clone(),
            ]);
        }
        table.to_string()
    })
}

fn sheet(OwnedTarget { target, tenant_name }: &OwnedTarget) -> String {
    Sheet::new()
        .line("id", target.id)
        .line("name", &target.name)
        .line("description", &target.description)
        .line("kind", target.kind)
        .line("address", &target.address)
        .line("method", target.method)
        .line("style", target.style)
        .line("after the bridge", target.after_bridge)
        .line("resolver", if target.resolver.is_some() { "set" } else { "–" })
        .line("hours", if target.hours.is_some() { "limited" } else { "always" })
        .line("tenant", tenant_name)
        .line("tenant id", target.tenant_id)
        .line("created", target.created_at.format("%F %T UTC"))
        .to_string()
}
