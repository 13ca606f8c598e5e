//! Transcription of audio as it arrives, with the ends of turns, by Deepgram's `/v2/listen` (Flux).
//!
//! <https://developers.deepgram.com/docs/flux/state>. A turn may be over after [`EAGER`] of silence, and is over after [`END`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::live::{Audio, BEHIND};
use super::server::{Server, SttRequest};

/// Audio between two updates.
const UPDATE: Duration = Duration::from_millis(250);
const EAGER: Duration = Duration::from_millis(160);
const END: Duration = Duration::from_millis(260);
/// The loudest silence: -50 dB below full scale.
const SILENCE: u16 = 104;

#[derive(Clone, Copy, PartialEq, Eq)]
enum TurnState {
    /// Without words.
    Initial,
    Ongoing,
    MayEnd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Update,
    MayEnd,
    Resumed,
    End,
}

struct Turn {
    audio: Audio,
    state: TurnState,
    index: u32,
    /// Samples of silence since the latest sound.
    quiet: usize,
    /// Samples at the latest message.
    reported: usize,
}

pub async fn serve(
    mut socket: WebSocketStream<TcpStream>,
    audio: Audio,
    server: Arc<Server>,
) -> Result<(), Error> {
    let mut turn = Turn { audio, state: TurnState::Initial, index: 0, quiet: 0, reported: 0 };
    socket.send(Message::text(json!({ "type": "Connected", "request_id": "r" }).to_string())).await?;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Binary(bytes) => {
                turn.push(&bytes);
                if let Some(event) = turn.event() {
                    let message = turn.message(event, &server).await;
                    socket.send(message).await?;
                }
            }
            Message::Text(text) if text.contains("ForceEndTurn") && turn.state != TurnState::Initial => {
                let message = turn.message(Event::End, &server).await;
                socket.send(message).await?;
            }
            Message::Text(text) if text.contains("CloseStream") => return socket.close(None).await,
            _ => {}
        }
    }
    Ok(())
}

impl Turn {
    fn push(&mut self, bytes: &[u8]) {
        for sample in bytes.chunks_exact(2).map(|it| i16::from_le_bytes([it[0], it[1]])) {
            self.quiet = if sample.unsigned_abs() > SILENCE { 0 } else { self.quiet + 1 };
            self.audio.samples.push(sample);
        }
    }

    fn event(&self) -> Option<Event> {
        let is_quiet_for = |time| self.quiet >= self.audio.count(time);
        match self.state {
            TurnState::Ongoing | TurnState::MayEnd if is_quiet_for(END) => Some(Event::End),
            TurnState::Ongoing if is_quiet_for(EAGER) => Some(Event::MayEnd),
            TurnState::MayEnd if self.quiet == 0 => Some(Event::Resumed),
            _ => (self.audio.samples.len() >= self.reported + self.audio.count(UPDATE))
                .then_some(Event::Update),
        }
    }

    async fn message(&mut self, event: Event, server: &Arc<Server>) -> Message {
        let received = Instant::now();
        let length = self.audio.samples.len();
        let behind = if self.quiet > 0 { 0 } else { self.audio.count(BEHIND) };
        let (text, words) =
            self.audio.new_words(server.heard(self.audio.clip(length.saturating_sub(behind))).await.1);
        let name = match event {
            Event::Update if self.state == TurnState::Initial && !text.is_empty() => {
                self.state = TurnState::Ongoing;
                "StartOfTurn"
            }
            Event::Update => "Update",
            Event::MayEnd => {
                self.state = TurnState::MayEnd;
                "EagerEndOfTurn"
            }
            Event::Resumed => {
                self.state = TurnState::Ongoing;
                "TurnResumed"
            }
            Event::End => "EndOfTurn",
        };
        self.reported = length;
        let message = json!({
            "type": "TurnInfo", "request_id": "r", "event": name, "turn_index": self.index,
            "audio_window_start": self.audio.seconds(self.audio.from), "audio_window_end": self.audio.seconds(length),
            "transcript": text, "words": [], "end_of_turn_confidence": 0.8,
        });
        if event == Event::End {
            let spoken = Duration::from_secs_f64(self.audio.seconds(length - self.audio.from));
            server.note(SttRequest { received, length: spoken, text, words, work: received.elapsed() });
            (self.state, self.index, self.audio.from) = (TurnState::Initial, self.index + 1, length);
        }
        Message::text(message.to_string())
    }
}
