//! Usage, what it costs and where quotas stand: a tenant's own, and all tenants' for the operator.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use chrono::{Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::ApiState;
use super::auth::{Operator, Reader};
use super::extract::{Ids, Listed, Paging, ValidQuery};
use super::problem::Problem;
use crate::billing::{Bill, Statement, UsageReport};
use crate::store::{HeldTenant, MonthReports};
use crate::tenancy::{CallId, CallSums, Month, TenantId, Usage};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(of_tenant))
        .routes(routes!(of_call))
        .routes(routes!(statement))
        .routes(routes!(of_all))
        .routes(routes!(held))
}

/// The longest time that is asked for day by day.
const MOST_DAYS: u64 = 92;

/// A month, or a range of days. Default: the present month.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct UsageTime {
    /// A month (UTC), such as `2026-11`.
    #[param(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2026-11")]
    month: Option<String>,
    /// The first day (UTC), such as `2026-11-01`. With `to`, in place of `month`.
    #[param(format = Date)]
    from: Option<String>,
    /// The last day (UTC). The range has at most 92 days.
    #[param(format = Date)]
    to: Option<String>,
}

enum Period {
    Month(Month),
    Days(NaiveDate, NaiveDate),
}

impl UsageTime {
    fn period(self) -> Result<Period, Problem> {
        match (self.month, self.from, self.to) {
            (month, None, None) => month_or_present(month).map(Period::Month),
            (None, Some(from), Some(to)) => {
                let (from, to) = (day("from", &from)?, day("to", &to)?);
                let last = from.checked_add_days(Days::new(MOST_DAYS - 1));
                if to < from || last.is_none_or(|last| to > last) {
                    return Err(Problem::field(
                        "to",
                        format_args!("not before `from`, and {MOST_DAYS} days at most"),
                    ));
                }
                Ok(Period::Days(from, to))
            }
            (None, _, _) => Err(Problem::field("from", "`from` and `to` go together")),
            (Some(_), _, _) => Err(Problem::field("month", "either `month`, or `from` and `to`")),
        }
    }
}

fn month_or_present(month: Option<String>) -> Result<Month, Problem> {
    match month {
        Some(text) => text.parse().map_err(|error| Problem::field("month", error)),
        None => Ok(Month::of(Utc::now())),
    }
}

fn day(field: &'static str, text: &str) -> Result<NaiveDate, Problem> {
    let parsed = text.parse().ok().filter(|_| text.len() == 10);
    parsed.ok_or_else(|| Problem::field(field, "this is no day: write it as 2026-11-01"))
}

/// Show a tenant's usage: calls, seconds, turns and engines, their costs, and its quota.
///
/// A month shows what its statement shows: when it is issued, its figures; until then a draft. The cost of days is by the
/// price list alone.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/usage", operation_id = "getTenantUsage", tag = "usage",
    params(("tenant_id" = TenantId, Path), UsageTime),
    responses((status = 200, description = "The usage of the period.", body = UsageReport)))]
async fn of_tenant(
    State(api): State<ApiState>,
    Reader { scope }: Reader,
    ValidQuery(time): ValidQuery<UsageTime>,
) -> Result<Json<UsageReport>, Problem> {
    Ok(Json(match time.period()? {
        Period::Month(month) => scope.statement(&api.billing.get(), month).await?.into_report(),
        Period::Days(from, to) => {
            let tenant = api.store.tenant(scope.tenant_id()).await?;
            api.billing.get().days(&tenant, (from, to), &scope.usage_of_days(from, to).await?)
        }
    }))
}

/// The usage of a call.
#[derive(Debug, Serialize, ToSchema)]
struct CallUsage {
    call_id: CallId,
    #[serde(flatten)]
    sums: CallSums,
    #[serde(flatten)]
    bill: Bill,
    /// The usage of the analyses of the call, which is not part of the above.
    analysis: Bill,
}

#[derive(Deserialize)]
struct CallPath {
    call_id: CallId,
}

/// Show the usage of a call, with its costs by the price list. It is known when the call has ended.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/calls/{call_id}/usage", operation_id = "getCallUsage",
    tag = "usage",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 200, description = "The usage of the call.", body = CallUsage)))]
async fn of_call(
    State(api): State<ApiState>,
    Reader { scope }: Reader,
    Ids(CallPath { call_id }): Ids<CallPath>,
) -> Result<Json<CallUsage>, Problem> {
    let usage = scope.usage_of_call(call_id).await?.ok_or_else(Problem::not_found)?;
    let analysis = Usage { engines: scope.usage_of_analyses(call_id).await?, ..Usage::default() };
    let billing = api.billing.get();
    let bill = |usage: &Usage| Bill::new(&billing.prices, None, usage);
    let (bill, analysis) = (bill(&usage), bill(&analysis));
    Ok(Json(CallUsage { call_id, sums: usage.sums, bill, analysis }))
}

#[derive(Deserialize)]
struct StatementPath {
    month: String,
}

/// In which form.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct InFormat {
    /// Default: the first of the two that `Accept` names, otherwise JSON.
    #[param(inline)]
    format: Option<StatementFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StatementFormat {
    Json,
    Csv,
}

/// Show a tenant's statement of a month, as JSON or as CSV (`Accept: text/csv`, or `?format=csv`).
///
/// The daemon issues it an hour after the month's end, with the plan that was in force at that end. From then on it is
/// final and keeps its prices; until then it is a draft by the present prices. While use of a model has no price, the
/// statement is held back; such lines are `unpriced`.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/statements/{month}", operation_id = "getStatement",
    tag = "usage",
    params(("tenant_id" = TenantId, Path), ("month" = Month, Path), InFormat),
    responses(
        (status = 200, description = "The statement.", content((Statement = "application/json"), (String = "text/csv")))))]
async fn statement(
    State(api): State<ApiState>,
    Reader { scope }: Reader,
    Ids(StatementPath { month }): Ids<StatementPath>,
    ValidQuery(wanted): ValidQuery<InFormat>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let month: Month = month.parse().map_err(|error| Problem::field("month", error))?;
    let statement = scope.statement(&api.billing.get(), month).await?;
    let vary = (header::VARY, "accept".to_owned());
    if wanted.format.unwrap_or_else(|| accepted(&headers)) == StatementFormat::Json {
        return Ok(([vary], Json(statement)).into_response());
    }
    let kind = (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned());
    let name = format!("attachment; filename=\"statement-{month}.csv\"");
    Ok(([vary, kind, (header::CONTENT_DISPOSITION, name)], statement.csv()).into_response())
}

/// The form that is named first.
fn accepted(headers: &HeaderMap) -> StatementFormat {
    let named = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds = named.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    let first = kinds.map(str::trim).find(|kind| matches!(*kind, "text/csv" | "application/json"));
    if first == Some("text/csv") { StatementFormat::Csv } else { StatementFormat::Json }
}

/// A page of tenants with their usage of a month.
#[derive(Debug, Serialize, ToSchema)]
struct UsageList {
    items: Vec<UsageReport>,
    /// Give it as `cursor` for the next page; `null` on the last.
    next_cursor: Option<Uuid>,
    /// Tenants of this page with usage that cannot be read, and that are not among the items; the log has the
    /// reason.
    unreadable: Vec<TenantId>,
}

/// Which month of all tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfAll {
    /// A month (UTC), such as `2026-11`. Default: the present month.
    #[param(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2026-11")]
    month: Option<String>,
}

/// List every tenant's usage of a month, oldest tenant first.
#[utoipa::path(get, path = "/api/usage", operation_id = "listUsage", tag = "usage",
    params(OfAll, Paging),
    responses((status = 200, description = "A page of tenants with their usage.", body = UsageList)))]
async fn of_all(
    State(api): State<ApiState>,
    _: Operator,
    ValidQuery(OfAll { month }): ValidQuery<OfAll>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<UsageList>, Problem> {
    let month = month_or_present(month)?;
    let MonthReports { page, unreadable } =
        api.store.month_reports(&api.billing.get(), month, paging.window()?).await?;
    for tenant in &unreadable {
        warn!(tenant_id = %tenant.tenant_id, problem = %tenant.problem, "usage cannot be read");
    }
    let unreadable = unreadable.into_iter().map(|tenant| tenant.tenant_id).collect();
    Ok(Json(UsageList { items: page.items, next_cursor: page.next, unreadable }))
}

/// List tenants with statements that are held back, oldest tenant first, with the reason for each month.
///
/// A statement is held back while use of a model has no price (`unpriced`), or while the tenant's rows cannot be read
/// (`unreadable`). The daemon tries again every quarter of an hour; `vca usage issue --accept-unpriced` issues unpriced
/// statements.
#[utoipa::path(get, path = "/api/held-statements", operation_id = "listHeldStatements", tag = "usage",
    params(Paging),
    responses((status = 200, description = "A page of tenants.", body = Listed<HeldTenant>)))]
async fn held(
    State(api): State<ApiState>,
    _: Operator,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<HeldTenant>>, Problem> {
    Ok(api.store.held_statements(paging.window()?).await?.into())
}
