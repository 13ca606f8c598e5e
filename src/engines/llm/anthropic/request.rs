//! The body of a request (<https://docs.claude.com/en/api/messages>).

use serde_json::{Value, json};

use super::Settings;
use crate::engines::core::usage::{characters, estimated_tokens};
use crate::engines::llm::history::{AnsweredCall, HistoryEntry, begin_with_caller, entries, trim};
use crate::engines::llm::{Prompt, ToolSpec};

/// Stands for the caller where the agent spoke last: the server continues no message of the assistant.
const SILENCE: &str = "(The caller is silent.)";

/// The newest entries that fit, beside the system prompt, into `budget` tokens. The first one and the last one are the user's.
pub fn history(prompt: &Prompt, budget: u32) -> Vec<HistoryEntry> {
    let mut said = entries(prompt, !prompt.tools.is_empty());
    let system = estimated_tokens(characters(&prompt.system));
    let is_trimmed = trim(&mut said, u64::from(budget).saturating_sub(system));
    begin_with_caller(&mut said, is_trimmed);
    if matches!(said.last(), None | Some(HistoryEntry::Agent(_))) {
        said.push(HistoryEntry::Caller(SILENCE.into()));
    }
    said
}

pub fn body(settings: &Settings, prompt: &Prompt, said: &[HistoryEntry]) -> Value {
    let model = prompt.model.as_deref().unwrap_or(&settings.model);
    let mut body = json!({
        "model": model, "stream": true, "messages": messages(said, settings.cache),
        "max_tokens": prompt.max_tokens.unwrap_or(settings.max_tokens),
    });
    if !prompt.system.trim().is_empty() {
        body["system"] = json!([cached(text(&prompt.system), settings.cache)]);
    }
    if !prompt.tools.is_empty() {
        body["tools"] = prompt.tools.iter().map(tool).collect();
    }
    if let Some(temperature) = settings.temperature {
        body["temperature"] = json!(temperature);
    }
    settings.extra.merge_into(&mut body);
    body
}

/// <https://docs.claude.com/en/docs/agents-and-tools/tool-use/implement-tool-use>
fn tool(tool: &ToolSpec) -> Value {
    json!({ "name": tool.name, "description": tool.description, "input_schema": *tool.parameters })
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// A block up to which the server caches the request, tools and earlier blocks included
/// (<https://docs.claude.com/en/docs/build-with-claude/prompt-caching>).
fn cached(mut block: Value, is_cached: bool) -> Value {
    if is_cached {
        block["cache_control"] = json!({ "type": "ephemeral" });
    }
    block
}

fn messages(said: &[HistoryEntry], is_cached: bool) -> Vec<Value> {
    let mut messages: Vec<(&str, Vec<Value>)> = Vec::new();
    for (role, blocks) in said.iter().flat_map(blocks) {
        match messages.last_mut() {
            Some((last, all)) if *last == role => all.extend(blocks),
            _ => messages.push((role, blocks)),
        }
    }
    if let Some(block) = messages.last_mut().and_then(|(_, blocks)| blocks.last_mut()) {
        *block = cached(block.take(), is_cached);
    }
    messages.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect()
}

/// The content of an entry, by role. Results of tools are the user's.
fn blocks(entry: &HistoryEntry) -> Vec<(&'static str, Vec<Value>)> {
    match entry {
        HistoryEntry::Caller(said) => vec![("user", vec![text(said)])],
        HistoryEntry::Agent(said) => vec![("assistant", vec![text(said)])],
        HistoryEntry::Tools { text: said, calls } => {
            let said = (!said.trim().is_empty()).then(|| text(said));
            let result = |it: &AnsweredCall| json!({ "type": "tool_result", "tool_use_id": it.call.id, "content": it.result });
            vec![
                ("assistant", said.into_iter().chain(calls.iter().map(tool_use)).collect()),
                ("user", calls.iter().map(result).collect()),
            ]
        }
    }
}

fn tool_use(AnsweredCall { call, .. }: &AnsweredCall) -> Value {
    let input: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
    json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input })
}
