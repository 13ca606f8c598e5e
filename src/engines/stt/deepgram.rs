//! Streaming transcription by Deepgram Nova.
//!
//! <https://developers.deepgram.com/reference/speech-to-text/listen-streaming>: `GET /v1/listen` with everything in the query;
//! audio in binary frames, control in text frames. Endpointing by the server is off: the end of an utterance sends
//! `Finalize`. Its result has `from_finalize`, but there may be none if all audio was transcribed before
//! (<https://developers.deepgram.com/docs/finalize>), so the time that final results cover counts as well.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message;

use super::live::{Dialogue, FINAL_TIMEOUT_MS, Frame, LiveConnection, Protocol, TranscriptEvent};
use super::{Hints, terms};
use crate::audio::linear16;
use crate::engines::core::extra::Extra;
use crate::engines::core::languages::{LanguageCodes, code, is_cantonese, known};
use crate::engines::core::server::Auth;
use crate::engines::core::websocket::SocketEndpoint;
use crate::engines::core::{EngineError, FailureReason};
use crate::names::Names;

/// The default address.
pub const BASE_URL: &str = "https://api.deepgram.com/v1";
/// How requests carry the key.
pub const AUTH: Auth = Auth::Scheme("Token");

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The model of profiles that name none. Default `nova-3`.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// How long the last words of an utterance may take after its end, in milliseconds. Then the fallback gets the utterance. Default 2000.
    pub final_timeout_ms: u64,
    /// The vendor's codes of languages, by BCP 47 tag, in place of the built-in ones. None by default.
    pub languages: LanguageCodes,
    /// Further parameters of the query, such as `keyterm`, `numerals`, `tag` and `mip_opt_out`; `language` replaces the
    /// profile's, as in `multi`. None by default.
    pub extra: Extra,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "nova-3".into(),
            models: Vec::new(),
            final_timeout_ms: FINAL_TIMEOUT_MS,
            languages: LanguageCodes::default(),
            extra: Extra::default(),
        }
    }
}

pub struct DeepgramStt {
    name: Arc<str>,
    endpoint: SocketEndpoint,
    settings: Settings,
    models: Names,
}

impl DeepgramStt {
    pub fn new(name: Arc<str>, endpoint: SocketEndpoint, settings: Settings) -> DeepgramStt {
        let models = Names::models(&settings.model, &settings.models);
        DeepgramStt { name, endpoint, settings, models }
    }

    fn query(&self, rate: u32, hints: &Hints) -> Result<Vec<(String, String)>, EngineError> {
        let (model, rate) = (self.model(hints)?, rate.to_string());
        let language = match hints.language.as_deref() {
            Some(tag) => {
                let usual = language(tag, &model)?;
                self.settings.languages.of(tag, |_| usual)
            }
            None => None,
        };
        let ours = [
            ("model", model.as_str()),
            ("encoding", "linear16"),
            ("sample_rate", &rate),
            ("channels", "1"),
            ("interim_results", "true"),
            ("punctuate", "true"),
            ("endpointing", "false"),
        ];
        // <https://developers.deepgram.com/docs/multilingual-code-switching>
        let several = if hints.languages.is_empty() { None } else { Some("multi") };
        let language = language.as_deref().or(several).map(|language| ("language", language));
        let terms = terms::of_deepgram(hints, &model).into_iter().map(|term| ("keyterm", term));
        let extra = self.settings.extra.query_fields();
        let ours = ours.into_iter().chain(language).chain(terms);
        let ours = ours.filter(|(name, _)| !self.settings.extra.names().any(|extra| extra == *name));
        let mut query: Vec<_> = ours.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        query.extend(extra);
        Ok(query)
    }
}

/// The languages of Nova-3, which refuses others: <https://developers.deepgram.com/docs/models-languages-overview>, with those
/// that <https://developers.deepgram.com/changelog> adds from 2025-08-15 to 2026-08-05.
const NOVA_3: [&str; 56] = [
    "af", "ar", "be", "bg", "bn", "bs", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr",
    "gu", "he", "hi", "hr", "hu", "hy", "id", "it", "ja", "ka", "kn", "ko", "lt", "lv", "mk", "mr", "ms",
    "ne", "nl", "no", "pa", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "ta", "te", "th", "tl", "tr",
    "uk", "ur", "vi", "yue", "zh",
];

/// Regions with a code of their own: <https://developers.deepgram.com/docs/models-languages-overview>
const REGIONAL: [&str; 13] = [
    "de-CH", "en-AU", "en-GB", "en-IN", "en-NZ", "en-US", "fr-CA", "nl-BE", "pt-BR", "pt-PT", "zh-CN",
    "zh-HK", "zh-TW",
];

/// Deepgram's code of a tag: with the region where it has one of its own. None for a language that the model does not know.
///
/// # Errors
/// Permanent: it is no language tag.
fn language(tag: &str, model: &str) -> Result<Option<String>, EngineError> {
    let code = code(tag)?;
    if model.starts_with("nova-3") && known(tag, &NOVA_3).is_none() {
        return Ok(None);
    }
    let regional = REGIONAL.iter().find(|it| it.eq_ignore_ascii_case(&tag.replace('_', "-")));
    let is_american_spanish = code == "es"
        && tag.len() > 2
        && !matches!(tag.get(3..), Some(region) if region.eq_ignore_ascii_case("ES"));
    Ok(Some(match regional {
        Some(regional) => (*regional).to_owned(),
        None if is_american_spanish => "es-419".to_owned(),
        None if is_cantonese(tag) => "zh-HK".to_owned(),
        None => code,
    }))
}

impl Protocol for DeepgramStt {
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
        async move {
            let socket = self.endpoint.connect("/listen", &self.query(rate, hints)?).await?;
            let dialogue = Listening { endpoint: self.endpoint.clone() };
            Ok(LiveConnection { endpoint: self.endpoint.clone(), socket, dialogue: Box::new(dialogue) })
        }
        .boxed()
    }
}

struct Listening {
    endpoint: SocketEndpoint,
}

impl Dialogue for Listening {
    fn write(&mut self, frame: &Frame) -> Message {
        match frame {
            Frame::Audio(samples) => Message::binary(linear16(samples)),
            Frame::Commit => Message::text(r#"{"type":"Finalize"}"#),
        }
    }

    fn keep_alive(&mut self) -> Message {
        Message::text(r#"{"type":"KeepAlive"}"#)
    }

    fn read(&mut self, text: &str) -> Result<Vec<TranscriptEvent>, EngineError> {
        let message: ListenMessage = serde_json::from_str(text)
            .map_err(|error| EngineError::Temporary(format!("no message of Deepgram's: {error}")))?;
        match message {
            ListenMessage::Results(results) => Ok(results.heard()),
            ListenMessage::Error { description } => {
                let text = self.endpoint.cleaned(&description);
                Err(EngineError::refused(FailureReason::Unavailable, text))
            }
            ListenMessage::Other => Ok(Vec::new()),
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum ListenMessage {
    Results(Results),
    Error {
        #[serde(default)]
        description: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Results {
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    from_finalize: bool,
    /// Seconds of the connection's audio.
    #[serde(default)]
    start: f64,
    #[serde(default)]
    duration: f64,
    channel: ListenChannel,
}

#[derive(Deserialize)]
struct ListenChannel {
    #[serde(default)]
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(default)]
    transcript: String,
}

impl Results {
    fn heard(mut self) -> Vec<TranscriptEvent> {
        let text = self.channel.alternatives.drain(..).next().map_or_else(String::new, |it| it.transcript);
        if !self.is_final {
            return vec![TranscriptEvent::Interim(text)];
        }
        // The conversion saturates, and makes 0 of NaN.
        let until_ms = ((self.start + self.duration) * 1_000.0) as u64;
        vec![
            TranscriptEvent::Final(text),
            TranscriptEvent::Covered { until_ms, by_commit: self.from_finalize },
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::engines::core::openai;

    fn engine(settings: &str) -> DeepgramStt {
        let server = openai::Settings { base_url: "http://127.0.0.1:1/v1".into(), ..Default::default() };
        let endpoint = SocketEndpoint::new(&server, AUTH).expect("an endpoint");
        DeepgramStt::new("nova".into(), endpoint, toml::from_str(settings).expect("settings"))
    }

    /// Made once: that reads the authorities of the system.
    static ENDPOINT: LazyLock<SocketEndpoint> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        engine("").endpoint
    });

    fn dialogue() -> Listening {
        Listening { endpoint: ENDPOINT.clone() }
    }

    #[test]
    fn the_query_has_rate_language_and_further_parameters() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let hints =
            Hints { language: Some("de-AT".into()), key_terms: ["Zoë".into()].into(), ..Hints::default() };
        let text =
            |engine: &DeepgramStt| serde_urlencoded::to_string(engine.query(8_000, &hints).unwrap()).unwrap();
        assert_eq!(
            text(&engine("extra = { keyterm = [\"Ada\", \"B\"] }")),
            "model=nova-3&encoding=linear16&sample_rate=8000&channels=1&interim_results=true&punctuate=true\
             &endpointing=false&language=de&keyterm=Ada&keyterm=B"
        );
        let multi = text(&engine("extra = { language = \"multi\" }"));
        assert!(multi.ends_with("&endpointing=false&keyterm=Zo%C3%AB&language=multi"), "{multi}");
        let hints = Hints { languages: ["en".into(), "hi".into()].into(), ..Hints::default() };
        let several = engine("").query(8_000, &hints).expect("a query");
        assert!(several.contains(&("language".to_owned(), "multi".to_owned())), "{several:?}");
        let hints = Hints { model: Some("../nova".into()), ..Hints::default() };
        let error = engine("").query(8_000, &hints).expect_err("no such model");
        assert_eq!(error.reason(), FailureReason::Model);
    }

    #[test]
    fn a_language_that_the_model_does_not_know_is_left_out() {
        let language = |model: &str, tag: &str| language(tag, model).expect("a tag");
        for (tag, expected) in [
            ("de-AT", Some("de")),
            ("de_CH", Some("de-CH")),
            ("es-MX", Some("es-419")),
            ("nb-NO", Some("no")),
            ("yue-Hant-HK", Some("zh-HK")),
            ("cmn", Some("zh")),
            ("cy-GB", None),
            ("sw", None),
        ] {
            assert_eq!(language("nova-3", tag).as_deref(), expected, "{tag}");
        }
        assert_eq!(language("nova-3-medical", "cy"), None);
        assert_eq!(language("whisper-large", "cy").as_deref(), Some("cy"));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let hints = Hints { language: Some("cy".into()), ..Hints::default() };
        let has_language = |settings: &str| {
            let query = engine(settings).query(8_000, &hints).expect("a query");
            query.into_iter().find(|(name, _)| name == "language").map(|(_, code)| code)
        };
        assert_eq!(has_language(""), None);
        assert_eq!(has_language("languages = { cy = \"multi\" }").as_deref(), Some("multi"));
    }

    #[test]
    fn messages_are_read() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let result = |rest: &str| {
            let text = format!(
                r#"{{"type":"Results","start":1.5,"duration":0.5,"channel":{{"alternatives":[{{"transcript":"hello"}}]}}{rest}}}"#
            );
            dialogue().read(&text).expect("a message")
        };
        assert_eq!(result(r#","is_final":false"#), [TranscriptEvent::Interim("hello".into())]);
        let covered = |by_commit| TranscriptEvent::Covered { until_ms: 2_000, by_commit };
        assert_eq!(result(r#","is_final":true"#), [TranscriptEvent::Final("hello".into()), covered(false)]);
        let finalized = result(r#","is_final":true,"from_finalize":true"#);
        assert_eq!(finalized, [TranscriptEvent::Final("hello".into()), covered(true)]);
        for text in [r#"{"type":"Metadata","duration":1}"#, r#"{"type":"UtteranceEnd"}"#] {
            assert_eq!(dialogue().read(text), Ok(Vec::new()));
        }
        let error = dialogue().read(r#"{"type":"Error","description":"wrong","code":"X"}"#);
        assert!(error.is_err_and(|error| error.to_string() == "wrong"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            let _ = dialogue().read(&text);
        }
    }
}
