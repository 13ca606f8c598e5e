//! Who holds the floor, and barge-in: how the caller takes the floor from the agent, and how the agent keeps it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::{is_backchannel, is_presence_check};
use super::response::Response;
use super::timer::Timer;
use super::utterance::Utterance;
use super::{At, CallerSpeech, Command, Conversation, Output, Recognition, TurnId, UtteranceId};
use crate::language::Language;

/// Whose turn it is to speak.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Floor {
    /// The call is not answered yet.
    NotConnected,
    /// Neither side speaks.
    Free,
    /// The caller speaks, or has paused and may go on.
    Caller(Utterance),
    /// The agent thinks or speaks; the caller may speak over it.
    Agent(Response, Option<Interruption>),
    /// The call is to be hung up.
    Ended,
}

/// Speech of the caller while the agent speaks or its response is awaited.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Interruption {
    from: At,
    /// How long the caller has spoken since playback was paused, without the current run of speech.
    voiced: Duration,
    /// Playback is paused for it.
    paused: bool,
    /// The speech so far, while it is being transcribed.
    pending: Option<PendingWords>,
}

/// Speech over the agent that is being transcribed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct PendingWords {
    turn: TurnId,
    utterance: UtteranceId,
    /// The end of the speech.
    to: At,
    /// The agent had asked something: "yes" answers it.
    asked: bool,
    /// The agent had said nothing yet: "hello?" is a presence check.
    awaited: bool,
}

impl Floor {
    /// The agent's response, or the one that is prepared in case the caller has finished.
    pub fn response_mut(&mut self) -> Option<&mut Response> {
        match self {
            Floor::Agent(response, _) => Some(response),
            Floor::Caller(utterance) => utterance.early.as_mut(),
            Floor::NotConnected | Floor::Free | Floor::Ended => None,
        }
    }

    /// Playback is paused to listen to the caller.
    pub fn is_paused(&self) -> bool {
        matches!(self, Floor::Agent(_, Some(interruption)) if interruption.paused)
    }
}

impl Interruption {
    /// The turn that is being transcribed.
    pub fn listening(&self) -> Option<TurnId> {
        self.pending.map(|pending| pending.turn)
    }

    /// Playback continued before the transcript was there; it may still interrupt.
    pub fn is_late(&self) -> bool {
        !self.paused && self.pending.is_some()
    }
}

impl PendingWords {
    fn is_meant(&self, text: &str, language: &Language) -> bool {
        let void = (is_backchannel(text, language) && !self.asked)
            || (is_presence_check(text, language) && self.awaited);
        !void && !text.is_empty()
    }
}

impl Conversation {
    pub(super) fn caller_speech(&mut self, now: At, change: CallerSpeech) {
        match change {
            CallerSpeech::Started { at } => self.speech_started(at.min(now)),
            CallerSpeech::Paused { at } => self.speech_paused(at.min(now)),
        }
    }

    pub(super) fn recognition(&mut self, now: At, utterance: UtteranceId, event: &Recognition) {
        match event {
            Recognition::Final { text } => self.words(now, utterance, text.trim()),
            Recognition::Failed => self.words_failed(now, utterance),
        }
    }

    fn speech_started(&mut self, at: At) {
        if self.voice.is_some() || self.on_hold {
            return;
        }
        self.voice = Some(at);
        match &self.floor {
            Floor::Free => {
                let turn = self.out.new_turn();
                self.hear(Utterance::new(turn, at));
            }
            Floor::Caller(_) => self.join(),
            Floor::Agent(response, None) if response.goodbye.is_none() => self.speak_over(at),
            Floor::Agent(response, Some(interruption)) if interruption.paused => {
                let remaining = self.certainty(response).saturating_sub(interruption.voiced);
                self.timers.start(Timer::BargeInCertain, at, remaining);
                self.timers.stop(Timer::BargeInWords);
            }
            Floor::Agent(_, Some(_)) => {
                self.timers.start(Timer::BargeIn, at, self.settings.barge_in_ms);
                self.finish_if_over(at);
            }
            Floor::NotConnected | Floor::Agent(_, None) | Floor::Ended => {}
        }
    }

    pub(super) fn speech_paused(&mut self, at: At) {
        let Some(since) = self.voice.take() else { return };
        let at = at.max(since);
        match &mut self.floor {
            Floor::Caller(_) => self.soft_end(at),
            Floor::Agent(response, Some(interruption)) if interruption.paused => {
                interruption.voiced += at.since(since);
                let pending = PendingWords {
                    turn: self.out.new_turn(),
                    utterance: self.out.new_utterance(),
                    to: at,
                    asked: response.has_asked(&self.texts),
                    awaited: response.was_unheard(interruption.from),
                };
                let PendingWords { turn, utterance, .. } = pending;
                if let Some(earlier) = interruption.pending.replace(pending) {
                    self.out.command(Command::Cancel { turn: earlier.turn });
                }
                self.out.command(Command::Recognise { utterance, turn, from: interruption.from });
                self.out.command(Command::EndUtterance { utterance, at });
                self.timers.stop(Timer::BargeInCertain);
                self.timers.start(Timer::BargeInWords, at, self.settings.barge_in_words_ms);
            }
            Floor::Agent(_, interruption) => {
                interruption.take_if(|interruption| interruption.pending.is_none());
                self.timers.stop(Timer::BargeIn);
            }
            Floor::NotConnected | Floor::Free | Floor::Ended => {}
        }
    }

    fn words(&mut self, now: At, utterance: UtteranceId, text: &str) {
        match &self.floor {
            Floor::Caller(_) => self.utterance_words(now, utterance, text),
            Floor::Agent(response, _) => match self.pending(utterance) {
                Some(pending) if pending.is_meant(text, self.language) && self.gives_way(response) => {
                    self.give_way(now);
                    self.utterance_words(now, utterance, text);
                }
                Some(_) => self.withdraw(now),
                None => {}
            },
            Floor::NotConnected | Floor::Free | Floor::Ended => {}
        }
    }

    fn words_failed(&mut self, now: At, utterance: UtteranceId) {
        match &self.floor {
            Floor::Caller(_) => self.utterance_failed(now, utterance),
            Floor::Agent(..) if self.pending(utterance).is_some() => self.withdraw(now),
            _ => {}
        }
    }

    /// The speech over the agent that `utterance` is.
    fn pending(&self, utterance: UtteranceId) -> Option<PendingWords> {
        let Floor::Agent(_, Some(interruption)) = &self.floor else { return None };
        interruption.pending.filter(|pending| pending.utterance == utterance)
    }

    /// The caller begins to speak while the agent has the floor.
    fn speak_over(&mut self, at: At) {
        let Floor::Agent(response, interruption) = &mut self.floor else { return };
        let unheard = response.was_unheard(at);
        if unheard && response.is_due(self.settings.max_speech_ms) {
            // A monologue, or a television: the caller hears the response before the next utterance counts.
            return;
        }
        if response.was_hasty(at) && self.filler.is_none() {
            self.take_back();
        } else if unheard || self.settings.barge_in {
            *interruption =
                Some(Interruption { from: at, voiced: Duration::ZERO, paused: false, pending: None });
            self.timers.start(Timer::BargeIn, at, self.settings.barge_in_ms);
        }
    }

    /// Whether the caller may take the floor from the agent.
    fn gives_way(&self, response: &Response) -> bool {
        self.settings.barge_in || response.is_awaited() || response.is_over()
    }

    /// The duration of speech that interrupts regardless of its words. While no response plays, only the words
    /// decide, unless the speech does not end.
    fn certainty(&self, response: &Response) -> Duration {
        if response.is_awaited() { self.settings.max_speech_ms } else { self.settings.barge_in_certain_ms }
    }

    /// The caller has spoken over the agent for long enough to be listened to.
    pub(super) fn pause_playback(&mut self) {
        let (Floor::Agent(response, Some(_)), Some(since)) = (&self.floor, self.voice) else { return };
        if !self.gives_way(response) {
            return;
        }
        self.timers.start(Timer::BargeInCertain, since, self.certainty(response));
        if let Floor::Agent(_, Some(interruption)) = &mut self.floor {
            interruption.paused = true;
            self.out.push(Output::Pause);
        }
    }

    /// The speech was a backchannel or had no words: playback continues if the caller is silent.
    fn withdraw(&mut self, now: At) {
        let Floor::Agent(_, held) = &mut self.floor else { return };
        let Some(interruption) = held else { return };
        interruption.pending = None;
        if self.voice.is_none() {
            let paused = interruption.paused;
            *held = None;
            self.timers.stop(Timer::BargeInWords);
            if paused {
                self.unpause();
            }
            self.finish_if_over(now);
        }
    }

    /// No transcript in time: playback continues. The transcript may still interrupt when it arrives.
    pub(super) fn resume_playback(&mut self) {
        let Floor::Agent(_, Some(interruption)) = &mut self.floor else { return };
        interruption.paused = false;
        interruption.voiced = Duration::ZERO;
        self.unpause();
    }

    /// The words are more than a backchannel: the floor goes to the caller.
    fn give_way(&mut self, now: At) {
        match &self.floor {
            Floor::Agent(response, _) if response.is_over() => self.finish(now),
            _ => self.interrupt(),
        }
    }

    /// Ends the agent's turn and begins the caller's. If the response has not been heard yet, the caller's turn
    /// continues instead.
    pub(super) fn interrupt(&mut self) {
        if matches!(&self.floor, Floor::Agent(response, _) if response.is_awaited()) {
            return self.take_back();
        }
        match std::mem::replace(&mut self.floor, Floor::Free) {
            Floor::Agent(response, Some(interruption)) => {
                self.stop_responding();
                self.flush();
                self.out.command(Command::Cancel { turn: response.turn });
                self.conclude(&response, true);
                let utterance = self.take_up(interruption);
                self.hear(utterance);
            }
            other => self.floor = other,
        }
    }

    /// The agent finishes while the caller speaks over it: the utterance counts from its beginning.
    pub(super) fn outlasted_by(&mut self, interruption: Interruption) -> Utterance {
        if interruption.paused {
            self.unpause();
        }
        self.take_up(interruption)
    }

    /// Speech over the agent becomes an utterance.
    fn take_up(&mut self, interruption: Interruption) -> Utterance {
        match interruption.pending {
            Some(PendingWords { turn, utterance, to, .. }) if self.voice.is_none() => {
                Utterance::asked(turn, utterance, interruption.from, to)
            }
            stale => {
                if let Some(PendingWords { turn, .. }) = stale {
                    self.out.command(Command::Cancel { turn });
                }
                Utterance::new(self.out.new_turn(), interruption.from)
            }
        }
    }

    /// The caller continues before any of the response was heard: the utterance had not ended. Its two parts are joined.
    fn take_back(&mut self) {
        let Floor::Agent(response, interruption) = std::mem::replace(&mut self.floor, Floor::Free) else {
            return;
        };
        self.stop_responding();
        self.flush();
        self.out.command(Command::Cancel { turn: response.turn });
        if response.answers_keys() {
            // The keys stay a turn of their own.
            self.conclude(&response, true);
            let from = self.voice.unwrap_or_default();
            let utterance = match interruption {
                Some(interruption) => self.take_up(interruption),
                None => Utterance::new(self.out.new_turn(), from),
            };
            return self.hear(utterance);
        }
        let Some(question) = response.question else { return };
        self.transcript.take_back(&question.text);
        self.turns -= 1;
        let from = question.from;
        let added = match interruption {
            Some(interruption) => self.take_up(Interruption { from, ..interruption }),
            None => Utterance::new(self.out.new_turn(), from),
        };
        self.hear(added.following(question.text));
    }

    /// Stops the timers of the agent's turn.
    pub(super) fn stop_responding(&mut self) {
        for timer in [Timer::BargeIn, Timer::BargeInCertain, Timer::BargeInWords, Timer::Filler] {
            self.timers.stop(timer);
        }
        self.filler = None;
    }
}
