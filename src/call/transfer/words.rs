//! The words of a transfer's target: those with which it answers the telephone, and its answer to the question whether it takes
//! the call.

use std::time::{Duration, Instant};

use super::WORDS_PAUSE;
use super::step::TransferStep;
use crate::language::Acceptance;

/// Longer speech is no answer to the question whether the target takes the call: a mailbox greets, or a television is on.
const LONGEST_ANSWER: Duration = Duration::from_secs(4);
/// The time that the recognition of an answer may take.
pub(super) const LONGEST_RECOGNITION: Duration = Duration::from_secs(5);

/// An engine that ends a turn may not have heard a voice that began this shortly before.
const UNHEARD: Duration = Duration::from_millis(400);

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
    /// `since` is its beginning, `voice` that of its latest part.
    Speaking {
        since: Instant,
        voice: Voice,
    },
    Paused {
        since: Instant,
        pause: Pause,
    },
    /// Its words are awaited. One answer that begins meanwhile is kept.
    Asked {
        until: Instant,
        next: Option<NextAnswer>,
    },
}

/// The beginning of a voice, with its position in the target's audio.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voice {
    at: Instant,
    from: u64,
}

/// A pause that ends the speech before it at `until`, with its position in the target's audio.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pause {
    until: Instant,
    to: u64,
}

/// Speech that began while the words before it were recognised.
#[derive(Debug, Clone, Copy)]
pub(super) struct NextAnswer {
    voice: Voice,
    /// `None` while it goes on.
    pause: Option<Pause>,
}

/// The meaning of words that were recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Answer(Acceptance),
    /// Unknown or no words. The answer that was kept is recognised next, if there is one.
    Doubt {
        then: Option<u64>,
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
            TargetSpeech::Speaking { since, .. } => Some(since + LONGEST_ANSWER),
            TargetSpeech::Paused { pause: Pause { until, .. }, .. } | TargetSpeech::Asked { until, .. } => {
                Some(until)
            }
        }
    }

    /// The target begins to speak at this position of its audio. No answer is kept that begins after `latest`.
    pub fn started(&mut self, now: Instant, from: u64, latest: Instant) -> Option<TransferStep> {
        let voice = Voice { at: now, from };
        match self {
            TargetSpeech::Silent => {
                *self = TargetSpeech::Speaking { since: now, voice };
                return Some(TransferStep::BeginWords { from });
            }
            TargetSpeech::Paused { since, .. } => *self = TargetSpeech::Speaking { since: *since, voice },
            TargetSpeech::Asked { next: Some(next), .. } => next.pause = None,
            TargetSpeech::Asked { next, .. } if now < latest => {
                *next = Some(NextAnswer { voice, pause: None });
            }
            TargetSpeech::Speaking { .. } | TargetSpeech::Asked { .. } => {}
        }
        None
    }

    /// The target pauses at this position of its audio.
    pub fn paused(&mut self, now: Instant, to: u64) {
        let pause = Pause { until: now + WORDS_PAUSE, to };
        match self {
            TargetSpeech::Speaking { since, .. } => *self = TargetSpeech::Paused { since: *since, pause },
            TargetSpeech::Asked { next: Some(next), .. } => next.pause = Some(pause),
            TargetSpeech::Silent | TargetSpeech::Paused { .. } | TargetSpeech::Asked { next: None, .. } => {}
        }
    }

    /// It lasts as long as it may, has paused for long enough, or is not recognised in time. `None` of silence.
    pub fn tick(&mut self, now: Instant) -> Option<TransferStep> {
        match *self {
            TargetSpeech::Silent => None,
            TargetSpeech::Speaking { .. } => {
                *self = TargetSpeech::Silent;
                Some(TransferStep::DropWords)
            }
            TargetSpeech::Paused { pause, .. } => {
                *self = TargetSpeech::Asked { until: now + LONGEST_RECOGNITION, next: None };
                Some(TransferStep::EndWords { to: pause.to })
            }
            TargetSpeech::Asked { next, .. } => Some(match self.go_on_with(next) {
                Some(from) => TransferStep::BeginWords { from },
                None => TransferStep::DropWords,
            }),
        }
    }

    /// Its words are known, also before its end where the engine judges the ends of turns.
    pub fn recognised(&mut self, now: Instant, consent: Option<Acceptance>) -> Meaning {
        let next = match *self {
            TargetSpeech::Silent => return Meaning::Doubt { then: None },
            TargetSpeech::Speaking { since, voice } if voice.at > since && now - voice.at < UNHEARD => {
                let then = self.go_on_with(Some(NextAnswer { voice, pause: None }));
                return Meaning::Doubt { then };
            }
            TargetSpeech::Speaking { .. } | TargetSpeech::Paused { .. } => None,
            TargetSpeech::Asked { next, .. } => next,
        };
        match consent {
            Some(answer) => {
                *self = TargetSpeech::Silent;
                Meaning::Answer(answer)
            }
            None => Meaning::Doubt { then: self.go_on_with(next) },
        }
    }

    /// Returns the position at which the next answer begins.
    fn go_on_with(&mut self, next: Option<NextAnswer>) -> Option<u64> {
        *self = match next {
            None => TargetSpeech::Silent,
            Some(NextAnswer { voice, pause: None }) => TargetSpeech::Speaking { since: voice.at, voice },
            Some(NextAnswer { voice, pause: Some(pause) }) => TargetSpeech::Paused { since: voice.at, pause },
        };
        next.map(|next| next.voice.from)
    }
}
