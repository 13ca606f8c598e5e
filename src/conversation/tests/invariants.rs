//! Rules that hold for any events, in any order and at any time.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::LEVEL;
use super::menus::menus;
use crate::conversation::*;
use crate::dtmf::{Digit, Tone};
use crate::language::Language;

/// An input, and how many milliseconds after the one before it; time may run slightly backwards.
#[derive(Debug, Clone)]
pub struct Event {
    pub wait: i64,
    kind: u8,
    /// How far back an id or a moment lies.
    back: u32,
    text: &'static str,
}

impl Event {
    /// Some of the speech is faint.
    fn level(&self) -> i8 {
        if self.wait % 3 == 0 { LEVEL - 20 } else { LEVEL }
    }
}

pub fn events() -> impl Strategy<Value = Vec<Event>> {
    let wait = prop_oneof![6 => 0i64..400, 2 => -50i64..0, 2 => 400i64..3_000, 1 => 3_000i64..20_000];
    let kind = prop_oneof![3 => Just(37u8), 12 => 0u8..10, 3 => 10u8..13, 2 => Just(16u8), 2 => 13u8..30, 1 => 31u8..37];
    let back = prop_oneof![8 => Just(0u32), 2 => 0u32..6];
    let text = prop::sample::select(vec![
        "",
        " ",
        "♪",
        "Yes, we are open. Do come!",
        "uh-huh",
        "This is an emergency!",
        "and",
        "1 2 3",
        "word word word",
    ]);
    let event =
        (wait, kind, back, text).prop_map(|(wait, kind, back, text)| Event { wait, kind, back, text });
    prop::collection::vec(event, 0..120)
}

fn settings() -> impl Strategy<Value = Settings> {
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0..3usize, 0..3usize);
    let counts = (0u32..3, 0u32..6, 0u32..4);
    let times = prop::sample::select(vec![0u64, 1, 200, 1_500, 60_000, u64::MAX]);
    (switches, counts, prop::collection::vec(times, 12), any::<bool>()).prop_map(
        |(
            (early_reply, barge_in, satisfaction, end_of_turn_model, mode, opening),
            (silence_prompts, max_turns, max_failures),
            times,
            odd,
        )| {
            let usual = Settings {
                early_reply,
                barge_in,
                satisfaction,
                greeting_mode: [GreetingMode::Text, GreetingMode::Model, GreetingMode::Wait][mode],
                end_of_turn_model,
                silence_prompts,
                max_turns,
                max_failures,
                menus: [Menus::default(), menus(MenuOpening::AtStart), menus(MenuOpening::ByKey)][opening]
                    .clone()
                    .into(),
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
                barge_in_words_max_ms: at(11),
                ..Overrides::default()
            })
        },
    )
}

/// What was put out so far, as far as the rules go.
#[derive(Default)]
pub struct Watch {
    turn: u32,
    speech: u32,
    speeches: u32,
    utterance: u32,
    /// Recognition that has begun and not ended: its utterance and turn.
    open: Option<(UtteranceId, TurnId)>,
    /// Turns with speech that is held: later speech waits behind it.
    held: HashSet<TurnId>,
    paused: bool,
    on_hold: bool,
    muted: bool,
    over: bool,
    asked: Vec<TurnId>,
    cancelled: Vec<TurnId>,
    finished: Vec<TurnId>,
    /// Tools that were started, with their turns.
    started: Vec<(ToolId, Option<TurnId>)>,
    /// Actions that were carried out, with their turns and the requests that they are for.
    actions: Vec<(TurnId, TurnId, std::sync::Arc<str>)>,
    /// Transfers that the operator has asked for. The random tools have none.
    transfers: Vec<ToolId>,
    /// The pause of the latest utterance whose end is judged.
    judged: Option<At>,
    /// Tools that are in a record.
    recorded: Vec<ToolId>,
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
        let retracted = self.started.iter().filter_map(|(_, turn)| *turn);
        for turn in retracted.filter(|turn| self.cancelled.contains(turn)) {
            assert!(self.finished.contains(&turn), "{turn:?} has acted and was retracted");
        }
        let recorded = |(id, _): &(ToolId, Option<TurnId>)| self.recorded.contains(id);
        assert!(!self.over || self.started.iter().all(recorded), "a tool without a record");
        let answered = |turn: &&TurnId| self.cancelled.contains(turn) || self.finished.contains(turn);
        let awaited: HashSet<_> = self.asked.iter().filter(|turn| !answered(turn)).collect();
        assert!(self.over || awaited.len() <= 1, "{awaited:?}: a response is awaited and not wanted");
        assert!(outputs <= 40, "{outputs} outputs at once");
        assert!(!self.over || turn.deadline().is_none(), "a deadline after the end");
    }

    pub fn see(&mut self, output: Output) {
        match output {
            Output::Pipeline(command) => self.see_command(command),
            Output::Pause => assert!(!std::mem::replace(&mut self.paused, true), "paused twice"),
            Output::Resume => {
                assert!(std::mem::replace(&mut self.paused, false), "resumed what was not paused")
            }
            Output::Flush => {
                self.paused = false;
                self.held.clear();
            }
            Output::RunTool { turn, request, tool, call } => {
                self.start(tool, Some(turn));
                self.act(turn, request, &call.effect);
            }
            Output::SendDtmf { tool, .. } | Output::ChangeAgent { tool, .. } => self.start(tool, None),
            Output::Transfer { tool, .. } => self.transfers.push(tool),
            Output::KeepEntry { keys, .. } => assert!(!keys.is_empty()),
            Output::AgentMuted(change) => self.muted = change == MuteChange::Muted,
            Output::NoticeHeard | Output::EmergencyNoticed | Output::Operator(_) => {}
            Output::Rated { rating } => assert!((1..=5).contains(&rating)),
            Output::TurnFinished(record) => {
                for used in &record.tools {
                    assert!(!self.recorded.contains(&used.tool), "{used:?} recorded twice");
                    self.recorded.push(used.tool);
                }
                assert!(!self.finished.contains(&record.turn), "{record:?} finished twice");
                self.finished.push(record.turn);
            }
            Output::HangUp { .. } => self.over = true,
        }
    }

    /// A tool starts once, and only for a response that is not retracted.
    fn start(&mut self, tool: ToolId, turn: Option<TurnId>) {
        assert!(self.started.iter().all(|(known, _)| *known != tool), "{tool:?} runs twice");
        if let Some(turn) = turn {
            assert!(!self.cancelled.contains(&turn) && !self.finished.contains(&turn), "{turn:?} is dead");
        }
        self.started.push((tool, turn));
    }

    /// An action is carried out once in a turn, and once for a request of the caller.
    fn act(&mut self, turn: TurnId, request: TurnId, effect: &ToolEffect) {
        assert!(request <= turn, "a request of a later turn");
        let ToolEffect::Acts { key } = effect else { return };
        for began in [turn, request] {
            let is_repeated = |(acted, of, other): &(TurnId, TurnId, std::sync::Arc<str>)| {
                (*acted == began || *of == began) && other == key
            };
            assert!(!self.actions.iter().any(is_repeated), "{key} is carried out twice for {began:?}");
        }
        self.actions.push((turn, request, key.clone()));
    }

    fn see_command(&mut self, command: Command) {
        match command {
            Command::Speak { speech, turn, what, held } => {
                let filler = what == Say::Phrase(Phrase::Filler);
                assert!(held || filler || self.held.is_empty(), "{speech:?} waits for ever");
                if held {
                    self.held.insert(turn);
                }
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
            Command::Replace { failed, speech, turn, held, .. } => {
                assert!(failed < speech, "{failed:?} is not known yet");
                assert_eq!(speech.0, self.speeches, "speeches are numbered in order");
                assert!(
                    !self.cancelled.contains(&turn) && !self.finished.contains(&turn),
                    "{turn:?} is dead"
                );
                if held {
                    self.held.insert(turn);
                }
                self.speeches += 1;
                (self.speech, self.turn) = (speech.0, self.turn.max(turn.0));
            }
            Command::Recognise { utterance, turn, .. } => {
                assert!(!self.muted, "a muted agent hears");
                assert_eq!(self.open, None, "one utterance is recognised at a time");
                assert!(!self.cancelled.contains(&turn), "{turn:?} is dead");
                self.open = Some((utterance, turn));
            }
            Command::EndUtterance { utterance, .. } => {
                let open = self.open.take().map(|(open, _)| open);
                assert_eq!(open, Some(utterance), "an utterance ends that was not begun");
                self.utterance = utterance.0;
            }
            Command::JudgeEnd { turn, from, to } => {
                assert!(from <= to && !self.cancelled.contains(&turn), "{turn:?} is dead");
                self.judged = Some(to);
            }
            Command::Cancel { turn } => {
                self.open.take_if(|(_, open)| *open == turn);
                self.held.remove(&turn);
                self.cancelled.push(turn);
            }
            Command::Release { turn } => {
                assert!(!self.cancelled.contains(&turn), "{turn:?} is dead");
                self.held.remove(&turn);
            }
            Command::Respond { turn, context, attempt } => {
                assert!(!self.muted, "a muted agent answers");
                let requests = self.asked.iter().filter(|asked| **asked == turn).count();
                let is_repeated = attempt == Attempt::AfterFailure;
                // One of them in place of a response that broke off.
                let said = context.iter().rfind(|item| !matches!(item, ContextItem::Note { .. }));
                match said {
                    Some(ContextItem::Caller { .. } | ContextItem::Dtmf(_) | ContextItem::ActOnNotes) => {
                        assert_eq!(requests, usize::from(is_repeated), "{turn:?} was asked before");
                    }
                    Some(ContextItem::ToolResult { call, .. }) => {
                        // A result that was not waited for, or a menu, may begin a turn.
                        let least = usize::from(!call.ends_with("-later") && !call.starts_with("menu-"));
                        assert!((least..6).contains(&requests), "{requests} requests");
                    }
                    Some(ContextItem::Agent { .. }) if is_repeated => assert!((1..6).contains(&requests)),
                    None => assert_eq!((turn.0, requests), (0, 0), "a greeting"),
                    other => panic!("asked about {other:?}"),
                }
                assert!(
                    !self.cancelled.contains(&turn) && !self.finished.contains(&turn),
                    "{turn:?} is dead"
                );
                self.asked.push(turn);
                self.turn = turn.0;
            }
        }
    }

    /// An input is about to be handled: the end of a turn by the engine ends its utterance.
    pub fn note(&mut self, input: &Input) {
        if let Some(utterance) = ended_turn(input) {
            self.open.take_if(|(open, _)| *open == utterance);
        }
    }

    /// The engine judges the turn of the open utterance.
    fn judgement(&self, event: &Event, latest: UtteranceId) -> Input {
        let text = event.text.to_owned();
        let utterance = self.open.map_or(latest, |(open, _)| open);
        let event = match event.wait.rem_euclid(4) {
            0 => Recognition::TurnStarted { text },
            1 => Recognition::TurnMayEnd { text },
            2 => Recognition::TurnResumed { text },
            _ => Recognition::TurnEnded { text },
        };
        Input::Recognition { utterance, event }
    }

    pub fn input(&self, event: &Event, now: At) -> Input {
        let utterance = UtteranceId(self.utterance.saturating_sub(event.back));
        let turn = TurnId(self.turn.saturating_sub(event.back));
        let speech = SpeechId(self.speech.saturating_sub(event.back));
        let late = Duration::from_millis(150 + 200 * u64::from(event.back));
        let at = At((now.0 + Duration::from_millis(100)).saturating_sub(late));
        let text = event.text.to_owned();
        let recognised = |event| Input::Recognition { utterance, event };
        let response = |event| Input::Response { turn, event };
        let playback = |event| Input::Playback { speech, event };
        match event.kind {
            0 | 10 => Input::CallerSpeech(CallerSpeech::Started { at, level: event.level() }),
            1 | 11 => Input::CallerSpeech(CallerSpeech::Paused { at, level: event.level() }),
            2 => recognised(Recognition::Final { text }),
            3 => response(ResponseEvent::Text(text)),
            4 => response(ResponseEvent::Finished),
            5 => playback(PlaybackEvent::Started),
            6 => playback(PlaybackEvent::Ended),
            7 if event.back == 0 => self.judged.map_or(Input::Tick, |to| Input::SoundsUnfinished {
                to,
                by: if event.level() < -30 { EndJudge::Pitch } else { EndJudge::Model },
            }),
            7 => Input::Tick,
            8 => Input::Connected,
            9 => recognised(Recognition::Final { text: "What are your hours?".to_owned() }),
            12 => playback(PlaybackEvent::Progress(PlaybackProgress {
                position: Duration::from_millis(300),
                ..PlaybackProgress::default()
            })),
            13 => recognised(Recognition::Failed),
            16 => Input::Recognition {
                utterance: self.open.map_or(utterance, |(open, _)| open),
                event: Recognition::Partial { text },
            },
            14 => response(ResponseEvent::Failed),
            15 => playback(PlaybackEvent::SynthesisFailed),
            29 if event.back > 1 => response(ResponseEvent::Paused),
            29 => response(ResponseEvent::Writing),
            17 => response(ResponseEvent::EndCall),
            18 if event.back == 1 => Input::Hold(HoldChange::HeldByCaller),
            18 if event.back > 1 => Input::Hold(HoldChange::Uncertain),
            18 => Input::Hold(HoldChange::Held),
            19 | 20 => Input::Hold(HoldChange::Resumed),
            21 | 22 => Input::Dtmf {
                key: Digit::try_from(['1', '2', '9', '#', '*', '3'][event.back as usize]).unwrap(),
            },
            23..=26 => response(ResponseEvent::ToolCall(tool_call(event))),
            28 if !self.transfers.is_empty() => {
                let tool = self.transfers[self.transfers.len() - 1];
                Input::Tool { tool, outcome: ToolOutcome::Failed, result: "{}".into() }
            }
            27 | 28 => {
                let tool =
                    ToolId((self.started.last().map_or(0, |(tool, _)| tool.0)).saturating_sub(event.back));
                match event.wait % 4 {
                    0 => Input::AgentChanged { tool, result: "{}".into(), then: TakeOver::Greet },
                    _ => Input::Tool { tool, outcome: ToolOutcome::Succeeded, result: "{}".into() },
                }
            }
            37 => self.judgement(event, utterance),
            31..=36 => Input::Operator(operator_command(event)),
            _ if event.wait % 2 == 0 => Input::EndRequested,
            _ => Input::CallerLeft,
        }
    }
}

fn operator_command(event: &Event) -> OperatorCommand {
    let text: std::sync::Arc<str> = event.text.into();
    let when = if event.back == 1 { SayWhen::Now } else { SayWhen::Next };
    match event.kind {
        31 => OperatorCommand::Say {
            text,
            when,
            then: if event.back == 3 { AfterWords::CallEnds } else { AfterWords::CallersTurn },
        },
        32 => OperatorCommand::Note { text, answer: NoteAnswer::Later },
        33 => OperatorCommand::Note { text, answer: NoteAnswer::Soon },
        34 => OperatorCommand::Mute { at_most: Duration::from_millis(u64::from(event.back) * 700) },
        35 => OperatorCommand::Unmute,
        _ => OperatorCommand::Transfer { target: "shop".into(), when },
    }
}

fn tool_call(event: &Event) -> ToolRequest {
    let action = match event.kind {
        24 if event.wait % 5 == 0 => ToolAction::Start(ToolWords::default()),
        23 | 24 => ToolAction::Run(ToolWords {
            started: (event.back == 1).then(|| "One moment.".into()),
            delayed: (event.back == 2).then(|| "Still looking.".into()),
            delayed_after: (event.wait % 3 == 0).then_some(Duration::from_millis(700)),
            failed: (event.back == 3).then(|| "I cannot look that up.".into()),
        }),
        25 => ToolAction::CollectDigits(DigitRules {
            most: 2,
            terminator: Digit::try_from('#').ok(),
            first: Duration::from_secs(5),
            between: Duration::from_secs(2),
            masked: event.back == 1,
        }),
        _ if event.back == 2 => ToolAction::Refuse { reason: "no".into() },
        _ if event.back == 1 => ToolAction::ChangeAgent(AgentChoice::Language { tag: "de".into() }),
        _ => ToolAction::SendDtmf { keys: vec![Tone::Pause] },
    };
    let id = format!("{}-{}", event.kind, event.wait);
    let effect = match action {
        ToolAction::Run(_) | ToolAction::Start(_) if event.wait % 2 == 0 => {
            ToolEffect::Acts { key: (event.back % 2).to_string().into() }
        }
        _ => ToolEffect::None,
    };
    ToolRequest { id: id.into(), name: "stock".into(), arguments: "{}".into(), action, effect }
}

/// The utterance that an input ends.
pub fn ended_turn(input: &Input) -> Option<UtteranceId> {
    match input {
        Input::Recognition { utterance, event: Recognition::TurnEnded { .. } } => Some(*utterance),
        _ => None,
    }
}

/// By a tool, or because the words are in another language.
fn changes_agent(input: &Input, event: &Event) -> bool {
    match input {
        Input::AgentChanged { .. } => true,
        Input::Recognition { event: Recognition::Final { .. }, .. } => event.wait % 5 == 0,
        _ => false,
    }
}

fn check(settings: Settings, events: &[Event]) -> Watch {
    let texts = [(Phrase::Greeting, "Hello there.".to_owned())];
    let mut turn = Conversation::new(settings.clone()).with_texts(texts.clone());
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
            Input::Hold(HoldChange::Held | HoldChange::HeldByCaller) => watch.on_hold = true,
            // Words may end the hold from then on.
            Input::Hold(HoldChange::Resumed | HoldChange::Uncertain) => watch.on_hold = false,
            _ => {}
        }
        watch.note(&input);
        if changes_agent(&input, event) {
            turn.change_agent(settings.clone(), texts.clone(), Language::of(Some("de")));
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

/// The random events reach all parts of a conversation.
#[test]
fn noise_reaches_conversations() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut asked, mut finished, mut cancelled, mut tools) = (0, 0, 0, 0);
    for _ in 0..100 {
        let mut script = vec![Event { wait: 0, kind: 8, back: 0, text: "" }];
        script.extend(events().new_tree(&mut runner).unwrap().current());
        let watch = check(Settings::default(), &script);
        asked += watch.asked.len();
        finished += watch.finished.len();
        cancelled += watch.cancelled.len();
        tools += watch.started.len();
    }
    assert!(
        asked > 20 && finished > 100 && cancelled > 20 && tools > 5,
        "{asked} asked, {finished} finished, {cancelled} cancelled, {tools} tools"
    );
}
