//! Streaming transcription by ElevenLabs Scribe.
//!
//! <https://elevenlabs.io/docs/api-reference/speech-to-text/v-1-speech-to-text-realtime>: `GET
//! /v1/speech-to-text/realtime` with the settings in the query; JSON messages both ways, audio in base64. With
//! `commit_strategy=manual` the end of an utterance commits it.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::live::{Dialogue, FINAL_TIMEOUT_MS, Frame, LiveConnection, Protocol, TranscriptEvent};
use super::{Hints, terms};
use crate::audio::linear16;
use crate::engines::core::EngineError;
use crate::engines::core::extra::Extra;
use crate::engines::core::languages::{LanguageCodes, code, known};
use crate::engines::core::server::Auth;
use crate::engines::core::websocket::{Socket, SocketEndpoint};
use crate::names::Names;

/// The default address.
pub const BASE_URL: &str = "https://api.elevenlabs.io/v1";
/// How requests carry the key.
pub const AUTH: Auth = Auth::Header("xi-api-key");

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The model of profiles that name none. Default `scribe_v2_realtime`.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// How long the last words of an utterance may take after its end, in milliseconds. Then the fallback gets the utterance. Default 2000.
    pub final_timeout_ms: u64,
    /// The vendor's codes of languages, by BCP 47 tag, in place of the built-in ones. None by default.
    pub languages: LanguageCodes,
    /// Further parameters of the query, such as `keyterms` and `enable_logging`. None by default.
    pub extra: Extra,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "scribe_v2_realtime".into(),
            models: Vec::new(),
            final_timeout_ms: FINAL_TIMEOUT_MS,
            languages: LanguageCodes::default(),
            extra: Extra::default(),
        }
    }
}

pub struct Scribe {
    name: Arc<str>,
    endpoint: SocketEndpoint,
    settings: Settings,
    models: Names,
}

impl Scribe {
    pub fn new(name: Arc<str>, endpoint: SocketEndpoint, settings: Settings) -> Scribe {
        let models = Names::models(&settings.model, &settings.models);
        Scribe { name, endpoint, settings, models }
    }

    fn query(&self, rate: u32, hints: &Hints) -> Result<Vec<(String, String)>, EngineError> {
        let (model, format) = (self.model(hints)?, format!("pcm_{rate}"));
        let language = match hints.language.as_deref() {
            Some(tag) => {
                let usual = language(tag)?;
                self.settings.languages.of(tag, |_| usual)
            }
            None => None,
        };
        let ours = [("model_id", model.as_str()), ("audio_format", &format), ("commit_strategy", "manual")];
        let ours = ours.into_iter().chain(language.as_deref().map(|language| ("language_code", language)));
        let terms = terms::of_scribe(hints).map(|term| ("keyterms", term));
        let terms = terms.filter(|(name, _)| !self.settings.extra.names().any(|extra| extra == *name));
        let ours = ours.chain(terms);
        let mut query: Vec<_> = ours.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        query.extend(self.settings.extra.query_fields());
        Ok(query)
    }

    async fn open(&self, rate: u32, hints: &Hints) -> Result<LiveConnection, EngineError> {
        let query = self.query(rate, hints)?;
        let mut socket = self.endpoint.connect("/speech-to-text/realtime", &query).await?;
        self.until_started(&mut socket).await?;
        let dialogue = Committing { endpoint: self.endpoint.clone(), rate };
        Ok(LiveConnection { endpoint: self.endpoint.clone(), socket, dialogue: Box::new(dialogue) })
    }

    /// The caller limits the time.
    async fn until_started(&self, socket: &mut Socket) -> Result<(), EngineError> {
        loop {
            let text = self.endpoint.next_text(socket).await?;
            if message(&self.endpoint, &text)? == ScribeMessage::SessionStarted {
                return Ok(());
            }
        }
    }
}

/// The languages of Scribe, which refuses others and recognises the language without one: the 99 that
/// <https://elevenlabs.io/docs/overview/capabilities/speech-to-text> names (`fern/snippets/v1-scribe-model-languages.mdx` in
/// elevenlabs/elevenlabs-docs of 2025-08-25) by their codes of ISO 639-3, here by those of ISO 639-1 where they have one. For
/// version 2 the vendor states "90+" languages without a list; pipecat of 2026-08-21 sends these 99.
const LANGUAGES: [&str; 99] = [
    "af", "am", "ar", "as", "ast", "az", "be", "bg", "bn", "bs", "ca", "ceb", "cs", "cy", "da", "de", "el",
    "en", "es", "et", "fa", "ff", "fi", "fil", "fr", "ga", "gl", "gu", "ha", "he", "hi", "hr", "hu", "hy",
    "id", "ig", "is", "it", "ja", "jv", "ka", "kea", "kk", "km", "kn", "ko", "ku", "ky", "lb", "lg", "ln",
    "lo", "lt", "luo", "lv", "mi", "mk", "ml", "mn", "mr", "ms", "mt", "my", "ne", "nl", "no", "nso", "ny",
    "oc", "or", "pa", "pl", "ps", "pt", "ro", "ru", "sd", "sk", "sl", "sn", "so", "sr", "sv", "sw", "ta",
    "te", "tg", "th", "tr", "uk", "umb", "ur", "uz", "vi", "wo", "xh", "yue", "zh", "zu",
];

/// Scribe's code of a tag. None for a language that it does not know.
///
/// # Errors
/// Permanent: it is no language tag.
fn language(tag: &str) -> Result<Option<String>, EngineError> {
    Ok(match code(tag)?.as_str() {
        "tl" => Some("fil".to_owned()),
        _ => known(tag, &LANGUAGES),
    })
}

impl Protocol for Scribe {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn model(&self, hints: &Hints) -> Result<String, EngineError> {
        let model = hints.model.as_deref().unwrap_or(&self.settings.model);
        self.models.check(model).map_err(|error| EngineError::name("model", &error))?;
        Ok(model.to_owned())
    }

    fn connect<'a>(
        &'a self,
        rate: u32,
        hints: &'a Hints,
    ) -> BoxFuture<'a, Result<LiveConnection, EngineError>> {
        self.open(rate, hints).boxed()
    }
}

struct Committing {
    endpoint: SocketEndpoint,
    rate: u32,
}

impl Dialogue for Committing {
    fn write(&mut self, frame: &Frame) -> Message {
        let (audio, commit) = match frame {
            Frame::Audio(samples) => (BASE64_STANDARD.encode(linear16(samples)), false),
            Frame::Commit => (String::new(), true),
        };
        let chunk = json!({
            "message_type": "input_audio_chunk", "audio_base_64": audio, "commit": commit, "sample_rate": self.rate,
        });
        Message::text(chunk.to_string())
    }

    fn read(&mut self, text: &str) -> Result<Vec<TranscriptEvent>, EngineError> {
        Ok(match message(&self.endpoint, text)? {
            ScribeMessage::Partial { text } => vec![TranscriptEvent::Interim(text)],
            ScribeMessage::Committed { text } => {
                vec![TranscriptEvent::Final(text), TranscriptEvent::Committed]
            }
            ScribeMessage::SessionStarted | ScribeMessage::Other => Vec::new(),
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum ScribeMessage {
    SessionStarted,
    Partial { text: String },
    Committed { text: String },
    Other,
}

#[derive(Deserialize)]
struct RawMessage {
    message_type: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    error: String,
}

/// Reads a message; one with an error ends the connection.
fn message(endpoint: &SocketEndpoint, text: &str) -> Result<ScribeMessage, EngineError> {
    let raw: RawMessage = serde_json::from_str(text)
        .map_err(|error| EngineError::Temporary(format!("no message of Scribe: {error}")))?;
    let status = match raw.message_type.as_str() {
        "session_started" => return Ok(ScribeMessage::SessionStarted),
        "partial_transcript" => return Ok(ScribeMessage::Partial { text: raw.text }),
        "committed_transcript" => return Ok(ScribeMessage::Committed { text: raw.text }),
        "auth_error" => 401,
        "quota_exceeded" => 402,
        "unaccepted_terms_error" => 403,
        "input_error" | "chunk_size_exceeded" => 400,
        "rate_limited" | "commit_throttled" => 429,
        "error"
        | "queue_overflow"
        | "resource_exhausted"
        | "session_time_limit_exceeded"
        | "insufficient_audio_activity"
        | "transcriber_error" => 500,
        _ => return Ok(ScribeMessage::Other),
    };
    Err(endpoint.reported(status, &json!({ "error": { "message": raw.error, "code": raw.message_type } })))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::engines::core::{FailureReason, openai};

    fn engine(settings: &str) -> Scribe {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = openai::Settings { base_url: "http://127.0.0.1:1/v1".into(), ..Default::default() };
        let endpoint = SocketEndpoint::new(&server, AUTH).expect("an endpoint");
        Scribe::new("scribe".into(), endpoint, toml::from_str(settings).expect("settings"))
    }

    /// Made once: that reads the authorities of the system.
    static ENDPOINT: LazyLock<SocketEndpoint> = LazyLock::new(|| engine("").endpoint);

    fn dialogue() -> Committing {
        Committing { endpoint: ENDPOINT.clone(), rate: 8_000 }
    }

    #[test]
    fn the_query_has_rate_language_and_further_parameters() {
        let hints =
            Hints { language: Some("de-AT".into()), key_terms: ["Zoë".into()].into(), ..Hints::default() };
        let query = engine("extra = { keyterms = [\"Ada\", \"B\"] }").query(16_000, &hints).expect("a query");
        assert_eq!(
            serde_urlencoded::to_string(query).expect("text"),
            "model_id=scribe_v2_realtime&audio_format=pcm_16000&commit_strategy=manual&language_code=de&keyterms=Ada\
             &keyterms=B"
        );
        let query = engine("").query(16_000, &hints).expect("a query");
        assert_eq!(query.last(), Some(&("keyterms".to_owned(), "Zoë".to_owned())));
    }

    #[test]
    fn a_language_that_scribe_does_not_know_is_left_out() {
        for (tag, expected) in [
            ("de-AT", Some("de")),
            ("nn", Some("no")),
            ("fil-PH", Some("fil")),
            ("yue-HK", Some("yue")),
            ("cmn", Some("zh")),
            ("la", None),
        ] {
            assert_eq!(language(tag), Ok(expected.map(str::to_owned)), "{tag}");
        }
        assert!(language("../x").is_err());
        let hints = Hints { language: Some("la".into()), ..Hints::default() };
        let query = engine("").query(8_000, &hints).expect("a query");
        assert!(!query.iter().any(|(name, _)| name == "language_code"), "{query:?}");
    }

    #[test]
    fn audio_and_commits_are_chunks() {
        let written = |frame: Frame| -> serde_json::Value {
            serde_json::from_str(dialogue().write(&frame).to_text().expect("text")).expect("JSON")
        };
        let chunk = |audio: &str, commit: bool| json!({ "message_type": "input_audio_chunk", "audio_base_64": audio, "commit": commit, "sample_rate": 8_000 });
        assert_eq!(written(Frame::Audio([1, -1].into())), chunk("AQD//w==", false));
        assert_eq!(written(Frame::Commit), chunk("", true));
    }

    #[test]
    fn messages_are_read() {
        let read = |text: &str| dialogue().read(text);
        let partial = read(r#"{"message_type":"partial_transcript","text":"We"}"#);
        assert_eq!(partial, Ok(vec![TranscriptEvent::Interim("We".into())]));
        let committed = read(r#"{"message_type":"committed_transcript","text":"We open."}"#);
        assert_eq!(
            committed,
            Ok(vec![TranscriptEvent::Final("We open.".into()), TranscriptEvent::Committed])
        );
        assert_eq!(read(r#"{"message_type":"committed_transcript_entities"}"#), Ok(Vec::new()));
        for (kind, reason) in [
            ("auth_error", FailureReason::Auth),
            ("quota_exceeded", FailureReason::Quota),
            ("rate_limited", FailureReason::Busy),
            ("input_error", FailureReason::Refused),
            ("session_time_limit_exceeded", FailureReason::Unavailable),
        ] {
            let text = format!(r#"{{"message_type":"{kind}","error":"no"}}"#);
            assert_eq!(read(&text).map_err(|error| error.reason()), Err(reason), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            let _ = dialogue().read(&text);
        }
    }
}
