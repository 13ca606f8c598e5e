//! Transcription by OpenAI, or by a server with its API.
//!
//! <https://platform.openai.com/docs/api-reference/audio/createTranscription>

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use super::language::Hint;
use super::response::{ResponseFormat, TranscriptionResponse};
use super::{Hints, Transcriber, terms};
use crate::audio::Clip;
use crate::engines::core::extra::Extra;
use crate::engines::core::languages::LanguageCodes;
use crate::engines::core::openai::Endpoint;
use crate::engines::core::retry::Kind;
use crate::engines::core::server::OPENAI;
use crate::engines::core::usage::{Meter, Unit};
use crate::engines::core::{EngineError, wav};
use crate::names::Names;

/// The default model of OpenAI's own server, and of others, which accept the name for a model of theirs or ignore it.
const OPENAI_MODEL: &str = "gpt-transcribe";
const USUAL_MODEL: &str = "whisper-1";

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Default: `gpt-transcribe` of OpenAI's own server, `whisper-1` of others.
    pub model: Option<String>,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// The vendor's codes of languages, by BCP 47 tag, in place of the built-in ones. None by default.
    pub languages: LanguageCodes,
    /// The field of the caller's language. Default: `languages` for `gpt-transcribe`, else `language`.
    pub language_field: Option<Hint>,
    /// The requested format. Default: `json` for OpenAI's `gpt-` models, `verbose_json` for others, and `json` once that was
    /// refused.
    pub response_format: Option<ResponseFormat>,
    /// Further fields of the request, such as `prompt`, `keywords` and `temperature`. None by default.
    pub extra: Extra,
}

impl Settings {
    /// The model of profiles that name none.
    pub fn model_at(&self, base_url: &str) -> &str {
        let is_openai = base_url.trim_end_matches('/') == OPENAI;
        self.model.as_deref().unwrap_or(if is_openai { OPENAI_MODEL } else { USUAL_MODEL })
    }
}

/// The most models that are remembered for a refusal.
const MODELS: usize = 256;

pub struct OpenAiStt {
    name: Arc<str>,
    endpoint: Endpoint,
    settings: Settings,
    model: String,
    models: Names,
    /// The models that refused `verbose_json`, at most [`MODELS`].
    json_only: Mutex<BTreeSet<String>>,
}

/// A clip to be transcribed, by this model.
#[derive(Clone, Copy)]
struct ClipRequest<'a> {
    speech: &'a Clip,
    model: &'a str,
    hints: &'a Hints,
}

impl OpenAiStt {
    pub fn new(name: Arc<str>, endpoint: Endpoint, settings: Settings) -> OpenAiStt {
        let model = settings.model_at(&endpoint.address()).to_owned();
        let models = Names::models(&model, &settings.models);
        OpenAiStt { name, endpoint, settings, model, models, json_only: Mutex::default() }
    }

    async fn request(&self, speech: Clip, hints: Hints, meter: Meter) -> Result<String, EngineError> {
        if speech.samples.is_empty() {
            return Ok(String::new());
        }
        let model = hints.model.as_deref().unwrap_or(&self.model);
        self.models.check(model).map_err(|error| EngineError::name("model", &error))?;
        let wanted = ClipRequest { speech: &speech, model, hints: &hints };
        let format = self.settings.response_format.unwrap_or_else(|| ResponseFormat::of_model(model));
        let format = if self.json_only().contains(model) { ResponseFormat::Json } else { format };
        match self.ask(wanted, format, &meter).await {
            Err(error) if format == ResponseFormat::VerboseJson && refuses_format(&error) => {
                tracing::info!(engine = %self.name, model, "verbose_json refused: json is requested from now on");
                self.remember_json_only(model);
                self.ask(wanted, ResponseFormat::Json, &meter).await
            }
            words => words,
        }
    }

    fn remember_json_only(&self, model: &str) {
        let mut models = self.json_only();
        if models.len() >= MODELS {
            models.pop_first();
        }
        models.insert(model.to_owned());
    }

    fn json_only(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.json_only.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(
        &self,
        wanted: ClipRequest<'_>,
        format: ResponseFormat,
        meter: &Meter,
    ) -> Result<String, EngineError> {
        let ClipRequest { speech, model, .. } = wanted;
        let form = self.form(wanted, format)?;
        let request = self.endpoint.post("/audio/transcriptions").multipart(form);
        let mut charge = meter.charge(Kind::Stt, &self.name, model);
        charge.set(Unit::AudioMs, speech.duration().as_millis() as u64);
        let (response, charge) = charge.settle(self.endpoint.send(request).await)?;
        let response: TranscriptionResponse = self.endpoint.json(response).await?;
        response.count(charge);
        Ok(response.words(speech))
    }

    /// The fields with the key terms, unless the configuration has such a field.
    fn terms(&self, model: &str, hints: &Hints) -> Vec<(String, String)> {
        let is_set = |field: &str| self.settings.extra.names().any(|name| name == field);
        match terms::has_keywords(model) {
            true if is_set("keywords") => Vec::new(),
            true => terms::keywords(hints).map(|term| ("keywords[]".to_owned(), term.to_owned())).collect(),
            false if is_set("prompt") => Vec::new(),
            false => terms::vocabulary(hints).map(|terms| ("prompt".to_owned(), terms)).into_iter().collect(),
        }
    }

    fn form(
        &self,
        ClipRequest { speech, model, hints }: ClipRequest<'_>,
        format: ResponseFormat,
    ) -> Result<Form, EngineError> {
        let file = Part::bytes(wav::encode(speech.rate, &speech.samples))
            .file_name("speech.wav")
            .mime_str("audio/wav")
            .map_err(|error| self.endpoint.broken(error))?;
        let form = Form::new().part("file", file).text("model", model.to_owned());
        let form = form.text("response_format", format.as_str());
        let field = self.settings.language_field.unwrap_or_else(|| Hint::of_model(model));
        let hint = field.fields(hints, &self.settings.languages)?;
        let terms = self.terms(model, hints);
        let fields = hint.into_iter().chain(terms).chain(self.settings.extra.form_fields());
        Ok(fields.fold(form, |form, (name, text)| form.text(name, text)))
    }
}

/// Whether a server refuses the requested format, as vLLM does before 0.11.
fn refuses_format(error: &EngineError) -> bool {
    let text = error.to_string();
    let is_refused = matches!(error, EngineError::Refused(_));
    is_refused && ["response_format", "verbose_json"].iter().any(|word| text.contains(word))
}

impl Transcriber for OpenAiStt {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn connect(&self) -> BoxFuture<'_, ()> {
        self.endpoint.connect().boxed()
    }

    fn transcribe(
        &self,
        speech: Clip,
        hints: Hints,
        meter: Meter,
    ) -> BoxFuture<'_, Result<String, EngineError>> {
        self.request(speech, hints, meter).boxed()
    }
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
        let engine = OpenAiStt::new("openai".into(), vendor.endpoint(), settings());
        let retries = retry::Settings {
            timeout_ms: 500,
            retries: 2,
            budget_ms: 10_000,
            backoff_ms: 1,
            max_backoff_ms: 1,
            ..retry::Settings::default()
        };
        let engine = Resilient::new(Arc::new(engine), retries, None);
        let hints = Hints {
            language: Some("de-DE".into()),
            model: Some("whisper-2".into()),
            key_terms: Arc::from(["Huber".into(), "Zoë".into()]),
            ..Hints::default()
        };
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
            "name=\"response_format\"\r\n\r\nverbose_json",
            "name=\"prompt\"\r\n\r\nHuber, Zoë\r\n",
            "filename=\"speech.wav\"",
            "RIFF",
        ] {
            assert!(request.contains(part), "no {part:?} in {request}");
        }
    }

    /// The fields of the request for a clip in `language`, apart from the file.
    async fn fields(settings: &str, language: &str) -> String {
        let vendor = Vendor::start(vec![answer("200 OK", r#"{"text":"yes"}"#)]).await;
        let settings = toml::from_str(settings).expect("settings");
        let engine = OpenAiStt::new("openai".into(), vendor.endpoint(), settings);
        let hints = Hints { language: Some(language.into()), ..Hints::default() };
        engine.transcribe(speech(), hints, Meter::default()).await.expect("words");
        let request = vendor.requests().pop().expect("a request");
        let fields = request.split("form-data; name=\"").skip(1).filter_map(|field| {
            let (name, rest) = field.split_once('"')?;
            Some(format!("{name}={}", rest.split("\r\n\r\n").nth(1)?.split("\r\n").next()?))
        });
        fields.filter(|field| !field.starts_with("file")).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn the_language_is_in_the_field_that_the_model_takes() {
        let (common, verbose) = ("response_format=json", "response_format=verbose_json");
        for (settings, expected) in [
            ("", format!("model=whisper-1 {verbose} language=no")),
            ("model = \"gpt-transcribe\"", format!("model=gpt-transcribe {common} languages[]=no")),
            (
                "model = \"gpt-transcribe-2026-11-02\"\nextra = { keywords = [\"Ada\", \"Bo\"], temperature = 0 }",
                format!(
                    "model=gpt-transcribe-2026-11-02 {common} languages[]=no keywords[]=Ada keywords[]=Bo temperature=0"
                ),
            ),
            (
                "model = \"ours\"\nlanguage_field = \"languages\"",
                format!("model=ours {verbose} languages[]=no"),
            ),
            ("language_field = \"none\"", format!("model=whisper-1 {verbose}")),
        ] {
            assert_eq!(fields(settings, "nb-NO").await, expected);
        }
    }

    #[tokio::test]
    async fn usage_is_counted_as_the_vendor_states_it() {
        for (usage, expected) in [
            (r#"{"type":"duration","seconds":1}"#, vec![(Unit::Requests, 1), (Unit::AudioMs, 1_000)]),
            (
                r#"{"type":"tokens","input_tokens":14,"output_tokens":3,"total_tokens":17}"#,
                vec![
                    (Unit::Requests, 1),
                    (Unit::AudioMs, 20),
                    (Unit::InputTokens, 14),
                    (Unit::OutputTokens, 3),
                ],
            ),
            (r#"{"type":"minutes"}"#, vec![(Unit::Requests, 1), (Unit::AudioMs, 20)]),
            ("null", vec![(Unit::Requests, 1), (Unit::AudioMs, 20)]),
        ] {
            let body = format!(r#"{{"text":null,"usage":{usage}}}"#);
            let vendor = Vendor::start(vec![answer("200 OK", body)]).await;
            let engine = OpenAiStt::new("openai".into(), vendor.endpoint(), Settings::default());
            let meter = Meter::default();
            let words = engine.transcribe(speech(), Hints::default(), meter.clone()).await;
            assert_eq!(words.as_deref(), Ok(""));
            let counted: Vec<_> = meter.total().into_iter().map(|(item, count)| (item.unit, count)).collect();
            assert_eq!(counted, expected, "{usage}");
        }
    }

    #[tokio::test]
    async fn a_server_without_verbose_json_is_asked_for_json() {
        let refusal =
            r#"{"object":"error","message":"Currently only support response_format `text` or `json`"}"#;
        let good = || answer("200 OK", r#"{"text":"yes"}"#);
        let (words, _) = transcribed(vec![answer("400 Bad Request", refusal), good()]).await;
        assert_eq!(words.as_deref(), Ok("yes"));
        let vendor = Vendor::start(vec![answer("400 Bad Request", refusal), good(), good()]).await;
        let engine = OpenAiStt::new("openai".into(), vendor.endpoint(), Settings::default());
        for _ in 0..2 {
            engine.transcribe(speech(), Hints::default(), Meter::default()).await.expect("words");
        }
        let is_verbose: Vec<_> = vendor.requests().iter().map(|it| it.contains("verbose_json")).collect();
        assert_eq!(is_verbose, [true, false, false], "it is remembered");
    }

    #[test]
    fn the_default_model_is_one_that_the_server_has() {
        let settings = Settings::default();
        assert_eq!(settings.model_at("https://api.openai.com/v1/"), "gpt-transcribe");
        assert_eq!(settings.model_at("http://127.0.0.1:8000/v1"), "whisper-1");
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
        let engine = OpenAiStt::new("openai".into(), vendor.endpoint(), settings());
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
        let engine = OpenAiStt::new("openai".into(), vendor.endpoint(), settings());
        for (model, language) in [("whisper-9", "de"), ("whisper-2", "../x"), ("whisper-2", "d\r\ne")] {
            let hints =
                Hints { model: Some(model.into()), language: Some(language.into()), ..Hints::default() };
            let error = engine.transcribe(speech(), hints, Meter::default()).await.expect_err("a refusal");
            assert!(!error.worth_retrying(), "{error}");
        }
        assert_eq!(vendor.requests().len(), 0);
    }

    #[tokio::test]
    async fn silence_needs_no_vendor() {
        let vendor = Vendor::start(vec![]).await;
        let engine = OpenAiStt::new("openai".into(), vendor.endpoint(), settings());
        assert_eq!(
            engine.transcribe(Clip::new(8_000, []), Hints::default(), Meter::default()).await.as_deref(),
            Ok("")
        );
    }
}
