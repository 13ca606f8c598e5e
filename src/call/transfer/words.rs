//! The words of the parties of a transfer: those with which the target answers the telephone, its answer to the question
//! whether it takes the call, and those of the caller who waits for it.

use std::time::{Duration, Instant};

use super::WORDS_PAUSE;
use super::step::TransferStep;

/// Longer speech is no answer: a mailbox greets, or a television is on.
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

/// Speech of a party whose words are recognised: of a target from when it was asked whether it takes the call.
#[derive(Debug, Clone, Copy)]
pub(super) enum PartySpeech {
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

/// The beginning of a voice, with its position in the party's audio.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voice {
    at: Instant,
    from: u64,
}

/// A pause that ends the speech before it at `until`, with its position in the party's audio.
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
pub(super) enum Meaning<T> {
    Answer(T),
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

impl PartySpeech {
    /// A voice that starts now is another utterance to recognise.
    pub fn takes_another(self) -> bool {
        matches!(self, PartySpeech::Silent | PartySpeech::Asked { next: None, .. })
    }

    /// When it changes by itself; `None` without one.
    pub fn deadline(self) -> Option<Instant> {
        match self {
            PartySpeech::Silent => None,
            PartySpeech::Speaking { since, .. } => Some(since + LONGEST_ANSWER),
            PartySpeech::Paused { pause: Pause { until, .. }, .. } | PartySpeech::Asked { until, .. } => {
                Some(until)
            }
        }
    }

    /// The party begins to speak at this position of its audio. No answer is kept that begins after `latest`.
    pub fn started(&mut self, now: Instant, from: u64, latest: Instant) -> Option<TransferStep> {
        let voice = Voice { at: now, from };
        match self {
            PartySpeech::Silent => {
                *self = PartySpeech::Speaking { since: now, voice };
                return Some(TransferStep::BeginWords { from });
            }
            PartySpeech::Paused { since, .. } => *self = PartySpeech::Speaking { since: *since, voice },
            PartySpeech::Asked { next: Some(next), .. } => next.pause = None,
            PartySpeech::Asked { next, .. } if now < latest => {
                *next = Some(NextAnswer { voice, pause: None });
            }
            PartySpeech::Speaking { .. } | PartySpeech::Asked { .. } => {}
        }
        None
    }

    /// The party pauses at this position of its audio.
    pub fn paused(&mut self, now: Instant, to: u64) {
        let pause = Pause { until: now + WORDS_PAUSE, to };
        match self {
            PartySpeech::Speaking { since, .. } => *self = PartySpeech::Paused { since: *since, pause },
            PartySpeech::Asked { next: Some(next), .. } => next.pause = Some(pause),
            PartySpeech::Silent | PartySpeech::Paused { .. } | PartySpeech::Asked { next: None, .. } => {}
        }
    }

    /// It lasts as long as it may, has paused for long enough, or is not recognised in time. `None` of silence.
    pub fn tick(&mut self, now: Instant) -> Option<TransferStep> {
        match *self {
            PartySpeech::Silent => None,
            PartySpeech::Speaking { .. } => {
                *self = PartySpeech::Silent;
                Some(TransferStep::DropWords)
            }
            PartySpeech::Paused { pause, .. } => {
                *self = PartySpeech::Asked { until: now + LONGEST_RECOGNITION, next: None };
                Some(TransferStep::EndWords { to: pause.to })
            }
            PartySpeech::Asked { next, .. } => Some(match self.go_on_with(next) {
                Some(from) => TransferStep::BeginWords { from },
                None => TransferStep::DropWords,
            }),
        }
    }

    /// Its words are known, also before its end where the engine judges the ends of turns.
    pub fn recognised<T>(&mut self, now: Instant, meaning: Option<T>) -> Meaning<T> {
        let next = match *self {
            PartySpeech::Silent => return Meaning::Doubt { then: None },
            PartySpeech::Speaking { since, voice } if voice.at > since && now - voice.at < UNHEARD => {
                let then = self.go_on_with(Some(NextAnswer { voice, pause: None }));
                return Meaning::Doubt { then };
            }
            PartySpeech::Speaking { .. } | PartySpeech::Paused { .. } => None,
            PartySpeech::Asked { next, .. } => next,
        };
        match meaning {
            Some(answer) => {
                *self = PartySpeech::Silent;
                Meaning::Answer(answer)
            }
            None => Meaning::Doubt { then: self.go_on_with(next) },
        }
    }

    /// Returns the position at which the next answer begins.
    fn go_on_with(&mut self, next: Option<NextAnswer>) -> Option<u64> {
        *self = match next {
            None => PartySpeech::Silent,
            Some(NextAnswer { voice, pause: None }) => PartySpeech::Speaking { since: voice.at, voice },
            Some(NextAnswer { voice, pause: Some(pause) }) => PartySpeech::Paused { since: voice.at, pause },
        };
        next.map(|next| next.voice.from)
    }
}
