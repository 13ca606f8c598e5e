//! The speech pipeline: turns the caller's audio into words, and context into speech.
//!
//! The call's task passes commands and audio in, and takes events and audio out; it knows no engine. [`Cascade`] chains
//! STT, LLM and TTS. [`Pipeline`] has the session of a speech-to-speech engine in front of it, where the agent has one.

mod announcer;
mod cascade;
mod context;
mod end_listener;
mod first_words;
mod party_listener;
mod positions;
mod recent_audio;
mod recogniser;
mod reply;
mod speech_queue;
mod synthesis;
mod tasks;
#[cfg(test)]
mod tests;
mod voice;
mod whole;

use std::sync::Arc;

use crate::conversation::{At, EndJudge, Recognition, ResponseEvent, SpeechId, TurnId, UtteranceId};
use crate::engines::core::EngineError;
use crate::tenancy::EngineKind;

pub use announcer::Announcer;
use cascade::Cascade;
pub use party_listener::{PartyListener, PartyWords};
pub use whole::Pipeline;

/// An event of the pipeline. Events of cancelled work are dropped.
#[derive(Debug, PartialEq, Eq)]
pub enum PipelineEvent {
    Recognition {
        utterance: UtteranceId,
        event: Recognition,
    },
    /// The utterance that paused at `to` sounds unfinished.
    SoundsUnfinished {
        to: At,
        by: EndJudge,
    },
    Response {
        turn: TurnId,
        event: ResponseEvent,
    },
    /// More audio may be ready: see [`Pipeline::next_audio`].
    Audio,
    /// The first audio of a speech was synthesised.
    Synthesised {
        speech: SpeechId,
    },
    /// A filler is left out, because it is not cached: synthesising it would delay the reply that it is meant to cover.
    SpeechSkipped {
        speech: SpeechId,
    },
    /// The TTS engine failed. Audio that it had delivered is still played.
    SynthesisFailed {
        speech: SpeechId,
    },
    /// An engine failed, retries and fallback included. Precedes the event of the work that fails with it.
    EngineFailed(EngineFault),
}

/// The failure of an engine, for the call's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFault {
    pub kind: EngineKind,
    pub engine: Arc<str>,
    pub error: EngineError,
}

/// The effect of a command on audio that has left the pipeline already.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaybackEffect {
    Unchanged,
    /// Some of it is of cancelled work: drop it.
    Flush,
}

/// A piece of a speech for playback, at the call's rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioPiece {
    pub speech: SpeechId,
    /// Empty in a last piece that only ends the speech.
    pub samples: Arc<[i16]>,
    /// The speech ends with this piece.
    pub last: bool,
}
