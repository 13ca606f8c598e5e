//! Tools of agents: the record of their calls.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::words;

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

/// The most fields that an agent can remember in a call.
pub const MAX_FIELDS: usize = 20;
