//! After any events, a conversation ends once the caller is silent and the pipeline has reported its work: no
//! utterance, speech, response or tool is waited for without end.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::LEVEL;
use super::invariants::{Event, Watch, ended_turn, events};
use crate::conversation::*;

/// The reports that follow the last event, at most.
const REPORTS: usize = 400;

/// A speech in the pipeline's queue.
struct Queued {
    speech: SpeechId,
    turn: TurnId,
    held: bool,
}

/// The work that the driver was asked for and has not reported.
#[derive(Default)]
struct Work {
    open: Option<(UtteranceId, TurnId)>,
    utterances: Vec<(UtteranceId, TurnId)>,
    requests: Vec<TurnId>,
    speeches: VecDeque<Queued>,
    tools: Vec<ToolId>,
    paused: bool,
    over: bool,
}

impl Work {
    fn drain(&mut self, conversation: &mut Conversation, watch: &mut Watch) {
        while let Some(output) = conversation.poll() {
            match &output {
                Output::Pipeline(command) => self.take(command),
                Output::Pause => self.paused = true,
                Output::Resume => self.paused = false,
                Output::Flush => {
                    self.paused = false;
                    self.speeches.clear();
                }
                Output::RunTool { tool, .. }
                | Output::SendDtmf { tool, .. }
                | Output::Transfer { tool, .. }
                | Output::ChangeAgent { tool, .. } => self.tools.push(*tool),
                Output::HangUp { .. } => self.over = true,
                Output::KeepEntry { .. }
                | Output::NoticeHeard
                | Output::EmergencyNoticed
                | Output::Operator(_)
                | Output::AgentMuted(_)
                | Output::Rated { .. }
                | Output::TurnFinished(_) => {}
            }
            watch.see(output);
        }
    }

    fn take(&mut self, command: &Command) {
        match *command {
            Command::Recognise { utterance, turn, .. } => self.open = Some((utterance, turn)),
            Command::JudgeEnd { .. } => {}
            Command::EndUtterance { .. } => self.utterances.extend(self.open.take()),
            Command::Respond { turn, .. } => self.requests.push(turn),
            Command::Cancel { turn } => {
                self.open.take_if(|(_, of)| *of == turn);
                self.utterances.retain(|(_, of)| *of != turn);
                self.requests.retain(|of| *of != turn);
                self.speeches.retain(|queued| queued.turn != turn);
            }
            Command::Speak { speech, turn, ref what, held } => {
                let queued = Queued { speech, turn, held };
                if *what == Say::Phrase(Phrase::Filler) {
                    self.speeches.push_front(queued);
                } else {
                    self.speeches.push_back(queued);
                }
            }
            Command::Replace { failed, speech, turn, held, .. } => {
                let place = self.speeches.iter().position(|queued| queued.speech == failed);
                self.speeches.insert(place.map_or(0, |at| at + 1), Queued { speech, turn, held });
            }
            Command::Release { turn } => {
                let released = self.speeches.iter_mut().filter(|queued| queued.turn == turn);
                released.for_each(|queued| queued.held = false);
            }
        }
    }

    fn note(&mut self, input: &Input) {
        if let Some(utterance) = ended_turn(input) {
            self.open.take_if(|(open, _)| *open == utterance);
            self.utterances.retain(|(of, _)| *of != utterance);
        }
    }

    /// The next report, with or without a success.
    fn report(&mut self, succeeds: bool) -> Option<Input> {
        if self.speeches.front().is_some_and(|queued| !queued.held && !self.paused) {
            let speech = self.speeches.pop_front()?.speech;
            return Some(Input::Playback { speech, event: PlaybackEvent::Ended });
        }
        if let Some((utterance, _)) = self.utterances.pop() {
            let words = Recognition::Final { text: "A table for two.".to_owned() };
            let event = if succeeds { words } else { Recognition::Failed };
            return Some(Input::Recognition { utterance, event });
        }
        if let Some(turn) = self.requests.pop() {
            let event = if succeeds { ResponseEvent::Finished } else { ResponseEvent::Failed };
            return Some(Input::Response { turn, event });
        }
        let tool = self.tools.pop()?;
        let outcome = if succeeds { ToolOutcome::Succeeded } else { ToolOutcome::TimedOut };
        Some(Input::Tool { tool, outcome, result: "{}".into() })
    }
}

/// Conversations that end neither by their length nor by their turns.
fn settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), any::<bool>(), any::<bool>(), 0u32..3, 1u32..4).prop_map(
        |(early_reply, barge_in, satisfaction, silence_prompts, max_failures)| Settings {
            early_reply,
            barge_in,
            satisfaction,
            silence_prompts,
            max_failures,
            max_turns: u32::MAX,
            max_duration_ms: Duration::MAX,
            warn_before_ms: Duration::ZERO,
            ..Settings::default()
        },
    )
}

struct Call {
    conversation: Conversation,
    work: Work,
    watch: Watch,
    now: At,
}

impl Call {
    fn handle(&mut self, input: Input) {
        self.conversation.handle(self.now, input);
        self.work.drain(&mut self.conversation, &mut self.watch);
    }

    /// Waits until `until`.
    fn wait(&mut self, until: At) {
        while let Some((deadline, _)) = self.conversation.deadline().filter(|(at, _)| *at <= until) {
            self.now = deadline;
            self.handle(Input::Tick);
        }
        self.now = self.now.max(until);
    }

    fn go_through(&mut self, events: &[Event]) {
        self.handle(Input::Connected);
        for event in events {
            self.wait(self.now.saturating_add(Duration::from_millis(event.wait.max(0).unsigned_abs())));
            let input = self.watch.input(event, self.now);
            self.watch.note(&input);
            self.work.note(&input);
            self.handle(input);
        }
    }

    /// The caller is silent, and the driver reports its work.
    fn run_out(&mut self, succeeds: bool) {
        self.handle(Input::Hold(HoldChange::Resumed));
        self.handle(Input::CallerSpeech(CallerSpeech::Paused { at: self.now, level: LEVEL }));
        for _ in 0..REPORTS {
            let Some(report) = self.work.report(succeeds) else {
                let Some((deadline, _)) = self.conversation.deadline() else { return };
                self.wait(deadline);
                continue;
            };
            self.wait(self.now.saturating_add(Duration::from_millis(20)));
            self.handle(report);
        }
    }
}

proptest! {
    #[test]
    fn a_silent_caller_is_left_after_any_events(
        settings in settings(), events in events(), succeeds in any::<bool>()
    ) {
        let mut call = Call {
            conversation: Conversation::new(settings),
            work: Work::default(),
            watch: Watch::default(),
            now: At(Duration::from_secs(3_600)),
        };
        call.go_through(&events);
        call.run_out(succeeds);
        prop_assert!(call.work.over, "no end: {:?}", call.conversation.deadline());
    }
}
