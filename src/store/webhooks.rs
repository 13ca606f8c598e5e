//! Webhooks: subscriptions of tenants' receivers. Their secrets are read by the deliverer, and shown once to their
//! owner.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, Type};
use uuid::Uuid;

use super::audit::Change;
use super::statement::{Statement, composed, sql};
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::{Page, Scope, Store, StoreError, Window, now};
use crate::tenancy::{Actor, Delivery, EventId, EventType, TenantId, Webhook, WebhookId, given};

/// A new webhook. It starts as active.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateWebhookRequest)]
pub struct NewWebhook {
    /// An `https` URL on a public address, without user and password.
    #[schema(max_length = 2000, pattern = "^https?://", examples("https://example.com/hooks/vca"))]
    pub url: String,
    /// One or more event types. `ping` cannot be subscribed to.
    #[schema(schema_with = subscribable)]
    pub events: Vec<EventType>,
}

/// Changes of a webhook. An absent field stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateWebhookRequest)]
pub struct WebhookChanges {
    /// An `https` URL on a public address, without user and password.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_length = 2000, pattern = "^https?://")]
    pub url: Option<String>,
    /// One or more event types. `ping` cannot be subscribed to.
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = subscribable, required = false)]
    pub events: Option<Vec<EventType>>,
    /// `false`: pending deliveries are given up. `true`: the count of failures starts again.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub is_active: Option<bool>,
}

/// A webhook and the secret that signs its requests, which cannot be shown again.
#[derive(Debug)]
pub struct WebhookWithSecret {
    pub webhook: Webhook,
    /// `whsec_` and base64, as libraries for Standard Webhooks take it.
    pub secret: SecretString,
}

/// `data` of `ping`.
#[derive(Serialize, ToSchema)]
#[schema(as = PingEventData)]
pub struct PingData {
    webhook_id: WebhookId,
}

/// The types of events that a webhook can subscribe to.
fn subscribable() -> Array {
    let words = EventType::ALL.iter().filter(|kind| **kind != EventType::Ping).map(|kind| kind.as_str());
    ArrayBuilder::new()
        .items(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)))
        .min_items(Some(1))
        .max_items(Some(100))
        .description(Some("One or more event types. `ping` cannot be subscribed to."))
        .build()
}

/// For how long requests bear the former secret's signature, too.
pub(super) const OVERLAP: TimeDelta = TimeDelta::hours(24);

const COLUMNS: &str = "id, tenant_id, url, events, is_active, failing_since, created_at";

impl Tx {
    /// Locks a webhook's row until the commit and reads it. A change of one field then overwrites no concurrent change of
    /// another, whether by the owner or by the deliverer. `None` when there is no such webhook.
    pub(super) async fn lock_webhook(
        &mut self,
        tenant: TenantId,
        id: WebhookId,
    ) -> Result<Option<Row>, StoreError> {
        let lock = "UPDATE webhooks SET url = url WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";
        let lock = format!("{lock} RETURNING {COLUMNS}");
        self.optional(composed(lock).bind(tenant.0).bind(id.0)).await
    }

    /// Gives up a webhook's pending deliveries.
    pub(super) async fn abandon_deliveries(
        &mut self,
        tenant: TenantId,
        id: WebhookId,
        problem: &str,
    ) -> Result<u64, StoreError> {
        const SQL: &str = "UPDATE webhook_deliveries SET status = 'failed', problem = $3 \
            WHERE tenant_id = $1 AND webhook_id = $2 AND status = 'pending'";
        self.execute(sql(SQL).bind(tenant.0).bind(id.0).bind(problem)).await
    }
}

impl Store {
    /// The tenant of a webhook.
    ///
    /// # Errors
    /// `NotFound` when there is no such webhook.
    pub async fn tenant_of_webhook(&self, id: WebhookId) -> Result<TenantId, StoreError> {
        const SQL: &str = "SELECT tenant_id FROM webhooks WHERE id = $1 AND deleted_at IS NULL";
        let (tenant,) = AllTenants(self).one::<(Uuid,)>(sql(SQL).bind(id.0)).await?;
        Ok(TenantId(tenant))
    }
}

impl Scope {
    /// # Errors
    /// `Invalid` for no events and for one that cannot be subscribed to; `LimitReached` for one webhook too many;
    /// `NotFound` when the scope's tenant does not exist.
    pub async fn create_webhook(
        &self,
        actor: &Actor,
        new: NewWebhook,
    ) -> Result<WebhookWithSecret, StoreError> {
        let webhook = Webhook {
            id: WebhookId::new(),
            tenant_id: self.tenant,
            url: new.url,
            events: sorted(new.events)?,
            is_active: true,
            failing_since: None,
            created_at: now(),
        };
        let secret = mint()?;
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        tx.admit("webhooks", tx.limits.webhooks.into(), sql(COUNT).bind(self.tenant.0)).await?;
        let sealed = self.store.seal_webhook_secret(self.tenant.0, webhook.id.0, &secret)?;
        tx.execute(insert(&webhook, &sealed)).await?;
        tx.audit(Change::new(actor, self.tenant, "create", "webhook", webhook.id).after(&webhook)).await?;
        tx.commit().await?;
        Ok(WebhookWithSecret { webhook, secret })
    }

    /// The tenant's webhooks, oldest first.
    pub async fn webhooks(&self, window: Window) -> Result<Page<Webhook>, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS} FROM webhooks \
             WHERE tenant_id = $1 AND deleted_at IS NULL AND id > $2 ORDER BY id LIMIT $3"
        ));
        let rows =
            self.all::<Row>(select.bind(self.tenant.0).bind(window.above()).bind(window.rows())).await?;
        let webhooks: Result<Vec<Webhook>, StoreError> = rows.into_iter().map(Webhook::try_from).collect();
        Ok(window.page(webhooks?, |webhook| webhook.id.0))
    }

    /// # Errors
    /// `NotFound` when the tenant has no such webhook.
    pub async fn webhook(&self, id: WebhookId) -> Result<Webhook, StoreError> {
        let select =
            format!("SELECT {COLUMNS} FROM webhooks WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL");
        self.one::<Row>(composed(select).bind(self.tenant.0).bind(id.0)).await?.try_into()
    }

    /// # Errors
    /// `NotFound` when the tenant has no such webhook; `Invalid` as with [`Scope::create_webhook`].
    pub async fn update_webhook(
        &self,
        actor: &Actor,
        id: WebhookId,
        changes: WebhookChanges,
    ) -> Result<Webhook, StoreError> {
        self.update_webhook_if(actor, id, |_| Ok(changes)).await
    }

    /// Decides the changes by the present row, within their transaction.
    ///
    /// # Errors
    /// `NotFound` when there is no such webhook; those of `decide`.
    pub async fn update_webhook_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: WebhookId,
        decide: impl FnOnce(&Webhook) -> Result<WebhookChanges, E>,
    ) -> Result<Webhook, E> {
        let mut tx = self.begin(Access::Write).await?;
        let before = tx.lock_webhook(self.tenant, id).await?.ok_or(StoreError::NotFound)?;
        let changes = decide(&before.clone().try_into()?)?;
        let events = changes.events.clone().map(sorted).transpose()?.map(|events| text(&events));
        let after = tx.one::<Row>(before.update(&changes, events.as_deref())).await?;
        if !after.is_active {
            tx.abandon_deliveries(self.tenant, id, "the webhook was switched off").await?;
        }
        let change = Change::new(actor, self.tenant, "update", "webhook", id);
        tx.audit(change.before(&before).after(&after)).await?;
        tx.commit().await?;
        Ok(after.try_into()?)
    }

    /// Deletes a webhook and its secrets. Pending deliveries are given up.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such webhook.
    pub async fn delete_webhook(&self, actor: &Actor, id: WebhookId) -> Result<(), StoreError> {
        self.delete_webhook_if(actor, id, |_| Ok(())).await
    }

    /// Deletes a webhook if `decide` does not refuse.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such webhook; those of `decide`.
    pub async fn delete_webhook_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: WebhookId,
        decide: impl FnOnce(&Webhook) -> Result<(), E>,
    ) -> Result<(), E> {
        const SQL: &str = "UPDATE webhooks SET deleted_at = $3, is_active = FALSE, secret = '', \
            former_secret = NULL, former_secret_until = NULL WHERE tenant_id = $1 AND id = $2";
        let mut tx = self.begin(Access::Write).await?;
        let before = tx.lock_webhook(self.tenant, id).await?.ok_or(StoreError::NotFound)?;
        decide(&before.clone().try_into()?)?;
        tx.execute(sql(SQL).bind(self.tenant.0).bind(id.0).bind(now())).await?;
        tx.abandon_deliveries(self.tenant, id, "the webhook was deleted").await?;
        tx.audit(Change::new(actor, self.tenant, "delete", "webhook", id).before(&before)).await?;
        Ok(tx.commit().await?)
    }

    /// Gives a webhook a new secret. For a day requests are signed with the former one, too.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such webhook.
    pub async fn rotate_webhook_secret(
        &self,
        actor: &Actor,
        id: WebhookId,
    ) -> Result<WebhookWithSecret, StoreError> {
        let update = composed(format!(
            "UPDATE webhooks SET former_secret = secret, former_secret_until = $3, secret = $4 \
             WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING {COLUMNS}"
        ));
        let secret = mint()?;
        let sealed = self.store.seal_webhook_secret(self.tenant.0, id.0, &secret)?;
        let update = update.bind(self.tenant.0).bind(id.0).bind(now() + OVERLAP).bind(sealed);
        let mut tx = self.begin(Access::Write).await?;
        let row = tx.one::<Row>(update).await?;
        tx.audit(Change::new(actor, self.tenant, "rotate_secret", "webhook", id)).await?;
        tx.commit().await?;
        Ok(WebhookWithSecret { webhook: row.try_into()?, secret })
    }

    /// Sends a test event to a webhook, regardless of its subscription. The delivery log has the result.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such webhook, `Invalid` when it is disabled.
    pub async fn ping_webhook(&self, actor: &Actor, id: WebhookId) -> Result<Delivery, StoreError> {
        if !self.webhook(id).await?.is_active {
            return Err(StoreError::invalid("the webhook is switched off: switch it on first"));
        }
        let event = EventId::new();
        let mut tx = self.begin(Access::Write).await?;
        let data = PingData { webhook_id: id };
        let deliveries = tx.post(self.tenant, EventType::Ping, event, &data, &[id.0]).await?;
        tx.audit(Change::new(actor, self.tenant, "ping", "webhook", id)).await?;
        tx.commit().await?;
        self.store.ring(deliveries);
        self.delivery_of(id, event).await
    }
}

const COUNT: &str = "SELECT COUNT(*) FROM webhooks WHERE tenant_id = $1 AND deleted_at IS NULL";

fn insert(webhook: &Webhook, sealed: &str) -> Statement {
    const SQL: &str = "INSERT INTO webhooks (id, tenant_id, url, events, secret, is_active, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sql(SQL)
        .bind(webhook.id.0)
        .bind(webhook.tenant_id.0)
        .bind(webhook.url.as_str())
        .bind(text(&webhook.events))
        .bind(sealed)
        .bind(webhook.is_active)
        .bind(webhook.created_at)
}

/// The event types of a webhook, each once, in their standard order.
fn sorted(events: Vec<EventType>) -> Result<Vec<EventType>, StoreError> {
    if events.contains(&EventType::Ping) {
        return Err(StoreError::invalid(
            "ping cannot be subscribed to: it is sent to the webhook that is tested",
        ));
    }
    if events.is_empty() {
        return Err(StoreError::invalid("a webhook subscribes to one type of event or more"));
    }
    Ok(EventType::ALL.iter().copied().filter(|kind| events.contains(kind)).collect())
}

fn text(events: &[EventType]) -> String {
    events.iter().fold(",".to_owned(), |text, kind| text + kind.as_str() + ",")
}

/// 256 random bits; Standard Webhooks asks for 192 to 512.
pub(super) fn mint() -> Result<SecretString, StoreError> {
    let mut random = [0; 32];
    OsRng
        .try_fill_bytes(&mut random)
        .map_err(|error| StoreError::Other(format!("no randomness: {error}")))?;
    Ok(SecretString::from(format!("whsec_{}", STANDARD.encode(random))))
}

/// Serialised for the audit log: it holds no secret.
#[derive(Clone, sqlx::FromRow, Serialize)]
pub(super) struct Row {
    pub id: Uuid,
    pub tenant_id: Uuid,
    url: String,
    #[serde(serialize_with = "listed")]
    events: String,
    pub is_active: bool,
    pub failing_since: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl Row {
    fn update(&self, changes: &WebhookChanges, events: Option<&str>) -> Statement {
        let is_active = changes.is_active.unwrap_or(self.is_active);
        let is_restarted = is_active && !self.is_active;
        composed(format!(
            "UPDATE webhooks SET url = $3, events = $4, is_active = $5, failing_since = $6 \
             WHERE tenant_id = $1 AND id = $2 RETURNING {COLUMNS}"
        ))
        .bind(self.tenant_id)
        .bind(self.id)
        .bind(changes.url.as_deref().unwrap_or(&self.url))
        .bind(events.unwrap_or(&self.events))
        .bind(is_active)
        .bind(self.failing_since.filter(|_| !is_restarted))
    }
}

fn listed<S: Serializer>(events: &str, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(words(events))
}

fn words(events: &str) -> impl Iterator<Item = &str> {
    events.split(',').filter(|word| !word.is_empty())
}

impl TryFrom<Row> for Webhook {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Webhook, StoreError> {
        let events: Result<Vec<EventType>, _> = words(&row.events).map(str::parse).collect();
        Ok(Webhook {
            id: WebhookId(row.id),
            tenant_id: TenantId(row.tenant_id),
            events: events.map_err(StoreError::corrupt)?,
            url: row.url,
            is_active: row.is_active,
            failing_since: row.failing_since,
            created_at: row.created_at,
        })
    }
}
