//! The commands of a call to the media thread: audio to be played, and changes of what the thread does.

use std::sync::Arc;

use super::caller_stream::AudioDelivery;
use super::port::SpeechTag;

/// Samples of a speech that are queued.
pub(super) struct Piece {
    pub speech: SpeechTag,
    pub samples: Arc<[i16]>,
    pub last: bool,
    /// Pieces of an epoch that was flushed are dropped.
    pub epoch: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Pause,
    Resume,
    /// Drop every piece of an epoch before this one.
    Flush(u32),
    /// Fill pauses with comfort noise from now on.
    BeginNoise,
    EndNoise,
    /// Take over the noise suppression that was set.
    ChangeSuppression,
    /// Notify the call of audio as soon as it needs it from now on.
    Deliver(AudioDelivery),
}
