//! Who holds the floor, and barge-in: how the caller takes the floor from the agent, and how the agent keeps it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::interruption::{Interruption, PendingWords, WordsOver};
use super::limits::Turn;
use super::response::{Question, Response};
use super::timer::Timer;
use super::utterance::Utterance;
use super::{At, CallerSpeech, Command, Conversation, GreetingBargeIn, Output};

/// Whose turn it is to speak.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "a conversation has one")]
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

/// How long a caller may speak on with a listener's words alone before their length is judged again.
const LISTENERS_WORDS: Duration = Duration::from_secs(1);

/// Shorter speech is a cough or a "hm", for whose words playback does not wait long.
const A_WORD: Duration = Duration::from_millis(300);

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
        matches!(self, Floor::Agent(_, Some(interruption)) if interruption.is_paused())
    }
}

impl Conversation {
    pub(super) fn caller_speech(&mut self, now: At, change: CallerSpeech) {
        match change {
            CallerSpeech::Started { at, level } => self.speech_started(at.min(now), level),
            CallerSpeech::Paused { at, level } => {
                self.speech_paused(at.min(now), level);
                self.note_pause(now);
            }
        }
    }

    fn speech_started(&mut self, at: At, level: i8) {
        if !self.operator.is_muted() {
            self.sound_on_hold(at);
        }
        if !self.is_deaf() {
            self.note_voice(at, level);
        }
        let known = self.voice.is_some() || self.background.is_some();
        if !known && !self.is_deaf() && !self.ignores(at, level) {
            self.voice_started(at);
        }
    }

    fn speech_paused(&mut self, at: At, level: i8) {
        if self.hold.is_on() {
            self.silence_on_hold(at);
        }
        if !self.is_deaf() {
            self.note_level(at, level);
        }
        match (self.background, self.voice) {
            (Some(_), _) => self.background_paused(at, level),
            (None, Some(since)) if self.turns_out_fainter(level) => self.voice_paused(since, None),
            (None, _) => self.voice_paused(at, Some(level)),
        }
    }

    pub(super) fn voice_started(&mut self, at: At) {
        self.voice = Some(at);
        match &self.floor {
            Floor::Free => {
                let turn = self.out.new_turn();
                self.hear(Utterance::new(turn, at));
            }
            Floor::Caller(_) => self.join(at),
            Floor::Agent(response, None) if !response.is_goodbye() => self.speak_over(at),
            Floor::Agent(response, Some(Interruption::Paused { voiced, .. })) => {
                let remaining = self.certainty(response).saturating_sub(*voiced);
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

    pub(super) fn voice_paused(&mut self, at: At, level: Option<i8>) {
        let Some(since) = self.voice.take() else { return };
        let at = at.max(since);
        self.out.asked.add_speech(at.since(since));
        match &mut self.floor {
            Floor::Caller(_) => self.soft_end(at, level),
            Floor::Agent(_, Some(Interruption::Paused { .. })) => self.transcribe_interruption(since, at),
            Floor::Agent(_, interruption) => {
                interruption.take_if(|interruption| interruption.is_noticed());
                self.timers.stop(Timer::BargeIn);
            }
            Floor::NotConnected | Floor::Free | Floor::Ended => {}
        }
    }

    /// The caller pauses after speech over the agent, which has lasted since `since`: asks for the words.
    fn transcribe_interruption(&mut self, since: At, at: At) {
        let Floor::Agent(response, Some(interruption)) = &mut self.floor else { return };
        let spoken = interruption.add(at.since(since));
        let over = response.spoken_over(interruption.from(), &self.texts);
        interruption.end_words(at, over, &mut self.out);
        self.timers.stop(Timer::BargeInCertain);
        let (least, most) = (self.settings.barge_in_words_ms, self.settings.barge_in_words_max_ms);
        let wait = if spoken < A_WORD { least } else { self.recognition_times.wait(least, most) };
        self.timers.start(Timer::BargeInWords, at, wait);
    }

    /// The caller begins to speak while the agent has the floor.
    pub(super) fn speak_over(&mut self, at: At) {
        let Floor::Agent(response, interruption) = &mut self.floor else { return };
        if response.is_protected() {
            return;
        }
        let unheard = response.was_unheard(at);
        if unheard && response.is_due(self.settings.max_speech_ms) {
            // A monologue, or a television: the caller hears the response before the next utterance counts.
            return;
        }
        if response.was_hasty(at) && self.filler.is_none() && !response.tools.has_acted() {
            self.take_back();
        } else if unheard || response.is_busy() || self.settings.lets_interrupt(response) {
            *interruption = Some(Interruption::Noticed { from: at });
            self.timers.start(Timer::BargeIn, at, self.settings.barge_in_ms);
        }
    }

    /// Whether the caller may take the floor from the agent.
    pub(super) fn gives_way(&self, response: &Response) -> bool {
        self.settings.lets_interrupt(response) || response.keeps_waiting() || response.is_over()
    }

    /// The duration of speech that interrupts regardless of its words. While no response plays, and over a greeting that only
    /// words interrupt, the words decide, unless the speech does not end.
    fn certainty(&self, response: &Response) -> Duration {
        let by_words = response.is_greeting() && self.settings.greeting_barge_in == GreetingBargeIn::Words;
        if response.keeps_waiting() || by_words || response.tools.is_collecting() {
            self.settings.max_speech_ms
        } else {
            self.settings.barge_in_certain_ms
        }
    }

    /// The caller has spoken over the agent for long enough to be listened to.
    pub(super) fn pause_playback(&mut self) {
        let (Floor::Agent(response, Some(_)), Some(since)) = (&self.floor, self.voice) else { return };
        if !self.gives_way(response) {
            return;
        }
        self.timers.start(Timer::BargeInCertain, since, self.certainty(response));
        if let Floor::Agent(_, Some(interruption)) = &mut self.floor {
            interruption.pause(&mut self.out);
            self.out.push(Output::Pause);
        }
    }

    /// The speech was a backchannel or had no words: playback continues if the caller is silent.
    pub(super) fn withdraw(&mut self, now: At) {
        let Floor::Agent(_, over) = &mut self.floor else { return };
        let Some(interruption) = over else { return };
        if self.voice.is_some() {
            return interruption.forget_words(&mut self.out);
        }
        let is_paused = interruption.is_paused();
        *over = None;
        self.timers.stop(Timer::BargeInWords);
        if is_paused {
            self.hold.unpause(&mut self.out);
        }
        self.finish_if_over(now);
    }

    /// The caller's speech over the agent means nothing any more: playback continues.
    pub(super) fn ignore_interruption(&mut self, now: At) {
        let Floor::Agent(_, over) = &mut self.floor else { return };
        let Some(interruption) = over.take() else { return };
        for timer in [Timer::BargeIn, Timer::BargeInWords, Timer::BargeInCertain] {
            self.timers.stop(timer);
        }
        if let Some(turn) = interruption.turn() {
            self.out.command(Command::Cancel { turn });
        }
        if interruption.is_paused() {
            self.hold.unpause(&mut self.out);
        }
        self.finish_if_over(now);
    }

    /// No transcript in time: playback continues. The transcript may still interrupt when it arrives.
    pub(super) fn resume_playback(&mut self) {
        let Floor::Agent(_, Some(interruption)) = &mut self.floor else { return };
        interruption.resume();
        self.hold.unpause(&mut self.out);
    }

    /// The words are more than a backchannel: the floor goes to the caller.
    pub(super) fn give_way(&mut self, now: At) {
        match &self.floor {
            Floor::Agent(response, _) if response.is_over() => self.finish(now),
            _ => self.interrupt(now),
        }
    }

    /// The caller has spoken over the agent for so long that it is an interruption, unless all of the words so far are those of a
    /// listener.
    pub(super) fn interrupt_by_length(&mut self, now: At) {
        let Floor::Agent(response, Some(interruption)) = &self.floor else { return };
        let over = response.spoken_over(interruption.from(), &self.texts);
        let partial = interruption.partial();
        if partial.is_empty() || over.is_meant(partial, self.language) {
            self.interrupt(now);
        } else {
            self.timers.start(Timer::BargeInCertain, now, LISTENERS_WORDS);
        }
    }

    /// Ends the agent's turn and begins the caller's. If the response has not been heard yet, the caller's turn
    /// continues instead.
    pub(super) fn interrupt(&mut self, now: At) {
        if matches!(&self.floor, Floor::Agent(response, _) if response.is_awaited() && !response.tools.has_acted())
        {
            return self.take_back();
        }
        match std::mem::replace(&mut self.floor, Floor::Free) {
            Floor::Agent(mut response, Some(interruption)) => {
                self.stop_responding();
                self.hold.flush(&mut self.out);
                self.out.command(Command::Cancel { turn: response.turn });
                self.conclude(now, &mut response, true);
                let utterance = self.take_up(interruption.from(), interruption.into_words());
                self.hear(utterance);
            }
            other => self.floor = other,
        }
    }

    /// The agent finishes while the caller speaks over it: the utterance counts from its beginning.
    pub(super) fn outlasted_by(&mut self, interruption: Interruption) -> Utterance {
        if interruption.is_paused() {
            self.hold.unpause(&mut self.out);
        }
        self.take_up(interruption.from(), interruption.into_words())
    }

    /// Speech over the agent becomes an utterance.
    fn take_up(&mut self, from: At, words: Option<WordsOver>) -> Utterance {
        match words {
            Some(WordsOver::Open { turn, words }) => Utterance::open(turn, words, from),
            Some(WordsOver::Pending(PendingWords { turn, utterance, to, .. })) if self.voice.is_none() => {
                Utterance::asked(turn, utterance, from, to)
            }
            stale => {
                if let Some(WordsOver::Pending(PendingWords { turn, .. })) = stale {
                    self.out.command(Command::Cancel { turn });
                }
                Utterance::new(self.out.new_turn(), from)
            }
        }
    }

    /// The caller continues before any of the response was heard: the utterance had not ended. Its two parts are joined.
    fn take_back(&mut self) {
        let Floor::Agent(response, interruption) = std::mem::replace(&mut self.floor, Floor::Free) else {
            return;
        };
        self.stop_responding();
        self.hold.flush(&mut self.out);
        self.out.command(Command::Cancel { turn: response.turn });
        let Some(mut question) = response.question else { return };
        let keys = question.keys.take();
        let Question { from, to, ref text, .. } = question;
        self.transcript.take_back(text);
        // Keys alone have no sound: the utterance begins with the voice.
        let voice = interruption.as_ref().map(Interruption::from).or(self.voice);
        let from = voice.filter(|_| keys.is_some() && text.is_empty()).unwrap_or(from);
        let keys_answered = keys.is_some();
        if let Some(keys) = keys {
            self.transcript.take_back_keys(&keys);
            self.keypad.put_back(keys, to);
        }
        let added = self.take_up(from, interruption.and_then(Interruption::into_words));
        let asked = keys_answered || !text.is_empty();
        if asked {
            let is_keys_alone = keys_answered && text.is_empty();
            self.limits.turn_taken_back(if is_keys_alone { Turn::Counted } else { Turn::of(text) });
        }
        let joined = added.following(&question, voice, &self.out.asked);
        self.hear(if asked { joined.after_a_discarded_response() } else { joined });
    }

    /// Stops the timers of the agent's turn.
    pub(super) fn stop_responding(&mut self) {
        for timer in [Timer::BargeIn, Timer::BargeInCertain, Timer::BargeInWords, Timer::Filler, Timer::Stall]
        {
            self.timers.stop(timer);
        }
        self.filler = None;
    }
}
