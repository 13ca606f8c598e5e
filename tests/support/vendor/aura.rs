//! Speech by Deepgram's API (`POST /v1/speak`).
//!
//! <https://developers.deepgram.com/reference/text-to-speech/speak-request>

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::sound::{mp3, mulaw, pcm, response, tone, wav};
use super::{Dialect, Habit, Kind, Shared, receive};

const PARAMETERS: &[&str] =
    &["bit_rate", "container", "encoding", "mip_opt_out", "model", "sample_rate", "speed", "tag"];

pub async fn speak(
    State(server): Shared,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    const DIALECT: Dialect = Dialect::Deepgram;
    if let Some(failure) = receive((&server, DIALECT, Kind::Tts), &headers, &body).await {
        return failure;
    }
    let order: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = order["text"].as_str().unwrap_or_default();
    let has_more = order.as_object().is_none_or(|fields| fields.len() != 1);
    if text.is_empty() || has_more {
        return DIALECT.refusal(400, "PAYLOAD_ERROR", "The body has to be an object with text alone.");
    }
    if text.chars().count() > 2_000 {
        return DIALECT.refusal(413, "PAYLOAD_TOO_LARGE", "The text has more than 2000 characters.");
    }
    if let Some((unknown, _)) = query.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
        return DIALECT.refusal(400, "INVALID_QUERY_PARAMETER", &format!("Unknown parameter {unknown}"));
    }
    let parameter = |name: &str| query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    if !parameter("model").is_none_or(|model| model.starts_with("aura-")) {
        return DIALECT.refusal(400, "INVALID_QUERY_PARAMETER", "No such model");
    }
    // The client in Python writes numbers as 8000.0 or 8000.
    let rate = parameter("sample_rate").map(|rate| rate.parse::<f64>().unwrap_or(0.0) as u32);
    let is_bare = parameter("container") == Some("none");
    match (parameter("encoding").unwrap_or("mp3"), rate.unwrap_or(24_000), is_bare) {
        _ if server.has(Habit::Mp3) => response("audio/mpeg", &mp3()),
        ("linear16", rate @ (8_000 | 16_000 | 24_000 | 32_000 | 48_000), true) => {
            response("audio/l16", &pcm(&tone(text, rate)))
        }
        ("linear16", rate @ (8_000 | 16_000 | 24_000 | 32_000 | 48_000), false) => {
            response("audio/wav", &wav(&tone(text, rate), rate))
        }
        ("mulaw", 8_000, true) => response("audio/mulaw", &mulaw(&tone(text, 8_000))),
        ("mp3", ..) => response("audio/mpeg", &mp3()),
        _ => DIALECT.refusal(
            400,
            "UNSUPPORTED_AUDIO_FORMAT",
            "Encoding, sample_rate and container do not fit.",
        ),
    }
}
