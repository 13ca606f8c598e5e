//! Transfer targets of a tenant: where its agents may transfer callers to.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Reader};
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::preconditions::{IF_MATCH, Precondition, Tagged};
use super::problem::{Problem, ProblemBody};
use crate::control;
use crate::store::{NewTarget, TargetChanges};
use crate::tenancy::{TargetId, TenantId, TransferTarget};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, update, delete))
}

#[derive(Debug, Deserialize)]
struct OfTarget {
    transfer_target_id: TargetId,
}

/// Create a transfer target. The operator's settings limit the contexts, hosts and numbers that it may name. Each profile that leads
/// callers to targets has a new version with it.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/transfer-targets", operation_id = "createTransferTarget",
    tag = "transfer targets", request_body = NewTarget,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 201, description = "The target was created.", body = TransferTarget),
        (status = 409, description = "The tenant has a target of this name: `name_in_use`.", body = ProblemBody)))]
async fn create(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Body(new): Body<NewTarget>,
) -> Result<(StatusCode, Tagged<TransferTarget>), Problem> {
    let target = control::create_target(&scope, &actor, &api.transfer.get(), new).await?;
    Ok((StatusCode::CREATED, Tagged(target)))
}

/// List the tenant's transfer targets, oldest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/transfer-targets", operation_id = "listTransferTargets",
    tag = "transfer targets",
    params(("tenant_id" = TenantId, Path), Paging),
    responses((status = 200, description = "A page of transfer targets.", body = Listed<TransferTarget>)))]
async fn list(
    Reader { scope }: Reader,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<TransferTarget>>, Problem> {
    Ok(scope.targets_page(paging.window()?).await?.into())
}

/// Show a transfer target.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/transfer-targets/{transfer_target_id}",
    operation_id = "getTransferTarget", tag = "transfer targets",
    params(("tenant_id" = TenantId, Path), ("transfer_target_id" = TargetId, Path)),
    responses((status = 200, description = "The transfer target.", body = TransferTarget)))]
async fn show(Reader { scope }: Reader, Ids(path): Ids<OfTarget>) -> Result<Tagged<TransferTarget>, Problem> {
    Ok(Tagged(scope.target(path.transfer_target_id).await?))
}

/// Change a transfer target. Each profile that leads callers to targets has a new version with the change, which the next call uses.
#[utoipa::path(patch, path = "/api/tenants/{tenant_id}/transfer-targets/{transfer_target_id}",
    operation_id = "updateTransferTarget", tag = "transfer targets", request_body = TargetChanges,
    params(("tenant_id" = TenantId, Path), ("transfer_target_id" = TargetId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The transfer target after the change.", body = TransferTarget),
        (status = 409, description = "The tenant has another target of this name: `name_in_use`.", body = ProblemBody)))]
async fn update(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfTarget>,
    precondition: Precondition,
    Body(changes): Body<TargetChanges>,
) -> Result<Tagged<TransferTarget>, Problem> {
    let check = |current: &TransferTarget| precondition.check(current);
    let rules = api.transfer.get();
    let changed = control::update_target(&scope, &actor, &rules, path.transfer_target_id, changes, check);
    Ok(Tagged(changed.await?))
}

/// Delete a transfer target. No version of a profile leads to it from then on, and a failover route to it leads to the dialplan.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/transfer-targets/{transfer_target_id}",
    operation_id = "deleteTransferTarget", tag = "transfer targets",
    params(("tenant_id" = TenantId, Path), ("transfer_target_id" = TargetId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 204, description = "The transfer target was deleted.")))]
async fn delete(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfTarget>,
    precondition: Precondition,
) -> Result<StatusCode, Problem> {
    let check = |current: &TransferTarget| precondition.check(current);
    scope.delete_target_if(&actor, path.transfer_target_id, check).await?;
    Ok(StatusCode::NO_CONTENT)
}
