//! Feedback: what people thought of calls.

use axum::Json;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Reader};
use super::calls::OfCall;
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::problem::Problem;
use crate::control;
use crate::store::{FeedbackFilter, NewFeedback};
use crate::tenancy::{CallId, Feedback, TenantId};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list_of_call)).routes(routes!(list))
}

/// Rate a call.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/feedback",
    operation_id = "createCallFeedback", tag = "feedback", request_body = NewFeedback,
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 201, description = "The feedback was recorded.", body = Feedback)))]
async fn create(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfCall>,
    Body(new): Body<NewFeedback>,
) -> Result<(StatusCode, Json<Feedback>), Problem> {
    let feedback = control::create_feedback(&scope, &actor, path.call_id, new).await?;
    Ok((StatusCode::CREATED, Json(feedback)))
}

/// List a call's feedback, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/calls/{call_id}/feedback", operation_id = "listCallFeedback",
    tag = "feedback",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path), Paging),
    responses((status = 200, description = "A page of feedback.", body = Listed<Feedback>)))]
async fn list_of_call(
    Reader { scope }: Reader,
    Ids(path): Ids<OfCall>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<Feedback>>, Problem> {
    scope.has_call(path.call_id).await?;
    let filter = FeedbackFilter { call: Some(path.call_id), ..FeedbackFilter::default() };
    Ok(scope.feedback(&filter, paging.window()?).await?.into())
}

/// Conditions of a list of feedback.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FeedbackQuery {
    /// Only feedback with this rating.
    #[param(minimum = 0, maximum = 255)]
    rating: Option<u8>,
    /// Only feedback from this source.
    source: Option<String>,
    /// Only feedback given at this time or later (RFC 3339).
    from: Option<DateTime<Utc>>,
    /// Only feedback given before this time (RFC 3339).
    to: Option<DateTime<Utc>>,
}

/// List the feedback on all of the tenant's calls, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/feedback", operation_id = "listFeedback", tag = "feedback",
    params(("tenant_id" = TenantId, Path), FeedbackQuery, Paging),
    responses((status = 200, description = "A page of feedback.", body = Listed<Feedback>)))]
async fn list(
    Reader { scope }: Reader,
    ValidQuery(FeedbackQuery { rating, source, from, to }): ValidQuery<FeedbackQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<Feedback>>, Problem> {
    let filter = FeedbackFilter { call: None, rating, source, from, to };
    Ok(scope.feedback(&filter, paging.window()?).await?.into())
}
