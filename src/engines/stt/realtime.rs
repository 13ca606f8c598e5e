//! Transcription by OpenAI's Realtime API.
//!
//! <https://developers.openai.com/api/docs/guides/realtime-transcription>: `GET /v1/realtime?intent=transcription`, then JSON
//! messages both ways, audio in base64. Detection of turns by the server is off: the end of an utterance commits the audio,
//! which becomes an item. Items are transcribed side by side, so a later one may be complete first.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::items::CommittedItems;
use super::live::{Dialogue, FINAL_TIMEOUT_MS, Frame, LiveConnection, Protocol, TranscriptEvent};
use super::{Hints, terms};
use crate::audio::codec::{Encoder, Format, MAX_PAYLOAD};
use crate::audio::linear16;
use crate::audio::resample::Stream;
use crate::engines::core::EngineError;
use crate::engines::core::extra::Extra;
use crate::engines::core::languages::LanguageCodes;
use crate::engines::core::server::Auth;
use crate::engines::core::websocket::{Socket, SocketEndpoint};
use crate::names::Names;

/// How requests carry the key.
pub const AUTH: Auth = Auth::Scheme("Bearer");
/// The rate of `audio/pcm`, the only one.
pub(in crate::engines) const PCM_RATE: u32 = 24_000;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The model of profiles that name none. Default `gpt-live-transcribe`.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// How long the last words of an utterance may take after its end, in milliseconds. Then the fallback gets the utterance. Default 2000.
    pub final_timeout_ms: u64,
    /// The vendor's codes of languages, by BCP 47 tag, in place of the built-in ones. None by default.
    pub languages: LanguageCodes,
    /// Further fields of the session's `transcription`, such as `prompt`, `keywords` and `delay`. None by default.
    pub extra: Extra,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "gpt-live-transcribe".into(),
            models: Vec::new(),
            final_timeout_ms: FINAL_TIMEOUT_MS,
            languages: LanguageCodes::default(),
            extra: Extra::default(),
        }
    }
}

pub struct Realtime {
    name: Arc<str>,
    endpoint: SocketEndpoint,
    settings: Settings,
    models: Names,
}

impl Realtime {
    pub fn new(name: Arc<str>, endpoint: SocketEndpoint, settings: Settings) -> Realtime {
        let models = Names::models(&settings.model, &settings.models);
        Realtime { name, endpoint, settings, models }
    }

    /// The message that configures the session.
    fn update(&self, rate: u32, hints: &Hints) -> Result<String, EngineError> {
        let mut transcription = transcription(&self.model(hints)?, hints, &self.settings.languages)?;
        self.settings.extra.merge_into(&mut transcription);
        let format = RealtimeEncoding::of(rate).format();
        let input = json!({ "format": format, "transcription": transcription, "turn_detection": null });
        let session = json!({ "type": "transcription", "audio": { "input": input } });
        Ok(json!({ "type": "session.update", "session": session }).to_string())
    }

    async fn open(&self, rate: u32, hints: &Hints) -> Result<LiveConnection, EngineError> {
        let update = self.update(rate, hints)?;
        let query = [("intent".to_owned(), "transcription".to_owned())];
        let mut socket = self.endpoint.connect("/realtime", &query).await?;
        socket.send(Message::text(update)).await.map_err(|error| self.endpoint.broken(error))?;
        self.until_configured(&mut socket).await?;
        let dialogue = Transcribing::new(self.endpoint.clone(), rate);
        Ok(LiveConnection { endpoint: self.endpoint.clone(), socket, dialogue: Box::new(dialogue) })
    }

    /// The caller limits the time.
    async fn until_configured(&self, socket: &mut Socket) -> Result<(), EngineError> {
        loop {
            let text = self.endpoint.next_text(socket).await?;
            if let RealtimeEvent::SessionUpdated = event(&self.endpoint, &text)? {
                return Ok(());
            }
        }
    }
}

impl Protocol for Realtime {
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

/// The settings of the transcription of the caller's speech by `model`.
pub(in crate::engines) fn transcription(
    model: &str,
    hints: &Hints,
    codes: &LanguageCodes,
) -> Result<Value, EngineError> {
    let mut transcription = json!({ "model": model });
    if !hints.languages.is_empty() && terms::has_keywords(model) {
        let languages = hints.languages.iter().map(|tag| codes.by_iso(tag)).filter_map(Result::transpose);
        transcription["languages"] = json!(languages.collect::<Result<Vec<String>, _>>()?);
    } else if let Some(language) =
        hints.language.as_deref().map(|tag| codes.by_iso(tag)).transpose()?.flatten()
    {
        // The newer models take a list in place of the one language.
        match terms::has_keywords(model) {
            true => transcription["languages"] = json!([language]),
            false => transcription["language"] = json!(language),
        }
    }
    let keywords: Vec<&str> = terms::keywords(hints).collect();
    if terms::has_keywords(model) && !keywords.is_empty() {
        transcription["keywords"] = json!(keywords);
    }
    Ok(transcription)
}

/// The form in which a session takes and sends audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engines) enum RealtimeEncoding {
    Mulaw,
    /// At [`PCM_RATE`].
    Pcm,
}

impl RealtimeEncoding {
    /// The encoding for audio at `rate` samples a second.
    pub fn of(rate: u32) -> RealtimeEncoding {
        if rate == Format::Ulaw.rate() { RealtimeEncoding::Mulaw } else { RealtimeEncoding::Pcm }
    }

    /// Its name in the session's settings.
    pub fn format(self) -> Value {
        match self {
            RealtimeEncoding::Mulaw => json!({ "type": "audio/pcmu" }),
            RealtimeEncoding::Pcm => json!({ "type": "audio/pcm", "rate": PCM_RATE }),
        }
    }
}

/// Converts samples for a session.
pub(in crate::engines) struct SessionEncoder {
    encoding: RealtimeEncoding,
    resampler: Stream,
}

impl SessionEncoder {
    /// For audio at `rate` samples a second.
    pub fn new(rate: u32) -> SessionEncoder {
        SessionEncoder { encoding: RealtimeEncoding::of(rate), resampler: Stream::new(rate, PCM_RATE) }
    }

    pub fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        match self.encoding {
            RealtimeEncoding::Mulaw => mulaw(samples),
            RealtimeEncoding::Pcm => {
                let mut converted = Vec::new();
                self.resampler.push(samples, &mut converted);
                linear16(&converted)
            }
        }
    }
}

struct Transcribing {
    endpoint: SocketEndpoint,
    encoder: SessionEncoder,
    items: CommittedItems,
}

impl Transcribing {
    fn new(endpoint: SocketEndpoint, rate: u32) -> Transcribing {
        Transcribing { endpoint, encoder: SessionEncoder::new(rate), items: CommittedItems::default() }
    }
}

impl Dialogue for Transcribing {
    fn write(&mut self, frame: &Frame) -> Message {
        let event = match frame {
            Frame::Audio(samples) => {
                let audio = BASE64_STANDARD.encode(self.encoder.encode(samples));
                json!({ "type": "input_audio_buffer.append", "audio": audio })
            }
            Frame::Commit => json!({ "type": "input_audio_buffer.commit" }),
        };
        Message::text(event.to_string())
    }

    fn read(&mut self, text: &str) -> Result<Vec<TranscriptEvent>, EngineError> {
        match event(&self.endpoint, text)? {
            RealtimeEvent::Committed { item_id } => Ok(self.items.committed(item_id)),
            RealtimeEvent::Delta { item_id, delta } => Ok(self.items.delta(item_id, &delta)),
            RealtimeEvent::Completed { item_id, transcript } => Ok(self.items.completed(item_id, transcript)),
            RealtimeEvent::SessionUpdated
            | RealtimeEvent::Error { .. }
            | RealtimeEvent::Failed { .. }
            | RealtimeEvent::Other => Ok(Vec::new()),
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum RealtimeEvent {
    #[serde(rename = "session.updated")]
    SessionUpdated,
    #[serde(rename = "input_audio_buffer.committed")]
    Committed { item_id: String },
    #[serde(rename = "conversation.item.input_audio_transcription.delta")]
    Delta {
        item_id: String,
        #[serde(default)]
        delta: String,
    },
    #[serde(rename = "conversation.item.input_audio_transcription.completed")]
    Completed {
        item_id: String,
        #[serde(default)]
        transcript: String,
    },
    #[serde(rename = "conversation.item.input_audio_transcription.failed")]
    Failed { error: Value },
    #[serde(rename = "error")]
    Error { error: Value },
    #[serde(other)]
    Other,
}

/// Reads an event. After an error it is unknown which audio was taken, so every one ends the connection.
fn event(endpoint: &SocketEndpoint, text: &str) -> Result<RealtimeEvent, EngineError> {
    let event = serde_json::from_str(text)
        .map_err(|error| EngineError::Temporary(format!("no message of the Realtime API: {error}")))?;
    match event {
        RealtimeEvent::Error { error } => {
            Err(endpoint.reported(status_of(&error), &json!({ "error": error })))
        }
        RealtimeEvent::Failed { error } => Err(endpoint.reported(500, &json!({ "error": error }))),
        event => Ok(event),
    }
}

/// The status of a response over HTTP that would have this error.
pub(in crate::engines) fn status_of(error: &Value) -> u16 {
    let field = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    match (field("type"), field("code")) {
        (_, "invalid_api_key") | ("authentication_error", _) => 401,
        (_, "model_not_found") => 404,
        (_, "rate_limit_exceeded" | "insufficient_quota") => 429,
        ("server_error", _) | (_, "session_expired") => 500,
        _ => 400,
    }
}

/// Samples at 8 kHz in G.711 mu-law.
fn mulaw(samples: &[i16]) -> Vec<u8> {
    let (mut encoder, mut payload) = (Encoder::new(Format::Ulaw), [0; MAX_PAYLOAD]);
    let mut bytes = Vec::with_capacity(samples.len());
    for piece in samples.chunks(Format::Ulaw.frame_len()) {
        let len = encoder.encode(piece, &mut payload);
        bytes.extend_from_slice(&payload[..len]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::engines::core::{FailureReason, openai};

    fn engine(settings: &str) -> Realtime {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = openai::Settings { base_url: "http://127.0.0.1:1/v1".into(), ..Default::default() };
        let endpoint = SocketEndpoint::new(&server, AUTH).expect("an endpoint");
        Realtime::new("live".into(), endpoint, toml::from_str(settings).expect("settings"))
    }

    /// Made once: that reads the authorities of the system.
    static ENDPOINT: LazyLock<SocketEndpoint> = LazyLock::new(|| engine("").endpoint);

    fn dialogue() -> Transcribing {
        Transcribing::new(ENDPOINT.clone(), 8_000)
    }

    fn update(settings: &str, rate: u32) -> Value {
        let hints =
            Hints { language: Some("de-AT".into()), key_terms: ["Zoë".into()].into(), ..Hints::default() };
        serde_json::from_str(&engine(settings).update(rate, &hints).expect("a message")).expect("JSON")
    }

    #[test]
    fn the_session_has_format_and_language_as_the_model_takes_them() {
        let expected = json!({ "type": "session.update", "session": { "type": "transcription", "audio": { "input": {
            "format": { "type": "audio/pcmu" }, "turn_detection": null,
            "transcription": { "model": "gpt-live-transcribe", "languages": ["de"], "keywords": ["Ada"] },
        } } } });
        assert_eq!(update("extra = { keywords = [\"Ada\"] }", 8_000), expected);
        let transcription = update("", 8_000)["session"]["audio"]["input"]["transcription"].take();
        assert_eq!(transcription["keywords"], json!(["Zoë"]));
        let input = update("model = \"gpt-realtime-whisper\"", 16_000)["session"]["audio"]["input"].take();
        assert_eq!(input["format"], json!({ "type": "audio/pcm", "rate": 24_000 }));
        assert_eq!(input["transcription"], json!({ "model": "gpt-realtime-whisper", "language": "de" }));
    }

    #[test]
    fn items_are_reported_in_the_order_of_the_audio() {
        let mut dialogue = dialogue();
        let mut read = |text: &str| dialogue.read(text).expect("a message");
        let item = "conversation.item.input_audio_transcription";
        let delta = |id: &str, delta: &str| {
            format!(r#"{{"type":"{item}.delta","item_id":"{id}","delta":"{delta}"}}"#)
        };
        let committed = |id: &str| format!(r#"{{"type":"input_audio_buffer.committed","item_id":"{id}"}}"#);
        let completed = |id: &str, text: &str| {
            format!(r#"{{"type":"{item}.completed","item_id":"{id}","transcript":"{text}"}}"#)
        };
        assert_eq!(read(&delta("a", "We ")), [TranscriptEvent::Interim("We ".into())]);
        assert_eq!(read(&delta("a", "open")), [TranscriptEvent::Interim("We open".into())]);
        assert_eq!(read(&committed("a")), []);
        assert_eq!(read(&delta("b", "At")), [], "the first item is not complete");
        assert_eq!(read(&committed("b")), []);
        assert_eq!(read(&completed("b", "At nine.")), []);
        let both = ["We open.", "At nine."]
            .map(|text| [TranscriptEvent::Final(text.into()), TranscriptEvent::Committed]);
        assert_eq!(read(&completed("a", "We open.")), both.concat());
        // The transcript may be known before the commit is confirmed.
        assert_eq!(read(&completed("c", "Yes.")), []);
        assert_eq!(
            read(&committed("c")),
            [TranscriptEvent::Final("Yes.".into()), TranscriptEvent::Committed]
        );
    }

    #[test]
    fn errors_end_the_connection_with_the_vendors_reason() {
        for (code, reason) in [
            ("invalid_api_key", FailureReason::Auth),
            ("insufficient_quota", FailureReason::Quota),
            ("rate_limit_exceeded", FailureReason::Busy),
            ("input_audio_buffer_commit_empty", FailureReason::Refused),
        ] {
            let text = format!(r#"{{"type":"error","error":{{"type":"x","code":"{code}","message":"no"}}}}"#);
            assert_eq!(dialogue().read(&text).map_err(|error| error.reason()), Err(reason), "{code}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            let _ = dialogue().read(&text);
        }
    }
}
