//! Requests with an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) and their responses, kept for a day.
//!
//! ```text
//! claim ── leased ──┬── the request's change (Tx::audit) ── changed ── finish ── finished
//!                   ├── finish: nothing was changed ────────────────────────── finished
//!                   └── release, or the end of the lease ── the key can be used again
//! ```
//!
//! The row names the changed resource in the transaction of the change. A daemon that dies before it has stored the response
//! leaves that name, and the request is not carried out a second time.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::statement::{Statement, sql};
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::{Scope, Store, StoreError};
use crate::tenancy::{KeyId, LimitReached, RequestAttempt, TenantId};

/// How long a response is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// How long one attempt keeps others out. Requests end within `admin.request_timeout_ms`, 15 s by default.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Rows that one transaction deletes.
const BATCH: i64 = 500;

/// The records of one tenant's requests, or of requests about nothing of a tenant.
#[derive(Debug, Clone)]
pub struct IdempotentRequests {
    store: Store,
    tenant: Option<TenantId>,
}

/// A request that carries an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// Derived from the API key's secret and the `Idempotency-Key`.
    pub id: Uuid,
    pub api_key: KeyId,
    /// A hash of the request.
    pub fingerprint: [u8; 32],
}

/// The result of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The request is to be carried out, by this attempt.
    Granted(RequestAttempt),
    /// Another attempt is carrying it out.
    InProgress,
    /// The key was used for another request.
    OtherRequest,
    /// The request was carried out, with this response.
    Finished(StoredResponse),
    /// The request was carried out, and its response is not kept.
    Changed(Option<ChangedResource>),
}

/// The resource that a request has created or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedResource {
    /// Its type, as in the audit log.
    pub kind: String,
    pub id: String,
}

/// A response to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// 200 to 299.
    pub status: u16,
    pub etag: Option<String>,
    /// JSON, or empty. `None` when it is not to be kept.
    pub body: Option<String>,
}

impl Scope {
    /// The records of requests about this tenant.
    pub fn idempotent_requests(&self) -> IdempotentRequests {
        IdempotentRequests { store: self.store.clone(), tenant: Some(self.tenant) }
    }
}

impl RowScope for IdempotentRequests {
    fn store(&self) -> &Store {
        &self.store
    }

    fn row_scope(&self) -> String {
        match self.tenant {
            Some(tenant) => self.store.scope(tenant).row_scope(),
            None => AllTenants(&self.store).row_scope(),
        }
    }
}

impl IdempotentRequests {
    /// Claims a request for an attempt, unless it was claimed before.
    ///
    /// # Errors
    /// `LimitReached` (`idempotency_keys`) when the owner has as many records as it may have; those of the database.
    pub async fn claim(
        &self,
        request: &IdempotentRequest,
        now: DateTime<Utc>,
    ) -> Result<ClaimOutcome, StoreError> {
        const FIND: &str = "SELECT fingerprint, leased_until, resource, resource_id, status, etag, body \
            FROM idempotency_keys WHERE id = $1 AND (tenant_id = $2 OR ($2 IS NULL AND tenant_id IS NULL))";
        let attempt = RequestAttempt { request: request.id, id: Uuid::now_v7() };
        let mut tx = self.begin(Access::Write).await?;
        let at_most = tx.limits.idempotency_keys;
        if tx.execute(self.insert(request, attempt, at_most, now)).await? > 0 {
            tx.commit().await?;
            return Ok(ClaimOutcome::Granted(attempt));
        }
        let find = sql(FIND).bind(request.id).bind(self.owner());
        match tx.optional::<Row>(find).await? {
            Some(row) => row.claim(request, now),
            None => {
                let limit = "idempotency_keys";
                Err(StoreError::LimitReached(LimitReached { limit, at_most: at_most.into() }))
            }
        }
    }

    /// A row is taken over when it is a day old, or when its attempt has neither changed anything nor ended within
    /// its lease.
    fn insert(
        &self,
        request: &IdempotentRequest,
        attempt: RequestAttempt,
        at_most: u32,
        now: DateTime<Utc>,
    ) -> Statement {
        const SQL: &str = "INSERT INTO idempotency_keys \
            (id, tenant_id, api_key_id, fingerprint, attempt, leased_until, created_at) \
            SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT COUNT(*) FROM idempotency_keys \
            WHERE tenant_id = $2 OR ($2 IS NULL AND tenant_id IS NULL)) < $8 \
            ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, attempt = excluded.attempt, \
            leased_until = excluded.leased_until, created_at = excluded.created_at, \
            resource = NULL, resource_id = NULL, status = NULL, etag = NULL, body = NULL \
            WHERE idempotency_keys.created_at <= $9 OR (idempotency_keys.status IS NULL \
            AND idempotency_keys.resource IS NULL AND idempotency_keys.leased_until <= $7 \
            AND idempotency_keys.fingerprint = excluded.fingerprint)";
        sql(SQL)
            .bind(request.id)
            .bind(self.owner())
            .bind(request.api_key.0)
            .bind(&request.fingerprint[..])
            .bind(attempt.id)
            .bind(now + LEASE)
            .bind(now)
            .bind(i64::from(at_most))
            .bind(now - KEPT)
    }

    /// Stores the response of an attempt. An attempt with a lease that was taken over stores nothing.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn finish(&self, attempt: RequestAttempt, response: StoredResponse) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE idempotency_keys SET status = $3, etag = $4, body = $5 WHERE id = $1 AND attempt = $2";
        let update = sql(SQL)
            .bind(attempt.request)
            .bind(attempt.id)
            .bind(i64::from(response.status))
            .bind(response.etag)
            .bind(response.body);
        self.execute(update).await.map(drop)
    }

    /// Ends an attempt that was refused: the key can be used again, unless something was changed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn release(&self, attempt: RequestAttempt) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM idempotency_keys WHERE id = $1 AND attempt = $2 AND resource IS NULL";
        self.execute(sql(SQL).bind(attempt.request).bind(attempt.id)).await.map(drop)
    }

    fn owner(&self) -> Option<Uuid> {
        self.tenant.map(|tenant| tenant.0)
    }
}

impl Store {
    /// The records of requests about nothing of a tenant, such as the creation of tenants.
    pub fn idempotent_requests(&self) -> IdempotentRequests {
        IdempotentRequests { store: self.clone(), tenant: None }
    }

    /// Deletes the records that are a day old and returns their number.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delete_old_idempotency_keys(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM idempotency_keys WHERE id IN \
            (SELECT id FROM idempotency_keys WHERE created_at <= $1 LIMIT $2)";
        let mut deleted = 0;
        loop {
            let batch = AllTenants(self).execute(sql(SQL).bind(now - KEPT).bind(BATCH)).await?;
            deleted += batch;
            if batch < BATCH.unsigned_abs() {
                return Ok(deleted);
            }
        }
    }
}

impl Tx {
    /// Records the change that an attempt makes, in the transaction of the change. Of several, the last one counts.
    ///
    /// # Errors
    /// `Refused` (`request_taken_over`) when the attempt has lost its lease to another one.
    pub(super) async fn record_attempt(
        &mut self,
        attempt: RequestAttempt,
        resource: &str,
        resource_id: &str,
    ) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE idempotency_keys SET resource = $3, resource_id = $4 WHERE id = $1 AND attempt = $2";
        let update = sql(SQL).bind(attempt.request).bind(attempt.id).bind(resource).bind(resource_id);
        if self.execute(update).await? > 0 {
            return Ok(());
        }
        let what = "the request took too long, and another one with its Idempotency-Key has taken its place";
        Err(StoreError::refused("request_taken_over", what))
    }

    /// Erases the stored responses of a tenant's requests that changed this resource.
    pub(super) async fn erase_responses_about(
        &mut self,
        tenant: TenantId,
        resource: &str,
        resource_id: Uuid,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE idempotency_keys SET body = NULL \
            WHERE tenant_id = $1 AND resource = $2 AND resource_id = $3";
        self.execute(sql(SQL).bind(tenant.0).bind(resource).bind(resource_id.to_string())).await.map(drop)
    }

    /// Erases the stored responses of a tenant's requests that hold a text.
    pub(super) async fn erase_responses_with(
        &mut self,
        tenant: TenantId,
        text: &str,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE idempotency_keys SET body = NULL WHERE tenant_id = $1 AND body LIKE $2";
        self.execute(sql(SQL).bind(tenant.0).bind(format!("%{text}%"))).await.map(drop)
    }

    /// Erases the stored responses of the operator's requests that name a tenant.
    pub(super) async fn erase_responses_naming(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE idempotency_keys SET body = NULL WHERE tenant_id IS NULL AND body LIKE $1";
        self.execute(sql(SQL).bind(format!("%{tenant}%"))).await.map(drop)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    fingerprint: Vec<u8>,
    leased_until: DateTime<Utc>,
    resource: Option<String>,
    resource_id: Option<String>,
    status: Option<i64>,
    etag: Option<String>,
    body: Option<String>,
}

impl Row {
    fn claim(self, request: &IdempotentRequest, now: DateTime<Utc>) -> Result<ClaimOutcome, StoreError> {
        if self.fingerprint != request.fingerprint {
            return Ok(ClaimOutcome::OtherRequest);
        }
        let changed = self.resource.zip(self.resource_id).map(|(kind, id)| ChangedResource { kind, id });
        match (self.status, self.body) {
            (Some(status), Some(body)) => {
                let status = status.try_into().map_err(StoreError::corrupt)?;
                Ok(ClaimOutcome::Finished(StoredResponse { status, etag: self.etag, body: Some(body) }))
            }
            (None, _) if changed.is_none() || self.leased_until > now => Ok(ClaimOutcome::InProgress),
            _ => Ok(ClaimOutcome::Changed(changed)),
        }
    }
}
