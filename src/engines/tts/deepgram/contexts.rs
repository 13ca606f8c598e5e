//! <https://developers.deepgram.com/reference/text-to-speech/speak-streaming>: `GET /v1/speak`, a WebSocket for one voice and
//! format, and for one speech at a time. The messages are those of `asyncapi.yml` in deepgram/deepgram-api-specs of 2026-07-22.
//!
//! `Speak` adds words to a text, `Flush` completes it: the server answers with audio in binary frames and `Flushed`. `Clear`
//! forgets text and audio; audio may arrive until `Cleared`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::engines::core::EngineError;
use crate::engines::core::websocket::SocketEndpoint;
use crate::engines::tts::contexts::{
    Address, Cancellation, ConnectionLimits, ContextEnd, ContextMessage, ContextProtocol, ContextText,
    MinuteLimits, Multiplexing,
};

/// The longest text of one message, in characters.
pub const MAX_CHARS: usize = 2_000;

/// Characters and `Flush` messages of a connection in a minute. More characters close it, more `Flush` messages are not carried
/// out: <https://developers.deepgram.com/docs/streaming-text-to-speech#limits>
const MINUTE_CHARS: usize = 2_400;
const MINUTE_FLUSHES: usize = 20;

/// The server closes a connection after 60 minutes (same page). A speech that begins before this age is over by then.
const LIFETIME: Duration = Duration::from_secs(55 * 60);

/// Open connections count against the account's limit of concurrent requests, so idle ones are not kept for long.
const IDLE: Duration = Duration::from_secs(60);

/// The reason for which a connection with too many characters is closed:
/// <https://developers.deepgram.com/docs/tts-troubleshooting-websocket-net-and-data-errors>
const TOO_MANY_CHARACTERS: &str = "DATA-0001";

pub fn address(query: Vec<(String, String)>) -> Address {
    Address { path: "/speak".into(), query }
}

/// The messages with words of a text, which the server joins as they are.
pub fn words(words: &str, text: ContextText) -> Vec<Value> {
    let speak = json!({ "type": "Speak", "text": words });
    match text {
        ContextText::Part => vec![speak],
        ContextText::Rest => vec![speak, json!({ "type": "Flush" })],
    }
}

#[derive(Deserialize)]
struct AuraMessage {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    description: String,
}

pub struct AuraProtocol {
    /// The longest text that is sent, in characters.
    pub max_chars: usize,
}

impl ContextProtocol for AuraProtocol {
    fn multiplexing(&self) -> Multiplexing {
        Multiplexing::Exclusive
    }

    fn limits(&self) -> ConnectionLimits {
        let minute =
            MinuteLimits { characters: MINUTE_CHARS, texts: MINUTE_FLUSHES, longest: self.max_chars };
        ConnectionLimits { contexts: 1, lifetime: LIFETIME, idle: IDLE, minute: Some(minute) }
    }

    fn characters(&self, message: &Value) -> usize {
        message["text"].as_str().map_or(0, |text| text.chars().count())
    }

    fn cancellation(&self) -> Cancellation {
        Cancellation::Confirmed(json!({ "type": "Clear" }))
    }

    fn is_limit(&self, reason: &str) -> bool {
        reason.contains(TOO_MANY_CHARACTERS)
    }

    fn read(&self, message: &str, endpoint: &SocketEndpoint) -> Result<ContextMessage, EngineError> {
        let read: AuraMessage = serde_json::from_str(message).map_err(|_| {
            EngineError::Temporary(format!("unreadable message: {}", endpoint.cleaned(message)))
        })?;
        let reason = || endpoint.cleaned(&format!("{} {}", read.code, read.description));
        let end = match read.kind.as_str() {
            "Flushed" => Some(ContextEnd::Spoken),
            "Cleared" => Some(ContextEnd::Cancelled),
            // The text that was not flushed would be spoken with the next one.
            "Warning" if is_about_flush(&read) => return Err(EngineError::RateLimited(reason())),
            "Error" => return Err(EngineError::Temporary(reason())),
            "Warning" => {
                tracing::debug!(warning = %reason(), "Deepgram warns");
                None
            }
            _ => None,
        };
        Ok(ContextMessage { end, ..ContextMessage::default() })
    }
}

/// The vendor does not publish the codes of warnings.
fn is_about_flush(warning: &AuraMessage) -> bool {
    [&warning.code, &warning.description].into_iter().any(|text| text.to_lowercase().contains("flush"))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::engines::core::openai::Settings;
    use crate::engines::core::server::Auth;

    /// Made once: that reads the authorities of the system.
    static ENDPOINT: LazyLock<SocketEndpoint> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { base_url: "http://127.0.0.1:1".into(), ..Settings::default() };
        SocketEndpoint::new(&settings, Auth::Scheme("Token")).expect("an endpoint")
    });

    const PROTOCOL: AuraProtocol = AuraProtocol { max_chars: 500 };

    fn read(message: &str) -> Result<ContextMessage, EngineError> {
        PROTOCOL.read(message, &ENDPOINT)
    }

    #[test]
    fn words_are_sent_as_they_are_and_the_last_ones_flushed() {
        let speak = |text: &str| json!({ "type": "Speak", "text": text });
        assert_eq!(words("We are ", ContextText::Part), [speak("We are ")]);
        let flush = json!({ "type": "Flush" });
        assert_eq!(words("open.", ContextText::Rest), [speak("open."), flush.clone()]);
        assert_eq!(PROTOCOL.characters(&speak("Grüße.")), 6);
        assert_eq!(PROTOCOL.characters(&flush), 0);
    }

    #[test]
    fn messages_are_an_end_a_failure_or_nothing() {
        let end = |message: &str| read(message).expect("a message").end;
        assert_eq!(end(r#"{"type":"Flushed","sequence_id":3}"#), Some(ContextEnd::Spoken));
        assert_eq!(end(r#"{"type":"Cleared","sequence_id":0}"#), Some(ContextEnd::Cancelled));
        for nothing in [
            r#"{"type":"Metadata","request_id":"r","model_name":"aura-2-thalia-en","model_version":"1"}"#,
            r#"{"type":"Warning","code":"X","description":"The text was cut."}"#,
            r#"{"type":"New"}"#,
        ] {
            assert_eq!(read(nothing), Ok(ContextMessage::default()), "{nothing}");
        }
        let warning = r#"{"type":"Warning","code":"X","description":"Too many Flush messages."}"#;
        for (message, words) in [(warning, "Too many Flush"), (r#"{"type":"Error","code":"E-1"}"#, "E-1")] {
            let error = read(message).expect_err(message);
            assert!(error.worth_retrying() && error.to_string().contains(words), "{error}");
        }
        for garbage in ["", "<html>", "[]", "{}", r#"{"type":5}"#] {
            assert!(read(garbage).is_err_and(|error| error.worth_retrying()), "{garbage}");
        }
    }

    #[test]
    fn a_connection_with_too_many_characters_is_closed_by_a_limit() {
        assert!(PROTOCOL.is_limit("DATA-0001"));
        assert!(!PROTOCOL.is_limit("DATA-0000") && !PROTOCOL.is_limit(""));
    }

    proptest! {
        #[test]
        fn any_message_can_be_read(text in "\\PC{0,80}", kind in "\\PC{0,8}|Warning|Error") {
            let _ = read(&text);
            let _ = read(&json!({ "type": kind, "code": text, "description": text }).to_string());
        }
    }
}
