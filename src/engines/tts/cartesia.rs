//! Speech by Cartesia over HTTP, or in contexts of a WebSocket ([`contexts`]).
//!
//! <https://docs.cartesia.ai/api-reference/tts/bytes>: `POST /tts/bytes`, answered with samples in chunks. Errors have a `message`.

mod contexts;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use super::contexts::{ContextClock, ContextPool, ContextSpeech, SpeechTransport};
use super::sound::{Bare, BareSpeech, Rate};
use super::{OpenSpeech, Pieces, Tts, Voice, response};
use crate::engines::core::EngineError;
use crate::engines::core::extra::Extra;
use crate::engines::core::languages::{LanguageCodes, known};
use crate::engines::core::openai::Endpoint;
use crate::engines::core::retry::Kind;
use crate::engines::core::server::Auth;
use crate::engines::core::usage::{Meter, Unit, characters};
use crate::engines::core::websocket::SocketEndpoint;
use crate::names::Names;

/// The default address.
pub const BASE_URL: &str = "https://api.cartesia.ai";
/// How requests carry the key.
pub const AUTH: Auth = Auth::Scheme("Bearer");
/// The header with the version of the API, and the version.
const VERSION: (&str, &str) = ("cartesia-version", "2026-08-14");

/// The languages of `sonic-3` and later: <https://docs.cartesia.ai/build-with-cartesia/tts-models/latest>. Without one, the voice
/// speaks in its own language.
const LANGUAGES: [&str; 42] = [
    "ar", "bg", "bn", "cs", "da", "de", "el", "en", "es", "fi", "fr", "gu", "he", "hi", "hr", "hu", "id",
    "it", "ja", "ka", "kn", "ko", "ml", "mr", "ms", "nl", "no", "pa", "pl", "pt", "ro", "ru", "sk", "sv",
    "ta", "te", "th", "tl", "tr", "uk", "vi", "zh",
];

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default `sonic-3`.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// The id of the voice of profiles that name none. Default: one of Cartesia's own.
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
    /// Further fields of the request, such as `generation_config`. None by default.
    pub extra: Extra,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "sonic-3".into(),
            models: Vec::new(),
            voice: "694f9389-aac1-45b6-b726-9d9369183238".into(),
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

/// The voices that settings and profiles may name: ids.
pub fn voices() -> Names {
    Names::Token
}

pub struct Cartesia {
    name: Arc<str>,
    endpoint: Endpoint,
    /// Where the transport is the WebSocket.
    contexts: Option<ContextPool>,
    settings: Settings,
    models: Names,
}

impl Cartesia {
    pub fn new(name: Arc<str>, endpoint: Endpoint, settings: Settings) -> Cartesia {
        let models = Names::models(&settings.model, &settings.models);
        Cartesia { name, endpoint, contexts: None, settings, models }
    }

    /// Speaks over WebSockets instead.
    #[must_use]
    pub fn over(self, socket: SocketEndpoint) -> Cartesia {
        let contexts = ContextPool::new(socket, Arc::new(contexts::SonicProtocol));
        Cartesia { contexts: Some(contexts), ..self }
    }

    fn model<'a>(&'a self, voice: &'a Voice) -> &'a str {
        voice.model.as_deref().unwrap_or(&self.settings.model)
    }

    fn format(&self, voice: &Voice) -> BareSpeech {
        self.settings.format.requested(self.settings.rate, voice.rate)
    }

    /// The body of a request.
    ///
    /// # Errors
    /// The model or the voice is not allowed.
    fn body(&self, text: &str, voice: &Voice) -> Result<Value, EngineError> {
        let model = self.model(voice);
        let id = voice.name.as_deref().unwrap_or(&self.settings.voice);
        self.models.check(model).map_err(|error| EngineError::name("model", &error))?;
        voices().check(id).map_err(|error| EngineError::name("voice", &error))?;
        let format = output_format(self.format(voice));
        let mut body = json!({
            "model_id": model, "transcript": text, "voice": { "id": id }, "output_format": format,
        });
        let language = |tag: &str| self.settings.languages.of(tag, |tag| known(tag, &LANGUAGES));
        if let Some(code) = voice.language.as_deref().and_then(language) {
            body["language"] = code.into();
        }
        self.settings.extra.merge_into(&mut body);
        Ok(body)
    }

    async fn request(&self, text: Arc<str>, voice: Voice, meter: Meter) -> Result<Pieces, EngineError> {
        let (body, speech) = (self.body(text.trim(), &voice)?, self.format(&voice));
        let mut charge = meter.charge(Kind::Tts, &self.name, self.model(&voice));
        charge.set(Unit::Characters, characters(text.trim()));
        if let Some(pool) = &self.contexts {
            let messages = [contexts::message(body, self.settings.partial_text)];
            let clock = ContextClock::new(meter.timing.clone(), speech);
            let (bytes, _) = charge.settle(pool.speak(&contexts::address(), &messages, clock).await)?;
            return Ok(speech.clips(bytes));
        }
        let (name, version) = VERSION;
        let request = self.endpoint.post("/tts/bytes").header(name, version).json(&body);
        let (answer, _) = charge.settle(self.endpoint.send(request).await)?;
        response::stated(&self.endpoint, answer, speech.into()).await
    }

    /// Opens a context for a text in parts. Its first message is that with the first words.
    async fn open_context(&self, voice: Voice, meter: Meter) -> Result<Box<dyn OpenSpeech>, EngineError> {
        let Some(pool) = &self.contexts else {
            return Err(EngineError::Permanent("parts of a text need the WebSocket".into()));
        };
        let (body, speech) = (self.body("", &voice)?, self.format(&voice));
        let charge = meter.charge(Kind::Tts, &self.name, self.model(&voice));
        let clock = ContextClock::new(meter.timing.clone(), speech);
        let (context, charge) = charge.settle(pool.open_context(&contexts::address(), &[], clock).await)?;
        Ok(Box::new(ContextSpeech::new(context, contexts::words(body), speech, charge)))
    }
}

fn output_format(speech: BareSpeech) -> Value {
    let encoding = match speech {
        BareSpeech::Pcm(_) => "pcm_s16le",
        BareSpeech::Mulaw => "pcm_mulaw",
    };
    json!({ "container": "raw", "encoding": encoding, "sample_rate": speech.rate() })
}

impl Tts for Cartesia {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn takes_parts(&self) -> bool {
        self.contexts.is_some() && self.settings.partial_text
    }

    fn open(&self, voice: Voice, meter: Meter) -> BoxFuture<'_, Result<Box<dyn OpenSpeech>, EngineError>> {
        self.open_context(voice, meter).boxed()
    }

    fn connect(&self, _voice: Voice) -> BoxFuture<'_, ()> {
        async move {
            match &self.contexts {
                Some(pool) => pool.warm_up(&contexts::address()).await,
                None => self.endpoint.connect().await,
            }
        }
        .boxed()
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
    use crate::engines::core::FailureReason;
    use crate::engines::core::vendor::{Step, Vendor, answer, begun, chunked};

    async fn spoken(
        steps: Vec<Step>,
        settings: &str,
        voice: Voice,
    ) -> (Result<Vec<Clip>, EngineError>, String) {
        let vendor = Vendor::start(vec![steps]).await;
        let settings = toml::from_str(settings).expect("settings");
        let engine = Cartesia::new("cartesia".into(), vendor.endpoint(), settings);
        let clips = match engine.speak(" Hello there. ".into(), voice, Meter::default()).await {
            Ok(pieces) => pieces.collect::<Vec<_>>().await.into_iter().collect(),
            Err(error) => Err(error),
        };
        (clips, vendor.requests().pop().unwrap_or_default())
    }

    fn body_of(request: &str) -> Value {
        serde_json::from_str(request.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON")
    }

    #[tokio::test]
    async fn samples_are_requested_in_the_configured_encoding() {
        let voice = Voice { language: Some("de-AT".into()), name: Some("v-1".into()), ..Voice::default() };
        let pcm = [1i16, 2, -3].map(i16::to_le_bytes).concat();
        let settings = "extra = { generation_config = { speed = 1.1 } }";
        let (clips, request) = spoken(chunked(&[&pcm[..3], &pcm[3..]]), settings, voice).await;
        assert_eq!(clips.expect("a speech"), [Clip::new(16_000, [1, 2, -3])]);
        assert!(request.starts_with("POST /tts/bytes HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("cartesia-version: 2026-08-14"), "{request}");
        let format = json!({ "container": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000 });
        let expected = json!({
            "model_id": "sonic-3", "transcript": "Hello there.", "voice": { "id": "v-1" }, "language": "de",
            "output_format": format, "generation_config": { "speed": 1.1 },
        });
        assert_eq!(body_of(&request), expected);

        let mulaw = chunked(&[&[0x80, 0x00]]);
        let (clips, request) = spoken(mulaw, "format = \"mulaw\"", Voice::default()).await;
        assert_eq!(clips.expect("a speech"), [Clip::new(8_000, [32_124, -32_124])]);
        let format = json!({ "container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8_000 });
        assert_eq!(body_of(&request)["output_format"], format);
    }

    #[tokio::test]
    async fn errors_state_the_vendors_reason() {
        for (head, body, reason, words) in [
            (
                "401 X",
                r#"{"title":"Unauthorized","message":"Invalid API key"}"#,
                FailureReason::Auth,
                "Invalid API key",
            ),
            ("402 X", r#"{"message":"Quota exceeded"}"#, FailureReason::Quota, "Quota"),
            ("429 X", r#"{"message":"Too many concurrent requests"}"#, FailureReason::Busy, "concurrent"),
            ("502 X", "<html>", FailureReason::Unavailable, "HTTP 502"),
        ] {
            let error = spoken(answer(head, body), "", Voice::default()).await.0.expect_err(head);
            assert_eq!(error.reason(), reason, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        let mut reset = begun(&[&[0; 20]]);
        reset.push(Step::Reset);
        let error = spoken(reset, "", Voice::default()).await.0.expect_err("a reset");
        assert!(matches!(error, EngineError::Temporary(_)), "{error}");
    }

    #[tokio::test]
    async fn names_that_are_no_ids_are_not_sent() {
        for (voice, model) in [("../x", None), ("a b", None), ("abc", Some("sonic-9"))] {
            let (name, model) = (Some(voice.into()), model.map(Into::into));
            let voice = Voice { name, model, ..Voice::default() };
            let (answer, request) = spoken(vec![], "", voice).await;
            assert!(answer.is_err_and(|error| !error.worth_retrying()) && request.is_empty());
        }
    }
}
