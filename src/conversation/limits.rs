//! The beginning of a conversation, silence, limits, and the end.

use std::time::Duration;

use super::floor::Floor;
use super::response::Response;
use super::timer::Timer;
use super::utterance::Utterance;
use super::{At, Command, Conversation, Ending, Output, Phrase, Say};

/// How long a goodbye may take, synthesis included, before the call ends without it.
const GOODBYE_LIMIT: Duration = Duration::from_secs(10);

impl Conversation {
    pub(super) fn connected(&mut self, now: At) {
        if !matches!(self.floor, Floor::NotConnected) {
            return;
        }
        let limit = self.settings.max_duration_ms;
        if self.closed {
            // The closed prompt may be long, but no longer than a call.
            self.timers.start(Timer::Goodbye, now, limit);
            return self.prompt(now, Phrase::Closed, Some(Ending::Closed));
        }
        let ahead = self.settings.warn_before_ms;
        self.timers.start(Timer::Limit, now, limit);
        if !ahead.is_zero() && ahead < limit {
            self.timers.start(Timer::Warning, now, limit - ahead);
        }
        self.prompt(now, Phrase::Greeting, None);
    }

    /// The agent's turn is over: gives the floor to the caller, who may speak already (`spoken_over`), or waits.
    pub(super) fn settle(&mut self, now: At, spoken_over: Option<Utterance>) {
        self.floor = Floor::Free;
        if let Some((phrase, ending)) = self.limit_reached() {
            if let Some(utterance) = spoken_over {
                self.hear(utterance);
            }
            self.say_goodbye(now, phrase, ending);
        } else if let Some(utterance) = spoken_over {
            self.hear(utterance);
        } else if self.voice.is_some() {
            let turn = self.out.new_turn();
            self.hear(Utterance::new(turn, now));
        } else if self.keypad.is_complete() {
            self.answer_entry(now);
        } else if self.warning_due {
            self.warn(now);
        } else if !self.on_hold && !self.keypad.is_entering() {
            self.timers.start(Timer::Silence, now, self.settings.silence_ms);
        }
    }

    fn limit_reached(&self) -> Option<(Phrase, Ending)> {
        if self.failures >= self.settings.max_failures.max(1) {
            Some((Phrase::Goodbye, Ending::EngineFailure))
        } else if self.turns >= self.settings.max_turns {
            Some((Phrase::TurnLimitGoodbye, Ending::TurnLimit))
        } else {
            None
        }
    }

    pub(super) fn prompt_silent_caller(&mut self, now: At) {
        if self.prompts < self.settings.silence_prompts {
            self.prompts += 1;
            self.prompt(now, Phrase::StillThere, None);
        } else {
            self.say_goodbye(now, Phrase::SilenceGoodbye, Ending::Silence);
        }
    }

    /// Warns the caller of the time limit as soon as the floor is free.
    pub(super) fn warn(&mut self, now: At) {
        self.warning_due = !matches!(self.floor, Floor::Free);
        if !self.warning_due {
            self.prompt(now, Phrase::TimeWarning, None);
        }
    }

    /// Ends the call politely in any state. A goodbye in progress continues.
    pub(super) fn say_goodbye(&mut self, now: At, phrase: Phrase, ending: Ending) {
        match std::mem::replace(&mut self.floor, Floor::Free) {
            Floor::NotConnected => return self.hang_up(ending),
            Floor::Agent(response, interruption) if response.goodbye.is_some() => {
                self.floor = Floor::Agent(response, interruption);
                return;
            }
            Floor::Agent(response, interruption) => {
                if response.is_pending() || interruption.is_some() || self.filler.is_some() {
                    self.flush();
                }
                let listening = interruption.and_then(|interruption| interruption.listening());
                for turn in [Some(response.turn), listening].into_iter().flatten() {
                    self.out.command(Command::Cancel { turn });
                }
                self.conclude(&response, false);
            }
            Floor::Caller(utterance) => {
                self.out.command(Command::Cancel { turn: utterance.turn });
                self.record_utterance(&utterance);
            }
            Floor::Free | Floor::Ended => {}
        }
        self.note_entry();
        self.timers.stop_all();
        self.timers.start(Timer::Goodbye, now, GOODBYE_LIMIT);
        self.prompt(now, phrase, Some(ending));
    }

    pub(super) fn cut_goodbye_short(&mut self) {
        let Floor::Agent(response, _) = std::mem::replace(&mut self.floor, Floor::Free) else { return };
        self.conclude(&response, false);
        self.hang_up(response.goodbye.unwrap_or(Ending::Requested));
    }

    pub(super) fn caller_left(&mut self) {
        match std::mem::replace(&mut self.floor, Floor::Free) {
            Floor::Caller(utterance) => self.record_utterance(&utterance),
            Floor::Agent(response, _) => self.conclude(&response, false),
            Floor::NotConnected | Floor::Free | Floor::Ended => {}
        }
        self.hang_up(Ending::CallerLeft);
    }

    pub(super) fn hang_up(&mut self, ending: Ending) {
        self.note_entry();
        self.floor = Floor::Ended;
        self.timers.stop_all();
        self.out.push(Output::HangUp { ending });
    }

    /// Plays a prompt that answers no utterance.
    fn prompt(&mut self, now: At, phrase: Phrase, goodbye: Option<Ending>) {
        self.timers.stop(Timer::Silence);
        let response = Response::prompt(self.out.new_turn(), now, goodbye);
        self.floor = Floor::Agent(response, None);
        self.say(Say::Phrase(phrase));
    }

    /// The last utterance stays on record although it gets no response.
    fn record_utterance(&mut self, utterance: &Utterance) {
        if let Some(record) = utterance.record() {
            self.transcript.add_caller(&record.caller);
            self.out.push(Output::TurnFinished(record));
        }
    }
}
