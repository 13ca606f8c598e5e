//! Early replies: a response is prepared, unheard, before the turn is committed.
//!
//! A request that is discarded is paid for, and the next one waits for the commit. So the words decide when the model is
//! asked:
//!
//! | the caller | words | response |
//! |---|---|---|
//! | speaks | partial, a whole sentence | prepared at once: words are faster than the detection of a pause |
//! | speaks on | more than it answers | discarded |
//! | has paused | a whole sentence, or an answer to the agent's question | prepared at once |
//! | has paused | of a live engine, with an unclear end | prepared when the pause is longer than most within a sentence |
//! | has paused | of a live engine, that lead on | prepared when the pause is longer than most after such words |
//! | has paused | one or two, that begin a question | prepared at the commit |
//! | has paused | of an engine for clips | prepared at once: they arrive late enough |

use std::time::Duration;

use super::{Advance, Extent, Utterance};
use crate::conversation::endpoint::{Completeness, begins_question, completeness, is_short_answer, spoken};
use crate::conversation::floor::Floor;
use crate::conversation::outbox::Outbox;
use crate::conversation::response::Response;
use crate::conversation::timer::Timer;
use crate::conversation::words::{TurnEnd, Words};
use crate::conversation::{At, Attempt, Command, Conversation, TurnId, UtteranceId};
use crate::language::words;

/// Most pauses within a sentence are shorter, with the time until the next words are noticed.
const LASTING: Duration = Duration::from_millis(300);

/// The same after words that lead on.
const LASTING_AFTER_LEAD: Duration = Duration::from_millis(700);

/// The fewest words of a sentence that is answered while the caller is heard: "Hello." is often the beginning of one.
const LEAST_WORDS: usize = 3;

/// After a sentence that went on, so many turns, with its own, are not answered before their pause.
const CAUTIOUS_TURNS: u8 = 3;

impl Conversation {
    /// The words so far of an utterance that is recognised as it is spoken.
    pub(in crate::conversation) fn utterance_partial(&mut self, now: At, id: UtteranceId, text: &str) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if !utterance.words.hear(id, spoken(text)) || utterance.words.turn_end() != TurnEnd::NotJudged {
            return;
        }
        let text = utterance.with_earlier_words(utterance.words.partial());
        if utterance.outgrows_response(&text, &mut self.out) {
            self.cautious_turns = CAUTIOUS_TURNS;
        }
        let extent = utterance.extent;
        match extent {
            Extent::Open if self.may_end_with(&text) => self.prepare(now, &text),
            Extent::Paused { to } if self.is_whole(&text) => self.prepare(to, &text),
            Extent::Open | Extent::Paused { .. } | Extent::Cut { .. } => {}
        }
    }

    /// Whether words of a caller who is heard are likely to be the whole utterance.
    fn may_end_with(&self, text: &str) -> bool {
        self.cautious_turns == 0
            && completeness(text, self.language) == Completeness::Finished
            && words(text).len() >= LEAST_WORDS
    }

    /// Whether the words are a whole sentence, or a whole answer to the agent's question.
    pub(super) fn is_whole(&self, text: &str) -> bool {
        let text = self.own_words(text);
        match completeness(text, self.language) {
            Completeness::Finished => true,
            Completeness::Unclear => self.prompted && is_short_answer(text, self.language),
            Completeness::Trailing => false,
        }
    }

    /// Prepares a response to words that came early, at a pause that began at `to`.
    pub(super) fn prepare_soon(&mut self, to: At, text: &str) {
        if self.is_whole(text) {
            return self.prepare(to, text);
        }
        let leads_on = completeness(self.own_words(text), self.language) == Completeness::Trailing;
        self.timers.start(Timer::Ask, to, if leads_on { LASTING_AFTER_LEAD } else { LASTING });
    }

    /// The pause lasts longer than most within a sentence.
    pub(in crate::conversation) fn pause_lasts(&mut self) {
        self.ask_for_words();
        let Floor::Caller(utterance) = &self.floor else { return };
        let Some(to) = utterance.paused_at() else { return };
        let leads_on = self.leads_on();
        let is_known = matches!(utterance.words, Words::Known(_));
        let words = utterance.words_so_far().filter(|_| is_known || !leads_on);
        if let Some(text) = words.filter(|text| !self.is_begun_question(text)) {
            self.prepare(to, &text);
        }
    }

    /// "How much", "where is": one or two words that begin a question are seldom all of it.
    pub(super) fn is_begun_question(&self, text: &str) -> bool {
        begins_question(text, self.language) && words(text).len() < LEAST_WORDS
    }

    /// Prepares a response, unheard, to words that may be the whole utterance, which ends at `to`.
    pub(super) fn prepare(&mut self, to: At, text: &str) {
        // Its first words are not the model's.
        let is_emergency = self.is_new_emergency(text);
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let may =
            self.settings.early_reply && utterance.advance == Advance::Possible && !self.survey.is_open();
        let may = may && !self.menu.is_open();
        let is_new = utterance.early.is_none() && !text.is_empty() && utterance.segments.are_known();
        let is_new = is_new && !is_emergency;
        if may && is_new && !self.limits.no_turn_left(&self.settings) {
            // The cancellation of a turn ends its recognition.
            let turn = if utterance.to().is_some() { utterance.turn } else { self.out.new_turn() };
            let question = utterance.question(to, text);
            utterance.early = Some(Response::to(turn, question, utterance.latency));
            let context = self.transcript.followed_by(self.keypad.complete_keys(), text);
            self.out.command(Command::Respond { turn, context, attempt: Attempt::First });
            self.late_tools.read_for_prepared();
        }
    }

    /// A response that was prepared for partial words stands if the final words are the same.
    pub(super) fn confirm_response(&mut self, now: At, text: &str) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let (Some(to), Some(early)) = (utterance.to(), &mut utterance.early) else { return };
        if !early.confirm(text, now.since(to)) || text.is_empty() {
            utterance.discard_response(&mut self.out);
        }
    }
}

impl Utterance {
    /// The caller pauses at `to`: the times of a response that was prepared before count from then.
    pub(super) fn end_question(&mut self, to: At) {
        let turn = self.turn;
        if let Some(early) = self.early.as_mut().filter(|early| early.turn != turn) {
            early.question_ends(to);
        }
    }

    /// Discards a response that was prepared while the caller spoke and answers fewer words than `text` has. Recognition
    /// goes on. Returns whether there was one.
    fn outgrows_response(&mut self, text: &str, out: &mut Outbox) -> bool {
        let (turn, count) = (self.turn, words(text).len());
        let outgrown = self.early.take_if(|early| early.turn != turn && words_answered(early) < count);
        if let Some(early) = &outgrown {
            out.command(Command::Cancel { turn: early.turn });
            self.advance = Advance::Spent;
        }
        outgrown.is_some()
    }

    /// The turn of the response.
    pub fn response_turn(&self) -> TurnId {
        self.early.as_ref().map_or(self.turn, |early| early.turn)
    }

    /// Abandons all work for it.
    pub fn abandon(&self, out: &mut Outbox) {
        let early = Some(self.response_turn()).filter(|early| *early != self.turn);
        for turn in early.into_iter().chain([self.turn]) {
            out.command(Command::Cancel { turn });
        }
    }
}

/// How many words a response answers.
fn words_answered(response: &Response) -> usize {
    response.question.as_ref().map_or(0, |question| words(&question.text).len())
}
