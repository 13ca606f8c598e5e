//! The cascade with scripted engines and paused time.

mod first_words;
mod voice;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::{sleep, timeout};

use super::*;
use crate::audio::Clip;
use crate::call::{Agent, Engines, PromptCache};
use crate::conversation::{At, Attempt, Command, ContextItem, Phrase, Say, Settings, TakeOver};
use crate::engines::core::usage::Meter;
use crate::engines::end_of_turn::{self, EndOfTurn, ModelError, TurnModel};
use crate::engines::llm::{Delta, Deltas, END_CALL, Llm, Prompt, ToolCall};
use crate::engines::stt::scripted::{Scripted, Step};
use crate::engines::stt::{Buffered, Hints, SessionConfig, Stt, SttEvent, SttSession, Utterance};
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

#[tokio::test(start_paused = true)]
async fn an_utterance_is_recognised_at_its_end() {
    let step = |answer| Step { delay: Duration::from_millis(300), answer };
    let steps = [step(Ok("Hello?".to_owned())), step(Err(failure()))];
    let mut cascade = cascade(agent(steps, []));
    cascade.caller_audio(&[0; 8_000]);
    cascade.mark(at(0), 0);
    let utterance = UtteranceId(1);
    cascade.go(Command::Recognise { utterance, turn: ONE, from: at(0) });
    assert_eq!(cascade.settle().await, [], "it has not ended");
    cascade.go(Command::EndUtterance { utterance, at: at(500) });
    let event = Recognition::Final { text: "Hello?".into() };
    assert_eq!(cascade.settle().await, [PipelineEvent::Recognition { utterance, event }]);
    cascade.utter(2, TWO);
    let fault = EngineFault { kind: EngineKind::Stt, engine: "scripted".into(), error: failure() };
    let failed = PipelineEvent::Recognition { utterance: UtteranceId(2), event: Recognition::Failed };
    assert_eq!(cascade.settle().await, [PipelineEvent::EngineFailed(fault), failed]);
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

/// They count from a position of the call's audio on.
#[tokio::test(start_paused = true)]
async fn the_words_of_a_transfers_party_are_recognised_apart() {
    let step = |answer: Result<&str, EngineError>| {
        let answer = answer.map(str::to_owned);
        Step { delay: Duration::from_millis(300), answer }
    };
    let answers = [Ok("Yes, please."), Ok("Not now."), Err(failure())];
    let mut cascade = cascade(agent(answers.map(step), []));
    cascade.caller_audio(&[0; 8_000]);
    let mut listener = cascade.party_listener();
    listener.audio(&[0; 8_000]);
    for expected in ["Yes, please.", "Not now."] {
        listener.begin(9_000);
        listener.end(15_000);
        assert_eq!(listener.next().await, PartyWords::Words(expected.to_owned()));
    }
    listener.begin(9_000);
    listener.cancel();
    listener.begin(9_000);
    listener.end(15_000);
    let fault = EngineFault { kind: EngineKind::Stt, engine: "scripted".into(), error: failure() };
    assert_eq!(listener.next().await, PartyWords::Failed(fault));
}

#[tokio::test(start_paused = true)]
async fn a_late_failure_is_one_of_the_engines_before_the_change() {
    let failing = Step { delay: Duration::from_millis(300), answer: Err(failure()) };
    let mut next = agent([], []);
    next.engines.stt = Arc::new(Partials("partials".into()));
    next.engines.tts = Arc::new(Samples("others".into()));
    let mut cascade = cascade(agent([failing], []));
    cascade.caller_audio(&[0; 8_000]);
    cascade.utter(1, ONE);
    cascade.speak(1, ONE, "fail", false);
    cascade.change_agent(Arc::new(next));
    let failed = cascade.settle().await.into_iter().filter_map(|event| match event {
        PipelineEvent::EngineFailed(fault) => Some((fault.kind, fault.engine.to_string())),
        _ => None,
    });
    let failed: Vec<_> = failed.collect();
    let expected = [(EngineKind::Tts, "samples".to_owned()), (EngineKind::Stt, "scripted".to_owned())];
    assert_eq!(failed, expected);
}

#[tokio::test(start_paused = true)]
async fn a_filler_goes_before_speech_that_has_not_begun() {
    let agent = Arc::new(agent([], []));
    let prompts: Arc<PromptCache> = Arc::default();
    let mut cascade = Cascade::new(agent.clone(), prompts.clone(), Meter::default(), RATE);
    let filler = |speech| Command::Speak {
        speech: SpeechId(speech),
        turn: ONE,
        what: Say::Phrase(Phrase::Filler),
        held: false,
    };
    cascade.go(filler(9));
    assert_eq!(cascade.settle().await, [PipelineEvent::SpeechSkipped { speech: SpeechId(9) }]);
    let text = &agent.phrases[&Phrase::Filler];
    prompts.prepare(agent.prompt_voice(), text, &[RATE]).await.expect("the filler");
    cascade.speak(1, ONE, "first", false);
    assert_eq!(cascade.settle().await, []);
    assert!(cascade.next_audio().is_some_and(|piece| piece.speech == SpeechId(1)), "it has begun");
    cascade.speak(2, ONE, "second", false);
    cascade.go(filler(3));
    assert_eq!(cascade.settle().await, []);
    let order: Vec<u32> = cascade.audio().into_iter().map(|(speech, _)| speech).collect();
    assert_eq!(order, [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_whole_sentence_is_synthesised_once_for_each_tenant() {
    let (mine, prompts) = (Arc::new(agent([], [])), Arc::<PromptCache>::default());
    let call = |agent: &Arc<Agent>| Cascade::new(agent.clone(), prompts.clone(), Meter::default(), RATE);
    let is_ready = |cascade: &mut Cascade, text| {
        cascade.speak(2, TWO, text, false);
        !cascade.audio().is_empty()
    };
    let mut first = call(&mine);
    first.speak(1, ONE, "cut", false);
    sleep(Duration::from_millis(50)).await;
    first.go(Command::Cancel { turn: ONE });
    first.speak(1, TWO, "whole", false);
    assert_eq!(first.settle().await, []);
    assert!(is_ready(&mut call(&mine), "whole"), "another call of the tenant has it at once");
    assert!(!is_ready(&mut call(&mine), "cut"), "a sentence that was cut short is not kept");
    let theirs = Arc::new(Agent { tenant: TenantId::new(), ..(*mine).clone() });
    assert!(!is_ready(&mut call(&theirs), "whole"), "another tenant does not");
}

#[tokio::test(start_paused = true)]
async fn kept_sentences_do_not_hold_up_those_behind_them() {
    let (agent, prompts) = (Arc::new(agent([], [])), Arc::<PromptCache>::default());
    let call = || Cascade::new(agent.clone(), prompts.clone(), Meter::default(), RATE);
    let mut first = call();
    for (speech, text) in [(1, "one"), (2, "two"), (3, "three")] {
        first.speak(speech, ONE, text, false);
    }
    assert_eq!(first.settle().await, []);
    let mut second = call();
    let texts = [(1, "new"), (2, "newer"), (3, "one"), (4, "two"), (5, "three"), (6, "newest")];
    for (speech, text) in texts {
        second.speak(speech, ONE, text, false);
    }
    assert_eq!(second.settle().await, []);
    let mut spoken: Vec<u32> = second.audio().into_iter().map(|(speech, _)| speech).collect();
    spoken.dedup();
    assert_eq!(spoken, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn held_speech_is_synthesised_and_waits_for_its_release() {
    let mut cascade = cascade(agent([], []));
    cascade.speak(1, ONE, "four", true);
    cascade.speak(2, ONE, "seven77", true);
    assert_eq!(cascade.settle().await, []);
    assert_eq!(cascade.audio(), []);
    assert_eq!(cascade.length(SpeechId(1)), Some(Duration::from_micros(500)));
    cascade.go(Command::Release { turn: TWO });
    assert_eq!(cascade.audio(), [], "another turn's release");
    cascade.go(Command::Release { turn: ONE });
    assert_eq!(cascade.audio(), [(1, 4), (2, 7)]);
    assert_eq!((cascade.turn_of(SpeechId(1)), cascade.length(SpeechId(1)).is_some()), (Some(ONE), true));
    cascade.played(SpeechId(1));
    assert_eq!(cascade.turn_of(SpeechId(1)), None);
    assert_eq!(cascade.command(Command::Cancel { turn: ONE }), PlaybackEffect::Flush, "2 is being played");
    assert_eq!(cascade.command(Command::Cancel { turn: ONE }), PlaybackEffect::Unchanged);
}

#[tokio::test(start_paused = true)]
async fn speech_does_not_wait_for_another_turns_that_is_cancelled() {
    let mut cascade = cascade(agent([], []));
    for (speech, turn, text) in [(1, ONE, "one"), (2, ONE, "two"), (3, TWO, "three")] {
        cascade.speak(speech, turn, text, false);
    }
    cascade.go(Command::Cancel { turn: ONE });
    assert_eq!(cascade.settle().await, []);
    assert_eq!(cascade.audio(), [(3, 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_synthesis_does_not_block_the_next_speech() {
    let mut cascade = cascade(agent([], []));
    cascade.speak(1, ONE, "fail", false);
    cascade.speak(2, ONE, "good", false);
    let fault = EngineFault { kind: EngineKind::Tts, engine: "samples".into(), error: failure() };
    let failed = PipelineEvent::SynthesisFailed { speech: SpeechId(1) };
    assert_eq!(cascade.settle().await, [PipelineEvent::EngineFailed(fault), failed]);
    let end = cascade.next_audio().expect("the end of the first speech");
    assert_eq!((end.speech, end.samples.len(), end.last), (SpeechId(1), 0, true));
    assert_eq!(cascade.audio(), [(2, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_speech_that_failed_is_replaced_in_its_place() {
    let mut cascade = cascade(agent([], []));
    cascade.speak(1, ONE, "fail", false);
    cascade.speak(2, ONE, "good", false);
    assert_eq!(cascade.settle().await.last(), Some(&PipelineEvent::SynthesisFailed { speech: SpeechId(1) }));
    cascade.replace(1, 3, "again");
    assert_eq!(cascade.settle().await, []);
    assert_eq!(cascade.audio(), [(3, 5), (2, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_speech_that_stalls_fails_within_two_seconds_and_is_repeated_after_its_beginning() {
    for begins in [true, false] {
        let mut cascade = cascade(agent([], []));
        cascade.speak(1, ONE, "stall", false);
        cascade.speak(2, ONE, "good", false);
        let failed = PipelineEvent::SynthesisFailed { speech: SpeechId(1) };
        let asked = tokio::time::Instant::now();
        while begins && cascade.audio() != [(1, 5)] {
            cascade.next().await;
        }
        while cascade.next().await != failed {}
        assert!(asked.elapsed() < Duration::from_millis(2_200), "{:?}", asked.elapsed());
        cascade.replace(1, 3, "again");
        assert_eq!(cascade.settle().await, []);
        assert_eq!(cascade.audio(), [(3, 5), (2, 4)], "audio that is not played is dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_drops_all_speech() {
    let mut cascade = cascade(agent([], []));
    cascade.speak(1, ONE, "first", false);
    cascade.speak(2, TWO, "second", true);
    cascade.settle().await;
    cascade.flush();
    assert_eq!((cascade.audio(), cascade.turn_of(SpeechId(2))), (vec![], None));
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

/// Reports a partial text when an utterance begins, and again when it ends; of the third one a whole turn when it begins.
struct Partials(Arc<str>);

struct PartialSession(VecDeque<SttEvent>);

impl Stt for Partials {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    fn open(&self, _: SessionConfig) -> Box<dyn SttSession> {
        Box::new(PartialSession(VecDeque::new()))
    }
}

impl SttSession for PartialSession {
    fn audio(&mut self, _: &[i16]) {}

    fn begin(&mut self, utterance: Utterance, _: u64) {
        let text = "We".to_owned();
        if utterance != Utterance(3) {
            return self.0.push_back(SttEvent::Partial { utterance, text });
        }
        self.0.extend([
            SttEvent::TurnStarted { utterance, text: text.clone() },
            SttEvent::TurnMayEnd { utterance, text: text.clone() },
            SttEvent::TurnResumed { utterance, text: text.clone() },
            SttEvent::TurnEnded { utterance, text },
        ]);
    }

    fn end(&mut self, utterance: Utterance, _: u64) {
        self.0.push_back(SttEvent::Partial { utterance, text: "late".into() });
        self.0.push_back(SttEvent::Final { utterance, text: "We open.".into() });
    }

    fn cancel(&mut self, _: Utterance) {}

    fn forget(&mut self, _: u64) {}

    fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<SttEvent> {
        self.0.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

#[tokio::test(start_paused = true)]
async fn partial_words_are_those_of_the_open_utterance() {
    let mut agent = agent([], []);
    agent.engines.stt = Arc::new(Partials("partials".into()));
    let mut cascade = cascade(agent);
    let at = At(Duration::from_secs(1));
    for (turn, id) in [(ONE, UtteranceId(1)), (TWO, UtteranceId(2))] {
        let _ = cascade.command(Command::Recognise { utterance: id, turn, from: at });
        if turn == TWO {
            let _ = cascade.command(Command::Cancel { turn });
            assert!(timeout(Duration::from_secs(1), cascade.next()).await.is_err(), "it was cancelled");
            continue;
        }
        let recognition = |event| PipelineEvent::Recognition { utterance: id, event };
        assert_eq!(cascade.next().await, recognition(Recognition::Partial { text: "We".into() }));
        let _ = cascade.command(Command::EndUtterance { utterance: id, at });
        assert_eq!(cascade.next().await, recognition(Recognition::Final { text: "We open.".into() }));
    }
}

#[tokio::test(start_paused = true)]
async fn judgements_of_a_turn_are_those_of_the_open_utterance_and_its_end_of_an_ended_one_too() {
    for is_ended in [false, true] {
        let mut agent = agent([], []);
        agent.engines.stt = Arc::new(Partials("partials".into()));
        let mut cascade = cascade(agent);
        let (utterance, at) = (UtteranceId(3), At(Duration::from_secs(1)));
        let _ = cascade.command(Command::Recognise { utterance, turn: ONE, from: at });
        if is_ended {
            let _ = cascade.command(Command::EndUtterance { utterance, at });
        }
        let judgements = [
            Recognition::TurnStarted { text: "We".into() },
            Recognition::TurnMayEnd { text: "We".into() },
            Recognition::TurnResumed { text: "We".into() },
            Recognition::TurnEnded { text: "We".into() },
        ];
        for event in judgements.into_iter().skip(if is_ended { 3 } else { 0 }) {
            assert_eq!(cascade.next().await, PipelineEvent::Recognition { utterance, event });
        }
        let _ = cascade.command(Command::EndUtterance { utterance, at });
        assert!(timeout(Duration::from_secs(1), cascade.next()).await.is_err(), "nothing follows the end");
    }
}

#[tokio::test(start_paused = true)]
async fn an_announcement_is_synthesised_at_once_and_played_when_it_is_released() {
    let mut cascade = cascade(agent([], []));
    cascade.speak(0, ONE, "held", true);
    let mut announcer = cascade.announcer("Acme", Some("Ms Ito, a late order."));
    assert_eq!(announcer.next().await, PipelineEvent::Audio);
    assert_eq!(announcer.next_audio(), None, "it is held");
    announcer.release();
    let expected = "A call for Acme. Ms Ito, a late order. Will you take the call? Say yes or no, or press 1 for yes, or 2 for no.";
    let mut played = 0;
    while let Some(piece) = announcer.next_audio() {
        played += piece.samples.len();
        if piece.last {
            break;
        }
        announcer.next().await;
    }
    assert_eq!(played, expected.len(), "one sample for each byte");
    assert_eq!(cascade.next_audio(), None, "the conversation's speech waits on");
}

#[tokio::test(start_paused = true)]
async fn an_announcement_that_cannot_be_synthesised_ends_without_audio() {
    let mut agent = agent([], []);
    agent.engines.tts = Arc::new(Mute("mute".into()));
    let mut announcer = cascade(agent).announcer("Acme", None);
    announcer.release();
    assert!(matches!(announcer.next().await, PipelineEvent::EngineFailed(_)));
    let end = announcer.next_audio().expect("its end");
    assert!(end.last && end.samples.is_empty());
    assert!(timeout(Duration::from_secs(60), announcer.next()).await.is_err(), "nothing follows");
}

/// Speaks a quarter of a second at the rate that it is asked for, each sample different from the next.
struct AnyRate(Arc<str>);

impl Tts for AnyRate {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    fn speak(&self, _: Arc<str>, voice: Voice, _: Meter) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        let rate = voice.rate.expect("the call's rate").get();
        let clip = Clip::new(rate, AnyRate::samples(rate));
        async { Ok(stream::iter([Ok(clip)]).boxed()) }.boxed()
    }
}

impl AnyRate {
    fn samples(rate: u32) -> Vec<i16> {
        (0..rate / 4).map(|n| if n % 2 == 0 { 7_000 } else { -5_000 }).collect()
    }
}

/// A resampler would smooth the samples.
#[tokio::test(start_paused = true)]
async fn a_speech_is_requested_at_the_calls_rate_and_played_unchanged() {
    for rate in [8_000, 16_000] {
        let mut agent = agent([], []);
        agent.engines.tts = Arc::new(AnyRate("any".into()));
        let mut cascade = Cascade::new(Arc::new(agent), Arc::default(), Meter::default(), rate);
        cascade.speak(1, ONE, "Hello.", false);
        cascade.settle().await;
        let pieces = std::iter::from_fn(|| cascade.next_audio());
        let played: Vec<i16> = pieces.flat_map(|piece| piece.samples.to_vec()).collect();
        assert_eq!(played, AnyRate::samples(rate));
    }
}

/// Synthesises nothing.
struct Mute(Arc<str>);

impl Tts for Mute {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    fn speak(&self, _: Arc<str>, _: Voice, _: Meter) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        async { Err(failure()) }.boxed()
    }
}

/// Hears no end.
struct Unfinished;

impl TurnModel for Unfinished {
    fn probability(&self, audio: &Clip) -> Result<f32, ModelError> {
        // 500 ms of speech, and 150 ms of the pause.
        if audio.samples.len() == 5_200 { Ok(0.1) } else { Err(ModelError::Run(format!("{audio:?}"))) }
    }
}

#[tokio::test]
async fn an_utterance_that_sounds_unfinished_is_reported() {
    let model = EndOfTurn::new(Arc::new(Unfinished), &end_of_turn::Settings::default());
    let mut cascade = cascade(Agent { end_of_turn: Some(model), ..agent([], []) });
    cascade.caller_audio(&[0; RATE as usize]);
    let at = |ms| At(Duration::from_millis(ms));
    cascade.mark(at(0), 0);
    cascade.go(Command::JudgeEnd { turn: ONE, from: at(200), to: at(700) });
    assert_eq!(cascade.next().await, PipelineEvent::SoundsUnfinished { to: at(700) });
}
