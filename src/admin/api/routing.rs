//! Which profiles answer a phone number's calls.

use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Reader};
use super::extract::{Body, Ids};
use super::preconditions::{IF_MATCH, Precondition, Tagged};
use super::problem::Problem;
use crate::control;
use crate::tenancy::{NumberId, NumberRouting, TenantId};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(show, replace))
}

#[derive(Deserialize)]
struct OfNumber {
    phone_number_id: NumberId,
}

/// Show which profiles answer a phone number's calls.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/routing",
    operation_id = "getNumberRouting", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, description = "The routing of the number.", body = NumberRouting)))]
async fn show(
    Reader { scope }: Reader,
    Ids(OfNumber { phone_number_id }): Ids<OfNumber>,
) -> Result<Tagged<NumberRouting>, Problem> {
    Ok(Tagged(scope.number_routing(phone_number_id).await?))
}

/// Replace which profiles answer a phone number's calls. An absent field takes its default, so `{}` returns the number to the
/// tenant's default profile.
///
/// Several profiles share the calls by their weights, for comparison: a call's record names the profile and its version, and lists
/// of calls and analytics can be narrowed to one with `ai_profile_id`. Calls in progress keep their profile.
#[utoipa::path(put, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/routing",
    operation_id = "replaceNumberRouting", tag = "phone numbers", request_body = NumberRouting,
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The routing after the change.", body = NumberRouting)))]
async fn replace(
    Administrator { scope, actor }: Administrator,
    Ids(OfNumber { phone_number_id }): Ids<OfNumber>,
    precondition: Precondition,
    Body(routing): Body<NumberRouting>,
) -> Result<Tagged<NumberRouting>, Problem> {
    let check = |current: &NumberRouting| precondition.check(current);
    let changed = control::set_number_routing(&scope, &actor, phone_number_id, &routing, check);
    Ok(Tagged(changed.await?))
}
