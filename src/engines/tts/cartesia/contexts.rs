//! <https://docs.cartesia.ai/api-reference/tts/websocket>: `GET /tts/websocket`, a WebSocket for contexts of all voices.
//!
//! A text in parts is collected by the server until it suffices for a natural beginning, for `max_buffer_delay_ms` at most
//! (<https://docs.cartesia.ai/use-the-api/tts-websocket/buffering>). With `add_timestamps` the times of words follow, from the
//! beginning of the context's audio.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::VERSION;
use crate::engines::core::EngineError;
use crate::engines::core::websocket::SocketEndpoint;
use crate::engines::tts::contexts::alignment::{Alignment, TimeOrigin};
use crate::engines::tts::contexts::{
    Address, Cancellation, ContextEnd, ContextMessage, ContextProtocol, ContextText, WordMessages,
};

/// The one address of an engine.
pub fn address() -> Address {
    let (_, version) = VERSION;
    Address { path: "/tts/websocket".into(), query: vec![("cartesia_version".into(), version.into())] }
}

/// How long the server may collect the parts of a text before it speaks; it speaks sooner once they suffice. Its own
/// default, which is set because its documentation also speaks of none.
const COLLECTING_MS: u32 = 3_000;

/// The message of a context with the body of a request over HTTP. The text is whole, so it is not collected.
pub fn message(body: Value, has_times: bool) -> Value {
    with_context_fields(body, 0, has_times, ContextText::Rest)
}

/// The messages of a context with words of its text, from the body of a request over HTTP. The words are joined as they are.
pub fn words(body: Value) -> WordMessages {
    Box::new(move |words, text| {
        let mut message = with_context_fields(body.clone(), COLLECTING_MS, true, text);
        message["transcript"] = words.into();
        vec![message]
    })
}

fn with_context_fields(mut body: Value, collecting_ms: u32, has_times: bool, text: ContextText) -> Value {
    body["continue"] = (text == ContextText::Part).into();
    if body.get("max_buffer_delay_ms").is_none() {
        body["max_buffer_delay_ms"] = collecting_ms.into();
    }
    if has_times {
        body["add_timestamps"] = true.into();
        // The words as they were sent.
        body["use_normalized_timestamps"] = false.into();
    }
    if let Some(voice) = body["voice"].as_object_mut() {
        voice.entry("mode").or_insert_with(|| "id".into());
    }
    body
}

#[derive(Deserialize)]
struct SonicMessage {
    #[serde(rename = "type")]
    kind: String,
    context_id: Option<String>,
    #[serde(default)]
    data: String,
    status_code: Option<u16>,
    #[serde(default)]
    word_timestamps: Value,
}

/// The times of words, in seconds from the beginning of the context's audio.
#[derive(Deserialize)]
struct WordTimes {
    words: Vec<String>,
    end: Vec<f64>,
}

/// The words of a message; none where the times are not those of the words.
fn alignment(times: &Value) -> Option<Alignment> {
    let WordTimes { words, end } = WordTimes::deserialize(times).ok()?;
    let is_complete = words.len() == end.len();
    let words = words.iter().map(String::as_str).zip(end);
    is_complete.then(|| Alignment::new(TimeOrigin::Context, words)).flatten()
}

pub struct SonicProtocol;

impl ContextProtocol for SonicProtocol {
    fn cancellation(&self) -> Cancellation {
        Cancellation::AtOnce(json!({ "cancel": true }))
    }

    fn read(&self, message: &str, endpoint: &SocketEndpoint) -> Result<ContextMessage, EngineError> {
        let unreadable =
            || EngineError::Temporary(format!("unreadable message: {}", endpoint.cleaned(message)));
        let body: Value = serde_json::from_str(message).map_err(|_| unreadable())?;
        let read = SonicMessage::deserialize(&body).map_err(|_| unreadable())?;
        let audio = if read.kind == "chunk" { BASE64_STANDARD.decode(&read.data) } else { Ok(Vec::new()) };
        let end = match read.kind.as_str() {
            "done" => Some(ContextEnd::Spoken),
            "error" => Some(ContextEnd::Failed(endpoint.reported(read.status_code.unwrap_or(500), &body))),
            _ => None,
        };
        let (audio, alignment) = (audio.map_err(|_| unreadable())?, alignment(&read.word_timestamps));
        Ok(ContextMessage { context: read.context_id, audio, alignment, end })
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
        let settings = Settings { base_url: "http://127.0.0.1:1".into(), ..Settings::default() };
        SocketEndpoint::new(&settings, Auth::Scheme("Bearer")).expect("an endpoint")
    });

    fn read(message: &str) -> Result<ContextMessage, EngineError> {
        SonicProtocol.read(message, &ENDPOINT)
    }

    #[test]
    fn a_message_has_the_fields_of_a_request_and_ends_its_context() {
        let body = json!({ "transcript": "Hello.", "voice": { "id": "v" } });
        let expected = json!({
            "transcript": "Hello.", "voice": { "mode": "id", "id": "v" }, "continue": false, "max_buffer_delay_ms": 0,
        });
        assert_eq!(message(body, false), expected);
        let buffered = message(
            json!({ "transcript": "Hello.", "voice": { "id": "v" }, "max_buffer_delay_ms": 50 }),
            false,
        );
        assert_eq!(buffered["max_buffer_delay_ms"], 50);
    }

    #[test]
    fn the_messages_of_a_text_in_parts_differ_in_the_words_and_the_end() {
        let messages = words(json!({ "transcript": "", "voice": { "id": "v" } }));
        let expected = |words: &str, goes_on: bool| {
            json!({
                "transcript": words, "voice": { "mode": "id", "id": "v" }, "continue": goes_on,
                "max_buffer_delay_ms": 3_000, "add_timestamps": true, "use_normalized_timestamps": false,
            })
        };
        assert_eq!(messages("We are ", ContextText::Part), [expected("We are ", true)]);
        assert_eq!(messages("open.", ContextText::Rest), [expected("open.", false)]);
    }

    #[test]
    fn times_of_words_are_read_if_they_are_complete() {
        let times = |words: Value| {
            json!({ "type": "timestamps", "context_id": "c1", "word_timestamps": words }).to_string()
        };
        let read = |words| read(&times(words)).expect("a message").alignment;
        let expected = Alignment::new(TimeOrigin::Context, [("We", 0.2), ("are", 0.35)]);
        assert!(expected.is_some());
        assert_eq!(
            read(json!({ "words": ["We", "are"], "start": [0.0, 0.2], "end": [0.2, 0.35] })),
            expected
        );
        for words in [
            json!(null),
            json!([]),
            json!({ "words": ["We", "are"], "start": [0.0], "end": [0.2] }),
            json!({ "words": ["We"], "start": [0.0], "end": [-0.2] }),
            json!({ "words": ["We"], "start": [0.0], "end": ["0.2"] }),
            json!({ "words": "We", "start": [0.0], "end": [0.2] }),
        ] {
            assert_eq!(read(words.clone()), None, "{words}");
        }
    }

    #[test]
    fn messages_have_audio_an_end_or_an_error() {
        let chunk = r#"{"type":"chunk","data":"AQI=","done":false,"context_id":"c1","status_code":206,"step_time":1.5}"#;
        let context = || Some("c1".to_owned());
        let audio = ContextMessage { context: context(), audio: vec![1, 2], alignment: None, end: None };
        assert_eq!(read(chunk), Ok(audio));
        let done = read(r#"{"type":"done","done":true,"context_id":"c1","status_code":200}"#);
        assert_eq!(
            done,
            Ok(ContextMessage {
                context: context(),
                end: Some(ContextEnd::Spoken),
                ..ContextMessage::default()
            })
        );
        let flushed =
            read(r#"{"type":"flush_done","done":false,"flush_done":true,"context_id":"c1","flush_id":1}"#);
        assert_eq!(
            flushed,
            Ok(ContextMessage { context: context(), audio: vec![], alignment: None, end: None })
        );
        for (status, is_temporary) in [(400, false), (429, true), (500, true)] {
            let error = json!({ "type": "error", "done": true, "message": "No.", "status_code": status });
            let end = read(&error.to_string()).expect("a message").end;
            let Some(ContextEnd::Failed(error)) = end else { panic!("no error") };
            assert_eq!(error.worth_retrying(), is_temporary, "{error}");
            assert!(error.to_string().ends_with("No."), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_message_can_be_read(text in "\\PC{0,80}", data in "[A-Za-z0-9+/=]{0,16}") {
            let _ = read(&text);
            let _ = read(&json!({ "type": "chunk", "data": data, "context_id": text }).to_string());
        }

        #[test]
        fn any_times_are_survived(
            words in proptest::collection::vec("\\PC{0,6}", 0..12),
            end in proptest::collection::vec(proptest::num::f64::ANY, 0..12),
        ) {
            if let Some(alignment) = alignment(&json!({ "words": words, "end": end })) {
                alignment.add_to(&SpeechTiming::default(), Duration::MAX);
            }
        }
    }
}
