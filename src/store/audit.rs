//! The audit log: who changed what, from what to what. A change and its entry are one transaction.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::statement::{Statement, composed};
use super::tx::{AllTenants, RowScope, Tx};
use super::{Page, Scope, Store, StoreError, Window, now};
use crate::tenancy::{Actor, KeyId, TenantId};

/// An entry to be.
pub(super) struct Change {
    pub id: Uuid,
    pub tenant: Option<TenantId>,
    pub at: DateTime<Utc>,
    pub actor: Actor,
    pub action: &'static str,
    pub resource: &'static str,
    pub resource_id: String,
    pub before: Option<String>,
    pub after: Option<String>,
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

    /// What it was. Never give it a secret.
    pub fn before<T: Serialize>(mut self, value: &T) -> Change {
        self.before = serde_json::to_string(value).ok();
        self
    }

    /// What it became. Never give it a secret.
    pub fn after<T: Serialize>(mut self, value: &T) -> Change {
        self.after = serde_json::to_string(value).ok();
        self
    }
}

const COLUMNS: &str = "id, tenant_id, at, actor, actor_key_id, address, request_id, action, resource, resource_id, before, after";

pub(super) const INSERT: &str = "INSERT INTO audit_log \
    (id, tenant_id, at, actor, actor_key_id, address, request_id, action, resource, resource_id, before, after) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// Writes an entry within the transaction of the change.
macro_rules! audit {
    ($tx:ident, $change:expr) => {{
        let change: $crate::store::audit::Change = $change;
        sqlx::query($crate::store::audit::INSERT)
            .bind(change.id)
            .bind(change.tenant.map(|tenant| tenant.0))
            .bind(change.at)
            .bind(change.actor.name)
            .bind(change.actor.key.map(|key| key.0))
            .bind(change.actor.address.map(|address| address.to_string()))
            .bind(change.actor.request)
            .bind(change.action)
            .bind(change.resource)
            .bind(change.resource_id)
            .bind(change.before)
            .bind(change.after)
            .execute(&mut *$tx)
            .await?;
    }};
}

pub(super) use audit;

impl Tx {
    /// Writes an entry within the transaction of its change.
    pub async fn audit(&mut self, change: Change) -> Result<(), StoreError> {
        let entry = super::statement::sql(INSERT)
            .bind(change.id)
            .bind(change.tenant.map(|tenant| tenant.0))
            .bind(change.at)
            .bind(change.actor.name)
            .bind(change.actor.key.map(|key| key.0))
            .bind(change.actor.address.map(|address| address.to_string()))
            .bind(change.actor.request)
            .bind(change.action)
            .bind(change.resource)
            .bind(change.resource_id)
            .bind(change.before)
            .bind(change.after);
        self.execute(entry).await.map(drop)
    }
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

/// Which entries are wanted; what is absent does not matter.
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
