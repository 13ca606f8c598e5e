//! A call of a server's tool.

use std::collections::BTreeMap;
use std::sync::Arc;

use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, RequestMetaObject};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::McpOffer;
use super::session::McpSessions;
use super::transport::IDEMPOTENCY_KEY;
use crate::conversation::ToolOutcome;
use crate::tenancy::TenantId;
use crate::tools::ToolServices;
use crate::tools::reply::{KeptValues, ToolReply, cleared, hidden, kept, shortened, without};
use crate::tools::static_values::all_filled;

/// For the model: a static value is refused by the tool's schema, or its variable is not kept yet.
const UNFIT_VALUE: &str = "a value that the tool gets from elsewhere is missing or does not fit";

/// A call with arguments that match the tool's schema.
pub(in crate::tools) struct McpCall {
    offer: Arc<McpOffer>,
    tenant: TenantId,
    arguments: Map<String, Value>,
    /// Of the call of the tool: a server recognises a repetition.
    idempotency_key: String,
    sessions: Arc<McpSessions>,
}

impl McpCall {
    /// Checks the model's arguments together with the tool's static values. `entries` are masked entries of keys, which arguments
    /// refer to.
    ///
    /// # Errors
    /// For the model: the problem, which names no argument that the model does not have.
    pub fn new(
        offer: Arc<McpOffer>,
        tenant: TenantId,
        arguments: &str,
        entries: &BTreeMap<String, String>,
        variables: &KeptValues,
        idempotency_key: String,
        sessions: Arc<McpSessions>,
    ) -> Result<McpCall, String> {
        let values = &offer.tool.static_values;
        let checked = offer.arguments.check_with(arguments, entries, all_filled(values, variables));
        let arguments = checked.map_err(|problem| {
            if !values.keys().any(|name| is_about(&problem, name)) {
                return problem;
            }
            tracing::warn!(tenant_id = %tenant, tool = %offer.name, problem, "a static value of an MCP tool does not fit");
            UNFIT_VALUE.to_owned()
        })?;
        Ok(McpCall { offer, tenant, arguments, idempotency_key, sessions })
    }

    /// Sends it, within the server's time limit, to which the beginning of a session belongs.
    pub async fn send(&self, services: &ToolServices) -> ToolReply {
        let limit = self.offer.server.timeout();
        let reply = match tokio::time::timeout(limit, self.attempt(services)).await {
            Ok(Ok(reply)) => return reply,
            Ok(Err(reason)) => ToolReply::failed(&reason),
            Err(_) => ToolReply::timed_out(limit),
        };
        self.sessions.end(&self.offer.server);
        reply
    }

    async fn attempt(&self, services: &ToolServices) -> Result<ToolReply, String> {
        let session = self.sessions.with(services, self.tenant, &self.offer.server).await?;
        let mut meta = RequestMetaObject::new();
        meta.0.0.insert(IDEMPOTENCY_KEY.to_owned(), json!(self.idempotency_key));
        let mut call =
            CallToolRequestParams::new(self.offer.tool.name.clone()).with_arguments(self.arguments.clone());
        call.meta = Some(meta);
        match session.call(call).await? {
            CallToolResponse::Complete(result) => {
                Ok(reply(result, &session.secrets, &self.offer.tool.variables))
            }
            _ => Err("the server wants more than arguments: such tools cannot be used".to_owned()),
        }
    }
}

/// Whether a problem with arguments, a path and a message, is about the argument of this name.
fn is_about(problem: &str, name: &str) -> bool {
    let within = problem.strip_prefix('/').and_then(|path| path.strip_prefix(name));
    within.is_some_and(|rest| rest.starts_with([':', '/']))
        || problem.contains(&format!("\"{name}\" is a required property"))
}

/// The result as the model reads it: structured content, else the texts.
fn reply(
    result: CallToolResult,
    secrets: &[SecretString],
    variables: &BTreeMap<String, String>,
) -> ToolReply {
    let hidden = hidden(secrets);
    let texts: Vec<String> = result.content.into_iter().map(text).collect();
    let text = texts.join("\n");
    let value = result.structured_content.or_else(|| serde_json::from_str(&text).ok());
    let value = value.map(|value| cleared(value, &hidden));
    let kept = kept(variables, value.as_ref());
    let value = match value {
        Some(value) => value.to_string(),
        None => json!({ "text": shortened(&without(&hidden, &text)) }).to_string(),
    };
    if result.is_error == Some(true) {
        let result = json!({ "error": "the tool failed", "response": shortened(&value) }).to_string();
        return ToolReply { outcome: ToolOutcome::Failed, result: result.into(), kept: KeptValues::new() };
    }
    ToolReply { kept, ..ToolReply::done(&shortened(&value)) }
}

/// A part of the content as text. A caller on the telephone has no use for the others.
fn text(part: ContentBlock) -> String {
    match part {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(_) => "[image]".to_owned(),
        ContentBlock::Audio(_) => "[audio]".to_owned(),
        _ => "[resource]".to_owned(),
    }
}
