//! <https://elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-multi-stream-input>: `GET
//! /v1/text-to-speech/{voice}/multi-stream-input`, a WebSocket for one voice, model and format.
//!
//! A context gets its settings, its whole text, and its end. A text that was flushed is spoken to its end, so a context cannot be
//! cancelled; it counts as open until the server ends it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::engines::core::EngineError;
use crate::engines::core::websocket::SocketEndpoint;
use crate::engines::tts::contexts::{Address, ContextMessage, ContextProtocol};

/// Fields of a request that belong to the first message of a context. The others are parameters of the connection.
const FIRST: [&str; 3] = ["voice_settings", "generation_config", "pronunciation_dictionary_locators"];
/// The server closes a connection without messages after so many seconds; the most that it takes.
const INACTIVITY_TIMEOUT: &str = "180";

/// A speech in a context.
pub struct ContextOrder {
    pub address: Address,
    pub messages: [Value; 3],
}

/// The order for a request over HTTP with this body.
pub fn order(voice: &str, output_format: &str, body: &Value) -> ContextOrder {
    let ours =
        [("output_format", output_format), ("auto_mode", "true"), ("inactivity_timeout", INACTIVITY_TIMEOUT)];
    let mut query: Vec<_> = ours.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut first = Map::from_iter([("text".to_owned(), json!(" "))]);
    let mut text = String::new();
    for (name, value) in body.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("text", Value::String(words)) => text = format!("{words} "),
            (field, _) if FIRST.contains(&field) => {
                first.insert(name.clone(), value.clone());
            }
            (_, Value::String(value)) => query.push((name.clone(), value.clone())),
            (_, value) => query.push((name.clone(), value.to_string())),
        }
    }
    let address = Address { path: format!("/text-to-speech/{voice}/multi-stream-input"), query };
    let messages = [first.into(), json!({ "text": text, "flush": true }), json!({ "close_context": true })];
    ContextOrder { address, messages }
}

#[derive(Deserialize)]
struct ElevenMessage {
    #[serde(rename = "contextId", alias = "context_id")]
    context: Option<String>,
    audio: Option<String>,
    #[serde(rename = "isFinal", alias = "is_final")]
    is_final: Option<bool>,
    /// The code of a refusal.
    error: Option<String>,
    message: Option<String>,
}

pub struct ElevenProtocol;

impl ContextProtocol for ElevenProtocol {
    fn cancel(&self) -> Option<Value> {
        None
    }

    fn read(&self, message: &str, endpoint: &SocketEndpoint) -> Result<ContextMessage, EngineError> {
        let unreadable =
            || EngineError::Temporary(format!("unreadable message: {}", endpoint.cleaned(message)));
        let read: ElevenMessage = serde_json::from_str(message).map_err(|_| unreadable())?;
        let audio = read.audio.map(|audio| BASE64_STANDARD.decode(audio)).transpose();
        let end = match (read.error, read.is_final) {
            (Some(code), _) => {
                let body = json!({ "detail": { "status": code, "message": read.message.as_ref().unwrap_or(&code) } });
                Some(Err(endpoint.reported(status_of(&code), &body)))
            }
            (None, Some(true)) => Some(Ok(())),
            _ => None,
        };
        Ok(ContextMessage {
            context: read.context,
            audio: audio.map_err(|_| unreadable())?.unwrap_or_default(),
            end,
        })
    }
}

/// The status that the error has over HTTP.
fn status_of(error: &str) -> u16 {
    match error {
        "max_active_conversations"
        | "too_many_concurrent_requests"
        | "rate_limit_exceeded"
        | "system_busy" => 429,
        "invalid_api_key" | "quota_exceeded" => 401,
        "internal_error" | "internal_server_error" => 500,
        _ => 400,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engines::core::openai::Settings;
    use crate::engines::core::server::Auth;

    fn read(message: &str) -> Result<ContextMessage, EngineError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { base_url: "http://127.0.0.1:1/v1".into(), ..Settings::default() };
        let endpoint = SocketEndpoint::new(&settings, Auth::Header("xi-api-key")).expect("an endpoint");
        ElevenProtocol.read(message, &endpoint)
    }

    #[test]
    fn the_fields_of_a_request_are_divided() {
        let body = json!({
            "language_code": "de", "model_id": "eleven_flash_v2_5", "seed": 7, "text": "Hello.",
            "voice_settings": { "speed": 1.1 },
        });
        let ContextOrder { address, messages } = order("abc", "pcm_8000", &body);
        assert_eq!(address.path, "/text-to-speech/abc/multi-stream-input");
        let query: Vec<String> =
            address.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = "output_format=pcm_8000&auto_mode=true&inactivity_timeout=180&language_code=de\
                        &model_id=eleven_flash_v2_5&seed=7";
        assert_eq!(query.join("&"), expected);
        let [first, text, end] = messages;
        assert_eq!(first, json!({ "text": " ", "voice_settings": { "speed": 1.1 } }));
        assert_eq!(text, json!({ "text": "Hello. ", "flush": true }));
        assert_eq!(end, json!({ "close_context": true }));
    }

    #[test]
    fn messages_have_audio_an_end_or_an_error() {
        let audio = read(r#"{"audio":"AQI=","isFinal":null,"contextId":"c1","alignment":{"chars":["H"]}}"#)
            .expect("audio");
        assert_eq!(audio, ContextMessage { context: Some("c1".into()), audio: vec![1, 2], end: None });
        let end = read(r#"{"audio":null,"isFinal":true,"contextId":"c1"}"#).expect("an end");
        assert_eq!(end, ContextMessage { context: Some("c1".into()), audio: vec![], end: Some(Ok(())) });
        let error = read(r#"{"message":"No more.","error":"max_active_conversations","code":1008}"#)
            .expect("an error");
        let error = error.end.and_then(Result::err).expect("an error");
        assert!(error.worth_retrying() && error.to_string().contains("No more."), "{error}");
        for garbage in ["", "<html>", "[]", r#"{"audio":"?"}"#, r#"{"contextId":5}"#] {
            assert!(read(garbage).is_err_and(|error| error.worth_retrying()), "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn any_message_can_be_read(text in "\\PC{0,80}", audio in "[A-Za-z0-9+/=]{0,16}") {
            let _ = read(&text);
            let _ = read(&json!({ "audio": audio, "isFinal": text.is_empty(), "contextId": text }).to_string());
        }
    }
}
