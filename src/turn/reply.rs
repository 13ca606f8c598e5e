//! The agent holds the floor: its reply as it comes, is spoken and heard, or fails.

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::floor::{Challenge, Floor};
use super::timer::Timer;
use super::{Ending, Output, Phrase, Say, Speaker, SpeechId, Turn, TurnId};

/// How long after a filler another one is heard, if the caller still waits.
const FILLER_AGAIN: Duration = Duration::from_secs(5);

impl Turn {
    pub(super) fn reply_text(&mut self, now: Instant, turn: TurnId, text: &str) {
        let Some(answer) = self.floor.answer_mut().filter(|answer| answer.turn == turn) else { return };
        answer.add(now, text, &mut self.out);
    }

    pub(super) fn reply_ended(&mut self, now: Instant, turn: TurnId) {
        let Some(answer) = self.floor.answer_mut() else { return };
        if answer.turn == turn && !answer.complete {
            answer.end(&mut self.out);
            self.reply_completed(now);
        }
    }

    pub(super) fn reply_hangs_up(&mut self, turn: TurnId) {
        let Some(answer) = self.floor.answer_mut() else { return };
        if answer.turn == turn && !answer.complete {
            answer.hangs_up = true;
        }
    }

    /// What was said stands; half a sentence that was not is dropped.
    pub(super) fn reply_failed(&mut self, now: Instant, turn: TurnId) {
        let Some(answer) = self.floor.answer_mut() else { return };
        if answer.turn == turn && !answer.complete {
            answer.bid_farewell(&mut self.out);
            answer.complete = true;
            self.reply_completed(now);
        }
    }

    fn reply_completed(&mut self, now: Instant) {
        match &self.floor {
            // An early reply that failed is regretted when its turn is committed.
            Floor::Agent(answer, _) if answer.is_wordless() => self.fail(now, Phrase::Difficulty),
            _ => self.finish_if_over(now),
        }
    }

    pub(super) fn playback_started(&mut self, now: Instant, speech: SpeechId) {
        if let Some(answer) = self.audible(speech) {
            answer.started(speech, now);
            self.timers.stop(Timer::Filler);
        }
    }

    pub(super) fn played(
        &mut self,
        now: Instant,
        speech: SpeechId,
        position: Duration,
        total: Option<Duration>,
    ) {
        if let Some(answer) = self.audible(speech) {
            answer.played(speech, now, position, total);
            self.timers.stop(Timer::Filler);
        }
    }

    pub(super) fn playback_ended(&mut self, now: Instant, speech: SpeechId) {
        if self.filler.take_if(|filler| *filler == speech).is_some() {
            self.timers.start(Timer::Filler, now, FILLER_AGAIN);
        }
        if let Some(answer) = self.audible(speech) {
            answer.ended(speech);
            self.finish_if_over(now);
        }
    }

    pub(super) fn synthesis_failed(&mut self, now: Instant, speech: SpeechId) {
        let Some(answer) = self.floor.answer_mut().filter(|answer| answer.contains(speech)) else { return };
        if answer.broke(speech) && answer.farewell.is_none() {
            answer.say(Say::Phrase(Phrase::AudioIssues), &mut self.out);
        }
        self.finish_if_over(now);
    }

    /// The words or the reply are late: something has to be heard, but not on top of the caller.
    pub(super) fn bridge(&mut self, now: Instant) {
        let turn = match &self.floor {
            Floor::Caller(utterance) if utterance.overdue => utterance.turn,
            Floor::Agent(answer, _) if answer.is_awaited() => answer.turn,
            _ => return,
        };
        if self.voice.is_some() || self.floor.is_paused() || self.on_hold {
            return self.timers.start(Timer::Filler, now, FILLER_AGAIN);
        }
        let speech = self.out.new_speech();
        self.filler = Some(speech);
        self.out.push(Output::Say { speech, turn, what: Say::Phrase(Phrase::Filler), held: false });
    }

    pub(super) fn say(&mut self, what: Say) {
        if let Floor::Agent(answer, _) = &mut self.floor {
            answer.say(what, &mut self.out);
        }
    }

    /// An engine's failure leaves the caller without an answer: says so, or gives the call up.
    pub(super) fn fail(&mut self, now: Instant, phrase: Phrase) {
        let Floor::Agent(answer, _) = &mut self.floor else { return };
        answer.failed = true;
        self.failures += 1;
        self.timers.stop(Timer::Filler);
        if self.failures >= self.settings.max_failures {
            self.say_goodbye(now, Phrase::Goodbye, Ending::EngineFailure);
        } else {
            self.say(Say::Phrase(phrase));
        }
    }

    /// Gives the floor up if everything was said, and once it is known whether the caller meant something by what
    /// they said meanwhile.
    pub(super) fn finish_if_over(&mut self, now: Instant) {
        let Floor::Agent(answer, challenge) = &self.floor else { return };
        let waits = self.voice.is_none() && challenge.as_ref().is_some_and(Challenge::is_late);
        if answer.is_over() && !waits {
            self.finish(now);
        }
    }

    /// The agent is done.
    pub(super) fn finish(&mut self, now: Instant) {
        let Floor::Agent(answer, challenge) = std::mem::replace(&mut self.floor, Floor::Nobody) else {
            return;
        };
        self.stop_answering();
        self.conclude(&answer, false);
        // A caller who speaks over the agent's last words has more to say.
        let hangs_up = answer.hangs_up && challenge.is_none() && self.voice.is_none();
        match answer.farewell.or(hangs_up.then_some(Ending::AgentHungUp)) {
            Some(ending) => self.hang_up(ending),
            None => {
                let spoken_over = challenge.map(|challenge| self.outlast(challenge));
                self.settle(now, spoken_over);
            }
        }
    }

    /// A turn is over: it is written down, and counted if an engine spoilt it.
    pub(super) fn conclude(&mut self, answer: &Answer, interrupted: bool) {
        if answer.was_heard() {
            self.failures = 0;
        } else if answer.question.is_some() && answer.is_broken() && !answer.failed {
            self.failures += 1;
        }
        let record = answer.record(&self.wording, interrupted);
        self.transcript.add(Speaker::Agent, &record.agent);
        self.out.push(Output::Finished(record));
    }

    /// The answer that `speech` belongs to, if the caller may hear it.
    fn audible(&mut self, speech: SpeechId) -> Option<&mut Answer> {
        self.floor.answer_mut().filter(|answer| answer.committed && answer.contains(speech))
    }
}
