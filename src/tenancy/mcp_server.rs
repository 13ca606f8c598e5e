//! MCP servers of a tenant (Model Context Protocol, <https://modelcontextprotocol.io>), and the tools that agents may use of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::headers::header_violations;
use super::http_tool::{
    HttpTool, static_values_problem, timeout_problem, variables_problem, words_violations,
};
use super::url_template::{UrlTemplate, is_variable};
use super::{Tool, tools};
use crate::violation::Violation;

/// The most servers of a profile, and the most tools that it allows of one.
pub const MAX_MCP_SERVERS: usize = 5;
pub const MAX_MCP_TOOLS: usize = 20;
/// Of a server's name.
const MAX_NAME: usize = 32;
/// Of an argument's name.
const MAX_ARGUMENT: usize = 128;
/// The longest name by which a model may call a tool: OpenAI's and Anthropic's limit.
const MAX_OFFERED: usize = 64;

/// A server of the tenant that offers tools by MCP over streamable HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct McpServer {
    /// The model calls the server's tools by this name, `_` and the tool's name.
    #[schema(min_length = 1, max_length = 32, pattern = "^[A-Za-z][A-Za-z0-9_]*$", examples("shop"))]
    pub name: String,
    /// An `https` URL on a public address.
    #[schema(max_length = 2000, examples("https://example.com/mcp"))]
    pub url: String,
    /// Headers of each request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers with secret values: the name of the header and of the tenant's tool secret.
    #[serde(default)]
    pub secret_headers: BTreeMap<String, String>,
    /// Time limit for listing the tools, and for each call of one, in milliseconds. Default 5,000.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 100, maximum = 30_000)]
    pub timeout_ms: Option<u32>,
    /// The tools that the agent may use. Default: none.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub tools: Vec<McpTool>,
}

/// A tool of an MCP server that an agent may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct McpTool {
    /// The server's name of the tool.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_./-]+$", examples("check_stock"))]
    pub name: String,
    /// The fingerprint of the tool's description and schema, from a list of the server's tools. A tool with another one is
    /// not offered. Default: any.
    #[serde(default)]
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    pub fingerprint: Option<String>,
    /// Arguments that the model never sees; they take precedence over its own. `"{{name}}"` is the kept variable of that name; the
    /// argument is absent while it is not kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub static_values: BTreeMap<String, Value>,
    /// Fields of the result that are kept as variables for the rest of the call, where HTTP tools can use them: the name of the
    /// variable and a JSON pointer (RFC 6901). The result is the structured content, or a text that is JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Said when the tool starts, unless the model has said something.
    #[serde(default)]
    #[schema(max_length = 300)]
    pub say_started: Option<String>,
    /// Said when the result is late, in place of the first filler.
    #[serde(default)]
    #[schema(max_length = 300)]
    pub say_delayed: Option<String>,
    /// When `say_delayed` is said, in milliseconds of waiting. Default: `turn.filler_ms`.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 500, maximum = 20_000)]
    pub say_delayed_after_ms: Option<u32>,
    /// Said when the tool fails, before the model reads why.
    #[serde(default)]
    #[schema(max_length = 300)]
    pub say_failed: Option<String>,
    /// Wait for the result, so that the agent goes on with it. Without, the conversation goes on, and the agent acts on the
    /// result once neither side speaks. Default: `true`.
    #[serde(default)]
    pub wait: Option<bool>,
}

impl McpServer {
    /// The time limit for listing the tools, and for each call of one.
    pub fn timeout(&self) -> std::time::Duration {
        HttpTool::limit(self.timeout_ms)
    }

    /// The name by which the model calls a tool.
    pub fn offered_name(&self, tool: &str) -> String {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let tool: String = tool.chars().map(|c| if is_word(c) { c } else { '_' }).collect();
        format!("{}_{tool}", self.name)
    }

    /// The names of its tools, as models call them.
    pub fn offered_names(&self) -> impl Iterator<Item = String> {
        self.tools.iter().map(|tool| self.offered_name(&tool.name))
    }

    /// Equal for servers that are asked in the same way, also by different profiles.
    pub fn key(&self) -> [u8; 32] {
        let asked = serde_json::json!([self.url, self.headers, self.secret_headers]);
        Sha256::digest(asked.to_string()).into()
    }

    fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut report = |field: &str, problem: Option<String>| {
            found.extend(problem.map(|problem| Violation::new(field, problem)));
        };
        report("name", self.name_problem());
        report("url", self.url_problem());
        report("headers", self.protocol_header());
        report("timeout_ms", timeout_problem(self.timeout_ms));
        report("tools", (self.tools.len() > MAX_MCP_TOOLS).then(|| format!("{MAX_MCP_TOOLS} at most")));
        found.extend(header_violations(&self.headers, &self.secret_headers));
        for (at, tool) in self.tools.iter().enumerate() {
            let place = format!("tools.{at}");
            found.extend(tool.violations().into_iter().map(|violation| violation.below(&place)));
            let is_long = self.offered_name(&tool.name).len() > MAX_OFFERED;
            let problem = format!("with the server's name it is longer than {MAX_OFFERED} characters");
            found.extend(is_long.then(|| Violation::new(format!("{place}.name"), problem)));
        }
        found
    }

    fn name_problem(&self) -> Option<String> {
        let fits = self.name.len() <= MAX_NAME
            && self.name.starts_with(|c: char| c.is_ascii_alphabetic())
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (!fits).then(|| format!("a letter, then letters, digits and _, {MAX_NAME} at most"))
    }

    fn url_problem(&self) -> Option<String> {
        match UrlTemplate::parse(&self.url) {
            Ok(template) if template.variables().next().is_none() => None,
            Ok(_) => Some("the URL of a server has no variables".to_owned()),
            Err(problem) => Some(problem),
        }
    }

    /// A header that the protocol sets.
    fn protocol_header(&self) -> Option<String> {
        let is_set = |name: &String| {
            let name = name.to_ascii_lowercase();
            name == "accept" || name == "last-event-id" || name.starts_with("mcp-")
        };
        let found = self.headers.keys().chain(self.secret_headers.keys()).find(|name| is_set(name));
        found.map(|name| format!("{name} cannot be set"))
    }
}

impl McpTool {
    fn static_problem(&self) -> Option<String> {
        if self.static_values.keys().any(|name| !(1..=MAX_ARGUMENT).contains(&name.len())) {
            return Some(format!("the name of an argument has 1 to {MAX_ARGUMENT} bytes"));
        }
        let variable =
            |value: &Value| Some(value.as_str()?.strip_prefix("{{")?.strip_suffix("}}")?.trim().to_owned());
        match self.static_values.values().filter_map(variable).find(|name| !is_variable(name)) {
            Some(name) => Some(format!("{name:?} is no variable: a letter, then letters, digits and _")),
            None => static_values_problem(&self.static_values),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
        if !(1..=128).contains(&self.name.len()) || !self.name.chars().all(is_part) {
            found.push(Violation::new("name", "1 to 128 letters, digits, _, ., / and -"));
        }
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let is_digest = |text: &String| text.len() == 64 && text.chars().all(is_hex);
        if !self.fingerprint.as_ref().is_none_or(is_digest) {
            found.push(Violation::new(
                "fingerprint",
                "64 hexadecimal digits, from a list of the server's tools",
            ));
        }
        found.extend(self.static_problem().map(|problem| Violation::new("static_values", problem)));
        let variables = variables_problem(&self.variables);
        found.extend(variables.map(|problem| Violation::new("variables", problem)));
        let words = [&self.say_started, &self.say_delayed, &self.say_failed];
        found.extend(words_violations(words, self.say_delayed_after_ms));
        found
    }
}

/// The problems of a server.
pub fn check_mcp_server(server: &McpServer) -> Vec<Violation> {
    let mut found = server.violations();
    let mut names = BTreeSet::new();
    for (at, name) in server.offered_names().enumerate() {
        if name.parse::<Tool>().is_ok() || !names.insert(name) {
            found.push(Violation::new(format!("tools.{at}.name"), "another tool has this name"));
        }
    }
    found
}

/// The problems of a profile's servers, each below its place in the list.
pub(super) fn violations(servers: &[McpServer], http_tools: &[HttpTool]) -> Vec<Violation> {
    let mut found = Vec::new();
    if servers.len() > MAX_MCP_SERVERS {
        found.push(Violation::new("mcp_servers", format!("{MAX_MCP_SERVERS} at most")));
    }
    let (mut servers_names, mut names) = (BTreeSet::new(), BTreeSet::new());
    names.extend(http_tools.iter().map(|tool| tool.name.clone()));
    for (at, server) in servers.iter().enumerate() {
        let place = format!("mcp_servers.{at}");
        found.extend(check_mcp_server(server).into_iter().map(|violation| violation.below(&place)));
        if !servers_names.insert(&server.name) {
            found.push(Violation::new(format!("{place}.name"), "another server has this name"));
        }
        let taken: Vec<usize> = server
            .offered_names()
            .enumerate()
            .filter(|(_, name)| names.contains(name))
            .map(|(at, _)| at)
            .collect();
        found.extend(
            taken.into_iter().map(|tool| {
                Violation::new(format!("{place}.tools.{tool}.name"), "another tool has this name")
            }),
        );
        names.extend(server.offered_names());
    }
    found
}

/// Why the schema that a server has for a tool's arguments cannot be used.
pub fn listed_schema_problem(schema: &Value) -> Option<String> {
    tools::schema_problem(schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(changes: Value) -> McpServer {
        let mut server = json!({
            "name": "shop", "url": "https://example.com/mcp", "headers": { "x-shop": "12" },
            "secret_headers": { "authorization": "shop" }, "timeout_ms": 2_000,
            "tools": [
                { "name": "stock/check", "fingerprint": "a".repeat(64), "say_started": "One moment." },
                { "name": "order" },
            ],
        });
        for (key, value) in changes.as_object().expect("changes") {
            server[key] = value.clone();
        }
        serde_json::from_value(server).expect("a server")
    }

    fn fields(changes: Value) -> Vec<String> {
        violations(&[server(changes)], &[]).into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_complete_server_has_no_violations() {
        assert_eq!(fields(json!({})), [""; 0]);
        assert_eq!(server(json!({})).offered_names().collect::<Vec<_>>(), ["shop_stock_check", "shop_order"]);
    }

    #[test]
    fn each_problem_of_a_server_is_named() {
        let tool = |changes: Value| json!({ "tools": [changes] });
        for (changes, field) in [
            (json!({ "name": "a shop" }), "name"),
            (json!({ "name": "x".repeat(33) }), "name"),
            (json!({ "url": "file:///etc/passwd" }), "url"),
            (json!({ "url": "https://example.com/{{tenant}}" }), "url"),
            (json!({ "headers": { "Mcp-Session-Id": "x" } }), "headers"),
            (json!({ "headers": { "host": "x" } }), "headers"),
            (json!({ "headers": { "Authorization": "x" } }), "secret_headers"),
            (json!({ "timeout_ms": 99 }), "timeout_ms"),
            (tool(json!({ "name": "a b" })), "tools.0.name"),
            (tool(json!({ "name": "x".repeat(60) })), "tools.0.name"),
            (tool(json!({ "name": "x", "fingerprint": "abc" })), "tools.0.fingerprint"),
            (tool(json!({ "name": "x", "variables": { "left": "left" } })), "tools.0.variables"),
            (tool(json!({ "name": "x", "variables": { "a b": "/left" } })), "tools.0.variables"),
            (tool(json!({ "name": "x", "say_delayed": " " })), "tools.0.say_delayed"),
            (tool(json!({ "name": "x", "static_values": { "": 1 } })), "tools.0.static_values"),
            (tool(json!({ "name": "x", "static_values": { "a": "{{}}" } })), "tools.0.static_values"),
            (
                tool(json!({ "name": "x", "static_values": { "a": "x".repeat(4_000) } })),
                "tools.0.static_values",
            ),
            (json!({ "tools": [{ "name": "a-b" }, { "name": "a.b" }] }), "tools.1.name"),
            (json!({ "name": "end", "tools": [{ "name": "call" }] }), "tools.0.name"),
        ] {
            assert_eq!(fields(changes.clone()), [format!("mcp_servers.0.{field}")], "{changes}");
        }
        let many: Vec<Value> = (0..21).map(|n| json!({ "name": format!("t{n}") })).collect();
        assert_eq!(fields(json!({ "tools": many })), ["mcp_servers.0.tools"]);
    }

    #[test]
    fn names_are_unique_in_a_profile() {
        let twice = violations(&[server(json!({})), server(json!({}))], &[]);
        let fields: Vec<&str> = twice.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            fields,
            ["mcp_servers.1.name", "mcp_servers.1.tools.0.name", "mcp_servers.1.tools.1.name"]
        );
        let http = json!({
            "name": "shop_order", "description": "x", "method": "GET", "url": "https://example.com/",
            "parameters": { "type": "object" },
        });
        let http = [serde_json::from_value(http).expect("a tool")];
        assert_eq!(violations(&[server(json!({}))], &http)[0].field, "mcp_servers.0.tools.1.name");
        let many: Vec<McpServer> =
            (0..6).map(|n| server(json!({ "name": format!("s{n}"), "tools": [] }))).collect();
        assert_eq!(violations(&many, &[])[0].field, "mcp_servers");
    }
}
