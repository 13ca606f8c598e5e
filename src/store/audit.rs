//! The audit log: who changed what, from what to what. A change and its entry are one transaction.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::page::first_id_at;
use super::statement::{Statement, composed, sql};
use super::tx::{AllTenants, RowScope, Tx};
use super::{Page, Scope, Store, StoreError, Window, now};
use crate::tenancy::{Actor, KeyId, TenantId};

/// An entry to write.
pub(super) struct Change {
    pub id: Uuid,
    pub tenant: Option<TenantId>,
    pub at: DateTime<Utc>,
    pub actor: Actor,
    pub action: &'static str,
    pub resource: &'static str,
    pub resource_id: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Change {
    /// `action` is what was done, such as `create`; `resource` the kind of thing, such as `phone_number`.
    pub fn new(
        actor: &Actor,
        tenant: impl Into<Option<TenantId>>,
        action: &'static str,
        resource: &'static str,
        resource_id: impl ToString,
    ) -> Change {
        Change {
            id: Uuid::now_v7(),
            tenant: tenant.into(),
            at: now(),
            actor: actor.clone(),
            action,
            resource,
            resource_id: resource_id.to_string(),
            before: None,
            after: None,
        }
    }

    /// The state before the change. Never pass a secret.
    pub fn before<T: Serialize>(mut self, value: &T) -> Change {
        self.before = serde_json::to_value(value).ok();
        self
    }

    /// The state after the change. Never pass a secret.
    pub fn after<T: Serialize>(mut self, value: &T) -> Change {
        self.after = serde_json::to_value(value).ok();
        self
    }
}

const COLUMNS: &str = "id, tenant_id, at, actor, actor_key_id, address, request_id, action, resource, resource_id, before, after";

const INSERT: &str = "INSERT INTO audit_log \
    (id, tenant_id, at, actor, actor_key_id, address, request_id, action, resource, resource_id, before, after) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

impl Change {
    pub(super) fn insert(self) -> Statement {
        let (before, after) = recorded(self.before, self.after);
        sql(INSERT)
            .bind(self.id)
            .bind(self.tenant.map(|tenant| tenant.0))
            .bind(self.at)
            .bind(self.actor.name)
            .bind(self.actor.key.map(|key| key.0))
            .bind(self.actor.address.map(|address| address.to_string()))
            .bind(self.actor.request)
            .bind(self.action)
            .bind(self.resource)
            .bind(self.resource_id)
            .bind(before)
            .bind(after)
    }
}

impl Tx {
    /// Writes an entry within the transaction of its change.
    ///
    /// # Errors
    /// `LimitReached` when the tenant's own keys have made as many changes within a day as they may; `Refused` when the
    /// request has an `Idempotency-Key` and lost its lease.
    pub async fn audit(&mut self, change: Change) -> Result<(), StoreError> {
        if let Some(tenant) = change.actor.tenant {
            self.admit("changes_per_day", self.limits.changes_per_day.into(), changes_of_a_day(tenant))
                .await?;
        }
        if let Some(attempt) = change.actor.attempt {
            self.record_attempt(attempt, change.resource, &change.resource_id).await?;
        }
        self.execute(change.insert()).await.map(drop)
    }

    /// Writes an entry that no limit holds back: of a read, or of a change by which a tenant protects itself.
    pub async fn audit_always(&mut self, change: Change) -> Result<(), StoreError> {
        self.execute(change.insert()).await.map(drop)
    }
}

/// Counts the changes that a tenant's own keys have made within 24 hours. Reads are no changes.
fn changes_of_a_day(tenant: TenantId) -> Statement {
    const SQL: &str = "SELECT COUNT(*) FROM audit_log WHERE tenant_id = $1 AND id > $2 \
        AND actor_key_id IN (SELECT id FROM api_keys WHERE tenant_id = $1) \
        AND action NOT IN ('read_transcript', 'watch', 'listen', 'say', 'add_note', \
        'mute', 'unmute', 'transfer', 'cancel_transfer', 'hang_up', 'export', 'revoke')";
    sql(SQL).bind(tenant.0).bind(first_id_at(now() - TimeDelta::hours(24)))
}

/// A text that is longer is recorded by its length and hash. Bytes.
const LONGEST_TEXT: usize = 2_048;
/// Before and after are each recorded by length and hash when they are longer than this together. Bytes.
const LONGEST_VALUE: usize = 16 * 1_024;

/// Before and after as they are recorded: of a changed object only the fields that differ, and long texts by their length
/// and hash, so that an entry stays small however large the resource is.
fn recorded(before: Option<Value>, after: Option<Value>) -> (Option<String>, Option<String>) {
    let (before, after) = match (before, after) {
        (Some(mut before), Some(mut after)) => {
            drop_equal(&mut before, &mut after);
            (Some(before), Some(after))
        }
        one => one,
    };
    (before.map(recorded_value), after.map(recorded_value))
}

/// Takes out of both objects the fields that they have in common.
fn drop_equal(before: &mut Value, after: &mut Value) {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return };
    let equal: Vec<String> = before
        .iter()
        .filter(|(name, value)| after.get(*name) == Some(value))
        .map(|(name, _)| name.clone())
        .collect();
    for name in equal {
        before.remove(&name);
        after.remove(&name);
    }
    for (name, value) in before {
        if let Some(other) = after.get_mut(name) {
            drop_equal(value, other);
        }
    }
}

fn recorded_value(mut value: Value) -> String {
    shorten(&mut value);
    let text = value.to_string();
    if text.len() <= LONGEST_VALUE { text } else { digest(&text).to_string() }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > LONGEST_TEXT => *value = digest(text),
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// Stands for a text that is too long to be recorded.
fn digest(text: &str) -> Value {
    let hash = Sha256::digest(text.as_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "bytes": text.len(), "sha256": hash })
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    pub id: Uuid,
    pub tenant_id: Option<TenantId>,
    pub at: DateTime<Utc>,
    /// Who made the change, such as `cli root` or `key front-office (vca_1a2b3c4d)`.
    pub actor: String,
    pub actor_key_id: Option<KeyId>,
    /// Address of the client; `null` for the CLI and for the daemon itself.
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// Such as `create`, `update` or `revoke`.
    pub action: String,
    /// Type of the resource, such as `phone_number`.
    pub resource: String,
    pub resource_id: String,
    /// The resource before the change.
    pub before: Option<Value>,
    /// The resource after the change.
    pub after: Option<Value>,
}

/// A filter of entries; an absent field matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub resource: Option<String>,
    pub resource_id: Option<String>,
    pub action: Option<String>,
    /// A part of the actor's name, such as a user or the prefix of a key; upper and lower case are the same.
    pub actor: Option<String>,
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

impl AuditFilter {
    /// The part of a name as a pattern of SQL's LIKE.
    fn actor_pattern(&self) -> Option<String> {
        let part = self.actor.as_deref()?.to_lowercase();
        let escaped: String = part
            .chars()
            .flat_map(|c| matches!(c, '%' | '_' | '!').then_some('!').into_iter().chain([c]))
            .collect();
        Some(format!("%{escaped}%"))
    }
}

/// A page of the entries that a filter lets through; with a tenant, of its entries only.
fn select(tenant: Option<TenantId>, filter: &AuditFilter, window: Window) -> Statement {
    let owned = if tenant.is_some() { "tenant_id = $9 AND" } else { "" };
    let select = composed(format!(
        "SELECT {COLUMNS} FROM audit_log WHERE {owned} \
         (resource = $1 OR $1 IS NULL) AND (resource_id = $2 OR $2 IS NULL) \
         AND (action = $3 OR $3 IS NULL) AND (LOWER(actor) LIKE $4 ESCAPE '!' OR $4 IS NULL) \
         AND (at >= $5 OR $5 IS NULL) AND (at < $6 OR $6 IS NULL) AND id < $7 ORDER BY id DESC LIMIT $8"
    ));
    let select = select
        .bind(filter.resource.as_deref())
        .bind(filter.resource_id.as_deref())
        .bind(filter.action.as_deref())
        .bind(filter.actor_pattern())
        .bind(filter.from)
        .bind(filter.to)
        .bind(window.below())
        .bind(window.rows());
    match tenant {
        Some(tenant) => select.bind(tenant.0),
        None => select,
    }
}

impl Scope {
    /// The tenant's changes, newest first.
    pub async fn audit(&self, filter: &AuditFilter, window: Window) -> Result<Page<AuditEntry>, StoreError> {
        entries(self.all(select(Some(self.tenant), filter, window)).await?, window)
    }
}

impl Store {
    /// The changes of all tenants and of the operator's own resources, newest first.
    pub async fn audit(&self, filter: &AuditFilter, window: Window) -> Result<Page<AuditEntry>, StoreError> {
        entries(AllTenants(self).all(select(None, filter, window)).await?, window)
    }
}

fn entries(rows: Vec<Row>, window: Window) -> Result<Page<AuditEntry>, StoreError> {
    let entries: Result<Vec<AuditEntry>, StoreError> = rows.into_iter().map(AuditEntry::try_from).collect();
    Ok(window.page(entries?, |entry| entry.id))
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    tenant_id: Option<Uuid>,
    at: DateTime<Utc>,
    actor: String,
    actor_key_id: Option<Uuid>,
    address: Option<String>,
    request_id: Option<String>,
    action: String,
    resource: String,
    resource_id: String,
    before: Option<String>,
    after: Option<String>,
}

impl TryFrom<Row> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<AuditEntry, StoreError> {
        let value = |text: Option<String>| text.map(|text| serde_json::from_str(&text)).transpose();
        Ok(AuditEntry {
            id: row.id,
            tenant_id: row.tenant_id.map(TenantId),
            at: row.at,
            actor: row.actor,
            actor_key_id: row.actor_key_id.map(KeyId),
            address: row.address,
            request_id: row.request_id,
            action: row.action,
            resource: row.resource,
            resource_id: row.resource_id,
            before: value(row.before).map_err(StoreError::corrupt)?,
            after: value(row.after).map_err(StoreError::corrupt)?,
        })
    }
}
