//! The engine against a server that enforces the rules of vendors.

use std::future::ready;

use bytes::Bytes;
use futures_util::{StreamExt, stream as pieces};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::engines::core::vendor::{Step, Vendor, answer, begun, chunked};
use crate::engines::core::{FailureReason, retry};
use crate::engines::llm::events::{LONGEST, deltas};
use crate::engines::llm::scripted::ScriptedLlm;
use crate::engines::llm::{Delta, Message, ReplyForm, Resilient, ToolCall, ToolSpec};

type Item = Result<Delta, EngineError>;
type Reply = Vec<Item>;

const GOOD: &str = ": keep-alive\n\n\
    data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"Grüß\"}}]}\r\n\r\n\
    data: {\"choices\":[]}\n\n\
    data: {\"choices\":[{\"delta\":{\"content\":\" Gott\"},\"finish_reason\":null}]}\n\n\
    data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: [DONE]\n\n";

/// A whole reply of these texts.
fn ok(texts: &[&str]) -> Reply {
    texts.iter().map(|text| Delta::Text((*text).to_owned())).chain([Delta::End]).map(Ok).collect()
}

/// The body of a request.
fn body_of(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

/// A stream of pieces of text, then its end.
fn body_with(texts: &[&str], finish: &str) -> String {
    let text =
        |text: &&str| format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }));
    let end = json!({ "choices": [{ "delta": {}, "finish_reason": finish }] });
    texts.iter().map(text).collect::<String>() + &format!("data: {end}\n\n")
}

fn prompt() -> Prompt {
    Prompt {
        system: "Be kind.".into(),
        messages: vec![Message::Agent("Hello?".into()), Message::Caller("Are you \"open\"?".into())],
        ..Prompt::default()
    }
}

async fn replied(answers: Vec<Vec<Step>>) -> (Result<Reply, EngineError>, Vec<String>) {
    metered(answers, &Meter::default()).await
}

async fn metered(answers: Vec<Vec<Step>>, meter: &Meter) -> (Result<Reply, EngineError>, Vec<String>) {
    let vendor = Vendor::start(answers).await;
    let retries = retry::Settings {
        timeout_ms: 500,
        retries: 2,
        budget_ms: 10_000,
        backoff_ms: 1,
        max_backoff_ms: 1,
        ..retry::Settings::default()
    };
    let engine = OpenAiLlm::new("openai".into(), vendor.endpoint(), Settings::default());
    let engine = Resilient::new(Arc::new(engine), retries, None);
    let reply = match engine.reply(prompt(), meter.clone()).await {
        Ok(deltas) => Ok(deltas.collect().await),
        Err(error) => Err(error),
    };
    (reply, vendor.requests())
}

/// The items of a body, except that the model goes on.
async fn read(body: Vec<Bytes>) -> Reply {
    let name = Arc::from("openai");
    let usage = UsageCounter::new(Meter::default().charge(Kind::Llm, &name, ""));
    let reasoning = ReasoningHabit::of(&Arc::default(), "");
    let reply = crate::engines::llm::reply::ReplyBuilder::new(name, [ToolSpec::end_call()].into(), usage);
    deltas(pieces::iter(body.into_iter().map(Ok)), ChatReader::new(reply, reasoning, ReplyForm::Speech))
        .filter(|item| ready(*item != Ok(Delta::Writing)))
        .collect()
        .await
}

async fn read_text(body: &str) -> Reply {
    read(vec![Bytes::copy_from_slice(body.as_bytes())]).await
}

#[tokio::test]
async fn sends_a_question_and_reads_its_reply() {
    let (reply, requests) = replied(vec![chunked(&[GOOD.as_bytes()])]).await;
    assert_eq!(reply, Ok(ok(&["Grüß", " Gott"])));
    assert_eq!(
        body_of(&requests[0]),
        json!({
            "model": "gpt-5.4-mini", "max_tokens": 150, "stream": true,
            "stream_options": {"include_usage": true}, "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "(The call begins.)"},
                {"role": "assistant", "content": "Hello?"},
                {"role": "user", "content": "Are you \"open\"?"},
            ],
        })
    );
}

fn taken(meter: &Meter) -> Vec<(Unit, u64)> {
    meter.total().into_iter().map(|(item, count)| (item.unit, count)).collect()
}

#[tokio::test]
async fn usage_is_as_the_server_reports_it() {
    let usage =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":31,\"completion_tokens\":9}}\n\ndata: [DONE]";
    let body = GOOD.replace("data: [DONE]", usage);
    let meter = Meter::default();
    let down = answer("500 Oops", "{}");
    let reply = metered(vec![down, chunked(&[body.as_bytes()])], &meter).await.0;
    assert_eq!(reply, Ok(ok(&["Grüß", " Gott"])));
    let expected = [(Unit::Requests, 1), (Unit::InputTokens, 31), (Unit::OutputTokens, 9)];
    assert_eq!(taken(&meter), expected, "a refused attempt costs nothing");
}

#[tokio::test]
async fn usage_is_estimated_where_the_server_reports_none() {
    for odd in ["", "data: {\"choices\":[],\"usage\":\"much\"}\n\n"] {
        let body = GOOD.replace("data: [DONE]", &format!("{odd}data: [DONE]"));
        let meter = Meter::default();
        metered(vec![chunked(&[body.as_bytes()])], &meter).await.0.expect("a reply");
        // 8, 18, 6 and 15 characters were sent, 9 arrived.
        let expected = [(Unit::Requests, 1), (Unit::InputTokens, 12), (Unit::OutputTokens, 3)];
        assert_eq!(taken(&meter), expected);
    }
}

#[tokio::test]
async fn a_cancelled_reply_is_counted_as_far_as_it_arrived() {
    let first = b"data: {\"choices\":[{\"delta\":{\"content\":\"Well, then\"}}]}\n\n";
    let mut steps = begun(&[first]);
    steps.push(Step::Stall);
    let vendor = Vendor::start(vec![steps]).await;
    let (engine, meter) =
        (OpenAiLlm::new("openai".into(), vendor.endpoint(), Settings::default()), Meter::default());
    let mut reply = engine.reply(prompt(), meter.clone()).await.expect("a reply");
    assert_eq!(reply.next().await, Some(Ok(Delta::Text("Well, then".into()))));
    drop(reply);
    assert_eq!(taken(&meter)[1..], [(Unit::InputTokens, 12), (Unit::OutputTokens, 3)]);
}

#[tokio::test]
async fn a_profile_chooses_the_model_and_lets_the_agent_end_the_call() {
    let model = Some("gpt-5.6-sol".into());
    let prompt = Prompt { model, max_tokens: Some(40), tools: [ToolSpec::end_call()].into(), ..prompt() };
    let call = "data: {\"choices\":[{\"delta\":{\"content\":\"Bye.\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":null,\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\
        \"type\":\"function\",\"function\":{\"name\":\"end_call\",\"arguments\":\"\"}}]}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
    let vendor = Vendor::start(vec![chunked(&[call.as_bytes()])]).await;
    let settings = Settings { models: vec!["gpt-5.6-sol".into()], ..Settings::default() };
    let engine = OpenAiLlm::new("openai".into(), vendor.endpoint(), settings);
    let meter = Meter::default();
    let reply: Reply = engine.reply(prompt, meter.clone()).await.expect("a reply").collect().await;
    let end_call = ToolCall { id: "call_1".into(), name: "end_call".into(), arguments: "{}".into() };
    let expected = [Delta::Text("Bye.".into()), Delta::Writing, Delta::ToolCall(end_call), Delta::End];
    assert_eq!(reply, expected.map(Ok));
    assert!(meter.total().iter().all(|(item, _)| &*item.model == "gpt-5.6-sol"), "{:?}", meter.total());
    let body = body_of(&vendor.requests()[0]);
    assert_eq!(
        (&body["model"], &body["max_tokens"], &body["tools"][0]["function"]["name"]),
        (&"gpt-5.6-sol".into(), &40.into(), &"end_call".into())
    );
}

#[tokio::test]
async fn a_model_that_is_not_allowed_is_not_asked() {
    let vendor = Vendor::start(vec![]).await;
    let engine = OpenAiLlm::new("openai".into(), vendor.endpoint(), Settings::default());
    let prompt = Prompt { model: Some("gpt-5-pro".into()), ..prompt() };
    let Err(error) = engine.reply(prompt, Meter::default()).await else { panic!("it is asked") };
    assert!(!error.worth_retrying() && error.to_string().contains("use one of gpt-5.4-mini"), "{error}");
    assert_eq!(vendor.requests().len(), 0);
}

#[tokio::test]
async fn a_fallback_is_charged_as_itself() {
    let vendor = Vendor::start(vec![answer("401 Unauthorized", "{}")]).await;
    let engine = Arc::new(OpenAiLlm::new("openai".into(), vendor.endpoint(), Settings::default()));
    let script = crate::engines::llm::scripted::ScriptedLlm::new("scripted".into(), &Default::default())
        .expect("the built-in script");
    let engine = Resilient::new(engine, retry::Settings::default(), Some(Arc::new(script)));
    let meter = Meter::default();
    engine.reply(prompt(), meter.clone()).await.expect("a reply").count().await;
    let charged: Vec<_> =
        meter.total().into_iter().map(|(item, _)| (item.engine.to_string(), item.unit)).collect();
    assert_eq!(charged, [("scripted".to_owned(), Unit::Requests), ("scripted".to_owned(), Unit::Characters)]);
    let covered: Vec<_> =
        meter.covered.take().into_iter().map(|it| (it.engine.to_string(), it.reason)).collect();
    assert_eq!(covered, [("openai".to_owned(), FailureReason::Auth)]);
}

#[tokio::test]
async fn may_be_split_anywhere() {
    for at in 0..=GOOD.len() {
        let (head, tail) = GOOD.as_bytes().split_at(at);
        let pieces = vec![Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail)];
        assert_eq!(read(pieces).await, ok(&["Grüß", " Gott"]), "split at byte {at}");
    }
    let bytes = GOOD.bytes().map(|b| Bytes::copy_from_slice(&[b])).collect();
    assert_eq!(read(bytes).await, ok(&["Grüß", " Gott"]));
}

#[tokio::test]
async fn needs_no_finish() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Yes.\"}}]}\n\n";
    assert_eq!(read(vec![body.into()]).await, ok(&["Yes."]));
}

#[tokio::test]
async fn an_error_in_the_middle_is_the_last_item() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Well\"}}]}\n\n\
                event: error\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\n\
                data: {\"choices\":[{\"delta\":{\"content\":\"more\"}}]}\n\n";
    let failure = Err(EngineError::Temporary("overloaded".into()));
    let expected = [Ok(Delta::Text("Well".into())), failure];
    assert_eq!(read(vec![body.into()]).await, expected);
    assert_eq!(read(vec![body.replace("event: error\n", "").into()]).await, expected);
}

#[tokio::test]
async fn an_error_within_the_reply_has_its_reason_and_no_key() {
    for (code, reason) in
        [("insufficient_quota", FailureReason::Quota), ("model_not_found", FailureReason::Model)]
    {
        let error = json!({ "error": { "message": "no access by secret-key", "code": code } });
        let (reply, requests) = replied(vec![chunked(&[format!("data: {error}\n\n").as_bytes()])]).await;
        let error = reply.expect_err("a refusal");
        assert_eq!((error.reason(), requests.len()), (reason, 1), "it is not repeated");
        assert_eq!(error.to_string(), "no access by [key]");
    }
}

#[tokio::test]
async fn two_errors_and_garbage_are_overcome() {
    let good = || chunked(&[GOOD.as_bytes()]);
    let down = || answer("500 Oops", "{}");
    assert_eq!(replied(vec![down(), down(), good()]).await.0, Ok(ok(&["Grüß", " Gott"])));
    assert_eq!(replied(vec![chunked(&[b"data: {{{\n\n"]), good()]).await.0, Ok(ok(&["Grüß", " Gott"])));
    let busy = answer("429 Too Many Requests\r\nRetry-After: 0", "{}");
    assert_eq!(replied(vec![busy, good()]).await.0, Ok(ok(&["Grüß", " Gott"])));
}

#[tokio::test]
async fn a_wrong_key_is_asked_once() {
    let (reply, requests) =
        replied(vec![answer("401 Unauthorized", "{}"), chunked(&[GOOD.as_bytes()])]).await;
    assert_eq!(reply.expect_err("a refusal").outcome(), "permanent");
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn stalls_before_the_first_word_are_overcome() {
    let mut after_head = begun(&[]);
    after_head.push(Step::Stall);
    let answers = vec![vec![Step::Stall], after_head, chunked(&[GOOD.as_bytes()])];
    assert_eq!(replied(answers).await.0, Ok(ok(&["Grüß", " Gott"])));
}

#[tokio::test]
async fn a_stall_or_reset_in_the_middle_ends_the_reply() {
    let first = b"data: {\"choices\":[{\"delta\":{\"content\":\"Well\"}}]}\n\n";
    for (step, expected) in [(Step::Stall, "timeout"), (Step::Reset, "temporary")] {
        let mut steps = begun(&[first]);
        steps.push(step);
        let reply = replied(vec![steps]).await.0.expect("a reply that begins");
        let [Ok(text), Err(error)] = reply.as_slice() else { panic!("{reply:?}") };
        assert_eq!((text, error.outcome()), (&Delta::Text("Well".into()), expected));
    }
}

#[tokio::test]
async fn an_empty_reply_is_a_failure_and_goes_to_the_fallback() {
    let reasoning = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"Hm.\"}}]}\n\n";
    for body in [
        format!("{reasoning}{}", body_with(&[], "length")),
        body_with(&[], "stop"),
        body_with(&["  \n"], "stop"),
        body_with(&["<think>The caller wants", " hours."], "length"),
        body_with(&["{\"name\": \"look_up\", \"arguments\": {}}"], "stop"),
        "data: [DONE]\n\n".into(),
    ] {
        let (reply, requests) = replied(vec![chunked(&[body.as_bytes()])]).await;
        assert_eq!(reply.expect_err(&body).reason(), FailureReason::Empty);
        assert_eq!(requests.len(), 1, "it is not repeated");
        let vendor = Vendor::start(vec![chunked(&[body.as_bytes()])]).await;
        let engine = Arc::new(OpenAiLlm::new("openai".into(), vendor.endpoint(), Settings::default()));
        let script = ScriptedLlm::new("scripted".into(), &Default::default()).expect("the built-in script");
        let engine = Resilient::new(engine, retry::Settings::default(), Some(Arc::new(script)));
        let reply: Reply =
            engine.reply(prompt(), Meter::default()).await.expect("a fallback").collect().await;
        assert!(matches!(reply.first(), Some(Ok(Delta::Text(_)))), "{body}: {reply:?}");
    }
}

#[tokio::test]
async fn a_reply_that_was_cut_off_ends_with_a_whole_sentence() {
    let cut = read_text(&body_with(&["We are open today. On", " Sundays from nine to"], "length")).await;
    assert_eq!(cut, ok(&["We are open today."]));
    let fragment = read_text(&body_with(&["We are open from", " nine to"], "length")).await;
    assert_eq!(fragment, ok(&["We are open from", " nine to"]), "there is nothing else to say");
    let whole = read_text(&body_with(&["We are open today. On", " Sundays, too."], "stop")).await;
    assert_eq!(whole, ok(&["We are open today.", " On Sundays, too."]));
}

#[tokio::test]
async fn a_refusal_is_spoken_and_a_filtered_reply_is_declined() {
    let refusal = "data: {\"choices\":[{\"delta\":{\"content\":null,\"refusal\":\"I can't help with that.\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(read_text(refusal).await, ok(&["I can't help with that."]));
    let filtered = read_text(&body_with(&[], "content_filter")).await;
    assert_eq!(filtered, [Delta::Declined, Delta::End].map(Ok));
    let partly = read_text(&body_with(&["One thing. And ano"], "content_filter")).await;
    assert_eq!(partly, ok(&["One thing."]));
}

#[tokio::test]
async fn a_fault_after_the_end_costs_nothing() {
    for fault in ["data: {\"choices\":null}\n\n", "data: {{{\n\n", "event: error\ndata: {\"error\":{}}\n\n"] {
        let body = body_with(&["Yes."], "stop") + fault;
        assert_eq!(read_text(&body).await, ok(&["Yes."]), "{fault}");
    }
    let null = "data: {\"choices\":null}\n\n".to_owned() + &body_with(&["Yes."], "stop");
    assert_eq!(read_text(&null).await, ok(&["Yes."]));
}

#[tokio::test]
async fn the_end_is_reported_before_the_token_counts() {
    let mut steps = begun(&[body_with(&["Yes."], "stop").as_bytes()]);
    steps.push(Step::Stall);
    let vendor = Vendor::start(vec![steps]).await;
    let engine = OpenAiLlm::new("openai".into(), vendor.endpoint(), Settings::default());
    let mut reply = engine.reply(prompt(), Meter::default()).await.expect("a reply");
    assert_eq!(reply.next().await, Some(Ok(Delta::Text("Yes.".into()))));
    assert_eq!(reply.next().await, Some(Ok(Delta::End)));
    assert_eq!(reply.next().await, None, "counts that do not arrive are not waited for without end");
}

#[tokio::test]
async fn reasoning_and_spelled_calls_are_not_said() {
    let body =
        body_with(&["<thi", "nk>The caller leaves.</th", "ink>\n\nGood", "bye! [end", "_call]"], "stop");
    let reply = read_text(&body).await;
    let text = |reply: &[Item]| {
        reply
            .iter()
            .filter_map(|item| match item {
                Ok(Delta::Text(text)) => Some(text.clone()),
                _ => None,
            })
            .collect::<String>()
    };
    assert_eq!(text(&reply), "Goodbye! ");
    let [.., Ok(Delta::ToolCall(call)), Ok(Delta::End)] = &*reply else { panic!("{reply:?}") };
    assert_eq!((&*call.name, &*call.arguments), ("end_call", "{}"));
}

#[tokio::test]
async fn an_endless_line_is_cut_off() {
    let pieces = vec![Bytes::from(vec![b'a'; LONGEST / 2]); 3];
    let reply = read(pieces).await;
    assert_eq!(reply, [Err(EngineError::Permanent("the reply does not end".into()))]);
}

mod adapting;
mod tools;

proptest! {
    #[test]
    fn random_bodies_do_no_harm(pieces: Vec<Vec<u8>>, prefix in "(data: |event: error\n|: )?") {
        let pieces = std::iter::once(Bytes::from(prefix)).chain(pieces.into_iter().map(Bytes::from));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(read(pieces.collect()));
    }
}
