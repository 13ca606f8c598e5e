//! A call with a speech-to-speech engine, until it fails.

use serde_json::json;

use super::*;
use crate::engines::realtime::ClientEvent;
use crate::engines::realtime::testing::{TestServer, engine};
use crate::engines::stt::Transcriber;

const UTTERANCE: UtteranceId = UtteranceId(1);
const SPEECH: SpeechId = SpeechId(1);

struct Call {
    pipeline: Pipeline,
    server: TestServer,
}

/// A call with other engines that hear "Hello again?" and reply "Yes.".
fn connected() -> Call {
    let step = Step { delay: Duration::from_millis(300), answer: Ok("Hello again?".to_owned()) };
    connected_with(agent([step], [vec![text("Yes.")]]))
}

fn connected_with(mut agent: Agent) -> Call {
    let (voice, transport) = engine();
    agent.engines.realtime = Some(voice);
    let mut pipeline = Pipeline::new(Arc::new(agent), Arc::default(), Meter::default(), RATE);
    let server = transport.server();
    server.connect();
    pipeline.caller_audio(&[1_000; 16_000]);
    pipeline.mark(at(0), 0);
    Call { pipeline, server }
}

impl Call {
    fn go(&mut self, command: Command) {
        assert_eq!(self.pipeline.command(command), PlaybackEffect::Unchanged);
    }

    fn utter(&mut self) {
        self.go(Command::Recognise { utterance: UTTERANCE, turn: ONE, from: at(0) });
        self.go(Command::EndUtterance { utterance: UTTERANCE, at: at(1_000) });
    }

    /// All events, until none follows for half a second. The conversation has the response spoken.
    async fn settle(&mut self) -> Vec<PipelineEvent> {
        let mut events = Vec::new();
        while let Ok(event) = timeout(Duration::from_millis(500), self.pipeline.next()).await {
            let is_first = !events.iter().any(is_spoken);
            if is_spoken(&event) && is_first {
                self.go(Command::Speak { speech: SPEECH, turn: ONE, what: Say::Spoken, held: false });
            }
            let is_audio = matches!(event, PipelineEvent::Audio | PipelineEvent::Synthesised { .. });
            events.extend(Some(event).filter(|_| !is_audio));
        }
        events
    }

    /// Samples that are ready, and whether the speech ends with them.
    fn audio(&mut self) -> (usize, bool) {
        let pieces: Vec<_> = std::iter::from_fn(|| self.pipeline.next_audio()).collect();
        (pieces.iter().map(|piece| piece.samples.len()).sum(), pieces.last().is_some_and(|piece| piece.last))
    }
}

fn is_spoken(event: &PipelineEvent) -> bool {
    matches!(event, PipelineEvent::Response { event: ResponseEvent::Spoken(_), .. })
}

fn spoken(words: &str) -> PipelineEvent {
    response(ONE, ResponseEvent::Spoken(words.into()))
}

fn recognised(words: &str) -> PipelineEvent {
    PipelineEvent::Recognition { utterance: UTTERANCE, event: Recognition::Final { text: words.into() } }
}

/// The end of a response of which half a second of sound has arrived.
fn broken_off() -> [PipelineEvent; 2] {
    let ends = ResponseEvent::SoundEnds { after: Duration::from_millis(500) };
    [ends, ResponseEvent::Failed].map(|event| response(ONE, event))
}

fn failure_of_voice() -> PipelineEvent {
    let error = EngineError::Temporary("lost".into());
    PipelineEvent::EngineFailed(EngineFault { kind: EngineKind::Realtime, engine: "voice".into(), error })
}

#[tokio::test(start_paused = true)]
async fn the_model_hears_the_caller_and_speaks_itself() {
    let mut call = connected();
    assert_eq!(call.pipeline.stage_engines().map(|name| name.to_string()), ["voice"; 3]);
    call.utter();
    call.settle().await;
    call.server.hears("a", "Hello?");
    assert_eq!(call.settle().await, [recognised("Hello?")]);
    call.go(respond(ONE));
    call.settle().await;
    call.server.speaks("r", "b", "Good morning.");
    let begun = call.settle().await;
    assert_eq!(begun, [response(ONE, ResponseEvent::Writing), spoken("Good morning.")]);
    assert_eq!(call.audio(), (4_000, false));
    let end_call =
        json!({ "id": "f", "type": "function_call", "call_id": "c", "name": END_CALL, "arguments": "{}" });
    call.server.send("response.output_item.done", json!({ "response_id": "r", "item": end_call }));
    call.server.done("r", "completed");
    let ended = [ResponseEvent::EndCall, ResponseEvent::Finished];
    assert_eq!(call.settle().await, ended.map(|event| response(ONE, event)));
    assert_eq!(call.audio(), (0, true));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_speech_is_cut_where_it_was_heard() {
    let mut call = connected();
    call.go(respond(ONE));
    call.settle().await;
    call.server.speaks("r", "b", "Good morning.");
    call.settle().await;
    assert_eq!(call.audio().0, 4_000);
    call.pipeline.heard(SPEECH, Duration::from_millis(180));
    call.server.received().await;
    assert_eq!(call.pipeline.command(Command::Cancel { turn: ONE }), PlaybackEffect::Flush);
    assert_eq!(call.settle().await, []);
    let truncate = ClientEvent::Truncate { id: "b".into(), content_index: 0, audio_end_ms: 180 };
    assert_eq!(call.server.received().await, [ClientEvent::Cancel, truncate]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_words_is_not_noticed() {
    let mut call = connected();
    call.utter();
    call.settle().await;
    call.server.lose();
    assert_eq!(call.settle().await, [failure_of_voice(), recognised("Hello again?")]);
    let mut call = connected();
    call.go(respond(ONE));
    call.settle().await;
    call.server.lose();
    let replied = [ResponseEvent::Text("Yes.".into()), ResponseEvent::Finished];
    let mut events = call.settle().await;
    assert_eq!(events.remove(0), failure_of_voice());
    assert_eq!(events, replied.map(|event| response(ONE, event)));
    assert_eq!(call.pipeline.stage_engines().map(|name| name.to_string()), ["scripted", "words", "samples"]);
}

/// Transcribes a clip as the number of its samples.
struct Lengths(Arc<str>);

impl Transcriber for Lengths {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    fn transcribe(&self, speech: Clip, _: Hints, _: Meter) -> BoxFuture<'_, Result<String, EngineError>> {
        async move { Ok(speech.samples.len().to_string()) }.boxed()
    }
}

/// The caller has begun to speak before the turn of the agent was over.
#[tokio::test(start_paused = true)]
async fn an_utterance_that_outlasts_a_turn_is_transcribed_as_a_whole_after_a_failure() {
    let mut agent = agent([], []);
    agent.engines.stt = Arc::new(Buffered::new(Lengths("lengths".into())));
    let mut call = connected_with(agent);
    call.go(Command::Recognise { utterance: UTTERANCE, turn: TWO, from: at(1_000) });
    call.pipeline.caller_audio(&[1_000; 64_000]);
    call.pipeline.turn_finished(ONE);
    call.server.lose();
    assert_eq!(call.settle().await, [failure_of_voice()]);
    call.go(Command::EndUtterance { utterance: UTTERANCE, at: at(10_000) });
    let words = (9 * RATE + RATE * 240 / 1_000).to_string();
    assert_eq!(call.settle().await, [recognised(&words)]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_in_a_response_the_other_engines_go_on() {
    let mut call = connected();
    call.go(respond(ONE));
    call.settle().await;
    call.server.speaks("r", "b", "Good morning.");
    call.settle().await;
    call.server.lose();
    let mut events = call.settle().await;
    assert_eq!(events.remove(0), failure_of_voice());
    assert_eq!(events, broken_off());
    assert_eq!(call.audio(), (4_000, true), "its audio so far is played");
    let context = Arc::from([ContextItem::Caller { text: "Hello?".into() }]);
    call.go(Command::Respond { turn: ONE, context, attempt: Attempt::AfterFailure });
    let replied = [ResponseEvent::Text("Yes.".into()), ResponseEvent::Finished];
    assert_eq!(call.settle().await, replied.map(|event| response(ONE, event)));
}

/// The words of a request that was given up are not those of the next one.
#[tokio::test(start_paused = true)]
async fn a_response_without_words_is_repeated_by_the_other_engines() {
    let mut call = connected();
    call.go(respond(ONE));
    call.settle().await;
    call.server.send("response.created", json!({ "response": { "id": "r" } }));
    call.server.done("r", "completed");
    assert_eq!(call.settle().await, [response(ONE, ResponseEvent::Finished)]);
    let context = Arc::from([ContextItem::Caller { text: "Hello?".into() }]);
    call.go(Command::Respond { turn: ONE, context, attempt: Attempt::AfterFailure });
    let events = call.settle().await;
    assert!(matches!(&events[0], PipelineEvent::EngineFailed(fault) if fault.kind == EngineKind::Realtime));
    assert_eq!(
        events[1..],
        [ResponseEvent::Text("Yes.".into()), ResponseEvent::Finished].map(|event| response(ONE, event))
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_does_not_fail_with_the_response_of_the_agent_before() {
    let mut call = connected();
    call.go(respond(ONE));
    call.settle().await;
    call.server.speaks("r", "b", "Good morning.");
    call.settle().await;
    let (voice, transport) = engine();
    let mut next = agent([], []);
    next.engines.realtime = Some(voice);
    call.pipeline.change_agent(Arc::new(next));
    call.server = transport.server();
    call.server.connect();
    assert_eq!(call.settle().await, broken_off());
    let context = Arc::from([ContextItem::Caller { text: "Hello?".into() }]);
    call.go(Command::Respond { turn: ONE, context, attempt: Attempt::AfterFailure });
    assert_eq!(call.settle().await, []);
    assert_eq!(call.pipeline.stage_engines().map(|name| name.to_string()), ["voice"; 3]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_such_an_engine_takes_over_what_has_begun() {
    let mut call = connected();
    call.utter();
    call.settle().await;
    let next = Arc::new(agent([], [vec![text("Gladly.")]]));
    call.pipeline.change_agent(next);
    assert_eq!(call.settle().await, [recognised("Hello again?")]);
    call.go(respond(TWO));
    let replied = [ResponseEvent::Text("Gladly.".into()), ResponseEvent::Finished];
    assert_eq!(call.settle().await, replied.map(|event| response(TWO, event)));
}
