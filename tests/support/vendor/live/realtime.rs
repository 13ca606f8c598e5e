//! OpenAI's Realtime API for transcription: `GET /v1/realtime?intent=transcription`.
//!
//! <https://developers.openai.com/api/docs/guides/realtime-transcription>

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{End, Hearing, Session, linear16, mulaw};

/// The models that take a list of languages.
const NEW: [&str; 2] = ["gpt-live-transcribe", "gpt-transcribe"];
const OLD: [&str; 3] = ["gpt-realtime-whisper", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"];

/// Why a query is refused.
pub fn problem(query: &[(String, String)]) -> Option<String> {
    let value = |name: &str| query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    match (value("intent"), value("model")) {
        (Some("transcription"), None) => None,
        _ => Some("Use intent=transcription without model for a transcription session.".into()),
    }
}

/// The state of a session.
struct State {
    hearing: Option<Hearing>,
    is_mulaw: bool,
    item: usize,
    uncommitted: usize,
}

pub async fn serve(session: &mut Session) -> Result<(), End> {
    let created =
        json!({ "type": "session.created", "event_id": "e-0", "session": { "type": "transcription" } });
    session.send(created).await?;
    let mut state = State { hearing: None, is_mulaw: true, item: 1, uncommitted: 0 };
    loop {
        let text = match session.socket.next().await.ok_or(End::Closed)?? {
            Message::Text(text) => text,
            Message::Close(_) => return Err(End::Closed),
            _ => continue,
        };
        let event: Value = serde_json::from_str(&text).unwrap_or_default();
        match event["type"].as_str() {
            Some("session.update") => update(session, &mut state, &event["session"]).await?,
            Some("input_audio_buffer.append") => append(session, &mut state, &event).await?,
            Some("input_audio_buffer.commit") => commit(session, &mut state).await?,
            Some("input_audio_buffer.clear") => {
                session.send(json!({ "type": "input_audio_buffer.cleared", "event_id": "e-1" })).await?;
            }
            _ => refuse(session, "invalid_value", "No such event").await?,
        }
    }
}

async fn update(session: &mut Session, state: &mut State, wanted: &Value) -> Result<(), End> {
    let input = &wanted["audio"]["input"];
    let transcription = &input["transcription"];
    let model = transcription["model"].as_str().unwrap_or_default();
    let (is_new, is_old) = (NEW.contains(&model), OLD.contains(&model));
    let rate = match input["format"]["type"].as_str() {
        Some("audio/pcmu") => 8_000,
        Some("audio/pcm") if input["format"]["rate"] == 24_000 => 24_000,
        _ => return refuse(session, "invalid_value", "No such format").await,
    };
    let wrong_language = is_new && transcription.get("language").is_some()
        || is_old && transcription.get("languages").is_some();
    if wanted["type"] != "transcription" || !is_new && !is_old {
        return refuse(session, "model_not_found", "No such model").await;
    }
    if wrong_language || !input["turn_detection"].is_null() {
        return refuse(session, "unknown_parameter", "The model has no such parameter").await;
    }
    let languages = transcription["languages"].as_array().into_iter().flatten();
    let mut languages = languages.chain([&transcription["language"]]).filter_map(Value::as_str);
    if languages.any(|code| code.len() != 2) {
        return refuse(session, "invalid_value", "A language is no code of ISO 639-1").await;
    }
    (state.hearing, state.is_mulaw) = (Some(Hearing::at(rate)), rate == 8_000);
    session.send(json!({ "type": "session.updated", "event_id": "e-2", "session": wanted })).await
}

async fn append(session: &mut Session, state: &mut State, event: &Value) -> Result<(), End> {
    let bytes = event["audio"].as_str().and_then(|audio| BASE64_STANDARD.decode(audio).ok());
    let (Some(hearing), Some(bytes)) = (&mut state.hearing, bytes) else {
        return refuse(session, "invalid_value", "Audio has to be base64").await;
    };
    let samples = if state.is_mulaw { mulaw(&bytes) } else { linear16(&bytes) };
    state.uncommitted += samples.len();
    hearing.push(&samples);
    session.check_fault(hearing)?;
    let shown = hearing.partial.max(hearing.said);
    if let Some(words) = hearing.partial() {
        let new = words.split(' ').skip(shown).fold(String::new(), |text, word| {
            let separator = if shown == 0 && text.is_empty() { "" } else { " " };
            text + separator + word
        });
        let delta = json!({ "type": "conversation.item.input_audio_transcription.delta", "event_id": "e-3",
            "item_id": format!("item_{}", state.item), "content_index": 0, "delta": new });
        session.send(delta).await?;
    }
    Ok(())
}

async fn commit(session: &mut Session, state: &mut State) -> Result<(), End> {
    let Some(hearing) = &mut state.hearing else {
        return refuse(session, "invalid_value", "The session is not configured").await;
    };
    if hearing.ms(state.uncommitted) < 100 {
        let text = "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio";
        return refuse(session, "input_audio_buffer_commit_empty", text).await;
    }
    let (words, id) = (hearing.commit(), format!("item_{}", state.item));
    (state.item, state.uncommitted) = (state.item + 1, 0);
    let committed = json!({ "type": "input_audio_buffer.committed", "event_id": "e-4", "item_id": id,
        "previous_item_id": null });
    session.send(committed).await?;
    let completed = json!({ "type": "conversation.item.input_audio_transcription.completed", "event_id": "e-5",
        "item_id": id, "content_index": 0, "transcript": words,
        "usage": { "type": "duration", "seconds": 1 } });
    session.send(completed).await
}

async fn refuse(session: &mut Session, code: &str, message: &str) -> Result<(), End> {
    let error = json!({ "type": "invalid_request_error", "code": code, "message": message, "param": null,
        "event_id": null });
    session.send(json!({ "type": "error", "event_id": "e-6", "error": error })).await
}
