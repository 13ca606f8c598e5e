//! The tools of a server that an agent gets: those that its profile allows, as the server lists them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::listing::ListedTool;
use crate::engines::llm::ToolSpec;
use crate::tenancy::{McpServer, McpTool, listed_schema_problem};
use crate::tools::arguments::ArgumentSchema;
use crate::tools::static_values::{unknown_argument, without_static};

/// A tool of a server that an agent may call.
pub(in crate::tools) struct McpOffer {
    /// The name by which the model calls it.
    pub name: String,
    pub server: Arc<McpServer>,
    pub tool: McpTool,
    description: String,
    /// Of the arguments that the model gives.
    schema: Arc<Value>,
    /// Of all arguments.
    pub arguments: ArgumentSchema,
}

/// Why an allowed tool is not offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::tools) enum OfferProblem {
    #[error("the server does not list it")]
    NotListed,
    #[error("its description or schema has changed: its fingerprint is another one")]
    Changed,
    #[error("its schema cannot be used: {0}")]
    Schema(String),
    #[error("its schema has no argument {0:?}, which has a static value")]
    StaticValue(String),
}

impl McpOffer {
    /// The specification for the model.
    pub fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name.as_str().into(),
            description: self.description.as_str().into(),
            parameters: self.schema.clone(),
        }
    }

    fn new(server: &Arc<McpServer>, tool: &McpTool, listed: &[ListedTool]) -> Result<McpOffer, OfferProblem> {
        let found = listed.iter().find(|listed| listed.name == tool.name).ok_or(OfferProblem::NotListed)?;
        if tool.fingerprint.as_ref().is_some_and(|known| *known != found.fingerprint) {
            return Err(OfferProblem::Changed);
        }
        let schema = found.schema();
        if let Some(problem) = listed_schema_problem(&schema) {
            return Err(OfferProblem::Schema(problem));
        }
        if let Some(name) = unknown_argument(&schema, &tool.static_values) {
            return Err(OfferProblem::StaticValue(name.to_owned()));
        }
        let arguments = ArgumentSchema::new(&schema).map_err(OfferProblem::Schema)?;
        Ok(McpOffer {
            arguments,
            name: server.offered_name(&tool.name),
            server: server.clone(),
            tool: tool.clone(),
            description: found.description.clone(),
            schema: Arc::new(without_static(&schema, &tool.static_values)),
        })
    }
}

/// The allowed tools of a server by name: offers, or why there is none.
pub(in crate::tools) fn offers<'a>(
    server: &'a Arc<McpServer>,
    listed: &'a [ListedTool],
) -> impl Iterator<Item = (&'a str, Result<McpOffer, OfferProblem>)> {
    server.tools.iter().map(move |tool| (tool.name.as_str(), McpOffer::new(server, tool, listed)))
}

/// A tool that an MCP server lists.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct McpToolListing {
    pub name: String,
    /// The name by which the model would call it.
    pub offered_name: String,
    pub description: String,
    /// JSON schema of the arguments.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// For `fingerprint` of the tool in the profile: the agent has the tool while description and schema are these.
    pub fingerprint: String,
    /// The profile allows the tool, so that agents have it unless there is a problem.
    pub is_allowed: bool,
    /// Why no agent could have the tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
}

impl McpToolListing {
    pub(in crate::tools) fn new(server: &Arc<McpServer>, listed: &ListedTool) -> McpToolListing {
        let allowed = server.tools.iter().find(|tool| tool.name == listed.name);
        let any = McpTool { name: listed.name.clone(), ..McpTool::default() };
        let offer = McpOffer::new(server, allowed.unwrap_or(&any), std::slice::from_ref(listed));
        McpToolListing {
            name: listed.name.clone(),
            offered_name: server.offered_name(&listed.name),
            description: listed.description.clone(),
            parameters: listed.schema(),
            fingerprint: listed.fingerprint.clone(),
            is_allowed: allowed.is_some(),
            problem: offer.err().map(|problem| problem.to_string()),
        }
    }
}
