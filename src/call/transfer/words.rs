//! The words of a transfer's target: those with which it answers the telephone, and its answer to the question whether it takes
//! the call.

use std::time::{Duration, Instant};

/// Longer speech is no answer to the question whether the target takes the call: a mailbox greets, or a television is on.
pub(super) const LONGEST_ANSWER: Duration = Duration::from_secs(4);
/// The time that the recognition of an answer may take.
pub(super) const LONGEST_RECOGNITION: Duration = Duration::from_secs(5);

/// The words with which a target answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum FirstWords {
    Awaited { until: Instant },
    Spoken { until: Instant, at_most: Instant },
}

/// Speech of a target that was asked whether it takes the call. Speech that began before the question was asked is none.
#[derive(Debug, Clone, Copy)]
pub(super) enum TargetSpeech {
    Silent,
    Speaking {
        since: Instant,
    },
    Paused {
        since: Instant,
        until: Instant,
        to: u64,
    },
    /// Its words are awaited.
    Asked {
        until: Instant,
    },
}

impl FirstWords {
    pub fn until(self) -> Instant {
        match self {
            FirstWords::Awaited { until } | FirstWords::Spoken { until, .. } => until,
        }
    }
}

impl TargetSpeech {
    /// When it changes by itself; `None` without one.
    pub fn deadline(self) -> Option<Instant> {
        match self {
            TargetSpeech::Silent => None,
            TargetSpeech::Speaking { since } => Some(since + LONGEST_ANSWER),
            TargetSpeech::Paused { until, .. } | TargetSpeech::Asked { until } => Some(until),
        }
    }
}
