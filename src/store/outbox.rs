//! The outbox: an event for webhooks is written in the transaction of its change, so that neither exists without
//! the other, even if the daemon is killed.
//!
//! Delivery is elsewhere.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::statement::{Value, rows, sql};
use super::tx::Tx;
use super::{Store, StoreError, now};
use crate::tenancy::{DeliveryId, EventId, EventType, TenantId};

/// The tenant's webhooks that subscribe to a type of event.
pub(super) const SUBSCRIBERS: &str = "SELECT id FROM webhooks \
    WHERE tenant_id = $1 AND is_active AND deleted_at IS NULL AND events LIKE $2";

pub(super) const INSERT_EVENT: &str = "INSERT INTO webhook_events (id, tenant_id, type, payload, created_at) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING";

pub(super) const INSERT_DELIVERY: &str = "INSERT INTO webhook_deliveries \
    (id, tenant_id, webhook_id, event_id, status, attempts, next_attempt_at, created_at) \
    VALUES ($1, $2, $3, $4, 'pending', 0, $5, $5) ON CONFLICT (webhook_id, event_id) DO NOTHING";

impl Tx {
    /// The tenant's webhooks that subscribe to a type of event.
    pub async fn subscribers(&mut self, tenant: TenantId, kind: EventType) -> Result<Vec<Uuid>, StoreError> {
        let rows = self.all::<(Uuid,)>(sql(SUBSCRIBERS).bind(tenant.0).bind(subscribed(kind))).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Writes an event for the tenant's webhooks, within the transaction of its change. An event with an existing
    /// id is not written again. Returns the number of its deliveries: pass it to [`Store::ring`] after the commit,
    /// so that they are sent at once rather than in the next round.
    pub async fn emit<T: Serialize + Sync>(
        &mut self,
        tenant: TenantId,
        kind: EventType,
        id: EventId,
        data: &T,
    ) -> Result<u64, StoreError> {
        let subscribers = self.subscribers(tenant, kind).await?;
        if subscribers.is_empty() {
            return Ok(0);
        }
        self.post(tenant, kind, id, data, &subscribers).await
    }

    /// Writes an event and its deliveries to these webhooks, unless the event is there already.
    pub async fn post<T: Serialize + Sync>(
        &mut self,
        tenant: TenantId,
        kind: EventType,
        id: EventId,
        data: &T,
        webhooks: &[Uuid],
    ) -> Result<u64, StoreError> {
        let at = now();
        let payload = payload(kind, at, data)?;
        let event = sql(INSERT_EVENT).bind(id.0).bind(tenant.0).bind(kind.as_str()).bind(payload).bind(at);
        if self.execute(event).await? == 0 {
            return Ok(0);
        }
        let mut deliveries = 0;
        for webhook in webhooks {
            let delivery = sql(INSERT_DELIVERY)
                .bind(DeliveryId::new().0)
                .bind(tenant.0)
                .bind(*webhook)
                .bind(id.0)
                .bind(at);
            deliveries += self.execute(delivery).await?;
        }
        Ok(deliveries)
    }
}

/// An event for some of a tenant's webhooks.
pub(super) struct NewEvent {
    pub id: EventId,
    pub tenant: TenantId,
    pub kind: EventType,
    pub payload: String,
    pub webhooks: Vec<Uuid>,
}

impl Tx {
    /// Writes events and their deliveries, except events that are there already, and returns how many deliveries there
    /// are.
    pub async fn post_all(&mut self, events: Vec<NewEvent>) -> Result<u64, StoreError> {
        let at = now();
        let row = |event: &NewEvent| {
            let (kind, payload) = (event.kind.as_str().into(), event.payload.as_str().into());
            vec![event.id.0.into(), event.tenant.0.into(), kind, payload, at.into()]
        };
        let insert = rows(
            "INSERT INTO webhook_events (id, tenant_id, type, payload, created_at) VALUES",
            events.iter().map(row).collect(),
            "ON CONFLICT (id) DO NOTHING RETURNING id",
        );
        let written = self.all_of::<(Uuid,)>(insert).await?;
        let is_written = |event: &&NewEvent| written.contains(&(event.id.0,));
        let deliveries = events.iter().filter(is_written).flat_map(|event| {
            let (id, tenant) = (event.id.0, event.tenant.0);
            let delivery = move |webhook: &Uuid| -> Vec<Value> {
                let (first, none) = (Value::from("pending"), Value::from(0));
                vec![
                    DeliveryId::new().0.into(),
                    tenant.into(),
                    (*webhook).into(),
                    id.into(),
                    first,
                    none,
                    at.into(),
                    at.into(),
                ]
            };
            event.webhooks.iter().map(delivery)
        });
        let insert = rows(
            "INSERT INTO webhook_deliveries \
             (id, tenant_id, webhook_id, event_id, status, attempts, next_attempt_at, created_at) VALUES",
            deliveries.collect(),
            "ON CONFLICT (webhook_id, event_id) DO NOTHING",
        );
        self.execute_all(insert).await
    }
}

impl Store {
    /// Wakes the deliverer if there are deliveries.
    pub(super) fn ring(&self, deliveries: u64) {
        if deliveries > 0 {
            self.bell.notify_one();
        }
    }

    /// Waits until this process has put something into the outbox.
    pub async fn outbox_filled(&self) {
        self.bell.notified().await;
    }
}

/// How `webhooks.events` looks where a type is among them, for LIKE.
pub(super) fn subscribed(kind: EventType) -> String {
    format!("%,{},%", kind.as_str())
}

/// The payload of an event, as Standard Webhooks recommends it.
pub(super) fn payload<T: Serialize>(
    kind: EventType,
    timestamp: DateTime<Utc>,
    data: &T,
) -> Result<String, sqlx::Error> {
    #[derive(Serialize)]
    struct Payload<'a, T> {
        r#type: EventType,
        timestamp: DateTime<Utc>,
        data: &'a T,
    }
    serde_json::to_string(&Payload { r#type: kind, timestamp, data })
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))
}
