//! Sessions of speech recognition: the caller's audio in, the words of utterances out.
//!
//! A call has one session, which lasts as long as the call. Positions count the samples since the session began.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Hints;
use crate::audio::Clip;
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;

/// An engine that recognises speech.
pub trait Stt: Send + Sync {
    /// The name by which a profile asks for it.
    fn name(&self) -> &Arc<str>;

    /// Opens a session. Dropping it cancels its work.
    fn open(&self, config: SessionConfig) -> Box<dyn SttSession>;

    /// Whether its sessions pass audio on as it arrives, so that it has to arrive promptly. Sessions of other engines use the
    /// audio when an utterance ends.
    fn is_live(&self) -> bool {
        false
    }

    /// Opens a connection to its server in advance, for the first request of a call. Failures are left to that request.
    fn connect(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    /// Tries out a local engine, and reports the result in a few words. The doctor examines a server by a real request
    /// instead.
    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        async { Ok("nothing to prove".to_owned()) }.boxed()
    }
}

/// The terms of a session.
#[derive(Debug, Clone, Default)]
pub struct SessionConfig {
    /// Samples per second of the audio that is pushed.
    pub rate: u32,
    pub hints: Hints,
    /// Counts the usage.
    pub meter: Meter,
}

/// The recognition of one call's utterances.
///
/// The owner calls [`SttSession::poll_event`] again after every other method. Memory is bounded: audio, utterances and
/// events that are not read.
pub trait SttSession: Send {
    /// The next samples of the caller, silence included.
    fn audio(&mut self, samples: &[i16]);

    /// An utterance begins at a position, which may be in the past. One is open at a time; another one replaces it.
    fn begin(&mut self, utterance: Utterance, from: u64);

    /// The open utterance ends at a position: its words are delivered as soon as they are known.
    fn end(&mut self, utterance: Utterance, at: u64);

    /// Abandons an utterance: no event of it follows.
    fn cancel(&mut self, utterance: Utterance);

    /// No later utterance begins before `position`.
    fn forget(&mut self, position: u64);

    /// The next event.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SttEvent>;
}

/// The owner's name for an utterance, unique in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utterance(pub u32);

/// An event of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SttEvent {
    /// The words so far of the open utterance, which may change. Only engines that are live report them.
    Partial { utterance: Utterance, text: String },
    /// The engine hears a turn of the caller in the open utterance, with these words so far, and will report its end. Only
    /// engines that judge the ends of turns report this and the three that follow.
    TurnStarted { utterance: Utterance, text: String },
    /// The turn may be over with these words.
    TurnMayEnd { utterance: Utterance, text: String },
    /// It is not: the caller speaks on.
    TurnResumed { utterance: Utterance, text: String },
    /// The turn is over with these words, whether or not the utterance was ended. The last event of the utterance.
    TurnEnded { utterance: Utterance, text: String },
    /// The words of an ended utterance; empty when there were none. The last event of the utterance.
    Final { utterance: Utterance, text: String },
    /// The engine failed, retries and fallback included. The last event of the utterance.
    Failed { utterance: Utterance, error: EngineError },
}

impl SttEvent {
    pub fn utterance(&self) -> Utterance {
        match self {
            SttEvent::Partial { utterance, .. }
            | SttEvent::TurnStarted { utterance, .. }
            | SttEvent::TurnMayEnd { utterance, .. }
            | SttEvent::TurnResumed { utterance, .. }
            | SttEvent::TurnEnded { utterance, .. }
            | SttEvent::Final { utterance, .. }
            | SttEvent::Failed { utterance, .. } => *utterance,
        }
    }

    /// Whether no event of its utterance follows.
    pub fn is_last(&self) -> bool {
        matches!(self, SttEvent::TurnEnded { .. } | SttEvent::Final { .. } | SttEvent::Failed { .. })
    }
}

/// Recognises one clip in a session of its own.
///
/// # Errors
/// The engine's.
pub async fn recognise(
    engine: &dyn Stt,
    speech: Clip,
    hints: Hints,
    meter: Meter,
) -> Result<String, EngineError> {
    let mut session = engine.open(SessionConfig { rate: speech.rate, hints, meter });
    let utterance = Utterance(0);
    session.begin(utterance, 0);
    session.audio(&speech.samples);
    session.end(utterance, speech.samples.len() as u64);
    loop {
        match poll_fn(|cx| session.poll_event(cx)).await {
            SttEvent::Final { text, .. } | SttEvent::TurnEnded { text, .. } => return Ok(text),
            SttEvent::Failed { error, .. } => return Err(error),
            _ => {}
        }
    }
}
