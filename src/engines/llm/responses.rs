//! Replies by OpenAI's Responses API, streamed, which newer models need for tools beside reasoning.
//!
//! <https://platform.openai.com/docs/api-reference/responses-streaming>. The conversation is sent with each request and not stored
//! by the server. Each reply is charged as the server reports its tokens; of a reply that is cut off, they are estimated.

mod request;
mod stream;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::events::replied;
use super::history::length;
use super::openai::habits::{Habits, log_refusal};
use super::reply::{ReplyBuilder, UsageCounter};
use super::{Deltas, Llm, Prompt};
use crate::engines::core::EngineError;
use crate::engines::core::extra::Extra;
use crate::engines::core::openai::Endpoint;
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{Charge, Meter, Unit, estimated_tokens};
use crate::names::Names;
use request::{body, history};
use stream::ResponseReader;

/// Fields that the body always has, and that `extra` must not replace.
pub const RESERVED: [&str; 5] = ["input", "instructions", "model", "stream", "tools"];

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default `gpt-5.4-mini`.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// The longest reply of profiles that set none, in tokens, reasoning included. Default 150; the server takes no less than 16.
    pub max_tokens: u32,
    /// 0.0 to 2.0. Default: the server's own.
    pub temperature: Option<f64>,
    /// `none`, `minimal`, `low`, `medium` …, as the model takes them. Default: not sent.
    pub reasoning_effort: Option<String>,
    /// Further fields of the body; not those of [`RESERVED`]. Default: none.
    pub extra: Extra,
    /// The most tokens, by estimate, of instructions and history; older lines are left out. 6000 by default.
    pub history_tokens: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "gpt-5.4-mini".into(),
            models: Vec::new(),
            max_tokens: 150,
            temperature: None,
            reasoning_effort: None,
            extra: Extra::default(),
            history_tokens: 6_000,
        }
    }
}

pub struct ResponsesLlm {
    name: Arc<str>,
    endpoint: Endpoint,
    settings: Settings,
    models: Names,
    habits: Habits,
}

impl ResponsesLlm {
    pub fn new(name: Arc<str>, endpoint: Endpoint, settings: Settings) -> ResponsesLlm {
        let models = Names::models(&settings.model, &settings.models);
        ResponsesLlm { name, endpoint, settings, models, habits: Habits::default() }
    }

    /// Asks; once more for each parameter that the server refuses by name, without it, which is remembered.
    async fn ask(&self, prompt: Prompt, meter: Meter) -> Result<Deltas, EngineError> {
        let model = prompt.model.as_deref().unwrap_or(&self.settings.model);
        self.models.check(model).map_err(|error| EngineError::name("model", &error))?;
        loop {
            let habits = self.habits.of(model);
            let said = history(&prompt, self.settings.history_tokens, &habits);
            let body = body(&self.settings, &prompt, &said, &habits);
            let mut charge = meter.charge(Kind::Llm, &self.name, model);
            charge.set(Unit::InputTokens, estimated_tokens(length(&prompt, &said)));
            let error = match self.ask_once(&body, charge, &prompt).await {
                Ok(deltas) => return Ok(deltas),
                Err(error) => error,
            };
            match error.unsupported_parameter() {
                Some(parameter) if self.habits.refuse(model, parameter, &body) => {
                    log_refusal(&self.name, model, parameter);
                }
                _ => return Err(error),
            }
        }
    }

    async fn ask_once(&self, body: &Value, charge: Charge, prompt: &Prompt) -> Result<Deltas, EngineError> {
        let answer = self.endpoint.send(self.endpoint.post("/responses").json(body)).await;
        let (response, charge) = charge.settle(answer)?;
        let reply = ReplyBuilder::new(self.name.clone(), prompt.tools.clone(), UsageCounter::new(charge));
        Ok(replied(&self.endpoint, response, ResponseReader::new(reply)))
    }
}

impl Llm for ResponsesLlm {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn connect(&self) -> BoxFuture<'_, ()> {
        self.endpoint.connect().boxed()
    }

    fn reply(&self, prompt: Prompt, meter: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
        self.ask(prompt, meter).boxed()
    }

    fn remarks(&self) -> Vec<(String, String)> {
        self.habits.remarks()
    }
}

#[cfg(test)]
mod tests;
