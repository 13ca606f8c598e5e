//! How a number stands with its provider, and asking the provider again.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::auth::{Administrator, Reader};
use super::extract::Ids;
use super::problem::{Problem, ProblemBody};
use crate::tenancy::{NumberId, Registration, TenantId};

pub fn router() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(unregister)).routes(routes!(show))
}

#[derive(Deserialize)]
struct Path {
    phone_number_id: NumberId,
}

/// Have a number's provider bring its calls here, again or for the first time.
///
/// What the provider says to that is in `provider_state` and `provider_detail`; a number that is `failed` can be
/// asked for again. One that is `pending` when the answer comes is still being asked: see `registration` later.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/register", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, body = Registration), (status = 404, body = ProblemBody)))]
async fn register(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Ids(Path { phone_number_id }): Ids<Path>,
) -> Result<Json<Registration>, Problem> {
    Ok(Json(desk.registrar.register(&scope, &actor, phone_number_id).await?))
}

/// Have a number's provider bring its calls here no longer.
///
/// For a number that was given up, too: where its provider could not be told then, it is told now. A number that has a
/// new owner is left alone.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/unregister", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, body = Registration), (status = 404, body = ProblemBody)))]
async fn unregister(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Ids(Path { phone_number_id }): Ids<Path>,
) -> Result<Json<Registration>, Problem> {
    Ok(Json(desk.registrar.unregister(&scope, &actor, phone_number_id).await?))
}

/// Show how a number stands with its provider.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/registration", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, body = Registration), (status = 404, body = ProblemBody)))]
async fn show(
    Reader { scope }: Reader,
    Ids(Path { phone_number_id }): Ids<Path>,
) -> Result<Json<Registration>, Problem> {
    Ok(Json(scope.registration(phone_number_id).await?))
}
