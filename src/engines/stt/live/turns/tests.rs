use proptest::prelude::*;

use super::*;

const ONE: Utterance = Utterance(1);
const TWO: Utterance = Utterance(2);
const SECOND: u64 = 8_000;

/// A timeline at 8 kHz with a connection, and the frames that it sent.
struct Trial {
    timeline: TurnTimeline,
    now: Instant,
    frames: Vec<Sent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Samples in a row.
    Audio(usize),
    Silence(usize),
    Close,
}

impl Trial {
    fn new() -> Trial {
        let mut timeline = TurnTimeline::new(8_000, Duration::from_secs(2));
        timeline.connected();
        Trial { timeline, now: Instant::now(), frames: Vec::new() }
    }

    fn audio(&mut self, samples: u64) {
        self.timeline.audio(&vec![7; samples as usize]);
        self.send();
    }

    fn begin(&mut self, utterance: Utterance, from: u64) {
        self.timeline.begin(utterance, from);
        self.send();
    }

    fn end(&mut self, utterance: Utterance, at: u64) {
        self.timeline.end(utterance, at, self.now);
        self.send();
    }

    fn send(&mut self) {
        while let Some(frame) = self.timeline.next_frame() {
            let sent = match frame {
                Frame::Audio(samples) if samples.contains(&7) => Sent::Audio(samples.len()),
                Frame::Audio(samples) => Sent::Silence(samples.len()),
                Frame::Commit => Sent::Close,
            };
            match (sent, self.frames.last_mut()) {
                (Sent::Audio(more), Some(Sent::Audio(before)))
                | (Sent::Silence(more), Some(Sent::Silence(before))) => *before += more,
                _ => self.frames.push(sent),
            }
        }
    }

    /// The engine reports a turn, having heard the audio up to `until_ms`.
    fn turn(&mut self, index: u32, state: TurnState, text: &str, until_ms: u64) {
        let info = TurnInfo { index, state, text: text.into(), until_ms };
        self.timeline.heard(TranscriptEvent::Turn(info));
        self.send();
    }

    fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.frames)
    }

    fn events(&mut self) -> Vec<SttEvent> {
        std::iter::from_fn(|| self.timeline.next_event()).collect()
    }
}

fn started(utterance: Utterance, text: &str) -> SttEvent {
    SttEvent::TurnStarted { utterance, text: text.into() }
}

fn partial(utterance: Utterance, text: &str) -> SttEvent {
    SttEvent::Partial { utterance, text: text.into() }
}

fn ended(utterance: Utterance, text: &str) -> SttEvent {
    SttEvent::TurnEnded { utterance, text: text.into() }
}

fn words(utterance: Utterance, text: &str) -> SttEvent {
    SttEvent::Final { utterance, text: text.into() }
}

#[test]
fn the_open_utterance_is_sent_in_frames_until_the_engine_ends_its_turn() {
    let mut trial = Trial::new();
    trial.audio(2 * SECOND);
    trial.begin(ONE, 2 * SECOND);
    trial.audio(SECOND + 100);
    // 240 ms before it; frames of 640 samples, of which the last one is not full.
    assert_eq!(trial.sent(), [Sent::Audio(15 * 640)]);
    trial.turn(0, TurnState::Open, "", 200);
    trial.turn(0, TurnState::Open, "We", 450);
    trial.turn(0, TurnState::Open, "We're", 700);
    trial.turn(0, TurnState::Open, "We are", 900);
    assert_eq!(trial.events(), [started(ONE, "We"), partial(ONE, "We are")], "the newest one is enough");
    trial.turn(0, TurnState::MayEnd, "We are closed.", 1_000);
    trial.turn(0, TurnState::Resumed, "We are closed", 1_100);
    trial.turn(0, TurnState::Ended, "We are closed now.", 1_200);
    let may_end = SttEvent::TurnMayEnd { utterance: ONE, text: "We are closed.".into() };
    let resumed = SttEvent::TurnResumed { utterance: ONE, text: "We are closed".into() };
    assert_eq!(trial.events(), [may_end, resumed, ended(ONE, "We are closed now.")]);
    trial.audio(SECOND);
    trial.end(ONE, 3 * SECOND);
    assert_eq!((trial.sent(), trial.events()), (vec![], vec![]), "everything is known");
    assert_eq!(trial.timeline.sent_ms(), 1_200);
}

#[test]
fn an_utterance_that_ends_first_is_followed_by_silence_and_has_the_words_so_far() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(2 * SECOND);
    trial.end(ONE, 2 * SECOND);
    assert_eq!(trial.sent(), [Sent::Audio(16_000), Sent::Silence(3_840)]);
    trial.turn(0, TurnState::Open, "Yes", 2_000);
    trial.turn(0, TurnState::Open, "Yes", 2_159);
    assert_eq!((trial.sent(), trial.events()), (vec![], vec![]), "more words may follow");
    trial.turn(0, TurnState::Open, "Yes.", 2_160);
    assert_eq!((trial.sent(), trial.events()), (vec![Sent::Close], vec![words(ONE, "Yes.")]));
    trial.begin(TWO, 3 * SECOND);
    trial.audio(2 * SECOND);
    trial.turn(0, TurnState::Open, "Yes.", 2_300);
    trial.turn(0, TurnState::Ended, "Yes.", 2_480);
    trial.turn(1, TurnState::Open, "No", 3_000);
    assert_eq!(trial.events(), [started(TWO, "No")], "the words before are those of the first");
}

#[test]
fn an_ended_utterance_is_over_with_the_engines_turn() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.end(ONE, SECOND);
    trial.turn(0, TurnState::Ended, "Well.", 500);
    assert_eq!(trial.events(), [], "it goes on after this turn");
    trial.turn(1, TurnState::Ended, "Yes.", 1_100);
    assert_eq!(trial.events(), [ended(ONE, "Well. Yes.")]);
    assert_eq!(trial.timeline.deadline(), None);
}

#[test]
fn sound_without_words_has_none() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(1_000);
    trial.end(ONE, 1_000);
    trial.turn(0, TurnState::Open, "", 500);
    assert_eq!(trial.events(), [words(ONE, "")]);
    assert_eq!(trial.sent(), [Sent::Audio(1_000), Sent::Silence(3_840)], "there is no turn to close");
}

#[test]
fn an_utterance_that_begins_where_an_earlier_one_did_repeats_its_words_without_its_audio() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.end(ONE, SECOND);
    trial.turn(0, TurnState::Open, "My number is", 1_300);
    assert_eq!(trial.events(), [words(ONE, "My number is")]);
    trial.turn(0, TurnState::Ended, "My number is", 1_480);
    trial.sent();
    trial.begin(TWO, 0);
    trial.audio(SECOND);
    assert_eq!(trial.sent(), [Sent::Audio(12 * 640)]);
    trial.turn(1, TurnState::Open, "five", 2_000);
    trial.turn(1, TurnState::Ended, "five.", 2_400);
    assert_eq!(trial.events(), [started(TWO, "My number is five"), ended(TWO, "My number is five.")]);
}

#[test]
fn a_turn_that_goes_on_in_the_next_utterance_is_not_closed() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.turn(0, TurnState::Open, "My number", 800);
    trial.timeline.cancel(ONE);
    trial.begin(TWO, 0);
    trial.audio(SECOND);
    trial.turn(0, TurnState::Open, "My number is five", 1_800);
    assert_eq!(trial.events(), [started(TWO, "My number is five")]);
    assert_eq!(trial.sent(), [Sent::Audio(25 * 640)]);
}

#[test]
fn the_words_of_a_cancelled_utterance_are_not_those_of_the_next() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.turn(0, TurnState::Open, "cancelled", 800);
    trial.timeline.cancel(ONE);
    trial.begin(TWO, 2 * SECOND);
    trial.audio(2 * SECOND);
    assert_eq!(trial.sent(), [Sent::Audio(12 * 640), Sent::Silence(3_840)], "the first one is heard first");
    trial.turn(0, TurnState::Open, "cancelled", 1_400);
    assert_eq!(trial.sent(), [Sent::Close, Sent::Audio(15 * 640)]);
    trial.turn(0, TurnState::Ended, "cancelled", 1_440);
    trial.turn(1, TurnState::Ended, "Two.", 2_400);
    assert_eq!(trial.events(), [ended(TWO, "Two.")]);
}

#[test]
fn a_turn_that_begins_after_the_utterance_is_closed() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.turn(0, TurnState::Ended, "Yes.", 700);
    trial.turn(1, TurnState::Open, "noise", 900);
    assert_eq!(trial.sent(), [Sent::Audio(12 * 640), Sent::Close]);
    assert_eq!(trial.events(), [ended(ONE, "Yes.")]);
}

#[test]
fn speech_that_begins_as_the_turn_ends_keeps_its_first_word() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(2 * SECOND);
    trial.turn(0, TurnState::Ended, "Yes.", 1_500);
    trial.begin(TWO, SECOND * 17 / 10);
    trial.audio(SECOND);
    trial.turn(1, TurnState::Open, "But", 2_400);
    assert_eq!(trial.events(), [ended(ONE, "Yes."), started(TWO, "But")]);
    assert!(!trial.sent().contains(&Sent::Close));
}

#[test]
fn the_next_connection_gets_the_audio_since_the_last_closed_turn() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.turn(0, TurnState::Ended, "One.", 800);
    trial.begin(TWO, 2 * SECOND);
    trial.audio(2 * SECOND);
    trial.turn(1, TurnState::Open, "lost", 1_500);
    trial.end(TWO, 3 * SECOND);
    trial.timeline.lost();
    trial.sent();
    trial.audio(SECOND);
    assert_eq!(trial.sent(), []);
    trial.timeline.connected();
    trial.send();
    assert_eq!(trial.sent(), [Sent::Audio(1_920 + 8_000), Sent::Silence(3_840)]);
    trial.turn(0, TurnState::Open, "Two.", 1_600);
    assert_eq!(trial.events().last(), Some(&words(TWO, "Two.")));
}

/// An utterance of two seconds, of which the engine has heard 1.9 when the connection is lost.
fn interrupted() -> Trial {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(2 * SECOND);
    trial.turn(0, TurnState::Open, "We are closed", 1_900);
    assert_eq!(trial.events(), [started(ONE, "We are closed")]);
    trial.timeline.lost();
    trial.sent();
    trial
}

#[test]
fn the_words_of_a_turn_stand_while_its_audio_is_sent_again() {
    let mut trial = interrupted();
    trial.timeline.connected();
    trial.send();
    assert_eq!(trial.sent(), [Sent::Audio(25 * 640)]);
    trial.turn(0, TurnState::Open, "We", 500);
    assert_eq!(trial.events(), []);
    trial.turn(0, TurnState::Open, "We are closed now", 1_950);
    assert_eq!(trial.events(), [partial(ONE, "We are closed now")]);
    trial.turn(0, TurnState::Ended, "We are closed now.", 1_980);
    assert_eq!(trial.events(), [ended(ONE, "We are closed now.")]);
}

#[test]
fn the_words_of_a_turn_are_used_if_there_is_no_other_connection() {
    let mut trial = interrupted();
    trial.end(ONE, SECOND * 18 / 10);
    trial.timeline.give_up(&EngineError::Temporary("down".into()));
    assert_eq!(trial.events(), [words(ONE, "We are closed")]);
    let mut trial = interrupted();
    trial.end(ONE, 2 * SECOND);
    let error = EngineError::Temporary("down".into());
    trial.timeline.give_up(&error);
    assert_eq!(trial.events(), [SttEvent::Failed { utterance: ONE, error }], "its end was not heard");
}

#[test]
fn the_words_of_a_turn_are_bounded() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.turn(0, TurnState::Ended, &"word ".repeat(100_000), 900);
    let events = trial.events();
    let [SttEvent::TurnEnded { text, .. }] = &events[..] else { panic!("the turn has not ended") };
    assert!(text.len() <= 64 * 1024, "{} bytes", text.len());
}

#[test]
fn words_that_are_late_fail_their_utterance() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    assert_eq!(trial.timeline.deadline(), None, "the caller speaks");
    trial.end(ONE, SECOND);
    let deadline = trial.now + Duration::from_secs(2);
    assert_eq!(trial.timeline.deadline(), Some(deadline));
    assert!(!trial.timeline.expire(deadline - Duration::from_millis(1)));
    assert!(trial.timeline.expire(deadline));
    let error = EngineError::Timeout(Duration::from_secs(2));
    assert_eq!(trial.events(), [SttEvent::Failed { utterance: ONE, error }]);
}

#[test]
fn without_a_connection_ended_utterances_fail_and_the_open_one_does_not() {
    let mut trial = Trial::new();
    trial.timeline.lost();
    trial.begin(ONE, 0);
    trial.audio(2 * SECOND);
    trial.end(ONE, SECOND);
    trial.begin(TWO, SECOND);
    let error = EngineError::Temporary("down".into());
    trial.timeline.give_up(&error);
    assert_eq!(trial.events(), [SttEvent::Failed { utterance: ONE, error }]);
    trial.timeline.connected();
    trial.send();
    trial.turn(0, TurnState::Ended, "Two.", 1_200);
    assert_eq!(trial.events(), [ended(TWO, "Two.")]);
}

/// A step of any session.
#[derive(Debug, Clone, Copy)]
enum Step {
    Audio(u64),
    Begin(u64),
    End(u64),
    Cancel,
    Forget(u64),
    Connected,
    Lost,
    Turn(u32, TurnState, bool, u64),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let state = prop_oneof![
        4 => Just(TurnState::Open),
        1 => Just(TurnState::MayEnd),
        1 => Just(TurnState::Resumed),
        2 => Just(TurnState::Ended),
    ];
    prop_oneof![
        4 => (0_u64..20_000).prop_map(Step::Audio),
        3 => (0_u64..5_000).prop_map(Step::Begin),
        3 => (0_u64..5_000).prop_map(Step::End),
        1 => Just(Step::Cancel),
        1 => (0_u64..5_000).prop_map(Step::Forget),
        1 => Just(Step::Connected),
        1 => Just(Step::Lost),
        6 => (0_u32..4, state, any::<bool>(), 0_u64..20_000)
            .prop_map(|(index, state, has_words, ms)| Step::Turn(index, state, has_words, ms)),
        1 => Just(Step::Expire),
    ]
}

proptest! {
    /// Each utterance has one last event at most, none after it was cancelled, and an ended one is not without one for ever.
    #[test]
    fn every_utterance_ends_once(steps in prop::collection::vec(step(), 0..80)) {
        let mut trial = Trial::new();
        let (mut id, mut cancelled, mut ended, mut last) = (0, Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            let end = trial.timeline.audio.end();
            match step {
                Step::Audio(samples) => trial.audio(samples),
                Step::Begin(ago) => {
                    id += 1;
                    trial.begin(Utterance(id), end.saturating_sub(ago));
                }
                Step::End(ago) => {
                    ended.push(Utterance(id));
                    trial.end(Utterance(id), end.saturating_sub(ago));
                }
                Step::Cancel => {
                    cancelled.push(Utterance(id));
                    trial.timeline.cancel(Utterance(id));
                }
                Step::Forget(ago) => trial.timeline.forget(end.saturating_sub(ago)),
                Step::Connected => trial.timeline.connected(),
                Step::Lost => trial.timeline.lost(),
                Step::Turn(index, state, has_words, ms) => {
                    trial.turn(index, state, if has_words { "word" } else { "" }, ms);
                }
                Step::Expire => {
                    trial.now += Duration::from_secs(2);
                    trial.timeline.expire(trial.now);
                }
            }
            for event in trial.events() {
                prop_assert!(!cancelled.contains(&event.utterance()), "{event:?} after it was cancelled");
                prop_assert!(!last.contains(&event.utterance()), "{event:?} after the last event");
                last.extend(event.is_last().then_some(event.utterance()));
            }
        }
        prop_assert!(trial.timeline.utterances.len() <= MOST);
        trial.timeline.expire(trial.now + Duration::from_secs(2));
        for event in trial.events() {
            prop_assert!(!last.contains(&event.utterance()));
            last.push(event.utterance());
        }
        let pending = trial.timeline.utterances.iter().filter(|it| it.utterance.is_some() && !it.is_open());
        prop_assert_eq!(pending.count(), 0);
    }
}
