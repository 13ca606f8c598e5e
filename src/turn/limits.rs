//! How the conversation begins, what happens when nobody speaks, and how it ends.

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::floor::Floor;
use super::timer::Timer;
use super::utterance::{Utterance, Words};
use super::{Ending, Output, Phrase, Say, Speaker, Turn};

/// How long a goodbye may take to be played before the call is ended all the same.
const FAREWELL: Duration = Duration::from_secs(10);

impl Turn {
    pub(super) fn answered(&mut self, now: Instant) {
        if !matches!(self.floor, Floor::Unanswered) {
            return;
        }
        let limit = self.settings.max_duration_ms;
        if self.closed {
            // What is said to everybody may be long, but no longer than any call.
            self.timers.start(Timer::Farewell, now, limit);
            return self.speak_up(now, Phrase::Closed, Some(Ending::Closed));
        }
        let ahead = self.settings.warn_before_ms;
        self.timers.start(Timer::Limit, now, limit);
        if !ahead.is_zero() && ahead < limit {
            self.timers.start(Timer::Warning, now, limit - ahead);
        }
        self.speak_up(now, Phrase::Greeting, None);
    }

    /// The agent has nothing more to say: what comes next? `spoken_over` is what the caller was saying
    /// meanwhile.
    pub(super) fn settle(&mut self, now: Instant, spoken_over: Option<Utterance>) {
        self.floor = Floor::Nobody;
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
        } else if self.warning_due {
            self.warn(now);
        } else if !self.on_hold {
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

    pub(super) fn prompt_silent_caller(&mut self, now: Instant) {
        if self.prompts < self.settings.silence_prompts {
            self.prompts += 1;
            self.speak_up(now, Phrase::StillThere, None);
        } else {
            self.say_goodbye(now, Phrase::SilenceGoodbye, Ending::Silence);
        }
    }

    /// Tells the caller that the time is nearly up, as soon as nobody else speaks.
    pub(super) fn warn(&mut self, now: Instant) {
        self.warning_due = !matches!(self.floor, Floor::Nobody);
        if !self.warning_due {
            self.speak_up(now, Phrase::TimeWarning, None);
        }
    }

    /// Ends the call politely, whatever is under way. A goodbye that was begun is not begun again.
    pub(super) fn say_goodbye(&mut self, now: Instant, phrase: Phrase, ending: Ending) {
        match std::mem::replace(&mut self.floor, Floor::Nobody) {
            Floor::Unanswered => return self.hang_up(ending),
            Floor::Agent(answer, challenge) if answer.farewell.is_some() => {
                self.floor = Floor::Agent(answer, challenge);
                return;
            }
            Floor::Agent(answer, challenge) => {
                if answer.is_pending() || challenge.is_some() || self.filler.is_some() {
                    self.flush();
                }
                let listening = challenge.and_then(|challenge| challenge.listening());
                for turn in [Some(answer.turn), listening].into_iter().flatten() {
                    self.out.push(Output::Cancel { turn });
                }
                self.conclude(&answer, false);
            }
            Floor::Caller(utterance) => {
                if utterance.words != Words::Unasked {
                    self.out.push(Output::Cancel { turn: utterance.turn });
                }
                self.note_down(&utterance);
            }
            Floor::Nobody | Floor::Over => {}
        }
        self.timers.stop_all();
        self.timers.start(Timer::Farewell, now, FAREWELL);
        self.speak_up(now, phrase, Some(ending));
    }

    pub(super) fn cut_farewell_short(&mut self) {
        let Floor::Agent(answer, _) = std::mem::replace(&mut self.floor, Floor::Nobody) else { return };
        self.conclude(&answer, false);
        self.hang_up(answer.farewell.unwrap_or(Ending::Requested));
    }

    pub(super) fn caller_left(&mut self) {
        match std::mem::replace(&mut self.floor, Floor::Nobody) {
            Floor::Caller(utterance) => self.note_down(&utterance),
            Floor::Agent(answer, _) => self.conclude(&answer, false),
            Floor::Unanswered | Floor::Nobody | Floor::Over => {}
        }
        self.hang_up(Ending::CallerLeft);
    }

    pub(super) fn hang_up(&mut self, ending: Ending) {
        self.floor = Floor::Over;
        self.timers.stop_all();
        self.out.push(Output::HangUp { ending });
    }

    /// The agent speaks of its own accord.
    fn speak_up(&mut self, now: Instant, phrase: Phrase, farewell: Option<Ending>) {
        self.timers.stop(Timer::Silence);
        let answer = Answer::prompt(self.out.new_turn(), now, farewell);
        self.floor = Floor::Agent(answer, None);
        self.say(Say::Phrase(phrase));
    }

    /// What the caller said last stays on record although it is not answered any more.
    fn note_down(&mut self, utterance: &Utterance) {
        if let Some(record) = utterance.record() {
            self.transcript.add(Speaker::Caller, &record.caller);
            self.out.push(Output::Finished(record));
        }
    }
}
