//! Replies by a language model or by a script.

pub mod anthropic;
mod events;
mod history;
pub mod openai;
mod reply;
mod resilient;
pub mod responses;
pub mod script;
pub mod scripted;
mod sentences;
mod spelled;
mod tool_calls;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde_json::{Value, json};

use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;

pub use resilient::Resilient;

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSpec {
    /// Letters, digits, `_` and `-`, 64 at most, as all vendors accept them.
    pub name: Arc<str>,
    /// For the model: the purpose of the tool, and when to call it.
    pub description: Arc<str>,
    /// The JSON schema of its arguments, an object.
    pub parameters: Arc<Value>,
}

impl ToolSpec {
    /// The tool with which the agent ends the call.
    pub fn end_call() -> ToolSpec {
        let description = "End the telephone call. Say goodbye in the same reply, and do it only when the caller has \
                           nothing more to say.";
        ToolSpec {
            name: END_CALL.into(),
            description: description.into(),
            parameters: Arc::new(json!({ "type": "object", "properties": {} })),
        }
    }
}

/// The name of [`ToolSpec::end_call`].
pub const END_CALL: &str = "end_call";

/// A call of a tool by the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Joins the call with its result; unique within a reply.
    pub id: Arc<str>,
    /// The name of an offered tool.
    pub name: Arc<str>,
    /// JSON as the model wrote it, not checked; `{}` where it wrote nothing.
    pub arguments: Arc<str>,
}

/// One entry of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Words of the caller.
    Caller(String),
    /// Words of the agent, as far as they were played.
    Agent(String),
    ToolCall(ToolCall),
    ToolResult {
        /// The id of the call.
        call: Arc<str>,
        content: Arc<str>,
    },
}

/// A question to the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The profile's instructions.
    pub system: Arc<str>,
    /// The conversation so far, oldest first; the caller's newest words, or the results of tools, are last.
    pub messages: Vec<Message>,
    /// The engine's own name for a model; its default when absent.
    pub model: Option<Arc<str>>,
    /// The longest reply, in tokens; the engine's default when absent.
    pub max_tokens: Option<u32>,
    /// The engine was asked before, and its reply broke off or stalled: its fallbacks reply, if there are any.
    pub is_repeated: bool,
    /// The tools that the model may call; none by default.
    pub tools: Arc<[ToolSpec]>,
    pub form: ReplyForm,
}

/// The purpose of a reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReplyForm {
    /// It is spoken: JSON and tags in it are calls of tools that the model spelled out, and are no text.
    #[default]
    Speech,
    /// It is read by the program: all of it is text, except reasoning.
    Data,
}

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    Text(String),
    /// A whole call of an offered tool. The calls of a reply follow its text.
    ToolCall(ToolCall),
    /// The model writes a tool call or a sentence that is not complete yet: a reply that has begun goes on, and the text so far
    /// is a whole sentence where it can be one.
    Writing,
    /// The server withheld its reply: the caller hears a fixed text instead.
    Declined,
    /// The reply is complete. The stream may go on, without further pieces, until its tokens are counted.
    End,
}

/// The pieces of a reply as they arrive. It ends with [`Delta::End`] or with the stream.
pub type Deltas = BoxStream<'static, Result<Delta, EngineError>>;

/// An engine that answers.
pub trait Llm: Send + Sync {
    /// The name by which a profile asks for it.
    fn name(&self) -> &Arc<str>;

    /// Starts a reply. Dropping the stream cancels the rest. The usage is added to the meter.
    fn reply(&self, prompt: Prompt, meter: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>>;

    /// Opens a connection to its server in advance, for the first request of a call. Failures are left to that request.
    fn connect(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    /// Tries out a local engine, and reports the result in a few words. The doctor examines a server by a real request instead.
    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        async { Ok("nothing to prove".to_owned()) }.boxed()
    }

    /// Whether it understands any text, which a script does not.
    fn is_model(&self) -> bool {
        true
    }

    /// The engine without time limits, retries, circuit breaker and fallbacks, for requests that have their own and that no
    /// caller waits for. `None` when it has none of these.
    fn alone(&self) -> Option<Arc<dyn Llm>> {
        None
    }

    /// Habits of its server that the replies so far revealed and that callers notice: each with its remedy.
    fn remarks(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}
