//! Speech by OpenAI, or by a server with its API, streamed.
//!
//! <https://platform.openai.com/docs/api-reference/audio/createSpeech>. Responses are recognised by [`super::sound`]:
//! servers differ in format and rate.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use super::sound::{Rate, Requested, SpeechFormat};
use super::{Pieces, Tts, Voice, response};
use crate::engines::core::EngineError;
use crate::engines::core::extra::Extra;
use crate::engines::core::openai::Endpoint;
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{Meter, Unit, characters};
use crate::names::Names;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default `tts-1`.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// The voice of profiles that name none. Default `alloy`.
    pub voice: String,
    /// The longest text of one request, in characters; a longer one is spoken in parts. 500 by default.
    pub max_chars: usize,
    /// The format that is requested. `pcm` by default.
    pub format: SpeechFormat,
    /// Samples a second of answers without a WAV header. By default as `Content-Type` states, else 24000, and 8000 for
    /// `mulaw`.
    pub rate: Option<Rate>,
    /// Further fields of the request, such as `instructions` and `speed`; speaches has `sample_rate`. None by default.
    pub extra: Extra,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "tts-1".into(),
            models: Vec::new(),
            voice: "alloy".into(),
            max_chars: 500,
            format: SpeechFormat::Pcm,
            rate: None,
            extra: Extra::default(),
        }
    }
}

impl Settings {
    /// The models that profiles may choose.
    pub fn allowed_models(&self) -> Names {
        Names::models(&self.model, &self.models)
    }
}

/// The voices that settings and profiles may name.
pub fn voices() -> Names {
    Names::Token
}

pub struct OpenAiTts {
    name: Arc<str>,
    endpoint: Endpoint,
    settings: Settings,
    models: Names,
}

impl OpenAiTts {
    pub fn new(name: Arc<str>, endpoint: Endpoint, settings: Settings) -> OpenAiTts {
        let models = settings.allowed_models();
        OpenAiTts { name, endpoint, settings, models }
    }

    async fn request(&self, text: Arc<str>, voice: Voice, meter: Meter) -> Result<Pieces, EngineError> {
        let model = voice.model.as_deref().unwrap_or(&self.settings.model);
        let voice = voice.name.as_deref().unwrap_or(&self.settings.voice);
        self.models.check(model).map_err(|error| EngineError::name("model", &error))?;
        voices().check(voice).map_err(|error| EngineError::name("voice", &error))?;
        let body = self.body(text.trim(), model, voice);
        let mut charge = meter.charge(Kind::Tts, &self.name, model);
        charge.set(Unit::Characters, characters(text.trim()));
        let answer = self.endpoint.send(self.endpoint.post("/audio/speech").json(&body)).await;
        let (response, _) = charge.settle(answer)?;
        let requested = Requested { format: self.settings.format, rate: self.settings.rate };
        response::any(&self.endpoint, response, requested).await
    }

    fn body(&self, text: &str, model: &str, voice: &str) -> Value {
        let format = self.settings.format.as_str();
        let mut body = json!({ "model": model, "voice": voice, "input": text, "response_format": format });
        self.settings.extra.merge_into(&mut body);
        body
    }
}

impl Tts for OpenAiTts {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn connect(&self, _voice: Voice) -> BoxFuture<'_, ()> {
        self.endpoint.connect().boxed()
    }

    fn speak(
        &self,
        words: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        self.request(words, voice, meter).boxed()
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
    use crate::engines::core::retry;
    use crate::engines::core::vendor::{Step, Vendor, answer, begun, chunked};
    use crate::engines::tts::Resilient;

    type Sound = Vec<Result<Clip, EngineError>>;

    async fn spoken(answers: Vec<Vec<Step>>, words: &str) -> (Result<Sound, EngineError>, Vec<String>) {
        metered(answers, words, &Meter::default()).await
    }

    fn settings() -> Settings {
        Settings { models: vec!["tts-1-hd".into()], ..Settings::default() }
    }

    async fn metered(
        answers: Vec<Vec<Step>>,
        words: &str,
        meter: &Meter,
    ) -> (Result<Sound, EngineError>, Vec<String>) {
        let vendor = Vendor::start(answers).await;
        let retries = retry::Settings {
            timeout_ms: 500,
            retries: 2,
            budget_ms: 10_000,
            backoff_ms: 1,
            max_backoff_ms: 1,
            ..retry::Settings::default()
        };
        let engine = Resilient::new(
            Arc::new(OpenAiTts::new("openai".into(), vendor.endpoint(), settings())),
            retries,
            None,
        );
        let voice = Voice { model: Some("tts-1-hd".into()), ..Voice::default() };
        let sound = match engine.speak(words.into(), voice, meter.clone()).await {
            Ok(pieces) => Ok(pieces.collect().await),
            Err(error) => Err(error),
        };
        (sound, vendor.requests())
    }

    fn samples(sound: &Sound) -> Vec<i16> {
        sound.iter().flatten().flat_map(|clip| clip.samples.to_vec()).collect()
    }

    #[tokio::test]
    async fn requests_speech_and_reads_odd_pieces() {
        let (sound, requests) = spoken(vec![chunked(&[&[1], &[0, 2], &[0, 3, 0]])], " Hello. ").await;
        assert_eq!(samples(&sound.expect("a sound")), [1, 2, 3]);
        let body = requests[0].split("\r\n\r\n").nth(1).expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let expected = serde_json::json!({
            "model": "tts-1-hd", "voice": "alloy", "input": "Hello.", "response_format": "pcm",
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn settings_change_the_request_and_the_reading_of_its_answer() {
        let body = [1i16, -2, 3].map(i16::to_le_bytes).concat();
        let vendor = Vendor::start(vec![answer("200 OK\r\nContent-Type: audio/pcm", &body)]).await;
        let settings: Settings = toml::from_str(
            "rate = 16000\nextra = { instructions = \"Calmly.\", speed = 1.1, sample_rate = 16000 }",
        )
        .expect("settings");
        let engine = OpenAiTts::new("openai".into(), vendor.endpoint(), settings);
        let pieces = engine.speak("Yes.".into(), Voice::default(), Meter::default()).await.expect("a speech");
        assert_eq!(pieces.collect::<Vec<_>>().await, [Ok(Clip::new(16_000, [1, -2, 3]))]);
        let sent: Value =
            serde_json::from_str(vendor.requests()[0].split("\r\n\r\n").nth(1).expect("a body"))
                .expect("JSON");
        let expected = json!({
            "model": "tts-1", "voice": "alloy", "input": "Yes.", "response_format": "pcm",
            "instructions": "Calmly.", "speed": 1.1, "sample_rate": 16000,
        });
        assert_eq!(sent, expected);
    }

    #[tokio::test]
    async fn an_answer_of_another_format_is_played_or_refused() {
        let file = crate::engines::core::wav::encode(22_050, &[7, 8]);
        let (sound, _) = spoken(vec![answer("200 OK\r\nContent-Type: audio/pcm", &file)], "Hello.").await;
        assert_eq!(sound, Ok(vec![Ok(Clip::new(22_050, [7, 8]))]));
        let mp3 = answer("200 OK\r\nContent-Type: audio/mpeg", [0xff, 0xfb, 0x90, 0x00].repeat(5));
        let (sound, requests) = spoken(vec![mp3], "Hello.").await;
        let error = sound.expect_err("no MP3 is played").to_string();
        assert!(error.contains("MP3 (audio/mpeg)") && requests.len() == 1, "{error}");
    }

    #[tokio::test]
    async fn speech_is_counted_and_refusals_are_not() {
        let meter = Meter::default();
        let down = answer("503 Oops", "{}");
        drop(metered(vec![down, chunked(&[&[1, 0]])], " Grüße. ", &meter).await);
        let total = meter.total();
        let counted: Vec<_> = total.iter().map(|(item, count)| (&*item.model, item.unit, *count)).collect();
        assert_eq!(counted, [("tts-1-hd", Unit::Requests, 1), ("tts-1-hd", Unit::Characters, 6)]);
    }

    #[tokio::test]
    async fn errors_are_overcome() {
        let down = || answer("503 Oops", "{}");
        let (sound, requests) = spoken(vec![down(), vec![Step::Stall], chunked(&[&[1, 0]])], "Hello.").await;
        assert_eq!((samples(&sound.expect("a sound")), requests.len()), (vec![1], 3));
    }

    #[tokio::test]
    async fn a_stall_or_reset_in_the_middle_is_the_last_item() {
        for (step, expected) in [(Step::Stall, "timeout"), (Step::Reset, "temporary")] {
            let mut steps = begun(&[&[1, 0].repeat(6)]);
            steps.push(step);
            let sound = spoken(vec![steps], "Hello.").await.0.expect("a sound that begins");
            let [Ok(_), Err(error)] = sound.as_slice() else { panic!("{sound:?}") };
            assert_eq!(error.outcome(), expected);
        }
    }

    #[tokio::test]
    async fn names_that_are_not_accepted_are_not_sent() {
        let vendor = Vendor::start(vec![]).await;
        let engine = OpenAiTts::new("openai".into(), vendor.endpoint(), settings());
        let named = |model: &str, voice: &str| Voice {
            model: Some(model.into()),
            name: Some(voice.into()),
            ..Voice::default()
        };
        for voice in [named("tts-9", "alloy"), named("tts-1-hd", "../../voices/x"), named("", "alloy")] {
            let Err(error) = engine.speak("Hello.".into(), voice.clone(), Meter::default()).await else {
                panic!("{voice:?} is spoken")
            };
            assert!(!error.worth_retrying(), "{error}");
        }
        assert_eq!(vendor.requests().len(), 0);
    }

    #[tokio::test]
    async fn nothing_is_said_without_asking() {
        let (sound, requests) = spoken(vec![], "  ").await;
        assert_eq!((sound, requests.len()), (Ok(vec![]), 0));
    }
}
