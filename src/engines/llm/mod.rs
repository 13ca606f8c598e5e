//! Replies by a language model or by a script.

pub mod openai;
mod resilient;
pub mod script;
pub mod scripted;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;

pub use resilient::Resilient;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Caller,
    Agent,
}

/// One thing that was said and heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub role: Role,
    pub text: String,
}

/// A question to the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The profile's instructions.
    pub system: Arc<str>,
    /// The conversation so far, oldest first; the caller's newest words are last.
    pub messages: Vec<Message>,
    /// The engine's own name for a model; its default when absent.
    pub model: Option<Arc<str>>,
    /// The longest reply, in tokens; the engine's default when absent.
    pub max_tokens: Option<u32>,
    /// May the agent end the call?
    pub may_hang_up: bool,
}

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    Text(String),
    /// The call is to end when the reply is said. Only where the prompt allows it.
    HangUp,
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

    /// Tries out a local engine, and reports the result in a few words. The doctor examines a server by a real request instead.
    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        async { Ok("nothing to prove".to_owned()) }.boxed()
    }

    /// Habits of its server that the replies so far revealed and that callers notice: each with its remedy.
    fn remarks(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}
