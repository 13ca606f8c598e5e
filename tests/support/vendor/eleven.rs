//! Speech by ElevenLabs' API (`POST /v1/text-to-speech/{voice}/stream`).
//!
//! <https://elevenlabs.io/docs/api-reference/text-to-speech/stream>

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::sound::{mp3, mulaw, pcm, response, tone};
use super::{Dialect, Habit, Kind, Shared, receive};

/// Of the models of version 2.5: <https://elevenlabs.io/docs/overview/models>
const LANGUAGES: [&str; 32] = [
    "en", "ja", "zh", "de", "hi", "fr", "ko", "pt", "it", "es", "id", "nl", "tr", "fil", "pl", "sv", "bg",
    "ro", "ar", "cs", "el", "fi", "hr", "ms", "sk", "da", "ta", "uk", "ru", "hu", "no", "vi",
];
const RATES: [u32; 6] = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000];

pub async fn speak(
    State(server): Shared,
    Path(voice): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    const DIALECT: Dialect = Dialect::ElevenLabs;
    if let Some(failure) = receive((&server, DIALECT, Kind::Tts), &headers, &body).await {
        return failure;
    }
    let order: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = order["text"].as_str().unwrap_or_default();
    let model = order["model_id"].as_str().unwrap_or("eleven_multilingual_v2");
    if voice.len() != 20 || !voice.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return DIALECT.refusal(404, "voice_not_found", "A voice with that ID was not found.");
    }
    if text.is_empty() {
        return DIALECT.refusal(422, "missing_text", "The text is missing.");
    }
    if !model.starts_with("eleven_") {
        return DIALECT.refusal(400, "model_not_found", "A model with that ID does not exist.");
    }
    if order.get("language_code").is_some_and(|code| !code.is_null()) && !model.ends_with("_v2_5") {
        return DIALECT.refusal(400, "unsupported_language", "The model does not support language_code.");
    }
    if order["language_code"].as_str().is_some_and(|code| !LANGUAGES.contains(&code)) {
        return DIALECT.refusal(400, "unsupported_language", "The language is not supported by the model.");
    }
    let format = query.get("output_format").map_or("mp3_44100_128", String::as_str);
    let rate =
        format.strip_prefix("pcm_").and_then(|rate| rate.parse().ok()).filter(|rate| RATES.contains(rate));
    match (format, rate) {
        _ if server.has(Habit::Mp3) => response("audio/mpeg", &mp3()),
        ("ulaw_8000", _) => response("audio/basic", &mulaw(&tone(text, 8_000))),
        (_, Some(rate)) => response("audio/pcm", &pcm(&tone(text, rate))),
        (mp3_format, None) if mp3_format.starts_with("mp3_") => response("audio/mpeg", &mp3()),
        _ => DIALECT.refusal(422, "invalid_output_format", "The output format is not supported."),
    }
}
