//! `vca number`

use clap::{ArgAction, Args, Subcommand};
use serde::Serialize;

use super::actor;
use super::failure::Failure;
use super::output::Output;
use super::table::{Sheet, Table, or_dash};
use super::trial::Trial;
use super::{registration, tenant};
use crate::config::Config;
use crate::store::{NewNumber, NumberFilter, Store, StoreError, Window};
use crate::tenancy::{NumberId, Numbering, PhoneNumber, ProviderState, ProviderType, Tenant, TenantId};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give a tenant a number; it is active at once.
    Create(Create),
    /// List numbers.
    List(List),
    /// Show one number.
    Show(Which),
    /// Switch a number on or off. Calls to a number that is off are refused.
    Update(Update),
    /// Have its provider bring its calls here, again or for the first time.
    Register(Which),
    /// Have its provider bring them no longer.
    Unregister(Which),
    /// Give a number up. Its calls stay on record; anybody may have it then.
    Delete(Delete),
}

#[derive(Debug, Args)]
pub struct Create {
    /// Id or name.
    #[arg(long)]
    tenant: String,
    /// The called number with its country code; in numbers.default_region that may be left out.
    #[arg(long, value_name = "+493055500100", allow_hyphen_values = true)]
    did: String,
    #[arg(long, default_value = "generic")]
    provider_type: ProviderType,
}

#[derive(Debug, Args)]
pub struct List {
    /// Id or name; all tenants when absent.
    #[arg(long)]
    tenant: Option<String>,
    /// Only those that are on, or off.
    #[arg(long, value_name = "true|false")]
    active: Option<bool>,
    /// Only those of this provider.
    #[arg(long)]
    provider_type: Option<ProviderType>,
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
pub struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    trial: Trial,
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
        let numbering = &config.numbers;
        let owned = match self {
            Command::Register(which) => {
                let number = which.find(store, numbering).await?.number;
                return registration::register(store, config, &number, output).await;
            }
            Command::Unregister(which) => {
                let (tenant, number) = which.find_even_if_gone(store, numbering).await?;
                return registration::unregister(store, config, tenant, number, output).await;
            }
            Command::List(list) => return list.run(store, output).await,
            Command::Create(Create { tenant, did, provider_type }) => {
                let tenant = tenant::find(store, &tenant).await?;
                let did = numbering.read(&did).map_err(Failure::unacceptable)?;
                let new = NewNumber { did, provider_type };
                let number = store.scope(tenant.id).create_number(&actor(), new).await?;
                Owned::new(registration::follow(store, config, number).await?, &tenant)
            }
            Command::Show(which) => which.find(store, numbering).await?,
            Command::Update(Update { which, active }) => {
                let Owned { number, tenant_name } = which.find(store, numbering).await?;
                let number =
                    store.scope(number.tenant_id).set_number_active(&actor(), number.id, active).await?;
                let number = registration::follow(store, config, number).await?;
                Owned { number, tenant_name }
            }
            Command::Delete(Delete { which, trial }) => {
                let owned = which.find(store, numbering).await?;
                if trial.dry_run {
                    return output.print(&owned, || would_go(&owned));
                }
                let Owned { number, tenant_name } = owned;
                let number = store.scope(number.tenant_id).delete_number(&actor(), number.id).await?;
                let number = registration::follow(store, config, number).await?;
                let owned = Owned { number, tenant_name };
                return output.print(&owned, || gone(&owned.number));
            }
        };
        output.print(&owned, || sheet(&owned))
    }
}

impl Which {
    async fn find(&self, store: &Store, numbering: &Numbering) -> Result<Owned, Failure> {
        let id: Option<NumberId> = self.number.parse().ok();
        let dids = numbering.called(&self.number);
        for tenant in tenant::find_or_all(store, self.tenant.as_deref()).await? {
            let numbers = store.scope(tenant.id).numbers().await?;
            let found = numbers.into_iter().find(|it| Some(it.id) == id || dids.contains(&it.did));
            if let Some(number) = found {
                return Ok(Owned::new(number, &tenant));
            }
        }
        let named = &self.number;
        Err(Failure::not_found(format!("there is no number {named:?}: `vca number list` shows them all")))
    }

    /// Numbers that were given up are found by their ids.
    async fn find_even_if_gone(
        &self,
        store: &Store,
        numbering: &Numbering,
    ) -> Result<(TenantId, NumberId), Failure> {
        let failure = match self.find(store, numbering).await {
            Ok(Owned { number, .. }) => return Ok((number.tenant_id, number.id)),
            Err(failure) => failure,
        };
        let Ok(id) = self.number.parse::<NumberId>() else { return Err(failure) };
        for tenant in tenant::find_or_all(store, self.tenant.as_deref()).await? {
            match store.scope(tenant.id).registration(id).await {
                Ok(_) => return Ok((tenant.id, id)),
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(failure)
    }
}

impl List {
    async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let filter = NumberFilter { is_active: self.active, provider_type: self.provider_type };
        let mut all = Vec::new();
        for tenant in tenant::find_or_all(store, self.tenant.as_deref()).await? {
            let page = store.scope(tenant.id).numbers_page(filter, Window::first(u32::MAX)).await?;
            all.extend(page.items.into_iter().map(|number| Owned::new(number, &tenant)));
        }
        output.print(&all, || table(&all))
    }
}

fn table(all: &[Owned]) -> String {
    let mut table = Table::new(["number", "active", "tenant", "provider", "state", "id"]);
    for Owned { number, tenant_name } in all {
        table.row([
            number.did.to_string(),
            yes_or_no(number.is_active).into(),
            tenant_name.clone(),
            number.provider_type.to_string(),
            number.provider_state.to_string(),
            number.id.to_string(),
        ]);
    }
    table.to_string()
}

fn sheet(Owned { number, tenant_name }: &Owned) -> String {
    Sheet::new()
        .line("id", number.id)
        .line("number", &number.did)
        .line("active", yes_or_no(number.is_active))
        .line("tenant", tenant_name)
        .line("tenant id", number.tenant_id)
        .line("provider", number.provider_type)
        .line("provider state", number.provider_state)
        .line("provider detail", or_dash(number.provider_detail.as_deref()))
        .line("created", number.created_at.format("%F %T UTC"))
        .to_string()
}

fn would_go(Owned { number, tenant_name }: &Owned) -> String {
    let PhoneNumber { did, provider_type, .. } = number;
    format!(
        "{did} would be nobody's: {tenant_name:?} has it, its provider ({provider_type}) would be told, and its calls stay on record"
    )
}

fn gone(number: &PhoneNumber) -> String {
    let PhoneNumber { id, did, provider_detail, .. } = number;
    match number.provider_state {
        ProviderState::Failed | ProviderState::Pending => format!(
            "{did} is nobody's now, but its provider may still have it ({}): `vca number unregister {id}` asks again",
            or_dash(provider_detail.as_deref())
        ),
        _ => format!("{did} is nobody's now"),
    }
}

pub fn yes_or_no(switch: bool) -> &'static str {
    if switch { "yes" } else { "no" }
}
