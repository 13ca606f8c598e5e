//! ElevenLabs' `GET /v1/text-to-speech/{voice}/multi-stream-input`.
//!
//! <https://elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-multi-stream-input>

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::super::sound::{mulaw, pcm, tone};
use super::{End, Session};

const PARAMETERS: &[&str] = &[
    "apply_text_normalization",
    "authorization",
    "auto_mode",
    "enable_logging",
    "enable_ssml_parsing",
    "inactivity_timeout",
    "language_code",
    "model_id",
    "output_format",
    "seed",
    "sync_alignment",
];
/// Fields of the messages, the first of a context and the others.
const FIELDS: &[&str] = &[
    "close_context",
    "close_socket",
    "context_id",
    "flush",
    "generation_config",
    "pronunciation_dictionary_locators",
    "text",
    "voice_settings",
];
const FORMATS: &[&str] = &["pcm_8000", "pcm_16000", "pcm_22050", "pcm_24000", "pcm_44100", "ulaw_8000"];
const MAX_CONTEXTS: usize = 5;

pub fn is_path(path: &str) -> bool {
    let voice = path.strip_prefix("/elevenlabs/v1/text-to-speech/");
    voice
        .and_then(|rest| rest.strip_suffix("/multi-stream-input"))
        .is_some_and(|voice| voice.len() == 20 && voice.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Why a query is refused.
pub fn problem(query: &[(String, String)]) -> Option<String> {
    let value = |name: &str| query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    if let Some((unknown, _)) = query.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
        return Some(format!("Unknown parameter {unknown}"));
    }
    let model = value("model_id").unwrap_or("eleven_multilingual_v2");
    if !model.starts_with("eleven_") || value("language_code").is_some() && !model.ends_with("_v2_5") {
        return Some("The model does not exist, or does not support language_code".into());
    }
    if value("inactivity_timeout").is_some_and(|seconds| !seconds.parse().is_ok_and(|it: u32| it <= 180)) {
        return Some("inactivity_timeout is 180 at most".into());
    }
    let format = value("output_format").unwrap_or("mp3_44100_128");
    (!FORMATS.contains(&format)).then(|| format!("No such format: {format}"))
}

pub async fn serve(session: &mut Session) -> Result<(), End> {
    let format = session.parameter("output_format").unwrap_or_default().to_owned();
    // The texts of contexts that were not spoken yet.
    let mut contexts: HashMap<String, String> = HashMap::new();
    loop {
        let message = session.receive().await?;
        let fields = message.as_object().filter(|it| it.keys().all(|key| FIELDS.contains(&key.as_str())));
        let Some(context) = fields.and_then(|fields| fields.get("context_id")?.as_str()) else {
            return refuse(session, "invalid_message", "That is no message of a context.").await;
        };
        if message["close_context"] == true {
            if contexts.remove(context).is_some() {
                session.send(json!({ "isFinal": true, "contextId": context })).await?;
            }
            continue;
        }
        let is_new = !contexts.contains_key(context);
        if is_new && contexts.len() == MAX_CONTEXTS {
            return refuse(session, "max_active_conversations", "Maximum simultaneous contexts exceeded.")
                .await;
        }
        if is_new && message["text"] != " " {
            return refuse(session, "invalid_message", "A context begins with one space.").await;
        }
        let text = contexts.entry(context.to_owned()).or_default();
        text.push_str(message["text"].as_str().unwrap_or_default());
        if message["flush"] == true {
            let text = std::mem::take(text);
            speak(session, &format, context, text.trim()).await?;
        }
    }
}

async fn speak(session: &mut Session, format: &str, context: &str, text: &str) -> Result<(), End> {
    let rate = format.rsplit('_').next().and_then(|rate| rate.parse().ok()).unwrap_or(8_000);
    for piece in tone(text, rate).chunks(rate as usize / 5) {
        session.speak(200).await?;
        let bytes = if format == "ulaw_8000" { mulaw(piece) } else { pcm(piece) };
        let audio = BASE64_STANDARD.encode(bytes);
        let message =
            json!({ "audio": audio, "isFinal": Value::Null, "contextId": context, "alignment": Value::Null });
        session.send(message).await?;
    }
    Ok(())
}

async fn refuse(session: &mut Session, error: &str, message: &str) -> Result<(), End> {
    session.send(json!({ "message": message, "error": error, "code": 1008 })).await?;
    Err(End::Close(1008, ""))
}
