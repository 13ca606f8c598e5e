//! Recognition of the caller's words, and of those of a transfer's party.

use std::task::{Context, Poll};

use super::*;
use crate::conversation::EndJudge;
use crate::engines::end_of_turn::{self, EndOfTurn, ModelError, TurnModel};
use crate::engines::stt::{SessionConfig, SttEvent, SttSession, Utterance};

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
    let unfinished = PipelineEvent::SoundsUnfinished { to: at(700), by: EndJudge::Model };
    assert_eq!(cascade.next().await, unfinished);
}

/// A tone that rises and falls, and ends in the middle. The model fails, as of no utterance of this length.
#[tokio::test]
async fn an_utterance_with_a_level_pitch_is_reported() {
    let failing = EndOfTurn::new(Arc::new(Unfinished), &end_of_turn::Settings::default());
    for model in [None, Some(failing)] {
        let mut cascade = cascade(Agent { end_of_turn: model, ..agent([], []) });
        let mut phase = 0.0_f64;
        let tone = (0..2 * RATE).map(|n| {
            let swing = (f64::from(n) / f64::from(RATE) * std::f64::consts::TAU).sin();
            phase += 200.0 * 2.0_f64.powf(swing / 3.0) / f64::from(RATE) * std::f64::consts::TAU;
            (phase.sin() * 8_000.0) as i16
        });
        let tone: Vec<i16> = tone.collect();
        cascade.caller_audio(&tone);
        let at = |ms| At(Duration::from_millis(ms));
        cascade.mark(at(0), 0);
        cascade.go(Command::JudgeEnd { turn: ONE, from: at(0), to: at(1_500) });
        let level = PipelineEvent::SoundsUnfinished { to: at(1_500), by: EndJudge::Pitch };
        assert_eq!(cascade.next().await, level);
    }
}
