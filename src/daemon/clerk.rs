//! Issues statements when a month is over.

use std::time::Duration;

use chrono::Utc;
use tracing::{info, warn};

use crate::billing::Billing;
use crate::store::Store;

const EVERY: Duration = Duration::from_secs(900);

/// Looks for what is due until it is dropped. Nothing is lost when that is in the middle: the next look goes on.
pub async fn issue_statements(store: Store, billing: Billing) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        match store.issue_statements(&billing, Utc::now()).await {
            Ok(0) => {}
            Ok(statements) => info!(statements, "statements of past months are issued"),
            Err(error) => warn!(%error, "statements of past months are not issued yet"),
        }
    }
}
