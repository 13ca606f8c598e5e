//! `vca number`

use chrono::{DateTime, Utc};
use clap::{ArgAction, Args, Subcommand};

use super::actor;
use super::failure::Failure;
use super::number_routing::Routing;
use super::output::Output;
use super::pre_call::{self, TestWebhook, Webhook};
use super::routing_versions::{RollbackRouting, RoutingVersions};
use super::table::{Sheet, Table, or_dash};
use super::trial::Trial;
use super::{registration, tenant};
use crate::config::Config;
use crate::control::{self, GivenBy, NumberRequest, in_any_state};
use crate::store::{
    NumberChanges, NumberFilter, NumberQuery, OwnedNumber, Store, StoreError, UnmatchedNumber,
};
use crate::tenancy::{
    Continuation, FailoverCase, FailoverRoute, FailoverRoutes, NumberId, Numbering, PhoneNumber,
    ProviderState, ProviderType, TenantId,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give a tenant a number, which assigns it in the inventory. It is active at once.
    Create(CreateNumber),
    /// List numbers.
    List(ListNumbers),
    /// List called numbers that no tenant has, the latest first: their calls were refused with 404.
    Unmatched,
    /// Show one number.
    Show(NumberSelector),
    /// Switch a number on or off, set where its calls continue that the agent cannot serve, or whether it uses the
    /// tenant's pre-call webhook.
    Update(Box<UpdateNumber>),
    /// Show or set which profiles answer a number's calls: several share them by weight, another one answers outside of
    /// business hours.
    Routing(Routing),
    /// List the versions of a number's routing and failover routes, newest first; show one of them, or how it differs from another.
    RoutingVersions(RoutingVersions),
    /// Return a number's routing and failover routes to an earlier version.
    RollbackRouting(RollbackRouting),
    /// Show or set the number's own pre-call webhook: a URL that is asked about each call while it rings.
    Webhook(Webhook),
    /// Remove the number's own pre-call webhook. That of the tenant is asked then, unless the number does not use it.
    RemoveWebhook(NumberSelector),
    /// Replace the secret of the number's own pre-call webhook. For 24 hours requests are signed with the former one,
    /// too.
    RotateWebhookSecret(NumberSelector),
    /// Ask the pre-call webhook, the number's own or the tenant's, about a call that does not exist, and show its
    /// response.
    TestWebhook(TestWebhook),
    /// Have its provider send its calls here, again or for the first time.
    Register(NumberSelector),
    /// Have its provider no longer send its calls here, where VCA had arranged it.
    Unregister(NumberSelector),
    /// Release a number. Its call records stay, and it remains assigned to the tenant (`vca inventory assign`).
    Delete(Delete),
}

#[derive(Debug, Args)]
pub struct CreateNumber {
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
pub struct ListNumbers {
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
pub struct NumberSelector {
    /// The number itself, or its id.
    number: String,
    /// Look among this tenant's numbers only. Id or name.
    #[arg(long)]
    tenant: Option<String>,
}

#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    which: NumberSelector,
    #[command(flatten)]
    trial: Trial,
}

#[derive(Debug, Args)]
pub struct UpdateNumber {
    #[command(flatten)]
    which: NumberSelector,
    /// Calls to a number that is off are refused.
    #[arg(long, action = ArgAction::Set, value_name = "true|false")]
    active: Option<bool>,
    /// Failover routes as JSON, which replace the present ones as a whole: by case (busy, full, draining, quota, closed,
    /// no_agent, engines, limit, emergency, or default) the action: dialplan (with a label or not), target (with its name),
    /// hang_up, or message (say: its words; then: one of the other actions).
    #[arg(long, value_name = JSON, value_parser = read_failover)]
    failover: Option<FailoverRoutes>,
    /// Whether the tenant's pre-call webhook is asked about its calls, where the number has none of its own.
    #[arg(long, action = ArgAction::Set, value_name = "true|false")]
    uses_tenant_webhook: Option<bool>,
}

/// An example of failover routes.
const JSON: &str = r#"{"default":{"action":"dialplan","label":"reception"}}"#;

fn read_failover(text: &str) -> Result<FailoverRoutes, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
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
                let (tenant, number) = which.find_even_if_released(store, numbering).await?;
                return registration::unregister(store, config, tenant, number, output).await;
            }
            Command::Webhook(webhook) => return webhook.run(store, config, output).await,
            Command::RemoveWebhook(which) => return pre_call::remove(which, store, config, output).await,
            Command::RotateWebhookSecret(which) => {
                return pre_call::rotate(which, store, config, output).await;
            }
            Command::TestWebhook(test) => return test.run(store, config, output).await,
            Command::Routing(routing) => return routing.run(store, config, output).await,
            Command::RoutingVersions(versions) => return versions.run(store, numbering, output).await,
            Command::RollbackRouting(rollback) => return rollback.run(store, numbering, output).await,
            Command::List(list) => return list.run(store, output).await,
            Command::Unmatched => {
                let numbers = store.unmatched_numbers().await?;
                return output.print(&numbers, || unmatched_table(&numbers));
            }
            Command::Create(CreateNumber { tenant, did, provider_type }) => {
                let tenant = tenant::find(store, &tenant).await?;
                let registrar = registration::registrar(store, config)?;
                let given_by = GivenBy::Operator;
                let request = NumberRequest { did_number: &did, provider_type, given_by };
                let scope = store.scope(tenant.id);
                let number = control::create_number(&registrar, &scope, &actor(), numbering, request).await?;
                return confirm(OwnedNumber { number, tenant_name: tenant.name }, output);
            }
            Command::Show(which) => which.find(store, numbering).await?,
            Command::Update(update) => return update.run(store, config, output).await,
            Command::Delete(delete) => return delete.run(store, config, output).await,
        };
        output.print(&owned, || sheet(&owned))
    }
}

impl UpdateNumber {
    async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let UpdateNumber { which, active, failover, uses_tenant_webhook } = self;
        let OwnedNumber { number, tenant_name } = which.find(store, &config.numbers).await?;
        let registrar = registration::registrar(store, config)?;
        let scope = store.scope(number.tenant_id);
        let (actor, any) = (actor(), in_any_state::<_, Failure>);
        let changes = NumberChanges { is_active: active, failover, uses_tenant_webhook };
        let number = control::update_number(&registrar, &scope, &actor, number.id, &changes, any).await?;
        confirm(OwnedNumber { number, tenant_name }, output)
    }
}

impl Delete {
    async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let owned = self.which.find(store, &config.numbers).await?;
        if self.trial.dry_run {
            return output.print(&owned, || would_go(&owned));
        }
        let OwnedNumber { number, tenant_name } = owned;
        let registrar = registration::registrar(store, config)?;
        let scope = store.scope(number.tenant_id);
        let (actor, any) = (actor(), in_any_state::<_, Failure>);
        let number = control::release_number(&registrar, &scope, &actor, number.id, any).await?;
        let owned = OwnedNumber { number, tenant_name };
        output.print(&owned, || gone(&owned.number))
    }
}

/// Prints a number that was changed. That its provider did not do its part is a failure of the command.
fn confirm(owned: OwnedNumber, output: &mut Output<'_>) -> Result<(), Failure> {
    output.print(&owned, || sheet(&owned))?;
    let PhoneNumber { id, did, provider_state, provider_detail, .. } = &owned.number;
    if *provider_state != ProviderState::Failed {
        return Ok(());
    }
    let detail = provider_detail.as_deref().unwrap_or("no reason was given");
    Err(Failure::failed(format!(
        "the change of {did} is recorded, but its provider did not follow: {detail}. `vca number register {id}` tries again"
    )))
}

impl NumberSelector {
    pub async fn find(&self, store: &Store, numbering: &Numbering) -> Result<OwnedNumber, Failure> {
        let query = match self.number.parse() {
            Ok(id) => NumberQuery::Id(id),
            Err(_) => NumberQuery::Called(numbering.called(&self.number)),
        };
        self.ask(store, &query).await
    }

    /// Released numbers are found by their ids.
    async fn find_even_if_released(
        &self,
        store: &Store,
        numbering: &Numbering,
    ) -> Result<(TenantId, NumberId), Failure> {
        let query = match self.number.parse() {
            Ok(id) => NumberQuery::IdEvenIfReleased(id),
            Err(_) => NumberQuery::Called(numbering.called(&self.number)),
        };
        let number = self.ask(store, &query).await?.number;
        Ok((number.tenant_id, number.id))
    }

    async fn ask(&self, store: &Store, query: &NumberQuery) -> Result<OwnedNumber, Failure> {
        let tenant = match &self.tenant {
            Some(named) => Some(tenant::find(store, named).await?.id),
            None => None,
        };
        store.find_number(query, tenant).await.map_err(|error| match error {
            StoreError::NotFound => {
                let named = &self.number;
                Failure::not_found(format!("there is no number {named:?}: `vca number list` shows them all"))
            }
            other => other.into(),
        })
    }
}

impl ListNumbers {
    async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let filter = NumberFilter { is_active: self.active, provider_type: self.provider_type };
        let tenant = match &self.tenant {
            Some(named) => Some(tenant::find(store, named).await?.id),
            None => None,
        };
        let all = store.numbers_of(tenant, filter).await?;
        output.print(&all, || table(&all))
    }
}

fn table(all: &[OwnedNumber]) -> String {
    let mut table = Table::new(["number", "active", "tenant", "provider", "state", "calls", "id"]);
    for OwnedNumber { number, tenant_name } in all {
        table.row([
            number.did.to_string(),
            yes_or_no(number.is_active).into(),
            tenant_name.clone(),
            number.provider_type.to_string(),
            number.provider_state.to_string(),
            number.call_delivery.to_string(),
            number.id.to_string(),
        ]);
    }
    table.to_string()
}

fn unmatched_table(numbers: &[UnmatchedNumber]) -> String {
    let mut table = Table::new(["called", "calls", "first", "last (UTC)"]);
    for UnmatchedNumber { called, calls, first_at, last_at } in numbers {
        let time = |at: &DateTime<Utc>| at.format("%F %T").to_string();
        table.row([called.clone(), calls.to_string(), time(first_at), time(last_at)]);
    }
    table.to_string()
}

fn sheet(OwnedNumber { number, tenant_name }: &OwnedNumber) -> String {
    Sheet::new()
        .line("id", number.id)
        .line("number", &number.did)
        .line("active", yes_or_no(number.is_active))
        .line("tenant", tenant_name)
        .line("tenant id", number.tenant_id)
        .line("provider", number.provider_type)
        .line("provider state", number.provider_state)
        .line("calls", number.call_delivery)
        .line("provider detail", or_dash(number.provider_detail.as_deref()))
        .line("failover", or_dash(failover_lines(&number.failover).as_deref()))
        .line("tenant's webhook", if number.uses_tenant_webhook { "used" } else { "not used" })
        .line("created", number.created_at.format("%F %T UTC"))
        .to_string()
}

/// The route of each case that has one.
pub fn failover_lines(routes: &FailoverRoutes) -> Option<String> {
    let line = |case: &FailoverCase| Some(format!("{case}: {}", failover_line(routes.of(*case)?)));
    let lines: Vec<String> = FailoverCase::ALL.iter().filter_map(line).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn failover_line(route: &FailoverRoute) -> String {
    let continuation = match route.continuation() {
        Continuation::Dialplan { label: Some(label) } => format!("dialplan ({label})"),
        Continuation::Dialplan { label: None } => "dialplan".to_owned(),
        Continuation::Target { target } => format!("target {target}"),
        Continuation::HangUp {} => "hang up".to_owned(),
    };
    match route.message() {
        Some(message) => format!("message {:?}, then {continuation}", message.text()),
        None => continuation,
    }
}

fn would_go(OwnedNumber { number, tenant_name }: &OwnedNumber) -> String {
    let PhoneNumber { did, provider_type, .. } = number;
    format!(
        "{did} of {tenant_name:?} would be released, its provider ({provider_type}) asked to unregister it, and its calls \
         would stay on record"
    )
}

fn gone(number: &PhoneNumber) -> String {
    let PhoneNumber { id, did, provider_detail, .. } = number;
    match number.provider_state {
        ProviderState::Failed | ProviderState::Pending => format!(
            "Released {did}, but its provider may still send its calls here ({}): `vca number unregister {id}` asks again",
            or_dash(provider_detail.as_deref())
        ),
        _ => format!("Released {did}."),
    }
}

pub fn yes_or_no(switch: bool) -> &'static str {
    if switch { "yes" } else { "no" }
}
