//! The cascade with scripted engines and paused time.

mod first_words;
mod recognition;
mod speech;
mod voice;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::{sleep, timeout};

use super::*;
use crate::audio::Clip;
use crate::call::{Agent, Engines, PromptCache};
use crate::conversation::{At, Attempt, Command, ContextItem, Phrase, Say, Settings, TakeOver};
use crate::engines::core::usage::Meter;
use crate::engines::llm::{Delta, Deltas, END_CALL, Llm, Prompt, ToolCall};
use crate::engines::stt::scripted::{Scripted, Step};
use crate::engines::stt::{Buffered, Hints, Stt};
use crate::engines::tts::{Pieces, Tts, Voice};
use crate::language::Language;
use crate::media::NoiseSuppression;
use crate::tenancy::{ProfileId, ProfileSettings, TenantId};
use crate::tools::Toolbox;

const RATE: u32 = 8_000;
const ONE: TurnId = TurnId(1);
const TWO: TurnId = TurnId(2);

/// Replies with its scripts in order: one word in 50 ms, and a pause of 100 ms before "later".
struct Words {
    name: Arc<str>,
    scripts: Mutex<VecDeque<Vec<Result<Delta, EngineError>>>>,
}

impl Llm for Words {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn reply(&self, _: Prompt, _: Meter) -> BoxFuture<'_, Result<Deltas, EngineError>> {
        let script = self.scripts.lock().unwrap().pop_front().expect("a script");
        let deltas = stream::iter(script).then(|delta| async {
            let pause = if delta == text("later") { 100 } else { 50 };
            sleep(Duration::from_millis(pause)).await;
            delta
        });
        async move { Ok(deltas.boxed()) }.boxed()
    }
}

/// Speaks a text in 100 ms, as one loud sample for each of its bytes; fails at the text "fail" and stalls after "stall".
struct Samples(Arc<str>);

impl Tts for Samples {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    fn speak(&self, text: Arc<str>, _: Voice, _: Meter) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        async move {
            sleep(Duration::from_millis(100)).await;
            if &*text == "fail" {
                return Err(failure());
            }
            let clip = Clip::new(RATE, vec![5_000; text.len()]);
            let pieces = stream::iter([Ok(clip)]);
            Ok(if &*text == "stall" { pieces.chain(stream::pending()).boxed() } else { pieces.boxed() })
        }
        .boxed()
    }
}

fn failure() -> EngineError {
    EngineError::Permanent("no".into())
}

fn agent(
    stt: impl IntoIterator<Item = Step>,
    llm: impl IntoIterator<Item = Vec<Result<Delta, EngineError>>>,
) -> Agent {
    let scripts = Mutex::new(llm.into_iter().collect());
    let engines = Engines {
        stt: Arc::new(Buffered::new(Scripted::new(stt))),
        llm: Arc::new(Words { name: "words".into(), scripts }),
        tts: Arc::new(Samples("samples".into())),
        realtime: None,
    };
    Agent {
        tenant: TenantId::new(),
        profile: ProfileId::new(),
        name: "front desk".into(),
        version: 1,
        engines,
        hints: Hints::default(),
        voice: Voice::default(),
        system_prompt: "".into(),
        preamble: false,
        notice: false,
        variables: Arc::default(),
        trusted_headers: Arc::from([]),
        header_trunks: Arc::from([]),
        model: None,
        max_reply_tokens: None,
        targets: Arc::default(),
        toolbox: Arc::new(Toolbox::new(&ProfileSettings {
            tools: vec!["end_call".to_owned()],
            ..ProfileSettings::default()
        })),
        hours: None,
        language: Language::of(None),
        detects_language: false,
        turn_settings: Settings::default(),
        realtime_model: None,
        realtime_voice: None,
        end_of_turn: None,
        phrases: HashMap::from([(Phrase::Filler, "One moment.".into())]),
        other_languages: Vec::new(),
        noise_suppression: NoiseSuppression::Off,
        comfort_noise: false,
        switch_to: Arc::from([]),
        take_over: TakeOver::Answer,
    }
}

fn cascade(agent: Agent) -> Cascade {
    Cascade::new(Arc::new(agent), Arc::default(), Meter::default(), RATE)
}

fn text(text: &str) -> Result<Delta, EngineError> {
    Ok(Delta::Text(text.to_owned()))
}

fn response(turn: TurnId, event: ResponseEvent) -> PipelineEvent {
    PipelineEvent::Response { turn, event }
}

fn respond(turn: TurnId) -> Command {
    let context = Arc::from([ContextItem::Caller { text: "Hello?".into() }]);
    Command::Respond { turn, context, attempt: Attempt::First }
}

fn at(millis: u64) -> At {
    At(Duration::from_millis(millis))
}

impl Cascade {
    /// Carries out a command that leaves the playback as it is.
    fn go(&mut self, command: Command) {
        assert_eq!(self.command(command), PlaybackEffect::Unchanged);
    }

    fn speak(&mut self, speech: u32, turn: TurnId, text: &str, held: bool) {
        let (speech, what) = (SpeechId(speech), Say::Text(text.to_owned()));
        self.go(Command::Speak { speech, turn, what, held });
    }

    fn replace(&mut self, failed: u32, speech: u32, text: &str) {
        let (failed, speech) = (SpeechId(failed), SpeechId(speech));
        self.go(Command::Replace {
            failed,
            speech,
            turn: ONE,
            what: Say::Text(text.to_owned()),
            held: false,
        });
    }

    /// Has an utterance of the first second recognised.
    fn utter(&mut self, utterance: u32, turn: TurnId) {
        let utterance = UtteranceId(utterance);
        self.go(Command::Recognise { utterance, turn, from: at(0) });
        self.go(Command::EndUtterance { utterance, at: at(1_000) });
    }

    /// All events, until none follows for a minute, apart from those that announce audio.
    async fn settle(&mut self) -> Vec<PipelineEvent> {
        let mut events = Vec::new();
        while let Ok(event) = timeout(Duration::from_secs(60), self.next()).await {
            let is_audio = matches!(event, PipelineEvent::Audio | PipelineEvent::Synthesised { .. });
            events.extend(Some(event).filter(|_| !is_audio));
        }
        events
    }

    /// The speech and the samples of the audio that is ready.
    fn audio(&mut self) -> Vec<(u32, usize)> {
        let pieces = std::iter::from_fn(|| self.next_audio());
        pieces.map(|piece| (piece.speech.0, piece.samples.len())).filter(|(_, length)| *length > 0).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_streamed_until_it_is_cancelled() {
    let end_call = ToolCall { id: "1".into(), name: END_CALL.into(), arguments: "{}".into() };
    let script = vec![text("We "), text("are "), text("open."), Ok(Delta::ToolCall(end_call))];
    let mut cascade = cascade(agent([], [script.clone(), script]));
    cascade.go(respond(ONE));
    assert_eq!(cascade.next().await, response(ONE, ResponseEvent::Text("We ".into())));
    cascade.go(Command::Cancel { turn: ONE });
    assert_eq!(cascade.settle().await, []);
    cascade.go(respond(TWO));
    let words = ["We ", "are ", "open."].map(|word| ResponseEvent::Text(word.into()));
    let events = words.into_iter().chain([ResponseEvent::EndCall, ResponseEvent::Finished]);
    let expected: Vec<_> = events.map(|event| response(TWO, event)).collect();
    assert_eq!(cascade.settle().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_second_request_for_a_turn_takes_the_place_of_the_first() {
    let scripts = [vec![text("We "), text("never "), text("end.")], vec![text("Yes.")]];
    let mut cascade = cascade(agent([], scripts));
    cascade.go(respond(ONE));
    assert_eq!(cascade.next().await, response(ONE, ResponseEvent::Text("We ".into())));
    sleep(Duration::from_millis(75)).await;
    cascade.go(respond(ONE));
    let expected = [ResponseEvent::Text("Yes.".into()), ResponseEvent::Finished];
    assert_eq!(cascade.settle().await, expected.map(|event| response(ONE, event)));
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_text_is_reported() {
    let mut cascade = cascade(agent([], [vec![text("We are"), text(" open."), text("later")]]));
    cascade.go(respond(ONE));
    let text = |text: &str| ResponseEvent::Text(text.into());
    let expected =
        [text("We are"), text(" open."), ResponseEvent::Paused, text("later"), ResponseEvent::Finished];
    assert_eq!(cascade.settle().await, expected.map(|event| response(ONE, event)));
}

#[tokio::test(start_paused = true)]
async fn events_that_wait_when_their_turn_is_cancelled_are_dropped() {
    let heard = Step { delay: Duration::ZERO, answer: Ok("Hello?".into()) };
    let mut cascade = cascade(agent([heard], [vec![text("Yes.")]]));
    cascade.caller_audio(&[0; 8_000]);
    cascade.utter(1, ONE);
    cascade.go(respond(ONE));
    cascade.speak(1, ONE, "Yes.", true);
    sleep(Duration::from_secs(1)).await;
    cascade.go(Command::Cancel { turn: ONE });
    assert_eq!(cascade.settle().await, []);
    assert_eq!(cascade.audio(), []);
}

/// An utterance that the first agent's engine has begun ends there; the next one is the next agent's.
#[tokio::test(start_paused = true)]
async fn another_agents_engines_serve_what_begins_after_the_change() {
    let step = |answer: &str| Step { delay: Duration::from_millis(300), answer: Ok(answer.to_owned()) };
    let mut cascade = cascade(agent([step("first")], []));
    let next = Arc::new(agent([step("second"), step("third")], [vec![text("Yes.")]]));
    cascade.caller_audio(&[0; 8_000]);
    cascade.mark(at(0), 0);
    cascade.go(Command::Recognise { utterance: UtteranceId(1), turn: ONE, from: at(0) });
    cascade.change_agent(next.clone());
    cascade.caller_audio(&[0; 8_000]);
    cascade.go(Command::EndUtterance { utterance: UtteranceId(1), at: at(1_000) });
    let words = |utterance, text: &str| PipelineEvent::Recognition {
        utterance: UtteranceId(utterance),
        event: Recognition::Final { text: text.into() },
    };
    assert_eq!(cascade.settle().await, [words(1, "first")]);
    cascade.go(Command::Recognise { utterance: UtteranceId(2), turn: TWO, from: at(1_500) });
    cascade.go(Command::EndUtterance { utterance: UtteranceId(2), at: at(2_000) });
    assert_eq!(cascade.settle().await, [words(2, "second")]);
    cascade.change_agent(next);
    cascade.go(Command::Recognise { utterance: UtteranceId(3), turn: TWO, from: at(1_500) });
    cascade.go(Command::EndUtterance { utterance: UtteranceId(3), at: at(2_000) });
    assert_eq!(cascade.settle().await, [words(3, "third")], "the same engine keeps its session");
    cascade.go(respond(TWO));
    let events = [ResponseEvent::Text("Yes.".into()), ResponseEvent::Finished];
    assert_eq!(cascade.settle().await, events.map(|event| response(TWO, event)));
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_reply_is_read_with_the_tools_of_the_agent_that_asked() {
    let end_call = ToolCall { id: "1".into(), name: END_CALL.into(), arguments: "{}".into() };
    let mut cascade = cascade(agent([], [vec![text("Goodbye."), Ok(Delta::ToolCall(end_call))]]));
    cascade.go(respond(ONE));
    let next = Agent { toolbox: Arc::default(), ..agent([], []) };
    cascade.change_agent(Arc::new(next));
    let events = [ResponseEvent::Text("Goodbye.".into()), ResponseEvent::EndCall, ResponseEvent::Finished];
    assert_eq!(cascade.settle().await, events.map(|event| response(ONE, event)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_ends_with_the_engines_failure() {
    let mut cascade = cascade(agent([], [vec![text("We "), Err(failure())]]));
    cascade.go(respond(ONE));
    let fault = EngineFault { kind: EngineKind::Llm, engine: "words".into(), error: failure() };
    let expected = [
        response(ONE, ResponseEvent::Text("We ".into())),
        PipelineEvent::EngineFailed(fault),
        response(ONE, ResponseEvent::Failed),
    ];
    assert_eq!(cascade.settle().await, expected);
}
