//! Voices in the background: a television, a colleague, a car radio.
//!
//! Speech that is fainter than the caller's is not theirs while they wait for the agent or listen to it: it neither
//! continues their utterance nor interrupts. While the floor is free it may be the caller, farther from the telephone.
//! Speech that is much fainter changes nothing; other speech may turn out to be the caller's, so a sentence of unclear end
//! waits longer.
//!
//! A television seldom pauses with the caller. Voice detection divides speech where its level changes for half a
//! second, so that the caller's part pauses and the fainter one starts at the same moment. From then on the other voice
//! is known, and speech nearer to its level than to the caller's is not the caller's.
//!
//! | from | event | to |
//! |---|---|---|
//! | – | `SpeechStarted`, faint, after a pause of the caller or over the agent | background |
//! | background | `SpeechPaused`, faint | – |
//! | background | `SpeechPaused`, as loud as the caller | –: it was the caller's, from its beginning |
//! | background | `SpeechPaused`, and `SpeechStarted` as loud as the caller at the same moment | –: the caller speaks |
//! | background | words of the caller that lead on | –: the caller continues |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::Completeness;
use super::floor::Floor;
use super::timer::Timer;
use super::{At, Conversation};

/// Speech that is fainter than the caller's by this, in dB, is another's where no other voice is known.
const FAINTER: i16 = 12;

/// Speech that is fainter than the caller's by this, in dB, cannot be theirs.
const MUCH_FAINTER: i16 = 18;

/// Two parts of speech without a pause between them, whose levels differ by this, in dB, are of two voices.
const APART: i16 = 7;

/// The least difference from the caller's level, in dB, that makes speech another's where another voice is known.
const LEAST: i16 = 6;

/// Speech that starts this soon after a pause follows without one: it was divided by its level, and both have the same moment. The
/// shortest pause is 120 ms, of which the onset of speech and a late packet leave 60.
const WITHOUT_PAUSE: Duration = Duration::from_millis(30);

/// A pause that is noticed later than this is one in spite of a voice that is still heard.
const NOTICED_LATE: Duration = Duration::from_millis(400);

/// Silence of the caller after which a sentence of unclear end counts in spite of a voice in the background.
const IN_SPITE_OF_VOICES: Duration = Duration::from_millis(1_500);

/// A voice in the background.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct BackgroundVoice {
    since: At,
    /// How much fainter than the caller's it began, in dB.
    fainter: i16,
}

/// The levels of the voices of a call, in dBov.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Voices {
    /// Of the caller's latest utterance, or of a louder voice since.
    pub caller: Option<i8>,
    /// Of another voice, which was heard beside the caller's.
    other: Option<i8>,
    /// The latest pause, and the level of the speech before it.
    paused: Option<(At, i8)>,
}

impl Voices {
    /// Speech of `level` starts at `at`. Where it follows other speech without a pause, two voices are known.
    fn started(&mut self, at: At, level: i8) {
        let follows = |(to, _): &(At, i8)| at.0.abs_diff(to.0) <= WITHOUT_PAUSE;
        let Some((_, before)) = self.paused.take().filter(follows) else { return };
        let (louder, fainter) = (before.max(level), before.min(level));
        if difference(louder, fainter) >= APART {
            self.other = Some(fainter);
            self.caller = self.caller.max(Some(louder));
        }
    }

    /// How much fainter than the caller's level speech is that is not theirs, in dB.
    fn margin(&self, caller: i8) -> i16 {
        let other = self.other.map(|other| difference(caller, other)).filter(|apart| *apart >= APART);
        other.map_or(FAINTER, |apart| (apart / 2).clamp(LEAST, FAINTER))
    }
}

fn difference(louder: i8, fainter: i8) -> i16 {
    i16::from(louder) - i16::from(fainter)
}

impl Conversation {
    /// By how much speech of `level` dBov is fainter than the caller's, in dB, if that shows that it is not theirs.
    fn background_by(&self, level: i8) -> Option<i16> {
        let caller = match &self.floor {
            Floor::Caller(utterance) if utterance.paused_at().is_some() => {
                utterance.level.or(self.voices.caller)
            }
            Floor::Agent(..) => self.voices.caller,
            _ => None,
        };
        let leads_on = matches!(&self.floor, Floor::Caller(utterance)
            if utterance.completeness(self.language) == Some(Completeness::Trailing));
        let caller = caller.filter(|_| !leads_on)?;
        let fainter = difference(caller, level);
        (fainter >= self.voices.margin(caller)).then_some(fainter)
    }

    /// A voice starts.
    pub(super) fn note_voice(&mut self, at: At, level: i8) {
        self.voices.started(at, level);
    }

    /// A voice pauses.
    pub(super) fn note_level(&mut self, at: At, level: i8) {
        self.voices.paused = Some((at, level));
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
        self.wait_in_spite_of_voices();
        true
    }

    /// A voice in the background may still turn out to be the caller's: a sentence of unclear end waits longer.
    fn wait_in_spite_of_voices(&mut self) {
        let Floor::Caller(utterance) = &self.floor else { return };
        if self.background.is_none_or(|voice| voice.fainter >= MUCH_FAINTER) {
            return;
        }
        let unclear = utterance.completeness(self.language) == Some(Completeness::Unclear);
        if let Some(to) = utterance.paused_at().filter(|_| unclear && !utterance.is_overdue()) {
            self.timers.extend(Timer::Commit, to, IN_SPITE_OF_VOICES);
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

    /// The caller's words are known while a voice is heard: words that lead on continue with it.
    pub(super) fn reconsider_background(&mut self) {
        let Floor::Caller(utterance) = &self.floor else { return };
        match utterance.completeness(self.language) {
            Some(Completeness::Trailing) => {
                if let Some(voice) = self.background.take() {
                    self.voice_started(voice.since);
                }
            }
            _ => self.wait_in_spite_of_voices(),
        }
    }
}
