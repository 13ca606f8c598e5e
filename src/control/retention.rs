//! Deleting what is older than tenants keep it.

use std::time::Duration;

use chrono::Utc;
use metrics::counter;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::store::{Expired, Store, StoreError};
use crate::tenancy::TenantId;

/// Expired data of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantExpired {
    pub tenant_id: TenantId,
    #[serde(flatten)]
    pub expired: Expired,
}

/// Deletes by retention, one tenant after another.
#[derive(Debug)]
pub struct RetentionRun {
    store: Store,
    /// How long one run may take.
    limit: Duration,
    /// Between two batches, so that other writers get their turn.
    pause: Duration,
    /// The tenant that the next run begins with: the one that the last run had no time for.
    next: Option<TenantId>,
}

impl RetentionRun {
    pub fn new(store: Store, limit: Duration, pause: Duration) -> RetentionRun {
        RetentionRun { store, limit, pause, next: None }
    }

    /// Deletes expired data until nothing is left or the time is over. A tenant with rows that cannot be deleted
    /// does not stop the others.
    ///
    /// # Errors
    /// When the tenants cannot be read.
    pub async fn run(&mut self, only: Option<TenantId>) -> Result<Vec<TenantExpired>, StoreError> {
        let end = Instant::now() + self.limit;
        let mut deleted = Vec::new();
        for tenant in self.in_turn(only).await? {
            if Instant::now() >= end {
                self.next = Some(tenant);
                return Ok(deleted);
            }
            match self.run_tenant(tenant, end).await {
                Ok(expired) if expired.is_empty() => {}
                Ok(expired) => deleted.push(TenantExpired { tenant_id: tenant, expired }),
                Err(error) => warn!(tenant_id = %tenant, %error, "expired rows not deleted"),
            }
        }
        self.next = None;
        Ok(deleted)
    }

    /// The tenants, from the one on that it is the turn of.
    async fn in_turn(&self, only: Option<TenantId>) -> Result<Vec<TenantId>, StoreError> {
        let mut tenants = tenants(&self.store, only).await?;
        let first = tenants.iter().position(|tenant| Some(*tenant) == self.next).unwrap_or_default();
        tenants.rotate_left(first);
        Ok(tenants)
    }

    async fn run_tenant(&self, tenant: TenantId, end: Instant) -> Result<Expired, StoreError> {
        let (scope, now) = (self.store.scope(tenant), Utc::now());
        let mut deleted = Expired::default();
        loop {
            let batch = scope.delete_expired(now).await?;
            count(batch);
            deleted.add(batch);
            if batch.is_empty() || Instant::now() >= end {
                break;
            }
            sleep(self.pause).await;
        }
        if !deleted.is_empty() {
            let Expired { calls, turns, webhook_events, audit_entries, dead_letters } = deleted;
            info!(tenant_id = %tenant, calls, turns, webhook_events, audit_entries, dead_letters, "expired rows deleted");
        }
        Ok(deleted)
    }
}

/// Counts the data that a run would delete.
///
/// # Errors
/// Those of the database.
pub async fn count_expired(store: &Store, only: Option<TenantId>) -> Result<Vec<TenantExpired>, StoreError> {
    let mut found = Vec::new();
    for tenant_id in tenants(store, only).await? {
        let expired = store.scope(tenant_id).count_expired(Utc::now()).await?;
        if !expired.is_empty() {
            found.push(TenantExpired { tenant_id, expired });
        }
    }
    Ok(found)
}

async fn tenants(store: &Store, only: Option<TenantId>) -> Result<Vec<TenantId>, StoreError> {
    match only {
        Some(tenant) => Ok(vec![tenant]),
        None => store.tenants_with_retention().await,
    }
}

fn count(expired: Expired) {
    for (kind, rows) in [
        ("calls", expired.calls),
        ("turns", expired.turns),
        ("webhook_events", expired.webhook_events),
        ("audit_entries", expired.audit_entries),
        ("dead_letters", expired.dead_letters),
    ] {
        counter!("vca_retention_deleted_total", "kind" => kind).increment(rows);
    }
}
