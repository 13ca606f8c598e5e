//! An utterance that still needs words.

use tokio::time::Instant;

use crate::engines::stt::Utterance;

pub struct PendingUtterance {
    /// None if it was cancelled after some of its audio had been sent.
    pub utterance: Option<Utterance>,
    pub from: u64,
    pub state: UtteranceState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum UtteranceState {
    Open,
    /// The speech ends at `at`; audio is sent up to `stop`.
    Ended {
        at: u64,
        stop: u64,
        deadline: Option<Instant>,
    },
    /// As for `Ended`; the audio up to `stop` and the commit were sent.
    Committed {
        at: u64,
        stop: u64,
        deadline: Option<Instant>,
    },
}

impl PendingUtterance {
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            UtteranceState::Open => None,
            UtteranceState::Ended { deadline, .. } | UtteranceState::Committed { deadline, .. } => deadline,
        }
    }
}
