//! Cartesia's `GET /tts/websocket`.
//!
//! <https://docs.cartesia.ai/api-reference/tts/websocket>

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::http::HeaderMap;

use super::super::sound::{mulaw, pcm, tone};
use super::{End, Session};

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
    "voice",
];
const VERSION: &str = "2026-08-14";

/// Why a connection is refused.
pub fn problem(query: &[(String, String)], headers: &HeaderMap) -> Option<String> {
    let in_query = query.iter().any(|(name, value)| name == "cartesia_version" && value == VERSION);
    let in_header = headers.get("cartesia-version").is_some_and(|version| version == VERSION);
    (!in_query && !in_header).then(|| "Cartesia-Version is required".to_owned())
}

pub async fn serve(session: &mut Session) -> Result<(), End> {
    // The texts of contexts that go on.
    let mut contexts: HashMap<String, String> = HashMap::new();
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
        let text = contexts.entry(context.to_owned()).or_default();
        text.push_str(message["transcript"].as_str().unwrap_or_default());
        if message["continue"] != true {
            let text = contexts.remove(context).unwrap_or_default();
            speak(session, context, &text, &message["output_format"]).await?;
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

async fn speak(session: &mut Session, context: &str, text: &str, format: &Value) -> Result<(), End> {
    let rate = u32::try_from(format["sample_rate"].as_u64().unwrap_or(8_000)).unwrap_or(8_000);
    for piece in tone(text, rate).chunks(rate as usize / 5) {
        session.speak(200).await?;
        let bytes = if format["encoding"] == "pcm_mulaw" { mulaw(piece) } else { pcm(piece) };
        let data = BASE64_STANDARD.encode(bytes);
        let chunk = json!({ "type": "chunk", "data": data, "done": false, "context_id": context, "status_code": 206, "step_time": 1.5 });
        session.send(chunk).await?;
    }
    session.send(json!({ "type": "done", "done": true, "context_id": context, "status_code": 200 })).await
}

async fn fail(session: &mut Session, context: Option<&str>, message: &str) -> Result<(), End> {
    let error = json!({ "type": "error", "done": true, "context_id": context, "status_code": 400,
        "title": "Invalid request", "message": message, "error_code": "invalid_request" });
    session.send(error).await
}
