//! Statements that are held back, with their reasons, as the job that issues statements recorded them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::statement::sql;
use super::tx::{AllTenants, RowScope};
use super::{HoldReason, Page, Store, StoreError, Window};
use crate::tenancy::{Month, TenantId};

/// A tenant with statements that are held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldTenant {
    #[schema(value_type = String, format = Uuid)]
    pub tenant_id: TenantId,
    pub tenant_name: String,
    /// The months, oldest first.
    pub months: Vec<HeldMonth>,
}

/// A month with a statement that is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldMonth {
    pub month: Month,
    pub reason: HoldReason,
    /// The models without a price, or the problem with the tenant's rows.
    pub detail: String,
    /// When the statement was first held back.
    pub since: DateTime<Utc>,
}

impl Store {
    /// Tenants with statements that are held back, oldest tenant first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn held_statements(&self, window: Window) -> Result<Page<HeldTenant>, StoreError> {
        const SQL: &str = "SELECT h.tenant_id, t.name, h.month, h.reason, h.detail, h.since \
            FROM statement_holds h JOIN tenants t ON t.id = h.tenant_id \
            WHERE h.tenant_id IN (SELECT DISTINCT tenant_id FROM statement_holds WHERE tenant_id > $1 \
            ORDER BY tenant_id LIMIT $2) ORDER BY h.tenant_id, h.month";
        let rows = AllTenants(self).all::<Row>(sql(SQL).bind(window.above()).bind(window.rows())).await?;
        let mut tenants: Vec<HeldTenant> = Vec::new();
        for row in rows {
            let (tenant_id, tenant_name) = (TenantId(row.tenant_id), row.name.clone());
            let month = HeldMonth::try_from(row)?;
            match tenants.last_mut().filter(|tenant| tenant.tenant_id == tenant_id) {
                Some(tenant) => tenant.months.push(month),
                None => tenants.push(HeldTenant { tenant_id, tenant_name, months: vec![month] }),
            }
        }
        Ok(window.page(tenants, |tenant| tenant.tenant_id.0))
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant_id: Uuid,
    name: String,
    month: String,
    reason: String,
    detail: String,
    since: DateTime<Utc>,
}

impl TryFrom<Row> for HeldMonth {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<HeldMonth, StoreError> {
        Ok(HeldMonth {
            month: row.month.parse().map_err(StoreError::corrupt)?,
            reason: HoldReason::read(&row.reason).map_err(StoreError::corrupt)?,
            detail: row.detail,
            since: row.since,
        })
    }
}
