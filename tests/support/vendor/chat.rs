//! Replies (`POST /v1/chat/completions`), streamed or not.
//!
//! <https://platform.openai.com/docs/api-reference/chat/create>

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    ANALYSIS, Dialect, Habit, Kind, PLANNED_ROUNDS, PlannedCall, REPLY, STALLED_REPLY, SUMMARY, Server,
    Shared, TOKENS, answer, receive,
};

/// The fields of a request.
const FIELDS: &[&str] = &[
    "frequency_penalty",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
    "user",
    "verbosity",
];

pub async fn complete(State(server): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(failure) = receive((&server, Dialect::OpenAi, Kind::Llm), &headers, &body).await {
        return failure;
    }
    let question: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Err((param, code, message)) = checked(&server, &question) {
        let error =
            json!({ "message": message, "type": "invalid_request_error", "param": param, "code": code });
        let status = if code == "model_not_found" { 404 } else { 400 };
        return answer(status, &json!({ "error": error }));
    }
    let reply = Reply::to(&server, &question);
    if question["stream"] == true { streamed(&question, &reply) } else { whole(&question, &reply) }
}

type Refusal = (&'static str, &'static str, String);

fn checked(server: &Server, question: &Value) -> Result<(), Refusal> {
    let refuse = |param, message: String| Err((param, "invalid_value", message));
    let Some(fields) = question.as_object() else { return refuse("body", "The body is not JSON".into()) };
    if let Some(unknown) = fields.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        return Err(("", "unknown_parameter", format!("Unrecognized request argument supplied: {unknown}")));
    }
    let model = question["model"].as_str().unwrap_or_default();
    if model.is_empty() || model.starts_with("no-such") {
        return Err(("model", "model_not_found", format!("The model `{model}` does not exist")));
    }
    if fields.contains_key("max_tokens")
        && (server.has(Habit::NoMaxTokens) || fields.contains_key("max_completion_tokens"))
    {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                       'max_completion_tokens' instead.";
        return Err(("max_tokens", "unsupported_parameter", message.into()));
    }
    for limit in ["max_tokens", "max_completion_tokens"] {
        if fields.get(limit).is_some_and(|limit| limit.as_u64().is_none_or(|limit| limit == 0)) {
            return refuse("max_tokens", format!("{limit} is no positive number"));
        }
    }
    if fields.contains_key("stream_options") && question["stream"] != true {
        return refuse("stream_options", "stream_options is only allowed when stream is enabled".into());
    }
    checked_tools(server, question)?;
    checked_messages(server, question)
}

fn checked_tools(server: &Server, question: &Value) -> Result<(), Refusal> {
    let Some(tools) = question.get("tools") else { return Ok(()) };
    let is_tool = |tool: &Value| tool["type"] == "function" && tool["function"]["name"].is_string();
    let are_tools = tools.as_array().is_some_and(|tools| !tools.is_empty() && tools.iter().all(is_tool));
    if !are_tools {
        return Err(("tools", "invalid_value", "tools is no list of functions".into()));
    }
    if server.has(Habit::NoTools) {
        let message =
            "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set";
        return Err(("tools", "invalid_value", message.into()));
    }
    Ok(())
}

fn checked_messages(server: &Server, question: &Value) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(("messages", "invalid_value", message.to_owned()));
    let messages = question["messages"].as_array().cloned().unwrap_or_default();
    let roles: Vec<&str> =
        messages.iter().map(|message| message["role"].as_str().unwrap_or_default()).collect();
    if roles.is_empty()
        || !roles.iter().all(|role| ["system", "developer", "user", "assistant", "tool"].contains(role))
    {
        return refuse("messages has no message, or one of an unknown role");
    }
    if !messages.iter().all(|message| message["content"].is_string() || message["tool_calls"].is_array()) {
        return refuse("a message has no content");
    }
    checked_results(&messages)?;
    // Mistral's template does not count calls of tools and their results.
    let is_counted = |message: &&Value| message["role"] != "tool" && message.get("tool_calls").is_none();
    let talk = messages.iter().filter(is_counted).map(|it| it["role"].as_str().unwrap_or_default());
    let talk: Vec<&str> = talk.skip_while(|role| *role == "system").collect();
    let alternates = talk.iter().enumerate().all(|(at, role)| *role == ["user", "assistant"][at % 2]);
    if server.has(Habit::StrictTemplate) && !alternates {
        return refuse("Conversation roles must alternate user/assistant/user/assistant/...");
    }
    Ok(())
}

/// The results of an assistant's calls follow them, each call has one, and no other message has the role of a tool.
fn checked_results(messages: &[Value]) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(("messages", "invalid_value", message.to_owned()));
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(place) = open.iter().position(|call| *call == id) else {
                return refuse(
                    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
                );
            };
            open.swap_remove(place);
            continue;
        }
        if !open.is_empty() {
            break;
        }
        let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        open.extend(calls.iter().map(|call| call["id"].as_str().unwrap_or_default()));
    }
    if !open.is_empty() {
        return refuse("An assistant message with 'tool_calls' must be followed by tool messages");
    }
    Ok(())
}

/// The pieces of a reply, and how it ends.
struct Reply {
    texts: Vec<String>,
    calls: Vec<PlannedCall>,
    finish: &'static str,
}

impl Reply {
    fn to(server: &Server, question: &Value) -> Reply {
        let messages = question["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let last = messages.last().cloned().unwrap_or_default();
        let planned = planned(server, question, messages);
        if !planned.is_empty() {
            return Reply { texts: Vec::new(), calls: planned, finish: "tool_calls" };
        }
        if messages[0]["content"].as_str().is_some_and(|text| text.contains("analyse the transcript")) {
            return Reply { texts: vec![ANALYSIS.to_owned()], calls: Vec::new(), finish: "stop" };
        }
        let is_goodbye = last["content"].as_str().is_some_and(|text| text.contains("Goodbye"));
        let tool =
            question["tools"][0]["function"]["name"].as_str().filter(|_| is_goodbye).map(str::to_owned);
        // Once: a result of a tool is answered in words.
        let (tool, arguments) =
            match choice(question).filter(|_| last["role"] == "user" && server.planned().is_none()) {
                Some((tool, arguments)) => (Some(tool), arguments.to_string()),
                None => (tool, "{}".to_owned()),
            };
        let reasoning = server.has(Habit::UnopenedReasoning).then_some("They ask for the hours.</think>\n\n");
        let texts: Vec<String> = reasoning.into_iter().chain(REPLY).map(str::to_owned).collect();
        match tool {
            _ if server.has(Habit::Thinks) => {
                Reply { texts: Vec::new(), calls: Vec::new(), finish: "length" }
            }
            _ if server.has(Habit::TextToolCalls) && question.get("tools").is_some() => {
                let text = "<tool_call>{\"name\": \"end_call\", \"arguments\": {}}</tool_call>".to_owned();
                Reply { texts: vec![text], calls: Vec::new(), finish: "stop" }
            }
            Some(name) => Reply { texts, calls: vec![(name, arguments)], finish: "tool_calls" },
            None => Reply { texts, calls: Vec::new(), finish: "stop" },
        }
    }

    /// The calls as the API writes them. Their ids are unique in a conversation whose requests have this many messages.
    fn calls(&self, question: &Value) -> Vec<Value> {
        let count = question["messages"].as_array().map_or(0, Vec::len);
        let call = |(at, (name, arguments)): (usize, &PlannedCall)| {
            let function = json!({ "name": name, "arguments": arguments });
            json!({ "index": at, "id": format!("call_{count}_{at}"), "type": "function", "function": function })
        };
        self.calls.iter().enumerate().map(call).collect()
    }
}

/// The calls that the model is to make next, or that a result of a tool tells it to make.
fn planned(server: &Server, question: &Value, messages: &[Value]) -> Vec<PlannedCall> {
    let answers = messages.iter().rev().take_while(|message| message["role"] != "user");
    let rounds = answers.clone().filter(|message| message["tool_calls"].is_array()).count();
    if question.get("tools").is_none() || rounds >= PLANNED_ROUNDS {
        return Vec::new();
    }
    let mut results = answers.take_while(|message| message["role"] == "tool");
    let obeyed = results.find_map(|message| {
        let result: Value = serde_json::from_str(message["content"].as_str()?).ok()?;
        serde_json::from_value(result["obey"].clone()).ok()
    });
    obeyed.or_else(|| server.planned().as_mut()?.pop_front()).unwrap_or_default()
}

/// A call of the first tool, where that has a choice of targets, agents or languages: the last one.
fn choice(question: &Value) -> Option<(String, Value)> {
    let function = &question["tools"][0]["function"];
    let properties = function["parameters"]["properties"].as_object()?;
    let name = ["target", "agent", "language"].into_iter().find(|name| properties.contains_key(*name))?;
    let mut arguments = json!({ name: properties[name]["enum"].as_array()?.last()? });
    if properties.contains_key("summary") {
        arguments["summary"] = SUMMARY.into();
    }
    if properties.contains_key("reason") {
        arguments["reason"] = "The caller asked for it.".into();
    }
    Some((function["name"].as_str()?.to_owned(), arguments))
}

fn usage() -> Value {
    let (prompt, completion) = TOKENS;
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

fn streamed(question: &Value, reply: &Reply) -> Response {
    let chunk = |choices: Value| {
        json!({ "id": "c-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": question["model"],
                "choices": choices })
    };
    let delta = |delta: Value| chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]));
    let mut chunks = vec![delta(json!({ "role": "assistant", "content": "" }))];
    chunks.extend(reply.texts.iter().map(|text| delta(json!({ "content": text }))));
    chunks.extend(reply.calls(question).into_iter().map(|call| delta(json!({ "tool_calls": [call] }))));
    chunks.push(chunk(json!([{ "index": 0, "delta": {}, "finish_reason": reply.finish }])));
    if question["stream_options"]["include_usage"] == true {
        let mut last = chunk(json!([]));
        last["usage"] = usage();
        chunks.push(last);
    }
    let events = chunks.into_iter().map(|chunk| format!("data: {chunk}\n\n"));
    let events: Vec<_> = events.chain(["data: [DONE]\n\n".to_owned()]).map(Ok::<_, Infallible>).collect();
    ([("content-type", "text/event-stream")], Body::from_stream(stream::iter(events))).into_response()
}

/// The beginning of a streamed reply, of which the rest never arrives.
pub fn stalled() -> Response {
    let event = |text: &str| {
        let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": null });
        format!(
            "data: {}\n\n",
            json!({ "id": "c-1", "object": "chat.completion.chunk", "choices": [choice] })
        )
    };
    let events = STALLED_REPLY.map(|text| Ok::<_, Infallible>(event(text)));
    let body = Body::from_stream(stream::iter(events).chain(stream::pending()));
    ([("content-type", "text/event-stream")], body).into_response()
}

fn whole(question: &Value, reply: &Reply) -> Response {
    let mut message = json!({ "role": "assistant", "content": reply.texts.concat(), "refusal": null });
    let calls = reply.calls(question);
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    let choice = json!({ "index": 0, "message": message, "finish_reason": reply.finish, "logprobs": null });
    answer(
        200,
        &json!({ "id": "c-1", "object": "chat.completion", "created": 1_700_000_000, "model": question["model"],
                 "choices": [choice], "usage": usage() }),
    )
}
