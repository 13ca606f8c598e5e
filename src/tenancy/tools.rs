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
    /// A secret for the headers of HTTP tools.
    ToolSecretId
);

words!(
    /// Outcome of a tool's call. `refused`: it was not carried out. `abandoned`: the caller interrupted, or the call ended.
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

/// A secret for the headers of a tenant's HTTP tools. Its value is never shown.
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

/// A validator for a JSON schema. Patterns are regular expressions that match in linear time, and a reference to another document
/// is an error.
///
/// # Errors
/// The problem of the schema.
pub fn validator(schema: &Value) -> Result<Validator, String> {
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex().size_limit(1 << 20));
    options.build(schema).map_err(|error| error.to_string().chars().take(200).collect())
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
