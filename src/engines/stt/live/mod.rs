//! Sessions with engines that take audio as it arrives, over a WebSocket.
//!
//! A [`SessionTimeline`] decides which audio is sent and which words belong to which utterance; it is pure.
//! [`UtteranceTimeline`] is that of engines that are asked for the words of an utterance, [`TurnTimeline`] that of engines that
//! judge the ends of turns. [`link`] holds the connection. [`LiveSession`] joins both. A vendor's protocol is a [`Protocol`];
//! [`WithFallback`] has the clips of utterances that failed transcribed by another engine.
//!
//! Only utterances are sent, with a little audio before them, not the time in between: vendors charge by the second, and
//! while the agent speaks there is nothing to recognise.

mod fallback;
mod link;
mod outgoing;
mod session;
pub(in crate::engines) mod timeline;
mod turns;
pub(in crate::engines::stt) mod words;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::{Hints, Resilient, SessionConfig, Stt, SttEvent, SttSession, Transcriber, Utterance, recognise};
use crate::audio::Clip;
use crate::engines::core::EngineError;
use crate::engines::core::retry::{self, Kind, Policy};
use crate::engines::core::shares::TenantShares;
use crate::engines::core::usage::Meter;
use crate::engines::core::websocket::{Socket, SocketEndpoint};

use fallback::WithFallback;
use session::LiveSession;
use timeline::UtteranceTimeline;

pub use turns::TurnTimeline;

/// A vendor's protocol.
pub trait Protocol: Send + Sync + 'static {
    /// The name by which profiles choose the engine.
    fn name(&self) -> &Arc<str>;

    /// The model for a call, by which usage is counted.
    ///
    /// # Errors
    /// The profile's model is not accepted.
    fn model(&self, hints: &Hints) -> Result<String, EngineError>;

    /// Connects, until the server takes audio at `rate` samples a second.
    fn connect<'a>(
        &'a self,
        rate: u32,
        hints: &'a Hints,
    ) -> BoxFuture<'a, Result<LiveConnection, EngineError>>;

    /// The timeline of a session at `rate` samples a second.
    fn timeline(&self, rate: u32, final_timeout: Duration) -> Box<dyn SessionTimeline> {
        Box::new(UtteranceTimeline::new(rate, final_timeout))
    }
}

/// The utterances of a session over the time of its audio. Its methods of the same names as those of [`SttSession`] have their
/// meaning.
pub trait SessionTimeline: Send {
    fn audio(&mut self, samples: &[i16]);
    fn begin(&mut self, utterance: Utterance, from: u64);
    fn end(&mut self, utterance: Utterance, at: u64, now: Instant);
    fn cancel(&mut self, utterance: Utterance);
    fn forget(&mut self, position: u64);

    /// A connection was opened. No audio was sent on it yet.
    fn connected(&mut self);

    /// The connection was lost: the audio of which the words are not known is sent again on the next one.
    fn lost(&mut self);

    /// There is no connection, and there will be none soon: the utterances that have ended fail.
    fn give_up(&mut self, error: &EngineError);

    /// The next frame for the connection.
    fn next_frame(&mut self) -> Option<Frame>;

    /// The length of all audio that was sent.
    fn sent_ms(&self) -> u64;

    fn heard(&mut self, heard: TranscriptEvent);

    /// The earliest moment at which an utterance fails.
    fn deadline(&self) -> Option<Instant>;

    /// Fails the utterances with a deadline that has passed. Returns whether there were any, which means that the connection
    /// stalls.
    fn expire(&mut self, now: Instant) -> bool;

    fn next_event(&mut self) -> Option<SttEvent>;
}

/// An open connection and the state of its protocol.
pub struct LiveConnection {
    pub endpoint: SocketEndpoint,
    pub socket: Socket,
    pub dialogue: Box<dyn Dialogue>,
}

/// The protocol of one connection.
pub trait Dialogue: Send {
    /// The message for a frame.
    fn write(&mut self, frame: &Frame) -> Message;

    /// Sent while there is no audio, so that the server keeps the connection. Default: a ping of the WebSocket.
    fn keep_alive(&mut self) -> Message {
        Message::Ping(Default::default())
    }

    /// Reads a text message of the server. Messages of unknown kinds yield nothing.
    ///
    /// # Errors
    /// The message is malformed, or reports an error that ends the session.
    fn read(&mut self, text: &str) -> Result<Vec<TranscriptEvent>, EngineError>;
}

/// A message for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Audio(Arc<[i16]>),
    /// The utterance is over: its words are wanted.
    Commit,
}

/// The meaning of a server's message. Words follow those before them in the order of the audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TranscriptEvent {
    /// The words since the last final ones, which may change. Replaces earlier ones.
    Interim(String),
    /// Words that do not change.
    Final(String),
    /// The words so far are final up to this many milliseconds of the connection's audio.
    Covered { until_ms: u64, by_commit: bool },
    /// The oldest commit is done.
    Committed,
    /// The state of a turn, of an engine that judges the ends of turns.
    Turn(TurnInfo),
}

/// A turn of the caller as the engine hears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnInfo {
    /// Counts the turns of the connection.
    pub index: u32,
    pub state: TurnState,
    /// The words of the turn so far. Replaces earlier ones; empty before its first word.
    pub text: String,
    /// The milliseconds of the connection's audio that were heard.
    pub until_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnState {
    Open,
    MayEnd,
    Resumed,
    Ended,
}

/// The default of `final_timeout_ms`.
pub const FINAL_TIMEOUT_MS: u64 = 2_000;

/// A live engine. Cheap to clone; clones share its circuit breaker.
#[derive(Clone)]
pub struct LiveEngine {
    protocol: Arc<dyn Protocol>,
    policy: Policy,
    /// How long the last words of an utterance may take after its end. Then the fallback gets the utterance, and the connection
    /// is replaced.
    final_timeout: Duration,
    fallback: Option<Resilient>,
}

impl LiveEngine {
    /// `settings` are the limits of connecting.
    pub fn new(
        protocol: Arc<dyn Protocol>,
        settings: retry::Settings,
        final_timeout: Duration,
    ) -> LiveEngine {
        let policy = Policy::new(Kind::Stt, protocol.name().clone(), settings);
        LiveEngine { protocol, policy, final_timeout, fallback: None }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The same engine, with one that transcribes the utterances on which it fails.
    pub fn with_fallback(&self, fallback: Option<Resilient>) -> LiveEngine {
        let policy = self.policy.clone().with_fallback(fallback.is_some());
        LiveEngine { protocol: self.protocol.clone(), policy, final_timeout: self.final_timeout, fallback }
    }

    /// The same engines for the requests of one tenant.
    #[must_use]
    pub fn within(&self, shares: &Arc<TenantShares>) -> LiveEngine {
        let fallback = self.fallback.as_ref().map(|fallback| fallback.within(shares));
        LiveEngine { policy: self.policy.clone().with_shares(shares), fallback, ..self.clone() }
    }
}

impl LiveEngine {
    /// The same engine as one that transcribes whole clips, each in a session of its own: for use as a fallback.
    pub fn transcriber(&self) -> Resilient {
        let live = LiveEngine { fallback: None, ..self.clone() };
        let settings = retry::Settings { retries: 0, ..retry::Settings::default() };
        Resilient::new(Arc::new(Clips(live)), settings, None)
    }
}

/// A live engine that transcribes whole clips.
struct Clips(LiveEngine);

impl Transcriber for Clips {
    fn name(&self) -> &Arc<str> {
        self.0.name()
    }

    fn transcribe(
        &self,
        speech: Clip,
        hints: Hints,
        meter: Meter,
    ) -> BoxFuture<'_, Result<String, EngineError>> {
        recognise(&self.0, speech, hints, meter).boxed()
    }
}

impl Stt for LiveEngine {
    fn name(&self) -> &Arc<str> {
        self.protocol.name()
    }

    fn open(&self, config: SessionConfig) -> Box<dyn SttSession> {
        let session =
            LiveSession::new(self.protocol.clone(), self.policy.clone(), self.final_timeout, &config);
        match &self.fallback {
            Some(fallback) => {
                Box::new(WithFallback::new(session, fallback.clone(), self.name().clone(), config))
            }
            None => Box::new(session),
        }
    }

    fn is_live(&self) -> bool {
        true
    }
}
