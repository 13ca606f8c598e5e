//! Resolves a called number to its tenant and profile, with one indexed query; and to the tenant's transfer targets, with another
//! one, where they can be used.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::statement::sql;
use super::tx::{AllTenants, RowScope};
use super::{Store, StoreError, now, numbers, profiles, tenants};
use crate::tenancy::{Did, Month, MonthUse, Route, Tool};

impl Store {
    /// The route of a called number, in any state of number and tenant: the switchboard decides whether the call
    /// is admitted. `None` for a number that no tenant has.
    pub async fn route(&self, did: &Did) -> Result<Option<Route>, StoreError> {
        self.first_route(std::slice::from_ref(did)).await
    }

    /// Where the first of one or two numbers leads that a tenant has.
    pub async fn first_route(&self, dids: &[Did]) -> Result<Option<Route>, StoreError> {
        const SQL: &str = "SELECT \
            n.id AS number_id, n.tenant_id, n.did, n.provider_type, n.is_active, \
            n.provider_state, n.provider_detail, n.provider_reference, n.failover, \
            n.created_at AS number_created_at, \
            t.name AS tenant_name, t.status, t.plan, t.max_concurrent_calls, \
            t.created_at AS tenant_created_at, \
            p.id AS profile_id, p.name AS profile_name, p.role, p.system_prompt, p.settings, p.version, \
            p.created_at AS profile_created_at, \
            COALESCE(m.seconds, 0) AS month_seconds \
            FROM phone_numbers n \
            JOIN tenants t ON t.id = n.tenant_id \
            LEFT JOIN ai_profiles p ON p.tenant_id = n.tenant_id AND p.is_default \
            LEFT JOIN usage_months m ON m.tenant_id = n.tenant_id AND m.month = $2 \
            WHERE n.did IN ($1, $3) AND n.deleted_at IS NULL \
            ORDER BY CASE WHEN n.did = $1 THEN 0 ELSE 1 END LIMIT 1";
        debug_assert!(dids.len() <= 2, "a text means two numbers at most");
        let (Some(first), Some(last)) = (dids.first(), dids.last()) else { return Ok(None) };
        let month = Month::of(now());
        let asked = sql(SQL).bind(first.digits()).bind(month.to_string()).bind(last.digits());
        let Some(row) = AllTenants(self).optional::<Row>(asked).await? else { return Ok(None) };
        let mut route = row.route(month)?;
        if uses_targets(&route) {
            route.targets = self.scope(route.tenant.id).targets().await?;
        }
        Ok(Some(route))
    }
}

/// Can a call on this route be transferred, or continue at a target?
fn uses_targets(route: &Route) -> bool {
    let transfers = route.profile.as_ref().is_some_and(|profile| profile.settings.may(Tool::Transfer));
    transfers || route.number.failover.uses_targets()
}

#[derive(sqlx::FromRow)]
struct Row {
    number_id: Uuid,
    tenant_id: Uuid,
    did: String,
    provider_type: String,
    is_active: bool,
    provider_state: String,
    provider_detail: Option<String>,
    provider_reference: Option<String>,
    failover: String,
    number_created_at: DateTime<Utc>,
    tenant_name: String,
    status: String,
    plan: String,
    max_concurrent_calls: Option<i64>,
    tenant_created_at: DateTime<Utc>,
    #[sqlx(flatten)]
    profile: ProfileColumns,
    month_seconds: i64,
}

/// The columns of the default profile: all there, or none.
#[derive(sqlx::FromRow)]
struct ProfileColumns {
    profile_id: Option<Uuid>,
    profile_name: Option<String>,
    role: Option<String>,
    system_prompt: Option<String>,
    settings: Option<String>,
    version: Option<i64>,
    profile_created_at: Option<DateTime<Utc>>,
}

impl ProfileColumns {
    fn row(self, tenant_id: Uuid) -> Option<profiles::Row> {
        Some(profiles::Row {
            id: self.profile_id?,
            tenant_id,
            name: self.profile_name?,
            role: self.role?,
            system_prompt: self.system_prompt?,
            is_default: true,
            settings: self.settings?,
            version: self.version?,
            created_at: self.profile_created_at?,
        })
    }
}

impl Row {
    /// The route without targets.
    fn route(self, month: Month) -> Result<Route, StoreError> {
        let row = self;
        let seconds = u64::try_from(row.month_seconds).map_err(StoreError::corrupt)?;
        let number = numbers::Row {
            id: row.number_id,
            tenant_id: row.tenant_id,
            did: row.did,
            provider_type: row.provider_type,
            is_active: row.is_active,
            provider_state: row.provider_state,
            provider_detail: row.provider_detail,
            provider_reference: row.provider_reference,
            failover: row.failover,
            created_at: row.number_created_at,
        };
        let tenant = tenants::Row {
            id: row.tenant_id,
            name: row.tenant_name,
            status: row.status,
            plan: row.plan,
            max_concurrent_calls: row.max_concurrent_calls,
            created_at: row.tenant_created_at,
        };
        let profile = row.profile.row(row.tenant_id);
        Ok(Route {
            number: number.try_into()?,
            tenant: tenant.try_into()?,
            profile: profile.map(TryInto::try_into).transpose()?,
            usage: MonthUse { month, seconds },
            targets: Vec::new(),
        })
    }
}
