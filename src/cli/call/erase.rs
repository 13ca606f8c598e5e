//! `vca call erase`

use clap::Args;
use serde::Serialize;

use super::records::tenant_of;
use crate::cli::actor;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::table::Sheet;
use crate::cli::tenant;
use crate::cli::trial::Consent;
use crate::config::Config;
use crate::control::{self, ErasureRequest};
use crate::state;
use crate::store::{Erased, Store};
use crate::tenancy::{CallId, TenantId};

#[derive(Debug, Args)]
pub struct Erase {
    /// One call, by its id.
    #[arg(long, required_unless_present = "caller", conflicts_with = "caller")]
    call: Option<CallId>,
    /// All calls of a caller's number, with or without +.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    caller: Option<String>,
    /// Among this tenant's calls only. Id or name. Default: all tenants.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

/// The erased data of one tenant.
#[derive(Serialize)]
struct ErasedOfTenant {
    tenant_id: TenantId,
    #[serde(flatten)]
    erased: Erased,
}

impl Erase {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let tenants: Vec<TenantId> = match (&self.tenant, self.call) {
            (None, Some(call)) => vec![tenant_of(store, call).await?],
            (named, _) => {
                let tenants = tenant::find_or_all(store, named.as_deref()).await?;
                tenants.into_iter().map(|tenant| tenant.id).collect()
            }
        };
        let request = ErasureRequest {
            call_id: self.call,
            caller_number: self.caller,
            dry_run: self.consent.is_dry_run(),
        };
        // Without Redis, the conversation state is in the memory of the daemon, which deletes it at a call's end.
        let state = match &config.state.redis_url {
            Some(_) => Some(state::connect(&config.state).await.map_err(Failure::unacceptable)?),
            None => None,
        };
        let mut all = Vec::new();
        for tenant_id in tenants {
            let scope = store.scope(tenant_id);
            let erased = control::erase(&scope, state.as_deref(), &[], &actor(), &request).await?;
            all.push(ErasedOfTenant { tenant_id, erased });
        }
        all.retain(|told| told.erased.calls > 0 || told.erased.audit_entries > 0);
        output.print(&all, || text(&all, request.dry_run))
    }
}

fn text(all: &[ErasedOfTenant], dry_run: bool) -> String {
    let Some(first) = all.first() else { return "No calls: nothing to erase.".to_owned() };
    let sum = |of: fn(&Erased) -> u64| all.iter().map(|told| of(&told.erased)).sum::<u64>();
    let sheet = Sheet::new()
        .line(if dry_run { "would erase" } else { "erased" }, format!("{} calls", sum(|it| it.calls)))
        .line("turns", sum(|it| it.turns))
        .line("feedback", sum(|it| it.feedback))
        .line("analyses", sum(|it| it.analyses))
        .line("webhook events", sum(|it| it.webhook_events))
        .line("deliveries cancelled", sum(|it| it.deliveries_cancelled))
        .line("audit entries", sum(|it| it.audit_entries));
    format!("{sheet}\nNot covered: {}.", first.erased.not_covered.join("; "))
}
