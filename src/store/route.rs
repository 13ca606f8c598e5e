//! Resolves a called number to its tenant and profiles, with one indexed query; and to the tenant's transfer targets and engine
//! credentials, with another one each, where they can be used.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::calls::narrow;
use super::statement::sql;
use super::tx::{AllTenants, RowScope};
use super::{Store, StoreError, now, numbers, pre_call, profiles, tenants};
use crate::tenancy::{
    AiProfile, Did, Month, MonthUse, NumberProfiles, ProfilePurpose, Route, StoredPreCall, Tool,
    WeightedProfile,
};

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
            n.provider_state, n.provider_detail, n.provider_reference, n.failover, n.uses_tenant_webhook, \
            n.created_at AS number_created_at, n.routing_version, \
            t.name AS tenant_name, t.status, t.plan, t.max_concurrent_calls, \
            t.created_at AS tenant_created_at, \
            p.id AS profile_id, p.name AS profile_name, p.role, p.system_prompt, p.is_default, p.settings, p.version, \
            p.created_at AS profile_created_at, p.targets AS profile_targets, a.purpose, a.weight, \
            w.id AS webhook_id, w.url AS webhook_url, w.timeout_ms AS webhook_timeout_ms, w.secret AS webhook_secret, \
            w.created_at AS webhook_created_at, w.phone_number_id AS webhook_number_id, \
            w.former_secret AS webhook_former_secret, w.former_secret_until AS webhook_former_secret_until, \
            COALESCE(m.seconds, 0) AS month_seconds, \
            EXISTS (SELECT 1 FROM engine_credentials e WHERE e.tenant_id = n.tenant_id) AS has_engines \
            FROM phone_numbers n \
            JOIN tenants t ON t.id = n.tenant_id \
            LEFT JOIN ai_profiles p ON p.tenant_id = n.tenant_id AND (p.is_default OR p.id IN \
            (SELECT ai_profile_id FROM number_profiles WHERE phone_number_id = n.id)) \
            LEFT JOIN number_profiles a ON a.phone_number_id = n.id AND a.ai_profile_id = p.id \
            LEFT JOIN pre_call_webhooks w ON w.id = COALESCE( \
            (SELECT o.id FROM pre_call_webhooks o WHERE o.phone_number_id = n.id), \
            (SELECT o.id FROM pre_call_webhooks o WHERE o.tenant_id = n.tenant_id \
                AND o.phone_number_id IS NULL AND n.uses_tenant_webhook)) \
            LEFT JOIN usage_months m ON m.tenant_id = n.tenant_id AND m.month = $2 \
            WHERE n.did IN ($1, $3) AND n.deleted_at IS NULL \
            ORDER BY CASE WHEN n.did = $1 THEN 0 ELSE 1 END, p.id";
        debug_assert!(dids.len() <= 2, "a text means two numbers at most");
        let (Some(first), Some(last)) = (dids.first(), dids.last()) else { return Ok(None) };
        let month = Month::of(now());
        let asked = sql(SQL).bind(first.digits()).bind(month.to_string()).bind(last.digits());
        let rows = AllTenants(self).all::<Row>(asked).await?;
        let has_engines = rows.first().is_some_and(|row| row.has_engines);
        let Some(mut route) = route_of(rows, month)? else { return Ok(None) };
        if uses_targets(&route) {
            route.targets = self.scope(route.tenant.id).targets().await?;
        }
        if has_engines {
            route.engines = self.scope(route.tenant.id).engine_accesses().await?;
        }
        Ok(Some(route))
    }
}

/// The route of the first row's number, without targets. Each of its rows has another profile, or another purpose of one.
fn route_of(rows: Vec<Row>, month: Month) -> Result<Option<Route>, StoreError> {
    let mut rows = rows.into_iter();
    let Some(first) = rows.next() else { return Ok(None) };
    let number = first.number_id;
    let (profile, mut route) = first.route(month)?;
    enter(&mut route, profile)?;
    for row in rows.filter(|row| row.number_id == number) {
        enter(&mut route, row.profile.profile(row.tenant_id)?)?;
    }
    Ok(Some(route))
}

/// Can a call on this route be transferred, or continue at a target?
fn uses_targets(route: &Route) -> bool {
    let mut profiles = route.profile.iter().chain(route.number_profiles.all());
    // The agent that a call changes to may transfer it.
    let can_transfer =
        |AiProfile { settings, .. }: &AiProfile| settings.uses_targets() || settings.may(Tool::SwitchAgent);
    profiles.any(can_transfer) || route.number.failover.uses_targets() || route.pre_call.is_some()
}

/// Enters a profile under its purpose.
fn enter(route: &mut Route, found: Option<FoundProfile>) -> Result<(), StoreError> {
    let Some(FoundProfile { profile, purpose, weight }) = found else { return Ok(()) };
    if profile.is_default && route.profile.is_none() {
        route.profile = Some(profile.clone());
    }
    match purpose {
        Some(ProfilePurpose::Open) => {
            let weight = narrow(weight)?.unwrap_or(1);
            route.number_profiles.shares.push(WeightedProfile { profile, weight });
        }
        Some(ProfilePurpose::Closed) => route.number_profiles.closed = Some(Box::new(profile)),
        None => {}
    }
    Ok(())
}

/// A profile, and when it answers the number.
struct FoundProfile {
    profile: AiProfile,
    /// `None` for a default profile that the number does not name.
    purpose: Option<ProfilePurpose>,
    weight: Option<i64>,
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
    uses_tenant_webhook: bool,
    number_created_at: DateTime<Utc>,
    routing_version: i64,
    tenant_name: String,
    status: String,
    plan: String,
    max_concurrent_calls: Option<i64>,
    tenant_created_at: DateTime<Utc>,
    #[sqlx(flatten)]
    profile: ProfileColumns,
    #[sqlx(flatten)]
    webhook: WebhookColumns,
    month_seconds: i64,
    has_engines: bool,
}

/// The columns of the pre-call webhook that is asked about the number's calls: its own or the tenant's.
#[derive(sqlx::FromRow)]
struct WebhookColumns {
    webhook_id: Option<Uuid>,
    webhook_number_id: Option<Uuid>,
    webhook_url: Option<String>,
    webhook_timeout_ms: Option<i64>,
    webhook_secret: Option<String>,
    webhook_created_at: Option<DateTime<Utc>>,
    webhook_former_secret: Option<String>,
    webhook_former_secret_until: Option<DateTime<Utc>>,
}

impl WebhookColumns {
    /// The webhook, where there is one.
    fn row(self, tenant_id: Uuid) -> Option<pre_call::StoredRow> {
        let webhook = pre_call::Row {
            id: self.webhook_id?,
            tenant_id,
            phone_number_id: self.webhook_number_id,
            url: self.webhook_url?,
            timeout_ms: self.webhook_timeout_ms?,
            created_at: self.webhook_created_at?,
        };
        Some(pre_call::StoredRow {
            webhook,
            secret: self.webhook_secret?,
            former_secret: self.webhook_former_secret,
            former_secret_until: self.webhook_former_secret_until,
        })
    }
}

/// The columns of a profile, all there or none, and of the number's reference to it.
#[derive(sqlx::FromRow)]
struct ProfileColumns {
    profile_id: Option<Uuid>,
    profile_name: Option<String>,
    role: Option<String>,
    system_prompt: Option<String>,
    is_default: Option<bool>,
    settings: Option<String>,
    version: Option<i64>,
    profile_created_at: Option<DateTime<Utc>>,
    profile_targets: Option<String>,
    purpose: Option<String>,
    weight: Option<i64>,
}

impl ProfileColumns {
    fn profile(self, tenant_id: Uuid) -> Result<Option<FoundProfile>, StoreError> {
        let purpose = self.purpose.as_deref().map(str::parse).transpose().map_err(StoreError::corrupt)?;
        let weight = self.weight;
        let profile = self.row(tenant_id).map(AiProfile::try_from).transpose()?;
        Ok(profile.map(|profile| FoundProfile { profile, purpose, weight }))
    }

    fn row(self, tenant_id: Uuid) -> Option<profiles::Row> {
        Some(profiles::Row {
            id: self.profile_id?,
            tenant_id,
            name: self.profile_name?,
            role: self.role?,
            system_prompt: self.system_prompt?,
            is_default: self.is_default?,
            settings: self.settings?,
            version: self.version?,
            created_at: self.profile_created_at?,
            targets: self.profile_targets,
        })
    }
}

impl Row {
    /// Its profile, and the route without profiles and targets.
    fn route(self, month: Month) -> Result<(Option<FoundProfile>, Route), StoreError> {
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
            uses_tenant_webhook: row.uses_tenant_webhook,
            created_at: row.number_created_at,
            routing_version: row.routing_version,
        };
        let tenant = tenants::Row {
            id: row.tenant_id,
            name: row.tenant_name,
            status: row.status,
            plan: row.plan,
            max_concurrent_calls: row.max_concurrent_calls,
            created_at: row.tenant_created_at,
        };
        let route = Route {
            number: number.try_into()?,
            tenant: tenant.try_into()?,
            profile: None,
            number_profiles: NumberProfiles::default(),
            usage: MonthUse { month, seconds },
            targets: Vec::new(),
            pre_call: row.webhook.row(row.tenant_id).map(StoredPreCall::try_from).transpose()?,
            engines: Vec::new(),
        };
        Ok((row.profile.profile(row.tenant_id)?, route))
    }
}
