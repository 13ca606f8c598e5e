//! Statistics of calls.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Operator, Reader};
use super::extract::ValidQuery;
use super::problem::Problem;
use crate::analytics::{
    self, AnalyticsInterval, AnalyticsOverview, AnalyticsPeriod, AnalyticsQuery, CallResults, PeriodError,
    TenantAnalytics,
};
use crate::store::{OfPeriod, StoreError};
use crate::tenancy::{NumberId, ProfileId, TenantId};

/// The most tenants that are named.
const MOST: usize = 1_000;

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(of_tenant)).routes(routes!(results)).routes(routes!(of_all))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AnalyticsParams {
    /// Calls that began at this time or later (RFC 3339). Default: 30 days before `to`.
    from: Option<DateTime<Utc>>,
    /// Calls that began before this time: at most 400 days after `from`, 62 by the hour. Default: now.
    to: Option<DateTime<Utc>>,
    /// Only calls to this number.
    phone_number_id: Option<NumberId>,
    /// Only calls with this profile.
    ai_profile_id: Option<ProfileId>,
    /// The interval of the series. Default: `day`.
    #[serde(default)]
    #[param(inline)]
    interval: AnalyticsInterval,
    /// Time zone of the hours and days, by its IANA name, such as `Europe/Berlin`. Default: `UTC`.
    timezone: Option<String>,
}

/// Show figures on the tenant's calls of a period.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/analytics", operation_id = "getTenantAnalytics",
    tag = "analytics",
    params(("tenant_id" = TenantId, Path), AnalyticsParams),
    responses((status = 200, description = "The figures of the period.", body = TenantAnalytics)))]
async fn of_tenant(
    Reader { scope }: Reader,
    ValidQuery(wanted): ValidQuery<AnalyticsParams>,
) -> Result<Json<TenantAnalytics>, Problem> {
    let query = wanted.query()?;
    Ok(Json(analytics::of_tenant(&scope, &query).await.map_err(too_large)?))
}

/// Show the results of the tenant's calls of a period: success, outcomes and sentiment by their analyses, and callers' ratings, by
/// interval, number, and profile with version.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/analytics/results", operation_id = "getCallResults",
    tag = "analytics",
    params(("tenant_id" = TenantId, Path), AnalyticsParams),
    responses((status = 200, description = "The results of the period.", body = CallResults)))]
async fn results(
    Reader { scope }: Reader,
    ValidQuery(wanted): ValidQuery<AnalyticsParams>,
) -> Result<Json<CallResults>, Problem> {
    let query = wanted.query()?;
    Ok(Json(analytics::results_of_tenant(&scope, &query).await.map_err(too_large)?))
}

impl AnalyticsParams {
    fn query(&self) -> Result<AnalyticsQuery, Problem> {
        let zone = self.timezone.as_deref().unwrap_or("UTC");
        let timezone: Tz =
            zone.parse().map_err(|_| Problem::field("timezone", "no time zone has this IANA name"))?;
        let period = AnalyticsPeriod::new(self.from, self.to, Utc::now())?;
        let query = AnalyticsQuery::new(period, self.interval, timezone)?;
        let (phone_number_id, ai_profile_id) = (self.phone_number_id, self.ai_profile_id);
        Ok(AnalyticsQuery { calls: OfPeriod { phone_number_id, ai_profile_id, ..query.calls }, ..query })
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OverviewParams {
    /// Calls that began at this time or later (RFC 3339). Default: 30 days before `to`.
    from: Option<DateTime<Utc>>,
    /// Calls that began before this time: at most 400 days after `from`. Default: now.
    to: Option<DateTime<Utc>>,
    /// Number of tenants to list, those with the most calls.
    #[param(minimum = 1, maximum = 1000, default = 20)]
    top: Option<usize>,
}

/// Show figures on all calls of a period, and on the tenants with the most calls.
#[utoipa::path(get, path = "/api/analytics", operation_id = "getAnalyticsOverview", tag = "analytics",
    params(OverviewParams),
    responses((status = 200, description = "The figures of the period.", body = AnalyticsOverview)))]
async fn of_all(
    State(api): State<ApiState>,
    _: Operator,
    ValidQuery(wanted): ValidQuery<OverviewParams>,
) -> Result<Json<AnalyticsOverview>, Problem> {
    let top = wanted.top.unwrap_or(20);
    if !(1..=MOST).contains(&top) {
        return Err(Problem::field("top", format_args!("1 to {MOST}")));
    }
    let period = AnalyticsPeriod::new(wanted.from, wanted.to, Utc::now())?;
    Ok(Json(analytics::of_all(&api.store, period, top).await.map_err(too_large)?))
}

/// A period with too many calls is no fault of the database's.
fn too_large(error: StoreError) -> Problem {
    match error {
        StoreError::TooSlow { .. } => {
            let detail = "this period has more calls than can be read in time: ask for a shorter period";
            Problem { detail: detail.to_owned(), ..Problem::from(error) }
        }
        other => Problem::from(other),
    }
}

impl From<PeriodError> for Problem {
    fn from(bad: PeriodError) -> Problem {
        Problem::field("to", bad)
    }
}
