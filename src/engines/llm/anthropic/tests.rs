//! The engine against prepared replies of the server, faults included.

use bytes::Bytes;
use futures_util::{StreamExt, stream as pieces};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::engines::core::vendor::{Step, Vendor, answer, begun, chunked};
use crate::engines::core::{FailureReason, retry};
use crate::engines::llm::events::deltas;
use crate::engines::llm::history::tests::prompt;
use crate::engines::llm::{Delta, Message, Resilient, ToolCall, ToolSpec};

type Item = Result<Delta, EngineError>;

/// The events of a reply, each under its name.
fn events(data: &[Value]) -> String {
    let event =
        |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default());
    data.iter().map(event).collect()
}

fn start() -> Value {
    let usage = json!({ "input_tokens": 12, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 30,
                        "output_tokens": 1 });
    json!({ "type": "message_start", "message": { "id": "msg_1", "role": "assistant", "content": [], "usage": usage } })
}

fn text(text: &str) -> Value {
    json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })
}

fn stop(reason: &str) -> Vec<Value> {
    vec![
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null },
                "usage": { "output_tokens": 9 } }),
        json!({ "type": "message_stop" }),
    ]
}

fn reply(blocks: &[Value], reason: &str) -> String {
    events(&[&[start(), json!({ "type": "ping" })], blocks, &stop(reason)].concat())
}

fn spoken() -> Vec<Value> {
    vec![
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        text("Grüß"),
        text(" Gott"),
    ]
}

/// A call of `look` in two pieces.
fn called() -> Vec<Value> {
    let block = json!({ "type": "tool_use", "id": "toolu_1", "name": "look", "input": {} });
    let piece = |text: &str| {
        json!({ "type": "content_block_delta", "index": 1,
                "delta": { "type": "input_json_delta", "partial_json": text } })
    };
    vec![
        json!({ "type": "content_block_start", "index": 1, "content_block": block }),
        piece(""),
        piece("{\"n\":"),
        piece(" 1}"),
        json!({ "type": "content_block_stop", "index": 1 }),
    ]
}

fn look() -> ToolSpec {
    ToolSpec { name: "look".into(), description: "Look it up.".into(), ..ToolSpec::end_call() }
}

fn ok(texts: &[&str]) -> Vec<Item> {
    texts.iter().map(|text| Delta::Text((*text).to_owned())).chain([Delta::End]).map(Ok).collect()
}

async fn asked(
    answers: Vec<Vec<Step>>,
    prompt: Prompt,
    meter: &Meter,
) -> (Result<Vec<Item>, EngineError>, Vec<String>) {
    let vendor = Vendor::start(answers).await;
    let retries = retry::Settings {
        timeout_ms: 500,
        retries: 2,
        budget_ms: 10_000,
        backoff_ms: 1,
        max_backoff_ms: 1,
        ..retry::Settings::default()
    };
    let engine = AnthropicLlm::new("claude".into(), vendor.endpoint(), Settings::default());
    let engine = Resilient::new(Arc::new(engine), retries, None);
    let reply = match engine.reply(prompt, meter.clone()).await {
        Ok(deltas) => Ok(deltas.collect().await),
        Err(error) => Err(error),
    };
    (reply, vendor.requests())
}

async fn replied(body: &str) -> Result<Vec<Item>, EngineError> {
    asked(vec![chunked(&[body.as_bytes()])], prompt("CHi."), &Meter::default()).await.0
}

fn body_of(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn sends_a_question_and_reads_its_reply() {
    let body = reply(&spoken(), "end_turn");
    let meter = Meter::default();
    let (reply, requests) =
        asked(vec![chunked(&[body.as_bytes()])], prompt("AHello?|CHi.|CThere?"), &meter).await;
    assert_eq!(reply, Ok(ok(&["Grüß", " Gott"])));
    assert!(requests[0].contains("anthropic-version: 2023-06-01"), "{}", requests[0]);
    let cache = json!({ "type": "ephemeral" });
    let said =
        |role: &str, text: &str| json!({ "role": role, "content": [{ "type": "text", "text": text }] });
    let mut last = said("user", "Hi.\nThere?");
    last["content"][0]["cache_control"] = cache.clone();
    assert_eq!(
        body_of(&requests[0]),
        json!({
            "model": "claude-haiku-4-5", "max_tokens": 150, "stream": true,
            "system": [{ "type": "text", "text": "Be kind.", "cache_control": cache }],
            "messages": [said("user", "(The call begins.)"), said("assistant", "Hello?"), last],
        })
    );
    let taken: Vec<_> = meter.total().into_iter().map(|(item, count)| (item.unit, count)).collect();
    assert_eq!(taken, [(Unit::Requests, 1), (Unit::InputTokens, 45), (Unit::OutputTokens, 9)]);
}

#[tokio::test]
async fn counts_that_cannot_be_cost_the_estimate() {
    for odd in [json!(u64::MAX), json!(-1), json!("12")] {
        let usage = json!({ "input_tokens": odd, "cache_read_input_tokens": odd, "output_tokens": odd });
        let body = events(&[
            json!({ "type": "message_start", "message": { "usage": usage } }),
            text("Yes."),
            json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": usage }),
        ]);
        let meter = Meter::default();
        let reply = asked(vec![chunked(&[body.as_bytes()])], prompt("CHi."), &meter).await.0;
        assert_eq!(reply, Ok(ok(&["Yes."])));
        let taken: Vec<_> = meter.total().into_iter().map(|(item, count)| (item.unit, count)).collect();
        assert_eq!(taken, [(Unit::Requests, 1), (Unit::InputTokens, 3), (Unit::OutputTokens, 1)], "{odd}");
    }
}

#[tokio::test]
async fn a_call_follows_the_text_and_its_result_the_call() {
    let body = reply(&[spoken(), called()].concat(), "tool_use");
    let question = Prompt { tools: [look()].into(), ..prompt("CHi.|AWait.|T1|T2|R1|R2|CSo?") };
    let (reply, requests) = asked(vec![chunked(&[body.as_bytes()])], question, &Meter::default()).await;
    let call = ToolCall { id: "toolu_1".into(), name: "look".into(), arguments: "{\"n\": 1}".into() };
    let text = |text: &str| Delta::Text(text.into());
    let words = [text("Grüß"), text(" Gott")];
    let called = [Delta::Writing, Delta::Writing, Delta::ToolCall(call), Delta::End];
    assert_eq!(reply, Ok(words.into_iter().chain(called).map(Ok).collect()));
    let sent = body_of(&requests[0]);
    assert_eq!(
        sent["tools"],
        json!([{ "name": "look", "description": "Look it up.",
                 "input_schema": { "type": "object", "properties": {} } }])
    );
    let (calls, results) = (&sent["messages"][1]["content"], &sent["messages"][2]["content"]);
    assert_eq!(calls[0], json!({ "type": "text", "text": "Wait." }));
    assert_eq!(calls[2], json!({ "type": "tool_use", "id": "2", "name": "look", "input": {} }));
    assert_eq!(results[1], json!({ "type": "tool_result", "tool_use_id": "2", "content": "found" }));
    assert_eq!(results[2]["text"], "So?", "the caller's words are in the message of the results");
}

#[tokio::test]
async fn ends_are_told_apart() {
    let long = [text("We are open today. On Sundays from")];
    let first = [Delta::Text("We are open today.".into()), Delta::Writing, Delta::End];
    assert_eq!(replied(&reply(&long, "max_tokens")).await, Ok(first.map(Ok).into()));
    assert_eq!(replied(&reply(&[], "refusal")).await, Ok([Delta::Declined, Delta::End].map(Ok).into()));
    let error = replied(&reply(&[], "end_turn")).await.expect_err("no words");
    assert_eq!(error.reason(), FailureReason::Empty);
    let thinking = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "Hm." } });
    assert_eq!(replied(&reply(&[thinking, text("Yes.")], "end_turn")).await, Ok(ok(&["Yes."])));
    let after = reply(&[text("Yes.")], "end_turn") + &events(&[text(" No.")]);
    assert_eq!(replied(&after.replace("message_stop", "ping")).await, Ok(ok(&["Yes."])));
}

#[tokio::test]
async fn faults_before_the_first_word_are_overcome() {
    let good = || chunked(&[reply(&spoken(), "end_turn").as_bytes()]);
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let overloaded = || answer("529 Overloaded", error.to_string());
    let within = || chunked(&[events(&[start(), error.clone()]).as_bytes()]);
    let cut = || chunked(&[events(&[start()]).as_bytes()]);
    let limited = || answer("429 Too Many Requests\r\nRetry-After: 0", "{}");
    for fault in [overloaded(), within(), cut(), limited()] {
        let reply = asked(vec![fault, good()], prompt("CHi."), &Meter::default()).await.0;
        assert_eq!(reply, Ok(ok(&["Grüß", " Gott"])));
    }
    let busy =
        asked(vec![overloaded(), overloaded(), overloaded()], prompt("CHi."), &Meter::default()).await.0;
    assert_eq!(busy.expect_err("overloaded").reason(), FailureReason::Busy);
}

#[tokio::test]
async fn refusals_have_their_reasons_and_are_not_repeated() {
    for (head, kind, message, reason) in [
        ("401 X", "authentication_error", "invalid x-api-key", FailureReason::Auth),
        ("404 X", "not_found_error", "model: claude-0", FailureReason::Model),
        ("400 X", "invalid_request_error", "Your credit balance is too low", FailureReason::Quota),
        ("400 X", "invalid_request_error", "max_tokens: too large", FailureReason::Refused),
    ] {
        let body = json!({ "type": "error", "error": { "type": kind, "message": message } }).to_string();
        let (reply, requests) = asked(vec![answer(head, body)], prompt("CHi."), &Meter::default()).await;
        assert_eq!((reply.expect_err(kind).reason(), requests.len()), (reason, 1), "{message}");
    }
}

#[tokio::test]
async fn a_break_in_the_middle_ends_the_reply() {
    for (step, outcome) in [(Step::Stall, "timeout"), (Step::Reset, "temporary")] {
        let mut steps = begun(&[events(&[start(), text("Well")]).as_bytes()]);
        steps.push(step);
        let reply = asked(vec![steps], prompt("CHi."), &Meter::default()).await.0.expect("a beginning");
        let [Ok(text), Err(error)] = &*reply else { panic!("{reply:?}") };
        assert_eq!((text, error.outcome()), (&Delta::Text("Well".into()), outcome));
    }
}

#[tokio::test]
async fn the_agents_words_are_never_last() {
    let good = reply(&spoken(), "end_turn");
    for said in ["AHello?", "CHi.|AHello?", ""] {
        let requests = asked(vec![chunked(&[good.as_bytes()])], prompt(said), &Meter::default()).await.1;
        let messages = body_of(&requests[0])["messages"].as_array().cloned().expect("messages");
        assert_eq!(messages[0]["role"], "user");
        assert_eq!(messages[messages.len() - 1]["role"], "user", "{said}");
    }
    let result = Message::ToolResult { call: "1".into(), content: "x".into() };
    assert!(history(&Prompt { messages: vec![result], ..Prompt::default() }, 9).len() == 1);
}

proptest! {
    #[test]
    fn random_events_do_no_harm(pieces: Vec<Vec<u8>>, prefix in "(data: |event: error\n|: )?") {
        let pieces_of = std::iter::once(Bytes::from(prefix)).chain(pieces.into_iter().map(Bytes::from));
        let usage = UsageCounter::new(Meter::default().charge(Kind::Llm, &"claude".into(), ""));
        let reader = MessageReader::new(ReplyBuilder::new("claude".into(), [].into(), usage));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(deltas(pieces::iter(pieces_of.map(Ok).collect::<Vec<_>>()), reader).count());
    }
}
