//! A tenant's phone numbers, and those that it may take.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Caller, Reader};
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::preconditions::{IF_MATCH, Precondition, Tagged};
use super::problem::{Problem, ProblemBody};
use crate::control::{self, GivenBy, NumberRequest};
use crate::store::{NumberChanges, NumberFilter};
use crate::tenancy::{
    AvailableNumber, FailoverRoutes, NumberId, PhoneNumber, ProviderType, Role, TenantId, given,
};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, update, delete))
        .routes(routes!(available))
}

/// The number of a path.
#[derive(Debug, Deserialize)]
struct Number {
    phone_number_id: NumberId,
}

/// A phone number to assign to a tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateNumberRequest {
    /// In E.164, `+` and 3 to 15 digits. Spaces, dots, dashes and brackets are ignored. A number of the daemon's default
    /// region can be written as it is dialled there.
    #[serde(default)]
    #[schema(required, min_length = 3, max_length = 40, examples("+493055500100"))]
    did_number: String,
    /// The provider that routes its calls here. Default: `generic`.
    #[serde(default)]
    provider_type: ProviderType,
}

/// Assign a phone number to the tenant. It is active at once. A number belongs to one tenant at a time.
///
/// An operator gives a tenant any number. A tenant's administrator takes one of `available-numbers`; every other is answered
/// with 403 `number_not_assigned`, whether it is in use, free or unknown.
///
/// Its provider is asked to route its calls here. `provider_state` has the result; `POST …/register` repeats the request.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/phone-numbers", operation_id = "createPhoneNumber",
    tag = "phone numbers", request_body = CreateNumberRequest,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 201, description = "The number was assigned to the tenant.", body = PhoneNumber),
        (status = 403, description = "The number is not assigned to the tenant: `number_not_assigned`; or the key may \
            not create numbers.", body = ProblemBody),
        (status = 409, description = "The number is in use: `number_in_use`; or callers could not tell it from another \
            number: `number_ambiguous`.", body = ProblemBody)))]
async fn create(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    caller: Caller,
    Body(CreateNumberRequest { did_number, provider_type }): Body<CreateNumberRequest>,
) -> Result<(StatusCode, Tagged<PhoneNumber>), Problem> {
    let given_by = match caller.presented.key.role {
        Role::Operator => GivenBy::Operator,
        Role::TenantAdmin | Role::TenantViewer => GivenBy::Tenant,
    };
    let request = NumberRequest { did_number: &did_number, provider_type, given_by };
    let number = control::create_number(&api.registrar, &scope, &actor, &api.numbering, request).await?;
    Ok((StatusCode::CREATED, Tagged(number)))
}

/// Conditions of a list of phone numbers.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct NumbersQuery {
    /// Only numbers that are active, or that are not.
    is_active: Option<bool>,
    /// Only numbers of this provider.
    provider_type: Option<ProviderType>,
}

/// List the tenant's phone numbers, oldest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/phone-numbers", operation_id = "listPhoneNumbers",
    tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), NumbersQuery, Paging),
    responses((status = 200, description = "A page of phone numbers.", body = Listed<PhoneNumber>)))]
async fn list(
    Reader { scope }: Reader,
    ValidQuery(NumbersQuery { is_active, provider_type }): ValidQuery<NumbersQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<PhoneNumber>>, Problem> {
    let filter = NumberFilter { is_active, provider_type };
    Ok(scope.numbers_page(filter, paging.window()?).await?.into())
}

/// Show a phone number.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}",
    operation_id = "getPhoneNumber", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, description = "The phone number.", body = PhoneNumber)))]
async fn show(
    Reader { scope }: Reader,
    Ids(Number { phone_number_id }): Ids<Number>,
) -> Result<Tagged<PhoneNumber>, Problem> {
    Ok(Tagged(scope.number(phone_number_id).await?))
}

/// Changes of a phone number. An absent field stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateNumberRequest {
    /// Calls to an inactive number are refused; it still belongs to the tenant.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    is_active: Option<bool>,
    /// Replaces the failover routes as a whole; `{}` removes them.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    failover: Option<FailoverRoutes>,
    /// `false`: the tenant's pre-call webhook is not asked about its calls.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    uses_tenant_webhook: Option<bool>,
}

/// Change a phone number. Its provider is notified where it is activated or deactivated.
#[utoipa::path(patch, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}",
    operation_id = "updatePhoneNumber", tag = "phone numbers", request_body = UpdateNumberRequest,
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The phone number after the change.", body = PhoneNumber)))]
async fn update(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(Number { phone_number_id: id }): Ids<Number>,
    precondition: Precondition,
    Body(request): Body<UpdateNumberRequest>,
) -> Result<Tagged<PhoneNumber>, Problem> {
    let check = |current: &PhoneNumber| precondition.check(current);
    let UpdateNumberRequest { is_active, failover, uses_tenant_webhook } = request;
    let changes = NumberChanges { is_active, failover, uses_tenant_webhook };
    if changes == NumberChanges::default() {
        let number = scope.number(id).await?;
        check(&number)?;
        return Ok(Tagged(number));
    }
    let changed = control::update_number(&api.registrar, &scope, &actor, id, &changes, check);
    Ok(Tagged(changed.await?))
}

/// Release a phone number. Its call records stay. It remains assigned to the tenant, which can take it again.
///
/// Its provider is notified. If that fails, the event `number.registration_failed` is sent, `registration` shows the
/// reason, and `unregister` repeats the request.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}",
    operation_id = "deletePhoneNumber", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 204, description = "The number was released.")))]
async fn delete(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(Number { phone_number_id: id }): Ids<Number>,
    precondition: Precondition,
) -> Result<StatusCode, Problem> {
    let check = |current: &PhoneNumber| precondition.check(current);
    control::release_number(&api.registrar, &scope, &actor, id, check).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the numbers that the operator has assigned to the tenant and that it has not taken, oldest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/available-numbers", operation_id = "listAvailableNumbers",
    tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), Paging),
    responses((status = 200, description = "A page of available numbers.", body = Listed<AvailableNumber>)))]
async fn available(
    Reader { scope }: Reader,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<AvailableNumber>>, Problem> {
    Ok(scope.available_numbers(paging.window()?).await?.into())
}
