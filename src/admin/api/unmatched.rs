//! Called numbers that no tenant has: the operator's.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Operator;
use super::extract::Listed;
use super::problem::Problem;
use crate::store::UnmatchedNumber;

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// List called numbers that no tenant has, the latest first.
///
/// Calls to them are refused with 404 and have no record. The latest 1,000 numbers are kept, on one page.
#[utoipa::path(get, path = "/api/unmatched-numbers", operation_id = "listUnmatchedNumbers", tag = "phone numbers",
    responses((status = 200, description = "The numbers.", body = Listed<UnmatchedNumber>)))]
async fn list(State(api): State<ApiState>, _: Operator) -> Result<Json<Listed<UnmatchedNumber>>, Problem> {
    let items = api.store.unmatched_numbers().await?;
    Ok(Json(Listed { items, next_cursor: None }))
}
