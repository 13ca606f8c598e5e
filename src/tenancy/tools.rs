//! Tools of agents: the record of their calls.

use std::fmt;

use chrono::{DateTime, Utc};
use jsonschema::{PatternOptions, Validator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::TenantId;
use super::kinds::{id, words};

id!(
    /// A secret for the headers of HTTP tools and MCP servers.
    ToolSecretId
);

words!(
    /// Outcome of a tool's call. `refused`: it was not carried out. `abandoned`: the caller interrupted, or the turn or the call ended.
    ToolRunOutcome {
        Succeeded = "succeeded",
        Failed = "failed",
        TimedOut = "timed_out",
        Refused = "refused",
        Abandoned = "abandoned",
    }
);

/// A call of a tool by the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolRun {
    pub name: String,
    /// The turn in which the agent called it; its result may have arrived later.
    pub turn: u32,
    /// JSON as the model wrote it; at most 1,000 characters are kept.
    pub arguments: String,
    pub outcome: ToolRunOutcome,
    /// The text that the model read; at most 1,000 characters are kept.
    pub result: String,
    pub started_at: DateTime<Utc>,
    pub duration_ms: u32,
}

/// The most characters of arguments and of a result that are kept.
const KEPT: usize = 1_000;

impl ToolRun {
    /// A text as it is kept.
    pub fn kept(text: &str) -> String {
        text.chars().take(KEPT).collect()
    }
}

/// One line, without characters that control a terminal.
impl fmt::Display for ToolRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ToolRun { name, arguments, outcome, result, duration_ms, .. } = self;
        let line = format!("{name}({arguments}) {outcome} in {duration_ms} ms: {result}");
        line.chars().try_for_each(|c| write!(f, "{}", if c.is_control() { ' ' } else { c }))
    }
}

/// A secret for the headers of a tenant's HTTP tools and MCP servers. Its value is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolSecret {
    pub id: ToolSecretId,
    pub tenant_id: TenantId,
    /// The name by which `secret_headers` of tools refer to it.
    #[schema(examples("shop-api"))]
    pub name: String,
    pub created_at: DateTime<Utc>,
    /// The time of the last change of the value.
    pub updated_at: DateTime<Utc>,
}

/// The most fields that an agent can remember in a call.
pub const MAX_FIELDS: usize = 20;

/// The longest JSON schema of arguments, in bytes.
const MAX_SCHEMA: usize = 8_000;

/// The most JSON values of a schema with each reference replaced by its target. Without this limit a short schema of references
/// could occupy a core for hours.
const MAX_EXPANDED: usize = 5_000;

/// A validator for a JSON schema. Patterns are regular expressions that match in linear time. A reference to another document
/// is an error, and so is one that leads back to itself.
///
/// # Errors
/// The problem of the schema.
pub fn validator(schema: &Value) -> Result<Validator, String> {
    check_references(schema)?;
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex().size_limit(1 << 20));
    options.build(schema).map_err(|error| error.to_string().chars().take(200).collect())
}

/// Checks that a schema is bounded once each reference is replaced by its target.
fn check_references(schema: &Value) -> Result<(), String> {
    let (mut left, mut parts) = (MAX_EXPANDED, vec![schema]);
    while let Some(part) = parts.pop() {
        match part {
            Value::Array(items) => parts.extend(items),
            Value::Object(fields) => {
                for (name, field) in fields {
                    parts.push(target(schema, name, field, std::ptr::eq(schema, part))?.unwrap_or(field));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        left -= 1;
        if parts.len() > left {
            return Err("it has too many references, or one that leads back to itself".to_owned());
        }
    }
    Ok(())
}

/// The part of the schema that a field refers to, if it is a reference.
fn target<'a>(
    schema: &'a Value,
    keyword: &str,
    field: &Value,
    is_root: bool,
) -> Result<Option<&'a Value>, String> {
    let Some(text) = field.as_str() else { return Ok(None) };
    match keyword {
        "$ref" => {
            // The validator decodes %, so that such a pointer leads elsewhere than here.
            let pointer = text.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
            let target = pointer.and_then(|pointer| schema.pointer(pointer));
            let problem =
                || format!("$ref {text:.60} has to be # and a JSON pointer to a part of the schema");
            target.map(Some).ok_or_else(problem)
        }
        // Keywords that change the target of a reference.
        "$dynamicRef" | "$recursiveRef" => Err(format!("{keyword} cannot be used")),
        "$id" if !is_root => Err("only the whole schema may have an $id".to_owned()),
        "$schema" if !is_root || text.contains("draft-04") => Err("this $schema cannot be used".to_owned()),
        _ => Ok(None),
    }
}

/// Why a JSON schema cannot be used for arguments.
pub(super) fn schema_problem(schema: &Value) -> Option<String> {
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Some("it has to be a JSON schema with \"type\": \"object\"".to_owned());
    }
    if schema.to_string().len() > MAX_SCHEMA {
        return Some(format!("it is longer than {MAX_SCHEMA} bytes"));
    }
    validator(schema).err()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each definition refers twice to the next one.
    fn doubling(levels: usize) -> Value {
        let level = |at: usize| {
            let next = json!({ "$ref": format!("#/$defs/d{}", at + 1) });
            (format!("d{at}"), json!({ "anyOf": [next, next] }))
        };
        let mut definitions: serde_json::Map<String, Value> = (0..levels).map(level).collect();
        definitions.insert(format!("d{levels}"), json!({ "type": "string" }));
        json!({ "type": "object", "$defs": definitions, "properties": { "a": { "$ref": "#/$defs/d0" } } })
    }

    #[test]
    fn references_within_the_schema_are_followed() {
        let loaf = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/loaf", "type": "object",
            "$defs": { "a/b": { "enum": ["rye"] } },
            "properties": { "id": { "$ref": "#/$defs/a~1b" }, "$id": { "type": "string" }, "$ref": { "type": "string" } },
        });
        assert_eq!(schema_problem(&loaf), None);
        let schema = validator(&loaf).expect("a schema");
        assert!(schema.is_valid(&json!({ "id": "rye" })) && !schema.is_valid(&json!({ "id": "oak" })));
        assert_eq!(schema_problem(&doubling(3)), None);
    }

    #[test]
    fn a_long_chain_of_references_works() {
        let level = |at: usize| (format!("{at}"), json!({ "$ref": format!("#/$defs/{}", at + 1) }));
        let mut definitions: serde_json::Map<String, Value> = (0..60).map(level).collect();
        definitions.insert("60".to_owned(), json!({ "type": "string" }));
        let chain =
            json!({ "type": "object", "$defs": definitions, "properties": { "a": { "$ref": "#/$defs/0" } } });
        assert_eq!(schema_problem(&chain), None);
        assert!(!validator(&chain).expect("a schema").is_valid(&json!({ "a": 1 })));
    }

    #[test]
    fn a_schema_that_expands_without_end_is_refused() {
        let with = |part: Value| json!({ "type": "object", "properties": { "a": part } });
        for schema in [
            doubling(40),
            with(json!({ "$ref": "#" })),
            with(json!({ "$ref": "#/properties/a" })),
            with(json!({ "$ref": "#/properties/b" })),
            with(json!({ "$ref": "#anchor" })),
            json!({ "type": "object", "%24defs": {}, "$defs": {}, "allOf": [{ "$ref": "#/%24defs" }] }),
            with(json!({ "$ref": "https://json-schema.org/draft/2020-12/schema" })),
            with(json!({ "$dynamicRef": "#" })),
            with(json!({ "$recursiveRef": "#" })),
            with(json!({ "$id": "https://example.com/x", "$ref": "#/x" })),
            json!({ "$schema": "http://json-schema.org/draft-04/schema#", "type": "object" }),
        ] {
            assert!(schema_problem(&schema).is_some(), "{schema}");
        }
    }
}
