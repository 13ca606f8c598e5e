//! Speech by Deepgram Aura over its HTTP stream, or one after the other over a WebSocket ([`contexts`]).
//!
//! <https://developers.deepgram.com/reference/text-to-speech/speak-request>: `POST /v1/speak`, answered with samples in
//! chunks. A voice is a model, such as `aura-2-thalia-en`. Errors are `{"err_code", "err_msg"}` or `{"category", "message",
//! "details"}`.

mod contexts;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use super::contexts::{Address, ContextClock, ContextPool, ContextSpeech, ContextText, SpeechTransport};
use super::sound::{Bare, BareSpeech, Rate};
use super::{OpenSpeech, Pieces, Tts, Voice, response};
use crate::engines::core::EngineError;
use crate::engines::core::extra::Extra;
use crate::engines::core::openai::Endpoint;
use crate::engines::core::retry::Kind;
use crate::engines::core::server::Auth;
use crate::engines::core::usage::{Meter, Unit, characters};
use crate::engines::core::websocket::SocketEndpoint;
use crate::names::Names;

/// The default address.
pub const BASE_URL: &str = "https://api.deepgram.com/v1";
/// How requests carry the key.
pub const AUTH: Auth = Auth::Scheme("Token");

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The voice of profiles that name none, in its language. Default `aura-2-thalia-en`.
    pub voice: String,
    /// The longest text of one request, in characters, 2000 at most; a longer one is spoken in parts. 500 by default.
    pub max_chars: usize,
    /// The requested encoding. `pcm` by default; `mulaw` is for calls of 8 kHz.
    pub format: Bare,
    /// Samples a second of `pcm`: 8000, 16000, 24000, 32000 or 48000. The call's by default, and 16000 for cached prompts.
    pub rate: Option<Rate>,
    /// `http` by default: a request for each speech. `websocket`: connections that stay open, for one speech at a time.
    pub transport: SpeechTransport,
    /// Sends the first clause of a reply word by word. Needs `websocket`. Default false.
    pub partial_text: bool,
    /// Further parameters of the query, such as `speed`, `mip_opt_out` and, over `http`, `tag`. None by default.
    pub extra: Extra,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            voice: "aura-2-thalia-en".into(),
            max_chars: 500,
            format: Bare::Pcm,
            rate: None,
            transport: SpeechTransport::Http,
            partial_text: false,
            extra: Extra::default(),
        }
    }
}

/// The voices that settings and profiles may name.
pub fn voices() -> Names {
    Names::Token
}

/// The line of models that a voice belongs to, by which Deepgram bills: `aura-2` of `aura-2-thalia-en`, else `aura`.
fn line_of(voice: &str) -> String {
    let mut parts = voice.split('-');
    let line = parts.next().unwrap_or_default();
    match parts.next().filter(|version| version.bytes().all(|b| b.is_ascii_digit())) {
        Some(version) => format!("{line}-{version}"),
        None => line.to_owned(),
    }
}

pub struct Deepgram {
    name: Arc<str>,
    endpoint: Endpoint,
    /// Where the transport is the WebSocket.
    contexts: Option<ContextPool>,
    settings: Settings,
}

impl Deepgram {
    pub fn new(name: Arc<str>, endpoint: Endpoint, settings: Settings) -> Deepgram {
        Deepgram { name, endpoint, contexts: None, settings }
    }

    /// Speaks over WebSockets instead.
    #[must_use]
    pub fn over(self, socket: SocketEndpoint) -> Deepgram {
        let protocol = contexts::AuraProtocol { max_chars: self.max_chars() };
        Deepgram { contexts: Some(ContextPool::new(socket, Arc::new(protocol))), ..self }
    }

    /// The model of a voice.
    ///
    /// # Errors
    /// The voice is not allowed, or a model is named beside it.
    fn model<'a>(&'a self, voice: &'a Voice) -> Result<&'a str, EngineError> {
        if let Some(model) = &voice.model {
            Names::None.check(model).map_err(|error| EngineError::name("model", &error))?;
        }
        let name = voice.name.as_deref().unwrap_or(&self.settings.voice);
        voices().check(name).map_err(|error| EngineError::name("voice", &error))?;
        Ok(name)
    }

    fn format(&self, voice: &Voice) -> BareSpeech {
        self.settings.format.requested(self.settings.rate, voice.rate)
    }

    async fn request(&self, text: Arc<str>, voice: Voice, meter: Meter) -> Result<Pieces, EngineError> {
        let (model, speech) = (self.model(&voice)?, self.format(&voice));
        let mut charge = meter.charge(Kind::Tts, &self.name, &line_of(model));
        charge.set(Unit::Characters, characters(text.trim()));
        if let Some(pool) = &self.contexts {
            let messages = contexts::words(text.trim(), ContextText::Rest);
            let clock = ContextClock::new(meter.timing.clone(), speech);
            let (bytes, _) =
                charge.settle(pool.speak(&self.address(model, speech), &messages, clock).await)?;
            return Ok(speech.clips(bytes));
        }
        let query = self.query(model, speech, Some("none"));
        let request = self.endpoint.post("/speak").query(&query).json(&json!({ "text": text.trim() }));
        let (answer, _) = charge.settle(self.endpoint.send(request).await)?;
        response::stated(&self.endpoint, answer, speech.into()).await
    }

    /// Opens the WebSocket of a voice.
    async fn warm_up(&self, pool: &ContextPool, voice: Voice) {
        if let Ok(model) = self.model(&voice) {
            pool.warm_up(&self.address(model, self.format(&voice))).await;
        }
    }

    /// Takes a connection for a text in parts.
    async fn open_context(&self, voice: Voice, meter: Meter) -> Result<Box<dyn OpenSpeech>, EngineError> {
        let Some(pool) = &self.contexts else {
            return Err(EngineError::Permanent("parts of a text need the WebSocket".into()));
        };
        let (model, speech) = (self.model(&voice)?, self.format(&voice));
        let charge = meter.charge(Kind::Tts, &self.name, &line_of(model));
        let clock = ContextClock::new(meter.timing.clone(), speech);
        let opened = pool.open_context(&self.address(model, speech), &[], clock).await;
        let (context, charge) = charge.settle(opened)?;
        Ok(Box::new(ContextSpeech::new(context, Box::new(contexts::words), speech, charge)))
    }

    fn address(&self, model: &str, speech: BareSpeech) -> Address {
        contexts::address(self.query(model, speech, None))
    }

    /// The WebSocket has no containers.
    fn query(&self, model: &str, speech: BareSpeech, container: Option<&str>) -> Vec<(String, String)> {
        let encoding = match speech {
            BareSpeech::Pcm(_) => "linear16",
            BareSpeech::Mulaw => "mulaw",
        };
        let rate = speech.rate().to_string();
        let ours = [("model", model), ("encoding", encoding), ("sample_rate", &rate)];
        let ours = ours.into_iter().chain(container.map(|container| ("container", container)));
        let mut query: Vec<_> = ours.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        query.extend(self.settings.extra.query_fields());
        query
    }
}

impl Tts for Deepgram {
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
        self.settings.max_chars.min(contexts::MAX_CHARS)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::audio::Clip;
    use crate::engines::core::vendor::{Step, Vendor, answer, begun, chunked};

    fn engine(vendor: &Vendor, settings: &str) -> Deepgram {
        Deepgram::new("aura".into(), vendor.endpoint(), toml::from_str(settings).expect("settings"))
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
        let pcm = [1i16, 2, -3].map(i16::to_le_bytes).concat();
        let (clips, request) = spoken(
            chunked(&[&pcm[..3], &pcm[3..]]),
            "extra = { speed = 1.1, tag = [\"a b\", \"c\"] }",
            Voice::default(),
        )
        .await;
        assert_eq!(clips.expect("a speech"), [Clip::new(16_000, [1, 2, -3])]);
        let path = "POST /speak?model=aura-2-thalia-en&encoding=linear16&sample_rate=16000&container=none&speed=1.1\
                    &tag=a+b&tag=c HTTP/1.1\r\n";
        assert!(request.starts_with(path), "{request}");
        assert!(request.ends_with(r#"{"text":"Hello there."}"#), "{request}");

        let voice = Voice { name: Some("aura-2-julius-de".into()), ..Voice::default() };
        let (clips, request) = spoken(chunked(&[&[0x80, 0x00]]), "format = \"mulaw\"", voice).await;
        assert_eq!(clips.expect("a speech"), [Clip::new(8_000, [32_124, -32_124])]);
        let path =
            "POST /speak?model=aura-2-julius-de&encoding=mulaw&sample_rate=8000&container=none HTTP/1.1\r\n";
        assert!(request.starts_with(path), "{request}");
    }

    #[tokio::test]
    async fn errors_state_the_vendors_reason() {
        for (head, body, retried, words) in [
            (
                "401 Unauthorized",
                r#"{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials."}"#,
                false,
                "Invalid credentials.",
            ),
            (
                "400 Bad Request",
                r#"{"category":"INVALID_QUERY","message":"Failed to parse","details":"no such model"}"#,
                false,
                "Failed to parse",
            ),
            (
                "429 Too Many Requests",
                r#"{"err_code":"TOO_MANY_REQUESTS","err_msg":"Too many requests."}"#,
                true,
                "Too many requests.",
            ),
            (
                "402 Payment Required",
                r#"{"err_code":"ASR_PAYMENT_REQUIRED","err_msg":"No credits."}"#,
                false,
                "No credits.",
            ),
        ] {
            let error = spoken(answer(head, body), "", Voice::default()).await.0.expect_err(head);
            assert_eq!(error.worth_retrying(), retried, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn another_format_and_a_broken_connection_are_errors() {
        let mp3 = answer("200 OK\r\nContent-Type: audio/mpeg", b"ID3\x04\0\0\0\0\0\0\0\0\0\0");
        let error = spoken(mp3, "", Voice::default()).await.0.expect_err("MP3");
        assert!(error.to_string().contains("MP3"), "{error}");
        let mut reset = begun(&[&[0; 20]]);
        reset.push(Step::Reset);
        let error = spoken(reset, "", Voice::default()).await.0.expect_err("a reset");
        assert!(matches!(error, EngineError::Temporary(_)), "{error}");
    }

    #[tokio::test]
    async fn names_that_are_not_accepted_are_not_sent() {
        let vendor = Vendor::start(vec![]).await;
        let engine = engine(&vendor, "");
        for (voice, model) in
            [("aura&encoding=mp3", None), ("../x", None), ("aura-2-thalia-en", Some("aura-3"))]
        {
            let voice = Voice { name: Some(voice.into()), model: model.map(Into::into), ..Voice::default() };
            let answer = engine.speak("Hello.".into(), voice, Meter::default()).await;
            assert!(answer.is_err_and(|error| !error.worth_retrying()));
        }
        assert_eq!(vendor.requests().len(), 0);
    }

    #[tokio::test]
    async fn characters_are_counted_by_the_line_of_models() {
        let meter = Meter::default();
        let vendor = Vendor::start(vec![answer("200 OK", [0; 20]), answer("200 OK", [0; 20])]).await;
        let engine = engine(&vendor, "");
        for voice in ["aura-2-thalia-en", "aura-asteria-en"] {
            let voice = Voice { name: Some(voice.into()), ..Voice::default() };
            assert!(engine.speak("Hello.".into(), voice, meter.clone()).await.is_ok());
        }
        let total = meter.total();
        let counted: Vec<_> = total.iter().map(|(item, count)| (&*item.model, item.unit, *count)).collect();
        let expected = [
            ("aura", Unit::Requests, 1),
            ("aura", Unit::Characters, 6),
            ("aura-2", Unit::Requests, 1),
            ("aura-2", Unit::Characters, 6),
        ];
        assert_eq!(counted, expected);
    }
}
