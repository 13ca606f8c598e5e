//! Which profiles answer a phone number's calls, and the versions of it.

use axum::Json;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Reader};
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::preconditions::{IF_MATCH, Precondition, Tagged};
use super::problem::{Problem, ProblemBody};
use crate::control;
use crate::tenancy::{NumberId, NumberRouting, RoutingComparison, RoutingVersion, TenantId};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(show, replace))
        .routes(routes!(versions))
        .routes(routes!(version))
        .routes(routes!(differences))
        .routes(routes!(roll_back))
}

#[derive(Deserialize)]
struct OfNumber {
    phone_number_id: NumberId,
}

/// The version of a path.
#[derive(Deserialize)]
struct OfVersion {
    phone_number_id: NumberId,
    version: u32,
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
/// of calls and analytics can be narrowed to one with `ai_profile_id`. Calls in progress keep their profile. A change makes a new
/// version of the number's routing, which the records of later calls name (`routing_version`).
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

/// List the versions of a phone number's routing, newest first: which profiles answer, and the failover routes.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/routing/versions",
    operation_id = "listRoutingVersions", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path), Paging),
    responses((status = 200, description = "A page of versions.", body = Listed<RoutingVersion>)))]
async fn versions(
    Reader { scope }: Reader,
    Ids(OfNumber { phone_number_id }): Ids<OfNumber>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<RoutingVersion>>, Problem> {
    Ok(scope.routing_versions(phone_number_id, paging.window()?).await?.into())
}

/// Show a version of a phone number's routing.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/routing/versions/{version}",
    operation_id = "getRoutingVersion", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path),
        ("version" = i64, Path, minimum = 0, maximum = 4294967295_i64)),
    responses((status = 200, description = "The version.", body = RoutingVersion)))]
async fn version(
    Reader { scope }: Reader,
    Ids(OfVersion { phone_number_id, version }): Ids<OfVersion>,
) -> Result<Json<RoutingVersion>, Problem> {
    Ok(Json(scope.routing_version(phone_number_id, version).await?))
}

/// The version to compare with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DifferencesQuery {
    /// The earlier version. Default: the latest one before that is kept.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4294967295_i64)]
    earlier: Option<u32>,
}

/// Show how a version of a phone number's routing differs from an earlier one, by field.
#[utoipa::path(get,
    path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/routing/versions/{version}/differences",
    operation_id = "compareRoutingVersions", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path),
        ("version" = i64, Path, minimum = 0, maximum = 4294967295_i64), DifferencesQuery),
    responses((status = 200, description = "The differences.", body = RoutingComparison)))]
async fn differences(
    Reader { scope }: Reader,
    Ids(OfVersion { phone_number_id, version }): Ids<OfVersion>,
    ValidQuery(DifferencesQuery { earlier }): ValidQuery<DifferencesQuery>,
) -> Result<Json<RoutingComparison>, Problem> {
    Ok(Json(control::compare_routing(&scope, phone_number_id, version, earlier).await?))
}

/// The version to return to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RollBackRoutingRequest {
    /// A version of this number's routing.
    #[schema(value_type = i64, minimum = 0, maximum = 4294967295_i64)]
    version: u32,
}

/// Return a phone number's routing and failover routes to an earlier version. That makes a new version with the old content.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/routing/rollback",
    operation_id = "rollBackNumberRouting", tag = "phone numbers", request_body = RollBackRoutingRequest,
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, description = "The present version, after the rollback.", body = RoutingVersion),
        (status = 400, description = "The tenant does not have a profile of the version any more: `invalid_value`.", body = ProblemBody)))]
async fn roll_back(
    Administrator { scope, actor }: Administrator,
    Ids(OfNumber { phone_number_id }): Ids<OfNumber>,
    Body(RollBackRoutingRequest { version }): Body<RollBackRoutingRequest>,
) -> Result<Json<RoutingVersion>, Problem> {
    Ok(Json(control::roll_back_routing(&scope, &actor, phone_number_id, version).await?))
}
