//! The deliverer's queries: webhooks with due deliveries, leases on deliveries, and their results.
//!
//! Several daemons may share the database. A claim moves a delivery's next attempt to the end of its lease, so no
//! other daemon takes it meanwhile, and the claims of a killed daemon become due again.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use super::audit::Change;
use super::page::first_id_at;
use super::statement::sql;
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::webhooks::Row as WebhookRow;
use super::{Scope, Store, StoreError, kept};
use crate::sealing::{Keyring, Owner, SealError};
use crate::tenancy::{Actor, DeliveryId, DeliveryStatus, EventId, TenantId, WebhookId};

/// A webhook that something is due for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct WaitingWebhook {
    #[sqlx(rename = "tenant_id")]
    tenant: Uuid,
    #[sqlx(rename = "id")]
    webhook: Uuid,
    /// Its last delivery failed.
    pub is_failing: bool,
}

impl WaitingWebhook {
    pub fn tenant(&self) -> TenantId {
        TenantId(self.tenant)
    }

    pub fn webhook(&self) -> WebhookId {
        WebhookId(self.webhook)
    }
}

/// A delivery that is ours until its lease ends.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    pub id: DeliveryId,
    pub tenant: TenantId,
    pub webhook: WebhookId,
    pub event: EventId,
    /// How often it was tried before.
    pub attempts: u32,
    pub leased_until: DateTime<Utc>,
    pub url: String,
    /// The present one and, for a while after a rotation, the former one; or why the present one cannot be opened.
    pub secrets: Result<Vec<SecretString>, SealError>,
    /// The whole body.
    pub payload: String,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAttempt {
    pub at: DateTime<Utc>,
    pub response_status: Option<u16>,
    pub response_ms: Option<u32>,
    pub problem: Option<String>,
    pub outcome: DeliveryOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    Delivered,
    /// Failed; becomes due again at that time.
    Again(DateTime<Utc>),
    /// It failed for the last time.
    GivenUp,
    /// The receiver wants nothing any more (410).
    Unsubscribed,
}

impl DeliveryOutcome {
    fn status(self) -> DeliveryStatus {
        match self {
            DeliveryOutcome::Delivered => DeliveryStatus::Delivered,
            DeliveryOutcome::Again(_) => DeliveryStatus::Pending,
            DeliveryOutcome::GivenUp | DeliveryOutcome::Unsubscribed => DeliveryStatus::Failed,
        }
    }
}

impl Store {
    /// The webhooks that something is due for. The question costs by the number of webhooks that wait for
    /// anything, not by how much waits: the index is skipped along from one webhook to the next.
    pub async fn webhooks_waiting(&self, now: DateTime<Utc>) -> Result<Vec<WaitingWebhook>, StoreError> {
        const SQL: &str = "WITH RECURSIVE waiting (webhook_id) AS ( \
                SELECT (SELECT webhook_id FROM webhook_deliveries \
                    WHERE status = 'pending' ORDER BY webhook_id LIMIT 1) \
                UNION ALL \
                SELECT (SELECT d.webhook_id FROM webhook_deliveries d \
                    WHERE d.status = 'pending' AND d.webhook_id > waiting.webhook_id \
                    ORDER BY d.webhook_id LIMIT 1) \
                FROM waiting WHERE waiting.webhook_id IS NOT NULL) \
            SELECT w.tenant_id, w.id, w.failing_since IS NOT NULL AS is_failing \
            FROM waiting JOIN webhooks w ON w.id = waiting.webhook_id \
            WHERE EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = waiting.webhook_id \
                AND d.status = 'pending' AND d.next_attempt_at <= $1)";
        AllTenants(self).all(sql(SQL).bind(kept(now))).await
    }

    /// How many deliveries are still to be made.
    pub async fn deliveries_pending(&self) -> Result<u64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'pending'";
        let (count,) = AllTenants(self).one::<(i64,)>(sql(SQL)).await?;
        Ok(count.unsigned_abs())
    }

    /// Forgets deliveries that were over and events that had happened before `before`. The answer is how many
    /// rows went; there may be more when it is not 0.
    pub async fn clear_deliveries(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        // Ids begin with the time (UUID version 7), so the old ones are one end of the primary key.
        const DELIVERIES: &str = "DELETE FROM webhook_deliveries WHERE id IN \
            (SELECT id FROM webhook_deliveries WHERE id < $1 AND status <> 'pending' ORDER BY id LIMIT 1000)";
        const EVENTS: &str = "DELETE FROM webhook_events WHERE id IN \
            (SELECT e.id FROM webhook_events e WHERE e.created_at < $1 AND NOT EXISTS \
                (SELECT 1 FROM webhook_deliveries d WHERE d.tenant_id = e.tenant_id AND d.event_id = e.id) \
             ORDER BY e.created_at LIMIT 1000)";
        let deliveries = AllTenants(self).execute(sql(DELIVERIES).bind(first_id_at(before))).await?;
        let events = AllTenants(self).execute(sql(EVENTS).bind(kept(before))).await?;
        Ok(deliveries + events)
    }
}

impl Scope {
    /// Takes at most `limit` due deliveries until `lease`. Deliveries that were queued before their webhook was
    /// disabled are given up.
    pub async fn claim_deliveries(
        &self,
        webhook: WebhookId,
        now: DateTime<Utc>,
        lease: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        const TARGET: &str = "SELECT url, secret, former_secret, former_secret_until, is_active \
            FROM webhooks WHERE tenant_id = $1 AND id = $2";
        // The condition stands twice: PostgreSQL looks at the outer one again when another daemon was first.
        const CLAIM: &str = "UPDATE webhook_deliveries SET next_attempt_at = $4 \
            WHERE id IN (SELECT id FROM webhook_deliveries WHERE tenant_id = $1 AND webhook_id = $2 \
                AND status = 'pending' AND next_attempt_at <= $3 ORDER BY next_attempt_at LIMIT $5) \
            AND tenant_id = $1 AND status = 'pending' AND next_attempt_at <= $3 \
            RETURNING id, event_id, attempts";
        const PAYLOAD: &str = "SELECT payload FROM webhook_events WHERE tenant_id = $1 AND id = $2";
        let (tenant, lease) = (self.tenant, kept(lease));
        let mut tx = self.begin(Access::Write).await?;
        let target = tx.one::<DeliveryTarget>(sql(TARGET).bind(tenant.0).bind(webhook.0)).await?;
        let mut rows = Vec::new();
        if target.is_active {
            let claim =
                sql(CLAIM).bind(tenant.0).bind(webhook.0).bind(kept(now)).bind(lease).bind(i64::from(limit));
            for (id, event, attempts) in tx.all::<(Uuid, Uuid, i64)>(claim).await? {
                let (payload,) = tx.one::<(String,)>(sql(PAYLOAD).bind(tenant.0).bind(event)).await?;
                rows.push((id, event, attempts, payload));
            }
        } else {
            tx.abandon_deliveries(tenant, webhook, "the webhook is switched off").await?;
        }
        tx.commit().await?;
        let secrets = target.secrets(&self.store.sealing, &Owner::webhook(tenant.0, webhook.0), now);
        let claimed = |(id, event, attempts, payload)| ClaimedDelivery {
            id: DeliveryId(id),
            tenant,
            webhook,
            event: EventId(event),
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            leased_until: lease,
            url: target.url.clone(),
            secrets: secrets.clone(),
            payload,
        };
        Ok(rows.into_iter().map(claimed).collect())
    }

    /// Records how an attempt went, unless the lease was lost meanwhile: then it is another's to say, except
    /// that what was delivered was delivered. A webhook that has failed since before `patience`, or that wants
    /// nothing any more, is switched off; the answer is whether it was.
    pub async fn settle_delivery(
        &self,
        claimed: &ClaimedDelivery,
        attempt: &DeliveryAttempt,
        patience: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        const SETTLE: &str = "UPDATE webhook_deliveries SET status = $4, attempts = attempts + 1, \
            next_attempt_at = $5, last_attempt_at = $6, response_status = $7, response_ms = $8, \
            problem = $9 WHERE tenant_id = $1 AND id = $2 AND status = 'pending' \
            AND (next_attempt_at = $3 OR $4 = 'delivered')";
        let (tenant, webhook, at) = (self.tenant, claimed.webhook, kept(attempt.at));
        let next = match attempt.outcome {
            DeliveryOutcome::Again(next) => kept(next),
            _ => at,
        };
        let mut tx = self.begin(Access::Write).await?;
        // The webhook's row is locked before its deliveries, as in a change by its owner, so that the two cannot
        // deadlock. A failure may switch the webhook off, by its state at that moment.
        let held = match attempt.outcome {
            DeliveryOutcome::Delivered => {
                tx.execute(sql(WELL).bind(tenant.0).bind(webhook.0)).await?;
                None
            }
            _ => tx.lock_webhook(tenant, webhook).await?,
        };
        let settle = sql(SETTLE)
            .bind(tenant.0)
            .bind(claimed.id.0)
            .bind(claimed.leased_until)
            .bind(attempt.outcome.status().as_str())
            .bind(next)
            .bind(at)
            .bind(attempt.response_status.map(i64::from))
            .bind(attempt.response_ms.map(i64::from))
            .bind(attempt.problem.as_deref());
        let is_switched_off = match (tx.execute(settle).await?, held) {
            (0, _) | (_, None) => false,
            (_, Some(held)) => tx.note_failure(held, attempt, patience).await?,
        };
        tx.commit().await?;
        Ok(is_switched_off)
    }
}

impl Tx {
    /// Records that a delivery to a webhook failed at `attempt.at`, and switches the webhook off when nothing could be
    /// delivered since `patience` or the receiver has unsubscribed. Returns whether it was switched off.
    async fn note_failure(
        &mut self,
        mut webhook: WebhookRow,
        attempt: &DeliveryAttempt,
        patience: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let (tenant, id, at) = (TenantId(webhook.tenant_id), WebhookId(webhook.id), kept(attempt.at));
        self.execute(sql(ILL).bind(tenant.0).bind(id.0).bind(at)).await?;
        webhook.failing_since.get_or_insert(at);
        let Some(why) = hopeless(&webhook, attempt.outcome, patience) else { return Ok(false) };
        self.execute(sql(SWITCH_OFF).bind(tenant.0).bind(id.0)).await?;
        self.abandon_deliveries(tenant, id, &format!("the webhook was switched off: {why}")).await?;
        let change = Change::new(&Actor::system(), tenant, "disable", "webhook", id);
        let after = serde_json::json!({ "is_active": false, "reason": why });
        self.audit(change.before(&webhook).after(&after)).await?;
        Ok(true)
    }
}

const WELL: &str = "UPDATE webhooks SET failing_since = NULL \
    WHERE tenant_id = $1 AND id = $2 AND failing_since IS NOT NULL";
const ILL: &str = "UPDATE webhooks SET failing_since = $3 \
    WHERE tenant_id = $1 AND id = $2 AND failing_since IS NULL";
const SWITCH_OFF: &str = "UPDATE webhooks SET is_active = FALSE WHERE tenant_id = $1 AND id = $2";

/// Why a webhook is to be switched off, if it is.
fn hopeless(webhook: &WebhookRow, outcome: DeliveryOutcome, patience: DateTime<Utc>) -> Option<&'static str> {
    if !webhook.is_active {
        return None;
    }
    match outcome {
        DeliveryOutcome::Unsubscribed => Some("its receiver answered 410 Gone"),
        _ if webhook.failing_since.is_some_and(|since| since <= patience) => {
            Some("nothing could be delivered for days")
        }
        _ => None,
    }
}

#[derive(sqlx::FromRow)]
struct DeliveryTarget {
    url: String,
    secret: String,
    former_secret: Option<String>,
    former_secret_until: Option<DateTime<Utc>>,
    is_active: bool,
}

impl DeliveryTarget {
    /// A former secret that cannot be opened is left out: the receiver knows the present one.
    fn secrets(
        &self,
        sealing: &Keyring,
        owner: &Owner,
        now: DateTime<Utc>,
    ) -> Result<Vec<SecretString>, SealError> {
        let present = sealing.open(&self.secret, owner)?;
        let is_in_use = self.former_secret_until.is_some_and(|until| now < until);
        let former = self.former_secret.as_deref().filter(|_| is_in_use);
        let former = former.and_then(|stored| sealing.open(stored, owner).ok());
        Ok([Some(present), former].into_iter().flatten().collect())
    }
}
