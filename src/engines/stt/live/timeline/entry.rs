//! An utterance that still needs words.

use tokio::time::Instant;

use crate::engines::stt::Utterance;

pub struct PendingUtterance {
    /// None when it was cancelled after audio of it had been sent.
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
    /// As above, and the commit was sent, after the audio up to `stop`.
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
