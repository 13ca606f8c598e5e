//! Endpointing: the pauses of an utterance, its words, and the commit.

use std::time::Duration;

use super::{Extent, SHORT_PHRASE, Sound, Utterance, Wait};
use crate::conversation::endpoint::{Completeness, completeness, is_question, is_short_answer};
use crate::conversation::floor::Floor;
use crate::conversation::limits::Turn;
use crate::conversation::response::Response;
use crate::conversation::segments::Segments;
use crate::conversation::timer::Timer;
use crate::conversation::words::{TurnEnd, Words};
use crate::conversation::{At, Attempt, Command, Conversation, EndJudge, Ending, Phrase, Say, UtteranceId};

/// Sound without words that is shorter than this is a cough or a knock, not speech that was not understood.
const COUGH: Duration = Duration::from_millis(400);

/// An utterance that is shorter than this, as a "yes", is not judged by its sound.
const SHORT: Duration = Duration::from_millis(800);

/// Words are asked for again at a pause if the utterance has grown by this much …
const GROWN: Duration = Duration::from_secs(1);

/// … or if the pause lasts as long as this: most pauses within a sentence are shorter.
const ASK_AGAIN: Duration = Duration::from_millis(250);

impl Conversation {
    /// Gives the floor to the caller, who speaks or has just paused.
    pub(in crate::conversation) fn hear(&mut self, mut utterance: Utterance) {
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
    pub(in crate::conversation) fn join(&mut self, at: At) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.is_cut() {
            return;
        }
        self.timers.stop(Timer::Commit);
        self.timers.stop(Timer::Filler);
        self.filler = None;
        self.timers.stop(Timer::Ask);
        if utterance.sound == Sound::Unfinished(EndJudge::Pitch) {
            self.intonation.went_on();
        }
        utterance.continue_at(at, &mut self.out);
        let from = utterance.from;
        self.limit_speech(from);
    }

    /// The caller, or a television, does not stop: the utterance so far gets a response.
    pub(in crate::conversation) fn cut_monologue(&mut self, now: At) {
        self.soft_end(now, None);
        self.timers.stop(Timer::Commit);
        if let Floor::Caller(utterance) = &mut self.floor {
            utterance.extent = Extent::Cut { to: utterance.to().unwrap_or(now) };
        }
        self.commit(now);
    }

    /// The soft end.
    pub(in crate::conversation) fn soft_end(&mut self, at: At, level: Option<i8>) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.is_cut() {
            return;
        }
        let to = at.max(utterance.from);
        utterance.extent = Extent::Paused { to };
        utterance.end_question(to);
        utterance.level = utterance.level.max(level);
        self.timers.stop(Timer::Monologue);
        let partial = utterance.words.partial().to_owned();
        let partial = if partial.is_empty() { partial } else { utterance.with_earlier_words(&partial) };
        let (turn, from) = (utterance.turn, utterance.from);
        if utterance.words.turn_end() != TurnEnd::NotJudged {
            return self.leave_end_to_engine(to, &partial);
        }
        let wait = self.wait_from_notice(to, self.wait_after(&partial));
        self.timers.start(Timer::Commit, to, wait);
        if self.settings.judges_sound() && to.since(from) >= SHORT {
            self.out.command(Command::JudgeEnd { turn, from, to });
        }
        if self.settings.early_reply {
            let is_live = !partial.is_empty();
            self.ask_soon(to, is_live);
            if is_live {
                self.prepare_soon(to, &partial);
            }
        }
    }

    /// Asks for the words at a pause that began at `to`. A recogniser of whole clips is paid for each of them: one that
    /// was asked already is asked again when it is worth it.
    fn ask_soon(&mut self, to: At, is_live: bool) {
        let Floor::Caller(utterance) = &self.floor else { return };
        let has_grown = utterance.asked_to.is_none_or(|asked| to.since(asked) >= GROWN);
        let part = to.since(utterance.part);
        let is_paid = part >= SHORT_PHRASE || self.out.asked.allows(part);
        if is_live || has_grown && is_paid {
            self.ask_for_words();
        } else {
            self.timers.start(Timer::Ask, to, ASK_AGAIN);
        }
    }

    /// The utterance that paused at `to` sounds unfinished, whatever its words.
    pub(in crate::conversation) fn sounds_unfinished(&mut self, to: At, by: EndJudge) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let is_judged = utterance.words.turn_end() != TurnEnd::NotJudged;
        if utterance.paused_at() == Some(to) && !utterance.is_overdue() && !is_judged {
            utterance.sound = Sound::Unfinished(by);
            let text = utterance.words_so_far().unwrap_or_default();
            let wait = self.wait_from_notice(to, self.wait_after(&text));
            // A voice in the background may have put it off for longer.
            self.timers.extend(Timer::Commit, to, wait);
        }
    }

    /// The silence after which a turn with these words is committed.
    pub(in crate::conversation) fn wait_after(&self, text: &str) -> Duration {
        let by_words = match completeness(self.own_words(text), self.language) {
            _ if self.is_whole(text) => self.settings.commit_finished_ms,
            Completeness::Trailing => self.settings.commit_trailing_ms,
            Completeness::Finished | Completeness::Unclear => self.settings.commit_ms,
        };
        let Floor::Caller(utterance) = &self.floor else { return by_words };
        match utterance.sound {
            Sound::Unfinished(EndJudge::Model) => self.settings.commit_trailing_ms,
            Sound::Unfinished(EndJudge::Pitch) if self.lets_pitch_decide(text) => {
                by_words.max(self.settings.commit_level_ms)
            }
            Sound::Unfinished(EndJudge::Pitch) | Sound::Unknown => by_words,
        }
    }

    /// Questions rise, and a short answer is whole in any pitch.
    fn lets_pitch_decide(&self, text: &str) -> bool {
        let text = self.own_words(text);
        let is_answer = self.prompted && is_short_answer(text, self.language);
        self.intonation.is_kept() && !is_question(text) && !is_answer
    }

    /// The caller's pause was noticed.
    pub(in crate::conversation) fn note_pause(&mut self, now: At) {
        if let Floor::Caller(utterance) = &mut self.floor
            && let Extent::Paused { to } = utterance.extent
        {
            utterance.latency.pause.get_or_insert(now.since(to));
        }
    }

    pub(in crate::conversation) fn ask_for_words(&mut self) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let Some(at) = utterance.to() else { return };
        if utterance.words.end(at, &mut self.out) {
            utterance.asked_to = Some(at);
        }
    }

    /// The transcript of the utterance, unless `id` is outdated.
    pub(in crate::conversation) fn utterance_words(&mut self, now: At, id: UtteranceId, text: &str) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let is_live = !utterance.words.partial().is_empty();
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
            if is_live || self.is_begun_question(&text) {
                self.prepare_soon(to, &text);
            } else {
                self.prepare(to, &text);
            }
            self.reconsider_background();
        }
    }

    pub(in crate::conversation) fn utterance_failed(&mut self, now: At, id: UtteranceId) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.segments != Segments::default() {
            // The words of the other parts are answered.
            self.utterance_words(now, id, "");
        } else if utterance.words.awaits(id) {
            utterance.words = Words::Failed;
            if utterance.early.is_some() {
                utterance.discard_response(&mut self.out);
            }
            if utterance.is_overdue() {
                self.commit(now);
            }
        }
    }

    /// The wait for more speech is over: the floor goes to the agent as soon as the transcript is there.
    pub(in crate::conversation) fn commit(&mut self, now: At) {
        if self.awaits_keys(now) {
            return;
        }
        let is_emergency = self.is_emergency_known();
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
            Words::Known(_) | Words::Failed if self.limits.no_turn_left(&self.settings) && !is_emergency => {
                self.say_goodbye(now, Phrase::TurnLimitGoodbye, Ending::TurnLimit);
            }
            Words::Known(_) | Words::Failed => self.hand_over(now, to),
        }
    }

    /// Sound without words. If the agent wanted an answer, it asks again, then in other words, and then says goodbye; otherwise,
    /// and on hold, the sound is no turn.
    fn answer_noise(&mut self, now: At) {
        if !self.prompted || self.hold.is_on() {
            return self.settle(now, None);
        }
        if self.survey.is_open() {
            return self.rating_words(now, None);
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
    pub(in crate::conversation) fn await_response(&mut self, now: At) {
        let filler = Some(self.settings.filler_ms).filter(|delay| !delay.is_zero());
        let words = self.floor.response_mut().and_then(|response| response.tools.delay());
        match words.or(filler) {
            Some(delay) => self.timers.start(Timer::Filler, now, delay),
            None => self.timers.stop(Timer::Filler),
        }
    }

    /// Gives the floor to the agent.
    fn hand_over(&mut self, now: At, to: At) {
        if let Some(step) = self.step_by_words() {
            return self.step_by_speech(now, step);
        }
        let asks_for_rating = self.survey.is_open() && !self.is_emergency_known();
        self.note_intonation();
        let Floor::Caller(utterance) = std::mem::replace(&mut self.floor, Floor::Free) else { return };
        self.timers.stop(Timer::Commit);
        self.cautious_turns = self.cautious_turns.saturating_sub(1);
        if asks_for_rating {
            let text = match &utterance.words {
                Words::Known(text) => Some(text.clone()),
                _ => None,
            };
            self.floor = Floor::Caller(utterance);
            return self.rating_words(now, text.as_deref());
        }
        if let Words::Known(text) = &utterance.words {
            self.limits.turn_taken(Turn::of(text));
            self.voices.take_turn(utterance.level);
            let text = text.clone();
            self.respond(now, utterance, to, &text);
        } else {
            self.limits.turn_taken(Turn::Counted);
            self.floor = Floor::Caller(utterance);
            self.take_wordless_turn(now);
            self.fail(now, Phrase::DidNotCatch);
        }
    }

    /// The turn ends: where its pitch was level, the wait for more was in vain.
    fn note_intonation(&mut self) {
        let Floor::Caller(utterance) = &self.floor else { return };
        let is_level = utterance.sound == Sound::Unfinished(EndJudge::Pitch);
        if is_level && self.lets_pitch_decide(&utterance.words_so_far().unwrap_or_default()) {
            self.intonation.ended();
        }
    }

    /// Releases the prepared response, or asks for one.
    fn respond(&mut self, now: At, utterance: Utterance, to: At, text: &str) {
        let keys = self.take_entry();
        let question = utterance.question(to, text);
        if self.is_new_emergency(text) {
            let latency = utterance.latency;
            return self.respond_to_emergency(now, utterance, question, latency, keys);
        }
        let waiting = utterance.is_overdue();
        let mut response = match utterance.early {
            Some(mut early) => {
                early.latency.pause = utterance.latency.pause;
                self.out.command(Command::Release { turn: early.turn });
                self.late_tools.prepared_is_used();
                early
            }
            None => {
                let context = self.transcript.followed_by(None, text);
                self.ask_model(utterance.turn, context, Attempt::First);
                Response::to(utterance.turn, question, utterance.latency)
            }
        };
        response.answer_keys(keys);
        self.transcript.add_caller(text);
        response.commit(now);
        let is_incomplete = response.is_incomplete();
        self.floor = Floor::Agent(response, None);
        if is_incomplete {
            self.repair(now);
        } else {
            if !waiting {
                self.await_response(now);
            }
            self.watch_for_stall(now);
            self.advance_tools(now);
            // Synthesis of the prepared response may have failed by now.
            self.finish_if_over(now);
        }
    }
}
