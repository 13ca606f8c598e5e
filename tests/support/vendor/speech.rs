//! Speech by OpenAI's API (`POST /v1/audio/speech`).
//!
//! <https://platform.openai.com/docs/api-reference/audio/createSpeech>

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use super::sound::{mp3, mulaw, pcm, response, tone, wav};
use super::{Dialect, Habit, Kind, Server, Shared, receive};

const FIELDS: &[&str] =
    &["input", "instructions", "model", "response_format", "speed", "stream_format", "voice"];
const VOICES: &[&str] = &[
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer",
    "verse",
];

pub async fn speak(State(server): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(failure) = receive((&server, Dialect::OpenAi, Kind::Tts), &headers, &body).await {
        return failure;
    }
    let order: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Err(message) = checked(&server, &order) {
        return Dialect::OpenAi.refusal(400, "invalid_value", &message);
    }
    let text = order["input"].as_str().unwrap_or_default();
    let own_rate = if server.has(Habit::SampleRate) { 22_050 } else { 24_000 };
    let rate = order["sample_rate"].as_u64().map_or(own_rate, |rate| rate as u32);
    match order["response_format"].as_str().unwrap_or("mp3") {
        _ if server.has(Habit::Wav) => response("audio/wav", &wav(&tone(text, 22_050), 22_050)),
        _ if server.has(Habit::Mp3) => response("audio/mpeg", &mp3()),
        "pcm" => response("audio/pcm", &pcm(&tone(text, rate))),
        "wav" => response("audio/wav", &wav(&tone(text, rate), rate)),
        "mulaw" => response("audio/basic", &mulaw(&tone(text, 8_000))),
        _ => response("audio/mpeg", &mp3()),
    }
}

fn checked(server: &Server, order: &Value) -> Result<(), String> {
    let fields = order.as_object().ok_or("The body is not JSON")?;
    let is_known =
        |field: &str| FIELDS.contains(&field) || (field == "sample_rate" && server.has(Habit::SampleRate));
    if let Some(unknown) = fields.keys().find(|field| !is_known(field)) {
        return Err(format!("Unrecognized request argument supplied: {unknown}"));
    }
    let model = order["model"].as_str().unwrap_or_default();
    if model.is_empty() || model.starts_with("no-such") {
        return Err(format!("The model `{model}` does not exist"));
    }
    let is_voice = |voice: &str| match server.has(Habit::KokoroVoices) {
        true => voice.split_once('_').is_some_and(|(kind, _)| kind.len() == 2),
        false => VOICES.contains(&voice),
    };
    if !order["voice"].as_str().is_some_and(is_voice) && !order["voice"]["id"].is_string() {
        return Err(format!("voice {} does not exist", order["voice"]));
    }
    let length = order["input"].as_str().map_or(0, |input| input.chars().count());
    if !(1..=4_096).contains(&length) {
        return Err("input has to have 1 to 4096 characters".into());
    }
    if order.get("speed").is_some_and(|speed| !speed.as_f64().is_some_and(|it| (0.25..=4.0).contains(&it))) {
        return Err("speed has to be 0.25 to 4.0".into());
    }
    let formats: &[&str] = match server.has(Habit::NoPcm) {
        true => &["flac", "mp3", "mulaw", "ogg", "wav"],
        false => &["aac", "flac", "mp3", "opus", "pcm", "wav"],
    };
    match order["response_format"].as_str() {
        Some(format) if !formats.contains(&format) => {
            Err(format!("response_format must be one of {}", formats.join(", ")))
        }
        _ => Ok(()),
    }
}
