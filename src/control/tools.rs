//! Tools of tenants: their secrets, and trials.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::ControlError;
use crate::store::Scope;
use crate::tenancy::{
    Actor, HttpTool, McpServer, ToolSecret, ToolSecretId, check_http_tool, check_mcp_server,
};
use crate::tools::{McpServerListing, ToolServices, ToolTrial, list_mcp_server, try_mcp_tool, try_out};
use crate::violation::Violation;

/// The longest name of a server's tool, in characters.
const LONGEST_TOOL_NAME: usize = 128;

/// The longest value of a secret: a header's.
const MAX_SECRET: usize = 4_000;

/// Stores a secret for the headers of the tenant's tools.
///
/// # Errors
/// `Invalid` for a name or a value that cannot be used; otherwise as of [`Scope::create_tool_secret`].
pub async fn create_tool_secret(
    scope: &Scope,
    actor: &Actor,
    name: &str,
    secret: &SecretString,
) -> Result<ToolSecret, ControlError> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let fits = (1..=64).contains(&name.len()) && name.chars().all(is_word);
    let name_violation = (!fits).then(|| Violation::new("name", "1 to 64 letters, digits, - and _"));
    ControlError::unless_none(name_violation.into_iter().chain(value_violation(secret)))?;
    Ok(scope.create_tool_secret(actor, name, secret).await?)
}

/// Puts another value in place of a secret.
///
/// # Errors
/// `Invalid` for a value that cannot be used; `NotFound` when the tenant has no such secret.
pub async fn replace_tool_secret(
    scope: &Scope,
    actor: &Actor,
    id: ToolSecretId,
    secret: &SecretString,
) -> Result<ToolSecret, ControlError> {
    ControlError::unless_none(value_violation(secret))?;
    Ok(scope.replace_tool_secret(actor, id, secret).await?)
}

/// Sends the request of a tool with these arguments. The audit log has the trial, because it may act.
///
/// # Errors
/// `Invalid` with all violations of the tool; those of the database.
pub async fn test_tool(
    scope: &Scope,
    actor: &Actor,
    services: &ToolServices,
    tool: HttpTool,
    arguments: &Value,
) -> Result<ToolTrial, ControlError> {
    let violations = check_http_tool(&tool);
    ControlError::unless_none(violations.into_iter().map(|violation| violation.below("tool")))?;
    scope.note_access(actor, "test_tool", "tenant", scope.tenant_id().0).await?;
    Ok(try_out(services, tool, scope.tenant_id(), arguments).await)
}

/// Asks an MCP server for its tools. The audit log has it, because the request has the tenant's secrets.
///
/// # Errors
/// `Invalid` with all violations of the server; those of the database.
pub async fn list_mcp_tools(
    scope: &Scope,
    actor: &Actor,
    services: &ToolServices,
    server: McpServer,
) -> Result<McpServerListing, ControlError> {
    check_server(&server)?;
    scope.note_access(actor, "list_mcp_tools", "tenant", scope.tenant_id().0).await?;
    Ok(list_mcp_server(services, server, scope.tenant_id()).await)
}

/// Calls a tool of an MCP server with these arguments. The audit log has the trial, because it may act.
///
/// # Errors
/// `Invalid` with all violations of the server; those of the database.
pub async fn test_mcp_tool(
    scope: &Scope,
    actor: &Actor,
    services: &ToolServices,
    server: McpServer,
    tool: &str,
    arguments: &Value,
) -> Result<ToolTrial, ControlError> {
    check_server(&server)?;
    let is_long = tool.chars().count() > LONGEST_TOOL_NAME;
    let too_long =
        is_long.then(|| Violation::new("tool", format!("must have at most {LONGEST_TOOL_NAME} characters")));
    ControlError::unless_none(too_long)?;
    scope.note_access(actor, "test_tool", "tenant", scope.tenant_id().0).await?;
    Ok(try_mcp_tool(services, server, scope.tenant_id(), tool, arguments).await)
}

fn check_server(server: &McpServer) -> Result<(), ControlError> {
    let violations = check_mcp_server(server);
    ControlError::unless_none(violations.into_iter().map(|violation| violation.below("server")))
}

fn value_violation(secret: &SecretString) -> Option<Violation> {
    let value = secret.expose_secret();
    let fits = (1..=MAX_SECRET).contains(&value.len()) && value.trim() == value;
    let is_plain = value.chars().all(|c| matches!(c, ' '..='~'));
    (!fits || !is_plain).then(|| {
        Violation::new(
            "secret",
            format!("1 to {MAX_SECRET} visible ASCII characters, as the value of a header"),
        )
    })
}
