//! The items of a conversation that the model reads as its context.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Keys, ToolId};

/// One thing that the caller or the agent did, as far as the other perceived it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContextItem {
    /// An utterance of the caller.
    Caller { text: String },
    /// The agent's words in one turn, as far as they were played.
    Agent {
        text: String,
        /// The caller interrupted before the rest was heard.
        cut_short: bool,
    },
    /// Keys that the caller pressed one after the other.
    Dtmf(Keys),
    /// The agent called a tool. Its result follows, perhaps behind other calls.
    ToolCall {
        tool: ToolId,
        /// The model's id of the call.
        call: Arc<str>,
        name: Arc<str>,
        arguments: Arc<str>,
    },
    /// A trusted instruction to the agent, which the caller does not hear.
    Note { text: Arc<str> },
    /// The agent is to act on the latest note although the caller has said nothing.
    ActOnNotes,
    /// The result of a tool, as far as there is one.
    ToolResult { tool: ToolId, call: Arc<str>, content: Arc<str> },
}
