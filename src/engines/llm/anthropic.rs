//! Replies by Anthropic's Messages API, streamed.
//!
//! <https://docs.claude.com/en/api/messages-streaming>. Each reply is charged as the server reports its tokens, those that it read
//! from its cache included; of a reply that is cut off, the output is estimated from characters.

mod request;
mod stream;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::events::replied;
use super::history::length;
use super::reply::{ReplyBuilder, UsageCounter};
use super::{Deltas, Llm, Prompt};
use crate::engines::core::EngineError;
use crate::engines::core::extra::Extra;
use crate::engines::core::openai::Endpoint;
use crate::engines::core::retry::Kind;
use crate::engines::core::server::Auth;
use crate::engines::core::usage::{Meter, Unit, estimated_tokens};
use crate::names::Names;
use request::{body, history};
use stream::MessageReader;

/// The default address.
pub const BASE_URL: &str = "https://api.anthropic.com/v1";
/// How requests carry the key.
pub const AUTH: Auth = Auth::Header("x-api-key");
/// Fields that the body always has, and that `extra` must not replace.
pub const RESERVED: [&str; 5] = ["messages", "model", "stream", "system", "tools"];
/// The header with the version of the API, and the version.
pub const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default `claude-haiku-4-5`, the fastest one.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// The longest reply of profiles that set none, in tokens. Default 150: callers prefer short replies.
    pub max_tokens: u32,
    /// 0.0 to 1.0. Default: the server's own.
    pub temperature: Option<f64>,
    /// Mark the system prompt and the history for the server's cache, which makes later turns faster and cheaper. True by default.
    pub cache: bool,
    /// Further fields of the body, such as `thinking`; not those of [`RESERVED`]. Default: none.
    pub extra: Extra,
    /// The most tokens, by estimate, of system prompt and history; older lines are left out. 6000 by default.
    pub history_tokens: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "claude-haiku-4-5".into(),
            models: Vec::new(),
            max_tokens: 150,
            temperature: None,
            cache: true,
            extra: Extra::default(),
            history_tokens: 6_000,
        }
    }
}

pub struct AnthropicLlm {
    name: Arc<str>,
    endpoint: Endpoint,
    settings: Settings,
    models: Names,
}

impl AnthropicLlm {
    pub fn new(name: Arc<str>, endpoint: Endpoint, settings: Settings) -> AnthropicLlm {
        let models = Names::models(&settings.model, &settings.models);
        AnthropicLlm { name, endpoint, settings, models }
    }

    async fn ask(&self, prompt: Prompt, meter: Meter) -> Result<Deltas, EngineError> {
        let model = prompt.model.as_deref().unwrap_or(&self.settings.model);
        self.models.check(model).map_err(|error| EngineError::name("model", &error))?;
        let said = history(&prompt, self.settings.history_tokens);
        let body = body(&self.settings, &prompt, &said);
        let mut charge = meter.charge(Kind::Llm, &self.name, model);
        charge.set(Unit::InputTokens, estimated_tokens(length(&prompt, &said)));
        let (name, version) = VERSION;
        let request = self.endpoint.post("/messages").header(name, version).json(&body);
        let (response, charge) = charge.settle(self.endpoint.send(request).await)?;
        let reply = ReplyBuilder::new(self.name.clone(), prompt.tools, UsageCounter::new(charge));
        Ok(replied(&self.endpoint, response, MessageReader::new(reply)))
    }
}

impl Llm for AnthropicLlm {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn connect(&self) -> BoxFuture<'_, ()> {
        self.endpoint.connect().boxed()
    }

    fn reply(&self, prompt: Prompt, meter: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
        self.ask(prompt, meter).boxed()
    }
}

#[cfg(test)]
mod tests;
