//! Phone numbers: which a tenant has, and whether calls to them are taken.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::auth::{Administrator, Reader};
use super::extract::{Asked, Body, Ids, Listed, Paging};
use super::problem::{Problem, ProblemBody};
use crate::store::{NewNumber, NumberFilter};
use crate::tenancy::{NumberId, PhoneNumber, ProviderType, TenantId};

pub fn router() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, update, delete))
}

/// The number of a path.
#[derive(Debug, Deserialize)]
struct Number {
    phone_number_id: NumberId,
}

/// A number to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct New {
    /// With its country code; in the daemon's default region that may be left out.
    #[serde(default)]
    #[schema(required, examples("+493055500100"))]
    did_number: String,
    #[serde(default)]
    provider_type: ProviderType,
}

/// Give the tenant a number. It is active at once. Every number is one tenant's, or nobody's.
///
/// Its provider is asked to bring its calls here; what came of that is in `provider_state`, and
/// `POST …/register` asks again.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/phone-numbers", tag = "phone numbers", request_body = New,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 201, body = PhoneNumber), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, description = "The number is in use", body = ProblemBody)))]
async fn create(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Body(New { did_number, provider_type }): Body<New>,
) -> Result<(StatusCode, Json<PhoneNumber>), Problem> {
    let did = desk.numbering.read(&did_number).map_err(|error| Problem::field("did_number", error))?;
    let number = scope.create_number(&actor, NewNumber { did, provider_type }).await?;
    let number = desk.registrar.follow(&scope, &actor, number).await?;
    Ok((StatusCode::CREATED, Json(number)))
}

/// Which numbers.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    is_active: Option<bool>,
    provider_type: Option<ProviderType>,
}

/// List the tenant's numbers, oldest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/phone-numbers", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), Filter, Paging),
    responses((status = 200, body = Listed<PhoneNumber>), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn list(
    Reader { scope }: Reader,
    Asked(Filter { is_active, provider_type }): Asked<Filter>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Listed<PhoneNumber>>, Problem> {
    let filter = NumberFilter { is_active, provider_type };
    Ok(scope.numbers_page(filter, paging.window()?).await?.into())
}

/// Show a number.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, body = PhoneNumber), (status = 404, body = ProblemBody)))]
async fn show(
    Reader { scope }: Reader,
    Ids(Number { phone_number_id }): Ids<Number>,
) -> Result<Json<PhoneNumber>, Problem> {
    Ok(Json(scope.number(phone_number_id).await?))
}

/// What may change about a number.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Changes {
    /// Calls to an inactive number are refused; it stays the tenant's.
    is_active: Option<bool>,
}

/// Activate or deactivate a number. Its provider is told.
#[utoipa::path(patch, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}", tag = "phone numbers",
    request_body = Changes, params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, body = PhoneNumber), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn update(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Ids(Number { phone_number_id }): Ids<Number>,
    Body(Changes { is_active }): Body<Changes>,
) -> Result<Json<PhoneNumber>, Problem> {
    let Some(active) = is_active else { return Ok(Json(scope.number(phone_number_id).await?)) };
    let number = scope.set_number_active(&actor, phone_number_id, active).await?;
    Ok(Json(desk.registrar.follow(&scope, &actor, number).await?))
}

/// Give a number up. Its calls stay on record; anybody may have it then. Its provider is told; where that fails, a
/// webhook hears of it, `registration` shows it, and `unregister` tries again.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody)))]
async fn delete(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Ids(Number { phone_number_id }): Ids<Number>,
) -> Result<StatusCode, Problem> {
    let number = scope.delete_number(&actor, phone_number_id).await?;
    desk.registrar.follow(&scope, &actor, number).await?;
    Ok(StatusCode::NO_CONTENT)
}
