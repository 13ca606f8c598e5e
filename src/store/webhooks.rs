//! Webhooks: where a tenant is told of what happens. Their secrets leave the database for the deliverer, and once
//! for their owner.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::{Change, audit};
use super::outbox::post;
use super::pool::{run, transact};
use super::tenants::QUEUE;
use super::{Page, Scope, StoreError, Window, now};
use crate::tenancy::{Actor, Delivery, EventId, EventType, TenantId, Webhook, WebhookId};

/// A webhook to be. It starts out active.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Checked by whoever takes it in: what may be reached is not the database's to know.
    #[schema(examples("https://example.com/hooks/vca"))]
    pub url: String,
    pub events: Vec<EventType>,
}

/// What is to change; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookChanges {
    pub url: Option<String>,
    pub events: Option<Vec<EventType>>,
    /// Off: what is still to be delivered is given up. On: it counts as well again.
    pub is_active: Option<bool>,
}

/// A webhook and the secret that its requests are signed with, which nobody is shown again.
#[derive(Debug)]
pub struct Issued {
    pub webhook: Webhook,
    /// `whsec_` and base64, as libraries for Standard Webhooks take it.
    pub secret: SecretString,
}

/// How many a tenant may have.
const MOST: i64 = 20;
/// For how long requests bear the former secret's signature, too.
const OVERLAP: TimeDelta = TimeDelta::hours(24);

macro_rules! columns {
    () => {
        "id, tenant_id, url, events, is_active, failing_since, created_at"
    };
}

pub(super) const ONE: &str =
    concat!("SELECT ", columns!(), " FROM webhooks WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL");

/// Whoever changes a webhook holds its row before reading what it was. Nobody else, the deliverer included, comes
/// between the two then, and a change of one thing undoes no change of another.
pub(super) const HOLD: &str =
    "UPDATE webhooks SET url = url WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";

/// Gives up what is still to be delivered.
pub(super) const ABANDON: &str = "UPDATE webhook_deliveries SET status = 'failed', problem = $3 \
    WHERE tenant_id = $1 AND webhook_id = $2 AND status = 'pending'";

impl Scope {
    /// # Errors
    /// `Invalid` for no events, for one that cannot be subscribed to, and for one webhook too many; `NotFound`
    /// when the scope's tenant is not there.
    pub async fn create_webhook(&self, actor: &Actor, new: NewWebhook) -> Result<Issued, StoreError> {
        const COUNT: &str = "SELECT COUNT(*) FROM webhooks WHERE tenant_id = $1 AND deleted_at IS NULL";
        const SQL: &str = "INSERT INTO webhooks (id, tenant_id, url, events, secret, is_active, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        self.store.tenant(self.tenant).await?;
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
        let written = transact!(*self, tx => {
            // Two new ones that both counted the same would be one too many.
            sqlx::query(QUEUE).bind(self.tenant.0).execute(&mut *tx).await?;
            let count: i64 = sqlx::query_scalar(COUNT).bind(self.tenant.0).fetch_one(&mut *tx).await?;
            if count < MOST {
                sqlx::query(SQL)
                    .bind(webhook.id.0)
                    .bind(self.tenant.0)
                    .bind(webhook.url.as_str())
                    .bind(text(&webhook.events))
                    .bind(secret.expose_secret())
                    .bind(true)
                    .bind(webhook.created_at)
                    .execute(&mut *tx)
                    .await?;
                let change = Change::new(actor, self.tenant, "create", "webhook", webhook.id);
                audit!(tx, change.after(&webhook));
            }
            count < MOST
        })?;
        if !written {
            return Err(StoreError::invalid(format_args!("a tenant has {MOST} webhooks at most")));
        }
        Ok(Issued { webhook, secret })
    }

    /// The tenant's webhooks, oldest first.
    pub async fn webhooks(&self, window: Window) -> Result<Page<Webhook>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM webhooks WHERE tenant_id = $1 AND deleted_at IS NULL AND id > $2 ORDER BY id LIMIT $3"
        );
        let rows = run!(*self, connection => sqlx::query_as::<_, Row>(SQL)
            .bind(self.tenant.0)
            .bind(window.above())
            .bind(window.rows())
            .fetch_all(connection))?;
        let webhooks: Result<Vec<Webhook>, StoreError> = rows.into_iter().map(Webhook::try_from).collect();
        Ok(window.page(webhooks?, |webhook| webhook.id.0))
    }

    /// # Errors
    /// `NotFound` when the tenant has no such webhook.
    pub async fn webhook(&self, id: WebhookId) -> Result<Webhook, StoreError> {
        let row = run!(*self, connection => sqlx::query_as::<_, Row>(ONE)
            .bind(self.tenant.0)
            .bind(id.0)
            .fetch_one(connection))?;
        row.try_into()
    }

    /// # Errors
    /// `NotFound` when the tenant has no such webhook; `Invalid` as with [`Scope::create_webhook`].
    pub async fn update_webhook(
        &self,
        actor: &Actor,
        id: WebhookId,
        changes: WebhookChanges,
    ) -> Result<Webhook, StoreError> {
        const SQL: &str = concat!(
            "UPDATE webhooks SET url = $3, events = $4, is_active = $5, failing_since = $6 \
             WHERE tenant_id = $1 AND id = $2 RETURNING ",
            columns!()
        );
        let events = changes.events.map(sorted).transpose()?.map(|events| text(&events));
        let row = transact!(*self, tx => {
            sqlx::query(HOLD).bind(self.tenant.0).bind(id.0).execute(&mut *tx).await?;
            let before =
                sqlx::query_as::<_, Row>(ONE).bind(self.tenant.0).bind(id.0).fetch_one(&mut *tx).await?;
            let is_active = changes.is_active.unwrap_or(before.is_active);
            let restarted = is_active && !before.is_active;
            let after = sqlx::query_as::<_, Row>(SQL)
                .bind(self.tenant.0)
                .bind(id.0)
                .bind(changes.url.as_deref().unwrap_or(&before.url))
                .bind(events.as_deref().unwrap_or(&before.events))
                .bind(is_active)
                .bind(before.failing_since.filter(|_| !restarted))
                .fetch_one(&mut *tx)
                .await?;
            if !is_active {
                sqlx::query(ABANDON)
                    .bind(self.tenant.0)
                    .bind(id.0)
                    .bind("the webhook was switched off")
                    .execute(&mut *tx)
                    .await?;
            }
            let change = Change::new(actor, self.tenant, "update", "webhook", id);
            audit!(tx, change.before(&before).after(&after));
            after
        });
        row?.try_into()
    }

    /// Deletes a webhook, and its secrets with it. What is still to be delivered is given up.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such webhook.
    pub async fn delete_webhook(&self, actor: &Actor, id: WebhookId) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE webhooks SET deleted_at = $3, is_active = $4, secret = '', \
            former_secret = NULL, former_secret_until = NULL WHERE tenant_id = $1 AND id = $2";
        transact!(*self, tx => {
            sqlx::query(HOLD).bind(self.tenant.0).bind(id.0).execute(&mut *tx).await?;
            let before =
                sqlx::query_as::<_, Row>(ONE).bind(self.tenant.0).bind(id.0).fetch_one(&mut *tx).await?;
            sqlx::query(SQL)
                .bind(self.tenant.0)
                .bind(id.0)
                .bind(now())
                .bind(false)
                .execute(&mut *tx)
                .await?;
            sqlx::query(ABANDON)
                .bind(self.tenant.0)
                .bind(id.0)
                .bind("the webhook was deleted")
                .execute(&mut *tx)
                .await?;
            audit!(tx, Change::new(actor, self.tenant, "delete", "webhook", id).before(&before));
        })
    }

    /// Gives a webhook a new secret. For a day requests are signed with the former one, too.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such webhook.
    pub async fn rotate_webhook_secret(&self, actor: &Actor, id: WebhookId) -> Result<Issued, StoreError> {
        const SQL: &str = concat!(
            "UPDATE webhooks SET former_secret = secret, former_secret_until = $3, secret = $4 \
             WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING ",
            columns!()
        );
        let secret = mint()?;
        let row = transact!(*self, tx => {
            let row = sqlx::query_as::<_, Row>(SQL)
                .bind(self.tenant.0)
                .bind(id.0)
                .bind(now() + OVERLAP)
                .bind(secret.expose_secret())
                .fetch_one(&mut *tx)
                .await?;
            audit!(tx, Change::new(actor, self.tenant, "rotate_secret", "webhook", id));
            row
        });
        Ok(Issued { webhook: row?.try_into()?, secret })
    }

    /// Sends a webhook a test event, whatever it subscribes to. The delivery log tells how that went.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such webhook, `Invalid` when it is switched off.
    pub async fn ping_webhook(&self, actor: &Actor, id: WebhookId) -> Result<Delivery, StoreError> {
        if !self.webhook(id).await?.is_active {
            return Err(StoreError::invalid("the webhook is switched off: switch it on first"));
        }
        let event = EventId::new();
        let deliveries = transact!(*self, tx => {
            let data = json!({ "webhook_id": id });
            let deliveries = post!(tx, self.tenant, EventType::Ping, event, data, [id.0]);
            audit!(tx, Change::new(actor, self.tenant, "ping", "webhook", id));
            deliveries
        })?;
        self.store.ring(deliveries);
        self.delivery_of(id, event).await
    }
}

/// What a webhook subscribes to, each once, in the order of the list of all.
fn sorted(events: Vec<EventType>) -> Result<Vec<EventType>, StoreError> {
    if events.contains(&EventType::Ping) {
        return Err(StoreError::invalid("nobody subscribes to ping: it goes to the webhook that is tested"));
    }
    if events.is_empty() {
        return Err(StoreError::invalid("a webhook subscribes to one type of event or more"));
    }
    Ok(EventType::ALL.iter().copied().filter(|kind| events.contains(kind)).collect())
}

fn text(events: &[EventType]) -> String {
    events.iter().fold(",".to_owned(), |text, kind| text + kind.word() + ",")
}

/// 256 random bits; Standard Webhooks asks for 192 to 512.
fn mint() -> Result<SecretString, StoreError> {
    let mut random = [0; 32];
    OsRng
        .try_fill_bytes(&mut random)
        .map_err(|error| StoreError::Other(format!("no randomness: {error}")))?;
    Ok(SecretString::from(format!("whsec_{}", STANDARD.encode(random))))
}

/// Serialised for the audit log: it holds no secret.
#[derive(sqlx::FromRow, Serialize)]
pub(super) struct Row {
    pub id: Uuid,
    tenant_id: Uuid,
    url: String,
    #[serde(serialize_with = "listed")]
    events: String,
    pub is_active: bool,
    pub failing_since: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
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
