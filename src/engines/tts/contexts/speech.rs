//! One speech in a context: its audio, and the rest of its text.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;
use tokio::sync::mpsc;

use super::alignment::Alignment;
use super::connection::Command;
use super::{ContextText, closed};
use crate::engines::core::EngineError;
use crate::engines::core::timing::SpeechTiming;
use crate::engines::tts::samples::ByteStream;
use crate::engines::tts::sound::BareSpeech;

/// A part of a speech, on its way from the connection; none at its end.
pub type ContextAudio = Result<Option<ContextPiece>, EngineError>;

/// Audio, which may be empty, and the times of words.
#[derive(Debug)]
pub struct ContextPiece {
    pub audio: Bytes,
    pub alignment: Option<Alignment>,
}

/// Keeps the times of a speech's words.
#[derive(Debug, Clone)]
pub struct ContextClock {
    timing: SpeechTiming,
    bytes_per_second: u64,
    /// Of the audio so far.
    bytes: u64,
}

impl ContextClock {
    /// Adds the words of a speech in this format to `timing`.
    pub fn new(timing: SpeechTiming, speech: BareSpeech) -> ContextClock {
        ContextClock { timing, bytes_per_second: speech.bytes_per_second(), bytes: 0 }
    }

    /// Takes the next piece, and returns its audio.
    fn take(&mut self, piece: ContextPiece) -> Bytes {
        if let Some(alignment) = piece.alignment {
            let milliseconds = self.bytes.saturating_mul(1_000) / self.bytes_per_second.max(1);
            alignment.add_to(&self.timing, Duration::from_millis(milliseconds));
        }
        self.bytes = self.bytes.saturating_add(piece.audio.len() as u64);
        piece.audio
    }
}

/// A context that takes more text. Dropping it cancels the speech.
pub struct OpenContext(Speech);

impl OpenContext {
    pub(super) fn new(speech: Speech) -> OpenContext {
        OpenContext(speech)
    }

    /// Sends more messages of the context, without a wait: the queue of a connection that stands still is full.
    ///
    /// # Errors
    /// The connection was closed, or stands still.
    pub fn send(&self, messages: &[Value], text: ContextText) -> Result<(), EngineError> {
        let Speech { context, commands, .. } = &self.0;
        let Some(commands) = commands else { return Err(closed()) };
        let (context, messages) = (context.clone(), messages.to_vec());
        commands.try_send(Command::Continue { context, messages, text }).map_err(|_| closed())
    }

    /// The audio, once it begins.
    ///
    /// # Errors
    /// The server refuses, or the connection breaks, before the first audio.
    pub async fn audio(self) -> Result<ByteStream, EngineError> {
        let OpenContext(mut speech) = self;
        match speech.next().await {
            Some(first) => {
                let first = first?;
                Ok(stream::once(async { Ok(first) }).chain(speech).boxed())
            }
            None => Ok(stream::empty().boxed()),
        }
    }
}

/// The audio of a context. Cancels it when dropped before its end.
pub struct Speech {
    pieces: mpsc::Receiver<ContextAudio>,
    context: String,
    /// None once the context has ended.
    commands: Option<mpsc::Sender<Command>>,
    clock: ContextClock,
}

impl Speech {
    pub fn new(
        pieces: mpsc::Receiver<ContextAudio>,
        context: String,
        commands: mpsc::Sender<Command>,
        clock: ContextClock,
    ) -> Speech {
        clock.timing.restart();
        Speech { pieces, context, commands: Some(commands), clock }
    }
}

impl Stream for Speech {
    type Item = Result<Bytes, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.commands.is_none() {
            return Poll::Ready(None);
        }
        let item = loop {
            let Poll::Ready(piece) = self.pieces.poll_recv(cx) else { return Poll::Pending };
            match piece {
                Some(Ok(Some(piece))) => {
                    let audio = self.clock.take(piece);
                    if !audio.is_empty() {
                        return Poll::Ready(Some(Ok(audio)));
                    }
                }
                Some(Ok(None)) => break None,
                Some(Err(error)) => break Some(Err(error)),
                None => break Some(Err(closed())),
            }
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
