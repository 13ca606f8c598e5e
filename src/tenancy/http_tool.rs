//! Tools that a tenant declares: HTTP requests to a server of its own.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Tool;
use super::headers::header_violations;
use super::kinds::words;
use super::tools::schema_problem;
use super::url_template::{UrlTemplate, is_variable};
use crate::violation::Violation;

/// The most tools of a profile.
pub const MAX_HTTP_TOOLS: usize = 20;
const MAX_DESCRIPTION: usize = 1_000;
const MAX_WORDS: usize = 300;
const MAX_VARIABLES: usize = 10;
/// Of a JSON pointer.
const MAX_VALUE: usize = 500;
/// Of the static values together, as JSON.
const MAX_STATIC: usize = 4_000;
const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 100..=30_000;
const DELAY_MS: std::ops::RangeInclusive<u32> = 500..=20_000;

words!(
    /// Method of an HTTP request. `GET` looks something up; requests of the other methods act, and have an `Idempotency-Key`.
    HttpMethod {
        Get = "GET",
        Post = "POST",
        Put = "PUT",
        Patch = "PATCH",
        Delete = "DELETE",
    }
);

/// A tool that sends an HTTP request. `POST`, `PUT` and `PATCH` have the arguments and the static values as a JSON body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpTool {
    /// The name by which the model calls it. Not the name of a built-in tool.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z][A-Za-z0-9_]*$", examples("check_stock"))]
    pub name: String,
    /// For the model: the purpose of the tool, and when to call it.
    #[schema(min_length = 1, max_length = 1000)]
    pub description: String,
    /// JSON schema of the arguments, with `"type": "object"`. Arguments that do not match it are refused.
    #[schema(value_type = Object)]
    pub parameters: Value,
    pub method: HttpMethod,
    /// An `https` URL on a public address. `{{name}}` in its path or query is replaced by a static value, an argument or a
    /// kept variable of that name, encoded.
    #[schema(max_length = 2000, examples("https://example.com/stock/{{bread}}"))]
    pub url: String,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers with secret values: the name of the header and of the tenant's tool secret.
    #[serde(default)]
    pub secret_headers: BTreeMap<String, String>,
    /// Values that the model never sees; they take precedence over arguments.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub static_values: BTreeMap<String, Value>,
    /// Fields of the response that are kept as variables for the rest of the call: the name of the variable and a JSON
    /// pointer (RFC 6901).
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Time limit of the request with its response, in milliseconds. Default 5,000.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 100, maximum = 30_000)]
    pub timeout_ms: Option<u32>,
    /// Said when the request begins, unless the model has said something.
    #[serde(default)]
    #[schema(max_length = 300)]
    pub say_started: Option<String>,
    /// Said when the response is late, in place of the first filler.
    #[serde(default)]
    #[schema(max_length = 300)]
    pub say_delayed: Option<String>,
    /// When `say_delayed` is said, in milliseconds of waiting. Default: `turn.filler_ms`.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 500, maximum = 20_000)]
    pub say_delayed_after_ms: Option<u32>,
    /// Said when the request fails, before the model reads why.
    #[serde(default)]
    #[schema(max_length = 300)]
    pub say_failed: Option<String>,
    /// Wait for the result, so that the agent goes on with it. Without, the conversation goes on, and the agent acts on the
    /// result once neither side speaks. Default: `true`.
    #[serde(default)]
    pub wait: Option<bool>,
}

impl HttpMethod {
    /// The request may change something.
    pub fn acts(self) -> bool {
        self != HttpMethod::Get
    }

    /// The request has a body.
    pub fn has_body(self) -> bool {
        matches!(self, HttpMethod::Post | HttpMethod::Put | HttpMethod::Patch)
    }
}

impl HttpTool {
    /// The time limit of a request.
    pub fn timeout(&self) -> std::time::Duration {
        HttpTool::limit(self.timeout_ms)
    }

    /// The time limit of a request with this setting.
    pub(super) fn limit(timeout_ms: Option<u32>) -> std::time::Duration {
        let ms = timeout_ms.unwrap_or(5_000).clamp(*TIMEOUT_MS.start(), *TIMEOUT_MS.end());
        std::time::Duration::from_millis(ms.into())
    }

    fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut report = |field: &str, problem: Option<String>| {
            found.extend(problem.map(|problem| Violation::new(field, problem)));
        };
        report("name", self.name_problem());
        report("description", text_problem(&self.description, 1, MAX_DESCRIPTION));
        report("parameters", schema_problem(&self.parameters));
        report("url", UrlTemplate::parse(&self.url).err());
        report("static_values", self.static_problem());
        report("variables", variables_problem(&self.variables));
        report("timeout_ms", timeout_problem(self.timeout_ms));
        found.extend(header_violations(&self.headers, &self.secret_headers));
        let words = [&self.say_started, &self.say_delayed, &self.say_failed];
        found.extend(words_violations(words, self.say_delayed_after_ms));
        found
    }

    fn name_problem(&self) -> Option<String> {
        if self.name.parse::<Tool>().is_ok() {
            return Some("a built-in tool has this name".to_owned());
        }
        let fits = is_variable(&self.name);
        (!fits).then(|| "a letter, then letters, digits and _, 64 at most".to_owned())
    }

    fn static_problem(&self) -> Option<String> {
        if let Some(name) = self.static_values.keys().find(|name| !is_variable(name)) {
            return Some(format!("{name:?} is no name: a letter, then letters, digits and _"));
        }
        static_values_problem(&self.static_values)
    }
}

/// The problem of static values that are too long.
pub(super) fn static_values_problem(values: &BTreeMap<String, Value>) -> Option<String> {
    let length = serde_json::to_string(values).map_or(usize::MAX, |text| text.len());
    (length > MAX_STATIC).then(|| format!("they are longer than {MAX_STATIC} bytes"))
}

/// The problem of variables that are kept of a response.
pub(super) fn variables_problem(variables: &BTreeMap<String, String>) -> Option<String> {
    if variables.len() > MAX_VARIABLES {
        return Some(format!("{MAX_VARIABLES} at most"));
    }
    variables.iter().find_map(|(name, pointer)| {
        if !is_variable(name) {
            return Some(format!("{name:?} is no name: a letter, then letters, digits and _"));
        }
        let is_pointer = pointer.is_empty() || pointer.starts_with('/');
        (!is_pointer || pointer.len() > MAX_VALUE).then(|| format!("{name}: a JSON pointer begins with /"))
    })
}

/// The problem of a time limit.
pub(super) fn timeout_problem(timeout_ms: Option<u32>) -> Option<String> {
    let wrong = timeout_ms.filter(|ms| !TIMEOUT_MS.contains(ms));
    wrong.map(|ms| format!("{ms} is not within 100 to 30000"))
}

/// The problems of the words for a tool that starts, is late and fails, and of the delay of the second.
pub(super) fn words_violations(words: [&Option<String>; 3], delay_ms: Option<u32>) -> Vec<Violation> {
    let named = ["say_started", "say_delayed", "say_failed"].into_iter().zip(words);
    let problem = |(field, words): (&str, &Option<String>)| {
        Some(Violation::new(field, text_problem(words.as_deref()?, 1, MAX_WORDS)?))
    };
    let delay = delay_ms.filter(|ms| !DELAY_MS.contains(ms));
    let delay =
        delay.map(|ms| Violation::new("say_delayed_after_ms", format!("{ms} is not within 500 to 20000")));
    named.filter_map(problem).chain(delay).collect()
}

/// The problems of a tool.
pub fn check_http_tool(tool: &HttpTool) -> Vec<Violation> {
    tool.violations()
}

/// The problems of a profile's tools, each below its place in the list.
pub(super) fn violations(tools: &[HttpTool]) -> Vec<Violation> {
    let mut found = Vec::new();
    if tools.len() > MAX_HTTP_TOOLS {
        found.push(Violation::new("http_tools", format!("{MAX_HTTP_TOOLS} at most")));
    }
    let mut names = BTreeSet::new();
    for (at, tool) in tools.iter().enumerate() {
        let place = format!("http_tools.{at}");
        found.extend(tool.violations().into_iter().map(|violation| violation.below(&place)));
        if !names.insert(&tool.name) {
            found.push(Violation::new(format!("{place}.name"), "another tool has this name"));
        }
    }
    found
}

fn text_problem(text: &str, least: usize, most: usize) -> Option<String> {
    let length = text.trim().chars().count();
    let has_control = text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    if has_control {
        return Some("it contains a control character".to_owned());
    }
    (!(least..=most).contains(&length)).then(|| format!("{least} to {most} characters"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(changes: Value) -> HttpTool {
        let mut tool = json!({
            "name": "check_stock", "description": "Looks up how much bread is left.", "method": "GET",
            "url": "https://example.com/stock/{{bread}}?shop={{shop}}",
            "parameters": { "type": "object", "properties": { "bread": { "type": "string" } }, "required": ["bread"] },
            "headers": { "accept": "application/json" }, "secret_headers": { "authorization": "shop" },
            "static_values": { "shop": 7 }, "variables": { "left": "/left" }, "timeout_ms": 2_000,
            "say_started": "One moment.", "say_delayed": "Still looking.", "say_delayed_after_ms": 3_000,
            "say_failed": "I cannot look that up.",
        });
        for (key, value) in changes.as_object().expect("changes") {
            tool[key] = value.clone();
        }
        serde_json::from_value(tool).expect("a tool")
    }

    fn fields(changes: Value) -> Vec<String> {
        violations(&[tool(changes)]).into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_complete_tool_has_no_violations() {
        assert_eq!(fields(json!({})), [""; 0]);
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (changes, field) in [
            (json!({ "name": "end_call" }), "name"),
            (json!({ "name": "check stock" }), "name"),
            (json!({ "name": "x".repeat(65) }), "name"),
            (json!({ "description": " " }), "description"),
            (json!({ "description": "x".repeat(1_001) }), "description"),
            (json!({ "parameters": [] }), "parameters"),
            (json!({ "parameters": { "type": "string" } }), "parameters"),
            (
                json!({ "parameters": { "type": "object", "properties": { "a": { "type": "loaf" } } } }),
                "parameters",
            ),
            (
                json!({ "parameters": { "type": "object", "$ref": "https://example.com/schema.json" } }),
                "parameters",
            ),
            (
                json!({ "parameters": { "type": "object", "properties": { "a": { "pattern": "(" } } } }),
                "parameters",
            ),
            (json!({ "url": "https://{{host}}/" }), "url"),
            (json!({ "url": "file:///etc/passwd" }), "url"),
            (json!({ "headers": { "host": "x" } }), "headers"),
            (json!({ "headers": { "Content-Length": "1" } }), "headers"),
            (json!({ "headers": { "x": "a\r\nb: c" } }), "headers"),
            (json!({ "headers": { "x y": "a" } }), "headers"),
            (json!({ "secret_headers": { "idempotency-key": "a" } }), "secret_headers"),
            (json!({ "headers": { "Authorization": "Bearer x" } }), "secret_headers"),
            (json!({ "static_values": { "a b": 1 } }), "static_values"),
            (json!({ "static_values": { "a": "x".repeat(4_001) } }), "static_values"),
            (json!({ "variables": { "left": "left" } }), "variables"),
            (json!({ "timeout_ms": 99 }), "timeout_ms"),
            (json!({ "timeout_ms": 30_001 }), "timeout_ms"),
            (json!({ "say_started": "" }), "say_started"),
            (json!({ "say_failed": "x".repeat(301) }), "say_failed"),
            (json!({ "say_delayed_after_ms": 499 }), "say_delayed_after_ms"),
        ] {
            assert_eq!(fields(changes.clone()), [format!("http_tools.0.{field}")], "{changes}");
        }
        let twice = violations(&[tool(json!({})), tool(json!({}))]);
        assert_eq!(twice[0].field, "http_tools.1.name");
        let many: Vec<HttpTool> = (0..21).map(|n| tool(json!({ "name": format!("t{n}") }))).collect();
        assert_eq!(violations(&many)[0].field, "http_tools");
    }
}
