//! Retention periods of a tenant.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Reader};
use super::extract::Body;
use super::preconditions::{IF_MATCH, Precondition, Tagged};
use super::problem::Problem;
use crate::tenancy::{Retention, TenantId};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(show, replace))
}

/// Show the retention periods.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/retention", operation_id = "getRetention", tag = "retention",
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The retention periods.", body = Retention)))]
async fn show(Reader { scope }: Reader) -> Result<Tagged<Retention>, Problem> {
    Ok(Tagged(scope.retention().await?))
}

/// Replace the retention periods. An absent field means no limit.
///
/// Once an hour the daemon deletes what is older: calls with all that belongs to them, transcripts, payloads of webhooks and
/// entries of the audit log. Sums of usage and statements stay. There are no recordings, so `recording_days` deletes nothing.
#[utoipa::path(put, path = "/api/tenants/{tenant_id}/retention", operation_id = "replaceRetention",
    tag = "retention", request_body = Retention,
    params(("tenant_id" = TenantId, Path), ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The retention periods after the change.", body = Retention)))]
async fn replace(
    Administrator { scope, actor }: Administrator,
    precondition: Precondition,
    Body(retention): Body<Retention>,
) -> Result<Tagged<Retention>, Problem> {
    let violations = retention.violations();
    if !violations.is_empty() {
        return Err(Problem::fields(violations));
    }
    let check = |current: &Retention| precondition.check(current);
    Ok(Tagged(scope.set_retention_if(&actor, retention, check).await?))
}
