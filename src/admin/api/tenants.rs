//! Tenants: the operator creates, suspends, deletes and purges them; a tenant may look at itself.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Operator, Reader};
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::inventory::present;
use super::preconditions::{IF_MATCH, Precondition, Tagged};
use super::problem::{Problem, ProblemBody};
use crate::control;
use crate::store::{Deleted, NewTenant, PurgeSettings, Purged, StoreError, TenantChanges, TenantFilter};
use crate::tenancy::{Actor, Plan, Tenant, TenantId, TenantStatus, given};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, update, delete))
        .routes(routes!(purge))
}

/// Create a tenant. It starts as active.
#[utoipa::path(post, path = "/api/tenants", operation_id = "createTenant", tag = "tenants", request_body = NewTenant,
    responses((status = 201, description = "The tenant was created.", body = Tenant)))]
async fn create(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, Tagged<Tenant>), Problem> {
    Ok((StatusCode::CREATED, Tagged(control::create_tenant(&api.store, &actor, new).await?)))
}

/// Conditions of a list of tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TenantsQuery {
    /// Only tenants with this status.
    status: Option<TenantStatus>,
    /// Only tenants on this plan.
    plan: Option<Plan>,
}

/// List tenants, oldest first.
#[utoipa::path(get, path = "/api/tenants", operation_id = "listTenants", tag = "tenants",
    params(TenantsQuery, Paging),
    responses((status = 200, description = "A page of tenants.", body = Listed<Tenant>)))]
async fn list(
    State(api): State<ApiState>,
    _: Operator,
    ValidQuery(filter): ValidQuery<TenantsQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<Tenant>>, Problem> {
    let filter = TenantFilter { status: filter.status, plan: filter.plan };
    Ok(api.store.tenants_page(filter, paging.window()?).await?.into())
}

/// Show a tenant.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}", operation_id = "getTenant", tag = "tenants",
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The tenant.", body = Tenant)))]
async fn show(State(api): State<ApiState>, Reader { scope }: Reader) -> Result<Tagged<Tenant>, Problem> {
    Ok(Tagged(api.store.tenant(scope.tenant_id()).await?))
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
    /// Highest number of concurrent calls, by which the tenant's shares of the engines grow; `null` for the plan's limit, or the
    /// daemon's.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 4294967295_i64)]
    max_concurrent_calls: Option<Option<u32>>,
}

/// Change a tenant's status, plan or number of calls.
///
/// The status `deleted` is final and does what `DELETE` does: numbers are released, keys revoked, webhooks deleted.
#[utoipa::path(patch, path = "/api/tenants/{tenant_id}", operation_id = "updateTenant", tag = "tenants",
    request_body = UpdateTenantRequest,
    params(("tenant_id" = TenantId, Path), ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The tenant after the change.", body = Tenant),
        (status = 409, description = "The tenant is deleted, which is final: `tenant_deleted`.", body = ProblemBody)))]
async fn update(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Ids(id): Ids<TenantId>,
    precondition: Precondition,
    Body(UpdateTenantRequest { status, plan, max_concurrent_calls }): Body<UpdateTenantRequest>,
) -> Result<Tagged<Tenant>, Problem> {
    if status == Some(TenantStatus::Deleted) {
        if plan.is_some() {
            return Err(Problem::field("plan", "a deleted tenant has no plan: leave it out"));
        }
        if max_concurrent_calls.is_some() {
            return Err(Problem::field(
                "max_concurrent_calls",
                "a deleted tenant has no calls: leave it out",
            ));
        }
        return api.delete_tenant(&actor, id, &precondition).await.map(Tagged);
    }
    let decide = |current: &Tenant| -> Result<TenantChanges, Problem> {
        precondition.check(current)?;
        Ok(TenantChanges { status, plan, max_concurrent_calls, ..TenantChanges::default() })
    };
    Ok(Tagged(api.store.update_tenant_if(&actor, id, decide).await?))
}

impl ApiState {
    /// Deletes a tenant that is not deleted yet, with its precondition checked in the transaction of the deletion.
    async fn delete_tenant(
        &self,
        actor: &Actor,
        id: TenantId,
        precondition: &Precondition,
    ) -> Result<Tenant, Problem> {
        let check = |current: &Tenant| match current.status {
            TenantStatus::Deleted => Err(StoreError::tenant_deleted().into()),
            TenantStatus::Active | TenantStatus::Suspended => precondition.check(current),
        };
        let (store, registrar) = (&self.store, &self.registrar);
        let (deleted, _) = control::delete_tenant_if(store, registrar, actor, id, false, check).await?;
        Ok(deleted.tenant)
    }
}

/// Whether it is only tried.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DryRunQuery {
    /// Only say what would happen. Default false.
    #[serde(default)]
    dry_run: bool,
}

/// Delete a tenant for good.
///
/// Its numbers are released and unregistered at their providers, its keys revoked, its webhooks deleted and their pending
/// deliveries given up. Its other rows stay until it is purged. `dry_run=true` shows the counts and changes nothing.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}", operation_id = "deleteTenant", tag = "tenants",
    params(("tenant_id" = TenantId, Path), DryRunQuery,
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The tenant was deleted, or would be.", body = Deleted)))]
async fn delete(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Ids(id): Ids<TenantId>,
    ValidQuery(DryRunQuery { dry_run }): ValidQuery<DryRunQuery>,
    precondition: Precondition,
) -> Result<Json<Deleted>, Problem> {
    let (store, registrar) = (&api.store, &api.registrar);
    let check = |current: &Tenant| precondition.check(current);
    // The providers' answers are not awaited: the numbers' states and the audit log show them.
    let (deleted, _) = control::delete_tenant_if(store, registrar, &actor, id, dry_run, check).await?;
    Ok(Json(deleted))
}

/// Erase the rows of a deleted tenant.
///
/// Statements, sums of usage and the tenant's own row stay for accounting unless `with_statements` is set. `dry_run` shows
/// the counts and changes nothing.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/purge", operation_id = "purgeTenant", tag = "tenants",
    request_body = PurgeSettings, params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The rows were erased, or would be.", body = Purged),
        (status = 409, description = "The tenant is not deleted: `tenant_not_deleted`; or it has live calls or numbers that \
            a provider may still hold.", body = ProblemBody)))]
async fn purge(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Ids(id): Ids<TenantId>,
    Body(settings): Body<PurgeSettings>,
) -> Result<Json<Purged>, Problem> {
    Ok(Json(control::purge_tenant(&api.store, &actor, id, settings).await?))
}
