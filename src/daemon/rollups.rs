//! Adds calls to the sums that analytics read: those that were recorded before there were sums, or imported.

use std::time::Duration;

use tracing::{info, warn};

use crate::store::Store;

/// How many calls are added in one transaction, and the pause after it: a busy database hardly notices.
const BATCH: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
/// How often the daemon looks for imported calls.
const EVERY: Duration = Duration::from_secs(600);
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// Adds calls until it is dropped. Nothing is lost when that is in the middle.
pub async fn add_calls(store: Store) {
    let mut added = 0;
    loop {
        let pause = match store.roll_up_calls(BATCH).await {
            Ok(calls) => {
                added += calls;
                if calls < BATCH.into() { EVERY } else { PAUSE }
            }
            Err(error) => {
                warn!(%error, "calls not added to the sums for analytics: trying again");
                AFTER_ERROR
            }
        };
        if pause == EVERY && added > 0 {
            info!(calls = added, "earlier calls added to the sums for analytics");
            added = 0;
        }
        tokio::time::sleep(pause).await;
    }
}
