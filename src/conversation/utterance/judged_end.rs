//! Ends of turns that the STT engine judges.
//!
//! A pause is left to an engine that hears the turn, for `commit_engine_ms` at most; a short answer to a question for `commit_ms`.
//! Then the words are asked for, as from any other engine.
//!
//! | from | event | to |
//! |---|---|---|
//! | open, paused | `TurnStarted` | its end is left to the engine |
//! | paused | `TurnMayEnd` | a response is prepared, unless the words lead on |
//! | open | `TurnMayEnd` | the same at the pause |
//! | open, paused | `TurnResumed` | the prepared response is discarded |
//! | paused | `TurnEnded` | committed; after `commit_trailing_ms` where the words lead on |
//! | open, voice just begun | `TurnEnded` | open: the voice begins the next part |
//! | open | `TurnEnded` | cut: the engine has heard the sound, and it is no speech of the caller's; committed |
//! | the same, words of an earlier part awaited | `TurnEnded` | cut, waiting for those words |
//! | open | `TurnEnded` of an earlier part | open: the part has its words |

use std::time::Duration;

use super::{Extent, Utterance};
use crate::conversation::endpoint::{Completeness, completeness, is_short_answer, spoken};
use crate::conversation::floor::Floor;
use crate::conversation::outbox::Outbox;
use crate::conversation::segments::Segments;
use crate::conversation::timer::Timer;
use crate::conversation::words::{TurnEnd, Words};
use crate::conversation::{At, Conversation, UtteranceId};

/// A voice that began this shortly before the end of a turn arrives may not have been heard by the engine.
const UNHEARD: Duration = Duration::from_millis(400);

impl Conversation {
    /// The engine judges the turn: it goes on, or may be over.
    pub(in crate::conversation) fn turn_judged(&mut self, id: UtteranceId, text: &str, end: TurnEnd) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let was_possible = utterance.words.turn_end() == TurnEnd::Possible;
        if !utterance.words.judge(id, spoken(text), end) {
            return;
        }
        if was_possible && end == TurnEnd::Awaited {
            utterance.retract_response(&mut self.out);
        }
        let text = utterance.with_earlier_words(utterance.words.partial());
        if let Some(to) = utterance.paused_at().filter(|_| !utterance.is_overdue()) {
            self.leave_end_to_engine(to, &text);
        }
    }

    /// The caller has paused at `to`, and the engine judges whether the turn is over.
    pub(super) fn leave_end_to_engine(&mut self, to: At, text: &str) {
        let Floor::Caller(utterance) = &self.floor else { return };
        let may_end = utterance.words.turn_end() == TurnEnd::Possible;
        let is_answer = self.prompted && is_short_answer(text, self.language);
        let wait = if is_answer { self.settings.commit_ms } else { self.settings.commit_engine_ms };
        self.timers.stop(Timer::Ask);
        self.timers.start(Timer::Commit, to, wait);
        if may_end && completeness(text, self.language) != Completeness::Trailing {
            self.prepare(to, text);
        }
    }

    /// The engine has ended the turn.
    pub(in crate::conversation) fn turn_ended(&mut self, now: At, id: UtteranceId, text: &str) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        utterance.words.end_by_engine(id);
        if !utterance.is_part(id) {
            return;
        }
        if matches!(utterance.extent, Extent::Open) {
            if utterance.segments.awaits(id) {
                utterance.segments.take(id, text);
                return;
            }
            if let Some(voice) = self.voice.filter(|voice| now.since(*voice) < UNHEARD) {
                return utterance.follow_part(id, text, voice, &mut self.out);
            }
            utterance.extent = Extent::Cut { to: now };
            self.timers.stop(Timer::Monologue);
        }
        let is_cut = utterance.is_cut();
        let Some(text) = utterance.take_words(id, text) else {
            // Only the words of an earlier part are missing.
            if is_cut && !utterance.is_overdue() {
                self.commit(now);
            }
            return;
        };
        let Some(to) = utterance.to() else { return };
        let is_overdue = utterance.is_overdue();
        utterance.latency.transcript = Some(now.since(to));
        self.confirm_response(now, &text);
        let leads_on = completeness(&text, self.language) == Completeness::Trailing;
        if leads_on && !is_cut && !is_overdue {
            self.timers.start(Timer::Commit, to, self.settings.commit_trailing_ms);
            self.prepare(to, &text);
            self.reconsider_background();
        } else {
            self.commit(now);
        }
    }
}

impl Utterance {
    /// Whether `id` is the recognition of one of its parts.
    fn is_part(&self, id: UtteranceId) -> bool {
        self.words.awaits(id) || self.segments.awaits(id)
    }

    /// Discards the prepared response, if there is one, and goes on with the recognition.
    fn retract_response(&mut self, out: &mut Outbox) {
        if self.early.is_none() {
            return;
        }
        let partial = self.words.partial().to_owned();
        self.discard_response(out);
        self.words = Words::open(self.turn, self.part, out);
        if let Words::Open { id, .. } = self.words {
            self.words.judge(id, &partial, TurnEnd::Awaited);
        }
    }

    /// The engine has ended a part with these words; the next one begins at `voice`.
    fn follow_part(&mut self, id: UtteranceId, text: &str, voice: At, out: &mut Outbox) {
        if self.early.is_some() {
            self.discard_response(out);
        }
        self.segments.add(id, Some(text));
        if self.segments.are_known() {
            self.segments = Segments::known(self.segments.followed_by(""));
        }
        self.part = voice;
        self.words = Words::open(self.turn, voice, out);
    }
}
