//! The audit log: what was changed, when, by whom, from what to what.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::auth::{Operator, Reader};
use super::extract::{Asked, Listed, Paging};
use super::problem::{Problem, ProblemBody};
use crate::store::{AuditEntry, AuditFilter};
use crate::tenancy::TenantId;

pub fn router() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(list_all))
}

/// Which entries; all conditions hold together.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// The kind of thing, such as `phone_number`.
    resource: Option<String>,
    resource_id: Option<String>,
    /// Such as `create`, `update` or `revoke`.
    action: Option<String>,
    /// A part of the name of who did it, such as `cli root` or `vca_1a2b3c4d`.
    actor: Option<String>,
    from: Option<DateTime<Utc>>,
    /// Exclusive.
    to: Option<DateTime<Utc>>,
}

impl From<Filter> for AuditFilter {
    fn from(Filter { resource, resource_id, action, actor, from, to }: Filter) -> AuditFilter {
        AuditFilter { resource, resource_id, action, actor, from, to }
    }
}

/// List the changes to what is the tenant's, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/audit", tag = "audit",
    params(("tenant_id" = TenantId, Path), Filter, Paging),
    responses((status = 200, body = Listed<AuditEntry>), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn list(
    Reader { scope }: Reader,
    Asked(filter): Asked<Filter>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Listed<AuditEntry>>, Problem> {
    Ok(scope.audit(&filter.into(), paging.window()?).await?.into())
}

/// List everybody's changes, newest first.
#[utoipa::path(get, path = "/api/audit", tag = "audit", params(Filter, Paging),
    responses((status = 200, body = Listed<AuditEntry>), (status = 400, body = ProblemBody)))]
async fn list_all(
    State(desk): State<Desk>,
    _: Operator,
    Asked(filter): Asked<Filter>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Listed<AuditEntry>>, Problem> {
    Ok(desk.store.audit(&filter.into(), paging.window()?).await?.into())
}
