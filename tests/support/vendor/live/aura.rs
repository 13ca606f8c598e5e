//! Deepgram's `GET /v1/speak` as a WebSocket.
//!
//! <https://developers.deepgram.com/reference/text-to-speech/speak-streaming>,
//! <https://developers.deepgram.com/docs/streaming-text-to-speech#limits>,
//! <https://developers.deepgram.com/docs/tts-troubleshooting-websocket-net-and-data-errors>

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::sound::{mulaw, pcm, tone};
use super::{CHUNK_MS, End, Session};

const PARAMETERS: &[&str] = &["encoding", "mip_opt_out", "model", "sample_rate", "speed"];
/// Characters of one message, and characters and `Flush` messages of a connection in a minute.
const MOST_CHARS: usize = 2_000;
const MINUTE_CHARS: usize = 2_400;
const MINUTE_FLUSHES: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// Why a query is refused.
pub fn problem(query: &[(String, String)]) -> Option<String> {
    let value = |name: &str| query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    if let Some((unknown, _)) = query.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
        return Some(format!("Unknown parameter {unknown}"));
    }
    if !value("model").is_none_or(|model| model.starts_with("aura-")) {
        return Some("No such model".into());
    }
    let rate = rate_of(value("sample_rate"));
    match (value("encoding").unwrap_or("linear16"), rate) {
        ("linear16", 8_000 | 16_000 | 24_000 | 32_000 | 48_000) | ("mulaw", 8_000 | 16_000) => None,
        _ => Some("Encoding and sample_rate do not fit.".into()),
    }
}

/// The client in Python writes numbers as 8000.0 or 8000.
fn rate_of(parameter: Option<&str>) -> u32 {
    parameter.map_or(24_000, |rate| rate.parse::<f64>().unwrap_or(0.0) as u32)
}

#[derive(Default)]
struct State {
    /// The text that was not flushed.
    text: String,
    /// The times and lengths of what was sent.
    words: VecDeque<(Instant, usize)>,
    flushes: VecDeque<Instant>,
    /// Messages that arrived during a speech.
    waiting: VecDeque<Value>,
    is_known: bool,
    sequence: usize,
}

enum Order {
    Speak(String),
    Flush,
    Clear,
    Close,
}

/// None for a message that is none.
fn order(message: &Value) -> Option<Order> {
    let fields = message.as_object()?;
    match (message["type"].as_str()?, message["text"].as_str(), fields.len()) {
        ("Speak", Some(text), 2) => Some(Order::Speak(text.to_owned())),
        ("Flush", None, 1) => Some(Order::Flush),
        ("Clear", None, 1) => Some(Order::Clear),
        ("Close", None, 1) => Some(Order::Close),
        _ => None,
    }
}

pub async fn serve(session: &mut Session) -> Result<(), End> {
    let mut state = State::default();
    loop {
        let message = match state.waiting.pop_front() {
            Some(message) => message,
            None => session.receive().await?,
        };
        match order(&message) {
            Some(Order::Speak(words)) => add(session, &mut state, &words).await?,
            Some(Order::Flush) => flush(session, &mut state).await?,
            Some(Order::Clear) => clear(session, &mut state).await?,
            Some(Order::Close) => return Err(End::Close(1000, "")),
            None => return Err(End::Close(1008, "DATA-0000")),
        }
    }
}

async fn add(session: &mut Session, state: &mut State, words: &str) -> Result<(), End> {
    let (now, length) = (Instant::now(), words.chars().count());
    if length > MOST_CHARS {
        return Err(End::Close(1009, "BIG-0001"));
    }
    state.words.push_back((now, length));
    state.words.retain(|(at, _)| now.duration_since(*at) <= MINUTE);
    if state.words.iter().map(|(_, length)| length).sum::<usize>() > MINUTE_CHARS {
        return Err(End::Close(1008, "DATA-0001"));
    }
    state.text.push_str(words);
    if !std::mem::replace(&mut state.is_known, true) {
        let id = "3f7b1c2a-0000-4000-8000-000000000000";
        let model = session.parameter("model").unwrap_or("aura-asteria-en").to_owned();
        let metadata = json!({ "type": "Metadata", "request_id": id, "model_name": model,
            "model_version": "2026-01-01.0", "model_uuid": id });
        session.send(metadata).await?;
    }
    Ok(())
}

async fn flush(session: &mut Session, state: &mut State) -> Result<(), End> {
    let now = Instant::now();
    state.flushes.retain(|at| now.duration_since(*at) <= MINUTE);
    if state.flushes.len() == MINUTE_FLUSHES {
        let warning = json!({ "type": "Warning", "code": "EXCESSIVE_FLUSH",
            "description": "Flush messages cannot be processed until the time window has passed." });
        return session.send(warning).await;
    }
    state.flushes.push_back(now);
    let text = std::mem::take(&mut state.text);
    if !text.is_empty() {
        speak(session, state, text.trim()).await?;
        if state.waiting.front().is_some_and(|message| message["type"] == "Clear") {
            return Ok(());
        }
    }
    state.sequence += 1;
    session.send(json!({ "type": "Flushed", "sequence_id": state.sequence - 1 })).await
}

/// Speaks a text until a message clears it. One more piece is under way then.
async fn speak(session: &mut Session, state: &mut State, text: &str) -> Result<(), End> {
    let rate = rate_of(session.parameter("sample_rate"));
    let is_mulaw = session.parameter("encoding") == Some("mulaw");
    for samples in tone(text, rate).chunks(rate as usize * CHUNK_MS / 1_000) {
        let audio = if is_mulaw { mulaw(samples) } else { pcm(samples) };
        session.speak(CHUNK_MS).await?;
        session.send_audio(audio.clone()).await?;
        while let Some(message) = session.receive().now_or_never() {
            let message = message?;
            if message["type"] == "Clear" {
                state.waiting.push_front(message);
                return session.send_audio(audio).await;
            }
            state.waiting.push_back(message);
        }
    }
    Ok(())
}

async fn clear(session: &mut Session, state: &mut State) -> Result<(), End> {
    state.text.clear();
    session.send(json!({ "type": "Cleared", "sequence_id": state.sequence })).await
}
