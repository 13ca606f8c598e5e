use proptest::prelude::*;

use super::*;

const ONE: Utterance = Utterance(1);
const TWO: Utterance = Utterance(2);
const THREE: Utterance = Utterance(3);
const SECOND: u64 = 8_000;

/// A timeline at 8 kHz with a connection, and the frames that it sent.
struct Trial {
    timeline: UtteranceTimeline,
    now: Instant,
    frames: Vec<Sent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Samples in a row.
    Audio(usize),
    Commit,
}

impl Trial {
    fn new() -> Trial {
        let mut timeline = UtteranceTimeline::new(8_000, Duration::from_secs(2));
        timeline.connected();
        Trial { timeline, now: Instant::now(), frames: Vec::new() }
    }

    fn audio(&mut self, samples: u64) {
        self.timeline.audio(&vec![7; samples as usize]);
        self.send();
    }

    fn begin(&mut self, utterance: Utterance, from: u64) {
        self.timeline.begin(utterance, from);
    }

    fn end(&mut self, utterance: Utterance, at: u64) {
        self.timeline.end(utterance, at, self.now);
        self.send();
    }

    fn send(&mut self) {
        while let Some(frame) = self.timeline.next_frame() {
            match (frame, self.frames.last_mut()) {
                (Frame::Audio(samples), Some(Sent::Audio(before))) => *before += samples.len(),
                (Frame::Audio(samples), _) => self.frames.push(Sent::Audio(samples.len())),
                (Frame::Commit, _) => self.frames.push(Sent::Commit),
            }
        }
    }

    fn done(&mut self, words: &str) {
        self.timeline.heard(TranscriptEvent::Final(words.into()));
        self.timeline.heard(TranscriptEvent::Committed);
        self.send();
    }

    fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.frames)
    }

    fn events(&mut self) -> Vec<SttEvent> {
        std::iter::from_fn(|| self.timeline.next_event()).collect()
    }
}

fn partial(utterance: Utterance, text: &str) -> SttEvent {
    SttEvent::Partial { utterance, text: text.into() }
}

fn words(utterance: Utterance, text: &str) -> SttEvent {
    SttEvent::Final { utterance, text: text.into() }
}

#[test]
fn only_utterances_are_sent_with_a_little_audio_before_and_after() {
    let mut trial = Trial::new();
    trial.audio(4 * SECOND);
    assert_eq!(trial.sent(), []);
    trial.begin(ONE, 2 * SECOND);
    trial.end(ONE, 3 * SECOND);
    // 240 ms before it and 100 ms after it.
    assert_eq!(trial.sent(), [Sent::Audio(1_920 + 8_000 + 800), Sent::Commit]);
    trial.done("hello");
    assert_eq!(trial.events(), [words(ONE, "hello")]);
    trial.audio(SECOND);
    assert_eq!(trial.sent(), []);
    assert_eq!(trial.timeline.sent_ms(), 1_340);
}

#[test]
fn partial_words_follow_final_ones_until_the_utterance_ends() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.timeline.heard(TranscriptEvent::Interim("we".into()));
    trial.timeline.heard(TranscriptEvent::Interim("We open".into()));
    assert_eq!(trial.events(), [partial(ONE, "We open")], "the newest one is enough");
    trial.timeline.heard(TranscriptEvent::Final("We open".into()));
    trial.timeline.heard(TranscriptEvent::Interim("at".into()));
    assert_eq!(trial.events(), [partial(ONE, "We open at")]);
    trial.end(ONE, SECOND);
    trial.timeline.heard(TranscriptEvent::Interim("at nine".into()));
    assert_eq!(trial.events(), []);
    trial.done("at nine.");
    assert_eq!(trial.events(), [words(ONE, "We open at nine.")]);
}

#[test]
fn an_utterance_that_begins_where_an_earlier_one_did_repeats_its_words_without_its_audio() {
    let mut trial = Trial::new();
    trial.begin(ONE, SECOND);
    trial.audio(3 * SECOND);
    trial.end(ONE, 2 * SECOND);
    trial.sent();
    trial.begin(TWO, SECOND);
    trial.audio(SECOND);
    assert_eq!(trial.sent(), [Sent::Audio(SECOND as usize)]);
    trial.done("My number is");
    trial.timeline.heard(TranscriptEvent::Interim("five".into()));
    assert_eq!(trial.events(), [words(ONE, "My number is"), partial(TWO, "My number is five")]);
    trial.end(TWO, 4 * SECOND);
    trial.done("five.");
    assert_eq!(trial.events(), [words(TWO, "My number is five.")]);
}

#[test]
fn words_of_an_earlier_utterance_are_not_those_of_the_next() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(2 * SECOND);
    trial.end(ONE, SECOND);
    trial.begin(TWO, SECOND + 2_000);
    trial.timeline.heard(TranscriptEvent::Interim("Yes".into()));
    assert_eq!(trial.events(), []);
    trial.done("Yes.");
    trial.audio(SECOND);
    trial.end(TWO, 3 * SECOND);
    trial.done("No.");
    assert_eq!(trial.events(), [words(ONE, "Yes."), words(TWO, "No.")]);
}

#[test]
fn a_short_utterance_is_filled_up_with_silence() {
    let mut trial = Trial::new();
    trial.audio(100);
    trial.begin(ONE, 0);
    trial.end(ONE, 100);
    assert_eq!(trial.sent(), [Sent::Audio(2_560), Sent::Commit]);
}

#[test]
fn an_utterance_without_new_audio_needs_no_commit() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.end(ONE, SECOND);
    trial.begin(TWO, 0);
    trial.end(TWO, SECOND);
    assert_eq!(trial.sent(), [Sent::Audio(8_000), Sent::Commit]);
    trial.done("Yes.");
    assert_eq!(trial.events(), [words(ONE, "Yes."), words(TWO, "Yes.")]);
    trial.begin(THREE, 0);
    trial.end(THREE, SECOND);
    assert_eq!((trial.sent(), trial.events()), (vec![], vec![words(THREE, "Yes.")]));
}

#[test]
fn the_next_connection_gets_the_audio_of_which_the_words_are_not_final() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.end(ONE, SECOND);
    trial.done("One.");
    trial.begin(TWO, 2 * SECOND);
    trial.audio(2 * SECOND + 800);
    trial.end(TWO, 3 * SECOND);
    trial.audio(SECOND - 800);
    trial.begin(THREE, 3 * SECOND + 4_000);
    trial.timeline.heard(TranscriptEvent::Final("lost".into()));
    trial.sent();
    trial.timeline.lost();
    trial.audio(SECOND);
    assert_eq!(trial.sent(), []);
    trial.timeline.connected();
    trial.send();
    let first = Sent::Audio(1_920 + 8_000 + 800);
    assert_eq!(trial.sent(), [first, Sent::Commit, Sent::Audio(1_920 + 12_000)]);
    trial.done("Two.");
    trial.end(THREE, 5 * SECOND);
    trial.done("Three.");
    assert_eq!(trial.events(), [words(ONE, "One."), words(TWO, "Two."), words(THREE, "Three.")]);
}

#[test]
fn a_commit_without_a_result_of_its_own_is_done_when_its_speech_is_covered() {
    let mut trial = Trial::new();
    let covered = |until_ms, by_commit| TranscriptEvent::Covered { until_ms, by_commit };
    trial.begin(ONE, 0);
    trial.audio(2 * SECOND);
    trial.timeline.heard(TranscriptEvent::Final("Yes.".into()));
    trial.timeline.heard(covered(900, false));
    trial.end(ONE, SECOND);
    assert_eq!(trial.events(), [], "the partial words are those of an utterance that is over");
    trial.timeline.heard(covered(1_050, false));
    assert_eq!(trial.events(), [words(ONE, "Yes.")]);
    trial.timeline.heard(covered(1_100, true));
    trial.begin(TWO, 2 * SECOND);
    trial.audio(2 * SECOND);
    trial.end(TWO, 3 * SECOND);
    trial.timeline.heard(covered(1_200, true));
    assert_eq!(trial.events(), [], "the late result of the first commit is not that of the second");
    trial.timeline.heard(TranscriptEvent::Final("No.".into()));
    trial.timeline.heard(covered(3_500, true));
    assert_eq!(trial.events(), [words(TWO, "No.")]);
    trial.begin(THREE, 4 * SECOND);
    trial.audio(SECOND);
    trial.timeline.heard(TranscriptEvent::Final("Thanks.".into()));
    trial.timeline.heard(covered(5_000, false));
    trial.end(THREE, 5 * SECOND);
    assert_eq!(trial.events(), [words(THREE, "Thanks.")], "everything was final before the commit");
}

#[test]
fn words_that_are_late_fail_their_utterance() {
    let mut trial = Trial::new();
    trial.audio(SECOND);
    trial.begin(ONE, 0);
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
    trial.audio(2 * SECOND);
    trial.begin(ONE, 0);
    trial.end(ONE, SECOND);
    trial.begin(TWO, SECOND);
    let error = EngineError::Temporary("down".into());
    trial.timeline.give_up(&error);
    assert_eq!(trial.events(), [SttEvent::Failed { utterance: ONE, error }]);
    trial.timeline.connected();
    trial.end(TWO, 2 * SECOND);
    trial.done("Two.");
    assert_eq!(trial.events(), [words(TWO, "Two.")]);
}

#[test]
fn the_words_of_a_cancelled_utterance_are_dropped() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    trial.timeline.cancel(ONE);
    trial.send();
    assert_eq!(trial.sent(), [Sent::Audio(8_000), Sent::Commit], "its part ends");
    trial.audio(2 * SECOND);
    trial.begin(TWO, 2 * SECOND);
    trial.end(TWO, 3 * SECOND);
    trial.done("cancelled");
    trial.done("Two.");
    assert_eq!(trial.events(), [words(TWO, "Two.")]);
    trial.begin(THREE, 4 * SECOND);
    trial.timeline.cancel(THREE);
    trial.end(THREE, 5 * SECOND);
    assert_eq!(trial.events(), []);
}

#[test]
fn utterances_are_bounded() {
    let mut trial = Trial::new();
    trial.timeline.lost();
    for n in 0..20 {
        trial.begin(Utterance(n), 0);
        trial.end(Utterance(n), 100);
    }
    assert_eq!(trial.events().len(), 20 - MOST);
}

#[test]
fn the_words_of_an_utterance_are_bounded() {
    let mut trial = Trial::new();
    trial.begin(ONE, 0);
    trial.audio(SECOND);
    for _ in 0..200 {
        trial.timeline.heard(TranscriptEvent::Final("word ".repeat(1_000)));
        trial.timeline.heard(TranscriptEvent::Interim("word ".repeat(100_000)));
    }
    trial.end(ONE, SECOND);
    trial.timeline.heard(TranscriptEvent::Committed);
    for event in trial.events() {
        let (SttEvent::Partial { text, .. } | SttEvent::Final { text, .. }) = event else {
            panic!("{event:?}");
        };
        assert!(text.len() <= 64 * 1024, "{} bytes", text.len());
    }
}

#[test]
fn audio_that_may_be_sent_again_is_not_forgotten() {
    let mut trial = Trial::new();
    trial.audio(3 * SECOND);
    trial.begin(ONE, SECOND);
    trial.end(ONE, 2 * SECOND);
    trial.timeline.forget(3 * SECOND);
    trial.sent();
    trial.timeline.lost();
    trial.timeline.connected();
    trial.send();
    assert_eq!(trial.sent(), [Sent::Audio(1_920 + 8_000 + 800), Sent::Commit]);
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
    Words,
    Committed,
    Covered(u64, bool),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..20_000).prop_map(Step::Audio),
        3 => (0_u64..5_000).prop_map(Step::Begin),
        3 => (0_u64..5_000).prop_map(Step::End),
        1 => Just(Step::Cancel),
        1 => (0_u64..5_000).prop_map(Step::Forget),
        1 => Just(Step::Connected),
        1 => Just(Step::Lost),
        2 => Just(Step::Words),
        2 => Just(Step::Committed),
        1 => (0_u64..60_000, any::<bool>()).prop_map(|(ms, by_commit)| Step::Covered(ms, by_commit)),
        1 => Just(Step::Expire),
    ]
}

proptest! {
    /// Each ended utterance has one last event at most, none after it was cancelled, and none stays without one for ever.
    #[test]
    fn every_utterance_ends_once(steps in prop::collection::vec(step(), 0..60)) {
        let mut trial = Trial::new();
        let (mut id, mut cancelled, mut ended) = (0, Vec::new(), Vec::new());
        let mut last = Vec::new();
        for step in steps {
            let end = trial.timeline.audio.end();
            match step {
                Step::Audio(samples) => trial.audio(samples),
                Step::Begin(ago) => {
                    id += 1;
                    trial.begin(Utterance(id), end.saturating_sub(ago));
                }
                Step::End(ago) => {
                    let is_open = trial.timeline.open_entry().is_some_and(|it| it.utterance == Some(Utterance(id)));
                    trial.end(Utterance(id), end.saturating_sub(ago));
                    if is_open {
                        ended.push(Utterance(id));
                    }
                }
                Step::Cancel => {
                    trial.timeline.cancel(Utterance(id));
                    cancelled.push(Utterance(id));
                }
                Step::Forget(ago) => trial.timeline.forget(end.saturating_sub(ago)),
                Step::Connected => trial.timeline.connected(),
                Step::Lost => trial.timeline.lost(),
                Step::Words => trial.timeline.heard(TranscriptEvent::Final("word".into())),
                Step::Committed => trial.timeline.heard(TranscriptEvent::Committed),
                Step::Covered(until_ms, by_commit) => trial.timeline.heard(TranscriptEvent::Covered { until_ms, by_commit }),
                Step::Expire => drop(trial.timeline.expire(trial.now)),
            }
            trial.send();
            for event in trial.events() {
                if let SttEvent::Final { utterance, .. } | SttEvent::Failed { utterance, .. } = event {
                    prop_assert!(!cancelled.contains(&utterance), "cancelled");
                    last.push(utterance);
                }
            }
        }
        trial.timeline.expire(trial.now + Duration::from_secs(60));
        last.extend(trial.events().iter().map(SttEvent::utterance));
        let reported = last.len();
        last.sort();
        last.dedup();
        prop_assert_eq!(reported, last.len(), "twice");
        for utterance in ended {
            prop_assert!(last.contains(&utterance) || cancelled.contains(&utterance), "{:?} has no last event", utterance);
        }
    }
}
