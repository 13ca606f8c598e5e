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
use super::segments::Segments;
use super::timer::Timer;
use super::words::Words;
use super::{At, Command, Conversation, Ending, Latency, Phrase, Record, Say, TurnId, UtteranceId};
use crate::language::Language;

/// Sound without words that is shorter than this is a cough or a knock, not speech that was not understood.
const COUGH: Duration = Duration::from_millis(400);

/// A part of an utterance that is as long as this is transcribed by itself. Recognisers need the context of shorter ones.
const LONG: Duration = Duration::from_secs(2);

/// Words are asked for again at a pause if the utterance has grown by this much …
const GROWN: Duration = Duration::from_secs(1);

/// … or if the pause lasts as long as this: most pauses within a sentence are shorter.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// The caller's utterance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Utterance {
    pub turn: TurnId,
    pub from: At,
    extent: Extent,
    pub words: Words,
    /// The beginning of the part that is being transcribed.
    part: At,
    /// Earlier parts.
    segments: Segments,
    /// The end of the latest part that was asked about.
    asked_to: Option<At>,
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
            part: from,
            segments: Segments::default(),
            asked_to: None,
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
        Utterance { extent: Extent::Paused { to }, words, asked_to: Some(to), ..Utterance::new(turn, from) }
    }

    /// Speech that began at `from`, continues, and is being recognised.
    pub fn open(turn: TurnId, words: Words, from: At) -> Utterance {
        Utterance { words, ..Utterance::new(turn, from) }
    }

    /// A response to its beginning was discarded.
    pub fn after_a_discarded_response(self) -> Utterance {
        Utterance { advance: Advance::Spent, ..self }
    }

    /// It continues a question that was answered too soon. An utterance that is not transcribed yet contains a short question
    /// anew, and follows a long one from `voice` on.
    pub fn following(mut self, question: &Question, voice: Option<At>) -> Utterance {
        let continues =
            voice.filter(|_| question.to.since(question.from) >= LONG && !question.text.is_empty());
        match (&self.words, continues) {
            (Words::Unasked, None) => {}
            (Words::Unasked, Some(voice)) => {
                self.part = voice;
                self.segments = Segments::known(question.text.clone());
            }
            _ => {
                self.part = voice.unwrap_or(self.part);
                self.segments = Segments::known(question.text.clone());
            }
        }
        self
    }

    /// The caller continues at `at`. Parts that were recognised, or are being so, stand if they are long.
    fn continue_at(&mut self, at: At, out: &mut Outbox) {
        let long = self.to().is_some_and(|to| to.since(self.part) >= LONG);
        let stands = match &self.words {
            Words::Open { .. } => return self.reopen(),
            Words::Known(text) if long || self.segments.are_all_of(text) => {
                self.segments = Segments::known(text.clone());
                self.discard_response(out);
                true
            }
            Words::Asked { id, .. } if self.early.is_none() && (long || !self.segments.are_known()) => {
                self.segments.add(*id, None);
                true
            }
            Words::Ended => true,
            Words::Unasked | Words::Asked { .. } | Words::Known(_) | Words::Failed => {
                self.discard_response(out);
                false
            }
        };
        if stands {
            self.part = at;
        }
        self.words = Words::open(self.turn, self.part, out);
        self.reopen();
    }

    fn reopen(&mut self) {
        self.extent = Extent::Open;
        self.wait = Wait::ForSpeech;
        self.latency = Latency::default();
        self.early = None;
    }

    /// Takes the final words of a part. Returns those of the whole utterance, once they are complete.
    fn take_words(&mut self, id: UtteranceId, text: &str) -> Option<String> {
        let whole = if self.segments.take(id, text) {
            self.segments.followed_by("")
        } else if !self.words.awaits(id) {
            return None;
        } else if self.segments.are_known() {
            let whole = self.segments.followed_by(text);
            self.words = Words::Known(whole.clone());
            return Some(whole);
        } else {
            self.segments.add(id, Some(text));
            self.words = Words::Ended;
            return None;
        };
        let complete = self.words == Words::Ended && self.segments.are_known();
        complete.then(|| {
            self.segments = Segments::known(whole.clone());
            self.words = Words::Known(whole.clone());
            whole
        })
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
            self.words = Words::open(self.turn, self.part, out);
        }
    }

    /// The cancellation of a turn ended its recognition too: begins it again if its words are awaited.
    pub fn recognise_again(&mut self, out: &mut Outbox) {
        if self.words.is_pending() {
            self.words = Words::open(self.turn, self.part, out);
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
        self.segments.followed_by(text)
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

    /// The caller continues before the commit, at `at`: a prepared response is discarded.
    pub(super) fn join(&mut self, at: At) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.is_cut() {
            return;
        }
        self.timers.stop(Timer::Commit);
        self.timers.stop(Timer::Filler);
        self.filler = None;
        self.timers.stop(Timer::Ask);
        utterance.continue_at(at, &mut self.out);
        let from = utterance.from;
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
            self.ask_soon(to, !partial.is_empty());
            if completeness(&partial, self.language) != Completeness::Trailing {
                self.prepare(to, &partial);
            }
        }
    }

    /// Asks for the words at a pause that began at `to`. A recogniser of whole clips is paid for each of them: one that
    /// was asked already is asked again when it is worth it.
    fn ask_soon(&mut self, to: At, is_streaming: bool) {
        let Floor::Caller(utterance) = &self.floor else { return };
        let has_grown = utterance.asked_to.is_none_or(|asked| to.since(asked) >= GROWN);
        if has_grown || is_streaming {
            self.ask_for_words();
        } else {
            self.timers.start(Timer::Ask, to, ASK_AGAIN);
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
            utterance.latency.pause.get_or_insert(now.since(to));
        }
    }

    pub(super) fn ask_for_words(&mut self) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let Some(at) = utterance.to() else { return };
        if utterance.words.end(at, &mut self.out) {
            utterance.asked_to = Some(at);
        }
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
        let Some(text) = utterance.take_words(id, text) else { return };
        let Some(to) = utterance.to() else { return };
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
        let is_new = utterance.early.is_none() && !text.is_empty() && utterance.segments.are_known();
        if may && is_new && !self.limits.no_turn_left(&self.settings) {
            let question = utterance.question(to, text);
            utterance.early = Some(Response::to(utterance.turn, question, utterance.latency));
            let context = self.transcript.followed_by(self.keypad.complete_keys(), text);
            self.out.command(Command::Respond { turn: utterance.turn, context });
        }
    }

    pub(super) fn utterance_failed(&mut self, now: At, id: UtteranceId) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.segments != Segments::default() {
            // The words of the other parts are answered.
            self.utterance_words(now, id, "");
        } else if utterance.words.awaits(id) {
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
            Words::Asked { .. } | Words::Ended => {
                utterance.wait = Wait::ForWords;
                self.await_response(now);
            }
            Words::Known(text) if text.is_empty() && to.since(utterance.from) < COUGH => {
                self.settle(now, None);
            }
            // The caller has pressed keys, which get a response without words.
            Words::Known(text) if text.is_empty() && self.keypad.is_complete() => self.settle(now, None),
            Words::Failed if self.keypad.is_complete() => self.settle(now, None),
            Words::Known(text) if text.is_empty() => self.answer_noise(now),
            Words::Known(_) | Words::Failed if self.limits.no_turn_left(&self.settings) => {
                self.say_goodbye(now, Phrase::TurnLimitGoodbye, Ending::TurnLimit);
            }
            Words::Known(_) | Words::Failed => self.hand_over(now, to),
        }
    }

    /// Sound without words. If the agent wanted an answer, it asks again, then in other words, and then says goodbye; otherwise
    /// the sound is no turn.
    fn answer_noise(&mut self, now: At) {
        if !self.prompted {
            return self.settle(now, None);
        }
        match self.limits.noise_heard() {
            1 => self.ask_for_words_again(now, Phrase::DidNotCatch),
            2 => self.ask_for_words_again(now, Phrase::StillThere),
            _ => self.say_goodbye(now, Phrase::SilenceGoodbye, Ending::Silence),
        }
    }

    fn ask_for_words_again(&mut self, now: At, phrase: Phrase) {
        self.take_wordless_turn(now);
        self.say(Say::Phrase(phrase));
    }

    /// Gives the floor to the agent, which has no words to respond to.
    fn take_wordless_turn(&mut self, now: At) {
        let Floor::Caller(utterance) = &self.floor else { return };
        let to = utterance.to().unwrap_or(now);
        self.timers.stop(Timer::Commit);
        self.timers.stop(Timer::Filler);
        let mut response = Response::to(utterance.turn, utterance.question(to, ""), utterance.latency);
        response.commit(now);
        response.complete(&mut self.out);
        self.floor = Floor::Agent(response, None);
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
        if let Words::Known(text) = &utterance.words {
            self.caller_level = utterance.level.or(self.caller_level);
            let text = text.clone();
            self.respond(now, utterance, to, &text);
        } else {
            self.floor = Floor::Caller(utterance);
            self.take_wordless_turn(now);
            self.fail(now, Phrase::DidNotCatch);
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
