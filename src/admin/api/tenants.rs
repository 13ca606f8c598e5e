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
use super::problem::{Problem, ProblemBody};
use crate::store::{NewTenant, TenantChanges, TenantFilter};
use crate::tenancy::{Plan, Tenant, TenantId, TenantStatus};

pub fn router() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, update))
}

/// Create a tenant. It starts out active.
#[utoipa::path(post, path = "/api/tenants", tag = "tenants", request_body = NewTenant,
    responses((status = 201, body = Tenant), (status = 400, body = ProblemBody)))]
async fn create(
    State(desk): State<Desk>,
    Operator(actor): Operator,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, Json<Tenant>), Problem> {
    check_name(&new.name)?;
    Ok((StatusCode::CREATED, Json(desk.store.create_tenant(&actor, new).await?)))
}

/// Which tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    status: Option<TenantStatus>,
    plan: Option<Plan>,
}

/// List tenants, oldest first.
#[utoipa::path(get, path = "/api/tenants", tag = "tenants", params(Filter, Paging),
    responses((status = 200, body = Listed<Tenant>)))]
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
#[utoipa::path(get, path = "/api/tenants/{tenant_id}", tag = "tenants", params(("tenant_id" = TenantId, Path)),
    responses((status = 200, body = Tenant), (status = 404, body = ProblemBody)))]
async fn show(State(desk): State<Desk>, Reader { scope }: Reader) -> Result<Json<Tenant>, Problem> {
    Ok(Json(desk.store.tenant(scope.tenant_id()).await?))
}

/// What may change about a tenant over HTTP: `status` and `plan`, nothing else.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Changes {
    status: Option<TenantStatus>,
    plan: Option<Plan>,
}

/// Change a tenant's status or plan.
#[utoipa::path(patch, path = "/api/tenants/{tenant_id}", tag = "tenants", request_body = Changes,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, body = Tenant), (status = 404, body = ProblemBody)))]
async fn update(
    State(desk): State<Desk>,
    Operator(actor): Operator,
    Ids(id): Ids<TenantId>,
    Body(Changes { status, plan }): Body<Changes>,
) -> Result<Json<Tenant>, Problem> {
    let changes = TenantChanges { status, plan, ..TenantChanges::default() };
    Ok(Json(desk.store.update_tenant(&actor, id, changes).await?))
}

/// The database would refuse it, too, but could not say which field it was.
fn check_name(name: &str) -> Result<(), Problem> {
    match name.trim().chars().count() {
        0 => Err(Problem::field("name", "a name is needed")),
        1..=200 => Ok(()),
        _ => Err(Problem::field("name", "200 characters at most")),
    }
}
