//! The billing job: issues statements when a month is over, and closes calls of daemons that did not return.

use std::time::Duration;

use chrono::Utc;
use metrics::gauge;
use tracing::{info, warn};

use crate::billing::Billing;
use crate::current::Current;
use crate::store::{ABANDONED, HoldReason, IssueRequest, Store, StoreError};
use crate::tenancy::Actor;

const EVERY: Duration = Duration::from_secs(900);
/// Tenants that a log line names.
const NAMED: usize = 5;

/// Runs until it is dropped. It may be dropped at any moment: the next run continues where it stopped.
pub async fn run_billing(store: Store, billing: Current<Billing>) {
    gauge!("vca_statements_held").set(0.0);
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = close_abandoned(&store).await {
            warn!(%error, "abandoned calls cannot be closed now: tried again later");
        }
        if let Err(error) = issue_statements(&store, &billing.get()).await {
            warn!(%error, "statements cannot be issued now: tried again later");
        }
    }
}

async fn close_abandoned(store: &Store) -> Result<(), StoreError> {
    let now = Utc::now();
    let calls = store.close_unfinished(now - ABANDONED, now).await?;
    if calls > 0 {
        warn!(calls, "calls of a daemon that did not return: recorded as interrupted");
    }
    Ok(())
}

async fn issue_statements(store: &Store, billing: &Billing) -> Result<(), StoreError> {
    let due = IssueRequest { month: None, tenant: None, accept_unpriced: false, dry_run: false };
    let outcome = store.issue_statements(billing, &due, &Actor::system(), Utc::now()).await?;
    gauge!("vca_statements_held").set(outcome.held.len() as f64);
    if !outcome.issued.is_empty() {
        info!(statements = outcome.issued.len(), "statements issued");
    }
    for reason in [HoldReason::Unpriced, HoldReason::Unreadable] {
        let held = outcome.held.iter().filter(|statement| statement.reason == reason);
        let named: Vec<String> = held
            .clone()
            .take(NAMED)
            .map(|held| format!("{} {}: {}", held.tenant_id, held.month, held.detail))
            .collect();
        if !named.is_empty() {
            let (statements, examples) = (held.count(), named.join("; "));
            let remedy = match reason {
                HoldReason::Unpriced => {
                    "add their prices to [prices], or `vca usage issue --accept-unpriced`"
                }
                HoldReason::Unreadable => "repair the rows that are named; the others are issued",
            };
            warn!(statements, ?reason, %examples, %remedy, "statements are held back");
        }
    }
    Ok(())
}
