//! Tools: what the model calls, what the conversation does about it, and what came of it.
//!
//! Plain values. The names, arguments and words of tools are the driver's; the conversation decides when each is carried out.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{At, TurnId};
use crate::dtmf::{Digit, Tone};

/// One call of a tool in a conversation. Ids grow and are never reused, so a tool that has run is never run again for the same
/// call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ToolId(pub u32);

/// A call of a tool, as the model requested it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRequest {
    /// The model's id of the call. Within one response each counts once.
    pub id: Arc<str>,
    pub name: Arc<str>,
    /// JSON, as the model wrote it.
    pub arguments: Arc<str>,
    pub action: ToolAction,
    pub effect: ToolEffect,
}

/// Whether a repetition of a call does harm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolEffect {
    /// It does none: the call looks something up, or asks the caller.
    #[default]
    None,
    /// The call acts. Calls with the same key, which stands for tool and arguments, are the same action: it is carried out once for
    /// a request of the caller.
    Acts { key: Arc<str> },
}

/// The action of a call, once the driver has read its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolAction {
    /// The driver runs it, see [`Output::RunTool`](super::Output::RunTool).
    Run(ToolWords),
    /// The driver runs it, and the conversation goes on. The agent acts on its result when the floor is free. Only the words
    /// for its start are said.
    Start(ToolWords),
    /// Sends keys to the far end, after the words before it.
    SendDtmf { keys: Vec<Tone> },
    /// Transfers the caller to this target, after the words before it. The summary is for the target.
    Transfer { target: Arc<str>, summary: Option<Arc<str>> },
    /// Collects an entry of keys from the caller.
    CollectDigits(DigitRules),
    /// Changes the agent or its language, after the words before it.
    ChangeAgent(AgentChoice),
    /// It is not carried out, and the model reads why.
    Refuse { reason: Arc<str> },
}

/// The agent that goes on with the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentChoice {
    /// The agent of this name, and the model's reason.
    Agent { name: Arc<str>, reason: Arc<str> },
    /// The same agent in the language of this BCP 47 tag.
    Language { tag: Arc<str> },
}

/// The beginning of an agent that has taken over the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TakeOver {
    /// Its model goes on with the response.
    Answer,
    /// It plays its greeting.
    Greet,
}

/// The agent's words about a tool that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolWords {
    /// Said when the tool starts, unless the model has said something in the same response.
    pub started: Option<Arc<str>>,
    /// Said in place of the first filler when the tool is slow.
    pub delayed: Option<Arc<str>>,
    /// When `delayed` is said, from when the caller waits in silence; the filler's delay when absent.
    pub delayed_after: Option<Duration>,
    /// Said when the tool fails, before the model is asked again.
    pub failed: Option<Arc<str>>,
}

/// When an entry of keys is complete, and how much of it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigitRules {
    /// The number of keys that completes the entry, the terminator not included.
    pub most: usize,
    /// The key that completes the entry and is no part of it.
    pub terminator: Option<Digit>,
    /// The longest wait for the first key, from the end of the agent's words.
    pub first: Duration,
    /// The longest pause between two keys.
    pub between: Duration,
    /// The model and the transcript have the number of keys only; tools get the keys themselves.
    pub masked: bool,
}

impl DigitRules {
    /// An entry of so many keys at most, which `#` completes as well, with the usual time limits.
    pub fn of(most: usize, masked: bool) -> DigitRules {
        let (first, between) = (Duration::from_secs(10), Duration::from_secs(3));
        DigitRules { most, terminator: Digit::parse("#"), first, between, masked }
    }
}

/// The outcome of a call of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutcome {
    Succeeded,
    Failed,
    TimedOut,
    /// It was not carried out: an unknown tool, unusable arguments, too many calls.
    Refused,
    /// The call or the turn ended, or the caller interrupted, before there was a result.
    Abandoned,
}

impl ToolOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            ToolOutcome::Succeeded => "succeeded",
            ToolOutcome::Failed => "failed",
            ToolOutcome::TimedOut => "timed_out",
            ToolOutcome::Refused => "refused",
            ToolOutcome::Abandoned => "abandoned",
        }
    }
}

/// A finished call of a tool, for the transcript.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUse {
    pub tool: ToolId,
    /// The turn that called it; a record may be of a later turn.
    pub turn: TurnId,
    pub name: Arc<str>,
    pub arguments: Arc<str>,
    pub outcome: ToolOutcome,
    /// The text that the model reads.
    pub result: Arc<str>,
    /// When it started.
    pub at: At,
    pub took: Duration,
}
