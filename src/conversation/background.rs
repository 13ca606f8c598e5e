//! Voices in the background: a television, a colleague, a car radio.
//!
//! Speech that is fainter than the caller's is not theirs while they wait for the agent or listen to it: it neither
//! continues their utterance nor interrupts. While the floor is free it may be the caller, farther from the telephone.
//! Speech that is much fainter changes nothing; other speech may turn out to be the caller's, so a sentence of unclear end
//! waits longer.
//!
//! A television seldom pauses with the caller. Voice detection divides speech where its level changes for half a
//! second, so that the caller's part pauses and the fainter one starts at the same moment. What is known of both voices is in
//! `voices`. Speech that begins as loud as the caller's and turns out to be fainter at its pause does not belong to the
//! utterance either: a first syllable may be louder than what follows.
//!
//! | from | event | to |
//! |---|---|---|
//! | – | `SpeechStarted`, faint, after a pause of the caller or over the agent | background |
//! | background | `SpeechPaused`, faint | – |
//! | background | `SpeechPaused`, as loud as the caller | –: it was the caller's, from its beginning |
//! | background | `SpeechPaused`, and `SpeechStarted` as loud as the caller at the same moment | –: the caller speaks |
//! | background | words of the caller that lead on | –: the caller continues |
//! | the caller continues | `SpeechPaused`, faint | the pause before it |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::{Completeness, completeness, without_remnant};
use super::floor::Floor;
use super::timer::Timer;
use super::voices::difference;
use super::words::Words;
use super::{At, Conversation};

/// Speech that is fainter than the caller's by this, in dB, cannot be theirs.
const MUCH_FAINTER: i16 = 18;

/// A pause that is noticed later than this is one in spite of a voice that is still heard.
const NOTICED_LATE: Duration = Duration::from_millis(400);

/// Silence of the caller after which a sentence of unclear end counts in spite of a voice in the background.
const IN_SPITE_OF_VOICES: Duration = Duration::from_millis(1_500);

/// The same where another voice is known, and this one is nearer to its level than to the caller's.
const IN_SPITE_OF_KNOWN_VOICE: Duration = Duration::from_millis(900);

/// A voice in the background.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct BackgroundVoice {
    since: At,
    /// How much fainter than the caller's it began, in dB.
    fainter: i16,
}

impl Conversation {
    /// By how much speech of `level` dBov is fainter than the caller's, in dB, if that shows that it is not theirs.
    fn background_by(&self, level: i8) -> Option<i16> {
        let caller = self.callers_level()?;
        let fainter = difference(caller, level);
        let is_faint = fainter >= self.voices.margin(caller);
        (is_faint && !self.leads_on_over(Some(fainter))).then_some(fainter)
    }

    /// The level of a caller who has paused, or listens to the agent, in dBov.
    fn callers_level(&self) -> Option<i8> {
        match &self.floor {
            Floor::Caller(utterance) if utterance.paused_at().is_some() => {
                self.voices.caller_in(utterance.level)
            }
            Floor::Agent(..) => self.voices.caller,
            _ => None,
        }
    }

    /// Whether a voice in the background, fainter than the caller's by `fainter` dB, is certainly another's: another voice is
    /// known, or it is much fainter.
    fn is_anothers(&self, fainter: i16) -> bool {
        let knows_another = self.callers_level().and_then(|caller| self.voices.other_below(caller)).is_some();
        fainter >= MUCH_FAINTER || knows_another
    }

    /// The words of a caller who has paused without those of a voice that goes on after them and is certainly another's.
    pub(super) fn own_words<'a>(&self, text: &'a str) -> &'a str {
        self.own_words_over(text, self.background.map(|voice| voice.fainter))
    }

    fn own_words_over<'a>(&self, text: &'a str, fainter: Option<i16>) -> &'a str {
        if fainter.is_some_and(|fainter| self.is_anothers(fainter)) { without_remnant(text) } else { text }
    }

    /// Whether the caller's words so far lead on.
    pub(super) fn leads_on(&self) -> bool {
        self.leads_on_over(self.background.map(|voice| voice.fainter))
    }

    /// The same with a voice after them that is fainter than the caller's by `fainter` dB.
    fn leads_on_over(&self, fainter: Option<i16>) -> bool {
        self.completeness_over(fainter) == Some(Completeness::Trailing)
    }

    fn completeness_over(&self, fainter: Option<i16>) -> Option<Completeness> {
        let Floor::Caller(utterance) = &self.floor else { return None };
        let text = utterance.words_so_far()?;
        Some(completeness(self.own_words_over(&text, fainter), self.language))
    }

    /// A voice starts.
    pub(super) fn note_voice(&mut self, at: At, level: i8) {
        self.voices.start(at, level, self.leads_on());
    }

    /// A voice pauses.
    pub(super) fn note_level(&mut self, at: At, level: i8) {
        self.voices.pause(at, level);
    }

    /// The wait after a pause that began at `to`. One that is noticed late waits for its words, which may lead on.
    pub(super) fn wait_from_notice(&self, to: At, wait: Duration) -> Duration {
        let late = self.now.map_or(Duration::ZERO, |now| now.since(to));
        if late > NOTICED_LATE { wait.max(late + self.settings.commit_ms) } else { wait }
    }

    /// Ignores speech that is too faint to be the caller's. Returns whether it is.
    pub(super) fn ignores(&mut self, at: At, level: i8) -> bool {
        let Some(fainter) = self.background_by(level) else { return false };
        self.background = Some(BackgroundVoice { since: at, fainter });
        self.judge_own_words();
        self.wait_in_spite_of_voices();
        true
    }

    /// The last words may be those of the voice that is heard now: the caller's own decide about the wait.
    fn judge_own_words(&mut self) {
        let Floor::Caller(utterance) = &self.floor else { return };
        let Words::Known(text) = &utterance.words else { return };
        let Some(to) = utterance.paused_at().filter(|_| !utterance.is_overdue()) else { return };
        if self.own_words(text) != text {
            let wait = self.wait_after(text);
            self.timers.start(Timer::Commit, to, wait);
        }
    }

    /// A voice in the background may still turn out to be the caller's: a sentence of unclear end waits longer.
    fn wait_in_spite_of_voices(&mut self) {
        let Floor::Caller(utterance) = &self.floor else { return };
        let Some(fainter) = self.background.map(|voice| voice.fainter).filter(|it| *it < MUCH_FAINTER) else {
            return;
        };
        let wait = if self.is_anothers(fainter) { IN_SPITE_OF_KNOWN_VOICE } else { IN_SPITE_OF_VOICES };
        let unclear = self.completeness_over(Some(fainter)) == Some(Completeness::Unclear);
        if let Some(to) = utterance.paused_at().filter(|_| unclear && !utterance.is_overdue()) {
            self.timers.extend(Timer::Commit, to, wait);
        }
    }

    /// The voice in the background pauses. Speech that was as loud as the caller's after all counts from its beginning.
    pub(super) fn background_paused(&mut self, at: At, level: i8) {
        let Some(BackgroundVoice { since, .. }) = self.background.take() else { return };
        if self.background_by(level).is_none() {
            self.voice_started(since);
            if at.since(since) >= self.settings.barge_in_ms && !self.floor.is_paused() {
                self.pause_playback();
            }
            self.voice_paused(at, Some(level));
        }
    }

    /// Whether the voice that continued the caller's utterance is another's, by its level.
    pub(super) fn turns_out_fainter(&self, level: i8) -> bool {
        let Floor::Caller(utterance) = &self.floor else { return false };
        let caller = self.voices.caller_in(utterance.level).filter(|_| utterance.level.is_some());
        caller.is_some_and(|caller| self.voices.turns_out_fainter(caller, level))
    }

    /// The caller's words are known while a voice is heard: words that lead on continue with it.
    pub(super) fn reconsider_background(&mut self) {
        let Some(voice) = self.background else { return };
        if self.leads_on() {
            self.background = None;
            self.voice_started(voice.since);
        } else {
            self.wait_in_spite_of_voices();
        }
    }
}
