//! The versions of a number's routing: written with the change that made them, and never changed. Of each number the newest are kept
//! (`limits.profile_versions`), and those that calls refer to.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::audit::Change;
use super::calls::narrow;
use super::statement::{Statement, composed, sql};
use super::tx::{Access, RowScope, Tx};
use super::{Page, Scope, StoreError, Window, now, numbers};
use crate::tenancy::{Actor, FailoverRoutes, NumberId, NumberRouting, PhoneNumber, RoutingVersion, TenantId};

const COLUMNS: &str = "tenant_id, phone_number_id, version, routing, failover, created_by, created_at";

/// The content of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct RoutingContent {
    pub routing: NumberRouting,
    pub failover: FailoverRoutes,
}

impl Tx {
    /// Records the routing of a number after a change that the transaction has made of it. `number` is the row before the change,
    /// which the transaction holds.
    pub(super) async fn record_routing(
        &mut self,
        actor: &Actor,
        number: &PhoneNumber,
        before: &RoutingContent,
        after: &RoutingContent,
    ) -> Result<(), StoreError> {
        const NUMBER: &str = "UPDATE phone_numbers SET routing_version = $3 WHERE tenant_id = $1 AND id = $2";
        if before == after {
            return Ok(());
        }
        let first = version(number, number.routing_version, before.clone(), (None, number.created_at));
        self.execute(insert(number.tenant_id, &first)?).await?;
        let made = (Some(actor.name.clone()), now());
        let next = version(number, number.routing_version + 1, after.clone(), made);
        self.execute(insert(number.tenant_id, &next)?).await?;
        let update = sql(NUMBER).bind(number.tenant_id.0).bind(number.id.0).bind(i64::from(next.version));
        self.execute(update).await?;
        self.delete_old_routing(number, next.version).await
    }

    /// Records other failover routes of a number. `number` is the row before the change, which the transaction holds.
    pub(super) async fn record_failover(
        &mut self,
        actor: &Actor,
        number: &PhoneNumber,
        failover: &FailoverRoutes,
    ) -> Result<(), StoreError> {
        let routing = self.routing_of(number.tenant_id, number.id).await?;
        let before = RoutingContent { routing, failover: number.failover.clone() };
        let after = RoutingContent { failover: failover.clone(), ..before.clone() };
        self.record_routing(actor, number, &before, &after).await
    }

    async fn delete_old_routing(&mut self, number: &PhoneNumber, version: u32) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM number_routing_versions \
            WHERE tenant_id = $1 AND phone_number_id = $2 AND version <= $3 AND NOT EXISTS \
            (SELECT 1 FROM calls c WHERE c.tenant_id = $1 AND c.phone_number_id = $2 \
                AND c.routing_version = number_routing_versions.version)";
        let oldest = i64::from(version) - i64::from(self.limits.profile_versions.max(1));
        let delete = sql(SQL).bind(number.tenant_id.0).bind(number.id.0).bind(oldest);
        self.execute(delete).await.map(drop)
    }
}

impl Scope {
    /// A page of the versions of a number's routing, newest first. (A cursor is an id; a version's number stands in for one.)
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number, or has released it.
    pub async fn routing_versions(
        &self,
        id: NumberId,
        window: Window,
    ) -> Result<Page<RoutingVersion>, StoreError> {
        let number = self.number(id).await?;
        let before =
            window.after.map_or(i64::MAX, |cursor| i64::try_from(cursor.as_u128()).unwrap_or(i64::MAX));
        let select = composed(format!(
            "SELECT {COLUMNS} FROM number_routing_versions \
             WHERE tenant_id = $1 AND phone_number_id = $2 AND version < $3 ORDER BY version DESC LIMIT $4"
        ));
        let select = select.bind(self.tenant.0).bind(id.0).bind(before).bind(window.rows());
        let rows = self.all::<Row>(select).await?;
        let versions: Result<Vec<RoutingVersion>, StoreError> =
            rows.into_iter().map(RoutingVersion::try_from).collect();
        let mut versions = versions?;
        if versions.is_empty() && before == i64::MAX {
            versions.push(self.first_routing(&number).await?);
        }
        Ok(window.page(versions, |version| Uuid::from_u128(version.version.into())))
    }

    /// # Errors
    /// `NotFound` when the tenant does not have the number, or its routing no such version.
    pub async fn routing_version(&self, id: NumberId, version: u32) -> Result<RoutingVersion, StoreError> {
        let number = self.number(id).await?;
        match self.optional::<Row>(one(self.tenant, id, version)).await? {
            Some(row) => row.try_into(),
            None if version == number.routing_version => self.first_routing(&number).await,
            None => Err(StoreError::NotFound),
        }
    }

    /// The version with which a number began, before its first change.
    async fn first_routing(&self, number: &PhoneNumber) -> Result<RoutingVersion, StoreError> {
        let routing = self.number_routing(number.id).await?;
        let content = RoutingContent { routing, failover: number.failover.clone() };
        Ok(version(number, number.routing_version, content, (None, number.created_at)))
    }

    /// Makes a number's routing and failover routes what they were at a version: a new version with the old content, unless they are
    /// that already.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not have the number, or its routing no such version; `Invalid` when the tenant does not have
    /// a profile any more.
    pub async fn roll_back_routing(
        &self,
        actor: &Actor,
        id: NumberId,
        version: u32,
    ) -> Result<RoutingVersion, StoreError> {
        let mut tx = self.begin(Access::Write).await?;
        let number: PhoneNumber =
            tx.one::<numbers::Row>(numbers::locked(self.tenant, id)).await?.try_into()?;
        let routing = tx.routing_of(self.tenant, id).await?;
        let before = RoutingContent { routing, failover: number.failover.clone() };
        if version != number.routing_version {
            let former = tx.one::<Row>(one(self.tenant, id, version)).await?;
            let RoutingVersion { routing, failover, .. } = former.try_into()?;
            let after = RoutingContent { routing, failover };
            if before != after {
                tx.write_routing(self.tenant, id, &after.routing).await?;
                tx.execute(numbers::set_failover(self.tenant, id, &after.failover)?).await?;
                tx.record_routing(actor, &number, &before, &after).await?;
                let change = Change::new(actor, self.tenant, "rollback", "number_routing", id);
                tx.audit(change.before(&before).after(&after)).await?;
            }
        }
        tx.commit().await?;
        self.routing_version(id, self.number(id).await?.routing_version).await
    }
}

fn one(tenant: TenantId, number: NumberId, version: u32) -> Statement {
    let select = format!(
        "SELECT {COLUMNS} FROM number_routing_versions \
         WHERE tenant_id = $1 AND phone_number_id = $2 AND version = $3"
    );
    composed(select).bind(tenant.0).bind(number.0).bind(i64::from(version))
}

/// A version that is written already stays.
fn insert(tenant: TenantId, version: &RoutingVersion) -> Result<Statement, StoreError> {
    let insert = format!(
        "INSERT INTO number_routing_versions ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (phone_number_id, version) DO NOTHING"
    );
    Ok(composed(insert)
        .bind(tenant.0)
        .bind(version.phone_number_id.0)
        .bind(i64::from(version.version))
        .bind(serde_json::to_string(&version.routing).map_err(StoreError::invalid)?)
        .bind(serde_json::to_string(&version.failover).map_err(StoreError::invalid)?)
        .bind(version.created_by.as_deref())
        .bind(version.created_at))
}

fn version(
    number: &PhoneNumber,
    version: u32,
    content: RoutingContent,
    (created_by, created_at): (Option<String>, DateTime<Utc>),
) -> RoutingVersion {
    let RoutingContent { routing, failover } = content;
    RoutingVersion { phone_number_id: number.id, version, routing, failover, created_by, created_at }
}

#[derive(sqlx::FromRow)]
struct Row {
    phone_number_id: Uuid,
    version: i64,
    routing: String,
    failover: String,
    created_by: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for RoutingVersion {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<RoutingVersion, StoreError> {
        Ok(RoutingVersion {
            phone_number_id: NumberId(row.phone_number_id),
            version: narrow(Some(row.version))?.unwrap_or_default(),
            routing: serde_json::from_str(&row.routing).map_err(StoreError::corrupt)?,
            failover: serde_json::from_str(&row.failover).map_err(StoreError::corrupt)?,
            created_by: row.created_by,
            created_at: row.created_at,
        })
    }
}
