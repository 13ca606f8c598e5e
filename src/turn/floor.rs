//! Who holds the floor, and how it changes hands: barge-in and its retraction.
//!
//! It knows when somebody speaks, not what an answer is made of.

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::endpoint::{is_backchannel, is_nudge};
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

/// The caller speaks while the agent does, or while its answer is awaited.
#[derive(Debug)]
pub(super) struct Challenge {
    from: Instant,
    /// How long the caller has spoken since playback was paused, without the present run of speech.
    voiced: Duration,
    /// Playback is paused for it.
    paused: bool,
    /// What was said so far, and is asked about.
    overheard: Option<Overheard>,
}

/// What the caller said over the agent, its words still missing.
#[derive(Debug, Clone, Copy)]
struct Overheard {
    turn: TurnId,
    listen: ListenId,
    /// The end of the speech.
    to: Instant,
    /// The agent had asked something: "yes" is an answer.
    asked: bool,
    /// The agent had said nothing yet: "hello?" is mere impatience.
    awaited: bool,
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

    /// Playback is paused, so that the caller can be listened to.
    pub fn is_paused(&self) -> bool {
        matches!(self, Floor::Agent(_, Some(challenge)) if challenge.paused)
    }
}

impl Challenge {
    /// The turn whose words are awaited.
    pub fn listening(&self) -> Option<TurnId> {
        self.overheard.map(|overheard| overheard.turn)
    }

    /// The agent went on without waiting for the words any longer, but they may still come.
    pub fn is_late(&self) -> bool {
        !self.paused && self.overheard.is_some()
    }
}

impl Overheard {
    fn is_meant(&self, text: &str) -> bool {
        let void = (is_backchannel(text) && !self.asked) || (is_nudge(text) && self.awaited);
        !void && !text.is_empty()
    }
}

impl Turn {
    pub(super) fn speech_started(&mut self, at: Instant) {
        if self.voice.is_some() || self.on_hold {
            return;
        }
        self.voice = Some(at);
        match &self.floor {
            Floor::Nobody => {
                let turn = self.out.new_turn();
                self.hear(Utterance::new(turn, at));
            }
            Floor::Caller(_) => self.join(),
            Floor::Agent(answer, None) if answer.farewell.is_none() => self.speak_over(at),
            Floor::Agent(answer, Some(challenge)) if challenge.paused => {
                let remaining = self.certainty(answer).saturating_sub(challenge.voiced);
                self.timers.start(Timer::BargeInCertain, at, remaining);
                self.timers.stop(Timer::BargeInWords);
            }
            Floor::Agent(_, Some(_)) => {
                self.timers.start(Timer::BargeIn, at, self.settings.barge_in_ms);
                self.finish_if_over(at);
            }
            Floor::Unanswered | Floor::Agent(_, None) | Floor::Over => {}
        }
    }

    pub(super) fn speech_paused(&mut self, at: Instant) {
        let Some(since) = self.voice.take() else { return };
        let at = at.max(since);
        match &mut self.floor {
            Floor::Caller(_) => self.soft_end(at),
            Floor::Agent(answer, Some(challenge)) if challenge.paused => {
                challenge.voiced += at.duration_since(since);
                let overheard = Overheard {
                    turn: self.out.new_turn(),
                    listen: self.out.new_listen(),
                    to: at,
                    asked: answer.has_asked(&self.wording),
                    awaited: answer.was_unheard(challenge.from),
                };
                let Overheard { turn, listen, .. } = overheard;
                if let Some(earlier) = challenge.overheard.replace(overheard) {
                    self.out.push(Output::Cancel { turn: earlier.turn });
                }
                self.out.push(Output::Transcribe { listen, turn, from: challenge.from, to: at });
                self.timers.stop(Timer::BargeInCertain);
                self.timers.start(Timer::BargeInWords, at, self.settings.barge_in_words_ms);
            }
            Floor::Agent(_, challenge) => {
                challenge.take_if(|challenge| challenge.overheard.is_none());
                self.timers.stop(Timer::BargeIn);
            }
            Floor::Unanswered | Floor::Nobody | Floor::Over => {}
        }
    }

    pub(super) fn words(&mut self, now: Instant, listen: ListenId, text: &str) {
        match &self.floor {
            Floor::Caller(_) => self.utterance_words(now, listen, text),
            Floor::Agent(answer, _) => match self.overheard(listen) {
                Some(overheard) if overheard.is_meant(text) && self.gives_way(answer) => {
                    self.give_way(now);
                    self.utterance_words(now, listen, text);
                }
                Some(_) => self.withdraw(now),
                None => {}
            },
            Floor::Unanswered | Floor::Nobody | Floor::Over => {}
        }
    }

    pub(super) fn words_failed(&mut self, now: Instant, listen: ListenId) {
        match &self.floor {
            Floor::Caller(_) => self.utterance_failed(now, listen),
            Floor::Agent(..) if self.overheard(listen).is_some() => self.withdraw(now),
            _ => {}
        }
    }

    /// What was said over the agent, if `listen` is to tell its words.
    fn overheard(&self, listen: ListenId) -> Option<Overheard> {
        let Floor::Agent(_, Some(challenge)) = &self.floor else { return None };
        challenge.overheard.filter(|overheard| overheard.listen == listen)
    }

    /// The caller begins to speak while the agent has the floor.
    fn speak_over(&mut self, at: Instant) {
        let Floor::Agent(answer, challenge) = &mut self.floor else { return };
        let unheard = answer.was_unheard(at);
        if unheard && answer.is_due(self.settings.max_speech_ms) {
            // They, or a television, have gone on for too long, and get an answer before they are heard again.
            return;
        }
        if answer.was_hasty(at) && self.filler.is_none() {
            self.take_back();
        } else if unheard || self.settings.barge_in {
            *challenge = Some(Challenge { from: at, voiced: Duration::ZERO, paused: false, overheard: None });
            self.timers.start(Timer::BargeIn, at, self.settings.barge_in_ms);
        }
    }

    /// Whether the caller may take the floor from the agent.
    fn gives_way(&self, answer: &Answer) -> bool {
        self.settings.barge_in || answer.is_awaited() || answer.is_over()
    }

    /// How long a caller speaks who takes the floor whatever their words. While the agent says nothing that they
    /// could want to stop, it is the words that decide, if there is an end to them.
    fn certainty(&self, answer: &Answer) -> Duration {
        if answer.is_awaited() { self.settings.max_speech_ms } else { self.settings.barge_in_certain_ms }
    }

    /// The caller has spoken over the agent for long enough to be listened to.
    pub(super) fn pause_playback(&mut self) {
        let (Floor::Agent(answer, Some(_)), Some(since)) = (&self.floor, self.voice) else { return };
        if !self.gives_way(answer) {
            return;
        }
        self.timers.start(Timer::BargeInCertain, since, self.certainty(answer));
        if let Floor::Agent(_, Some(challenge)) = &mut self.floor {
            challenge.paused = true;
            self.out.push(Output::Pause);
        }
    }

    /// What the caller had said meant nothing; if they are silent, the agent goes on.
    fn withdraw(&mut self, now: Instant) {
        let Floor::Agent(_, held) = &mut self.floor else { return };
        let Some(challenge) = held else { return };
        challenge.overheard = None;
        if self.voice.is_none() {
            let paused = challenge.paused;
            *held = None;
            self.timers.stop(Timer::BargeInWords);
            if paused {
                self.unpause();
            }
            self.finish_if_over(now);
        }
    }

    /// No words so far: the agent goes on where it stopped. What the words mean is seen when they come.
    pub(super) fn resume_playback(&mut self) {
        let Floor::Agent(_, Some(challenge)) = &mut self.floor else { return };
        challenge.paused = false;
        challenge.voiced = Duration::ZERO;
        self.unpause();
    }

    /// The caller's words are meant: the floor is theirs.
    fn give_way(&mut self, now: Instant) {
        match &self.floor {
            Floor::Agent(answer, _) if answer.is_over() => self.finish(now),
            _ => self.interrupt(),
        }
    }

    /// It is an interruption: the agent's turn is over, the caller's has begun. Where there was nothing to be
    /// interrupted yet, the caller's turn goes on.
    pub(super) fn interrupt(&mut self) {
        if matches!(&self.floor, Floor::Agent(answer, _) if answer.is_awaited()) {
            return self.take_back();
        }
        match std::mem::replace(&mut self.floor, Floor::Nobody) {
            Floor::Agent(answer, Some(challenge)) => {
                self.stop_answering();
                self.flush();
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
            self.unpause();
        }
        self.take_up(challenge)
    }

    /// What was said over the agent is an utterance of its own right.
    fn take_up(&mut self, challenge: Challenge) -> Utterance {
        match challenge.overheard {
            Some(Overheard { turn, listen, to, .. }) if self.voice.is_none() => {
                Utterance::asked(turn, listen, challenge.from, to)
            }
            stale => {
                if let Some(Overheard { turn, .. }) = stale {
                    self.out.push(Output::Cancel { turn });
                }
                Utterance::new(self.out.new_turn(), challenge.from)
            }
        }
    }

    /// The caller goes on before they heard anything of the answer: they had not finished. What they add is
    /// joined to the question.
    fn take_back(&mut self) {
        let Floor::Agent(answer, challenge) = std::mem::replace(&mut self.floor, Floor::Nobody) else {
            return;
        };
        self.stop_answering();
        self.flush();
        self.out.push(Output::Cancel { turn: answer.turn });
        let Some(question) = answer.question else { return };
        self.transcript.take_back(&question.text);
        self.turns -= 1;
        let from = question.from;
        let added = match challenge {
            Some(challenge) => self.take_up(Challenge { from, ..challenge }),
            None => Utterance::new(self.out.new_turn(), from),
        };
        self.hear(added.following(question.text));
    }

    /// The floor is taken from the agent.
    pub(super) fn stop_answering(&mut self) {
        for timer in [Timer::BargeIn, Timer::BargeInCertain, Timer::BargeInWords, Timer::Filler] {
            self.timers.stop(timer);
        }
        self.filler = None;
    }
}
