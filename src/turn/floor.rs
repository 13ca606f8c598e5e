//! Who holds the floor, and how it changes hands: barge-in and its retraction.
//!
//! It knows when somebody speaks, not what an answer is made of.

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::endpoint::is_backchannel;
use super::timer::Timer;
use super::utterance::Utterance;
use super::{ListenId, Output, Turn, TurnId};

/// Whose turn it is to speak.
#[derive(Debug)]
pub(super) enum Floor {
    /// The conversation has not begun.
    Unanswered,
    Nobody,
    /// The caller speaks, or has paused and may go on.
    Caller(Utterance),
    /// The agent thinks or speaks; perhaps the caller speaks over it.
    Agent(Answer, Option<Challenge>),
    Over,
}

/// The caller speaks while the agent does.
#[derive(Debug)]
pub(super) struct Challenge {
    from: Instant,
    /// How long the caller has spoken, without the present run of speech.
    voiced: Duration,
    /// Playback is paused for it.
    paused: bool,
    /// The end of the latest speech, and the words that were asked for then.
    listen: Option<(TurnId, ListenId, Instant)>,
}

impl Floor {
    /// What the agent says, or would say if the caller has finished.
    pub fn answer_mut(&mut self) -> Option<&mut Answer> {
        match self {
            Floor::Agent(answer, _) => Some(answer),
            Floor::Caller(utterance) => utterance.early.as_mut(),
            Floor::Unanswered | Floor::Nobody | Floor::Over => None,
        }
    }
}

impl Challenge {
    /// The turn whose words are awaited.
    pub fn listening(&self) -> Option<TurnId> {
        self.listen.map(|(turn, ..)| turn)
    }

    fn awaits(&self, id: ListenId) -> bool {
        self.listen.is_some_and(|(_, listen, _)| listen == id)
    }
}

impl Turn {
    pub(super) fn speech_started(&mut self, at: Instant) {
        if self.voice.is_some() {
            return;
        }
        self.voice = Some(at);
        match &mut self.floor {
            Floor::Nobody => {
                let turn = self.out.new_turn();
                self.hear(Utterance::new(turn, at));
            }
            Floor::Caller(_) => self.join(),
            Floor::Agent(answer, None) if answer.farewell.is_none() => {
                if answer.was_unheard(at) {
                    self.take_back();
                } else if self.settings.barge_in {
                    self.challenge(at);
                }
            }
            Floor::Agent(_, Some(challenge)) => {
                let remaining = self.settings.barge_in_certain_ms.saturating_sub(challenge.voiced);
                self.timers.start(Timer::BargeInCertain, at, remaining);
                self.timers.stop(Timer::BargeInWords);
            }
            Floor::Unanswered | Floor::Agent(_, None) | Floor::Over => {}
        }
    }

    pub(super) fn speech_paused(&mut self, at: Instant) {
        let Some(since) = self.voice.take() else { return };
        let at = at.max(since);
        match &mut self.floor {
            Floor::Caller(_) => self.soft_end(at),
            Floor::Agent(_, challenge) if challenge.as_ref().is_some_and(|challenge| !challenge.paused) => {
                *challenge = None;
                self.timers.stop(Timer::BargeIn);
            }
            Floor::Agent(_, Some(challenge)) => {
                challenge.voiced += at.duration_since(since);
                let turn = self.out.new_turn();
                let listen = self.out.new_listen();
                if let Some((earlier, ..)) = challenge.listen.replace((turn, listen, at)) {
                    self.out.push(Output::Cancel { turn: earlier });
                }
                self.out.push(Output::Transcribe { listen, turn, from: challenge.from, to: at });
                self.timers.stop(Timer::BargeInCertain);
                self.timers.start(Timer::BargeInWords, at, self.settings.barge_in_words_ms);
            }
            Floor::Unanswered | Floor::Nobody | Floor::Agent(_, None) | Floor::Over => {}
        }
    }

    pub(super) fn words(&mut self, now: Instant, listen: ListenId, text: &str) {
        match &self.floor {
            Floor::Caller(_) => self.utterance_words(now, listen, text),
            Floor::Agent(answer, Some(challenge)) if challenge.awaits(listen) => {
                if text.is_empty() || (is_backchannel(text) && !answer.has_asked()) {
                    self.withdraw();
                } else {
                    self.interrupt();
                    self.utterance_words(now, listen, text);
                }
            }
            _ => {}
        }
    }

    pub(super) fn words_failed(&mut self, now: Instant, listen: ListenId) {
        match &self.floor {
            Floor::Caller(_) => self.utterance_failed(now, listen),
            Floor::Agent(_, Some(challenge)) if challenge.awaits(listen) => self.withdraw(),
            _ => {}
        }
    }

    /// The caller begins to speak over the agent.
    fn challenge(&mut self, at: Instant) {
        if let Floor::Agent(_, challenge) = &mut self.floor {
            *challenge = Some(Challenge { from: at, voiced: Duration::ZERO, paused: false, listen: None });
            self.timers.start(Timer::BargeIn, at, self.settings.barge_in_ms);
        }
    }

    /// The caller has spoken over the agent for long enough to be listened to.
    pub(super) fn pause_playback(&mut self) {
        let Floor::Agent(_, Some(challenge)) = &mut self.floor else { return };
        challenge.paused = true;
        self.out.push(Output::Pause);
        self.timers.start(Timer::BargeInCertain, challenge.from, self.settings.barge_in_certain_ms);
    }

    /// What the caller had said meant nothing; if they are silent, the agent goes on.
    fn withdraw(&mut self) {
        let Floor::Agent(_, Some(challenge)) = &mut self.floor else { return };
        challenge.listen = None;
        if self.voice.is_none() {
            self.resume_playback();
        }
    }

    /// It was no interruption: the agent goes on where it stopped.
    pub(super) fn resume_playback(&mut self) {
        let Floor::Agent(_, challenge) = &mut self.floor else { return };
        let Some(challenge) = challenge.take() else { return };
        self.timers.stop(Timer::BargeInWords);
        if let Some(turn) = challenge.listening() {
            self.out.push(Output::Cancel { turn });
        }
        self.out.push(Output::Resume);
    }

    /// It is an interruption: the agent's turn is over, the caller's has begun.
    pub(super) fn interrupt(&mut self) {
        match std::mem::replace(&mut self.floor, Floor::Nobody) {
            Floor::Agent(answer, Some(challenge)) => {
                self.stop_answering();
                self.out.push(Output::Flush);
                self.out.push(Output::Cancel { turn: answer.turn });
                self.conclude(&answer, true);
                let utterance = self.take_up(challenge);
                self.hear(utterance);
            }
            other => self.floor = other,
        }
    }

    /// The agent is done while the caller speaks over it: the caller's words count from their beginning.
    pub(super) fn outlast(&mut self, challenge: Challenge) -> Utterance {
        if challenge.paused {
            self.out.push(Output::Resume);
        }
        self.take_up(challenge)
    }

    /// What was said over the agent is an utterance of its own right.
    fn take_up(&mut self, challenge: Challenge) -> Utterance {
        match challenge.listen {
            Some((turn, listen, to)) if self.voice.is_none() => {
                Utterance::asked(turn, listen, challenge.from, to)
            }
            stale => {
                if let Some((turn, ..)) = stale {
                    self.out.push(Output::Cancel { turn });
                }
                Utterance::new(self.out.new_turn(), challenge.from)
            }
        }
    }

    /// The caller goes on before they heard anything of the answer: they had not finished.
    fn take_back(&mut self) {
        let Floor::Agent(answer, _) = std::mem::replace(&mut self.floor, Floor::Nobody) else { return };
        self.stop_answering();
        if answer.is_pending() {
            self.out.push(Output::Flush);
        }
        self.out.push(Output::Cancel { turn: answer.turn });
        if let Some(question) = answer.question {
            self.transcript.take_back(&question.text);
            self.turns -= 1;
            let turn = self.out.new_turn();
            self.hear(Utterance::new(turn, question.from));
        }
    }

    /// The floor is taken from the agent.
    pub(super) fn stop_answering(&mut self) {
        for timer in [Timer::BargeIn, Timer::BargeInCertain, Timer::BargeInWords, Timer::Filler] {
            self.timers.stop(timer);
        }
    }
}
