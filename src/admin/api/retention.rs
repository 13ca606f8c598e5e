//! For how long a tenant's things are to be kept.
//!
//! It is a setting so far: the daemon does not delete anything by it yet.

use axum::Json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::auth::{Administrator, Reader};
use super::extract::Body;
use super::problem::{Problem, ProblemBody};
use crate::tenancy::{Flaw, Retention, TenantId};

pub fn router() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(show, replace))
}

/// Show for how many days things are kept.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/retention", tag = "retention",
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, body = Retention), (status = 404, body = ProblemBody)))]
async fn show(Reader { scope }: Reader) -> Result<Json<Retention>, Problem> {
    Ok(Json(scope.retention().await?))
}

/// Say for how many days things are kept. What is absent is kept for ever.
///
/// This version keeps the setting and does not delete anything by it yet.
#[utoipa::path(put, path = "/api/tenants/{tenant_id}/retention", tag = "retention",
    params(("tenant_id" = TenantId, Path)), request_body = Retention,
    responses((status = 200, body = Retention), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
async fn replace(
    Administrator { scope, actor }: Administrator,
    Body(retention): Body<Retention>,
) -> Result<Json<Retention>, Problem> {
    let fault = |(field, problem): (&str, String)| Flaw { field: field.to_owned(), problem };
    let faults: Vec<Flaw> = retention.faults().into_iter().map(fault).collect();
    if !faults.is_empty() {
        return Err(Problem::fields(faults));
    }
    Ok(Json(scope.set_retention(&actor, retention).await?))
}
