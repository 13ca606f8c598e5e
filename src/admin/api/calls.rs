//! The record of calls: lists, one call, its transcript.

use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Caller, Reader};
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::idempotency::Unstored;
use super::problem::{Problem, ProblemBody};
use crate::analysis::AnalysisTrial;
use crate::control;
use crate::store::{AnalysisFilter, CallFilter};
use crate::tenancy::{
    AnalysisSettings, Call, CallAnalysis, CallId, CallStatus, NumberId, ProfileId, Sentiment, TenantId,
    Transcript, is_field_name,
};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(transcript))
        .routes(routes!(analyze))
        .routes(routes!(try_analysis))
}

/// The call of a path.
#[derive(Debug, Deserialize)]
pub struct OfCall {
    pub call_id: CallId,
}

/// Conditions of a list of calls.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CallsQuery {
    /// Only calls in this state.
    status: Option<CallStatus>,
    /// Only calls that ended for this reason, such as `caller_hung_up`.
    disposition: Option<String>,
    /// Only calls to this number.
    phone_number_id: Option<NumberId>,
    /// Only calls with this profile.
    ai_profile_id: Option<ProfileId>,
    /// Only calls from this number, with or without its plus sign.
    caller_number: Option<String>,
    /// Only calls that began at this time or later (RFC 3339).
    from: Option<DateTime<Utc>>,
    /// Only calls that began before this time (RFC 3339).
    to: Option<DateTime<Utc>>,
    /// Shortest time from answer to end, in seconds.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4294967295_i64)]
    min_duration_s: Option<u32>,
    /// Longest time from answer to end, in seconds.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4294967295_i64)]
    max_duration_s: Option<u32>,
    /// Only calls that their caller gave this rating.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 5)]
    rating: Option<u8>,
    /// Only calls with this outcome of their analysis.
    outcome: Option<String>,
    /// Only calls that are a success by their analysis, or that are not.
    success: Option<bool>,
    /// Only calls with this sentiment of their analysis.
    sentiment: Option<Sentiment>,
    /// Only calls with this value in a field of their analysis: the field's name, a colon, and the value as text of at most 100
    /// characters, such as `party_size:4`.
    #[param(pattern = "^[a-z][a-z0-9_]{0,39}:.+$", example = "party_size:4")]
    field: Option<String>,
}

/// List calls, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/calls", operation_id = "listCalls", tag = "calls",
    params(("tenant_id" = TenantId, Path), CallsQuery, Paging),
    responses((status = 200, description = "A page of calls.", body = Listed<Call>)))]
async fn list(
    Reader { scope }: Reader,
    ValidQuery(filter): ValidQuery<CallsQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<Call>>, Problem> {
    if filter.rating.is_some_and(|rating| !(1..=5).contains(&rating)) {
        return Err(Problem::field("rating", "a number from 1 to 5"));
    }
    let field = filter.field.as_deref().map(field_and_value).transpose()?;
    let filter = CallFilter {
        analysis: AnalysisFilter {
            outcome: filter.outcome,
            success: filter.success,
            sentiment: filter.sentiment,
            field,
        },
        status: filter.status,
        disposition: filter.disposition,
        phone_number_id: filter.phone_number_id,
        ai_profile_id: filter.ai_profile_id,
        caller_number: filter.caller_number,
        from: filter.from,
        to: filter.to,
        min_duration_s: filter.min_duration_s,
        max_duration_s: filter.max_duration_s,
        rating: filter.rating,
    };
    Ok(scope.calls(&filter, paging.window()?).await?.into())
}

/// The name and the value of a condition on a field.
fn field_and_value(text: &str) -> Result<(String, String), Problem> {
    let parts = text.split_once(':').filter(|(name, value)| is_field_name(name) && !value.is_empty());
    let (name, value) = parts.ok_or_else(|| Problem::field("field", "write it as NAME:VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Analyse a call again, by the present version of its profile.
///
/// The daemon does it soon; the result is on the call, and `call.analyzed` is sent when it is there.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/analysis", operation_id = "analyzeCall",
    tag = "calls",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 202, description = "The analysis is due.", body = CallAnalysis),
        (status = 409, description = "The call is in progress: `call_live`; its caller said nothing, or it was erased: `no_words`; \
            its profile asks for no analysis: `analysis_off`; or it was analysed 20 times: `analyses_used_up`.",
            body = ProblemBody)))]
async fn analyze(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfCall>,
) -> Result<(StatusCode, Json<CallAnalysis>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(scope.request_analysis(&actor, path.call_id).await?)))
}

/// The questions of a trial.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TryAnalysisRequest {
    /// Questions to try; `enabled` does not matter. Default: those of the present version of the call's profile.
    #[serde(default)]
    analysis: Option<AnalysisSettings>,
}

/// Try an analysis on a call that has ended, with the questions of its profile or with proposed ones.
///
/// Nothing is stored but the usage, which is billed, and an entry in the audit log; the response of a request with an
/// `Idempotency-Key` is not stored either.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/analysis/try", operation_id = "tryCallAnalysis",
    tag = "calls", request_body = TryAnalysisRequest,
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 200, description = "The result, also of a trial that failed.", body = AnalysisTrial),
        (status = 409, description = "The call is in progress: `call_live`; its caller said nothing, or it was erased: `no_words`; \
            its profile was deleted: `profile_deleted`; there are no questions: `analysis_off`; another trial is in progress: \
            `trial_in_progress`; there were as many trials in 24 hours as the operator allows: `limit_reached`.",
            body = ProblemBody)))]
async fn try_analysis(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfCall>,
    Body(TryAnalysisRequest { analysis }): Body<TryAnalysisRequest>,
) -> Result<Unstored<Json<AnalysisTrial>>, Problem> {
    let permitted = api.permitted.get();
    let trial =
        control::try_analysis(&scope, &actor, &permitted, &api.analysis_trials, path.call_id, analysis)
            .await?;
    Ok(Unstored(Json(trial)))
}

/// Show a call, with the quality of its audio.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/calls/{call_id}", operation_id = "getCall", tag = "calls",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 200, description = "The call.", body = Call)))]
async fn show(Reader { scope }: Reader, Ids(path): Ids<OfCall>) -> Result<Json<Call>, Problem> {
    let (call, _) = scope.call(path.call_id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(call))
}

/// How a transcript is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum TranscriptFormat {
    Json,
    Text,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Written {
    /// Default: the first of the two that `Accept` names, otherwise JSON.
    #[param(inline)]
    format: Option<TranscriptFormat>,
}

/// Show the transcript of a call, with the latencies of each turn.
///
/// As JSON, or as text for people by `?format=text` or `Accept: text/plain`.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/calls/{call_id}/transcript",
    operation_id = "getCallTranscript", tag = "calls",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path), Written),
    responses(
        (status = 200, description = "The transcript.", content((Transcript = "application/json"), (String = "text/plain")))))]
async fn transcript(
    Reader { scope }: Reader,
    Caller { actor, .. }: Caller,
    Ids(path): Ids<OfCall>,
    ValidQuery(written): ValidQuery<Written>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (call, turns) = scope.call(path.call_id).await?.ok_or_else(Problem::not_found)?;
    scope.note_access(&actor, "read_transcript", "call", call.id.0).await?;
    let transcript = Transcript::of(call, turns);
    Ok(match written.format.unwrap_or_else(|| accepted(&headers)) {
        TranscriptFormat::Json => Json(transcript).into_response(),
        TranscriptFormat::Text => {
            let kind = HeaderValue::from_static("text/plain; charset=utf-8");
            ([(CONTENT_TYPE, kind)], transcript.to_string()).into_response()
        }
    })
}

/// Text where the client prefers it to JSON.
fn accepted(headers: &HeaderMap) -> TranscriptFormat {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kinds = accept.split(',').filter_map(|kind| kind.split(';').next()).map(str::trim);
    let first = kinds.into_iter().find(|kind| matches!(*kind, "text/plain" | "application/json" | "*/*"));
    if first == Some("text/plain") { TranscriptFormat::Text } else { TranscriptFormat::Json }
}
