//! Keeps the books: issues statements when a month is over, and closes calls of daemons that never came back.

use std::time::Duration;

use chrono::Utc;
use tracing::{info, warn};

use crate::billing::Billing;
use crate::store::{ABANDONED, Store, StoreError};

const EVERY: Duration = Duration::from_secs(900);

/// Looks for what is due until it is dropped. Nothing is lost when that is in the middle: the next look goes on.
pub async fn keep_books(store: Store, billing: Billing) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = look(&store, &billing).await {
            warn!(%error, "statements and abandoned calls have to wait");
        }
    }
}

async fn look(store: &Store, billing: &Billing) -> Result<(), StoreError> {
    let now = Utc::now();
    let calls = store.close_unfinished(now - ABANDONED, now).await?;
    if calls > 0 {
        warn!(calls, "calls of a daemon that never came back: recorded as interrupted");
    }
    let statements = store.issue_statements(billing, now).await?;
    if statements > 0 {
        info!(statements, "statements of the last month are issued");
    }
    Ok(())
}
