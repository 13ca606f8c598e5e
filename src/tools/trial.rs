//! Trials of tools that a tenant's servers carry out, outside of a call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ToolServices;
use super::http::{HttpCall, HttpOffer};
use super::mcp::{self, McpCall, McpToolListing};
use super::reply::{KeptValues, ToolReply};
use crate::tenancy::{HttpTool, McpServer, TenantId};

const TOO_MANY: &str = "too many tools of the tenant are running";

/// The result of a trial.
#[derive(Debug, Serialize, ToSchema)]
pub struct ToolTrial {
    /// `succeeded`, `failed`, `timed_out` or `refused`.
    pub outcome: &'static str,
    /// The text that the model would read.
    pub result: String,
    /// The fields of the response that a call would keep as variables.
    #[schema(value_type = Object)]
    pub variables: BTreeMap<String, Value>,
    pub duration_ms: u64,
}

/// The tools of an MCP server.
#[derive(Debug, Serialize, ToSchema)]
pub struct McpServerListing {
    /// The tools in the server's order.
    pub tools: Vec<McpToolListing>,
    /// Why there is no list, or the allowed tools that no agent could have, each with the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
}

/// Sends the request of a tool with these arguments, as a call would.
pub async fn try_out(
    services: &ToolServices,
    tool: HttpTool,
    tenant: TenantId,
    arguments: &Value,
) -> ToolTrial {
    let began = Instant::now();
    let key = Uuid::now_v7().to_string();
    let arguments = arguments.to_string();
    let request = HttpOffer::new(tool).and_then(|offer| {
        HttpCall::new(&offer, tenant, &arguments, &BTreeMap::new(), KeptValues::new(), key)
    });
    let reply = match (request, services.slot(tenant)) {
        (Ok(request), Some(_slot)) => request.send(services).await,
        (Ok(_), None) => ToolReply::refused(TOO_MANY),
        (Err(reason), _) => ToolReply::refused(&reason),
    };
    ToolTrial::new(reply, began)
}

/// Calls a tool of an MCP server with these arguments, as a call would that has just listed the server's tools.
pub async fn try_mcp_tool(
    services: &ToolServices,
    server: McpServer,
    tenant: TenantId,
    tool: &str,
    arguments: &Value,
) -> ToolTrial {
    let began = Instant::now();
    let reply = match mcp_request(services, server, tenant, tool, arguments).await {
        Ok(request) => match services.slot(tenant) {
            Some(_slot) => request.send(services).await,
            None => ToolReply::refused(TOO_MANY),
        },
        Err(reason) => ToolReply::refused(&reason),
    };
    ToolTrial::new(reply, began)
}

async fn mcp_request(
    services: &ToolServices,
    server: McpServer,
    tenant: TenantId,
    tool: &str,
    arguments: &Value,
) -> Result<McpCall, String> {
    let server = Arc::new(server);
    let listed = mcp::list_now(services, tenant, &server).await?;
    let offer = mcp::offers(&server, &listed).find(|(name, _)| *name == tool);
    let (_, offer) = offer.ok_or_else(|| "the server's tools do not allow it".to_owned())?;
    let offer = Arc::new(offer.map_err(|problem| problem.to_string())?);
    let key = Uuid::now_v7().to_string();
    let (arguments, variables) = (arguments.to_string(), KeptValues::new());
    McpCall::new(offer, tenant, &arguments, &BTreeMap::new(), &variables, key, Arc::default())
}

/// Asks an MCP server for its tools.
pub async fn list_mcp_server(
    services: &ToolServices,
    server: McpServer,
    tenant: TenantId,
) -> McpServerListing {
    let server = Arc::new(server);
    match mcp::list_now(services, tenant, &server).await {
        Ok(listed) => {
            let problems = mcp::offers(&server, &listed)
                .filter_map(|(name, offer)| Some(format!("{name}: {}", offer.err()?)));
            let problems: Vec<String> = problems.collect();
            let problem = (!problems.is_empty()).then(|| problems.join("; "));
            let tools = listed.iter().map(|listed| McpToolListing::new(&server, listed)).collect();
            McpServerListing { tools, problem }
        }
        Err(problem) => McpServerListing { tools: Vec::new(), problem: Some(problem) },
    }
}

impl ToolTrial {
    fn new(reply: ToolReply, began: Instant) -> ToolTrial {
        ToolTrial {
            outcome: reply.outcome.as_str(),
            result: reply.result.as_ref().to_owned(),
            variables: reply.kept,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}
