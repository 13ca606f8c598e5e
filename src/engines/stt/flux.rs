//! Streaming transcription by Deepgram Flux, which judges the ends of turns itself.
//!
//! <https://developers.deepgram.com/reference/speech-to-text/listen-flux>: `GET /v2/listen` with everything in the query; audio
//! in binary frames. `TurnInfo` has all words of the turn so far, some four times per second of audio
//! (<https://developers.deepgram.com/docs/flux/state>). `ForceEndTurn` ends a turn
//! (<https://developers.deepgram.com/docs/flux/force-end-turn>). There is no message that keeps a connection alive without audio:
//! silence does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message;

use super::live::{
    Dialogue, FINAL_TIMEOUT_MS, Frame, LiveConnection, Protocol, SessionTimeline, TranscriptEvent, TurnInfo,
    TurnState, TurnTimeline,
};
use super::{Hints, terms};
use crate::audio::linear16;
use crate::engines::core::EngineError;
use crate::engines::core::FailureReason;
use crate::engines::core::extra::Extra;
use crate::engines::core::languages::code;
use crate::engines::core::server::Auth;
use crate::engines::core::websocket::SocketEndpoint;
use crate::names::Names;

/// The default address.
pub const BASE_URL: &str = "https://api.deepgram.com/v2";
/// How requests carry the key.
pub const AUTH: Auth = super::deepgram::AUTH;

/// The length of the silence that keeps a connection alive.
const SILENCE_MS: u32 = 80;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The model of profiles that name none. Default `flux-general-multi`; `flux-general-en` knows English alone.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// How long the last words of an utterance may take after its end, in milliseconds. Then the fallback gets the utterance. Default 2000.
    pub final_timeout_ms: u64,
    /// The confidence at which a turn ends, 0.5 to 1.0; 1.0 leaves it to the conversation. Default 0.7.
    pub eot_threshold: f64,
    /// The confidence at which a turn may be over, so that a reply is prepared: 0.3 to 0.9 and at most `eot_threshold`, or 0 for
    /// none. Default 0.5.
    pub eager_eot_threshold: f64,
    /// Silence after which a turn ends at any confidence, 500 to 60000 milliseconds. Default 5000.
    pub eot_timeout_ms: u32,
    /// Further parameters of the query, such as `keyterm`, `numerals`, `tag` and `mip_opt_out`. None by default.
    pub extra: Extra,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "flux-general-multi".into(),
            models: Vec::new(),
            final_timeout_ms: FINAL_TIMEOUT_MS,
            eot_threshold: 0.7,
            eager_eot_threshold: 0.5,
            eot_timeout_ms: 5_000,
            extra: Extra::default(),
        }
    }
}

impl Settings {
    /// The keys with values that the server refuses, each with the values that it accepts.
    pub fn out_of_range(&self) -> Vec<(&'static str, &'static str)> {
        let eager = self.eager_eot_threshold;
        let is_eager = (0.3..=0.9).contains(&eager) && eager <= self.eot_threshold;
        let checks = [
            ("eot_threshold", "0.5 to 1.0", (0.5..=1.0).contains(&self.eot_threshold)),
            ("eager_eot_threshold", "0, or 0.3 to 0.9 and at most eot_threshold", eager == 0.0 || is_eager),
            ("eot_timeout_ms", "500 to 60000", (500..=60_000).contains(&self.eot_timeout_ms)),
        ];
        checks.into_iter().filter(|(.., is_valid)| !is_valid).map(|(key, range, _)| (key, range)).collect()
    }
}

pub struct Flux {
    name: Arc<str>,
    endpoint: SocketEndpoint,
    settings: Settings,
    models: Names,
}

impl Flux {
    pub fn new(name: Arc<str>, endpoint: SocketEndpoint, settings: Settings) -> Flux {
        let models = Names::models(&settings.model, &settings.models);
        Flux { name, endpoint, settings, models }
    }

    fn query(&self, rate: u32, hints: &Hints) -> Result<Vec<(String, String)>, EngineError> {
        let model = self.model(hints)?;
        let mut ours = vec![
            ("model", model.clone()),
            ("encoding", "linear16".to_owned()),
            ("sample_rate", rate.to_string()),
            ("eot_threshold", self.settings.eot_threshold.to_string()),
            ("eot_timeout_ms", self.settings.eot_timeout_ms.to_string()),
        ];
        if self.settings.eager_eot_threshold > 0.0 {
            ours.push(("eager_eot_threshold", self.settings.eager_eot_threshold.to_string()));
        }
        for language in languages(hints, &model)? {
            ours.push(("language_hint", language));
        }
        let terms = terms::of_deepgram(hints, &model).into_iter();
        ours.extend(terms.map(|term| ("keyterm", term.to_owned())));
        let is_ours = |name: &str| !self.settings.extra.names().any(|extra| extra == name);
        let ours = ours.into_iter().filter(|(name, _)| is_ours(name));
        let ours = ours.map(|(name, value)| (name.to_owned(), value));
        Ok(ours.chain(self.settings.extra.query_fields()).collect())
    }
}

/// The ten languages of `flux-general-multi`: <https://developers.deepgram.com/docs/flux/language-prompting>, and the same in
/// pipecat of 2026-08-21 (`services/deepgram/flux/stt_base.py`). A region is left out.
const MULTI: [&str; 10] = ["de", "en", "es", "fr", "hi", "it", "ja", "nl", "pt", "ru"];

/// The languages that a model is told to expect, each once, without those that it does not know.
/// <https://developers.deepgram.com/docs/flux/language-prompting>
fn languages(hints: &Hints, model: &str) -> Result<Vec<String>, EngineError> {
    let tags = hints.language.iter().chain(&*hints.languages);
    let codes = tags.map(|tag| code(tag)).collect::<Result<Vec<_>, _>>()?;
    if model.contains("multi") {
        let mut known: Vec<String> = Vec::new();
        for code in codes {
            if MULTI.contains(&code.as_str()) && !known.contains(&code) {
                known.push(code);
            }
        }
        return Ok(known);
    }
    match codes.into_iter().find(|code| code != "en") {
        Some(other) => {
            Err(EngineError::Permanent(format!("the model {model} knows English alone, not \"{other}\"")))
        }
        None => Ok(Vec::new()),
    }
}

impl Protocol for Flux {
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
            let dialogue = FluxDialogue { endpoint: self.endpoint.clone(), rate, silences: 0 };
            Ok(LiveConnection { endpoint: self.endpoint.clone(), socket, dialogue: Box::new(dialogue) })
        }
        .boxed()
    }

    fn timeline(&self, rate: u32, final_timeout: Duration) -> Box<dyn SessionTimeline> {
        Box::new(TurnTimeline::new(rate, final_timeout))
    }
}

struct FluxDialogue {
    endpoint: SocketEndpoint,
    rate: u32,
    /// How often silence was sent to keep the connection alive.
    silences: u32,
}

impl Dialogue for FluxDialogue {
    fn write(&mut self, frame: &Frame) -> Message {
        match frame {
            Frame::Audio(samples) => Message::binary(linear16(samples)),
            Frame::Commit => Message::text(r#"{"type":"ForceEndTurn"}"#),
        }
    }

    fn keep_alive(&mut self) -> Message {
        self.silences = self.silences.saturating_add(1);
        let samples = self.rate * SILENCE_MS / 1_000;
        Message::binary(vec![0; 2 * samples as usize])
    }

    fn read(&mut self, text: &str) -> Result<Vec<TranscriptEvent>, EngineError> {
        let message: FluxMessage = serde_json::from_str(text)
            .map_err(|error| EngineError::Temporary(format!("no message of Deepgram's: {error}")))?;
        match message {
            FluxMessage::TurnInfo(turn) => Ok(vec![TranscriptEvent::Turn(turn.info(self.silences))]),
            FluxMessage::Error { description } => {
                let text = self.endpoint.cleaned(&description);
                Err(EngineError::refused(FailureReason::Unavailable, text))
            }
            FluxMessage::Other => Ok(Vec::new()),
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum FluxMessage {
    TurnInfo(TurnMessage),
    Error {
        #[serde(default)]
        description: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct TurnMessage {
    event: TurnEvent,
    turn_index: u32,
    /// Seconds of the connection's audio.
    #[serde(default)]
    audio_window_end: f64,
    #[serde(default)]
    transcript: String,
}

#[derive(Deserialize)]
enum TurnEvent {
    EagerEndOfTurn,
    TurnResumed,
    EndOfTurn,
    /// `Update` and `StartOfTurn`.
    #[serde(other)]
    Other,
}

impl TurnMessage {
    /// The silence that kept the connection alive is no audio of the session's.
    fn info(self, silences: u32) -> TurnInfo {
        let state = match self.event {
            TurnEvent::EagerEndOfTurn => TurnState::MayEnd,
            TurnEvent::TurnResumed => TurnState::Resumed,
            TurnEvent::EndOfTurn => TurnState::Ended,
            TurnEvent::Other => TurnState::Open,
        };
        // The conversion saturates, and makes 0 of NaN.
        let end_ms = (self.audio_window_end * 1_000.0) as u64;
        let until_ms = end_ms.saturating_sub(u64::from(silences) * u64::from(SILENCE_MS));
        TurnInfo { index: self.turn_index, state, text: self.transcript, until_ms }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::engines::core::openai;

    fn engine(settings: &str) -> Flux {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = openai::Settings { base_url: "http://127.0.0.1:1/v2".into(), ..Default::default() };
        let endpoint = SocketEndpoint::new(&server, AUTH).expect("an endpoint");
        Flux::new("flux".into(), endpoint, toml::from_str(settings).expect("settings"))
    }

    /// Made once: that reads the authorities of the system.
    static ENDPOINT: LazyLock<SocketEndpoint> = LazyLock::new(|| engine("").endpoint);

    fn dialogue() -> FluxDialogue {
        FluxDialogue { endpoint: ENDPOINT.clone(), rate: 8_000, silences: 0 }
    }

    #[test]
    fn the_query_has_rate_thresholds_languages_and_terms() {
        let text = |engine: &Flux, hints: &Hints| {
            engine.query(8_000, hints).map(|query| serde_urlencoded::to_string(query).expect("a query"))
        };
        let hints =
            Hints { language: Some("de-AT".into()), key_terms: ["Zoë".into()].into(), ..Hints::default() };
        assert_eq!(
            text(&engine(""), &hints).as_deref(),
            Ok(
                "model=flux-general-multi&encoding=linear16&sample_rate=8000&eot_threshold=0.7&eot_timeout_ms=5000\
                &eager_eot_threshold=0.5&language_hint=de&keyterm=Zo%C3%AB"
            )
        );
        let several =
            Hints { languages: ["en-IN".into(), "hi".into(), "en-GB".into()].into(), ..Hints::default() };
        let own = engine("eager_eot_threshold = 0\nextra = { keyterm = [\"Ada\"], tag = \"x\" }");
        let query = text(&own, &several).expect("a query");
        assert!(query.ends_with("&language_hint=en&language_hint=hi&keyterm=Ada&tag=x"), "{query}");
        assert!(!query.contains("eager"), "{query}");
        let english = engine("model = \"flux-general-en\"");
        let error = text(&english, &hints).expect_err("not in German");
        assert_eq!(error.to_string(), "the model flux-general-en knows English alone, not \"de\"");
        let hints = Hints { language: Some("en-GB".into()), ..Hints::default() };
        assert!(!text(&english, &hints).expect("a query").contains("language_hint"));
        let unknown = Hints { language: Some("cy".into()), ..Hints::default() };
        assert!(!text(&engine(""), &unknown).expect("a query").contains("language_hint"));
        let hints = Hints { model: Some("../flux".into()), ..Hints::default() };
        assert_eq!(text(&english, &hints).expect_err("no such model").reason(), FailureReason::Model);
    }

    #[test]
    fn values_that_the_server_refuses_are_found() {
        let keys = |settings: &str| -> Vec<&str> {
            let settings: Settings = toml::from_str(settings).expect("settings");
            settings.out_of_range().into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(""), [""; 0]);
        assert_eq!(keys("eager_eot_threshold = 0\neot_threshold = 1.0\neot_timeout_ms = 60000"), [""; 0]);
        assert_eq!(keys("eot_threshold = 0.4"), ["eot_threshold", "eager_eot_threshold"]);
        assert_eq!(keys("eot_threshold = 0.6\neager_eot_threshold = 0.7"), ["eager_eot_threshold"]);
        assert_eq!(
            keys("eager_eot_threshold = 0.2\neot_timeout_ms = 100"),
            ["eager_eot_threshold", "eot_timeout_ms"]
        );
    }

    #[test]
    fn messages_are_read() {
        let turn = |event: &str| {
            let text = format!(
                r#"{{"type":"TurnInfo","request_id":"r","sequence_id":3,"event":"{event}","turn_index":2,"audio_window_start":0.5,
                    "audio_window_end":2.25,"transcript":"Hello","words":[],"end_of_turn_confidence":0.1}}"#
            );
            dialogue().read(&text).expect("a message")
        };
        let info = |state| {
            vec![TranscriptEvent::Turn(TurnInfo { index: 2, state, text: "Hello".into(), until_ms: 2_250 })]
        };
        for event in ["StartOfTurn", "Update", "SomethingNew"] {
            assert_eq!(turn(event), info(TurnState::Open), "{event}");
        }
        assert_eq!(turn("EagerEndOfTurn"), info(TurnState::MayEnd));
        assert_eq!(turn("TurnResumed"), info(TurnState::Resumed));
        assert_eq!(turn("EndOfTurn"), info(TurnState::Ended));
        for text in [r#"{"type":"Connected","request_id":"r"}"#, r#"{"type":"ConfigureSuccess"}"#] {
            assert_eq!(dialogue().read(text), Ok(Vec::new()));
        }
        let error = dialogue().read(r#"{"type":"Error","code":"X","description":"wrong"}"#);
        assert!(error.is_err_and(|error| error.to_string() == "wrong"));
    }

    #[test]
    fn silence_that_keeps_the_connection_alive_is_not_counted() {
        let mut dialogue = dialogue();
        for _ in 0..3 {
            assert_eq!(dialogue.keep_alive(), Message::binary(vec![0; 1_280]));
        }
        let text = r#"{"type":"TurnInfo","event":"Update","turn_index":0,"audio_window_end":1.24}"#;
        let info = TurnInfo { index: 0, state: TurnState::Open, text: String::new(), until_ms: 1_000 };
        assert_eq!(dialogue.read(text), Ok(vec![TranscriptEvent::Turn(info)]));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            let _ = dialogue().read(&text);
        }
    }
}
