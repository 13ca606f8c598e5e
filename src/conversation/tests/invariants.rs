//! Whatever is told, in whatever order and at whatever time, some things always hold.

use std::time::Duration;

use proptest::prelude::*;

use crate::conversation::*;

/// An input, and how many milliseconds after the one before it; time may run slightly backwards.
#[derive(Debug, Clone)]
struct Event {
    wait: i64,
    kind: u8,
    /// How far back an id or a moment lies.
    back: u32,
    text: &'static str,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let wait = prop_oneof![6 => 0i64..400, 2 => -50i64..0, 2 => 400i64..3_000, 1 => 3_000i64..20_000];
    let kind = prop_oneof![12 => 0u8..10, 3 => 10u8..13, 1 => 13u8..21];
    let back = prop_oneof![8 => Just(0u32), 2 => 0u32..6];
    let text = prop::sample::select(vec![
        "",
        " ",
        "Yes, we are open. Do come!",
        "uh-huh",
        "and",
        "1 2 3",
        "word word word",
    ]);
    let event =
        (wait, kind, back, text).prop_map(|(wait, kind, back, text)| Event { wait, kind, back, text });
    prop::collection::vec(event, 0..120)
}

fn settings() -> impl Strategy<Value = Settings> {
    let switches = (any::<bool>(), any::<bool>());
    let counts = (0u32..3, 0u32..6, 0u32..4);
    let times = prop::sample::select(vec![0u64, 1, 200, 1_500, 60_000, u64::MAX]);
    (switches, counts, prop::collection::vec(times, 12), any::<bool>()).prop_map(
        |((early_reply, barge_in), (silence_prompts, max_turns, max_failures), times, odd)| {
            let usual = Settings {
                early_reply,
                barge_in,
                silence_prompts,
                max_turns,
                max_failures,
                ..Settings::default()
            };
            if !odd {
                return usual;
            }
            let at = |index: usize| Some(times[index]);
            usual.with(&Overrides {
                commit_ms: at(0),
                commit_finished_ms: at(1),
                commit_trailing_ms: at(2),
                barge_in_ms: at(3),
                barge_in_certain_ms: at(4),
                barge_in_words_ms: at(5),
                filler_ms: at(6),
                silence_ms: at(7),
                max_duration_ms: at(8),
                warn_before_ms: at(9),
                max_speech_ms: at(10),
                ..Overrides::default()
            })
        },
    )
}

/// What was put out so far, as far as the rules go.
#[derive(Default)]
struct Watch {
    turn: u32,
    speech: u32,
    speeches: u32,
    listen: u32,
    paused: bool,
    on_hold: bool,
    over: bool,
    asked: Vec<TurnId>,
    cancelled: Vec<TurnId>,
    finished: Vec<TurnId>,
}

impl Watch {
    fn drain(&mut self, turn: &mut Conversation) {
        let mut outputs = 0;
        while let Some(output) = turn.poll() {
            assert!(!self.over, "{output:?} after the end");
            self.see(output);
            outputs += 1;
        }
        assert!(!self.on_hold || self.paused || self.over, "the agent speaks into the hold");
        assert!(outputs <= 24, "{outputs} outputs at once");
        assert!(!self.over || turn.deadline().is_none(), "a deadline after the end");
    }

    fn see(&mut self, output: Output) {
        match output {
            Output::Speak { speech, turn, what, .. } => {
                let filler = what == Say::Phrase(Phrase::Filler);
                assert!(!filler || !self.paused, "a filler on top of the caller");
                let hurries = [Phrase::StillThere, Phrase::SilenceGoodbye].map(Say::Phrase).contains(&what);
                assert!(!hurries || !self.on_hold, "a caller who has put the call on hold may be silent");
                assert_eq!(speech.0, self.speeches, "utterances are numbered in order");
                assert!(
                    !self.cancelled.contains(&turn) && !self.finished.contains(&turn),
                    "{turn:?} is dead"
                );
                self.speeches += 1;
                (self.speech, self.turn) = (speech.0, self.turn.max(turn.0));
            }
            Output::Transcribe { listen, turn, from, to } => {
                assert!(from <= to, "speech ends after it begins");
                assert!(!self.cancelled.contains(&turn), "{turn:?} is dead");
                self.listen = listen.0;
            }
            Output::Respond { turn, history } => {
                assert_eq!(history.last().map(|line| line.speaker), Some(Speaker::Caller));
                assert!(!self.asked.contains(&turn), "{turn:?} was asked before");
                self.asked.push(turn);
                self.turn = turn.0;
            }
            Output::Pause => assert!(!std::mem::replace(&mut self.paused, true), "paused twice"),
            Output::Resume => {
                assert!(std::mem::replace(&mut self.paused, false), "resumed what was not paused")
            }
            Output::Flush => self.paused = false,
            Output::Cancel { turn } => self.cancelled.push(turn),
            Output::Release { turn } => assert!(!self.cancelled.contains(&turn), "{turn:?} is dead"),
            Output::TurnFinished(record) => {
                assert!(!self.finished.contains(&record.turn), "{record:?} finished twice");
                self.finished.push(record.turn);
            }
            Output::HangUp { .. } => self.over = true,
        }
    }

    fn input(&self, event: &Event, now: At) -> Input {
        let listen = ListenId(self.listen.saturating_sub(event.back));
        let turn = TurnId(self.turn.saturating_sub(event.back));
        let speech = SpeechId(self.speech.saturating_sub(event.back));
        let late = Duration::from_millis(150 + 200 * u64::from(event.back));
        let at = At((now.0 + Duration::from_millis(100)).saturating_sub(late));
        let text = event.text.to_owned();
        match event.kind {
            0 | 10 => Input::SpeechStarted { at },
            1 | 11 => Input::SpeechPaused { at },
            2 => Input::Transcript { listen, text },
            3 => Input::ResponseText { turn, text },
            4 => Input::ResponseEnded { turn },
            5 => Input::PlaybackStarted { speech },
            6 => Input::PlaybackEnded { speech },
            7 => Input::Tick,
            8 => Input::Connected,
            9 => Input::Transcript { listen, text: "What are your hours?".to_owned() },
            12 => Input::Played { speech, position: Duration::from_millis(300), total: None },
            13 => Input::TranscriptFailed { listen },
            14 => Input::ResponseFailed { turn },
            15 => Input::SynthesisFailed { speech },
            17 => Input::ResponseHangsUp { turn },
            18 => Input::Held,
            19 | 20 => Input::Resumed,
            _ if event.wait % 2 == 0 => Input::EndRequested,
            _ => Input::CallerLeft,
        }
    }
}

fn check(settings: Settings, events: &[Event]) -> Watch {
    let mut turn = Conversation::new(settings).with_texts([(Phrase::Greeting, "Hello there.".to_owned())]);
    let mut watch = Watch::default();
    let mut now = At(Duration::from_secs(3_600));
    for event in events {
        let wait = Duration::from_millis(event.wait.unsigned_abs());
        let target = if event.wait < 0 { At(now.0.saturating_sub(wait)) } else { now.saturating_add(wait) };
        for ticks in 0.. {
            let Some((deadline, _)) = turn.deadline().filter(|(deadline, _)| *deadline <= target) else {
                break;
            };
            assert!(ticks < 200, "busy ticking");
            turn.handle(deadline, Input::Tick);
            assert!(turn.deadline().is_none_or(|(next, _)| next > deadline), "a deadline that does not pass");
            watch.drain(&mut turn);
        }
        now = target;
        let input = watch.input(event, now);
        match input {
            Input::Held => watch.on_hold = true,
            Input::Resumed => watch.on_hold = false,
            _ => {}
        }
        turn.handle(now, input);
        assert!(turn.deadline().is_none_or(|(next, _)| next > now), "a deadline in the past");
        watch.drain(&mut turn);
    }
    watch
}

proptest! {
    #[test]
    fn no_conversation_breaks_the_rules(settings in settings(), events in events()) {
        let answer = Event { wait: 0, kind: 8, back: 0, text: "" };
        let from_the_answer: Vec<Event> = [answer].into_iter().chain(events.iter().cloned()).collect();
        check(settings.clone(), &from_the_answer);
        check(settings, &events);
    }
}

/// Random noise is worth something only if it gets anywhere.
#[test]
fn noise_reaches_conversations() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut asked, mut finished, mut cancelled) = (0, 0, 0);
    for _ in 0..100 {
        let mut script = vec![Event { wait: 0, kind: 8, back: 0, text: "" }];
        script.extend(events().new_tree(&mut runner).unwrap().current());
        let watch = check(Settings::default(), &script);
        asked += watch.asked.len();
        finished += watch.finished.len();
        cancelled += watch.cancelled.len();
    }
    assert!(
        asked > 20 && finished > 100 && cancelled > 20,
        "{asked} asked, {finished} finished, {cancelled} cancelled"
    );
}
