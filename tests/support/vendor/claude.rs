//! Replies by Anthropic's API (`POST /v1/messages`), streamed or not.
//!
//! <https://docs.claude.com/en/api/messages>

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::{Dialect, Kind, REPLY, Shared, TOKENS, answer, receive};

/// The documented version, and that of the vendor's clients of late 2026.
const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];
/// The fields of a request.
const FIELDS: &[&str] = &[
    "cache_control",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

pub async fn reply(State(server): Shared, headers: HeaderMap, body: Bytes) -> Response {
    const DIALECT: Dialect = Dialect::Anthropic;
    if let Some(failure) = receive((&server, DIALECT, Kind::Llm), &headers, &body).await {
        return failure;
    }
    if headers.get("anthropic-version").is_none_or(|version| !VERSIONS.iter().any(|known| version == known)) {
        return DIALECT.refusal(400, "invalid_request_error", "anthropic-version: header is required");
    }
    let question: Value = serde_json::from_slice(&body).unwrap_or_default();
    let model = question["model"].as_str().unwrap_or_default();
    if !model.starts_with("claude-") {
        return DIALECT.refusal(404, "not_found_error", &format!("model: {model}"));
    }
    if let Err(problem) = checked(&question) {
        return DIALECT.refusal(400, "invalid_request_error", &problem);
    }
    if question["stream"] == true { streamed(&question) } else { whole(&question) }
}

fn checked(question: &Value) -> Result<(), String> {
    let fields = question.as_object().ok_or("The body is not JSON")?;
    if let Some(unknown) = fields.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        return Err(format!("{unknown}: Extra inputs are not permitted"));
    }
    if question["max_tokens"].as_u64().is_none_or(|limit| limit == 0) {
        return Err("max_tokens: Field required".into());
    }
    if question["temperature"].as_f64().is_some_and(|it| !(0.0..=1.0).contains(&it)) {
        return Err("temperature: range: 0..1".into());
    }
    let tools = question["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tools.iter().any(|tool| !tool["name"].is_string() || tool["input_schema"]["type"] != "object") {
        return Err("tools.0.custom.input_schema: Field required".into());
    }
    checked_messages(question["messages"].as_array().map(Vec::as_slice).unwrap_or_default())
}

/// The user is first and last, no text is empty, and each use of a tool has its result in the next message.
fn checked_messages(messages: &[Value]) -> Result<(), String> {
    if messages.first().is_none_or(|first| first["role"] != "user") {
        return Err("messages: first message must use the \"user\" role".into());
    }
    if messages.last().is_some_and(|last| last["role"] != "user") {
        return Err("This model does not support assistant message prefill.".into());
    }
    let mut open: Vec<String> = Vec::new();
    for message in messages {
        let text = message["content"].as_str().map(|text| vec![json!({ "type": "text", "text": text })]);
        let blocks = text.or_else(|| message["content"].as_array().cloned()).unwrap_or_default();
        if blocks.is_empty() {
            return Err("messages: text content blocks must be non-empty".into());
        }
        for block in &blocks {
            let text = block["text"].as_str().unwrap_or_default();
            let id = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
            match block["type"].as_str().unwrap_or_default() {
                "text" if text.trim().is_empty() => {
                    return Err("messages: text content blocks must be non-empty".into());
                }
                "tool_result" => match open.iter().position(|it| *it == id("tool_use_id")) {
                    Some(place) => drop(open.swap_remove(place)),
                    None => {
                        return Err("messages: unexpected `tool_use_id` found in `tool_result` blocks".into());
                    }
                },
                _ => {}
            }
        }
        if !open.is_empty() {
            return Err(
                "messages: `tool_use` ids were found without `tool_result` blocks immediately after".into()
            );
        }
        let uses = blocks.iter().filter(|block| block["type"] == "tool_use" && block["input"].is_object());
        open.extend(uses.map(|block| block["id"].as_str().unwrap_or_default().to_owned()));
    }
    Ok(())
}

/// The tool that is called: the first one, at a goodbye.
fn tool(question: &Value) -> Option<Value> {
    let last = question["messages"].as_array()?.last()?["content"].to_string();
    question["tools"][0]["name"].as_str().filter(|_| last.contains("Goodbye")).map(Value::from)
}

fn message(question: &Value, content: &Value, stop_reason: Option<&str>) -> Value {
    // A part of what was read is in the cache.
    let usage = json!({ "input_tokens": TOKENS.0 - 30, "cache_creation_input_tokens": 0,
                        "cache_read_input_tokens": 30, "output_tokens": TOKENS.1 });
    json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": question["model"], "content": content,
            "stop_reason": stop_reason, "stop_sequence": null, "usage": usage })
}

fn whole(question: &Value) -> Response {
    let text = json!({ "type": "text", "text": REPLY.concat() });
    let call =
        tool(question).map(|name| json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": {} }));
    let stop = if call.is_some() { "tool_use" } else { "end_turn" };
    let content: Vec<Value> = [text].into_iter().chain(call).collect();
    answer(200, &message(question, &json!(content), Some(stop)))
}

fn streamed(question: &Value) -> Response {
    let begin = |index: u64, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let delta =
        |index: u64, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let end = |index: u64| json!({ "type": "content_block_stop", "index": index });
    let text = |text: &str| delta(0, json!({ "type": "text_delta", "text": text }));
    let mut events = vec![
        json!({ "type": "message_start", "message": message(question, &json!([]), None) }),
        begin(0, json!({ "type": "text", "text": "" })),
        json!({ "type": "ping" }),
    ];
    events.extend(REPLY.map(text));
    events.push(end(0));
    let call = tool(question);
    let stop = if call.is_some() { "tool_use" } else { "end_turn" };
    if let Some(name) = call {
        events.push(begin(1, json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": {} })));
        events.extend(
            ["", "{", "}"].map(|json| delta(1, json!({ "type": "input_json_delta", "partial_json": json }))),
        );
        events.push(end(1));
    }
    let change = json!({ "stop_reason": stop, "stop_sequence": null });
    events.push(json!({ "type": "message_delta", "delta": change, "usage": { "output_tokens": TOKENS.1 } }));
    events.push(json!({ "type": "message_stop" }));
    sse(&events)
}

/// Server-sent events under the names of their types.
pub fn sse(events: &[Value]) -> Response {
    let event =
        |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default());
    let events: Vec<_> = events.iter().map(event).map(Ok::<_, Infallible>).collect();
    ([("content-type", "text/event-stream")], Body::from_stream(stream::iter(events))).into_response()
}
