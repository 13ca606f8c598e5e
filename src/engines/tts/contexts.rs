//! Speech over WebSockets that carry several contexts at once, one for each speech.
//!
//! A connection is opened while the phone rings, stays open between speeches, and outlives a speech that is cancelled.

mod connection;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::samples::ByteStream;
use crate::engines::core::EngineError;
use crate::engines::core::websocket::SocketEndpoint;
use connection::{Command, ContextConnection};

/// Contexts of one connection, cancelled ones included until the server ends them. ElevenLabs allows five.
const MAX_CONTEXTS: usize = 4;
/// Connections of one engine.
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

/// A vendor's messages about contexts. A context's id is the field `context_id` of the client's.
pub trait ContextProtocol: Send + Sync {
    /// The message that cancels a context. None where nothing can be cancelled: then its audio is dropped until its end.
    fn cancel(&self) -> Option<Value>;

    /// Reads a message of the server.
    ///
    /// # Errors
    /// It is none; the connection is of no use any more.
    fn read(&self, message: &str, endpoint: &SocketEndpoint) -> Result<ContextMessage, EngineError>;
}

/// A message of the server.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ContextMessage {
    /// None for all of them.
    pub context: Option<String>,
    pub audio: Vec<u8>,
    /// The context has ended, in success or not.
    pub end: Option<Result<(), EngineError>>,
}

/// Where a connection leads, with all that holds for each of its contexts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub path: String,
    pub query: Vec<(String, String)>,
}

/// A part of a speech, on its way from the connection.
type ContextAudio = Result<Option<Bytes>, EngineError>;

/// The connections of one engine.
pub struct ContextPool {
    endpoint: SocketEndpoint,
    protocol: Arc<dyn ContextProtocol>,
    links: Mutex<HashMap<Address, Vec<ContextLink>>>,
    contexts: AtomicU64,
}

/// The pool's side of a connection.
#[derive(Clone)]
struct ContextLink {
    commands: mpsc::Sender<Command>,
    /// Its contexts.
    open: Arc<AtomicUsize>,
}

impl ContextLink {
    fn has_room(&self) -> bool {
        !self.commands.is_closed() && self.open.load(Ordering::Relaxed) < MAX_CONTEXTS
    }

    /// Counts a context that begins.
    fn reserve(&self) -> ContextLink {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.clone()
    }
}

impl ContextPool {
    pub fn new(endpoint: SocketEndpoint, protocol: Arc<dyn ContextProtocol>) -> ContextPool {
        ContextPool { endpoint, protocol, links: Mutex::default(), contexts: AtomicU64::default() }
    }

    /// Opens a connection, unless one has room for a context. A failure is left to the speech that needs it.
    pub async fn warm_up(&self, address: &Address) {
        if self.links().get(address).is_some_and(|links| links.iter().any(ContextLink::has_room)) {
            return;
        }
        if let Err(error) = self.open(address).await {
            tracing::debug!(%error, "no connection in advance");
        }
    }

    /// Starts a speech with these messages of its context. Dropping the stream cancels it.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses before the first audio.
    pub async fn speak(&self, address: &Address, messages: &[Value]) -> Result<ByteStream, EngineError> {
        if let Some(link) = self.reserve(address) {
            match self.begin(&link, messages).await {
                // A connection may be closed while it is idle.
                Err(EngineError::Temporary(_)) => {}
                begun => return begun,
            }
        }
        let link = self.open(address).await?.reserve();
        self.begin(&link, messages).await
    }

    /// A connection with room for a context, which is counted.
    fn reserve(&self, address: &Address) -> Option<ContextLink> {
        let links = self.links();
        links.get(address)?.iter().find(|link| link.has_room()).map(ContextLink::reserve)
    }

    /// Begins a context that the link has counted.
    async fn begin(&self, link: &ContextLink, messages: &[Value]) -> Result<ByteStream, EngineError> {
        let context = format!("c{}", self.contexts.fetch_add(1, Ordering::Relaxed));
        let messages = messages.iter().map(|message| with_context(message.clone(), &context)).collect();
        let (pieces, receiver) = mpsc::channel(QUEUE);
        let start = Command::Start { context: context.clone(), messages, pieces };
        if link.commands.send(start).await.is_err() {
            return Err(closed());
        }
        let mut speech = Speech { pieces: receiver, context, commands: Some(link.commands.clone()) };
        match speech.next().await {
            Some(first) => {
                let first = first?;
                Ok(stream::once(async { Ok(first) }).chain(speech).boxed())
            }
            None => Ok(stream::empty().boxed()),
        }
    }

    async fn open(&self, address: &Address) -> Result<ContextLink, EngineError> {
        let socket = self.endpoint.connect(&address.path, &address.query).await?;
        let (commands, receiver) = mpsc::channel(QUEUE);
        let link = ContextLink { commands, open: Arc::default() };
        let mut links = self.links();
        links.retain(|_, links| {
            links.retain(|link| !link.commands.is_closed());
            !links.is_empty()
        });
        if links.values().map(Vec::len).sum::<usize>() >= MAX_CONNECTIONS {
            return Err(EngineError::Temporary(format!("all {MAX_CONNECTIONS} connections are in use")));
        }
        links.entry(address.clone()).or_default().push(link.clone());
        let (endpoint, protocol) = (self.endpoint.clone(), self.protocol.clone());
        tokio::spawn(ContextConnection::new(endpoint, protocol, socket, link.open.clone()).serve(receiver));
        Ok(link)
    }

    fn links(&self) -> MutexGuard<'_, HashMap<Address, Vec<ContextLink>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_context(mut message: Value, context: &str) -> String {
    message["context_id"] = context.into();
    message.to_string()
}

fn closed() -> EngineError {
    EngineError::Temporary("the connection was closed".into())
}

/// The audio of a context. Cancels it when dropped before its end.
struct Speech {
    pieces: mpsc::Receiver<ContextAudio>,
    context: String,
    /// None once the context has ended.
    commands: Option<mpsc::Sender<Command>>,
}

impl Stream for Speech {
    type Item = Result<Bytes, EngineError>;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.commands.is_none() {
            return Poll::Ready(None);
        }
        let Poll::Ready(piece) = self.pieces.poll_recv(cx) else { return Poll::Pending };
        let item = match piece {
            Some(Ok(Some(bytes))) => return Poll::Ready(Some(Ok(bytes))),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some(Err(error)),
            None => Some(Err(closed())),
        };
        self.commands = None;
        Poll::Ready(item)
    }
}

impl Drop for Speech {
    fn drop(&mut self) {
        if let Some(commands) = self.commands.take() {
            // A full queue is that of a connection that stands still; it ends by its time limit.
            let _ = commands.try_send(Command::Cancel { context: std::mem::take(&mut self.context) });
        }
    }
}
