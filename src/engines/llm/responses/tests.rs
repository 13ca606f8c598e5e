//! The engine against prepared responses of the server, faults included.

use bytes::Bytes;
use futures_util::{StreamExt, stream as pieces};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::engines::core::vendor::{Step, Vendor, answer, begun, chunked};
use crate::engines::core::{FailureReason, retry};
use crate::engines::llm::events::deltas;
use crate::engines::llm::history::tests::prompt;
use crate::engines::llm::{Delta, Resilient, ToolCall, ToolSpec};

type Item = Result<Delta, EngineError>;

fn events(data: &[Value]) -> String {
    let event =
        |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default());
    data.iter().map(event).collect()
}

fn text(text: &str) -> Value {
    json!({ "type": "response.output_text.delta", "output_index": 1, "content_index": 0, "item_id": "m", "delta": text })
}

fn end(kind: &str, more: &Value) -> Value {
    let mut response = json!({ "id": "resp_1", "usage": { "input_tokens": 31, "output_tokens": 9,
                                "input_tokens_details": { "cached_tokens": 8 } } });
    response.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    json!({ "type": format!("response.{kind}"), "response": response })
}

fn completed(data: &[Value]) -> String {
    let head = [json!({ "type": "response.created", "response": { "id": "resp_1" } })];
    events(&[&head, data, &[end("completed", &json!({}))]].concat())
}

/// A call of `look`, its arguments in these pieces.
fn called(pieces: &[&str]) -> Vec<Value> {
    let item = |arguments: &str| json!({ "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": arguments });
    let piece = |text: &&str| json!({ "type": "response.function_call_arguments.delta", "output_index": 2, "delta": text });
    let added = json!({ "type": "response.output_item.added", "output_index": 2, "item": item("") });
    let done = json!({ "type": "response.output_item.done", "output_index": 2, "item": item("{\"n\":1}") });
    [added].into_iter().chain(pieces.iter().map(piece)).chain([done]).collect()
}

fn look() -> ToolSpec {
    ToolSpec { name: "look".into(), description: "Look it up.".into(), ..ToolSpec::end_call() }
}

fn ok(texts: &[&str]) -> Vec<Item> {
    texts.iter().map(|text| Delta::Text((*text).to_owned())).chain([Delta::End]).map(Ok).collect()
}

fn body_of(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

async fn asked(
    answers: Vec<Vec<Step>>,
    prompt: Prompt,
    settings: &str,
) -> (Result<Vec<Item>, EngineError>, Vec<Value>, Meter) {
    let vendor = Vendor::start(answers).await;
    let retries = retry::Settings {
        timeout_ms: 500,
        retries: 2,
        budget_ms: 10_000,
        backoff_ms: 1,
        max_backoff_ms: 1,
        ..retry::Settings::default()
    };
    let settings = toml::from_str(settings).expect("settings");
    let engine = Arc::new(ResponsesLlm::new("responses".into(), vendor.endpoint(), settings));
    let (engine, meter) = (Resilient::new(engine, retries, None), Meter::default());
    let reply = match engine.reply(prompt, meter.clone()).await {
        Ok(deltas) => Ok(deltas.collect().await),
        Err(error) => Err(error),
    };
    (reply, vendor.requests().iter().map(|request| body_of(request)).collect(), meter)
}

async fn replied(body: &str) -> Result<Vec<Item>, EngineError> {
    asked(vec![chunked(&[body.as_bytes()])], prompt("CHi."), "").await.0
}

#[tokio::test]
async fn sends_a_question_and_reads_its_reply() {
    let body = completed(&[text("Grüß"), text(" Gott")]);
    let settings = "reasoning_effort = \"none\"";
    let (reply, requests, meter) =
        asked(vec![chunked(&[body.as_bytes()])], prompt("AHello?|CHi."), settings).await;
    assert_eq!(reply, Ok(ok(&["Grüß", " Gott"])));
    assert_eq!(
        requests[0],
        json!({
            "model": "gpt-5.4-mini", "instructions": "Be kind.", "max_output_tokens": 150, "stream": true,
            "store": false, "reasoning": { "effort": "none" },
            "input": [{ "role": "assistant", "content": "Hello?" }, { "role": "user", "content": "Hi." }],
        })
    );
    let taken: Vec<_> = meter.total().into_iter().map(|(item, count)| (item.unit, count)).collect();
    assert_eq!(taken, [(Unit::Requests, 1), (Unit::InputTokens, 31), (Unit::OutputTokens, 9)]);
}

#[tokio::test]
async fn a_call_follows_the_text_and_its_result_the_call() {
    let question = || Prompt { tools: [look()].into(), ..prompt("CHi.|AWait.|T1|R1") };
    for pieces in [&["{\"n\"", ":1}"][..], &[]] {
        let body = completed(&[vec![text("Yes.")], called(pieces)].concat());
        let (reply, requests, _) = asked(vec![chunked(&[body.as_bytes()])], question(), "").await;
        let call = ToolCall { id: "call_1".into(), name: "look".into(), arguments: "{\"n\":1}".into() };
        let writing = vec![Delta::Writing; pieces.len().max(1)];
        let expected = [vec![Delta::Text("Yes.".into())], writing, vec![Delta::ToolCall(call), Delta::End]];
        assert_eq!(reply, Ok(expected.concat().into_iter().map(Ok).collect()));
        let sent = &requests[0];
        assert_eq!(
            sent["input"].as_array().expect("items")[1..],
            [
                json!({ "role": "assistant", "content": "Wait." }),
                json!({ "type": "function_call", "call_id": "1", "name": "look", "arguments": "{}" }),
                json!({ "type": "function_call_output", "call_id": "1", "output": "found" }),
            ]
        );
        let tool = &sent["tools"][0];
        assert_eq!((&tool["name"], &tool["strict"]), (&json!("look"), &json!(false)));
    }
}

#[tokio::test]
async fn ends_are_told_apart() {
    let cut = |reason: &str| end("incomplete", &json!({ "incomplete_details": { "reason": reason } }));
    let long = events(&[text("We are open today. On Sundays from"), cut("max_output_tokens")]);
    let first = [Delta::Text("We are open today.".into()), Delta::Writing, Delta::End];
    assert_eq!(replied(&long).await, Ok(first.map(Ok).into()));
    let filtered = replied(&events(&[cut("content_filter")])).await;
    assert_eq!(filtered, Ok([Delta::Declined, Delta::End].map(Ok).into()));
    assert_eq!(replied(&completed(&[])).await.expect_err("no words").reason(), FailureReason::Empty);
    let refusal =
        json!({ "type": "response.refusal.delta", "output_index": 0, "delta": "I can't help with that." });
    assert_eq!(replied(&completed(&[refusal])).await, Ok(ok(&["I can't help with that."])));
}

#[tokio::test]
async fn faults_before_the_first_word_are_overcome() {
    let good = || chunked(&[completed(&[text("Yes.")]).as_bytes()]);
    let failed = end("failed", &json!({ "error": { "code": "server_error", "message": "m" } }));
    let error = json!({ "type": "error", "code": "rate_limit_exceeded", "message": "m", "param": null });
    for fault in [
        answer("500 Oops", "{}"),
        chunked(&[events(&[failed]).as_bytes()]),
        chunked(&[events(&[error]).as_bytes()]),
        chunked(&[b""]),
    ] {
        assert_eq!(asked(vec![fault, good()], prompt("CHi."), "").await.0, Ok(ok(&["Yes."])));
    }
    let quota = end("failed", &json!({ "error": { "code": "insufficient_quota", "message": "m" } }));
    let error = replied(&events(&[quota])).await.expect_err("a refusal");
    assert_eq!((error.reason(), error.worth_retrying()), (FailureReason::Quota, false));
    let mut steps = begun(&[events(&[text("Well")]).as_bytes()]);
    steps.push(Step::Reset);
    let reply = asked(vec![steps], prompt("CHi."), "").await.0.expect("a beginning");
    assert!(matches!(&*reply, [Ok(Delta::Text(_)), Err(EngineError::Temporary(_))]), "{reply:?}");
}

#[tokio::test]
async fn a_refused_parameter_is_left_out() {
    let refusal = |name: &str| {
        let error = json!({ "error": { "message": "m", "code": "unsupported_parameter", "param": name } });
        answer("400 Bad Request", error.to_string())
    };
    let good = chunked(&[completed(&[text("Yes.")]).as_bytes()]);
    let settings = "temperature = 0.5\nreasoning_effort = \"low\"";
    let answers = vec![refusal("temperature"), refusal("reasoning.effort"), good];
    let (reply, requests, _) = asked(answers, prompt("CHi."), settings).await;
    assert_eq!(reply, Ok(ok(&["Yes."])));
    let sent = |body: &Value| ["temperature", "reasoning"].map(|name| body.get(name).is_some());
    assert_eq!(requests.iter().map(sent).collect::<Vec<_>>(), [[true, true], [false, true], [false, false]]);
}

proptest! {
    #[test]
    fn random_events_do_no_harm(pieces: Vec<Vec<u8>>, prefix in "(data: |event: error\n|: )?") {
        let pieces_of = std::iter::once(Bytes::from(prefix)).chain(pieces.into_iter().map(Bytes::from));
        let usage = UsageCounter::new(Meter::default().charge(Kind::Llm, &"responses".into(), ""));
        let reader = ResponseReader::new(ReplyBuilder::new("responses".into(), [].into(), usage));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(deltas(pieces::iter(pieces_of.map(Ok).collect::<Vec<_>>()), reader).count());
    }
}
