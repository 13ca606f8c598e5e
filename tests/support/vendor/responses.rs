//! Replies by OpenAI's Responses API (`POST /v1/responses`), streamed or not.
//!
//! <https://platform.openai.com/docs/api-reference/responses>

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::claude::sse;
use super::{Dialect, Kind, REPLY, Shared, TOKENS, answer, receive};

/// The fields of a request.
const FIELDS: &[&str] = &[
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "metadata",
    "model",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
];

pub async fn respond(State(server): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(failure) = receive((&server, Dialect::OpenAi, Kind::Llm), &headers, &body).await {
        return failure;
    }
    let question: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Err((param, code, message)) = checked(&question) {
        let error =
            json!({ "message": message, "type": "invalid_request_error", "param": param, "code": code });
        return answer(if code == "model_not_found" { 404 } else { 400 }, &json!({ "error": error }));
    }
    if question["stream"] == true { streamed(&question) } else { answer(200, &whole(&question, "completed")) }
}

fn checked(question: &Value) -> Result<(), (&'static str, &'static str, String)> {
    let refuse = |param, message: &str| Err((param, "invalid_value", message.to_owned()));
    let Some(fields) = question.as_object() else { return refuse("body", "The body is not JSON") };
    if let Some(unknown) = fields.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        return Err(("", "unknown_parameter", format!("Unknown parameter: '{unknown}'.")));
    }
    let model = question["model"].as_str().unwrap_or_default();
    if model.is_empty() || model.starts_with("no-such") {
        return Err(("model", "model_not_found", format!("The model `{model}` does not exist")));
    }
    if fields.get("max_output_tokens").is_some_and(|limit| limit.as_u64().is_none_or(|limit| limit < 16)) {
        return refuse("max_output_tokens", "Expected a value >= 16");
    }
    let tools = question["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tools.iter().any(|tool| tool["type"] != "function" || !tool["name"].is_string()) {
        return refuse("tools", "Missing required parameter: 'tools[0].name'.");
    }
    if question["input"].is_string() {
        return Ok(());
    }
    checked_items(question["input"].as_array().map(Vec::as_slice).unwrap_or_default())
}

/// Each call has its output, and each output its call.
fn checked_items(items: &[Value]) -> Result<(), (&'static str, &'static str, String)> {
    let refuse = |message: String| Err(("input", "invalid_value", message));
    let mut open: Vec<&str> = Vec::new();
    for item in items {
        let call = item["call_id"].as_str().unwrap_or_default();
        match item["type"].as_str().unwrap_or("message") {
            "message" if item["role"].is_string() && !item["content"].is_null() => {}
            "function_call" if item["name"].is_string() && item["arguments"].is_string() => open.push(call),
            "function_call_output" => match open.iter().position(|it| *it == call) {
                Some(place) => drop(open.swap_remove(place)),
                None => {
                    return refuse(format!(
                        "No tool call found for function call output with call_id {call}."
                    ));
                }
            },
            kind => return refuse(format!("Invalid value: '{kind}'.")),
        }
    }
    match open.first() {
        Some(call) => refuse(format!("No tool output found for function call {call}.")),
        None => Ok(()),
    }
}

/// The call of the first tool, at a goodbye.
fn call(question: &Value) -> Option<Value> {
    let said = question["input"].to_string();
    let name = question["tools"][0]["name"].as_str().filter(|_| said.contains("Goodbye"))?;
    Some(json!({ "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": "{}",
                 "status": "completed" }))
}

fn whole(question: &Value, status: &str) -> Value {
    let text = json!({ "type": "output_text", "text": REPLY.concat(), "annotations": [] });
    let message = json!({ "type": "message", "id": "m_1", "role": "assistant", "status": "completed", "content": [text] });
    let output: Vec<Value> = [message].into_iter().chain(call(question)).collect();
    let usage = json!({ "input_tokens": TOKENS.0, "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
                        "output_tokens": TOKENS.1, "output_tokens_details": { "reasoning_tokens": 0 },
                        "total_tokens": TOKENS.0 + TOKENS.1 });
    let is_over = status == "completed";
    json!({ "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": status, "error": null,
            "incomplete_details": null, "instructions": question["instructions"], "metadata": {}, "model": question["model"],
            "output": if is_over { output } else { Vec::new() }, "parallel_tool_calls": true, "temperature": 1.0,
            "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": if is_over { usage } else { Value::Null } })
}

fn streamed(question: &Value) -> Response {
    let message = json!({ "type": "message", "id": "m_1", "role": "assistant", "status": "in_progress", "content": [] });
    let text = |text: &str| {
        json!({ "type": "response.output_text.delta", "item_id": "m_1", "output_index": 0, "content_index": 0,
                "delta": text, "logprobs": [] })
    };
    let mut events = vec![
        json!({ "type": "response.created", "response": whole(question, "in_progress") }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": message }),
        json!({ "type": "response.content_part.added", "item_id": "m_1", "output_index": 0, "content_index": 0,
                "part": { "type": "output_text", "text": "", "annotations": [] } }),
    ];
    events.extend(REPLY.map(text));
    let end = whole(question, "completed");
    events.push(json!({ "type": "response.output_item.done", "output_index": 0, "item": end["output"][0] }));
    if let Some(call) = call(question) {
        let mut begun = call.clone();
        begun["arguments"] = json!("");
        events.push(json!({ "type": "response.output_item.added", "output_index": 1, "item": begun }));
        let piece = |text: &str| {
            json!({ "type": "response.function_call_arguments.delta", "item_id": "fc_1",
                                         "output_index": 1, "delta": text })
        };
        events.extend(["{", "}"].map(piece));
        events.push(json!({ "type": "response.output_item.done", "output_index": 1, "item": call }));
    }
    events.push(json!({ "type": "response.completed", "response": end }));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    sse(&events)
}
