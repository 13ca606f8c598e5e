//! The hourly job of the daemon: finishes deletions and deletes by retention.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tracing::warn;

use super::retention::RetentionRun;
use super::tenants::unregister;
use crate::store::{Store, StoreError};
use crate::telephony::Registrar;
use crate::tenancy::Actor;

const EVERY: Duration = Duration::from_secs(3_600);
/// How long one run of the retention may take, and the pause between its batches.
const RETENTION_LIMIT: Duration = Duration::from_secs(600);
const RETENTION_PAUSE: Duration = Duration::from_millis(200);

/// Runs once an hour, until it is dropped. Nothing is lost then: the next run continues.
pub async fn keep_up(store: Store, registrar: Arc<Registrar>) {
    let mut retention = RetentionRun::new(store.clone(), RETENTION_LIMIT, RETENTION_PAUSE);
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = finish_deletions(&store, &registrar).await {
            warn!(%error, "numbers of deleted tenants not released: next try in an hour");
        }
        if let Err(error) = store.delete_old_idempotency_keys(Utc::now()).await {
            warn!(%error, "old idempotency keys not deleted: next try in an hour");
        }
        if let Err(error) = retention.run(None).await {
            warn!(%error, "retention not applied: next try in an hour");
        }
    }
}

/// Releases the numbers of tenants that an earlier version deleted, and asks providers again that have not confirmed to
/// have unregistered a deleted tenant's number.
pub(super) async fn finish_deletions(store: &Store, registrar: &Arc<Registrar>) -> Result<(), StoreError> {
    for tenant in store.tenants_to_release().await? {
        if let Err(error) = store.delete_tenant(&Actor::system(), tenant, false).await {
            warn!(tenant_id = %tenant, %error, "deletion not finished: next try in an hour");
        }
    }
    let numbers = store.numbers_to_unregister().await?;
    let failed = unregister(store.clone(), Arc::clone(registrar), Actor::system(), numbers).await;
    if failed > 0 {
        warn!(failed, "numbers of deleted tenants may still be registered: next try in an hour");
    }
    Ok(())
}
