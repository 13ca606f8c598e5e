//! Tenants: the operator's table, and the only one that is not reached through a scope.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::Change;
use super::statement::{Statement, composed, sql};
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::{Page, Store, StoreError, Window, now};
use crate::tenancy::{Actor, Plan, Tenant, TenantId, TenantStatus};

/// A new tenant. It starts as `active`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateTenantRequest)]
pub struct NewTenant {
    /// 1 to 200 characters, not only blanks.
    #[schema(
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*([^\s\x00-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x1f\x7f-\x9f]*$",
        examples("Bakery Huber")
    )]
    pub name: String,
    pub plan: Plan,
    /// Highest number of concurrent calls. Default: the plan's limit, or the daemon's.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 4294967295_i64)]
    pub max_concurrent_calls: Option<u32>,
}

/// Changes of a tenant; an absent field is unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantChanges {
    pub name: Option<String>,
    pub status: Option<TenantStatus>,
    pub plan: Option<Plan>,
    /// `Some(None)` goes back to the daemon's default. (In JSON: `null`.)
    #[serde(deserialize_with = "present")]
    pub max_concurrent_calls: Option<Option<u32>>,
}

const COLUMNS: &str = "id, name, status, plan, max_concurrent_calls, created_at";

impl Tx {
    /// Locks a tenant's row until the commit, so that changes of one tenant follow each other: two transactions that both
    /// counted its webhooks, or both read its default profile, would otherwise both write.
    ///
    /// # Errors
    /// `NotFound` when there is no such tenant, `Refused` (`tenant_deleted`) when it is deleted: nothing is added to it any
    /// more.
    pub async fn lock_tenant(&mut self, id: TenantId) -> Result<(), StoreError> {
        let status = self.lock_tenant_row(id).await?;
        if status == TenantStatus::Deleted.as_str() { Err(StoreError::tenant_deleted()) } else { Ok(()) }
    }

    /// Locks a tenant's row, in any status, until the commit, and returns the status.
    ///
    /// # Errors
    /// `NotFound` when there is no such tenant.
    pub(super) async fn lock_tenant_row(&mut self, id: TenantId) -> Result<String, StoreError> {
        let lock = sql("UPDATE tenants SET name = name WHERE id = $1 RETURNING status").bind(id.0);
        let (status,) = self.one::<(String,)>(lock).await?;
        Ok(status)
    }

    pub(super) async fn tenant(&mut self, id: TenantId) -> Result<Tenant, StoreError> {
        self.one::<Row>(one(id)).await?.try_into()
    }
}

/// A filter of tenants; an absent field matches all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantFilter {
    pub status: Option<TenantStatus>,
    pub plan: Option<Plan>,
}

impl Store {
    /// # Errors
    /// `Invalid` for an empty name.
    pub async fn create_tenant(&self, actor: &Actor, new: NewTenant) -> Result<Tenant, StoreError> {
        let tenant = Tenant {
            id: TenantId::new(),
            name: new.name,
            status: TenantStatus::Active,
            plan: new.plan,
            max_concurrent_calls: new.max_concurrent_calls,
            created_at: now(),
        };
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        let insert = composed(format!("INSERT INTO tenants ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)"));
        tx.execute(
            insert
                .bind(tenant.id.0)
                .bind(tenant.name.as_str())
                .bind(tenant.status.as_str())
                .bind(tenant.plan.as_str())
                .bind(tenant.max_concurrent_calls.map(i64::from))
                .bind(tenant.created_at),
        )
        .await?;
        tx.audit(Change::new(actor, tenant.id, "create", "tenant", tenant.id).after(&tenant)).await?;
        tx.commit().await?;
        Ok(tenant)
    }

    /// All tenants, oldest first; the deleted ones too.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let rows = self.all::<Row>(composed(format!("SELECT {COLUMNS} FROM tenants ORDER BY id"))).await?;
        rows.into_iter().map(Tenant::try_from).collect()
    }

    /// A page of them, oldest first.
    pub async fn tenants_page(
        &self,
        filter: TenantFilter,
        window: Window,
    ) -> Result<Page<Tenant>, StoreError> {
        let select = composed(format!(
            "SELECT {COLUMNS} FROM tenants WHERE id > $1 AND (status = $2 OR $2 IS NULL) \
             AND (plan = $3 OR $3 IS NULL) ORDER BY id LIMIT $4"
        ));
        let select = select
            .bind(window.above())
            .bind(filter.status.map(TenantStatus::as_str))
            .bind(filter.plan.map(Plan::as_str))
            .bind(window.rows());
        let rows = self.all::<Row>(select).await?;
        let tenants: Result<Vec<Tenant>, StoreError> = rows.into_iter().map(Tenant::try_from).collect();
        Ok(window.page(tenants?, |tenant| tenant.id.0))
    }

    /// # Errors
    /// `NotFound` when there is no such tenant.
    pub async fn tenant(&self, id: TenantId) -> Result<Tenant, StoreError> {
        self.one::<Row>(one(id)).await?.try_into()
    }

    /// # Errors
    /// `NotFound` when there is no such tenant, `Invalid` for an empty name and for the status `deleted`, which
    /// [`Store::delete_tenant`] sets; `Refused` when the tenant is deleted, which is final.
    pub async fn update_tenant(
        &self,
        actor: &Actor,
        id: TenantId,
        changes: TenantChanges,
    ) -> Result<Tenant, StoreError> {
        self.update_tenant_if(actor, id, |_| Ok(changes)).await
    }

    /// Decides the changes by the present row, within their transaction.
    ///
    /// # Errors
    /// `NotFound` when there is no such tenant; those of `decide`.
    pub async fn update_tenant_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: TenantId,
        decide: impl FnOnce(&Tenant) -> Result<TenantChanges, E>,
    ) -> Result<Tenant, E> {
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        tx.lock_tenant(id).await?;
        let before = tx.one::<Row>(one(id)).await?;
        let changes = decide(&before.clone().try_into()?)?;
        if changes.status == Some(TenantStatus::Deleted) {
            return Err(StoreError::invalid("a tenant is deleted by an operation of its own").into());
        }
        let after = tx.one::<Row>(changes.update(id)).await?;
        tx.audit(Change::new(actor, id, "update", "tenant", id).before(&before).after(&after)).await?;
        tx.commit().await?;
        Ok(after.try_into()?)
    }
}

impl TenantChanges {
    fn update(&self, id: TenantId) -> Statement {
        let limit = self.max_concurrent_calls;
        composed(format!(
            "UPDATE tenants SET name = COALESCE($2, name), status = COALESCE($3, status), \
             plan = COALESCE($4, plan), \
             max_concurrent_calls = CASE WHEN $5 THEN $6 ELSE max_concurrent_calls END \
             WHERE id = $1 RETURNING {COLUMNS}"
        ))
        .bind(id.0)
        .bind(self.name.as_deref())
        .bind(self.status.map(TenantStatus::as_str))
        .bind(self.plan.map(Plan::as_str))
        .bind(limit.is_some())
        .bind(limit.flatten().map(i64::from))
    }
}

impl StoreError {
    /// A deleted tenant stays as it is.
    pub fn tenant_deleted() -> StoreError {
        StoreError::refused("tenant_deleted", "the tenant is deleted, which is final: create a new one")
    }
}

fn one(id: TenantId) -> Statement {
    composed(format!("SELECT {COLUMNS} FROM tenants WHERE id = $1")).bind(id.0)
}

/// Serialised for the audit log, where it reads like the tenant it is.
#[derive(Clone, sqlx::FromRow, Serialize)]
pub(super) struct Row {
    pub id: Uuid,
    pub name: String,
    pub status: String,
    pub plan: String,
    pub max_concurrent_calls: Option<i64>,
    pub created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Tenant {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Tenant, StoreError> {
        Ok(Tenant {
            id: TenantId(row.id),
            name: row.name,
            status: row.status.parse().map_err(StoreError::corrupt)?,
            plan: row.plan.parse().map_err(StoreError::corrupt)?,
            max_concurrent_calls: row
                .max_concurrent_calls
                .map(u32::try_from)
                .transpose()
                .map_err(StoreError::corrupt)?,
            created_at: row.created_at,
        })
    }
}

/// Tells a key that is `null` from one that is absent.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_a_change_and_absence_is_none() {
        let limit =
            |json| serde_json::from_str(json).map(|changes: TenantChanges| changes.max_concurrent_calls);
        assert_eq!(limit("{}").ok(), Some(None));
        assert_eq!(limit(r#"{"max_concurrent_calls": null}"#).ok(), Some(Some(None)));
        assert_eq!(limit(r#"{"max_concurrent_calls": 3}"#).ok(), Some(Some(Some(3))));
        assert!(limit(r#"{"max_calls": 3}"#).is_err(), "an unknown key");
    }
}
