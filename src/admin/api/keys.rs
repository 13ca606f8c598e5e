//! API keys: of one tenant, and the operator's over all of them. A secret is shown once, when its key is made.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Caller, Operator, Reader};
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::idempotency::Unstored;
use super::preconditions::{IF_MATCH, Precondition, TaggedKey};
use super::problem::{Problem, ProblemBody};
use crate::control::Keys;
use crate::store::{KeyFilter, KeyWithSecret, NewKey, Rotation};
use crate::tenancy::{ApiKey, KeyId, Role, Tenant, TenantId};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(whoami))
        .routes(routes!(create, list))
        .routes(routes!(show, revoke))
        .routes(routes!(rotate))
        .routes(routes!(create_operators, list_all))
        .routes(routes!(show_any, revoke_any))
        .routes(routes!(rotate_any))
}

/// The API key of the request, and its tenant.
#[derive(Debug, Serialize, ToSchema)]
struct Identity {
    key: ApiKey,
    /// `null` for an operator's key.
    tenant: Option<Tenant>,
}

/// A new API key with its secret. The secret is not shown again.
#[derive(Serialize, ToSchema)]
struct CreatedKey {
    #[serde(flatten)]
    key: ApiKey,
    /// The secret, for `Authorization: Bearer`. Only its hash is stored.
    #[schema(examples("vca_1a2b3c4d_EXAMPLE"))]
    secret: String,
}

impl From<KeyWithSecret> for CreatedKey {
    fn from(minted: KeyWithSecret) -> CreatedKey {
        CreatedKey { key: minted.key, secret: minted.secret.expose_secret().to_owned() }
    }
}

/// A new API key of a tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateTenantKeyRequest {
    /// Its purpose, in 1 to 100 characters.
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*([^\s\x00-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x1f\x7f-\x9f]*$",
        examples("front office")
    )]
    name: String,
    #[schema(schema_with = tenant_role)]
    role: Role,
    /// At most 100 years from now. Default: it does not expire.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

/// A new API key of an operator.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateOperatorKeyRequest {
    /// Its purpose, in 1 to 100 characters.
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*([^\s\x00-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x1f\x7f-\x9f]*$",
        examples("deployment")
    )]
    name: String,
    /// At most 100 years from now. Default: it does not expire.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

/// How a key is rotated. Every field can be absent: `{}`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct RotateKeyRequest {
    /// Minutes for which the old secret still works, at most a week. Default: 0.
    #[schema(minimum = 0, maximum = 10080)]
    grace_minutes: u32,
    /// When the new key expires, at most 100 years from now. Default: when the old one did.
    expires_at: Option<DateTime<Utc>>,
}

/// The roles of tenants' keys.
fn tenant_role() -> Object {
    let roles = Role::ALL.iter().filter(|role| **role != Role::Operator).map(|role| role.as_str());
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(roles))
        .description(Some("`tenant_admin`: everything within the tenant. `tenant_viewer`: reads."))
        .build()
}

impl From<RotateKeyRequest> for Rotation {
    fn from(request: RotateKeyRequest) -> Rotation {
        Rotation { grace: TimeDelta::minutes(request.grace_minutes.into()), expires_at: request.expires_at }
    }
}

/// Conditions of a list of keys.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct KeysQuery {
    /// Only keys with this role.
    role: Option<Role>,
    /// Only keys with a secret that begins like this, such as `vca_1a2b3c4d`.
    prefix: Option<String>,
}

impl From<KeysQuery> for KeyFilter {
    fn from(KeysQuery { role, prefix }: KeysQuery) -> KeyFilter {
        KeyFilter { role, prefix }
    }
}

/// The key of a path.
#[derive(Debug, Deserialize)]
struct KeyPath {
    key_id: KeyId,
}

/// Show the API key of the request, and its tenant.
#[utoipa::path(get, path = "/api/whoami", operation_id = "getIdentity", tag = "keys",
    responses((status = 200, description = "The key and its tenant.", body = Identity)))]
async fn whoami(Caller { presented, .. }: Caller) -> Json<Identity> {
    Json(Identity { key: presented.key, tenant: presented.tenant })
}

/// Create an API key of the tenant. The response has its secret, which is not shown again.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/keys", operation_id = "createTenantKey", tag = "keys",
    request_body = CreateTenantKeyRequest,
    params(("tenant_id" = TenantId, Path)),
    responses(
        (status = 201, description = "The key was created. Store the secret: it is not shown again.", body = CreatedKey)))]
async fn create(
    Administrator { scope, actor }: Administrator,
    Body(new): Body<CreateTenantKeyRequest>,
) -> Result<(StatusCode, Unstored<Json<CreatedKey>>), Problem> {
    let new = NewKey { name: new.name, role: new.role, expires_at: new.expires_at };
    Ok((StatusCode::CREATED, Unstored(Json(Keys::Of(&scope).create(&actor, new).await?.into()))))
}

/// List the tenant's keys, oldest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/keys", operation_id = "listTenantKeys", tag = "keys",
    params(("tenant_id" = TenantId, Path), KeysQuery, Paging),
    responses((status = 200, description = "A page of keys.", body = Listed<ApiKey>)))]
async fn list(
    Reader { scope }: Reader,
    ValidQuery(filter): ValidQuery<KeysQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<ApiKey>>, Problem> {
    Ok(scope.keys(&filter.into(), paging.window()?).await?.into())
}

/// Show one of the tenant's keys.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/keys/{key_id}", operation_id = "getTenantKey", tag = "keys",
    params(("tenant_id" = TenantId, Path), ("key_id" = KeyId, Path)),
    responses((status = 200, description = "The key.", body = ApiKey)))]
async fn show(Reader { scope }: Reader, Ids(place): Ids<KeyPath>) -> Result<TaggedKey, Problem> {
    Ok(TaggedKey(scope.key(place.key_id).await?))
}

/// Revoke one of the tenant's keys. The next request with it is refused.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/keys/{key_id}", operation_id = "revokeTenantKey",
    tag = "keys",
    params(("tenant_id" = TenantId, Path), ("key_id" = KeyId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The revoked key.", body = ApiKey)))]
async fn revoke(
    Administrator { scope, actor }: Administrator,
    Ids(place): Ids<KeyPath>,
    precondition: Precondition,
) -> Result<TaggedKey, Problem> {
    let check = |key: &ApiKey| precondition.check_key(key);
    Ok(TaggedKey(Keys::Of(&scope).revoke(&actor, place.key_id, check).await?))
}

/// Rotate one of the tenant's keys: the new key has the same name and role, a new id and a new secret.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/keys/{key_id}/rotate", operation_id = "rotateTenantKey",
    tag = "keys", request_body = RotateKeyRequest,
    params(("tenant_id" = TenantId, Path), ("key_id" = KeyId, Path)),
    responses(
        (status = 201, description = "The new key. Store the secret: it is not shown again.", body = CreatedKey),
        (status = 409, description = "The key was rotated before: `already_rotated`.", body = ProblemBody)))]
async fn rotate(
    Administrator { scope, actor }: Administrator,
    Ids(place): Ids<KeyPath>,
    Body(how): Body<RotateKeyRequest>,
) -> Result<(StatusCode, Unstored<Json<CreatedKey>>), Problem> {
    let minted = Keys::Of(&scope).rotate(&actor, place.key_id, how.into()).await?;
    Ok((StatusCode::CREATED, Unstored(Json(minted.into()))))
}

/// Create an API key of an operator. The response has its secret, which is not shown again.
#[utoipa::path(post, path = "/api/keys", operation_id = "createOperatorKey", tag = "keys",
    request_body = CreateOperatorKeyRequest,
    responses(
        (status = 201, description = "The key was created. Store the secret: it is not shown again.", body = CreatedKey)))]
async fn create_operators(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Body(new): Body<CreateOperatorKeyRequest>,
) -> Result<(StatusCode, Unstored<Json<CreatedKey>>), Problem> {
    let new = NewKey { name: new.name, role: Role::Operator, expires_at: new.expires_at };
    Ok((StatusCode::CREATED, Unstored(Json(Keys::All(&api.store).create(&actor, new).await?.into()))))
}

/// List all keys, oldest first.
#[utoipa::path(get, path = "/api/keys", operation_id = "listKeys", tag = "keys",
    params(KeysQuery, Paging),
    responses((status = 200, description = "A page of keys.", body = Listed<ApiKey>)))]
async fn list_all(
    State(api): State<ApiState>,
    _: Operator,
    ValidQuery(filter): ValidQuery<KeysQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<ApiKey>>, Problem> {
    Ok(api.store.keys(&filter.into(), paging.window()?).await?.into())
}

/// Show a key of any tenant or operator.
#[utoipa::path(get, path = "/api/keys/{key_id}", operation_id = "getKey", tag = "keys",
    params(("key_id" = KeyId, Path)),
    responses((status = 200, description = "The key.", body = ApiKey)))]
async fn show_any(
    State(api): State<ApiState>,
    _: Operator,
    Ids(place): Ids<KeyPath>,
) -> Result<TaggedKey, Problem> {
    Ok(TaggedKey(api.store.key(place.key_id).await?))
}

/// Revoke a key of any tenant or operator. The next request with it is refused.
#[utoipa::path(delete, path = "/api/keys/{key_id}", operation_id = "revokeKey", tag = "keys",
    params(("key_id" = KeyId, Path), ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The revoked key.", body = ApiKey)))]
async fn revoke_any(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Ids(place): Ids<KeyPath>,
    precondition: Precondition,
) -> Result<TaggedKey, Problem> {
    let check = |key: &ApiKey| precondition.check_key(key);
    Ok(TaggedKey(Keys::All(&api.store).revoke(&actor, place.key_id, check).await?))
}

/// Rotate a key of any tenant or operator.
#[utoipa::path(post, path = "/api/keys/{key_id}/rotate", operation_id = "rotateKey", tag = "keys",
    request_body = RotateKeyRequest,
    params(("key_id" = KeyId, Path)),
    responses(
        (status = 201, description = "The new key. Store the secret: it is not shown again.", body = CreatedKey),
        (status = 409, description = "The key was rotated before: `already_rotated`.", body = ProblemBody)))]
async fn rotate_any(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Ids(place): Ids<KeyPath>,
    Body(how): Body<RotateKeyRequest>,
) -> Result<(StatusCode, Unstored<Json<CreatedKey>>), Problem> {
    let minted = Keys::All(&api.store).rotate(&actor, place.key_id, how.into()).await?;
    Ok((StatusCode::CREATED, Unstored(Json(minted.into()))))
}
