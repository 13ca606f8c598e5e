//! The caller's turn and endpointing.
//!
//! A pause is a soft end: the utterance is transcribed and a response is prepared, unheard. The turn is committed when
//! the pause has lasted; speech before the commit discards that work and joins the two parts.
//!
//! | from | event | to |
//! |---|---|---|
//! | open | `SpeechPaused` | paused; the words are asked for, with `early_reply` |
//! | open | timer `Monologue` | cut, and waiting for words |
//! | paused | `SpeechStarted` | open: a new utterance with the same beginning |
//! | paused | words | the commit is adjusted to them, and a response is prepared |
//! | open | partial words | kept: at the pause they prepare a response before the final words are known |
//! | paused | timer `Commit`, words known | the agent has the floor; free, after a cough |
//! | paused | timer `Commit`, no words yet | waiting for words |
//! | paused, cut, waiting for words | words, or their failure | the agent has the floor |
//! | paused | timer `Commit`, keys are being pressed | paused |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::{Completeness, completeness};
use super::floor::Floor;
use super::outbox::Outbox;
use super::response::{Question, Response};
use super::timer::Timer;
use super::words::Words;
use super::{At, Command, Conversation, Ending, Latency, Phrase, Record, Say, TurnId, UtteranceId};
use crate::language::Language;

/// Sound without words that is shorter than this is a cough or a knock, not speech that was not understood.
const COUGH: Duration = Duration::from_millis(400);

/// The caller's utterance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Utterance {
    pub turn: TurnId,
    pub from: At,
    extent: Extent,
    pub words: Words,
    /// Words before those that are being transcribed.
    before: String,
    wait: Wait,
    /// The level of its loudest part, in dBov.
    pub level: Option<i8>,
    latency: Latency,
    advance: Advance,
    /// The response that is prepared at a soft end.
    pub early: Option<Response>,
}

/// Requests for a response before the commit. One of them may be in vain: a turn costs two requests at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Advance {
    Possible,
    /// A response was prepared and discarded: the next one waits for the commit.
    Spent,
}

/// How far the utterance extends.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Extent {
    /// The caller speaks.
    Open,
    /// The latest speech ended at `to`; more speech continues the utterance.
    Paused { to: At },
    /// It was too long: later speech is no part of it.
    Cut { to: At },
}

/// The event that the commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Wait {
    /// More speech, for a while.
    ForSpeech,
    /// The words alone: the wait for more speech is over.
    ForWords,
}

impl Utterance {
    /// Speech that began at `from` and continues.
    pub fn new(turn: TurnId, from: At) -> Utterance {
        Utterance {
            turn,
            from,
            extent: Extent::Open,
            words: Words::Unasked,
            before: String::new(),
            wait: Wait::ForSpeech,
            level: None,
            latency: Latency::default(),
            advance: Advance::Possible,
            early: None,
        }
    }

    /// Speech between two moments that is being transcribed.
    pub fn asked(turn: TurnId, id: UtteranceId, from: At, to: At) -> Utterance {
        let words = Words::Asked { id, partial: String::new() };
        Utterance { extent: Extent::Paused { to }, words, ..Utterance::new(turn, from) }
    }

    /// Speech that began at `from`, continues, and is being recognised.
    pub fn open(turn: TurnId, words: Words, from: At) -> Utterance {
        Utterance { words, ..Utterance::new(turn, from) }
    }

    /// A response to its beginning was discarded.
    pub fn after_a_discarded_response(self) -> Utterance {
        Utterance { advance: Advance::Spent, ..self }
    }

    /// Puts known words before those that are being transcribed; an utterance that is not transcribed yet will contain
    /// them.
    pub fn following(mut self, words: String) -> Utterance {
        if self.words != Words::Unasked {
            self.before = words;
        }
        self
    }

    /// The record of a caller who leaves now.
    pub fn record(&self) -> Option<Record> {
        match &self.words {
            Words::Known(text) if !text.is_empty() => Some(Record {
                turn: self.turn,
                caller: text.clone(),
                keys: None,
                agent: String::new(),
                tools: Vec::new(),
                interrupted: false,
                latency: self.latency,
            }),
            _ => None,
        }
    }

    /// Begins the recognition of an utterance that is not recognised yet.
    fn recognise(&mut self, out: &mut Outbox) {
        if self.words == Words::Unasked {
            self.words = Words::open(self.turn, self.from, out);
        }
    }

    /// The cancellation of a turn ended its recognition too: begins it again if its words are awaited.
    pub fn recognise_again(&mut self, out: &mut Outbox) {
        if self.words.is_pending() {
            self.words = Words::open(self.turn, self.from, out);
            if let Some(to) = self.to() {
                self.words.end(to, out);
            }
        }
    }

    /// The end of the latest speech; `None` while the caller speaks.
    fn to(&self) -> Option<At> {
        match self.extent {
            Extent::Open => None,
            Extent::Paused { to } | Extent::Cut { to } => Some(to),
        }
    }

    fn is_cut(&self) -> bool {
        matches!(self.extent, Extent::Cut { .. })
    }

    /// The caller waits for a response, and only the words are missing.
    pub fn is_overdue(&self) -> bool {
        self.wait == Wait::ForWords
    }

    /// Recognition is over, with words or without.
    pub fn is_judged(&self) -> bool {
        matches!(self.words, Words::Known(_) | Words::Failed)
    }

    /// These words after those that were known before.
    fn with_earlier_words(&self, text: &str) -> String {
        format!("{} {text}", self.before).trim().to_owned()
    }

    /// Discards the prepared response; the rest of the turn has another id.
    pub fn discard_response(&mut self, out: &mut Outbox) {
        out.command(Command::Cancel { turn: self.turn });
        self.turn = out.new_turn();
        if self.early.take().is_some() {
            self.advance = Advance::Spent;
        }
    }

    /// The end of the latest speech, which more speech continues.
    pub fn paused_at(&self) -> Option<At> {
        match self.extent {
            Extent::Paused { to } => Some(to),
            Extent::Open | Extent::Cut { .. } => None,
        }
    }

    /// How complete the words sound, as far as they are known.
    pub fn completeness(&self, language: &Language) -> Option<Completeness> {
        let text = match &self.words {
            Words::Known(text) => text.clone(),
            words if words.partial().is_empty() => return None,
            words => self.with_earlier_words(words.partial()),
        };
        Some(completeness(&text, language))
    }

    fn question(&self, to: At, text: &str) -> Question {
        Question { from: self.from, to, text: text.to_owned(), keys: None }
    }
}

impl Conversation {
    /// Gives the floor to the caller, who speaks or has just paused.
    pub(super) fn hear(&mut self, mut utterance: Utterance) {
        self.end_entry();
        self.timers.stop(Timer::Silence);
        match utterance.to() {
            Some(to) => self.timers.start(Timer::Commit, to, self.settings.commit_ms),
            None => self.limit_speech(utterance.from),
        }
        utterance.recognise(&mut self.out);
        self.floor = Floor::Caller(utterance);
    }

    /// Limits an utterance, pauses included, to `max_speech_ms`.
    fn limit_speech(&mut self, from: At) {
        self.timers.start(Timer::Monologue, from, self.settings.max_speech_ms);
    }

    /// The caller continues before the commit: work on the first part is discarded.
    pub(super) fn join(&mut self) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.is_cut() {
            return;
        }
        self.timers.stop(Timer::Commit);
        self.timers.stop(Timer::Filler);
        self.filler = None;
        let from = utterance.from;
        if matches!(utterance.words, Words::Open { .. }) {
            let joined = Utterance::open(utterance.turn, utterance.words.clone(), from);
            let Utterance { advance, level, .. } = *utterance;
            *utterance = Utterance { before: utterance.before.clone(), advance, level, ..joined };
        } else {
            utterance.discard_response(&mut self.out);
            let Utterance { advance, level, .. } = *utterance;
            *utterance = Utterance { advance, level, ..Utterance::new(utterance.turn, from) };
        }
        utterance.recognise(&mut self.out);
        self.limit_speech(from);
    }

    /// The caller, or a television, does not stop: the utterance so far gets a response.
    pub(super) fn cut_monologue(&mut self, now: At) {
        self.soft_end(now, None);
        self.timers.stop(Timer::Commit);
        if let Floor::Caller(utterance) = &mut self.floor {
            utterance.extent = Extent::Cut { to: utterance.to().unwrap_or(now) };
        }
        self.commit(now);
    }

    /// The soft end.
    pub(super) fn soft_end(&mut self, at: At, level: Option<i8>) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.is_cut() {
            return;
        }
        let to = at.max(utterance.from);
        utterance.extent = Extent::Paused { to };
        utterance.level = utterance.level.max(level);
        self.timers.stop(Timer::Monologue);
        let partial = utterance.words.partial().to_owned();
        let partial = if partial.is_empty() { partial } else { utterance.with_earlier_words(&partial) };
        self.timers.start(Timer::Commit, to, self.wait_after(&partial));
        if self.settings.early_reply {
            self.ask_for_words();
            if completeness(&partial, self.language) != Completeness::Trailing {
                self.prepare(to, &partial);
            }
        }
    }

    /// The silence after which a turn with these words is committed.
    fn wait_after(&self, text: &str) -> Duration {
        match completeness(text, self.language) {
            Completeness::Finished => self.settings.commit_finished_ms,
            Completeness::Unclear => self.settings.commit_ms,
            Completeness::Trailing => self.settings.commit_trailing_ms,
        }
    }

    /// The caller's pause was noticed.
    pub(super) fn note_pause(&mut self, now: At) {
        if let Floor::Caller(utterance) = &mut self.floor
            && let Extent::Paused { to } = utterance.extent
        {
            utterance.latency.pause = Some(now.since(to));
        }
    }

    fn ask_for_words(&mut self) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let Some(at) = utterance.to() else { return };
        utterance.words.end(at, &mut self.out);
    }

    /// The words so far of an utterance that is recognised as it is spoken.
    pub(super) fn utterance_partial(&mut self, id: UtteranceId, text: &str) {
        if let Floor::Caller(utterance) = &mut self.floor {
            utterance.words.hear(id, text);
        }
    }

    /// The transcript of the utterance, unless `id` is outdated.
    pub(super) fn utterance_words(&mut self, now: At, id: UtteranceId, text: &str) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let Some(to) = utterance.to().filter(|_| utterance.words.awaits(id)) else { return };
        let text = utterance.with_earlier_words(text);
        utterance.words = Words::Known(text.clone());
        utterance.latency.transcript = Some(now.since(to));
        self.recognition_times.add(now.since(to));
        self.confirm_response(now, &text);
        let Floor::Caller(utterance) = &self.floor else { return };
        if utterance.is_overdue() {
            self.commit(now);
        } else if !text.is_empty() {
            self.timers.start(Timer::Commit, to, self.wait_after(&text));
            self.prepare(to, &text);
            self.reconsider_background();
        }
    }

    /// A response that was prepared for partial words stands if the final words are the same.
    fn confirm_response(&mut self, now: At, text: &str) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let (Some(to), Some(early)) = (utterance.to(), &mut utterance.early) else { return };
        if !early.confirm(text, now.since(to)) {
            utterance.discard_response(&mut self.out);
        }
    }

    /// Prepares a response, unheard, to words that may be the whole utterance.
    fn prepare(&mut self, to: At, text: &str) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let may = self.settings.early_reply && utterance.advance == Advance::Possible;
        let is_new = utterance.early.is_none() && !text.is_empty();
        if may && is_new && !self.limits.no_turn_left(&self.settings) {
            let question = utterance.question(to, text);
            utterance.early = Some(Response::to(utterance.turn, question, utterance.latency));
            let context = self.transcript.followed_by(self.keypad.complete_keys(), text);
            self.out.command(Command::Respond { turn: utterance.turn, context });
        }
    }

    pub(super) fn utterance_failed(&mut self, now: At, id: UtteranceId) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.words.awaits(id) {
            utterance.words = Words::Failed;
            if utterance.is_overdue() {
                self.commit(now);
            }
        }
    }

    /// The wait for more speech is over: the floor goes to the agent as soon as the transcript is there.
    pub(super) fn commit(&mut self, now: At) {
        if self.awaits_keys(now) {
            return;
        }
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let Some(to) = utterance.to() else { return };
        match &utterance.words {
            Words::Unasked | Words::Open { .. } => {
                utterance.wait = Wait::ForWords;
                self.ask_for_words();
                self.await_response(now);
            }
            Words::Asked { .. } => {
                utterance.wait = Wait::ForWords;
                self.await_response(now);
            }
            Words::Known(text) if text.is_empty() && to.since(utterance.from) < COUGH => {
                self.settle(now, None);
            }
            // The caller has pressed keys, which get a response without words.
            Words::Known(text) if text.is_empty() && self.keypad.is_complete() => self.settle(now, None),
            Words::Failed if self.keypad.is_complete() => self.settle(now, None),
            Words::Known(_) | Words::Failed if self.limits.no_turn_left(&self.settings) => {
                self.say_goodbye(now, Phrase::TurnLimitGoodbye, Ending::TurnLimit);
            }
            Words::Known(_) | Words::Failed => self.hand_over(now, to),
        }
    }

    /// The caller waits from now on.
    pub(super) fn await_response(&mut self, now: At) {
        if !self.settings.filler_ms.is_zero() {
            self.timers.start(Timer::Filler, now, self.settings.filler_ms);
        }
    }

    /// Gives the floor to the agent.
    fn hand_over(&mut self, now: At, to: At) {
        let Floor::Caller(utterance) = std::mem::replace(&mut self.floor, Floor::Free) else { return };
        self.timers.stop(Timer::Commit);
        self.limits.turn_taken();
        match &utterance.words {
            Words::Known(text) if !text.is_empty() => {
                self.caller_level = utterance.level.or(self.caller_level);
                let text = text.clone();
                self.respond(now, utterance, to, &text);
            }
            words => {
                self.timers.stop(Timer::Filler);
                let failed = *words == Words::Failed;
                let mut response =
                    Response::to(utterance.turn, utterance.question(to, ""), utterance.latency);
                response.commit(now);
                response.complete(&mut self.out);
                self.floor = Floor::Agent(response, None);
                if failed {
                    self.fail(now, Phrase::DidNotCatch);
                } else {
                    self.say(Say::Phrase(Phrase::DidNotCatch));
                }
            }
        }
    }

    /// Releases the prepared response, or asks for one.
    fn respond(&mut self, now: At, utterance: Utterance, to: At, text: &str) {
        let keys = self.take_entry();
        let question = utterance.question(to, text);
        let waiting = utterance.is_overdue();
        let mut response = match utterance.early {
            Some(mut early) => {
                early.latency.pause = utterance.latency.pause;
                self.out.command(Command::Release { turn: early.turn });
                early
            }
            None => {
                let context = self.transcript.followed_by(None, text);
                self.out.command(Command::Respond { turn: utterance.turn, context });
                Response::to(utterance.turn, question, utterance.latency)
            }
        };
        response.answer_keys(keys);
        self.transcript.add_caller(text);
        response.commit(now);
        let unanswered = response.is_complete() && response.is_wordless();
        self.floor = Floor::Agent(response, None);
        if unanswered {
            self.fail(now, Phrase::Difficulty);
        } else {
            if !waiting {
                self.await_response(now);
            }
            self.advance_tools(now);
            // Synthesis of the prepared response may have failed by now.
            self.finish_if_over(now);
        }
    }
}
