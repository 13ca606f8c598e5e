//! Speech by ElevenLabs over its HTTP stream, or in contexts of a WebSocket ([`contexts`]).
//!
//! <https://elevenlabs.io/docs/api-reference/text-to-speech/stream>: `POST /v1/text-to-speech/{voice}/stream`, answered with
//! samples in chunks. Errors are `{"detail": {"status", "message"}}`.

mod contexts;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use super::contexts::{ContextClock, ContextPool, ContextSpeech, ContextText, SpeechTransport};
use super::sound::{Bare, BareSpeech, Rate};
use super::{OpenSpeech, Pieces, Tts, Voice, response};
use crate::engines::core::EngineError;
use crate::engines::core::extra::Extra;
use crate::engines::core::languages::{LanguageCodes, code, known};
use crate::engines::core::openai::Endpoint;
use crate::engines::core::retry::Kind;
use crate::engines::core::server::Auth;
use crate::engines::core::usage::{Meter, Unit, characters};
use crate::engines::core::websocket::SocketEndpoint;
use crate::names::Names;
use contexts::ContextOrder;

/// The default address.
pub const BASE_URL: &str = "https://api.elevenlabs.io/v1";
/// How requests carry the key.
pub const AUTH: Auth = Auth::Header("xi-api-key");

/// The languages of the models of version 2.5: <https://elevenlabs.io/docs/overview/models>. They refuse other codes; without
/// one they recognise the language of the text.
const LANGUAGES: [&str; 31] = [
    "ar", "bg", "cs", "da", "de", "el", "en", "es", "fi", "fr", "hi", "hr", "hu", "id", "it", "ja", "ko",
    "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sv", "ta", "tr", "uk", "vi", "zh",
];

/// ElevenLabs' code of a tag.
fn language_code(tag: &str) -> Option<String> {
    match code(tag).ok()?.as_str() {
        "tl" => Some("fil".to_owned()),
        _ => known(tag, &LANGUAGES),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default `eleven_flash_v2_5`, the fastest one.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// The id of the voice of profiles that name none. Default: one of ElevenLabs' own, George.
    pub voice: String,
    /// The longest text of one request, in characters; a longer one is spoken in parts. 500 by default.
    pub max_chars: usize,
    /// The requested encoding. `pcm` by default; `mulaw` is for calls of 8 kHz.
    pub format: Bare,
    /// Samples a second of `pcm`: 8000, 16000, 22050, 24000, 44100 or 48000. The call's by default, and 16000 for cached prompts.
    pub rate: Option<Rate>,
    /// `http` by default: a request for each speech. `websocket`: contexts of connections that stay open.
    pub transport: SpeechTransport,
    /// Sends the first clause of a reply word by word, and asks for the times of words. Needs `websocket`. Default false.
    pub partial_text: bool,
    /// The vendor's codes of languages, by BCP 47 tag, in place of the built-in ones. None by default.
    pub languages: LanguageCodes,
    /// Further fields of the request, such as `voice_settings` and `seed`. None by default.
    pub extra: Extra,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "eleven_flash_v2_5".into(),
            models: Vec::new(),
            voice: "JBFqnCBsd6RMkjVDRZzb".into(),
            max_chars: 500,
            format: Bare::Pcm,
            rate: None,
            transport: SpeechTransport::Http,
            partial_text: false,
            languages: LanguageCodes::default(),
            extra: Extra::default(),
        }
    }
}

/// The voices that settings and profiles may name: ids, which become part of a path.
pub fn voices() -> Names {
    Names::Token
}

pub struct ElevenLabs {
    name: Arc<str>,
    endpoint: Endpoint,
    /// Where the transport is the WebSocket.
    contexts: Option<ContextPool>,
    settings: Settings,
    models: Names,
}

impl ElevenLabs {
    pub fn new(name: Arc<str>, endpoint: Endpoint, settings: Settings) -> ElevenLabs {
        let models = Names::models(&settings.model, &settings.models);
        ElevenLabs { name, endpoint, contexts: None, settings, models }
    }

    /// Speaks over WebSockets instead.
    #[must_use]
    pub fn over(self, socket: SocketEndpoint) -> ElevenLabs {
        let contexts = ContextPool::new(socket, Arc::new(contexts::ElevenProtocol));
        ElevenLabs { contexts: Some(contexts), ..self }
    }

    /// The model and the id of a voice.
    ///
    /// # Errors
    /// One of them is not allowed.
    fn names<'a>(&'a self, voice: &'a Voice) -> Result<(&'a str, &'a str), EngineError> {
        let model = voice.model.as_deref().unwrap_or(&self.settings.model);
        let id = voice.name.as_deref().unwrap_or(&self.settings.voice);
        self.models.check(model).map_err(|error| EngineError::name("model", &error))?;
        voices().check(id).map_err(|error| EngineError::name("voice", &error))?;
        Ok((model, id))
    }

    fn format(&self, voice: &Voice) -> BareSpeech {
        self.settings.format.requested(self.settings.rate, voice.rate)
    }

    async fn request(&self, text: Arc<str>, voice: Voice, meter: Meter) -> Result<Pieces, EngineError> {
        let (model, id) = self.names(&voice)?;
        let speech = self.format(&voice);
        let body = self.body(text.trim(), model, voice.language.as_deref());
        let mut charge = meter.charge(Kind::Tts, &self.name, model);
        charge.set(Unit::Characters, characters(text.trim()));
        if let Some(pool) = &self.contexts {
            let ContextOrder { address, first } = self.order(id, speech, &body);
            let messages = [vec![first], contexts::words(text.trim(), ContextText::Rest)].concat();
            let clock = ContextClock::new(meter.timing.clone(), speech);
            let (bytes, _) = charge.settle(pool.speak(&address, &messages, clock).await)?;
            return Ok(speech.clips(bytes));
        }
        let request = self.endpoint.post(&format!("/text-to-speech/{id}/stream"));
        let request = request.query(&[("output_format", output_format(speech))]).json(&body);
        let (answer, _) = charge.settle(self.endpoint.send(request).await)?;
        response::stated(&self.endpoint, answer, speech.into()).await
    }

    fn order(&self, id: &str, speech: BareSpeech, body: &Value) -> ContextOrder {
        contexts::order(id, &output_format(speech), body, self.settings.partial_text)
    }

    /// Opens the WebSocket of a voice.
    async fn warm_up(&self, pool: &ContextPool, voice: Voice) {
        if let Ok((model, id)) = self.names(&voice) {
            let body = self.body("", model, voice.language.as_deref());
            pool.warm_up(&self.order(id, self.format(&voice), &body).address).await;
        }
    }

    /// Opens a context for a text in parts.
    async fn open_context(&self, voice: Voice, meter: Meter) -> Result<Box<dyn OpenSpeech>, EngineError> {
        let Some(pool) = &self.contexts else {
            return Err(EngineError::Permanent("parts of a text need the WebSocket".into()));
        };
        let (model, id) = self.names(&voice)?;
        let speech = self.format(&voice);
        let body = self.body("", model, voice.language.as_deref());
        let ContextOrder { address, first } = self.order(id, speech, &body);
        let charge = meter.charge(Kind::Tts, &self.name, model);
        let clock = ContextClock::new(meter.timing.clone(), speech);
        let (context, charge) = charge.settle(pool.open_context(&address, &[first], clock).await)?;
        Ok(Box::new(ContextSpeech::new(context, Box::new(contexts::words), speech, charge)))
    }

    /// Only the models of version 2.5 accept a language; they need it to read numbers and dates.
    fn body(&self, text: &str, model: &str, language: Option<&str>) -> Value {
        let mut body = json!({ "text": text, "model_id": model });
        let language = language.filter(|_| model.ends_with("_v2_5"));
        if let Some(code) = language.and_then(|tag| self.settings.languages.of(tag, language_code)) {
            body["language_code"] = code.into();
        }
        self.settings.extra.merge_into(&mut body);
        body
    }
}

fn output_format(speech: BareSpeech) -> String {
    match speech {
        BareSpeech::Pcm(rate) => format!("pcm_{}", rate.get()),
        BareSpeech::Mulaw => "ulaw_8000".into(),
    }
}

impl Tts for ElevenLabs {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn takes_parts(&self) -> bool {
        self.contexts.is_some() && self.settings.partial_text
    }

    fn open(&self, voice: Voice, meter: Meter) -> BoxFuture<'_, Result<Box<dyn OpenSpeech>, EngineError>> {
        self.open_context(voice, meter).boxed()
    }

    fn connect(&self, voice: Voice) -> BoxFuture<'_, ()> {
        match &self.contexts {
            Some(pool) => self.warm_up(pool, voice).boxed(),
            None => self.endpoint.connect().boxed(),
        }
    }

    fn speak(
        &self,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        self.request(text, voice, meter).boxed()
    }

    fn max_chars(&self) -> usize {
        self.settings.max_chars
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::audio::Clip;
    use crate::engines::core::vendor::{Step, Vendor, answer, begun, chunked};

    fn engine(vendor: &Vendor, settings: &str) -> ElevenLabs {
        ElevenLabs::new("eleven".into(), vendor.endpoint(), toml::from_str(settings).expect("settings"))
    }

    async fn spoken(
        steps: Vec<Step>,
        settings: &str,
        voice: Voice,
    ) -> (Result<Vec<Clip>, EngineError>, String) {
        let vendor = Vendor::start(vec![steps]).await;
        let engine = engine(&vendor, settings);
        let clips = match engine.speak("Hello there.".into(), voice, Meter::default()).await {
            Ok(pieces) => pieces.collect::<Vec<_>>().await.into_iter().collect(),
            Err(error) => Err(error),
        };
        (clips, vendor.requests().pop().unwrap_or_default())
    }

    #[tokio::test]
    async fn samples_are_requested_in_the_configured_encoding() {
        let voice = Voice { language: Some("de-AT".into()), ..Voice::default() };
        let pcm = [1i16, 2, -3].map(i16::to_le_bytes).concat();
        let (clips, request) = spoken(chunked(&[&pcm[..3], &pcm[3..]]), "extra = { seed = 7 }", voice).await;
        assert_eq!(clips.expect("a speech"), [Clip::new(16_000, [1, 2, -3])]);
        let path = "POST /text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream?output_format=pcm_16000 HTTP/1.1\r\n";
        assert!(request.starts_with(path), "{request}");
        let body: Value =
            serde_json::from_str(request.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
        let expected = json!({ "text": "Hello there.", "model_id": "eleven_flash_v2_5", "language_code": "de", "seed": 7 });
        assert_eq!(body, expected);

        let mulaw = chunked(&[&[0x80, 0x00]]);
        let settings = "format = \"mulaw\"\nmodel = \"eleven_multilingual_v2\"";
        let voice = Voice { language: Some("de".into()), name: Some("abc".into()), ..Voice::default() };
        let (clips, request) = spoken(mulaw, settings, voice).await;
        assert_eq!(clips.expect("a speech"), [Clip::new(8_000, [32_124, -32_124])]);
        assert!(request.starts_with("POST /text-to-speech/abc/stream?output_format=ulaw_8000 "), "{request}");
        assert!(!request.contains("language_code"), "{request}");
    }

    #[tokio::test]
    async fn errors_state_the_vendors_reason() {
        for (head, body, retried, words) in [
            (
                "401 Unauthorized",
                r#"{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}"#,
                false,
                "Invalid API key",
            ),
            (
                "401 Unauthorized",
                r#"{"detail":{"status":"quota_exceeded","message":"0 credits are left"}}"#,
                false,
                "0 credits are left",
            ),
            (
                "429 Too Many Requests",
                r#"{"detail":{"status":"too_many_concurrent_requests","message":"Too many"}}"#,
                true,
                "Too many",
            ),
            ("429 X", r#"{"detail":{"status":"system_busy","message":"Try again"}}"#, true, "Try again"),
            (
                "422 X",
                r#"{"detail":[{"loc":["body","text"],"msg":"field required"}]}"#,
                false,
                "field required",
            ),
            ("502 Bad Gateway", "<html>", true, "HTTP 502"),
        ] {
            let error = spoken(answer(head, body), "", Voice::default()).await.0.expect_err(head);
            assert_eq!(error.worth_retrying(), retried, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn another_format_garbage_and_a_broken_connection_are_errors() {
        let mp3 = answer("200 OK\r\nContent-Type: audio/mpeg", b"ID3\x04\0\0\0\0\0\0\0\0\0\0");
        let error = spoken(mp3, "", Voice::default()).await.0.expect_err("MP3");
        assert!(error.to_string().contains("MP3"), "{error}");
        let json = answer("200 OK\r\nContent-Type: application/json", r#"{"detail":"no sound today"}"#);
        let error = spoken(json, "", Voice::default()).await.0.expect_err("JSON");
        assert!(error.to_string().contains("no sound today"), "{error}");
        let mut reset = begun(&[&[0; 20]]);
        reset.push(Step::Reset);
        let error = spoken(reset, "", Voice::default()).await.0.expect_err("a reset");
        assert!(matches!(error, EngineError::Temporary(_)), "{error}");
    }

    #[tokio::test]
    async fn names_that_are_no_ids_are_not_sent() {
        let vendor = Vendor::start(vec![]).await;
        let engine = engine(&vendor, "");
        for (voice, model) in [("../x", None), ("a/b", None), ("a?b", None), ("abc", Some("eleven_v3"))] {
            let voice = Voice { name: Some(voice.into()), model: model.map(Into::into), ..Voice::default() };
            let answer = engine.speak("Hello.".into(), voice, Meter::default()).await;
            assert!(answer.is_err_and(|error| !error.worth_retrying()));
        }
        assert_eq!(vendor.requests().len(), 0);
    }

    #[tokio::test]
    async fn characters_are_counted_and_refusals_are_not() {
        let meter = Meter::default();
        let vendor = Vendor::start(vec![answer("401 X", "{}"), answer("200 OK", [0; 20])]).await;
        let engine = engine(&vendor, "");
        for _ in 0..2 {
            let _ = engine.speak(" Grüße. ".into(), Voice::default(), meter.clone()).await;
        }
        let counted: Vec<_> = meter.total().into_iter().map(|(item, count)| (item.unit, count)).collect();
        assert_eq!(counted, [(Unit::Requests, 1), (Unit::Characters, 6)]);
    }
}
