//! Tools of a tenant's agents: secrets for the headers of their requests, and trials.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Reader};
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::problem::Problem;
use crate::control;
use crate::tenancy::{HttpTool, McpServer, TenantId, ToolSecret, ToolSecretId};
use crate::tools::{McpServerListing, ToolTrial};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(replace, delete))
        .routes(routes!(test))
        .routes(routes!(list_mcp))
        .routes(routes!(test_mcp))
}

#[derive(Deserialize)]
struct OfSecret {
    tool_secret_id: ToolSecretId,
}

/// A new secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateToolSecretRequest {
    /// The name by which `secret_headers` of tools refer to it.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$", examples("shop-api"))]
    name: String,
    /// The value of the header. It is encrypted where the operator has set a key, and never shown.
    #[schema(
        min_length = 1,
        max_length = 4000,
        pattern = "^[!-~]([ -~]*[!-~])?$",
        examples("Bearer abc123")
    )]
    secret: String,
}

/// Another value of a secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplaceToolSecretRequest {
    /// The value of the header.
    #[schema(min_length = 1, max_length = 4000, pattern = "^[!-~]([ -~]*[!-~])?$")]
    secret: String,
}

/// A tool, saved or not, and arguments for it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TestToolRequest {
    tool: HttpTool,
    /// Arguments as the model would give them.
    #[serde(default)]
    #[schema(value_type = Object)]
    arguments: Map<String, Value>,
}

/// An MCP server, saved or not.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListMcpToolsRequest {
    server: McpServer,
}

/// An MCP server, saved or not, the name of one of its `tools`, and arguments for it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TestMcpToolRequest {
    server: McpServer,
    /// The server's name of the tool.
    #[schema(max_length = 128)]
    tool: String,
    /// Arguments as the model would give them.
    #[serde(default)]
    #[schema(value_type = Object)]
    arguments: Map<String, Value>,
}

/// Store a secret for the headers of HTTP tools and MCP servers.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/tool-secrets", operation_id = "createToolSecret", tag = "tools",
    request_body = CreateToolSecretRequest,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 201, description = "The secret was stored.", body = ToolSecret)))]
async fn create(
    Administrator { scope, actor }: Administrator,
    Body(new): Body<CreateToolSecretRequest>,
) -> Result<(StatusCode, Json<ToolSecret>), Problem> {
    let secret = SecretString::from(new.secret);
    let created = control::create_tool_secret(&scope, &actor, &new.name, &secret).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// List secrets of HTTP tools and MCP servers, oldest first, without their values.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/tool-secrets", operation_id = "listToolSecrets", tag = "tools",
    params(("tenant_id" = TenantId, Path), Paging),
    responses((status = 200, description = "A page of secrets.", body = Listed<ToolSecret>)))]
async fn list(
    Reader { scope }: Reader,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<ToolSecret>>, Problem> {
    Ok(scope.tool_secrets(paging.window()?).await?.into())
}

/// Replace the value of a secret.
#[utoipa::path(put, path = "/api/tenants/{tenant_id}/tool-secrets/{tool_secret_id}", operation_id = "replaceToolSecret",
    tag = "tools", request_body = ReplaceToolSecretRequest,
    params(("tenant_id" = TenantId, Path), ("tool_secret_id" = ToolSecretId, Path)),
    responses((status = 200, description = "The secret has the new value.", body = ToolSecret)))]
async fn replace(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfSecret>,
    Body(new): Body<ReplaceToolSecretRequest>,
) -> Result<Json<ToolSecret>, Problem> {
    let secret = SecretString::from(new.secret);
    Ok(Json(control::replace_tool_secret(&scope, &actor, path.tool_secret_id, &secret).await?))
}

/// Delete a secret. Tools that refer to it fail.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/tool-secrets/{tool_secret_id}", operation_id = "deleteToolSecret",
    tag = "tools",
    params(("tenant_id" = TenantId, Path), ("tool_secret_id" = ToolSecretId, Path)),
    responses((status = 204, description = "The secret was deleted.")))]
async fn delete(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfSecret>,
) -> Result<StatusCode, Problem> {
    scope.delete_tool_secret(&actor, path.tool_secret_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send the request of an HTTP tool, as a call would. The tool need not be saved.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/tools/test", operation_id = "testTool", tag = "tools",
    request_body = TestToolRequest,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The result, also of a request that failed.", body = ToolTrial)))]
async fn test(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Body(TestToolRequest { tool, arguments }): Body<TestToolRequest>,
) -> Result<Json<ToolTrial>, Problem> {
    let arguments = Value::Object(arguments);
    Ok(Json(control::test_tool(&scope, &actor, &api.tools, tool, &arguments).await?))
}

/// Ask an MCP server for its tools, with their fingerprints. The server need not be saved.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/mcp-servers/list-tools", operation_id = "listMcpTools", tag = "tools",
    request_body = ListMcpToolsRequest,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The tools, or why there is no list.", body = McpServerListing)))]
async fn list_mcp(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Body(ListMcpToolsRequest { server }): Body<ListMcpToolsRequest>,
) -> Result<Json<McpServerListing>, Problem> {
    Ok(Json(control::list_mcp_tools(&scope, &actor, &api.tools, server).await?))
}

/// Call a tool of an MCP server, as a call would. The server need not be saved.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/mcp-servers/test", operation_id = "testMcpTool", tag = "tools",
    request_body = TestMcpToolRequest,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The result, also of a call that failed.", body = ToolTrial)))]
async fn test_mcp(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Body(TestMcpToolRequest { server, tool, arguments }): Body<TestMcpToolRequest>,
) -> Result<Json<ToolTrial>, Problem> {
    let arguments = Value::Object(arguments);
    Ok(Json(control::test_mcp_tool(&scope, &actor, &api.tools, server, &tool, &arguments).await?))
}
