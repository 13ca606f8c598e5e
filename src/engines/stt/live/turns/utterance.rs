//! An utterance that still needs words.

use tokio::time::Instant;

use crate::engines::stt::Utterance;

pub struct TurnUtterance {
    /// None if it was abandoned after some of its audio had been sent.
    pub utterance: Option<Utterance>,
    pub from: u64,
    pub progress: SendProgress,
    /// When it fails; none while it is open.
    pub deadline: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendProgress {
    Open {
        /// Whether the start of its turn was reported.
        is_announced: bool,
    },
    /// The speech ends at `at`; audio is sent up to `stop`, then `tail` samples of silence.
    Ended { at: u64, stop: u64, tail: u64 },
    /// As for `Ended`; everything was sent. The words are complete when the engine has heard `needed_ms` of the connection's
    /// audio.
    Sent { at: u64, stop: u64, needed_ms: u64 },
}

impl TurnUtterance {
    pub fn open(utterance: Utterance, from: u64) -> TurnUtterance {
        let progress = SendProgress::Open { is_announced: false };
        TurnUtterance { utterance: Some(utterance), from, progress, deadline: None }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.progress, SendProgress::Open { .. })
    }

    /// The words of an open utterance are reported. Returns its name, and whether they are the first ones.
    pub fn announce(&mut self) -> Option<(Utterance, bool)> {
        let SendProgress::Open { is_announced } = &mut self.progress else { return None };
        let is_new = !std::mem::replace(is_announced, true);
        Some((self.utterance?, is_new))
    }

    /// The position at which the speech ends, when it has ended.
    pub fn end(&self) -> Option<u64> {
        match self.progress {
            SendProgress::Open { .. } => None,
            SendProgress::Ended { at, .. } | SendProgress::Sent { at, .. } => Some(at),
        }
    }

    /// Whether a turn that the engine has ended, having heard the audio up to `until`, is all of the utterance.
    pub fn ends_by(&self, until: u64) -> bool {
        match self.progress {
            SendProgress::Open { .. } => true,
            SendProgress::Ended { at, .. } | SendProgress::Sent { at, .. } => until >= at,
        }
    }

    /// Whether the engine has heard all of it.
    pub fn is_heard_by(&self, until_ms: u64) -> bool {
        matches!(self.progress, SendProgress::Sent { needed_ms, .. } if until_ms >= needed_ms)
    }

    /// Takes the next part of the silence after it, of `most` samples.
    pub fn take_silence(&mut self, most: u64) -> Option<u64> {
        let SendProgress::Ended { tail, .. } = &mut self.progress else { return None };
        let part = most.min(*tail);
        *tail -= part;
        Some(part)
    }

    /// The silence after it was sent as far as [`TurnUtterance::take_silence`] gave it.
    pub fn silence_sent(&mut self, needed_ms: u64) {
        if let SendProgress::Ended { at, stop, tail: 0 } = self.progress {
            self.progress = SendProgress::Sent { at, stop, needed_ms };
        }
    }

    /// The connection is lost: its audio is sent again, with a silence of `tail` samples.
    pub fn send_again(&mut self, tail: u64) {
        if let SendProgress::Ended { at, stop, .. } | SendProgress::Sent { at, stop, .. } = self.progress {
            self.progress = SendProgress::Ended { at, stop, tail };
        }
    }

    /// Its words are not needed; its audio was sent up to `sent`.
    pub fn abandon(&mut self, sent: u64, tail: u64) {
        (self.utterance, self.deadline) = (None, None);
        if self.is_open() {
            self.progress = SendProgress::Ended { at: sent, stop: sent, tail };
        }
    }
}
