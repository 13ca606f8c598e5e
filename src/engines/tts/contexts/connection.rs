//! One connection: sends the messages of contexts, and hands out the audio that arrives.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::limits::{MinuteLimits, SentTexts};
use super::speech::{ContextAudio, ContextPiece};
use super::{Cancellation, ContextEnd, ContextMessage, ContextProtocol, ContextText, Multiplexing, closed};
use crate::engines::core::EngineError;
use crate::engines::core::websocket::{self, Socket, SocketEndpoint};

/// A connection is not used again when a speech of it was given up after so long a silence of the server, or when the server has
/// not confirmed for so long that it is cancelled.
const SILENT: Duration = Duration::from_secs(2);

/// What a connection is asked for.
pub enum Command {
    Start {
        context: String,
        messages: Vec<Value>,
        text: ContextText,
        pieces: mpsc::Sender<ContextAudio>,
    },
    /// More messages of a context.
    Continue {
        context: String,
        messages: Vec<Value>,
        text: ContextText,
    },
    Cancel {
        context: String,
    },
}

/// The use of a connection, which the pool and the connection share.
#[derive(Debug, Clone, Default)]
pub struct ConnectionUse {
    /// The number of contexts, with those that have not started.
    pub open: Arc<AtomicUsize>,
    /// Counted where the vendor has limits by the minute.
    pub sent: Arc<Mutex<SentTexts>>,
}

impl ConnectionUse {
    /// Whether the limits of a minute leave room for any text.
    pub fn has_room(&self, now: Instant, limits: MinuteLimits) -> bool {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).has_room(now, limits)
    }
}

/// Where the audio of a context goes.
enum ContextOutput {
    To(mpsc::Sender<ContextAudio>),
    Dropped,
    /// The same, until the server confirms that the context is cancelled.
    Cancelled,
}

/// A context that the server has not ended.
struct ContextState {
    output: ContextOutput,
    /// Of the latest message.
    text: ContextText,
    has_audio: bool,
}

pub struct ContextConnection {
    endpoint: SocketEndpoint,
    protocol: Arc<dyn ContextProtocol>,
    socket: Socket,
    contexts: HashMap<String, ContextState>,
    usage: ConnectionUse,
    /// The latest message of the server, or the latest text that was sent to it.
    active: Instant,
    /// The end of a context's text after which the server has sent nothing.
    unanswered: Option<Instant>,
    /// A context was cancelled after its text was complete: the server may still report the end of its audio.
    is_end_due: bool,
}

impl ContextConnection {
    pub fn new(
        endpoint: SocketEndpoint,
        protocol: Arc<dyn ContextProtocol>,
        socket: Socket,
        usage: ConnectionUse,
    ) -> ContextConnection {
        let (contexts, active) = (HashMap::new(), Instant::now());
        let (unanswered, is_end_due) = (None, false);
        ContextConnection { endpoint, protocol, socket, contexts, usage, active, unanswered, is_end_due }
    }

    /// Serves until the connection breaks, is idle for too long, or the pool is dropped.
    pub async fn serve(mut self, mut commands: mpsc::Receiver<Command>) {
        let error = loop {
            let idle = self.idle_limit();
            let done = tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.carry_out(command).await,
                    None => Err(closed()),
                },
                message = self.socket.next() => self.take(message),
                () = sleep_until(self.active + idle.unwrap_or_default()), if idle.is_some() => Err(closed()),
            };
            if let Err(error) = done {
                break error;
            }
        };
        commands.close();
        for context in self.contexts.into_values() {
            if let ContextOutput::To(pieces) = context.output {
                let _ = pieces.try_send(Err(error.clone()));
            }
        }
        websocket::close(&mut self.socket).await;
    }

    /// How long the server may be silent while no speech is read. None while one is.
    fn idle_limit(&self) -> Option<Duration> {
        let mut limit = self.protocol.limits().idle;
        for context in self.contexts.values() {
            match context.output {
                ContextOutput::To(_) => return None,
                ContextOutput::Cancelled => limit = SILENT,
                ContextOutput::Dropped => {}
            }
        }
        Some(limit)
    }

    async fn carry_out(&mut self, command: Command) -> Result<(), EngineError> {
        match command {
            Command::Start { context, messages, text, pieces } => {
                let state = ContextState { output: ContextOutput::To(pieces), text, has_audio: false };
                self.contexts.insert(context.clone(), state);
                self.send_text(&context, messages, text).await
            }
            Command::Continue { context, messages, text } => match self.contexts.get_mut(&context) {
                Some(state) => {
                    state.text = text;
                    self.send_text(&context, messages, text).await
                }
                None => Ok(()),
            },
            Command::Cancel { context } => self.cancel(&context).await,
        }
    }

    async fn send_text(
        &mut self,
        context: &str,
        messages: Vec<Value>,
        text: ContextText,
    ) -> Result<(), EngineError> {
        self.active = Instant::now();
        self.count(&messages, text);
        if text == ContextText::Rest {
            self.unanswered.get_or_insert(self.active);
        }
        for message in messages {
            self.send(context, message).await?;
        }
        Ok(())
    }

    fn count(&self, messages: &[Value], text: ContextText) {
        if self.protocol.limits().minute.is_some() {
            let characters = messages.iter().map(|message| self.protocol.characters(message)).sum();
            let mut sent = self.usage.sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.add(self.active, characters, text == ContextText::Rest);
        }
    }

    async fn cancel(&mut self, context: &str) -> Result<(), EngineError> {
        let Some(state) = self.contexts.get_mut(context) else { return Ok(()) };
        state.output = ContextOutput::Dropped;
        let is_unfinished = state.text == ContextText::Part;
        if self.unanswered.is_some_and(|since| since.elapsed() >= SILENT) {
            return Err(EngineError::Timeout(SILENT));
        }
        match self.protocol.cancellation() {
            Cancellation::AtOnce(message) => {
                self.remove(context);
                self.send(context, message).await
            }
            Cancellation::Confirmed(message) => {
                state.output = ContextOutput::Cancelled;
                self.is_end_due |= !is_unfinished;
                self.active = Instant::now();
                self.send(context, message).await
            }
            Cancellation::AtItsEnd(message) if is_unfinished => self.send(context, message).await,
            Cancellation::AtItsEnd(_) => Ok(()),
        }
    }

    fn take(&mut self, message: Option<Result<Message, Error>>) -> Result<(), EngineError> {
        let Some(message) = self.read(message)? else { return Ok(()) };
        self.active = Instant::now();
        self.unanswered = None;
        let ContextMessage { context, audio, alignment, end } = message;
        let Some(context) = context.or_else(|| self.only_context()) else {
            return self.end_without_context(end);
        };
        if !audio.is_empty() || alignment.is_some() {
            self.hand_out(&context, Ok(Some(ContextPiece { audio: audio.into(), alignment })));
        }
        if let Some(end) = end {
            self.end(&context, end);
        }
        Ok(())
    }

    /// An error of no context is one of the connection.
    fn end_without_context(&mut self, end: Option<ContextEnd>) -> Result<(), EngineError> {
        match end {
            Some(ContextEnd::Failed(error)) => return Err(error),
            Some(ContextEnd::Spoken) => self.is_end_due = false,
            Some(ContextEnd::Cancelled) | None => {}
        }
        Ok(())
    }

    /// The meaning of what arrived. None: it has none.
    fn read(&self, message: Option<Result<Message, Error>>) -> Result<Option<ContextMessage>, EngineError> {
        match message {
            Some(Ok(Message::Binary(audio))) if self.protocol.multiplexing() == Multiplexing::Exclusive => {
                Ok(Some(ContextMessage { audio: audio.to_vec(), ..ContextMessage::default() }))
            }
            Some(Ok(Message::Close(Some(frame)))) => {
                let limited = self.protocol.is_limit(&frame.reason);
                let error = self.endpoint.closed(Some(&frame));
                Err(if limited { EngineError::RateLimited(error.to_string()) } else { error })
            }
            other => match self.endpoint.text_of(other)? {
                Some(text) => self.protocol.read(text.as_str(), &self.endpoint).map(Some),
                None => Ok(None),
            },
        }
    }

    /// The context of messages that name none, where they belong to one.
    fn only_context(&self) -> Option<String> {
        match self.protocol.multiplexing() {
            Multiplexing::ById => None,
            Multiplexing::Exclusive => self.contexts.keys().next().cloned(),
        }
    }

    fn end(&mut self, context: &str, end: ContextEnd) {
        let Some(state) = self.contexts.get(context) else { return };
        let is_cancelled = matches!(state.output, ContextOutput::Cancelled);
        let is_of_another = self.is_end_due && !state.has_audio;
        match end {
            ContextEnd::Spoken => {
                let end = check_whole(state);
                self.is_end_due = false;
                if !is_cancelled && !is_of_another {
                    self.finish(context, end);
                }
            }
            ContextEnd::Cancelled if is_cancelled => self.remove(context),
            ContextEnd::Cancelled => {}
            ContextEnd::Failed(error) => self.finish(context, Err(error)),
        }
    }

    fn finish(&mut self, context: &str, end: Result<(), EngineError>) {
        self.hand_out(context, end.map(|()| None));
        self.remove(context);
    }

    /// A speech that is not read in time breaks off.
    fn hand_out(&mut self, context: &str, piece: ContextAudio) {
        let Some(state) = self.contexts.get_mut(context) else { return };
        let is_audio = matches!(&piece, Ok(Some(piece)) if !piece.audio.is_empty());
        state.has_audio |= is_audio;
        if let ContextOutput::To(pieces) = &state.output
            && pieces.try_send(piece).is_err()
        {
            state.output = ContextOutput::Dropped;
        }
    }

    fn remove(&mut self, context: &str) {
        if self.contexts.remove(context).is_some() {
            self.usage.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn send(&mut self, context: &str, mut message: Value) -> Result<(), EngineError> {
        if self.protocol.multiplexing() == Multiplexing::ById {
            message["context_id"] = context.into();
        }
        websocket::send(&mut self.socket, Message::text(message.to_string())).await
    }
}

/// A server may end a context that waits for more of its text for too long.
fn check_whole(state: &ContextState) -> Result<(), EngineError> {
    match state.text {
        ContextText::Part => Err(EngineError::Temporary("the server ended a speech before its text".into())),
        ContextText::Rest => Ok(()),
    }
}
