//! Speech of a text that arrives in parts, by Cartesia's `/tts/websocket`.
//!
//! The first byte follows the first words of a context. The audio is that of the known sentence that begins with the words so far.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use vca::audio::Clip;
use vca::audio::resample::convert;

use super::server::{PIECE, SPEECH_RATE, SPEED, Server};

pub async fn serve(socket: WebSocketStream<TcpStream>, server: Arc<Server>) -> Result<(), Error> {
    let (mut sink, mut messages) = socket.split();
    let (replies, mut queue) = mpsc::channel(64);
    // The words so far of contexts that were not cancelled.
    let mut contexts: HashMap<String, watch::Sender<String>> = HashMap::new();
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message.transpose()? else { return Ok(()) };
                let Message::Text(text) = message else { continue };
                let order: Value = serde_json::from_str(&text).unwrap_or_default();
                let context = order["context_id"].as_str().unwrap_or_default().to_owned();
                if order["cancel"] == true {
                    contexts.remove(&context);
                    continue;
                }
                let text = contexts.entry(context).or_insert_with(|| {
                    let (text, words) = watch::channel(String::new());
                    tokio::spawn(speak(server.clone(), order.clone(), words, replies.clone()));
                    text
                });
                text.send_modify(|text| text.push_str(order["transcript"].as_str().unwrap_or_default()));
            }
            Some(reply) = queue.recv() => sink.send(reply).await?,
        }
    }
}

/// Sends the audio of a context, until it is cancelled.
async fn speak(
    server: Arc<Server>,
    order: Value,
    words: watch::Receiver<String>,
    replies: mpsc::Sender<Message>,
) -> Option<()> {
    let received = Instant::now();
    sleep(server.pace.first_byte).await;
    let text = words.borrow().trim().to_owned();
    let rate = u32::try_from(order["output_format"]["sample_rate"].as_u64()?).ok()?;
    let speech = tokio::task::spawn_blocking(move || {
        (convert(&Clip::new(SPEECH_RATE, server.speech_from(&text)), rate), server.pace.first_byte)
    });
    let (clip, first_byte) = speech.await.ok()?;
    let length = (PIECE.as_secs_f64() * f64::from(rate)) as usize;
    for (n, piece) in clip.samples.chunks(length).enumerate() {
        let due: Duration = first_byte + PIECE / SPEED * u32::try_from(n).ok()?;
        sleep(due.saturating_sub(received.elapsed())).await;
        words.has_changed().ok()?;
        let bytes: Vec<u8> = piece.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let chunk = json!({ "type": "chunk", "data": BASE64_STANDARD.encode(bytes), "done": false, "status_code": 206,
            "step_time": 1.5, "context_id": order["context_id"] });
        replies.send(Message::text(chunk.to_string())).await.ok()?;
    }
    let done = json!({ "type": "done", "done": true, "status_code": 200, "context_id": order["context_id"] });
    replies.send(Message::text(done.to_string())).await.ok()
}
