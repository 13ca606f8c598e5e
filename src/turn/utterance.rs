//! The caller holds the floor: what they say, until it is clear that they have finished.
//!
//! A pause is a soft end: words are asked for and a reply is begun, unheard. The commit comes when
//! the pause has lasted; speech before it takes all of that back and joins the two halves.

use std::time::{Duration, Instant};

use super::answer::{Answer, Question};
use super::endpoint::{Completeness, completeness};
use super::floor::Floor;
use super::timer::Timer;
use super::{Ending, Latency, ListenId, Output, Phrase, Record, Say, Speaker, Turn, TurnId};

/// Wordless sound shorter than this is a cough or a knock, not speech that was not understood.
const COUGH: Duration = Duration::from_millis(400);

/// What the caller is saying.
#[derive(Debug)]
pub(super) struct Utterance {
    pub turn: TurnId,
    pub from: Instant,
    /// The end of the latest speech; still speaking if `None`.
    pub to: Option<Instant>,
    pub words: Words,
    /// Words that were understood before those that are asked for.
    before: String,
    /// The wait for more speech is over and only the words are missing.
    pub overdue: bool,
    /// It has gone on for too long: what is said from now on is no part of it.
    cut: bool,
    latency: Latency,
    /// The reply begun at a soft end.
    pub early: Option<Answer>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Words {
    Unasked,
    Asked(ListenId),
    Known(String),
    Failed,
}

impl Utterance {
    /// The caller began to speak at `from` and goes on.
    pub fn new(turn: TurnId, from: Instant) -> Utterance {
        Utterance {
            turn,
            from,
            to: None,
            words: Words::Unasked,
            before: String::new(),
            overdue: false,
            cut: false,
            latency: Latency::default(),
            early: None,
        }
    }

    /// The caller spoke between two moments, and was asked about already.
    pub fn asked(turn: TurnId, listen: ListenId, from: Instant, to: Instant) -> Utterance {
        Utterance { to: Some(to), words: Words::Asked(listen), ..Utterance::new(turn, from) }
    }

    /// The words before these are known; what is still to be asked about has them in it.
    pub fn following(mut self, words: String) -> Utterance {
        if self.words != Words::Unasked {
            self.before = words;
        }
        self
    }

    /// What the caller was understood to say, if they leave now.
    pub fn record(&self) -> Option<Record> {
        match &self.words {
            Words::Known(text) if !text.is_empty() => Some(Record {
                turn: self.turn,
                caller: text.clone(),
                agent: String::new(),
                interrupted: false,
                latency: self.latency,
            }),
            _ => None,
        }
    }

    fn question(&self, to: Instant, text: &str) -> Question {
        Question { from: self.from, to, text: text.to_owned() }
    }
}

impl Turn {
    /// The floor goes to the caller, who speaks or has just paused.
    pub(super) fn hear(&mut self, utterance: Utterance) {
        self.timers.stop(Timer::Silence);
        match utterance.to {
            Some(to) => self.timers.start(Timer::Commit, to, self.settings.commit_ms),
            None => self.limit_speech(utterance.from),
        }
        self.floor = Floor::Caller(utterance);
    }

    /// The caller speaks, and has from `from` on, with pauses: not for ever.
    fn limit_speech(&mut self, from: Instant) {
        self.timers.start(Timer::Monologue, from, self.settings.max_speech_ms);
    }

    /// The caller goes on before the commit: what was asked about the first half is void.
    pub(super) fn join(&mut self) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.cut {
            return;
        }
        self.timers.stop(Timer::Commit);
        self.timers.stop(Timer::Filler);
        self.filler = None;
        if utterance.words != Words::Unasked {
            self.out.push(Output::Cancel { turn: utterance.turn });
            utterance.turn = self.out.new_turn();
        }
        let from = utterance.from;
        *utterance = Utterance::new(utterance.turn, from);
        self.limit_speech(from);
    }

    /// The caller, or what is taken for one, goes on and on: what was said so far is answered.
    pub(super) fn cut_monologue(&mut self, now: Instant) {
        self.soft_end(now);
        self.timers.stop(Timer::Commit);
        if let Floor::Caller(utterance) = &mut self.floor {
            utterance.cut = true;
        }
        self.commit(now);
    }

    /// The soft end.
    pub(super) fn soft_end(&mut self, at: Instant) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.cut {
            return;
        }
        let to = at.max(utterance.from);
        utterance.to = Some(to);
        self.timers.stop(Timer::Monologue);
        self.timers.start(Timer::Commit, to, self.settings.commit_ms);
        if self.settings.early_reply {
            self.ask_for_words();
        }
    }

    fn ask_for_words(&mut self) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let Some(to) = utterance.to else { return };
        let listen = self.out.new_listen();
        utterance.words = Words::Asked(listen);
        self.out.push(Output::Transcribe { listen, turn: utterance.turn, from: utterance.from, to });
    }

    /// The words of the caller's utterance, if `listen` is still of interest.
    pub(super) fn utterance_words(&mut self, now: Instant, listen: ListenId, text: &str) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let Some(to) = utterance.to.filter(|_| utterance.words == Words::Asked(listen)) else { return };
        let text = format!("{} {text}", utterance.before);
        let text = text.trim();
        utterance.words = Words::Known(text.to_owned());
        utterance.latency.transcript = Some(now.saturating_duration_since(to));
        if utterance.overdue {
            self.commit(now);
        } else if !text.is_empty() {
            self.reconsider(to, text);
        }
    }

    /// The words tell more about whether the caller has finished, and a reply can be begun.
    fn reconsider(&mut self, to: Instant, text: &str) {
        let patience = match completeness(text) {
            Completeness::Finished => self.settings.commit_finished_ms,
            Completeness::Unclear => self.settings.commit_ms,
            Completeness::Trailing => self.settings.commit_trailing_ms,
        };
        self.timers.start(Timer::Commit, to, patience);
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if self.settings.early_reply && self.turns < self.settings.max_turns {
            let question = utterance.question(to, text);
            utterance.early = Some(Answer::to(utterance.turn, question, utterance.latency));
            self.out.push(Output::Ask { turn: utterance.turn, history: self.transcript.followed_by(text) });
        }
    }

    pub(super) fn utterance_failed(&mut self, now: Instant, listen: ListenId) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        if utterance.words == Words::Asked(listen) {
            utterance.words = Words::Failed;
            if utterance.overdue {
                self.commit(now);
            }
        }
    }

    /// The wait for more speech is over: the turn is the agent's, as soon as there are words.
    pub(super) fn commit(&mut self, now: Instant) {
        let Floor::Caller(utterance) = &mut self.floor else { return };
        let Some(to) = utterance.to else { return };
        match &utterance.words {
            Words::Unasked => {
                utterance.overdue = true;
                self.ask_for_words();
                self.await_answer(now);
            }
            Words::Asked(_) => {
                utterance.overdue = true;
                self.await_answer(now);
            }
            Words::Known(text) if text.is_empty() && to.duration_since(utterance.from) < COUGH => {
                self.settle(now, None);
            }
            Words::Known(_) | Words::Failed if self.turns >= self.settings.max_turns => {
                self.say_goodbye(now, Phrase::TurnLimitGoodbye, Ending::TurnLimit);
            }
            Words::Known(_) | Words::Failed => self.hand_over(now, to),
        }
    }

    /// From now on the caller waits.
    fn await_answer(&mut self, now: Instant) {
        if !self.settings.filler_ms.is_zero() {
            self.timers.start(Timer::Filler, now, self.settings.filler_ms);
        }
    }

    /// The floor goes to the agent.
    fn hand_over(&mut self, now: Instant, to: Instant) {
        let Floor::Caller(utterance) = std::mem::replace(&mut self.floor, Floor::Nobody) else { return };
        self.timers.stop(Timer::Commit);
        self.turns += 1;
        self.prompts = 0;
        match &utterance.words {
            Words::Known(text) if !text.is_empty() => {
                let text = text.clone();
                self.answer(now, utterance, to, &text);
            }
            words => {
                self.timers.stop(Timer::Filler);
                let failed = *words == Words::Failed;
                let mut answer = Answer::to(utterance.turn, utterance.question(to, ""), utterance.latency);
                answer.commit(now);
                answer.complete = true;
                self.floor = Floor::Agent(answer, None);
                if failed {
                    self.fail(now, Phrase::DidNotCatch);
                } else {
                    self.say(Say::Phrase(Phrase::DidNotCatch));
                }
            }
        }
    }

    /// The reply may be heard: the one that was begun early, or a new one.
    fn answer(&mut self, now: Instant, utterance: Utterance, to: Instant, text: &str) {
        let question = utterance.question(to, text);
        let waiting = utterance.overdue;
        let mut answer = match utterance.early {
            Some(early) => {
                self.out.push(Output::Release { turn: early.turn });
                early
            }
            None => {
                let history = self.transcript.followed_by(text);
                self.out.push(Output::Ask { turn: utterance.turn, history });
                Answer::to(utterance.turn, question, utterance.latency)
            }
        };
        self.transcript.add(Speaker::Caller, text);
        answer.commit(now);
        let unanswered = answer.complete && answer.is_wordless();
        self.floor = Floor::Agent(answer, None);
        if unanswered {
            self.fail(now, Phrase::Difficulty);
        } else {
            if !waiting {
                self.await_answer(now);
            }
            // Everything said early may have failed to be synthesised by now.
            self.finish_if_over(now);
        }
    }
}
