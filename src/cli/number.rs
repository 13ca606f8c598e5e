//! `vca number`

use clap::{ArgAction, Args, Subcommand};
use serde::Serialize;

use super::actor;
use super::failure::Failure;
use super::output::Output;
use super::table::{Sheet, Table};
use super::{registration, tenant};
use crate::config::Config;
use crate::store::{NewNumber, Store};
use crate::tenancy::{Did, NumberId, PhoneNumber, Tenant};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give a tenant a number; it is active at once.
    Create(Create),
    /// List numbers.
    List {
        /// Id or name; all tenants when absent.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Show one number.
    Show(Which),
    /// Switch a number on or off. Calls to a number that is off are refused.
    Update(Update),
    /// Have its provider bring its calls here, again or for the first time.
    Register(Which),
    /// Have its provider bring them no longer.
    Unregister(Which),
}

#[derive(Debug, Args)]
pub struct Create {
    /// Id or name.
    #[arg(long)]
    tenant: String,
    /// The called number in E.164, with or without its plus sign.
    #[arg(long, value_name = "+15550100", allow_hyphen_values = true)]
    did: Did,
    #[arg(long, default_value = "generic")]
    provider_type: String,
}

#[derive(Debug, Args)]
pub struct Which {
    /// The number itself, or its id.
    number: String,
    /// Look among this tenant's numbers only. Id or name.
    #[arg(long)]
    tenant: Option<String>,
}

#[derive(Debug, Args)]
pub struct Update {
    #[command(flatten)]
    which: Which,
    #[arg(long, action = ArgAction::Set, value_name = "true|false")]
    active: bool,
}

/// A number, and whose it is.
#[derive(Debug, Serialize)]
struct Owned {
    #[serde(flatten)]
    number: PhoneNumber,
    tenant_name: String,
}

impl Owned {
    fn new(number: PhoneNumber, tenant: &Tenant) -> Owned {
        Owned { number, tenant_name: tenant.name.clone() }
    }
}

impl Command {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let owned = match self {
            Command::Register(which) => {
                let number = which.find(store).await?.number;
                return registration::register(store, config, &number, output).await;
            }
            Command::Unregister(which) => {
                let number = which.find(store).await?.number;
                return registration::unregister(store, config, &number, output).await;
            }
            Command::List { tenant } => return list(store, tenant.as_deref(), output).await,
            Command::Create(Create { tenant, did, provider_type }) => {
                let tenant = tenant::find(store, &tenant).await?;
                let number =
                    store.scope(tenant.id).create_number(&actor(), NewNumber { did, provider_type }).await?;
                Owned::new(number, &tenant)
            }
            Command::Show(which) => which.find(store).await?,
            Command::Update(Update { which, active }) => {
                let Owned { number, tenant_name } = which.find(store).await?;
                let number =
                    store.scope(number.tenant_id).set_number_active(&actor(), number.id, active).await?;
                Owned { number, tenant_name }
            }
        };
        output.print(&owned, || sheet(&owned))
    }
}

impl Which {
    async fn find(&self, store: &Store) -> Result<Owned, Failure> {
        let id: Option<NumberId> = self.number.parse().ok();
        let did: Option<Did> = self.number.parse().ok();
        for tenant in tenant::find_or_all(store, self.tenant.as_deref()).await? {
            let numbers = store.scope(tenant.id).numbers().await?;
            let found = numbers.into_iter().find(|it| Some(it.id) == id || Some(&it.did) == did.as_ref());
            if let Some(number) = found {
                return Ok(Owned::new(number, &tenant));
            }
        }
        let named = &self.number;
        Err(Failure::not_found(format!("there is no number {named:?}: `vca number list` shows them all")))
    }
}

async fn list(store: &Store, tenant: Option<&str>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut all = Vec::new();
    for tenant in tenant::find_or_all(store, tenant).await? {
        let numbers = store.scope(tenant.id).numbers().await?;
        all.extend(numbers.into_iter().map(|number| Owned::new(number, &tenant)));
    }
    output.print(&all, || {
        let mut table = Table::new(["number", "active", "tenant", "provider", "id"]);
        for Owned { number, tenant_name } in &all {
            table.row([
                number.did.to_string(),
                yes_or_no(number.is_active).into(),
                tenant_name.clone(),
                number.provider_type.clone(),
                number.id.to_string(),
            ]);
        }
        table.to_string()
    })
}

fn sheet(Owned { number, tenant_name }: &Owned) -> String {
    Sheet::new()
        .line("id", number.id)
        .line("number", &number.did)
        .line("active", yes_or_no(number.is_active))
        .line("tenant", tenant_name)
        .line("tenant id", number.tenant_id)
        .line("provider", &number.provider_type)
        .line("created", number.created_at.format("%F %T UTC"))
        .to_string()
}

pub fn yes_or_no(switch: bool) -> &'static str {
    if switch { "yes" } else { "no" }
}
