//! <https://elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-multi-stream-input>: `GET
//! /v1/text-to-speech/{voice}/multi-stream-input`, a WebSocket for one voice, model and format.
//!
//! A context gets its settings, its text, whole or in parts, and its end. A text that was flushed is spoken to its end, so a
//! context cannot be cancelled; it counts as open until the server ends it.
//!
//! Without `auto_mode` the server collects parts until they have as many characters as the `chunk_length_schedule` says, or are
//! flushed. With `sync_alignment` a message with audio has the times of its characters, from the beginning of that audio.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engines::core::EngineError;
use crate::engines::core::websocket::SocketEndpoint;
use crate::engines::tts::contexts::alignment::{Alignment, TimeOrigin};
use crate::engines::tts::contexts::{
    Address, Cancellation, ContextEnd, ContextMessage, ContextProtocol, ContextText,
};

/// Fields of a request that belong to the first message of a context. The others are parameters of the connection.
const FIRST: [&str; 3] = ["voice_settings", "generation_config", "pronunciation_dictionary_locators"];
/// The server closes a connection without messages after so many seconds; the most that it takes.
const INACTIVITY_TIMEOUT: &str = "180";

/// After so many characters of parts the server begins to speak, and after so many more it goes on. 50 are the fewest.
const SCHEDULE: [u32; 4] = [50, 120, 200, 260];

/// The connection and the first message of a speech in a context.
pub struct ContextOrder {
    pub address: Address,
    pub first: Value,
}

/// The order for a request over HTTP with this body.
pub fn order(voice: &str, output_format: &str, body: &Value, partial_text: bool) -> ContextOrder {
    let mode = if partial_text { "sync_alignment" } else { "auto_mode" };
    let ours = [("output_format", output_format), (mode, "true"), ("inactivity_timeout", INACTIVITY_TIMEOUT)];
    let mut query: Vec<_> = ours.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut first = json!({ "text": " " });
    for (name, value) in body.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("text", _) => {}
            (field, _) if FIRST.contains(&field) => first[field] = value.clone(),
            (_, Value::String(value)) => query.push((name.clone(), value.clone())),
            (_, value) => query.push((name.clone(), value.to_string())),
        }
    }
    if partial_text {
        add_schedule(&mut first["generation_config"]);
    }
    let address = Address { path: format!("/text-to-speech/{voice}/multi-stream-input"), query };
    ContextOrder { address, first }
}

fn add_schedule(config: &mut Value) {
    if config.is_null() {
        *config = json!({});
    }
    if let Some(config) = config.as_object_mut() {
        config.entry("chunk_length_schedule").or_insert_with(|| json!(SCHEDULE));
    }
}

/// The messages of a context with words of its text. A message's text ends with a space.
pub fn words(words: &str, text: ContextText) -> Vec<Value> {
    let words = format!("{} ", words.trim_end());
    match text {
        ContextText::Part => vec![json!({ "text": words })],
        ContextText::Rest => {
            vec![json!({ "text": words, "flush": true }), json!({ "close_context": true })]
        }
    }
}

#[derive(Deserialize)]
struct ElevenMessage {
    #[serde(rename = "contextId", alias = "context_id")]
    context: Option<String>,
    audio: Option<String>,
    #[serde(rename = "isFinal", alias = "is_final")]
    is_final: Option<bool>,
    #[serde(default)]
    alignment: Value,
    /// The code of a refusal.
    error: Option<String>,
    message: Option<String>,
}

/// The times of characters, in milliseconds from the beginning of the message's audio.
#[derive(Deserialize)]
struct CharacterTimes {
    chars: Vec<String>,
    #[serde(rename = "charStartTimesMs", alias = "char_start_times_ms")]
    starts: Vec<f64>,
    #[serde(rename = "charDurationsMs", alias = "char_durations_ms", alias = "charsDurationsMs")]
    durations: Vec<f64>,
}

/// The words of a message's characters; none where the times are not those of the characters.
fn alignment(times: &Value) -> Option<Alignment> {
    let CharacterTimes { chars, starts, durations } = CharacterTimes::deserialize(times).ok()?;
    if chars.len() != starts.len() || chars.len() != durations.len() {
        return None;
    }
    let ends = starts.iter().zip(&durations).map(|(start, duration)| (start + duration) / 1_000.0);
    let mut words: Vec<(String, f64)> = Vec::new();
    let mut is_within_word = false;
    for (letter, end) in chars.iter().zip(ends) {
        let is_space = letter.trim().is_empty();
        if !is_space && !is_within_word {
            words.push((String::new(), end));
        }
        if let Some((word, word_end)) = words.last_mut().filter(|_| !is_space) {
            word.push_str(letter);
            *word_end = end;
        }
        is_within_word = !is_space;
    }
    Alignment::new(TimeOrigin::Message, words.iter().map(|(word, end)| (word.as_str(), *end)))
}

pub struct ElevenProtocol;

impl ContextProtocol for ElevenProtocol {
    fn cancellation(&self) -> Cancellation {
        Cancellation::AtItsEnd(json!({ "close_context": true }))
    }

    fn read(&self, message: &str, endpoint: &SocketEndpoint) -> Result<ContextMessage, EngineError> {
        let unreadable =
            || EngineError::Temporary(format!("unreadable message: {}", endpoint.cleaned(message)));
        let read: ElevenMessage = serde_json::from_str(message).map_err(|_| unreadable())?;
        let audio = read.audio.map(|audio| BASE64_STANDARD.decode(audio)).transpose();
        let end = match (read.error, read.is_final) {
            (Some(code), _) => {
                let body = json!({ "detail": { "status": code, "message": read.message.as_ref().unwrap_or(&code) } });
                Some(ContextEnd::Failed(endpoint.reported(status_of(&code), &body)))
            }
            (None, Some(true)) => Some(ContextEnd::Spoken),
            _ => None,
        };
        Ok(ContextMessage {
            context: read.context,
            audio: audio.map_err(|_| unreadable())?.unwrap_or_default(),
            alignment: alignment(&read.alignment),
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
    use std::sync::LazyLock;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::engines::core::openai::Settings;
    use crate::engines::core::server::Auth;
    use crate::engines::core::timing::SpeechTiming;

    /// Made once: that reads the authorities of the system.
    static ENDPOINT: LazyLock<SocketEndpoint> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { base_url: "http://127.0.0.1:1/v1".into(), ..Settings::default() };
        SocketEndpoint::new(&settings, Auth::Header("xi-api-key")).expect("an endpoint")
    });

    fn read(message: &str) -> Result<ContextMessage, EngineError> {
        ElevenProtocol.read(message, &ENDPOINT)
    }

    #[test]
    fn the_fields_of_a_request_are_divided() {
        let body = json!({
            "language_code": "de", "model_id": "eleven_flash_v2_5", "seed": 7, "text": "Hello.",
            "voice_settings": { "speed": 1.1 },
        });
        let ContextOrder { address, first } = order("abc", "pcm_8000", &body, false);
        assert_eq!(address.path, "/text-to-speech/abc/multi-stream-input");
        let query: Vec<String> =
            address.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = "output_format=pcm_8000&auto_mode=true&inactivity_timeout=180&language_code=de\
                        &model_id=eleven_flash_v2_5&seed=7";
        assert_eq!(query.join("&"), expected);
        assert_eq!(first, json!({ "text": " ", "voice_settings": { "speed": 1.1 } }));
        let whole = [json!({ "text": "Hello. ", "flush": true }), json!({ "close_context": true })];
        assert_eq!(words("Hello.", ContextText::Rest), whole);
    }

    #[test]
    fn parts_are_collected_by_a_schedule() {
        let query = |body| order("abc", "pcm_8000", &body, true);
        let ContextOrder { address, first } =
            query(json!({ "text": "", "voice_settings": { "speed": 1.1 } }));
        assert!(address.query.contains(&("sync_alignment".to_owned(), "true".to_owned())));
        assert!(address.query.iter().all(|(name, _)| name != "auto_mode"));
        let config = json!({ "chunk_length_schedule": SCHEDULE });
        assert_eq!(first["generation_config"], config);
        let own = json!({ "generation_config": { "chunk_length_schedule": [80] } });
        assert_eq!(query(own.clone()).first["generation_config"], own["generation_config"]);
        assert_eq!(words("We are ", ContextText::Part), [json!({ "text": "We are " })]);
    }

    #[test]
    fn characters_are_joined_to_words_with_their_ends() {
        let times = json!({ "chars": [" ", "H", "i", ",", " ", "y", "o"], "charStartTimesMs": [0, 0, 100, 150, 200, 300, 400],
            "charDurationsMs": [0, 100, 50, 50, 100, 100, 50] });
        let expected = Alignment::new(TimeOrigin::Message, [("Hi,", 0.2), ("yo", 0.45)]);
        assert!(expected.is_some());
        assert_eq!(alignment(&times), expected);
    }

    #[test]
    fn times_that_are_not_those_of_the_characters_are_left_out() {
        for times in [
            json!(null),
            json!("H"),
            json!({ "chars": ["H"] }),
            json!({ "chars": ["H"], "charStartTimesMs": [0, 1], "charDurationsMs": [1] }),
            json!({ "chars": ["H"], "charStartTimesMs": [-5], "charDurationsMs": [1] }),
            json!({ "chars": ["H"], "charStartTimesMs": [1e300], "charDurationsMs": [1e300] }),
            json!({ "chars": [7], "charStartTimesMs": [0], "charDurationsMs": [1] }),
            json!({ "chars": [], "charStartTimesMs": [], "charDurationsMs": [] }),
        ] {
            assert_eq!(alignment(&times), None, "{times}");
            let message = json!({ "audio": "AQI=", "contextId": "c1", "alignment": times });
            assert_eq!(read(&message.to_string()).expect("audio").audio, [1, 2]);
        }
    }

    #[test]
    fn messages_have_audio_an_end_or_an_error() {
        let audio = read(r#"{"audio":"AQI=","isFinal":null,"contextId":"c1","alignment":{"chars":["H"]}}"#)
            .expect("audio");
        assert_eq!(
            audio,
            ContextMessage { context: Some("c1".into()), audio: vec![1, 2], alignment: None, end: None }
        );
        let end = read(r#"{"audio":null,"isFinal":true,"contextId":"c1"}"#).expect("an end");
        assert_eq!(
            end,
            ContextMessage {
                context: Some("c1".into()),
                end: Some(ContextEnd::Spoken),
                ..ContextMessage::default()
            }
        );
        let error = read(r#"{"message":"No more.","error":"max_active_conversations","code":1008}"#)
            .expect("an error");
        let Some(ContextEnd::Failed(error)) = error.end else { panic!("no error") };
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

        #[test]
        fn any_times_are_survived(
            chars in proptest::collection::vec("\\PC{0,2}", 0..12),
            starts in proptest::collection::vec(proptest::num::f64::ANY, 0..12),
            durations in proptest::collection::vec(proptest::num::f64::ANY, 0..12),
        ) {
            let times = json!({ "chars": chars, "charStartTimesMs": starts, "charDurationsMs": durations });
            if let Some(alignment) = alignment(&times) {
                alignment.add_to(&SpeechTiming::default(), Duration::MAX);
            }
        }
    }
}
