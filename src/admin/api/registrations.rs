//! How a number stands with its provider, and asking the provider again.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Reader};
use super::extract::Ids;
use super::problem::Problem;
use crate::tenancy::{NumberId, Registration, TenantId};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(unregister)).routes(routes!(show))
}

#[derive(Deserialize)]
struct NumberPath {
    phone_number_id: NumberId,
}

/// Ask a number's provider to route its calls here, again or for the first time.
///
/// `provider_state` and `provider_detail` have the result; repeat the request while the state is `failed`. In the state
/// `pending` the request is in progress: see `registration` later.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/register",
    operation_id = "registerPhoneNumber", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, description = "The registration after the attempt.", body = Registration)))]
async fn register(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(NumberPath { phone_number_id }): Ids<NumberPath>,
) -> Result<Json<Registration>, Problem> {
    Ok(Json(api.registrar.register(&scope, &actor, phone_number_id).await?))
}

/// Ask a number's provider to stop routing its calls here.
///
/// It works for a deleted number, too, when its provider could not be notified before. A number that was assigned again
/// is left alone.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/unregister",
    operation_id = "unregisterPhoneNumber", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, description = "The registration after the attempt.", body = Registration)))]
async fn unregister(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(NumberPath { phone_number_id }): Ids<NumberPath>,
) -> Result<Json<Registration>, Problem> {
    Ok(Json(api.registrar.unregister(&scope, &actor, phone_number_id).await?))
}

/// Show the state of a number at its provider.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/registration",
    operation_id = "getPhoneNumberRegistration", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, description = "The registration.", body = Registration)))]
async fn show(
    Reader { scope }: Reader,
    Ids(NumberPath { phone_number_id }): Ids<NumberPath>,
) -> Result<Json<Registration>, Problem> {
    Ok(Json(scope.registration(phone_number_id).await?))
}
