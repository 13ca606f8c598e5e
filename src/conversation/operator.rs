//! Commands of a person who follows the call: words for the caller, notes for the agent, mute, transfer, end.
//!
//! | command | the floor is free | the agent or the caller has it | the agent says goodbye |
//! |---|---|---|---|
//! | `Say`, `Transfer`, next | at once | when it is free | refused |
//! | `Say`, `Transfer`, now | at once | takes the floor; after the notice | refused |
//! | `Note` | in the context at once; its answer at once | in the context at once; its answer when the floor is free | refused |
//! | `Mute` | – | takes the floor; after the notice | refused |
//! | `End` | goodbye, or at once | goodbye, or at once | goodbye, or at once |
//!
//! A muted agent neither hears nor answers. The operator's own words are said all the same, and so is the goodbye.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::response::Response;
use super::timer::Timer;
use super::{At, Attempt, ContextItem, Conversation, Ending, Output, Phrase, ToolId, ToolOutcome};

/// Words and transfers that wait for the floor.
const MOST_WAITING: usize = 5;

/// Notes in one conversation.
const MOST_NOTES: usize = 20;

/// A command of an operator. [`Output::Operator`] reports whether it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorCommand {
    /// The agent's voice says this to the caller.
    Say {
        text: Arc<str>,
        when: SayWhen,
        then: AfterWords,
    },
    /// An instruction to the agent, which the caller does not hear.
    Note {
        text: Arc<str>,
        answer: NoteAnswer,
    },
    /// The agent neither hears nor answers, for this long at most.
    Mute {
        at_most: Duration,
    },
    Unmute,
    /// The caller is transferred to this target.
    Transfer {
        target: Arc<str>,
        when: SayWhen,
    },
    End(Farewell),
}

/// When the operator takes the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SayWhen {
    /// When neither side speaks.
    Next,
    /// Now: the agent is cut short, and the caller's unfinished utterance gets no response.
    Now,
}

/// The continuation after the operator's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AfterWords {
    CallersTurn,
    CallEnds,
}

/// When the agent acts on a note.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoteAnswer {
    /// With its next response to the caller.
    #[default]
    Later,
    /// As soon as the floor is free.
    Soon,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Farewell {
    /// The agent says goodbye.
    Goodbye,
    /// The call ends at once.
    None,
}

/// Why a command is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorRefusal {
    NotConnected,
    /// The agent says goodbye.
    Ending,
    /// Too many words and transfers wait for the floor, or there are too many notes.
    TooMany,
}

/// A change of [`OperatorCommand::Mute`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MuteChange {
    Muted,
    /// The agent hears again. If a voice is heard at that moment, [`CallerSpeech::Started`](super::CallerSpeech::Started)
    /// follows: speech meanwhile was ignored.
    Unmuted,
}

/// The operator's part of a conversation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct OperatorWork {
    /// They wait for the floor.
    steps: VecDeque<OperatorStep>,
    notes: usize,
    answer: NoteAnswer,
    mute: Mute,
    /// The transfer that is under way, with its target.
    transfer: Option<(ToolId, Arc<str>)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum OperatorStep {
    Say { text: Arc<str>, then: AfterWords },
    Transfer { target: Arc<str> },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Mute {
    #[default]
    Off,
    /// It begins after the words that the caller has to hear.
    Due,
    On,
}

impl OperatorWork {
    pub fn is_muted(&self) -> bool {
        self.mute == Mute::On
    }
}

impl Conversation {
    pub(super) fn operator(&mut self, now: At, command: OperatorCommand) {
        let accepted = self.accepts(&command);
        self.out.push(Output::Operator(accepted));
        if accepted.is_err() {
            return;
        }
        match command {
            OperatorCommand::Say { text, when, then } => {
                self.operator_step(now, OperatorStep::Say { text, then }, when);
            }
            OperatorCommand::Transfer { target, when } => {
                self.operator_step(now, OperatorStep::Transfer { target }, when);
            }
            OperatorCommand::Note { text, answer } => self.note(now, text, answer),
            OperatorCommand::Mute { at_most } => self.mute(now, at_most),
            OperatorCommand::Unmute => self.unmute(now),
            OperatorCommand::End(Farewell::Goodbye) => {
                self.say_goodbye(now, Phrase::Goodbye, Ending::Requested);
            }
            OperatorCommand::End(Farewell::None) => {
                self.take_floor(now);
                self.hang_up(Ending::Requested);
            }
        }
    }

    fn accepts(&self, command: &OperatorCommand) -> Result<(), OperatorRefusal> {
        match &self.floor {
            Floor::NotConnected => return Err(OperatorRefusal::NotConnected),
            _ if matches!(command, OperatorCommand::End(_)) => return Ok(()),
            Floor::Ended => return Err(OperatorRefusal::Ending),
            Floor::Agent(response, _) if response.is_goodbye() => return Err(OperatorRefusal::Ending),
            Floor::Agent(..) | Floor::Caller(_) | Floor::Free => {}
        }
        let is_full = match command {
            OperatorCommand::Say { .. } | OperatorCommand::Transfer { .. } => {
                self.operator.steps.len() >= MOST_WAITING
            }
            OperatorCommand::Note { .. } => self.operator.notes >= MOST_NOTES,
            OperatorCommand::Mute { .. } | OperatorCommand::Unmute | OperatorCommand::End(_) => false,
        };
        if is_full { Err(OperatorRefusal::TooMany) } else { Ok(()) }
    }

    /// Carries out a step once the floor is free, which `Now` makes it.
    fn operator_step(&mut self, now: At, step: OperatorStep, when: SayWhen) {
        match when {
            SayWhen::Now => {
                self.operator.steps.push_front(step);
                self.yield_floor(now);
                // A caller who still speaks has the floor again after the step.
                if matches!(self.floor, Floor::Free) && self.voice.is_some() && !self.keypad.is_entering() {
                    self.next_operator_step(now);
                    return;
                }
            }
            SayWhen::Next => self.operator.steps.push_back(step),
        }
        self.settle_if_free(now);
    }

    /// Takes the floor from either side, unless a part of the response is protected: that is played to its end.
    fn yield_floor(&mut self, now: At) {
        if !matches!(&self.floor, Floor::Agent(response, _) if response.is_protected()) {
            self.take_floor(now);
        }
    }

    fn settle_if_free(&mut self, now: At) {
        if matches!(self.floor, Floor::Free) && !self.keypad.is_entering() {
            self.settle(now, None);
        }
    }

    /// The floor is free: carries out the next step of the operator, or has the agent act on a note. Returns whether there was
    /// one.
    pub(super) fn next_operator_step(&mut self, now: At) -> bool {
        match self.operator.steps.pop_front() {
            Some(OperatorStep::Say { text, then }) => self.say_for_operator(now, &text, then),
            Some(OperatorStep::Transfer { target }) => {
                let tool = self.out.new_tool();
                self.operator.transfer = Some((tool, target.clone()));
                self.out.push(Output::Transfer { tool, target, summary: None });
                // Until the driver holds the conversation.
                if !self.is_deaf() {
                    self.timers.start(Timer::Silence, now, self.settings.silence_ms);
                }
            }
            None if self.operator.answer == NoteAnswer::Soon && !self.operator.is_muted() => {
                self.answer_notes(now);
            }
            None => return false,
        }
        true
    }

    fn say_for_operator(&mut self, now: At, text: &str, then: AfterWords) {
        let goodbye = match then {
            AfterWords::CallersTurn => {
                self.timers.stop(Timer::Silence);
                None
            }
            AfterWords::CallEnds => {
                self.note_rest(Vec::new());
                self.timers.stop_all();
                self.limit_words_of_goodbye(now, text);
                Some(Ending::Requested)
            }
        };
        let mut response = Response::of_operator(self.out.new_turn(), now, goodbye);
        response.say_all(text, self.language, &mut self.out);
        self.floor = Floor::Agent(response, None);
        self.finish_if_over(now);
    }

    /// The model is asked although the caller has said nothing.
    fn answer_notes(&mut self, now: At) {
        self.operator.answer = NoteAnswer::Later;
        self.actions.begin_anew();
        self.timers.stop(Timer::Silence);
        self.transcript.add(ContextItem::ActOnNotes);
        let turn = self.out.new_turn();
        let context = self.transcript.context();
        self.ask_model(turn, context, Attempt::First);
        self.floor = Floor::Agent(Response::unasked(turn, now), None);
    }

    fn note(&mut self, now: At, text: Arc<str>, answer: NoteAnswer) {
        self.operator.notes += 1;
        self.transcript.add(ContextItem::Note { text });
        self.discard_early_response();
        if answer == NoteAnswer::Soon {
            self.operator.answer = answer;
            self.settle_if_free(now);
        }
    }

    /// A response that was prepared without a note or an entry of keys is of no use.
    pub(super) fn discard_early_response(&mut self) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.early.is_some() {
            utterance.discard_response(&mut self.out);
            utterance.recognise_again(&mut self.out);
        }
    }

    fn mute(&mut self, now: At, at_most: Duration) {
        self.timers.start(Timer::Mute, now, at_most);
        if self.operator.mute == Mute::Off {
            self.operator.mute = Mute::Due;
            self.begin_mute(now);
        }
    }

    /// Begins the mute that is due, unless the caller hears words that are played to their end.
    pub(super) fn begin_mute(&mut self, now: At) {
        let waits = match &self.floor {
            Floor::Agent(response, _) => response.is_protected() || response.is_goodbye(),
            Floor::Ended => true,
            Floor::NotConnected | Floor::Caller(_) | Floor::Free => false,
        };
        if self.operator.mute != Mute::Due || waits {
            return;
        }
        self.operator.mute = Mute::On;
        self.out.push(Output::AgentMuted(MuteChange::Muted));
        self.timers.stop(Timer::Silence);
        // The operator's own words are said to their end.
        match &self.floor {
            Floor::Agent(response, _) if response.is_of_operator() => self.ignore_interruption(now),
            _ => self.take_floor(now),
        }
        self.background = None;
        self.forget_doubt();
        self.voice_paused(now, None);
        self.settle_if_free(now);
    }

    /// The agent hears again: earlier silence no longer counts.
    pub(super) fn unmute(&mut self, now: At) {
        self.timers.stop(Timer::Mute);
        if std::mem::take(&mut self.operator.mute) != Mute::On {
            return;
        }
        self.limits.caller_is_there();
        self.out.push(Output::AgentMuted(MuteChange::Unmuted));
        self.settle_if_free(now);
    }

    /// Whether the caller's voice and keys mean nothing: the call is on hold, or the agent is muted.
    pub(super) fn is_deaf(&self) -> bool {
        self.hold.is_on() || self.operator.is_muted()
    }

    /// The end of a transfer that the operator has asked for. The agent has the caller again where it failed, and acts on it.
    /// Returns whether it was one.
    pub(super) fn operator_transfer_ended(
        &mut self,
        now: At,
        id: ToolId,
        outcome: ToolOutcome,
        result: &str,
    ) -> bool {
        let Some((_, target)) = self.operator.transfer.take_if(|(tool, _)| *tool == id) else { return false };
        if outcome != ToolOutcome::Succeeded {
            let text = format!(
                "The transfer of the caller to {target} failed: {result}. The caller is with you again."
            );
            self.note(now, text.into(), NoteAnswer::Soon);
        }
        true
    }
}
