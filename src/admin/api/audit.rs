//! The audit log: what was changed, when, by whom, from what to what.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Operator, Reader};
use super::extract::{Listed, Paging, ValidQuery};
use super::problem::Problem;
use crate::store::{AuditEntry, AuditFilter};
use crate::tenancy::TenantId;

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(list_all))
}

/// Conditions of a list of audit entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Type of the resource, such as `phone_number`.
    resource: Option<String>,
    /// Id of the resource.
    resource_id: Option<String>,
    /// Such as `create`, `update` or `revoke`.
    action: Option<String>,
    /// Part of the name of who made the change, such as `cli root` or `vca_1a2b3c4d`.
    actor: Option<String>,
    /// Only entries of this time or later (RFC 3339).
    from: Option<DateTime<Utc>>,
    /// Only entries before this time (RFC 3339).
    to: Option<DateTime<Utc>>,
}

impl From<AuditQuery> for AuditFilter {
    fn from(AuditQuery { resource, resource_id, action, actor, from, to }: AuditQuery) -> AuditFilter {
        AuditFilter { resource, resource_id, action, actor, from, to }
    }
}

/// List the changes within the tenant, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/audit", operation_id = "listTenantAuditEntries", tag = "audit",
    params(("tenant_id" = TenantId, Path), AuditQuery, Paging),
    responses((status = 200, description = "A page of audit entries.", body = Listed<AuditEntry>)))]
async fn list(
    Reader { scope }: Reader,
    ValidQuery(filter): ValidQuery<AuditQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<AuditEntry>>, Problem> {
    Ok(scope.audit(&filter.into(), paging.window()?).await?.into())
}

/// List all changes, newest first.
#[utoipa::path(get, path = "/api/audit", operation_id = "listAuditEntries", tag = "audit",
    params(AuditQuery, Paging),
    responses((status = 200, description = "A page of audit entries.", body = Listed<AuditEntry>)))]
async fn list_all(
    State(api): State<ApiState>,
    _: Operator,
    ValidQuery(filter): ValidQuery<AuditQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<AuditEntry>>, Problem> {
    Ok(api.store.audit(&filter.into(), paging.window()?).await?.into())
}
