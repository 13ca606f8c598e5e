//! Speech of the caller while the agent speaks or its response is awaited.
//!
//! | from | event | to |
//! |---|---|---|
//! | – | `SpeechStarted` | noticed |
//! | noticed | `SpeechPaused` | – |
//! | noticed, late | timer `BargeIn` | paused |
//! | paused | `SpeechPaused` | paused, with pending words |
//! | paused | timer `BargeInWords` | late: playback continues |
//! | paused, late | words without a meaning, the caller is silent | –: playback continues |
//! | paused, late | words with a meaning | the caller has the floor |
//! | paused | timer `BargeInCertain` | the caller has the floor |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::{is_backchannel, is_presence_check};
use super::{At, TurnId, UtteranceId};
use crate::language::Language;

/// Speech over the agent, from its beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Interruption {
    /// Too short so far to be listened to.
    Noticed { from: At },
    /// Playback is paused for it.
    Paused {
        from: At,
        /// How long the caller has spoken since the pause, without the current run of speech.
        voiced: Duration,
        /// The speech so far, while it is being transcribed.
        pending: Option<PendingWords>,
    },
    /// Playback continued before the words were there; they may still interrupt.
    Late { from: At, pending: PendingWords },
}

/// Speech over the agent that is being transcribed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct PendingWords {
    pub turn: TurnId,
    pub utterance: UtteranceId,
    /// The end of the speech.
    pub to: At,
    /// The agent had asked something: "yes" answers it.
    pub asked: bool,
    /// The agent had said nothing yet: "hello?" is a presence check.
    pub awaited: bool,
}

impl Interruption {
    pub fn from(&self) -> At {
        match self {
            Interruption::Noticed { from }
            | Interruption::Paused { from, .. }
            | Interruption::Late { from, .. } => *from,
        }
    }

    pub fn pending(&self) -> Option<PendingWords> {
        match self {
            Interruption::Noticed { .. } => None,
            Interruption::Paused { pending, .. } => *pending,
            Interruption::Late { pending, .. } => Some(*pending),
        }
    }

    pub fn is_noticed(&self) -> bool {
        matches!(self, Interruption::Noticed { .. })
    }

    pub fn is_paused(&self) -> bool {
        matches!(self, Interruption::Paused { .. })
    }

    pub fn is_late(&self) -> bool {
        matches!(self, Interruption::Late { .. })
    }

    /// Playback pauses.
    pub fn pause(&mut self) {
        let (from, pending) = (self.from(), self.pending());
        *self = Interruption::Paused { from, voiced: Duration::ZERO, pending };
    }

    /// Playback continues without words.
    pub fn resume(&mut self) {
        *self = Interruption::without_pause(self.from(), self.pending());
    }

    /// The pending words had no meaning, and the caller still speaks.
    pub fn forget_words(&mut self) {
        match self {
            Interruption::Paused { pending, .. } => *pending = None,
            _ => *self = Interruption::without_pause(self.from(), None),
        }
    }

    fn without_pause(from: At, pending: Option<PendingWords>) -> Interruption {
        match pending {
            Some(pending) => Interruption::Late { from, pending },
            None => Interruption::Noticed { from },
        }
    }
}

impl PendingWords {
    /// The caller wants the turn.
    pub fn is_meant(&self, text: &str, language: &Language) -> bool {
        let void = (is_backchannel(text, language) && !self.asked)
            || (is_presence_check(text, language) && self.awaited);
        !void && !text.is_empty()
    }
}
