//! ElevenLabs' `GET /v1/speech-to-text/realtime`.
//!
//! <https://elevenlabs.io/docs/api-reference/speech-to-text/v-1-speech-to-text-realtime>

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{End, Hearing, Session, linear16, mulaw};

const PARAMETERS: &[&str] = &[
    "audio_format",
    "commit_strategy",
    "enable_logging",
    "filter_background_audio",
    "include_language_detection",
    "include_timestamps",
    "keyterms",
    "language_code",
    "min_silence_duration_ms",
    "min_speech_duration_ms",
    "model_id",
    "no_verbatim",
    "secondary_languages",
    "token",
    "vad_silence_threshold_secs",
    "vad_threshold",
];
const FIELDS: &[&str] = &["audio_base_64", "commit", "message_type", "previous_text", "sample_rate"];
const RATES: [usize; 6] = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000];
/// The least audio that can be committed, in milliseconds.
const LEAST_MS: usize = 300;

/// The rate of a format.
fn rate_of(format: &str) -> Option<usize> {
    if format == "ulaw_8000" {
        return Some(8_000);
    }
    format.strip_prefix("pcm_")?.parse().ok().filter(|rate| RATES.contains(rate))
}

/// Why a query is refused.
pub fn problem(query: &[(String, String)]) -> Option<String> {
    let value = |name: &str| query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    if let Some((unknown, _)) = query.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
        return Some(format!("Unknown parameter {unknown}"));
    }
    if value("model_id") != Some("scribe_v2_realtime") {
        return Some("No such model".into());
    }
    let format = value("audio_format").unwrap_or("pcm_16000");
    rate_of(format).is_none().then(|| format!("No such format: {format}"))
}

pub async fn serve(session: &mut Session) -> Result<(), End> {
    let format = session.parameter("audio_format").unwrap_or("pcm_16000").to_owned();
    let (rate, is_mulaw) = (rate_of(&format).unwrap_or(16_000), format == "ulaw_8000");
    let config = json!({ "sample_rate": rate, "audio_format": format, "model_id": "scribe_v2_realtime",
        "commit_strategy": session.parameter("commit_strategy").unwrap_or("manual") });
    session.send(json!({ "message_type": "session_started", "session_id": "s-1", "config": config })).await?;
    let (mut hearing, mut uncommitted) = (Hearing::at(rate), 0);
    loop {
        let text = match session.socket.next().await.ok_or(End::Closed)?? {
            Message::Text(text) => text,
            Message::Close(_) => return Err(End::Closed),
            _ => continue,
        };
        let chunk: Value = serde_json::from_str(&text).unwrap_or_default();
        let bytes = chunk["audio_base_64"].as_str().and_then(|audio| BASE64_STANDARD.decode(audio).ok());
        let has_more =
            chunk.as_object().is_none_or(|fields| fields.keys().any(|key| !FIELDS.contains(&key.as_str())));
        let is_chunk = chunk["message_type"] == "input_audio_chunk" && chunk["sample_rate"] == rate;
        let Some(bytes) = bytes.filter(|_| is_chunk && !has_more) else {
            return refuse(session, "input_error", "That is no chunk of audio at this rate.").await;
        };
        let samples = if is_mulaw { mulaw(&bytes) } else { linear16(&bytes) };
        uncommitted += samples.len();
        hearing.push(&samples);
        session.check_fault(&hearing)?;
        if chunk["commit"] == true {
            if hearing.ms(uncommitted) < LEAST_MS {
                return refuse(session, "commit_throttled", "At least 0.3 s of audio is needed.").await;
            }
            let words = hearing.commit();
            uncommitted = 0;
            session.send(json!({ "message_type": "committed_transcript", "text": words })).await?;
        } else if let Some(words) = hearing.partial() {
            session.send(json!({ "message_type": "partial_transcript", "text": words })).await?;
        }
    }
}

async fn refuse(session: &mut Session, kind: &str, error: &str) -> Result<(), End> {
    session.send(json!({ "message_type": kind, "error": error })).await?;
    Err(End::Close(1008, ""))
}
