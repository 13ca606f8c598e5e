//! Erasing the personal data of a call or of a caller.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Administrator;
use super::extract::Body;
use super::problem::{Problem, ProblemBody};
use crate::control::{self, ErasureRequest};
use crate::store::Erased;
use crate::tenancy::TenantId;

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Erase the stored data of a call or of all calls of a caller.
///
/// Words, the caller's number, comments of feedback and payloads of webhooks are erased; the call's row stays with
/// its times, for billing. `dry_run` counts and changes nothing. The response names the copies that are out of
/// reach.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/erasures", operation_id = "createErasure", tag = "calls",
    params(("tenant_id" = TenantId, Path)), request_body = ErasureRequest,
    responses((status = 200, description = "The data was erased, or would be.", body = Erased),
        (status = 409, description = "A call is in progress: `call_live`.", body = ProblemBody)))]
async fn create(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Body(request): Body<ErasureRequest>,
) -> Result<Json<Erased>, Problem> {
    let live = api.live.calls(Some(scope.tenant_id()));
    Ok(Json(control::erase(&scope, Some(api.state.as_ref()), &live, &actor, &request).await?))
}
