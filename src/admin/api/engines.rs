//! Engine credentials of a tenant: its own accounts at vendors; and its shares of the operator's engines.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Reader};
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::preconditions::{IF_MATCH, Precondition, Tagged};
use super::problem::{Problem, ProblemBody};
use crate::control;
use crate::store::{EngineAccount, NewEngineCredential};
use crate::tenancy::{
    EngineApi, EngineCredential, EngineCredentialId, EngineFallback, EngineHealth, EngineKind, EngineTrial,
    TenantEngineShares, TenantId,
};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, replace, delete))
        .routes(routes!(health))
        .routes(routes!(test))
        .routes(routes!(shares))
}

#[derive(Deserialize)]
struct OfCredential {
    engine_credential_id: EngineCredentialId,
}

/// New engine credentials.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateEngineCredentialRequest {
    /// Profiles name the engine `own:` and this name.
    #[schema(min_length = 1, max_length = 32, pattern = "^[a-z](_?[a-z0-9-])*_?$", examples("acme-llm"))]
    name: String,
    kind: EngineKind,
    api: EngineApi,
    /// The API key. It is encrypted where the operator has set a key, and never shown.
    #[schema(value_type = String, min_length = 1, max_length = 4000, pattern = "^[!-~]+$", examples("sk-123"))]
    key: SecretString,
    /// The base URL of the server, with `https://`. Default: the vendor's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 2000, examples("https://api.groq.com/openai/v1"))]
    base_url: Option<String>,
    /// The model of profiles that name none. Default: that of the API.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100, examples("llama-3.3-70b-versatile"))]
    model: Option<String>,
    #[serde(default)]
    fallback: EngineFallback,
}

/// The account in place of that of engine credentials, as a whole: a key is sent to the address that it was stored with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplaceEngineCredentialRequest {
    /// The API key. It is encrypted where the operator has set a key, and never shown.
    #[schema(value_type = String, min_length = 1, max_length = 4000, pattern = "^[!-~]+$", examples("sk-123"))]
    key: SecretString,
    /// The base URL of the server, with `https://`. Default: the vendor's own.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 2000, examples("https://api.groq.com/openai/v1"))]
    base_url: Option<String>,
    /// The model of profiles that name none. Default: that of the API.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100, examples("llama-3.3-70b-versatile"))]
    model: Option<String>,
    #[serde(default)]
    fallback: EngineFallback,
}

/// Store the credentials of an account at a vendor, for the tenant's own calls. The operator may forbid it.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/engine-credentials", operation_id = "createEngineCredential",
    tag = "engine credentials", request_body = CreateEngineCredentialRequest,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 201, description = "The credentials were stored.", body = EngineCredential),
        (status = 409, description = "The name is in use: `name_taken`; the operator forbids it: `tenant_keys_forbidden`.",
            body = ProblemBody)))]
async fn create(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Body(new): Body<CreateEngineCredentialRequest>,
) -> Result<(StatusCode, Tagged<EngineCredential>), Problem> {
    let CreateEngineCredentialRequest { name, kind, api: of, key, base_url, model, fallback } = new;
    let account = EngineAccount { key, base_url, model, fallback };
    let new = NewEngineCredential { name, kind, api: of, account };
    let permitted = api.permitted.get();
    let rules = &permitted.tenant_engines;
    Ok((StatusCode::CREATED, Tagged(control::create_engine_credential(&scope, &actor, rules, new).await?)))
}

/// List engine credentials, oldest first, without their keys.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/engine-credentials", operation_id = "listEngineCredentials",
    tag = "engine credentials",
    params(("tenant_id" = TenantId, Path), Paging),
    responses((status = 200, description = "A page of engine credentials.", body = Listed<EngineCredential>)))]
async fn list(
    Reader { scope }: Reader,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<EngineCredential>>, Problem> {
    Ok(scope.engine_credentials(paging.window()?).await?.into())
}

/// Show engine credentials without their key.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/engine-credentials/{engine_credential_id}",
    operation_id = "getEngineCredential", tag = "engine credentials",
    params(("tenant_id" = TenantId, Path), ("engine_credential_id" = EngineCredentialId, Path)),
    responses((status = 200, description = "The engine credentials.", body = EngineCredential)))]
async fn show(
    Reader { scope }: Reader,
    Ids(path): Ids<OfCredential>,
) -> Result<Tagged<EngineCredential>, Problem> {
    Ok(Tagged(scope.engine_credential(path.engine_credential_id).await?))
}

/// Replace key, address, model and fallback. Calls that begin later use the new ones.
#[utoipa::path(put, path = "/api/tenants/{tenant_id}/engine-credentials/{engine_credential_id}",
    operation_id = "replaceEngineCredential", tag = "engine credentials", request_body = ReplaceEngineCredentialRequest,
    params(("tenant_id" = TenantId, Path), ("engine_credential_id" = EngineCredentialId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The engine credentials after the change.", body = EngineCredential),
        (status = 409, description = "The operator forbids it: `tenant_keys_forbidden`.", body = ProblemBody)))]
async fn replace(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfCredential>,
    precondition: Precondition,
    Body(new): Body<ReplaceEngineCredentialRequest>,
) -> Result<Tagged<EngineCredential>, Problem> {
    let ReplaceEngineCredentialRequest { key, base_url, model, fallback } = new;
    let account = EngineAccount { key, base_url, model, fallback };
    let permitted = api.permitted.get();
    let (rules, id) = (&permitted.tenant_engines, path.engine_credential_id);
    let check = |current: &EngineCredential| precondition.check(current);
    Ok(Tagged(control::replace_engine_credential(&scope, &actor, rules, id, account, check).await?))
}

/// Delete engine credentials that no profile names.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/engine-credentials/{engine_credential_id}",
    operation_id = "deleteEngineCredential", tag = "engine credentials",
    params(("tenant_id" = TenantId, Path), ("engine_credential_id" = EngineCredentialId, Path)),
    responses((status = 204, description = "The engine credentials were deleted."),
        (status = 409, description = "A profile names them: `engine_in_use`.", body = ProblemBody)))]
async fn delete(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfCredential>,
) -> Result<StatusCode, Problem> {
    scope.delete_engine_credential(&actor, path.engine_credential_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Show the health of an engine, as this daemon's calls have found it.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/engine-credentials/{engine_credential_id}/health",
    operation_id = "getEngineHealth", tag = "engine credentials",
    params(("tenant_id" = TenantId, Path), ("engine_credential_id" = EngineCredentialId, Path)),
    responses((status = 200, description = "The health of the engine.", body = EngineHealth)))]
async fn health(
    State(api): State<ApiState>,
    Reader { scope }: Reader,
    Ids(path): Ids<OfCredential>,
) -> Result<Json<EngineHealth>, Problem> {
    let credential = scope.engine_credential(path.engine_credential_id).await?;
    Ok(Json(api.tenant_engines.health(&credential)))
}

/// Send one small request to an engine. Its vendor may charge for it.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/engine-credentials/{engine_credential_id}/test",
    operation_id = "testEngineCredential", tag = "engine credentials",
    params(("tenant_id" = TenantId, Path), ("engine_credential_id" = EngineCredentialId, Path)),
    responses((status = 200, description = "The outcome, also of a request that failed.", body = EngineTrial),
        (status = 409, description = "The operator forbids it: `tenant_keys_forbidden`.", body = ProblemBody)))]
async fn test(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfCredential>,
) -> Result<Json<EngineTrial>, Problem> {
    let permitted = api.permitted.get();
    let (rules, id) = (&permitted.tenant_engines, path.engine_credential_id);
    let engines = &*api.tenant_engines;
    Ok(Json(control::test_engine_credential(&scope, &actor, rules, engines, id).await?))
}

/// Show the tenant's shares of the operator's engines, and how much of them its calls use in this daemon.
///
/// The shares follow from the calls that the tenant may have at once, `max_concurrent_calls` or those of its plan, and from the
/// plan's part. The operator changes them with these.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/engine-shares", operation_id = "getEngineShares", tag = "engines",
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The shares of the engines.", body = TenantEngineShares)))]
async fn shares(
    State(api): State<ApiState>,
    Reader { scope }: Reader,
) -> Result<Json<TenantEngineShares>, Problem> {
    let tenant = api.store.tenant(scope.tenant_id()).await?;
    Ok(Json(api.tenant_engines.shares(&tenant)))
}
