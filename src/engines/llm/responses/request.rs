//! The body of a request (<https://platform.openai.com/docs/api-reference/responses/create>).

use serde_json::{Map, Value, json};

use super::Settings;
use crate::engines::core::usage::{characters, estimated_tokens};
use crate::engines::llm::history::{AnsweredCall, HistoryEntry, entries, trim};
use crate::engines::llm::openai::habits::{ModelHabits, has_tools};
use crate::engines::llm::{Prompt, ToolSpec};

/// The newest entries that fit, beside the instructions, into `budget` tokens.
pub fn history(prompt: &Prompt, budget: u32, habits: &ModelHabits) -> Vec<HistoryEntry> {
    let mut said = entries(prompt, has_tools(prompt, habits));
    let system = estimated_tokens(characters(&prompt.system));
    trim(&mut said, u64::from(budget).saturating_sub(system));
    said
}

pub fn body(settings: &Settings, prompt: &Prompt, said: &[HistoryEntry], habits: &ModelHabits) -> Value {
    let model = prompt.model.as_deref().unwrap_or(&settings.model);
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    body.insert("instructions".into(), json!(prompt.system));
    body.insert("input".into(), said.iter().flat_map(items).collect());
    body.insert("stream".into(), json!(true));
    body.insert("store".into(), json!(false));
    if has_tools(prompt, habits) {
        body.insert("tools".into(), prompt.tools.iter().map(tool).collect());
    }
    let effort = settings.reasoning_effort.as_ref().map(|effort| json!({ "effort": effort }));
    let optional = [
        ("max_output_tokens", Some(json!(prompt.max_tokens.unwrap_or(settings.max_tokens).max(16)))),
        ("temperature", settings.temperature.map(Value::from)),
        ("reasoning", effort),
    ];
    let sent = optional.into_iter().filter(|(name, _)| !habits.refused.contains(name));
    body.extend(sent.filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let mut body = Value::Object(body);
    settings.extra.merge_into(&mut body);
    body
}

/// Not `strict`, which allows few schemas.
fn tool(tool: &ToolSpec) -> Value {
    json!({ "type": "function", "name": tool.name, "description": tool.description,
            "parameters": *tool.parameters, "strict": false })
}

/// Calls and results have no ids of their own: the server would look for what it has not stored.
fn items(entry: &HistoryEntry) -> Vec<Value> {
    let line = |role: &str, text: &str| json!({ "role": role, "content": text });
    match entry {
        HistoryEntry::Caller(text) => vec![line("user", text)],
        HistoryEntry::Agent(text) => vec![line("assistant", text)],
        HistoryEntry::Tools { text, calls } => {
            let text = (!text.trim().is_empty()).then(|| line("assistant", text));
            let call = |AnsweredCall { call, .. }: &AnsweredCall| {
                json!({ "type": "function_call", "call_id": call.id, "name": call.name,
                        "arguments": call.arguments })
            };
            let result = |it: &AnsweredCall| json!({ "type": "function_call_output", "call_id": it.call.id, "output": it.result });
            text.into_iter().chain(calls.iter().map(call)).chain(calls.iter().map(result)).collect()
        }
    }
}
