//! The body of a request, and the parameters that a server turned out not to support.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Settings;
use super::history::ChatLine;
use crate::engines::llm::Prompt;

/// The tool with which the agent ends the call.
pub const HANG_UP: &str = "hang_up";
/// Parameters that the body always has, and that `extra` must not replace.
pub const RESERVED: [&str; 4] = ["messages", "model", "stream", "tools"];
/// Optional parameters that are left out once a server has refused them.
const OPTIONAL: [&str; 5] =
    ["max_completion_tokens", "max_tokens", "reasoning_effort", "stream_options", "temperature"];
/// The number of models with remembered refusals.
const MODELS: usize = 256;

/// The parameter that limits the length of a reply.
///
/// OpenAI's models refuse `max_tokens` since the o-series and GPT-5; other servers know only that one, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLimit {
    MaxCompletionTokens,
    MaxTokens,
    None,
}

impl TokenLimit {
    /// The parameter of OpenAI's and Azure's servers is the newer one, of all others the older one.
    pub fn of_server(base_url: &str) -> TokenLimit {
        let host =
            Url::parse(base_url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let is_azure = [".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"]
            .iter()
            .any(|domain| host.ends_with(domain));
        let is_openai = host == "api.openai.com" || host.ends_with(".api.openai.com");
        if is_openai || is_azure { TokenLimit::MaxCompletionTokens } else { TokenLimit::MaxTokens }
    }

    fn parameter(self) -> Option<&'static str> {
        match self {
            TokenLimit::MaxCompletionTokens => Some("max_completion_tokens"),
            TokenLimit::MaxTokens => Some("max_tokens"),
            TokenLimit::None => None,
        }
    }

    /// The parameter to send, where `refused` were not supported: this one, or else the other one, or else none.
    fn supported(self, refused: &RefusedOptions) -> Option<&'static str> {
        let other = match self {
            TokenLimit::MaxCompletionTokens => Some(TokenLimit::MaxTokens),
            TokenLimit::MaxTokens => Some(TokenLimit::MaxCompletionTokens),
            TokenLimit::None => None,
        };
        let parameters = [Some(self), other].into_iter().flatten().filter_map(TokenLimit::parameter);
        parameters.into_iter().find(|parameter| !refused.contains(parameter))
    }
}

/// The parameters that a model refused.
pub type RefusedOptions = BTreeSet<&'static str>;

/// The parameters that each model of one engine refused.
#[derive(Debug, Default)]
pub struct Learned(Mutex<BTreeMap<String, RefusedOptions>>);

impl Learned {
    pub fn of(&self, model: &str) -> RefusedOptions {
        self.models().get(model).cloned().unwrap_or_default()
    }

    /// Remembers a refused parameter; whether a request without it is worth a try.
    pub fn refuse(&self, model: &str, parameter: &str) -> bool {
        // Servers name nested parameters by their path, as in stream_options.include_usage.
        let name = parameter.split('.').next().unwrap_or_default();
        let Some(known) = OPTIONAL.iter().find(|it| **it == name) else { return false };
        let mut models = self.models();
        if models.len() >= MODELS && !models.contains_key(model) {
            models.pop_first();
        }
        models.entry(model.to_owned()).or_default().insert(known)
    }

    fn models(&self) -> MutexGuard<'_, BTreeMap<String, RefusedOptions>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request.
pub fn body(
    settings: &Settings,
    limit: TokenLimit,
    prompt: &Prompt,
    lines: &[ChatLine],
    refused: &RefusedOptions,
) -> Value {
    let model = prompt.model.as_deref().unwrap_or(&settings.model);
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    body.insert("messages".into(), json!(lines));
    body.insert("stream".into(), json!(true));
    if prompt.may_hang_up {
        body.insert("tools".into(), json!([hang_up()]));
    }
    if let Some(parameter) = limit.supported(refused) {
        body.insert(parameter.into(), json!(prompt.max_tokens.unwrap_or(settings.max_tokens)));
    }
    let optional = [
        ("temperature", settings.temperature.map(Value::from)),
        ("reasoning_effort", settings.reasoning_effort.clone().map(Value::from)),
        ("stream_options", settings.include_usage.then(|| json!({ "include_usage": true }))),
    ];
    let sent = optional.into_iter().filter(|(name, _)| !refused.contains(name));
    body.extend(sent.filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let mut body = Value::Object(body);
    settings.extra.merge_into(&mut body);
    body
}

/// <https://platform.openai.com/docs/guides/function-calling>
fn hang_up() -> Value {
    json!({ "type": "function", "function": {
        "name": HANG_UP,
        "description": "End the telephone call. Say goodbye in the same reply, and do it only when the caller \
                        has nothing more to say.",
        "parameters": { "type": "object", "properties": {} },
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Settings {
        toml::from_str(toml).expect("settings")
    }

    fn sent(settings: &Settings, limit: TokenLimit, refused: &[&'static str]) -> Value {
        body(settings, limit, &Prompt::default(), &[], &refused.iter().copied().collect())
    }

    #[test]
    fn the_limit_depends_on_the_server() {
        for (base_url, limit) in [
            ("https://api.openai.com/v1", TokenLimit::MaxCompletionTokens),
            ("https://eu.api.openai.com/v1", TokenLimit::MaxCompletionTokens),
            ("https://x.openai.azure.com/openai/v1", TokenLimit::MaxCompletionTokens),
            ("http://127.0.0.1:11434/v1", TokenLimit::MaxTokens),
            ("https://api.groq.com/openai/v1", TokenLimit::MaxTokens),
            ("https://api.openai.com.example.org/v1", TokenLimit::MaxTokens),
        ] {
            assert_eq!(TokenLimit::of_server(base_url), limit, "{base_url}");
        }
    }

    #[test]
    fn a_refused_limit_is_replaced_by_the_other_and_then_left_out() {
        let settings = settings("");
        let (new, old) = ("max_completion_tokens", "max_tokens");
        for (refused, parameter) in [(&[][..], Some(old)), (&[old], Some(new)), (&[old, new], None)] {
            let body = sent(&settings, TokenLimit::MaxTokens, refused);
            for name in [new, old] {
                assert_eq!(body.get(name).is_some(), parameter == Some(name), "{refused:?}: {body}");
            }
        }
        assert_eq!(sent(&settings, TokenLimit::None, &[]).get(old), None);
    }

    #[test]
    fn options_are_sent_unless_they_were_refused_and_extra_fields_go_last() {
        let settings = settings(
            "temperature = 0.5\nreasoning_effort = \"none\"\n\
             extra = { seed = 7, temperature = 1, chat_template_kwargs = { enable_thinking = false } }",
        );
        let body = sent(&settings, TokenLimit::MaxTokens, &[]);
        assert_eq!(
            (&body["reasoning_effort"], &body["seed"], &body["temperature"]),
            (&json!("none"), &json!(7), &json!(1))
        );
        assert_eq!(body["chat_template_kwargs"], json!({ "enable_thinking": false }));
        let body = sent(&settings, TokenLimit::MaxTokens, &["reasoning_effort", "stream_options"]);
        assert_eq!((body.get("reasoning_effort"), body.get("stream_options")), (None, None));
    }

    #[test]
    fn refusals_are_remembered_by_model_and_bounded() {
        let learned = Learned::default();
        assert!(learned.refuse("a", "max_tokens") && !learned.refuse("a", "max_tokens"));
        assert!(learned.refuse("a", "stream_options.include_usage"));
        assert!(!learned.refuse("a", "messages"), "it cannot be left out");
        assert_eq!(learned.of("a").len(), 2);
        assert!(learned.of("b").is_empty());
        for model in 0..2 * MODELS {
            learned.refuse(&model.to_string(), "temperature");
        }
        assert_eq!(learned.models().len(), MODELS);
    }
}
