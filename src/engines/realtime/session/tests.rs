use std::future::poll_fn;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::*;
use crate::engines::core::usage::{Meter, Unit};
use crate::engines::llm::{Message, ToolCall};
use crate::engines::realtime::testing::{TestServer, engine};

const ONE: ResponseKey = ResponseKey(1);
const TWO: ResponseKey = ResponseKey(2);

struct Open {
    session: VoiceSession,
    server: TestServer,
    meter: Meter,
}

fn open() -> Open {
    let (engine, transport) = engine();
    let meter = Meter::default();
    let terms = VoiceTerms { rate: 8_000, meter: meter.clone(), ..VoiceTerms::default() };
    let mut session = engine.open(&terms);
    let server = transport.server();
    server.connect();
    session.audio(&[1_000; 8_000]);
    Open { session, server, meter }
}

impl Open {
    /// All events, until none follows for half a second.
    async fn events(&mut self) -> Vec<VoiceEvent> {
        let mut events = Vec::new();
        let next = async |session: &mut VoiceSession| poll_fn(|cx| session.poll_event(cx)).await;
        while let Ok(event) = timeout(Duration::from_millis(500), next(&mut self.session)).await {
            events.push(event);
        }
        events
    }

    async fn received(&mut self) -> Vec<ClientEvent> {
        assert_eq!(self.events().await, []);
        self.server.received().await
    }

    fn utter(&mut self, utterance: u32, from: u64, to: u64) {
        self.session.begin(Utterance(utterance), from);
        self.session.end(Utterance(utterance), to);
    }
}

fn prompt(caller: &[&str]) -> Prompt {
    let messages = caller.iter().map(|text| Message::Caller((*text).to_owned())).collect();
    Prompt { system: "Sell bread.".into(), messages, ..Prompt::default() }
}

fn part(key: ResponseKey, part: VoicePart) -> VoiceEvent {
    VoiceEvent::Response { key, part }
}

/// The parts of a response, with the number of samples for audio.
fn parts(events: Vec<VoiceEvent>) -> Vec<String> {
    let text = |event| match event {
        VoiceEvent::Response { part: VoicePart::Audio(samples), .. } => samples.len().to_string(),
        VoiceEvent::Response { part: VoicePart::Words(words), .. } => words,
        other => format!("{other:?}"),
    };
    events.into_iter().map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn the_model_answers_the_audio_that_it_heard() {
    let mut it = open();
    assert_eq!(it.server.model, "gpt-realtime-2.1");
    assert_eq!(it.server.settings["audio"]["input"]["turn_detection"], Value::Null);
    assert_eq!(
        it.server.settings["audio"]["output"],
        json!({ "format": { "type": "audio/pcmu" }, "voice": "marin" })
    );
    it.utter(1, 0, 6_000);
    assert_eq!(it.received().await, [ClientEvent::Commit]);
    it.server.hears("a", "When do you open?");
    let text = "When do you open?".to_owned();
    let words = VoiceEvent::Recognised(SttEvent::Final { utterance: Utterance(1), text });
    assert_eq!(it.events().await, [words]);
    it.session.respond(ONE, prompt(&["When do you open?"]));
    let sent = it.received().await;
    let settings = json!({ "type": "realtime", "instructions": "Sell bread.", "tool_choice": "auto", "tools": [],
        "max_output_tokens": 2_000 });
    assert_eq!(
        sent,
        [ClientEvent::Update(settings), ClientEvent::Respond],
        "the audio is not repeated as text"
    );
    it.server.speaks("r1", "b", "At nine.");
    it.server.done("r1", "completed");
    let events = parts(it.events().await);
    assert_eq!(events[1..3], ["At nine.", "4000"]);
    assert!(events[3].contains("End"), "{events:?}");
    let total = it.meter.total();
    let used = |unit| total.iter().find(|(item, _)| item.unit == unit).map(|(_, count)| *count);
    assert_eq!((used(Unit::InputTokens), used(Unit::CachedInputTokens)), (Some(6), Some(4)));
    assert_eq!((used(Unit::AudioInputTokens), used(Unit::CachedAudioTokens)), (Some(15), Some(5)));
    assert_eq!((used(Unit::OutputTokens), used(Unit::AudioOutputTokens)), (Some(3), Some(30)));
    assert_eq!(used(Unit::AudioMs), Some(850), "the utterance and a little after it");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_response_is_cancelled_and_cut_where_it_was_heard() {
    let mut it = open();
    it.session.respond(ONE, prompt(&["Hello?"]));
    it.events().await;
    it.server.received().await;
    it.server.speaks("r1", "b", "We open at nine.");
    assert_eq!(parts(it.events().await)[2], "4000");
    it.session.stop(ONE, Duration::from_millis(320));
    let truncate = ClientEvent::Truncate { id: "b".into(), content_index: 0, audio_end_ms: 320 };
    assert_eq!(it.received().await, [ClientEvent::Cancel, truncate]);
    // The next request waits for the end of this one.
    it.session.respond(TWO, prompt(&["Hello?", "Stop."]));
    it.server.speaks("r1", "b", " Late words.");
    assert_eq!(it.received().await, []);
    it.server.done("r1", "cancelled");
    let sent = it.received().await;
    assert_eq!(sent.last(), Some(&ClientEvent::Respond));
    assert!(sent.contains(&ClientEvent::DeleteItem { id: "b".into() }), "{sent:?}");
}

/// The caller hangs up, or the connection is lost: the vendor bills the tokens all the same.
#[tokio::test(start_paused = true)]
async fn the_usage_of_a_response_without_end_is_estimated() {
    let mut it = open();
    it.utter(1, 0, 6_000);
    it.events().await;
    it.server.hears("a", "Hello?");
    it.events().await;
    it.session.respond(ONE, prompt(&["Hello?"]));
    it.events().await;
    let used = |it: &Open, unit| {
        it.meter.total().into_iter().find(|(item, _)| item.unit == unit).map(|(_, count)| count)
    };
    assert_eq!(used(&it, Unit::InputTokens), None, "the server has not begun");
    it.server.speaks("r1", "b", "We open at nine.");
    it.events().await;
    it.server.lose();
    it.events().await;
    assert!(used(&it, Unit::InputTokens).is_some_and(|tokens| (10..100).contains(&tokens)));
    assert_eq!(used(&it, Unit::AudioInputTokens), Some(9), "850 ms of the caller");
    assert_eq!((used(&it, Unit::OutputTokens), used(&it, Unit::AudioOutputTokens)), (Some(4), Some(10)));
}

#[tokio::test(start_paused = true)]
async fn counts_that_cannot_be_cost_the_estimate() {
    let mut it = open();
    it.session.respond(ONE, prompt(&["Hello?"]));
    it.events().await;
    it.server.speaks("r1", "b", "At nine.");
    let usage = json!({ "output_token_details": { "text_tokens": -3, "audio_tokens": 30 } });
    it.server
        .send("response.done", json!({ "response": { "id": "r1", "status": "completed", "usage": usage } }));
    assert_eq!(it.events().await.last(), Some(&part(ONE, VoicePart::End)));
    let total = it.meter.total();
    let spoken = total.iter().find(|(item, _)| item.unit == Unit::AudioOutputTokens);
    assert_eq!(spoken.map(|(_, count)| *count), Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_writes_without_end_fails() {
    let mut it = open();
    it.session.respond(ONE, prompt(&["Hello?"]));
    it.events().await;
    it.server.speaks("r1", "b", &"word ".repeat(20_000));
    let failed = VoiceEvent::Failed(EngineError::Temporary("a response that does not end".into()));
    assert_eq!(it.events().await.last(), Some(&failed));
}

#[tokio::test(start_paused = true)]
async fn an_offered_tool_is_called_and_another_one_is_not() {
    let mut it = open();
    let tools = Arc::from([ToolSpec::end_call()]);
    it.session.respond(ONE, Prompt { tools, ..prompt(&["Bye."]) });
    it.events().await;
    it.server.send("response.created", json!({ "response": { "id": "r1" } }));
    for (id, name) in [("f1", "end_call"), ("f2", "transfer")] {
        let item = json!({ "id": id, "type": "function_call", "call_id": format!("c-{id}"), "name": name,
            "arguments": "" });
        it.server.send("response.output_item.done", json!({ "response_id": "r1", "item": item }));
    }
    let call = ToolCall { id: "c-f1".into(), name: "end_call".into(), arguments: "{}".into() };
    assert_eq!(it.events().await, [part(ONE, VoicePart::ToolCall(call))]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_stalls_fails_once() {
    let mut it = open();
    it.session.respond(ONE, prompt(&["Hello?"]));
    assert_eq!(it.events().await, []);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let failed = VoiceEvent::Failed(EngineError::Timeout(Duration::from_secs(4)));
    assert_eq!(it.events().await, [failed]);
    assert_eq!(it.events().await, []);
}

#[tokio::test(start_paused = true)]
async fn words_that_do_not_arrive_and_lost_connections_are_failures() {
    let mut it = open();
    it.utter(1, 0, 6_000);
    assert_eq!(it.events().await, []);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(it.events().await, [VoiceEvent::Failed(EngineError::Timeout(Duration::from_secs(2)))]);
    let mut it = open();
    it.server.lose();
    assert_eq!(it.events().await, [VoiceEvent::Failed(EngineError::Temporary("lost".into()))]);
    let (engine, _) = engine();
    let terms = VoiceTerms { rate: 8_000, model: Some("gpt-5".into()), ..VoiceTerms::default() };
    let refused = poll_fn(|cx| engine.open(&terms).poll_event(cx)).await;
    assert!(matches!(refused, VoiceEvent::Failed(error) if error.outcome() == "permanent"));
}
