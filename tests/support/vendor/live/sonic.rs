//! Cartesia's `GET /tts/websocket`.
//!
//! <https://docs.cartesia.ai/api-reference/tts/websocket>

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::http::HeaderMap;

use super::super::sound::{mulaw, pcm, tone};
use super::{CHUNK_MS, End, LiveFault, Session, letter_times};

const FIELDS: &[&str] = &[
    "add_timestamps",
    "cancel",
    "context_id",
    "continue",
    "flush",
    "generation_config",
    "language",
    "max_buffer_delay_ms",
    "model_id",
    "output_format",
    "transcript",
    "use_normalized_timestamps",
    "voice",
];
/// Fields that are the same in all messages of a context.
const KEPT: &[&str] = &["language", "model_id", "output_format", "voice"];
const VERSION: &str = "2026-08-14";

/// Why a connection is refused.
pub fn problem(query: &[(String, String)], headers: &HeaderMap) -> Option<String> {
    let in_query = query.iter().any(|(name, value)| name == "cartesia_version" && value == VERSION);
    let in_header = headers.get("cartesia-version").is_some_and(|version| version == VERSION);
    (!in_query && !in_header).then(|| "Cartesia-Version is required".to_owned())
}

pub async fn serve(session: &mut Session) -> Result<(), End> {
    // The first messages of contexts that go on, and their texts that were not spoken yet.
    let mut contexts: HashMap<String, (Value, String)> = HashMap::new();
    loop {
        let message = session.receive().await?;
        let Some(context) = message["context_id"].as_str().filter(|id| !id.is_empty()) else {
            fail(session, None, "context_id is missing").await?;
            continue;
        };
        if message["cancel"] == true {
            contexts.remove(context);
            continue;
        }
        if let Some(problem) = refusal(&message) {
            fail(session, Some(context), problem).await?;
            continue;
        }
        let (first, text) = contexts.entry(context.to_owned()).or_insert((message.clone(), String::new()));
        if KEPT.iter().any(|field| first[*field] != message[*field]) {
            fail(session, Some(context), "The fields of a context may not change.").await?;
            continue;
        }
        text.push_str(message["transcript"].as_str().unwrap_or_default());
        if message["continue"] != true {
            let (_, text) = contexts.remove(context).unwrap_or_default();
            speak(session, context, &text, &message).await?;
            let done = json!({ "type": "done", "done": true, "context_id": context, "status_code": 200 });
            session.send(done).await?;
        } else if message["flush"] == true {
            let text = std::mem::take(text);
            speak(session, context, &text, &message).await?;
            let flushed = json!({ "type": "flush_done", "done": false, "flush_done": true, "flush_id": 1,
                "context_id": context, "status_code": 206 });
            session.send(flushed).await?;
        }
    }
}

/// Why a message is refused.
fn refusal(message: &Value) -> Option<&'static str> {
    let is_known = message.as_object().is_some_and(|it| it.keys().all(|key| FIELDS.contains(&key.as_str())));
    let voice = &message["voice"];
    let format = &message["output_format"];
    let encoding = format["encoding"].as_str();
    let refusals = [
        (!is_known, "A field is unknown."),
        (
            !message["model_id"].as_str().is_some_and(|it| it.starts_with("sonic-")),
            "The model does not exist.",
        ),
        (voice["id"].as_str().is_none_or(|id| id.len() != 36), "The voice was not found."),
        (format["container"] != "raw", "The container is not supported."),
        (!matches!(encoding, Some("pcm_s16le" | "pcm_mulaw")), "The encoding is not supported."),
    ];
    refusals.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, problem)| problem)
}

async fn speak(session: &mut Session, context: &str, text: &str, message: &Value) -> Result<(), End> {
    let format = &message["output_format"];
    let rate = u32::try_from(format["sample_rate"].as_u64().unwrap_or(8_000)).unwrap_or(8_000);
    for (piece, samples) in tone(text, rate).chunks(rate as usize * CHUNK_MS / 1_000).enumerate() {
        session.speak(CHUNK_MS).await?;
        let bytes = if format["encoding"] == "pcm_mulaw" { mulaw(samples) } else { pcm(samples) };
        let data = BASE64_STANDARD.encode(bytes);
        let chunk = json!({ "type": "chunk", "data": data, "done": false, "context_id": context, "status_code": 206, "step_time": 1.5 });
        session.send(chunk).await?;
        if message["add_timestamps"] == true {
            let words = match session.fault {
                Some(LiveFault::WrongTimes) => json!({ "words": ["Hello"], "start": [0.5], "end": [-1.0] }),
                _ => word_times(text, piece),
            };
            if words["words"] == json!([]) {
                continue;
            }
            let times = json!({ "type": "timestamps", "done": false, "context_id": context, "status_code": 206,
                "word_timestamps": words });
            session.send(times).await?;
        }
    }
    Ok(())
}

/// The times of the words that begin in a piece of the audio, in seconds, without the punctuation around them.
fn word_times(text: &str, piece: usize) -> Value {
    let mut words: Vec<(String, f64, f64)> = Vec::new();
    let mut is_within_word = false;
    for (letter, start, end) in letter_times(text) {
        let is_part = letter.is_alphanumeric();
        if is_part && !is_within_word {
            words.push((String::new(), start, end));
        }
        if let Some((word, _, word_end)) = words.last_mut().filter(|_| is_part) {
            word.push(letter);
            *word_end = end;
        }
        is_within_word = is_part;
    }
    let piece = (piece * CHUNK_MS) as f64..((piece + 1) * CHUNK_MS) as f64;
    words.retain(|(_, start, _)| piece.contains(start));
    let texts: Vec<_> = words.iter().map(|(word, ..)| word).collect();
    let starts: Vec<_> = words.iter().map(|(_, start, _)| start / 1_000.0).collect();
    let ends: Vec<_> = words.iter().map(|(_, _, end)| end / 1_000.0).collect();
    json!({ "words": texts, "start": starts, "end": ends })
}

async fn fail(session: &mut Session, context: Option<&str>, message: &str) -> Result<(), End> {
    let error = json!({ "type": "error", "done": true, "context_id": context, "status_code": 400,
        "title": "Invalid request", "message": message, "error_code": "invalid_request" });
    session.send(error).await
}
