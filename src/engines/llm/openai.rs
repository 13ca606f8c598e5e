//! Replies by OpenAI, or by a server with the same API, streamed.
//!
//! Each reply is charged as the server reports its tokens
//! (<https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options>); where it reports none, or the
//! reply is cut off before, tokens are estimated from characters.

pub(super) mod habits;
mod history;
mod request;
mod stream;
mod visible;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;

use super::events::replied;
use super::reply::{ReplyBuilder, UsageCounter};
use super::{Deltas, Llm, Prompt};
use crate::engines::core::EngineError;
use crate::engines::core::extra::Extra;
use crate::engines::core::openai::Endpoint;
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{Charge, Meter, Unit, estimated_tokens};
use crate::names::Names;
use habits::{Habits, has_tools, log_refusal};
use history::{HistoryRules, length, lines};
use request::body;
use stream::{ChatReader, ReasoningHabit};

pub use request::{RESERVED, TokenLimit};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default `gpt-5.4-mini`.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// The longest reply of profiles that set none, in tokens. Default 150: callers prefer short replies.
    pub max_tokens: u32,
    /// The parameter that carries this limit. Default: by server, see [`TokenLimit::of_server`].
    pub token_limit: Option<TokenLimit>,
    /// 0.0 to 2.0. Default: the server's own.
    pub temperature: Option<f64>,
    /// `none`, `minimal`, `low`, `medium` …, as the model takes them. Default: not sent.
    pub reasoning_effort: Option<String>,
    /// Request the token counts of each reply. Otherwise tokens are estimated. True by default.
    pub include_usage: bool,
    /// Further fields of the body, as the server takes them; not those of [`RESERVED`]. Default: none.
    pub extra: Extra,
    /// Begin the history with a line of the user, as strict chat templates require. True by default.
    pub alternate: bool,
    /// The most tokens, by estimate, of system prompt and history; older lines are left out. 6000 by default.
    pub history_tokens: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "gpt-5.4-mini".into(),
            models: Vec::new(),
            max_tokens: 150,
            token_limit: None,
            temperature: None,
            reasoning_effort: None,
            include_usage: true,
            extra: Extra::default(),
            alternate: true,
            history_tokens: 6_000,
        }
    }
}

impl Settings {
    /// The models that profiles may choose.
    pub fn allowed_models(&self) -> Names {
        Names::models(&self.model, &self.models)
    }
}

pub struct OpenAiLlm {
    name: Arc<str>,
    endpoint: Endpoint,
    settings: Settings,
    limit: TokenLimit,
    models: Names,
    habits: Arc<Habits>,
}

impl OpenAiLlm {
    pub fn new(name: Arc<str>, endpoint: Endpoint, settings: Settings) -> OpenAiLlm {
        let models = settings.allowed_models();
        let limit = settings.token_limit.unwrap_or_else(|| TokenLimit::of_server(&endpoint.address()));
        OpenAiLlm { name, endpoint, settings, limit, models, habits: Arc::default() }
    }

    /// Asks; once more for each parameter that the server refuses by name, without it, which is remembered.
    async fn ask(&self, prompt: Prompt, meter: Meter) -> Result<Deltas, EngineError> {
        let model = prompt.model.as_deref().unwrap_or(&self.settings.model);
        self.models.check(model).map_err(|error| EngineError::name("model", &error))?;
        loop {
            let habits = self.habits.of(model);
            let lines = lines(&prompt, self.history_rules(has_tools(&prompt, &habits)));
            let body = body(&self.settings, self.limit, &prompt, &lines, &habits);
            let mut charge = meter.charge(Kind::Llm, &self.name, model);
            charge.set(Unit::InputTokens, estimated_tokens(length(&lines)));
            let error = match self.ask_once(&body, model, charge, &prompt).await {
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

    fn history_rules(&self, has_tools: bool) -> HistoryRules {
        let Settings { alternate, history_tokens: budget, .. } = self.settings;
        HistoryRules { alternate, budget, has_tools }
    }

    async fn ask_once(
        &self,
        body: &Value,
        model: &str,
        charge: Charge,
        prompt: &Prompt,
    ) -> Result<Deltas, EngineError> {
        let answer = self.endpoint.send(self.endpoint.post("/chat/completions").json(body)).await;
        let (response, charge) = charge.settle(answer)?;
        let reasoning = ReasoningHabit::of(&self.habits, model);
        let reply = ReplyBuilder::new(self.name.clone(), prompt.tools.clone(), UsageCounter::new(charge));
        Ok(replied(&self.endpoint, response, ChatReader::new(reply, reasoning, prompt.form)))
    }
}

impl Llm for OpenAiLlm {
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
