//! A response that fails or stalls: the model is asked anew, once a turn, while the caller hears why they wait.
//!
//! | heard so far | event | the caller hears |
//! |---|---|---|
//! | nothing | the request fails | [`Phrase::Difficulty`], then the response to a new request |
//! | nothing of a greeting | the request fails | the text greeting |
//! | a sentence | the request fails, or stalls once playback has run dry | a filler, then the rest: the model reads the words that were heard |
//! | either | the new request fails or stalls | [`Phrase::AskAgain`]; without any words of a response, the turn has failed |

use std::time::Duration;

use super::floor::Floor;
use super::timer::Timer;
use super::{At, Attempt, Conversation, GreetingMode, Phrase, Say};

/// A response from which nothing arrives for this long, while the caller hears nothing, has stalled.
const STALLED: Duration = Duration::from_secs(2);

impl Conversation {
    /// Notices a stall in time: starts its timer, or stops it while there is something to play.
    pub(super) fn watch_for_stall(&mut self, now: At) {
        match &self.floor {
            Floor::Agent(response, _) if response.may_have_stalled() => {
                self.timers.start(Timer::Stall, now, STALLED);
            }
            _ => self.timers.stop(Timer::Stall),
        }
    }

    pub(super) fn stalled(&mut self, now: At) {
        if matches!(&self.floor, Floor::Agent(response, _) if response.may_have_stalled()) {
            self.break_off(now);
        }
    }

    /// The text stops before its end. Sentences that are complete are played; the unfinished one is dropped. Tools that have
    /// started are waited for, and the model is asked again with their results.
    pub(super) fn break_off(&mut self, now: At) {
        let Some(response) = self.floor.response_mut() else { return };
        response.break_off(self.language, &mut self.out);
        self.advance_tools(now);
        match &self.floor {
            Floor::Agent(response, _) if response.is_incomplete() => self.repair(now),
            _ => self.finish_if_over(now),
        }
    }

    /// The response, or the rest of it, is missing: asks the model for it once more.
    pub(super) fn repair(&mut self, now: At) {
        let Floor::Agent(response, _) = &mut self.floor else { return };
        let is_wordless = response.is_wordless_round();
        // Without a greeting of the model's, the first response may be one to a note.
        if is_wordless && response.is_first() && self.settings.greeting_mode == GreetingMode::Model {
            return self.replace_greeting(now);
        }
        if response.begin_again() {
            let turn = response.turn;
            let context = self.transcript.continued_by(response.items_so_far(&self.texts));
            self.ask_model(turn, context, Attempt::AfterFailure);
            self.explain_the_wait(now, is_wordless);
        } else if is_wordless {
            self.fail(now, Phrase::AskAgain);
        } else {
            self.say(Say::Phrase(Phrase::AskAgain));
        }
    }

    /// A caller who has heard nothing, or hears no fillers, learns that the model is asked again.
    fn explain_the_wait(&mut self, now: At, is_wordless: bool) {
        if is_wordless || self.settings.filler_ms.is_zero() {
            self.timers.stop(Timer::Filler);
            self.say(Say::Phrase(Phrase::Difficulty));
        } else if matches!(&self.floor, Floor::Agent(response, _) if response.is_busy())
            && self.filler.is_none()
            && !self.timers.is_running(Timer::Filler)
        {
            self.await_response(now);
        }
    }
}
