//! The cost of each tenant's present month as a gauge, with a bounded number of tenants.

use std::time::Duration;

use chrono::Utc;
use metrics::gauge;
use tracing::warn;

use crate::billing::Billing;
use crate::current::Current;
use crate::store::{Store, StoreError, Window};
use crate::tenancy::Month;

/// How many tenants have a gauge: those that were created first.
const MOST: u32 = 500;
const EVERY: Duration = Duration::from_secs(300);

/// Measures the costs until it is dropped.
pub async fn measure(store: Store, billing: Current<Billing>) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = measure_once(&store, &billing.get()).await {
            warn!(%error, "costs of tenants cannot be measured now: tried again later");
        }
    }
}

async fn measure_once(store: &Store, billing: &Billing) -> Result<(), StoreError> {
    let month = store.month_reports(billing, Month::of(Utc::now()), Window::first(MOST)).await?;
    for report in month.page.items {
        let cost = report.bill.total_micros as f64 / 1e6;
        gauge!("vca_tenant_month_cost", "tenant" => report.tenant_id.to_string()).set(cost);
    }
    Ok(())
}
