//! Lists of models.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::{Dialect, Habit, KEY, Shared, answer};

/// Models and when they are shut down.
const MODELS: [(&str, Option<&str>); 8] = [
    ("gpt-5.4-mini", None),
    ("gpt-4.1-mini", Some("2027-01-14")),
    ("gpt-transcribe", None),
    ("gpt-live-transcribe", None),
    ("whisper-1", Some("2027-02-26")),
    ("tts-1", Some("2027-01-06")),
    ("tts-1-hd", Some("2027-01-06")),
    ("llama3.2", None),
];

pub async fn openai(State(server): Shared, headers: HeaderMap) -> Response {
    if Dialect::OpenAi.key(&headers) != Some(KEY) && !server.has(Habit::Keyless) {
        return Dialect::OpenAi.wrong_key();
    }
    if server.has(Habit::NoModels) {
        return answer(404, &json!({ "detail": "Not Found" }));
    }
    if server.has(Habit::NullList) {
        return answer(200, &json!({ "object": "list", "data": null }));
    }
    let tag = if server.has(Habit::Tagged) { ":latest" } else { "" };
    let model = |(id, date): &(&str, Option<&str>)| {
        let id = format!("{id}{tag}");
        let mut model =
            json!({ "id": id, "object": "model", "created": 1_700_000_000, "owned_by": "vendor" });
        if server.has(Habit::ShutdownDates) {
            model["shutdown_date"] = json!(date);
        }
        model
    };
    answer(200, &json!({ "object": "list", "data": MODELS.iter().map(model).collect::<Vec<Value>>() }))
}

pub async fn anthropic(headers: HeaderMap) -> Response {
    if Dialect::Anthropic.key(&headers) != Some(KEY) {
        return Dialect::Anthropic.wrong_key();
    }
    let model = |id: &str| json!({ "type": "model", "id": id, "display_name": id, "created_at": "2025-10-01T00:00:00Z" });
    let data = ["claude-haiku-4-5-20251001", "claude-sonnet-5"].map(model);
    answer(
        200,
        &json!({ "data": data, "has_more": false, "first_id": data[0]["id"], "last_id": data[1]["id"] }),
    )
}

pub async fn elevenlabs(headers: HeaderMap) -> Response {
    if Dialect::ElevenLabs.key(&headers) != Some(KEY) {
        return Dialect::ElevenLabs.wrong_key();
    }
    let models = ["eleven_flash_v2_5", "eleven_multilingual_v2"];
    let model = |id| json!({ "model_id": id, "name": id, "can_do_text_to_speech": true, "languages": [] });
    answer(200, &Value::from(models.map(model).to_vec()))
}

pub async fn deepgram(headers: HeaderMap) -> Response {
    if Dialect::Deepgram.key(&headers) != Some(KEY) {
        return Dialect::Deepgram.wrong_key();
    }
    let voice = |name: &str, language: &str| {
        let id = format!("aura-2-{name}-{language}");
        json!({ "name": name, "canonical_name": id, "architecture": "aura-2", "languages": [language], "version": "1",
                "uuid": "u-1" })
    };
    let nova = json!({ "name": "general", "canonical_name": "nova-3", "architecture": "nova-3", "languages": ["en"],
                       "version": "1", "uuid": "u-2", "batch": true, "streaming": true });
    answer(200, &json!({ "stt": [nova], "tts": [voice("thalia", "en"), voice("julius", "de")] }))
}
