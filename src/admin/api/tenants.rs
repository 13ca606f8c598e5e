//! Tenants: the operator makes, suspends and deletes them; a tenant may look at itself.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::auth::{Operator, Reader};
use super::extract::{Asked, Body, Ids, Listed, Paging};
use super::preconditions::{IF_MATCH, Precondition, Tagged};
use super::problem::Problem;
use crate::store::{NewTenant, TenantChanges, TenantFilter};
use crate::tenancy::{Plan, Tenant, TenantId, TenantStatus, given};

pub fn router() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, update))
}

/// Create a tenant. It starts as active.
#[utoipa::path(post, path = "/api/tenants", operation_id = "createTenant", tag = "tenants", request_body = NewTenant,
    responses((status = 201, description = "The tenant was created.", body = Tenant)))]
async fn create(
    State(desk): State<Desk>,
    Operator(actor): Operator,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, Tagged<Tenant>), Problem> {
    check_name(&new.name)?;
    Ok((StatusCode::CREATED, Tagged(desk.store.create_tenant(&actor, new).await?)))
}

/// Conditions of a list of tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only tenants with this status.
    status: Option<TenantStatus>,
    /// Only tenants on this plan.
    plan: Option<Plan>,
}

/// List tenants, oldest first.
#[utoipa::path(get, path = "/api/tenants", operation_id = "listTenants", tag = "tenants",
    params(Filter, Paging),
    responses((status = 200, description = "A page of tenants.", body = Listed<Tenant>)))]
async fn list(
    State(desk): State<Desk>,
    _: Operator,
    Asked(filter): Asked<Filter>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Listed<Tenant>>, Problem> {
    let filter = TenantFilter { status: filter.status, plan: filter.plan };
    Ok(desk.store.tenants_page(filter, paging.window()?).await?.into())
}

/// Show a tenant.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}", operation_id = "getTenant", tag = "tenants",
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The tenant.", body = Tenant)))]
async fn show(State(desk): State<Desk>, Reader { scope }: Reader) -> Result<Tagged<Tenant>, Problem> {
    Ok(Tagged(desk.store.tenant(scope.tenant_id()).await?))
}

/// Changes of a tenant. An absent field stays as it is.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateTenantRequest {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    status: Option<TenantStatus>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    plan: Option<Plan>,
}

/// Change a tenant's status or plan.
#[utoipa::path(patch, path = "/api/tenants/{tenant_id}", operation_id = "updateTenant", tag = "tenants",
    request_body = UpdateTenantRequest,
    params(("tenant_id" = TenantId, Path), ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The tenant after the change.", body = Tenant)))]
async fn update(
    State(desk): State<Desk>,
    Operator(actor): Operator,
    Ids(id): Ids<TenantId>,
    precondition: Precondition,
    Body(UpdateTenantRequest { status, plan }): Body<UpdateTenantRequest>,
) -> Result<Tagged<Tenant>, Problem> {
    let decide = |current: &Tenant| -> Result<TenantChanges, Problem> {
        precondition.check(current)?;
        Ok(TenantChanges { status, plan, ..TenantChanges::default() })
    };
    Ok(Tagged(desk.store.update_tenant_if(&actor, id, decide).await?))
}

/// The database would refuse it, too, but could not say which field it was.
fn check_name(name: &str) -> Result<(), Problem> {
    match name.trim().chars().count() {
        0 => Err(Problem::field("name", "a name is needed")),
        1..=200 => Ok(()),
        _ => Err(Problem::field("name", "200 characters at most")),
    }
}
