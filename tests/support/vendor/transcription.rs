//! Transcription (`POST /v1/audio/transcriptions`).
//!
//! <https://platform.openai.com/docs/api-reference/audio/createTranscription>

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::form::Form;
use super::{Dialect, Habit, Kind, NOT_NOW, Server, Shared, WORDS, answer, receive};

const FIELDS: &[&str] = &[
    "chunking_strategy",
    "file",
    "keywords[]",
    "language",
    "languages[]",
    "model",
    "prompt",
    "response_format",
    "temperature",
];

/// The longest clip that [`Habit::ShortYes`] and [`Habit::ShortCancel`] are about, in seconds.
const SHORT: f64 = 1.3;

pub async fn transcribe(State(server): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(failure) = receive((&server, Dialect::OpenAi, Kind::Stt), &headers, &body).await {
        return failure;
    }
    let form = Form::read(&headers, &body);
    let seconds = match checked(&server, &form) {
        Ok(seconds) => seconds,
        Err(message) => return Dialect::OpenAi.refusal(400, "invalid_value", &message),
    };
    let usage = match form.text("model") {
        Some("whisper-1") => json!({ "type": "duration", "seconds": seconds.ceil() as u64 }),
        _ => json!({ "type": "tokens", "input_tokens": 14, "output_tokens": 7, "total_tokens": 21 }),
    };
    let is_noise = server.has(Habit::NoiseWords);
    let (words, doubt) = match is_noise {
        true => ("Thank you.", 0.87),
        false if server.has(Habit::ShortYes) && seconds < SHORT => {
            let declines = form.text("prompt").is_some_and(|prompt| prompt.contains(NOT_NOW));
            (if declines { "Not now." } else { "Yes, please." }, 0.01)
        }
        false if server.has(Habit::ShortCancel) && seconds < SHORT => ("Cancel, please.", 0.01),
        false if server.has(Habit::EmergencyWords) => ("Help, this is an emergency!", 0.01),
        false => (WORDS, 0.01),
    };
    let mut transcript = json!({ "text": words, "usage": usage });
    if form.text("response_format") == Some("verbose_json") {
        transcript["task"] = json!("transcribe");
        transcript["duration"] = json!(seconds);
        transcript["segments"] = json!([{
            "id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": format!(" {words}"), "tokens": [1], "temperature": 0.0,
            "avg_logprob": -0.3, "compression_ratio": 0.8, "no_speech_prob": doubt,
        }]);
    }
    answer(200, &transcript)
}

/// The length of the file, in seconds.
fn checked(server: &Server, form: &Form) -> Result<f64, String> {
    if let Some((unknown, _)) = form.0.iter().find(|(name, _)| !FIELDS.contains(&name.as_str())) {
        return Err(format!("Unrecognized request argument supplied: {unknown}"));
    }
    let model = form.text("model").filter(|model| !model.starts_with("no-such")).ok_or("no model")?;
    let is_new = model.starts_with("gpt-transcribe");
    if is_new && form.text("language").is_some() {
        return Err("gpt-transcribe takes languages in place of language".into());
    }
    if !is_new && (form.text("languages[]").is_some() || form.text("keywords[]").is_some()) {
        return Err(format!("languages and keywords are not supported with {model}"));
    }
    let languages = form.0.iter().filter(|(name, _)| name == "language" || name == "languages[]");
    if languages.clone().any(|(_, code)| code.len() != 2) {
        return Err("a language is no code of ISO 639-1".into());
    }
    if model.starts_with("gpt") && !matches!(form.text("response_format"), None | Some("json")) {
        return Err(format!("response_format has to be json with {model}"));
    }
    let format = form.text("response_format").unwrap_or("json");
    if !["json", "verbose_json"].contains(&format) || (format != "json" && server.has(Habit::NoVerbose)) {
        return Err("Currently only support response_format `text` or `json`".into());
    }
    let file = form.field("file").ok_or("no file")?;
    let reader =
        hound::WavReader::new(file).map_err(|error| format!("Audio file might be corrupted: {error}"))?;
    let seconds = f64::from(reader.duration()) / f64::from(reader.spec().sample_rate);
    if seconds < 0.1 {
        Err("Audio file is too short. Minimum audio length is 0.1 seconds.".into())
    } else {
        Ok(seconds)
    }
}
