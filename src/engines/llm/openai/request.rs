//! The body of a request.

use std::collections::BTreeSet;

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Settings;
use super::habits::{ModelHabits, has_tools};
use super::history::{ChatLine, without_system};
use crate::engines::llm::{Prompt, ToolSpec};

/// Parameters that the body always has, and that `extra` must not replace.
pub const RESERVED: [&str; 4] = ["messages", "model", "stream", "tools"];

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
    fn supported(self, refused: &BTreeSet<&'static str>) -> Option<&'static str> {
        let other = match self {
            TokenLimit::MaxCompletionTokens => Some(TokenLimit::MaxTokens),
            TokenLimit::MaxTokens => Some(TokenLimit::MaxCompletionTokens),
            TokenLimit::None => None,
        };
        let parameters = [Some(self), other].into_iter().flatten().filter_map(TokenLimit::parameter);
        parameters.into_iter().find(|parameter| !refused.contains(parameter))
    }
}

/// The body of a request.
pub fn body(
    settings: &Settings,
    limit: TokenLimit,
    prompt: &Prompt,
    lines: &[ChatLine],
    habits: &ModelHabits,
) -> Value {
    let refused = &habits.refused;
    let model = prompt.model.as_deref().unwrap_or(&settings.model);
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    let messages = if habits.has_no_system_role { json!(without_system(lines)) } else { json!(lines) };
    body.insert("messages".into(), messages);
    body.insert("stream".into(), json!(true));
    if has_tools(prompt, habits) {
        body.insert("tools".into(), prompt.tools.iter().map(tool).collect());
    }
    if let Some(parameter) = limit.supported(refused) {
        body.insert(parameter.into(), json!(prompt.max_tokens.unwrap_or(settings.max_tokens)));
    }
    let effort = settings.reasoning_effort.as_deref().filter(|_| !refused.contains("reasoning_effort"));
    let effort = if habits.wants_no_reasoning { Some("none") } else { effort };
    let optional = [
        ("temperature", settings.temperature.map(Value::from)),
        ("stream_options", settings.include_usage.then(|| json!({ "include_usage": true }))),
    ];
    let sent = optional.into_iter().filter(|(name, _)| !refused.contains(name));
    body.extend(sent.filter_map(|(name, value)| Some((name.to_owned(), value?))));
    body.extend(effort.map(|effort| ("reasoning_effort".to_owned(), json!(effort))));
    let mut body = Value::Object(body);
    settings.extra.merge_into(&mut body);
    body
}

/// <https://platform.openai.com/docs/guides/function-calling>
fn tool(tool: &ToolSpec) -> Value {
    json!({ "type": "function", "function": {
        "name": tool.name, "description": tool.description, "parameters": *tool.parameters,
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Settings {
        toml::from_str(toml).expect("settings")
    }

    fn sent(settings: &Settings, limit: TokenLimit, refused: &[&'static str]) -> Value {
        let habits = ModelHabits { refused: refused.iter().copied().collect(), ..ModelHabits::default() };
        body(settings, limit, &Prompt::default(), &[], &habits)
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
    fn tools_and_reasoning_depend_on_what_the_model_accepts() {
        let prompt = Prompt { tools: [ToolSpec::end_call()].into(), ..Prompt::default() };
        let sent = |habits| body(&settings(""), TokenLimit::None, &prompt, &[], &habits);
        let usual = sent(ModelHabits::default());
        assert_eq!((usual.get("tools").is_some(), usual.get("reasoning_effort")), (true, None));
        let refused = ModelHabits { refused: ["tools"].into(), ..ModelHabits::default() };
        assert_eq!(sent(refused).get("tools"), None);
        let effort = ["reasoning_effort"].into();
        let silent = ModelHabits { refused: effort, wants_no_reasoning: true, ..ModelHabits::default() };
        assert_eq!(sent(silent)["reasoning_effort"], "none");
    }
}
