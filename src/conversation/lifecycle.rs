//! The beginning of a conversation, the time between two turns, and the end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::hold::Hold;
use super::response::{Afterwards, Response};
use super::timer::Timer;
use super::utterance::Utterance;
use super::{At, Command, Conversation, Ending, Output, Phrase, Say};

/// How long a goodbye may take, synthesis included, before the call ends without it.
const GOODBYE_LIMIT: Duration = Duration::from_secs(10);

/// A goodbye of the operator's words may take this much longer for each character: slow speech.
const SLOW_CHARACTER: Duration = Duration::from_millis(120);

/// How often the end of protected words is looked for at the time limit.
const PROTECTED_INTERVAL: Duration = Duration::from_millis(200);

/// How the conversation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Opening {
    Greeting,
    /// The notice, then the greeting.
    Notice,
    /// Outside of business hours: the caller hears the closed prompt and nothing else.
    Closed,
}

/// The warning that the time limit is near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Warning {
    NotDue,
    /// It waits until the floor is free.
    Due,
}

impl Conversation {
    pub(super) fn connected(&mut self, now: At) {
        if !matches!(self.floor, Floor::NotConnected) {
            return;
        }
        let limit = self.settings.max_duration_ms;
        if self.opening == Opening::Closed {
            // The closed prompt may be long, but no longer than a call.
            self.timers.start(Timer::Goodbye, now, limit);
            return self.prompt(now, Phrase::Closed, Some(Ending::Closed));
        }
        let ahead = self.settings.warn_before_ms;
        self.timers.start(Timer::Limit, now, limit);
        if !ahead.is_zero() && ahead < limit {
            self.timers.start(Timer::Warning, now, limit - ahead);
        }
        self.greet(now);
    }

    /// The agent's turn is over: gives the floor to the caller, who may speak already (`spoken_over`), or waits.
    pub(super) fn settle(&mut self, now: At, spoken_over: Option<Utterance>) {
        self.floor = Floor::Free;
        if let Some((phrase, ending)) = self.limits.reached(&self.settings) {
            if let Some(utterance) = spoken_over {
                self.hear(utterance);
            }
            self.say_goodbye(now, phrase, ending);
        } else if let Some(utterance) = spoken_over {
            self.hear(utterance);
        } else if self.voice.is_some() {
            let turn = self.out.new_turn();
            self.hear(Utterance::new(turn, now));
        } else {
            self.go_on(now);
        }
    }

    /// The floor is free, and the caller is silent.
    fn go_on(&mut self, now: At) {
        let operator_acts = !self.keypad.is_entering() && self.next_operator_step(now);
        if operator_acts || self.operator.is_muted() {
            return;
        }
        if self.keypad.is_complete() {
            self.answer_entry(now);
        } else if self.warning == Warning::Due {
            self.warn(now);
        } else if self.limits.is_turn_warning_due(&self.settings) {
            self.prompt(now, Phrase::TurnWarning, None);
        } else if !self.hold.is_on() && !self.keypad.is_entering() {
            self.timers.start(Timer::Silence, now, self.prompted_after());
        }
    }

    pub(super) fn prompt_silent_caller(&mut self, now: At) {
        if self.survey.is_open() {
            return self.rated(now, None);
        }
        if self.menu.is_open() {
            return self.menu_silence(now);
        }
        if self.limits.may_prompt(&self.settings) {
            self.prompt(now, Phrase::StillThere, None);
        } else {
            self.say_goodbye(now, Phrase::SilenceGoodbye, Ending::Silence);
        }
    }

    /// Warns the caller of the time limit as soon as the floor is free.
    pub(super) fn warn(&mut self, now: At) {
        let is_free = matches!(self.floor, Floor::Free) && !self.operator.is_muted();
        self.warning = if is_free { Warning::NotDue } else { Warning::Due };
        if is_free {
            self.prompt(now, Phrase::TimeWarning, None);
        }
    }

    /// The time limit is reached. Words that may not be interrupted, such as the number to dial in an emergency, are played to
    /// their end first.
    pub(super) fn end_by_time(&mut self, now: At) {
        match &self.floor {
            Floor::Agent(response, _) if response.is_protected() => {
                self.timers.start(Timer::Limit, now, PROTECTED_INTERVAL);
            }
            _ => self.say_goodbye(now, Phrase::TimeLimitGoodbye, Ending::TimeLimit),
        }
    }

    /// Ends the call politely in any state. A goodbye in progress continues.
    pub(super) fn say_goodbye(&mut self, now: At, phrase: Phrase, ending: Ending) {
        match &self.floor {
            Floor::NotConnected => return self.hang_up(ending),
            Floor::Agent(response, _) if response.is_goodbye() => return,
            Floor::Agent(..) | Floor::Caller(_) | Floor::Free | Floor::Ended => self.take_floor(now),
        }
        // A caller who waits for the target of a transfer would not hear it.
        let is_unheard = ending == Ending::Requested && self.hold == Hold::On;
        if is_unheard || self.without_goodbye.contains(&ending) {
            return self.hang_up(ending);
        }
        self.note_rest(Vec::new());
        self.timers.stop_all();
        let last_words = self.last_words.iter().find(|(it, _)| *it == ending);
        if let Some(text) = last_words.map(|(_, text)| text.clone()) {
            return self.say_last_words(now, &text, ending);
        }
        self.limit_goodbye(now);
        self.prompt(now, phrase, Some(ending));
    }

    /// Says words in place of a goodbye: as one speech, so that they can be played from the cache.
    fn say_last_words(&mut self, now: At, text: &str, ending: Ending) {
        self.limit_words_of_goodbye(now, text);
        let response = Response::prompt(self.out.new_turn(), now, Some(ending));
        self.floor = Floor::Agent(response, None);
        self.say(Say::Text(text.to_owned()));
    }

    /// Takes the floor from either side, which is free then. The words so far stay on record.
    pub(super) fn take_floor(&mut self, now: At) {
        match std::mem::replace(&mut self.floor, Floor::Free) {
            Floor::Agent(mut response, interruption) => {
                if response.is_pending() || interruption.is_some() || self.filler.is_some() {
                    self.hold.flush(&mut self.out);
                }
                let listening = interruption.and_then(|interruption| interruption.turn());
                for turn in [Some(response.turn), listening].into_iter().flatten() {
                    self.out.command(Command::Cancel { turn });
                }
                self.conclude(now, &mut response, false);
            }
            Floor::Caller(utterance) => {
                utterance.abandon(&mut self.out);
                self.record_utterance(&utterance);
            }
            Floor::NotConnected | Floor::Free | Floor::Ended => {}
        }
        self.stop_responding();
        for timer in [Timer::Commit, Timer::Ask, Timer::Monologue] {
            self.timers.stop(timer);
        }
    }

    pub(super) fn limit_goodbye(&mut self, now: At) {
        self.timers.start(Timer::Goodbye, now, GOODBYE_LIMIT);
    }

    /// The same for a goodbye of these words.
    pub(super) fn limit_words_of_goodbye(&mut self, now: At, text: &str) {
        let length = SLOW_CHARACTER.saturating_mul(u32::try_from(text.chars().count()).unwrap_or(u32::MAX));
        self.timers.start(Timer::Goodbye, now, GOODBYE_LIMIT + length);
    }

    pub(super) fn cut_goodbye_short(&mut self, now: At) {
        let Floor::Agent(mut response, _) = std::mem::replace(&mut self.floor, Floor::Free) else { return };
        self.conclude(now, &mut response, false);
        match response.afterwards() {
            Afterwards::CallEnds(ending) => self.hang_up(ending),
            Afterwards::AgentHangsUp | Afterwards::CallersTurn => self.hang_up(Ending::Requested),
        }
    }

    pub(super) fn caller_left(&mut self, now: At) {
        match std::mem::replace(&mut self.floor, Floor::Free) {
            Floor::Caller(utterance) => self.record_utterance(&utterance),
            Floor::Agent(mut response, _) => self.conclude(now, &mut response, false),
            Floor::NotConnected | Floor::Free | Floor::Ended => {}
        }
        self.hang_up(Ending::CallerLeft);
    }

    pub(super) fn hang_up(&mut self, ending: Ending) {
        let tools = self.abandon_tools();
        self.note_rest(tools);
        self.floor = Floor::Ended;
        self.timers.stop_all();
        self.out.push(Output::HangUp { ending });
    }

    /// Plays a prompt that answers no utterance.
    pub(super) fn prompt(&mut self, now: At, phrase: Phrase, goodbye: Option<Ending>) {
        self.timers.stop(Timer::Silence);
        let response = Response::prompt(self.out.new_turn(), now, goodbye);
        self.floor = Floor::Agent(response, None);
        self.say(Say::Phrase(phrase));
    }

    /// The last utterance stays on record although it gets no response.
    pub(super) fn record_utterance(&mut self, utterance: &Utterance) {
        if let Some(mut record) = utterance.record() {
            record.keys = self.take_entry();
            self.transcript.add_caller(&record.caller);
            self.out.push(Output::TurnFinished(record));
        }
    }
}
