//! One connection: sends the messages of contexts, and hands out the audio that arrives.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::speech::{ContextAudio, ContextPiece};
use super::{ContextMessage, ContextProtocol, ContextText, closed};
use crate::engines::core::EngineError;
use crate::engines::core::websocket::{self, Socket, SocketEndpoint};

/// A connection without a speech is closed after this time: before the server does so, and after any pause of a conversation.
const IDLE: Duration = Duration::from_secs(150);
/// A connection is not used again when a speech of it was given up after so long a silence of the server.
const SILENT: Duration = Duration::from_secs(2);

/// What a connection is asked for.
pub enum Command {
    Start {
        context: String,
        messages: Vec<String>,
        text: ContextText,
        pieces: mpsc::Sender<ContextAudio>,
    },
    /// More messages of a context.
    Continue {
        context: String,
        messages: Vec<String>,
        text: ContextText,
    },
    Cancel {
        context: String,
    },
}

/// A context that the server has not ended.
struct ContextState {
    /// Where its audio goes; none for a context that was cancelled.
    pieces: Option<mpsc::Sender<ContextAudio>>,
    /// Of the latest message.
    text: ContextText,
}

pub struct ContextConnection {
    endpoint: SocketEndpoint,
    protocol: Arc<dyn ContextProtocol>,
    socket: Socket,
    contexts: HashMap<String, ContextState>,
    /// The number of contexts, with those that have not started.
    open: Arc<AtomicUsize>,
    /// The latest message of the server, or the latest text that was sent to it.
    active: Instant,
    /// The end of a context's text after which the server has sent nothing.
    unanswered: Option<Instant>,
}

impl ContextConnection {
    pub fn new(
        endpoint: SocketEndpoint,
        protocol: Arc<dyn ContextProtocol>,
        socket: Socket,
        open: Arc<AtomicUsize>,
    ) -> ContextConnection {
        let (contexts, active) = (HashMap::new(), Instant::now());
        ContextConnection { endpoint, protocol, socket, contexts, open, active, unanswered: None }
    }

    /// Serves until the connection breaks, is idle for too long, or the pool is dropped.
    pub async fn serve(mut self, mut commands: mpsc::Receiver<Command>) {
        let error = loop {
            let is_idle = self.contexts.values().all(|context| context.pieces.is_none());
            let done = tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.carry_out(command).await,
                    None => Err(closed()),
                },
                message = self.socket.next() => self.take(message),
                () = sleep_until(self.active + IDLE), if is_idle => Err(closed()),
            };
            if let Err(error) = done {
                break error;
            }
        };
        commands.close();
        for receiver in self.contexts.into_values().filter_map(|context| context.pieces) {
            let _ = receiver.try_send(Err(error.clone()));
        }
        websocket::close(&mut self.socket).await;
    }

    async fn carry_out(&mut self, command: Command) -> Result<(), EngineError> {
        match command {
            Command::Start { context, messages, text, pieces } => {
                self.contexts.insert(context, ContextState { pieces: Some(pieces), text });
                self.send_text(messages, text).await
            }
            Command::Continue { context, messages, text } => match self.contexts.get_mut(&context) {
                Some(state) => {
                    state.text = text;
                    self.send_text(messages, text).await
                }
                None => Ok(()),
            },
            Command::Cancel { context } => self.cancel(&context).await,
        }
    }

    async fn send_text(&mut self, messages: Vec<String>, text: ContextText) -> Result<(), EngineError> {
        self.active = Instant::now();
        if text == ContextText::Rest {
            self.unanswered.get_or_insert(self.active);
        }
        for message in messages {
            self.send(message).await?;
        }
        Ok(())
    }

    async fn cancel(&mut self, context: &str) -> Result<(), EngineError> {
        let Some(state) = self.contexts.get_mut(context) else { return Ok(()) };
        state.pieces = None;
        let is_unfinished = state.text == ContextText::Part;
        if self.unanswered.is_some_and(|since| since.elapsed() >= SILENT) {
            return Err(EngineError::Timeout(SILENT));
        }
        if let Some(mut message) = self.protocol.cancel() {
            message["context_id"] = context.into();
            self.remove(context);
            self.send(message.to_string()).await?;
        } else if let Some(mut message) = self.protocol.close().filter(|_| is_unfinished) {
            message["context_id"] = context.into();
            self.send(message.to_string()).await?;
        }
        Ok(())
    }

    fn take(&mut self, message: Option<Result<Message, Error>>) -> Result<(), EngineError> {
        let Some(text) = self.endpoint.text_of(message)? else { return Ok(()) };
        self.active = Instant::now();
        self.unanswered = None;
        let ContextMessage { context, audio, alignment, end } =
            self.protocol.read(text.as_str(), &self.endpoint)?;
        let Some(context) = context else { return end.unwrap_or(Ok(())) };
        if !audio.is_empty() || alignment.is_some() {
            self.hand_out(&context, Ok(Some(ContextPiece { audio: audio.into(), alignment })));
        }
        if let Some(end) = end {
            let end = end.and_then(|()| self.check_whole(&context));
            self.hand_out(&context, end.map(|()| None));
            self.remove(&context);
        }
        Ok(())
    }

    /// A server may end a context that waits for more of its text for too long.
    fn check_whole(&self, context: &str) -> Result<(), EngineError> {
        match self.contexts.get(context) {
            Some(ContextState { text: ContextText::Part, .. }) => {
                Err(EngineError::Temporary("the server ended a speech before its text".into()))
            }
            _ => Ok(()),
        }
    }

    /// A speech that is not read in time breaks off.
    fn hand_out(&mut self, context: &str, piece: ContextAudio) {
        let Some(state) = self.contexts.get_mut(context) else { return };
        if state.pieces.as_ref().is_some_and(|pieces| pieces.try_send(piece).is_err()) {
            state.pieces = None;
        }
    }

    fn remove(&mut self, context: &str) {
        if self.contexts.remove(context).is_some() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn send(&mut self, message: String) -> Result<(), EngineError> {
        websocket::send(&mut self.socket, Message::text(message)).await
    }
}
