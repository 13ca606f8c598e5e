//! Speech by Cartesia's API (`POST /tts/bytes`).
//!
//! <https://docs.cartesia.ai/api-reference/tts/bytes>

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::sound::{mulaw, pcm, response, tone};
use super::{Dialect, Kind, Shared, receive};

/// Of the sonic-3 models.
const LANGUAGES: [&str; 42] = [
    "en", "fr", "de", "es", "pt", "zh", "ja", "hi", "it", "ko", "nl", "pl", "ru", "sv", "tr", "tl", "bg",
    "ro", "ar", "cs", "el", "fi", "hr", "ms", "sk", "da", "ta", "uk", "hu", "no", "vi", "bn", "th", "he",
    "ka", "id", "te", "gu", "kn", "ml", "mr", "pa",
];
const RATES: [u64; 6] = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000];

pub async fn speak(State(server): Shared, headers: HeaderMap, body: Bytes) -> Response {
    const DIALECT: Dialect = Dialect::Cartesia;
    if let Some(failure) = receive((&server, DIALECT, Kind::Tts), &headers, &body).await {
        return failure;
    }
    if headers.get("cartesia-version").is_none_or(|version| version != "2026-08-14") {
        return DIALECT.refusal(400, "invalid_version", "Cartesia-Version header is required");
    }
    let order: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = order["transcript"].as_str().unwrap_or_default();
    let voice = order["voice"].as_str().or(order["voice"]["id"].as_str()).unwrap_or_default();
    if voice.len() != 36 {
        return DIALECT.refusal(404, "voice_not_found", "The voice was not found.");
    }
    if text.trim().is_empty() {
        return DIALECT.refusal(400, "invalid_transcript", "The transcript is empty.");
    }
    if !order["model_id"].as_str().is_some_and(|model| model.starts_with("sonic-")) {
        return DIALECT.refusal(404, "model_not_found", "The model does not exist.");
    }
    if order["language"].is_string() && order["locale"].is_string() {
        return DIALECT.refusal(400, "invalid_language", "Set language or locale, not both.");
    }
    if order["language"].as_str().is_some_and(|code| !LANGUAGES.contains(&code)) {
        return DIALECT.refusal(400, "invalid_language", "The language is not supported.");
    }
    let format = &order["output_format"];
    let rate = format["sample_rate"].as_u64().filter(|rate| RATES.contains(rate)).unwrap_or_default() as u32;
    match (format["container"].as_str(), format["encoding"].as_str(), rate) {
        (_, _, 0) => DIALECT.refusal(400, "invalid_output_format", "The sample rate is not supported."),
        (Some("raw"), Some("pcm_s16le"), _) => response("audio/pcm", &pcm(&tone(text, rate))),
        (Some("raw"), Some("pcm_mulaw"), _) => response("audio/pcm", &mulaw(&tone(text, rate))),
        _ => DIALECT.refusal(400, "invalid_output_format", "The output format is not supported."),
    }
}
