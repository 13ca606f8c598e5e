//! ElevenLabs' `GET /v1/text-to-speech/{voice}/multi-stream-input`.
//!
//! <https://elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-multi-stream-input>

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::super::sound::{mulaw, pcm, tone};
use super::{CHUNK_MS, End, LiveFault, Session, letter_times};

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
/// Characters that are collected before the speech begins, unless the context says otherwise.
const COLLECTED: usize = 120;

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

/// A context that was not closed.
struct OpenText {
    /// The part that was not spoken yet.
    text: String,
    /// So many characters of it are spoken without a flush.
    enough: usize,
}

pub async fn serve(session: &mut Session) -> Result<(), End> {
    let is_automatic = session.parameter("auto_mode") == Some("true");
    let mut contexts: HashMap<String, OpenText> = HashMap::new();
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
        let words = message["text"].as_str().unwrap_or_default();
        if is_new && words != " " {
            return refuse(session, "invalid_message", "A context begins with one space.").await;
        }
        if !words.is_empty() && !words.ends_with(' ') {
            return refuse(session, "invalid_message", "A text ends with a space.").await;
        }
        let Some(enough) = schedule(&message) else {
            return refuse(session, "invalid_message", "chunk_length_schedule has numbers of 50 to 500.")
                .await;
        };
        let open = contexts.entry(context.to_owned()).or_insert(OpenText { text: String::new(), enough });
        open.text.push_str(words);
        let is_enough = !is_automatic && open.text.trim().len() >= open.enough;
        if message["flush"] == true || is_enough {
            let text = std::mem::take(&mut open.text);
            speak(session, context, text.trim()).await?;
        }
    }
}

/// The characters after which the speech of a new context begins. None for a schedule that is refused.
fn schedule(message: &Value) -> Option<usize> {
    let schedule = &message["generation_config"]["chunk_length_schedule"];
    let Some(lengths) = schedule.as_array() else { return schedule.is_null().then_some(COLLECTED) };
    let is_length = |length: &Value| length.as_u64().is_some_and(|length| (50..=500).contains(&length));
    let first = lengths.first()?.as_u64()?;
    lengths.iter().all(is_length).then(|| usize::try_from(first).ok()).flatten()
}

async fn speak(session: &mut Session, context: &str, text: &str) -> Result<(), End> {
    let format = session.parameter("output_format").unwrap_or_default().to_owned();
    let has_times = session.parameter("sync_alignment") == Some("true");
    let rate = format.rsplit('_').next().and_then(|rate| rate.parse().ok()).unwrap_or(8_000);
    for (piece, samples) in tone(text, rate).chunks(rate as usize * CHUNK_MS / 1_000).enumerate() {
        session.speak(CHUNK_MS).await?;
        let bytes = if format == "ulaw_8000" { mulaw(samples) } else { pcm(samples) };
        let audio = BASE64_STANDARD.encode(bytes);
        let alignment = match session.fault {
            _ if !has_times => Value::Null,
            Some(LiveFault::WrongTimes) => {
                json!({ "chars": ["H"], "charStartTimesMs": [-5, 3], "charDurationsMs": [] })
            }
            _ => alignment(text, piece),
        };
        let message =
            json!({ "audio": audio, "isFinal": Value::Null, "contextId": context, "alignment": alignment });
        session.send(message).await?;
    }
    Ok(())
}

/// The times of the characters that begin in a piece of the audio, from its beginning.
fn alignment(text: &str, piece: usize) -> Value {
    let begin = (piece * CHUNK_MS) as f64;
    let times: Vec<_> = letter_times(text)
        .filter(|(_, start, _)| *start >= begin && *start < begin + CHUNK_MS as f64)
        .map(|(letter, start, end)| (letter.to_string(), start - begin, end - start))
        .collect();
    let chars: Vec<_> = times.iter().map(|(letter, ..)| letter).collect();
    let starts: Vec<_> = times.iter().map(|(_, start, _)| start).collect();
    let durations: Vec<_> = times.iter().map(|(_, _, duration)| duration).collect();
    json!({ "chars": chars, "charStartTimesMs": starts, "charDurationsMs": durations })
}

async fn refuse(session: &mut Session, error: &str, message: &str) -> Result<(), End> {
    session.send(json!({ "message": message, "error": error, "code": 1008 })).await?;
    Err(End::Close(1008, ""))
}
