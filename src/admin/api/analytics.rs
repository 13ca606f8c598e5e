//! What calls were like.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::auth::{Operator, Reader};
use super::extract::Asked;
use super::problem::{Problem, ProblemBody};
use crate::analytics::{self, BadPeriod, Interval, Overview, Period, Question, Report};
use crate::store::{OfPeriod, StoreError};
use crate::tenancy::{NumberId, ProfileId, TenantId};

/// The most tenants that are named.
const MOST: usize = 1_000;

pub fn router() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(of_tenant)).routes(routes!(of_all))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The calls that began at this moment or later (RFC 3339). Default: thirty days before `to`.
    from: Option<DateTime<Utc>>,
    /// And before this one: 400 days later at most, 62 by the hour. Default: now.
    to: Option<DateTime<Utc>>,
    #[param(value_type = Option<String>)]
    phone_number_id: Option<NumberId>,
    #[param(value_type = Option<String>)]
    ai_profile_id: Option<ProfileId>,
    /// The steps of the series. Default: `day`.
    #[serde(default)]
    #[param(inline)]
    interval: Interval,
    /// IANA name of the time zone whose hours and days are meant, such as `Europe/Berlin`. Default: `UTC`.
    timezone: Option<String>,
}

/// Show what the tenant's calls of a period were like.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/analytics", tag = "analytics",
    params(("tenant_id" = TenantId, Path), Wanted),
    responses((status = 200, body = Report), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
async fn of_tenant(Reader { scope }: Reader, Asked(wanted): Asked<Wanted>) -> Result<Json<Report>, Problem> {
    let zone = wanted.timezone.as_deref().unwrap_or("UTC");
    let timezone: Tz =
        zone.parse().map_err(|_| Problem::field("timezone", "no time zone has this IANA name"))?;
    let period = Period::new(wanted.from, wanted.to, Utc::now())?;
    let mut question = Question::new(period, wanted.interval, timezone)?;
    question.calls = OfPeriod {
        phone_number_id: wanted.phone_number_id,
        ai_profile_id: wanted.ai_profile_id,
        ..question.calls
    };
    Ok(Json(analytics::of_tenant(&scope, &question).await.map_err(too_large)?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WantedOfAll {
    /// The calls that began at this moment or later (RFC 3339). Default: thirty days before `to`.
    from: Option<DateTime<Utc>>,
    /// And before this one, 400 days later at most. Default: now.
    to: Option<DateTime<Utc>>,
    /// How many tenants are named, those with the most calls: 1 to 1,000. Default 20.
    top: Option<usize>,
}

/// Show whose calls there were in a period: all together, and the tenants with the most.
#[utoipa::path(get, path = "/api/analytics", tag = "analytics", params(WantedOfAll),
    responses((status = 200, body = Overview), (status = 400, body = ProblemBody)))]
async fn of_all(
    State(desk): State<Desk>,
    _: Operator,
    Asked(wanted): Asked<WantedOfAll>,
) -> Result<Json<Overview>, Problem> {
    let top = wanted.top.unwrap_or(20);
    if !(1..=MOST).contains(&top) {
        return Err(Problem::field("top", format_args!("1 to {MOST}")));
    }
    let period = Period::new(wanted.from, wanted.to, Utc::now())?;
    Ok(Json(analytics::of_all(&desk.store, period, top).await.map_err(too_large)?))
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

impl From<BadPeriod> for Problem {
    fn from(bad: BadPeriod) -> Problem {
        Problem::field("to", bad)
    }
}
