//! Transcription by OpenAI, or by a server that speaks its API.
//!
//! <https://platform.openai.com/docs/api-reference/audio/createTranscription>

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use super::{Hints, Stt};
use crate::audio::Clip;
use crate::engines::core::openai::Endpoint;
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{Meter, Unit};
use crate::engines::core::{EngineError, wav};
use crate::names::{self, Names};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default `whisper-1`.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { model: "whisper-1".into(), models: Vec::new() }
    }
}

impl Settings {
    /// The models that profiles may choose.
    pub fn allowed_models(&self) -> Names {
        Names::models(&self.model, &self.models)
    }
}

pub struct OpenAi {
    name: Arc<str>,
    endpoint: Endpoint,
    settings: Settings,
    models: Names,
}

impl OpenAi {
    pub fn new(name: Arc<str>, endpoint: Endpoint, settings: Settings) -> OpenAi {
        let models = settings.allowed_models();
        OpenAi { name, endpoint, settings, models }
    }

    async fn ask(&self, speech: Clip, hints: Hints, meter: Meter) -> Result<String, EngineError> {
        #[derive(Deserialize)]
        struct Answer {
            text: String,
        }
        if speech.samples.is_empty() {
            return Ok(String::new());
        }
        let file = Part::bytes(wav::encode(speech.rate, &speech.samples))
            .file_name("speech.wav")
            .mime_str("audio/wav")
            .map_err(|e| self.endpoint.broken(e))?;
        let model = hints.model.as_deref().unwrap_or(&self.settings.model);
        self.models.check(model).map_err(|error| EngineError::name("model", &error))?;
        let mut form =
            Form::new().part("file", file).text("model", model.to_owned()).text("response_format", "json");
        if let Some(language) = &hints.language {
            form = form.text("language", iso_639(language)?);
        }
        let request = self.endpoint.post("/audio/transcriptions").multipart(form);
        let mut charge = meter.charge(Kind::Stt, &self.name, model);
        charge.set(Unit::AudioMs, speech.duration().as_millis() as u64);
        let (response, _) = charge.settle(self.endpoint.send(request).await)?;
        let answer = response.json::<Answer>().await;
        Ok(answer.map_err(|e| self.endpoint.broken(e))?.text.trim().to_owned())
    }
}

impl Stt for OpenAi {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn transcribe(
        &self,
        speech: Clip,
        hints: Hints,
        meter: Meter,
    ) -> BoxFuture<'_, Result<String, EngineError>> {
        self.ask(speech, hints, meter).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        self.endpoint.probe(&self.settings.model).boxed()
    }
}

/// The language alone, as the API wants it: `de` of `de-DE`.
///
/// Permanent: it is not a language tag.
fn iso_639(tag: &str) -> Result<String, EngineError> {
    let language = tag.split(['-', '_']).next().unwrap_or_default().to_lowercase();
    names::check_language(&language).map_err(|error| EngineError::name("language", &error))?;
    Ok(language)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engines::core::retry;
    use crate::engines::core::vendor::{Step, Vendor, answer};
    use crate::engines::stt::Resilient;

    fn speech() -> Clip {
        Clip::new(8_000, [1_000; 160])
    }

    fn settings() -> Settings {
        Settings { models: vec!["whisper-2".into()], ..Settings::default() }
    }

    async fn transcribed(answers: Vec<Vec<Step>>) -> (Result<String, EngineError>, Vec<String>) {
        let vendor = Vendor::start(answers).await;
        let engine = OpenAi::new("openai".into(), vendor.endpoint(), settings());
        let patience = retry::Settings {
            timeout_ms: 500,
            retries: 2,
            budget_ms: 10_000,
            backoff_ms: 1,
            max_backoff_ms: 1,
        };
        let engine = Resilient::new(Arc::new(engine), patience, None);
        let hints = Hints { language: Some("de-DE".into()), model: Some("whisper-2".into()) };
        (engine.transcribe(speech(), hints, Meter::default()).await, vendor.requests())
    }

    #[tokio::test]
    async fn sends_what_the_vendor_asks_for() {
        let (words, requests) = transcribed(vec![answer("200 OK", r#"{"text":" Guten Tag. "}"#)]).await;
        assert_eq!(words.as_deref(), Ok("Guten Tag."));
        let request = &requests[0];
        for part in [
            "POST /audio/transcriptions HTTP/1.1",
            "authorization: Bearer secret-key",
            "name=\"model\"\r\n\r\nwhisper-2",
            "name=\"language\"\r\n\r\nde\r\n",
            "name=\"response_format\"\r\n\r\njson",
            "filename=\"speech.wav\"",
            "RIFF",
        ] {
            assert!(request.contains(part), "no {part:?} in {request}");
        }
    }

    #[tokio::test]
    async fn two_errors_are_overcome() {
        let down = || answer("500 Internal Server Error", "{}");
        let (words, requests) =
            transcribed(vec![down(), down(), answer("200 OK", r#"{"text":"yes"}"#)]).await;
        assert_eq!((words.as_deref(), requests.len()), (Ok("yes"), 3));
    }

    #[tokio::test]
    async fn garbage_is_asked_again() {
        let (words, _) =
            transcribed(vec![answer("200 OK", "{{"), answer("200 OK", r#"{"text":"yes"}"#)]).await;
        assert_eq!(words.as_deref(), Ok("yes"));
    }

    #[tokio::test]
    async fn stalls_and_resets_are_overcome() {
        let answers = vec![vec![Step::Stall], vec![Step::Reset], answer("200 OK", r#"{"text":"yes"}"#)];
        assert_eq!(transcribed(answers).await.0.as_deref(), Ok("yes"));
    }

    #[tokio::test]
    async fn a_vendor_that_never_answers_times_out() {
        let stall = || vec![Step::Stall];
        let (words, _) = transcribed(vec![stall(), stall(), stall()]).await;
        assert_eq!(words, Err(EngineError::Timeout(Duration::from_millis(500))));
    }

    #[tokio::test]
    async fn what_is_heard_is_counted() {
        let vendor = Vendor::start(vec![answer("200 OK", r#"{"text":"yes"}"#)]).await;
        let engine = OpenAi::new("openai".into(), vendor.endpoint(), settings());
        let meter = Meter::default();
        let hints = Hints { model: Some("whisper-2".into()), ..Hints::default() };
        engine.transcribe(speech(), hints, meter.clone()).await.expect("words");
        engine
            .transcribe(speech(), Hints::default(), meter.clone())
            .await
            .expect_err("nobody answers any more");
        let total = meter.total();
        let counted: Vec<_> = total.iter().map(|(item, count)| (&*item.model, item.unit, *count)).collect();
        assert_eq!(counted, [("whisper-2", Unit::Requests, 1), ("whisper-2", Unit::AudioMs, 20)]);
    }

    #[tokio::test]
    async fn names_that_are_not_accepted_are_not_sent() {
        let vendor = Vendor::start(vec![]).await;
        let engine = OpenAi::new("openai".into(), vendor.endpoint(), settings());
        for (model, language) in [("whisper-9", "de"), ("whisper-2", "../x"), ("whisper-2", "d\r\ne")] {
            let hints = Hints { model: Some(model.into()), language: Some(language.into()) };
            let error = engine.transcribe(speech(), hints, Meter::default()).await.expect_err("a refusal");
            assert!(!error.worth_retrying(), "{error}");
        }
        assert_eq!(vendor.requests().len(), 0);
    }

    #[tokio::test]
    async fn silence_needs_no_vendor() {
        let vendor = Vendor::start(vec![]).await;
        let engine = OpenAi::new("openai".into(), vendor.endpoint(), settings());
        assert_eq!(
            engine.transcribe(Clip::new(8_000, []), Hints::default(), Meter::default()).await.as_deref(),
            Ok("")
        );
    }
}
