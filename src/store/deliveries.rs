//! The delivery log: deliveries to a tenant's webhooks and their results.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::audit::Change;
use super::statement::{Statement, composed, sql};
use super::tx::{Access, RowScope};
use super::{Page, Scope, StoreError, Window, now};
use crate::tenancy::{Actor, Delivery, DeliveryId, DeliveryStatus, EventId, EventType, WebhookId};

/// A filter of deliveries; an absent field matches all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub status: Option<DeliveryStatus>,
    pub event_type: Option<EventType>,
}

/// Of the tenant `$1` and its webhook `$2`.
const SELECT: &str = "SELECT d.id, d.webhook_id, d.event_id, e.type AS event_type, d.status, d.attempts, \
    d.next_attempt_at, d.last_attempt_at, d.response_status, d.response_ms, d.problem, d.created_at \
    FROM webhook_deliveries d \
    JOIN webhook_events e ON e.tenant_id = d.tenant_id AND e.id = d.event_id \
    WHERE d.tenant_id = $1 AND d.webhook_id = $2 AND";

impl Scope {
    /// A webhook's deliveries, newest first.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such webhook.
    pub async fn deliveries(
        &self,
        webhook: WebhookId,
        filter: DeliveryFilter,
        window: Window,
    ) -> Result<Page<Delivery>, StoreError> {
        self.webhook(webhook).await?;
        let select = format!(
            "{SELECT} d.id < $3 AND (d.status = $4 OR $4 IS NULL) AND (e.type = $5 OR $5 IS NULL) \
             ORDER BY d.id DESC LIMIT $6"
        );
        let select = composed(select)
            .bind(self.tenant.0)
            .bind(webhook.0)
            .bind(window.below())
            .bind(filter.status.map(DeliveryStatus::as_str))
            .bind(filter.event_type.map(EventType::as_str))
            .bind(window.rows());
        let rows = self.all::<Row>(select).await?;
        let deliveries: Result<Vec<Delivery>, StoreError> =
            rows.into_iter().map(Delivery::try_from).collect();
        Ok(window.page(deliveries?, |delivery| delivery.id.0))
    }

    /// # Errors
    /// `NotFound` when the tenant's webhook has no such delivery.
    pub async fn delivery(&self, webhook: WebhookId, id: DeliveryId) -> Result<Delivery, StoreError> {
        self.one::<Row>(self.one_delivery(webhook, "d.id", id.0)).await?.try_into()
    }

    /// Sends an event again at once, whether it was delivered or given up. A failure continues the series of attempts.
    ///
    /// # Errors
    /// `NotFound` when the tenant's webhook has no such delivery, `Invalid` when the webhook is switched off.
    pub async fn retry_delivery(
        &self,
        actor: &Actor,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<Delivery, StoreError> {
        const SQL: &str = "UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = $4 \
            WHERE tenant_id = $1 AND webhook_id = $2 AND id = $3";
        if !self.webhook(webhook).await?.is_active {
            return Err(StoreError::invalid("the webhook is switched off: switch it on first"));
        }
        let mut tx = self.begin(Access::Write).await?;
        let before = tx.one::<Row>(self.one_delivery(webhook, "d.id", id.0)).await?;
        tx.execute(sql(SQL).bind(self.tenant.0).bind(webhook.0).bind(id.0).bind(now())).await?;
        let row = tx.one::<Row>(self.one_delivery(webhook, "d.id", id.0)).await?;
        let change = Change::new(actor, self.tenant, "retry", "webhook_delivery", id);
        tx.audit(change.before(&before).after(&row)).await?;
        tx.commit().await?;
        self.store.ring(1);
        row.try_into()
    }

    pub(super) async fn delivery_of(
        &self,
        webhook: WebhookId,
        event: EventId,
    ) -> Result<Delivery, StoreError> {
        self.one::<Row>(self.one_delivery(webhook, "d.event_id", event.0)).await?.try_into()
    }

    fn one_delivery(&self, webhook: WebhookId, column: &'static str, id: Uuid) -> Statement {
        composed(format!("{SELECT} {column} = $3")).bind(self.tenant.0).bind(webhook.0).bind(id)
    }
}

#[derive(sqlx::FromRow, Serialize)]
struct Row {
    id: Uuid,
    webhook_id: Uuid,
    event_id: Uuid,
    event_type: String,
    status: String,
    attempts: i64,
    next_attempt_at: DateTime<Utc>,
    last_attempt_at: Option<DateTime<Utc>>,
    response_status: Option<i64>,
    response_ms: Option<i64>,
    problem: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Delivery {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Delivery, StoreError> {
        let status: DeliveryStatus = row.status.parse().map_err(StoreError::corrupt)?;
        Ok(Delivery {
            id: DeliveryId(row.id),
            webhook_id: WebhookId(row.webhook_id),
            event_id: EventId(row.event_id),
            event_type: row.event_type.parse().map_err(StoreError::corrupt)?,
            status,
            attempts: u32::try_from(row.attempts).map_err(StoreError::corrupt)?,
            next_attempt_at: (status == DeliveryStatus::Pending).then_some(row.next_attempt_at),
            last_attempt_at: row.last_attempt_at,
            response_status: row
                .response_status
                .map(u16::try_from)
                .transpose()
                .map_err(StoreError::corrupt)?,
            response_ms: row.response_ms.map(u32::try_from).transpose().map_err(StoreError::corrupt)?,
            problem: row.problem,
            created_at: row.created_at,
        })
    }
}
