//! Transcription of audio as it arrives, by Deepgram's `/v1/listen`; `/v2/listen` is that of [`flux`], and `/tts/websocket` that
//! of [`words`].
//!
//! <https://developers.deepgram.com/reference/speech-to-text/listen-streaming>. Partial words are 60 ms behind the audio, and so
//! are the final ones behind `Finalize`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use vca::audio::Clip;

use super::flux;
use super::recogniser::HeardWord;
use super::server::{Server, SttRequest};
use super::track::RATE;
use super::words;

/// How far words are behind the audio.
pub(super) const BEHIND: Duration = Duration::from_millis(60);
/// Audio before the last final words that is compared again.
const CONTEXT: Duration = Duration::from_millis(800);
/// Audio between two partial results.
const STEP: Duration = Duration::from_millis(100);

pub async fn serve(listener: TcpListener, server: Arc<Server>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = server.clone();
        tokio::spawn(async move {
            // A client that leaves ends its session.
            let _ = session(client, server).await;
        });
    }
}

pub struct Audio {
    rate: u32,
    pub samples: Vec<i16>,
    /// The first sample without final words.
    pub from: usize,
    /// The end of the audio with partial words.
    partial: usize,
}

impl Audio {
    pub fn seconds(&self, samples: usize) -> f64 {
        samples as f64 / f64::from(self.rate)
    }

    pub fn count(&self, time: Duration) -> usize {
        time.as_millis() as usize * self.rate as usize / 1_000
    }

    /// The audio without final words, and some before it: a word that `Finalize` cut is heard as a whole afterwards.
    pub fn clip(&self, to: usize) -> Clip {
        let from = self.from.saturating_sub(self.count(CONTEXT));
        Clip::new(self.rate, self.samples.get(from..to).unwrap_or_default().to_vec())
    }

    /// The words of a clip that end in the audio without final words.
    pub fn new_words(&self, words: Vec<HeardWord>) -> (String, Vec<HeardWord>) {
        let context = self.from.min(self.count(CONTEXT)) as i64 * i64::from(RATE) / i64::from(self.rate);
        let is_new = |word: &HeardWord| word.at + word.length as i64 > context;
        let words: Vec<HeardWord> = words.into_iter().filter(is_new).collect();
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        (texts.join(" "), words)
    }

    /// The result for the audio without final words.
    fn result(&self, words: &str, is_final: bool) -> Message {
        let result: Value = json!({
            "type": "Results", "channel_index": [0, 1], "start": self.seconds(self.from),
            "duration": self.seconds(self.samples.len() - self.from), "is_final": is_final, "speech_final": false,
            "from_finalize": is_final,
            "channel": { "alternatives": [{ "transcript": words, "confidence": 0.99, "words": [] }] },
        });
        Message::text(result.to_string())
    }
}

async fn session(client: TcpStream, server: Arc<Server>) -> Result<(), Error> {
    let (mut rate, mut is_flux, mut is_speech) = (8_000, false, false);
    #[allow(clippy::result_large_err, reason = "the type is the library's")]
    let read = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        is_flux = request.uri().path().starts_with("/v2");
        is_speech = request.uri().path() == "/tts/websocket";
        let query = request.uri().query().unwrap_or_default();
        let value = query.split('&').find_map(|pair| pair.strip_prefix("sample_rate="));
        rate = value.and_then(|value| value.parse().ok()).unwrap_or(rate);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(client, read).await?;
    if is_speech {
        return words::serve(socket, server).await;
    }
    let mut audio = Audio { rate, samples: Vec::new(), from: 0, partial: 0 };
    if is_flux {
        return flux::serve(socket, audio, server).await;
    }
    while let Some(message) = socket.next().await {
        match message? {
            Message::Binary(bytes) => {
                audio.samples.extend(bytes.chunks_exact(2).map(|it| i16::from_le_bytes([it[0], it[1]])));
                if audio.samples.len() >= audio.partial + audio.count(STEP) {
                    audio.partial = audio.samples.len();
                    let heard = audio.samples.len().saturating_sub(audio.count(BEHIND));
                    let (words, _) = audio.new_words(server.heard(audio.clip(heard)).await.1);
                    if !words.is_empty() {
                        socket.send(audio.result(&words, false)).await?;
                    }
                }
            }
            Message::Text(text) if text.contains("Finalize") => {
                let received = Instant::now();
                let length = Duration::from_secs_f64(audio.seconds(audio.samples.len() - audio.from));
                let (text, words) = audio.new_words(server.heard(audio.clip(audio.samples.len())).await.1);
                let work = received.elapsed();
                server.note(SttRequest { received, length, text: text.clone(), words, work });
                tokio::time::sleep(BEHIND.saturating_sub(received.elapsed())).await;
                socket.send(audio.result(&text, true)).await?;
                audio.from = audio.samples.len();
                audio.partial = audio.from;
            }
            Message::Text(text) if text.contains("CloseStream") => return socket.close(None).await,
            _ => {}
        }
    }
    Ok(())
}
