//! Speech over WebSockets, in contexts: one for each speech, several at once or one after the other.
//!
//! A connection is opened while the phone rings, stays open between speeches, and outlives a speech that is cancelled.

pub mod alignment;
mod connection;
mod limits;
mod parts;
mod speech;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::samples::ByteStream;
use crate::engines::core::EngineError;
use crate::engines::core::websocket::SocketEndpoint;
use alignment::Alignment;
use connection::{Command, ConnectionUse, ContextConnection};
pub use limits::{ConnectionLimits, MinuteLimits};
pub use parts::{ContextSpeech, WordMessages};
use speech::Speech;
pub use speech::{ContextClock, OpenContext};

/// Connections of one engine. One more takes the place of one without a speech.
const MAX_CONNECTIONS: usize = 256;
/// Pieces of a speech that wait: the server is faster than playback, and a text has a limit.
const QUEUE: usize = 1_024;

/// The way to a vendor's speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeechTransport {
    /// A request for each speech.
    #[default]
    Http,
    /// Contexts of connections that stay open.
    WebSocket,
}

/// A vendor's messages about contexts.
pub trait ContextProtocol: Send + Sync {
    /// How the messages belong to contexts.
    fn multiplexing(&self) -> Multiplexing {
        Multiplexing::ById
    }

    /// The limits of one connection.
    fn limits(&self) -> ConnectionLimits {
        ConnectionLimits::default()
    }

    /// The characters of a client's message that count against the limits.
    fn characters(&self, _message: &Value) -> usize {
        0
    }

    fn cancellation(&self) -> Cancellation;

    /// Whether the server closes a connection with this reason because of a limit.
    fn is_limit(&self, _reason: &str) -> bool {
        false
    }

    /// Reads a message of the server.
    ///
    /// # Errors
    /// It is none; the connection is of no use any more.
    fn read(&self, message: &str, endpoint: &SocketEndpoint) -> Result<ContextMessage, EngineError>;
}

/// How the messages of a connection belong to contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multiplexing {
    /// Each names its context, in the field `context_id` of the client's.
    ById,
    /// None does: a connection has one context at a time. Its audio is in binary frames.
    Exclusive,
}

/// How a context is cancelled.
#[derive(Debug)]
pub enum Cancellation {
    /// By a message; audio that still arrives is dropped by its id.
    AtOnce(Value),
    /// By a message that the server confirms; audio is dropped until then, and no other context begins.
    Confirmed(Value),
    /// Its audio is dropped until its end. The message has the server end a context with an unfinished text.
    AtItsEnd(Value),
}

/// A message of the server.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ContextMessage {
    /// None for all of them.
    pub context: Option<String>,
    pub audio: Vec<u8>,
    /// When the words of the text are heard.
    pub alignment: Option<Alignment>,
    pub end: Option<ContextEnd>,
}

/// The end of a context.
#[derive(Debug, PartialEq, Eq)]
pub enum ContextEnd {
    /// All of its audio was sent.
    Spoken,
    /// The server confirms that it is cancelled.
    Cancelled,
    Failed(EngineError),
}

/// Where a connection leads, with all that holds for each of its contexts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub path: String,
    pub query: Vec<(String, String)>,
}

/// The text of a context that a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextText {
    /// More follows.
    Part,
    /// The last of it.
    Rest,
}

/// The connections of one engine.
pub struct ContextPool {
    endpoint: SocketEndpoint,
    protocol: Arc<dyn ContextProtocol>,
    links: Mutex<HashMap<Address, Vec<ContextLink>>>,
    max_connections: usize,
    contexts: AtomicU64,
}

/// The pool's side of a connection.
#[derive(Clone)]
struct ContextLink {
    commands: mpsc::Sender<Command>,
    usage: ConnectionUse,
    limits: ConnectionLimits,
    opened_at: Instant,
    /// The number of the pool's contexts when it was last chosen.
    used_at: Arc<AtomicU64>,
}

impl ContextLink {
    fn has_room(&self) -> bool {
        let is_free = self.usage.open.load(Ordering::Relaxed) < self.limits.contexts;
        is_free
            && !self.commands.is_closed()
            && self.opened_at.elapsed() < self.limits.lifetime
            && self.limits.minute.is_none_or(|minute| self.usage.has_room(Instant::now(), minute))
    }

    fn is_idle(&self) -> bool {
        self.usage.open.load(Ordering::Relaxed) == 0
    }

    /// Counts a context that begins.
    fn reserve(&self, contexts: u64) -> ContextLink {
        self.usage.open.fetch_add(1, Ordering::Relaxed);
        self.used_at.store(contexts, Ordering::Relaxed);
        self.clone()
    }

    /// Hands over the start of a context without a wait: the queue of a connection that stands still is full.
    fn start(&self, start: Command) -> Result<(), EngineError> {
        self.commands.try_send(start).map_err(|_| {
            self.usage.open.fetch_sub(1, Ordering::Relaxed);
            closed()
        })
    }
}

impl ContextPool {
    pub fn new(endpoint: SocketEndpoint, protocol: Arc<dyn ContextProtocol>) -> ContextPool {
        let (links, contexts) = (Mutex::default(), AtomicU64::default());
        ContextPool { endpoint, protocol, links, max_connections: MAX_CONNECTIONS, contexts }
    }

    /// Opens a connection, unless one has room for a context. A failure is left to the speech that needs it.
    pub async fn warm_up(&self, address: &Address) {
        if self.links().get(address).is_some_and(|links| links.iter().any(ContextLink::has_room)) {
            return;
        }
        if let Err(error) = self.open(address, 0).await {
            tracing::debug!(%error, "no connection in advance");
        }
    }

    /// Starts a speech with the messages of its context, which have its whole text. Dropping the stream cancels it.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses before the first audio.
    pub async fn speak(
        &self,
        address: &Address,
        messages: &[Value],
        clock: ContextClock,
    ) -> Result<ByteStream, EngineError> {
        if let Some(link) = self.reserve(address) {
            match self.begin(&link, messages, clock.clone()).await {
                // A connection may be closed while it is idle.
                Err(EngineError::Temporary(_)) => {}
                begun => return begun,
            }
        }
        let link = self.open(address, 1).await?;
        self.begin(&link, messages, clock).await
    }

    /// Opens a context that takes its text in parts, with its first messages. Dropping it cancels the speech.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn open_context(
        &self,
        address: &Address,
        messages: &[Value],
        clock: ContextClock,
    ) -> Result<OpenContext, EngineError> {
        let link = match self.reserve(address) {
            Some(link) => link,
            None => self.open(address, 1).await?,
        };
        self.start(&link, messages, ContextText::Part, clock)
    }

    /// A connection with room for a context, which is counted.
    fn reserve(&self, address: &Address) -> Option<ContextLink> {
        let links = self.links();
        let link = links.get(address)?.iter().find(|link| link.has_room())?;
        Some(link.reserve(self.contexts()))
    }

    /// The number of contexts so far.
    fn contexts(&self) -> u64 {
        self.contexts.load(Ordering::Relaxed)
    }

    /// Begins a context that the link has counted.
    async fn begin(
        &self,
        link: &ContextLink,
        messages: &[Value],
        clock: ContextClock,
    ) -> Result<ByteStream, EngineError> {
        self.start(link, messages, ContextText::Rest, clock)?.audio().await
    }

    /// Starts a context that the link has counted.
    fn start(
        &self,
        link: &ContextLink,
        messages: &[Value],
        text: ContextText,
        clock: ContextClock,
    ) -> Result<OpenContext, EngineError> {
        let context = format!("c{}", self.contexts.fetch_add(1, Ordering::Relaxed));
        let (pieces, receiver) = mpsc::channel(QUEUE);
        let start = Command::Start { context: context.clone(), messages: messages.to_vec(), text, pieces };
        link.start(start)?;
        Ok(OpenContext::new(Speech::new(receiver, context, link.commands.clone(), clock)))
    }

    /// Opens a connection with so many contexts that are counted before another speech can take it.
    async fn open(&self, address: &Address, contexts: usize) -> Result<ContextLink, EngineError> {
        let socket = self.endpoint.connect(&address.path, &address.query).await?;
        let (commands, receiver) = mpsc::channel(QUEUE);
        let used_at = Arc::new(AtomicU64::new(self.contexts()));
        let usage = ConnectionUse { open: Arc::new(AtomicUsize::new(contexts)), ..ConnectionUse::default() };
        let (limits, opened_at) = (self.protocol.limits(), Instant::now());
        let link = ContextLink { commands, usage, limits, opened_at, used_at };
        let mut links = self.links();
        make_room(&mut links, self.max_connections)?;
        links.entry(address.clone()).or_default().push(link.clone());
        let (endpoint, protocol) = (self.endpoint.clone(), self.protocol.clone());
        tokio::spawn(ContextConnection::new(endpoint, protocol, socket, link.usage.clone()).serve(receiver));
        Ok(link)
    }

    fn links(&self) -> MutexGuard<'_, HashMap<Address, Vec<ContextLink>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one more connection: forgets those that are closed, and at the limit the one of those without a speech that was
/// used longest ago, which closes it.
///
/// # Errors
/// All of them are in use.
fn make_room(links: &mut HashMap<Address, Vec<ContextLink>>, most: usize) -> Result<(), EngineError> {
    keep(links, |link| !link.commands.is_closed());
    while links.values().map(Vec::len).sum::<usize>() >= most {
        let idle = links.values().flatten().filter(|link| link.is_idle());
        let oldest = idle.min_by_key(|link| link.used_at.load(Ordering::Relaxed)).cloned();
        let in_use = || EngineError::Temporary(format!("all {most} connections are in use"));
        let oldest = oldest.ok_or_else(in_use)?;
        keep(links, |link| !link.commands.same_channel(&oldest.commands));
    }
    Ok(())
}

/// Drops the other connections, which closes them.
fn keep(links: &mut HashMap<Address, Vec<ContextLink>>, is_kept: impl Fn(&ContextLink) -> bool) {
    links.retain(|_, links| {
        links.retain(&is_kept);
        !links.is_empty()
    });
}

fn closed() -> EngineError {
    EngineError::Temporary("the connection was closed".into())
}

#[cfg(test)]
mod exclusive_tests;
#[cfg(test)]
mod tests;
