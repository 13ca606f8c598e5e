//! The operator's number inventory: which tenant may take which number.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Operator;
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::problem::{Problem, ProblemBody};
use crate::control;
use crate::store::{InventoryChanges, InventoryFilter, NewInventoryNumber};
use crate::tenancy::{InventoryNumber, InventoryNumberId, NumberSource, TenantId};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, update, delete))
}

/// The entry of a path.
#[derive(Debug, Deserialize)]
struct InventoryPath {
    inventory_number_id: InventoryNumberId,
}

/// A number to enter into the inventory.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateInventoryNumberRequest {
    /// In E.164, `+` and 3 to 15 digits. Spaces, dots, dashes and brackets are ignored. A number of the daemon's default
    /// region can be written as it is dialled there.
    #[serde(default)]
    #[schema(required, min_length = 3, max_length = 40, examples("+493055500100"))]
    did_number: String,
    /// The tenant that may take it. Default: none.
    tenant_id: Option<TenantId>,
    /// Default: `operator`.
    #[serde(default)]
    source: NumberSource,
    /// The operator's own remark.
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    note: Option<String>,
}

/// Enter a number into the inventory. A number that a tenant has already is assigned to that tenant.
#[utoipa::path(post, path = "/api/number-inventory", operation_id = "createInventoryNumber", tag = "phone numbers",
    request_body = CreateInventoryNumberRequest,
    responses((status = 201, description = "The number was entered.", body = InventoryNumber),
        (status = 409, description = "The number is in the inventory already: `number_in_inventory`; or another tenant \
            has it: `number_in_use`; or the tenant is deleted: `tenant_deleted`.", body = ProblemBody)))]
async fn create(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Body(request): Body<CreateInventoryNumberRequest>,
) -> Result<(StatusCode, Json<InventoryNumber>), Problem> {
    let CreateInventoryNumberRequest { did_number, tenant_id, source, note } = request;
    let did = control::read_number(&api.numbering, &did_number)?;
    let new = NewInventoryNumber { did, tenant: tenant_id, source, note };
    let entered = control::add_inventory_number(&api.store, &actor, new).await?;
    Ok((StatusCode::CREATED, Json(entered)))
}

/// Conditions of a list of the inventory.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct InventoryQuery {
    /// Only numbers that are assigned to this tenant.
    tenant_id: Option<TenantId>,
    /// Only numbers that are assigned to a tenant, or that are not.
    is_assigned: Option<bool>,
    /// Only numbers from this source.
    source: Option<NumberSource>,
}

/// List the inventory, oldest first.
#[utoipa::path(get, path = "/api/number-inventory", operation_id = "listInventoryNumbers", tag = "phone numbers",
    params(InventoryQuery, Paging),
    responses((status = 200, description = "A page of the inventory.", body = Listed<InventoryNumber>)))]
async fn list(
    State(api): State<ApiState>,
    _: Operator,
    ValidQuery(InventoryQuery { tenant_id, is_assigned, source }): ValidQuery<InventoryQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<InventoryNumber>>, Problem> {
    let filter = InventoryFilter { tenant: tenant_id, is_assigned, source };
    Ok(api.store.inventory(filter, paging.window()?).await?.into())
}

/// Show an entry of the inventory.
#[utoipa::path(get, path = "/api/number-inventory/{inventory_number_id}", operation_id = "getInventoryNumber",
    tag = "phone numbers", params(("inventory_number_id" = InventoryNumberId, Path, description = "The entry.")),
    responses((status = 200, description = "The entry.", body = InventoryNumber),
        (status = 404, description = "There is no such entry: `not_found`.", body = ProblemBody)))]
async fn show(
    State(api): State<ApiState>,
    _: Operator,
    Ids(InventoryPath { inventory_number_id }): Ids<InventoryPath>,
) -> Result<Json<InventoryNumber>, Problem> {
    Ok(Json(api.store.inventory_number(inventory_number_id).await?))
}

/// Changes of an entry of the inventory. An absent field stays as it is, `null` clears it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct UpdateInventoryNumberRequest {
    /// The tenant that may take it.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<TenantId>)]
    tenant_id: Option<Option<TenantId>>,
    /// The operator's own remark.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    note: Option<Option<String>>,
}

/// Tells `null` from a field that is absent.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// Assign an entry of the inventory to another tenant or to none, or change its note.
#[utoipa::path(patch, path = "/api/number-inventory/{inventory_number_id}", operation_id = "updateInventoryNumber",
    tag = "phone numbers", request_body = UpdateInventoryNumberRequest,
    params(("inventory_number_id" = InventoryNumberId, Path, description = "The entry.")),
    responses((status = 200, description = "The entry after the change.", body = InventoryNumber),
        (status = 404, description = "There is no such entry: `not_found`.", body = ProblemBody),
        (status = 409, description = "Another tenant has the number: `number_in_use`; or the tenant is deleted: \
            `tenant_deleted`.", body = ProblemBody)))]
async fn update(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Ids(InventoryPath { inventory_number_id }): Ids<InventoryPath>,
    Body(UpdateInventoryNumberRequest { tenant_id, note }): Body<UpdateInventoryNumberRequest>,
) -> Result<Json<InventoryNumber>, Problem> {
    let changes = InventoryChanges { tenant: tenant_id, note };
    let changed = control::update_inventory_number(&api.store, &actor, inventory_number_id, changes);
    Ok(Json(changed.await?))
}

/// Remove a number from the inventory, unless a tenant has it.
#[utoipa::path(delete, path = "/api/number-inventory/{inventory_number_id}", operation_id = "deleteInventoryNumber",
    tag = "phone numbers", params(("inventory_number_id" = InventoryNumberId, Path, description = "The entry.")),
    responses((status = 204, description = "The entry was removed."),
        (status = 404, description = "There is no such entry: `not_found`.", body = ProblemBody),
        (status = 409, description = "A tenant has the number: `number_in_use`.", body = ProblemBody)))]
async fn delete(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Ids(InventoryPath { inventory_number_id }): Ids<InventoryPath>,
) -> Result<StatusCode, Problem> {
    api.store.remove_inventory_number(&actor, inventory_number_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
