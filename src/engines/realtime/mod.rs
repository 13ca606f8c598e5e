//! Speech to speech: a model that hears the caller and speaks itself, by OpenAI's Realtime API.
//!
//! A call has one [`VoiceSession`] over a WebSocket. Detection of turns by the server is off: the owner decides when an utterance
//! begins and ends, and when the model responds. [`ServerHistory`] keeps the conversation on the server as it was heard. A session
//! that fails is not repaired: its owner goes on with other engines.

mod events;
mod history;
mod link;
mod response;
mod session;
#[cfg(test)]
pub mod testing;
pub mod trial;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::engines::core::EngineError;
use crate::engines::core::extra::Extra;
use crate::engines::core::languages::LanguageCodes;
use crate::engines::core::retry::{self, Kind, Policy};
use crate::engines::core::server::Auth;
use crate::engines::core::shares::TenantShares;
use crate::engines::core::usage::Meter;
use crate::engines::llm::{Prompt, ToolSpec};
use crate::engines::stt::Hints;
use crate::engines::stt::realtime::{RealtimeEncoding, transcription};
use crate::names::Names;

pub use events::{ClientEvent, ServerEvent};
pub use history::ServerHistory;
pub use link::{ConnectionEvent, LinkEnds, SessionLink, Transport};
pub use response::VoicePart;
pub use session::{ResponseKey, VoiceEvent, VoiceSession};

/// How requests carry the key.
pub const AUTH: Auth = Auth::Scheme("Bearer");
/// Tokens of speech for a token of text: at some fifteen characters a second, a token of text lasts about a quarter of a second,
/// and the model's speech takes 20 tokens a second beside those of its transcript.
const SPEECH_TOKENS: u32 = 8;
/// The most tokens of a response that the API takes.
const MOST_TOKENS: u32 = 4_096;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The model of profiles that name none. Default `gpt-realtime-2.1`.
    pub model: String,
    /// More models that profiles may choose; `*` allows every one. Default: none but `model`.
    pub models: Vec<String>,
    /// The voice of profiles that name none. Default `marin`.
    pub voice: String,
    /// The model that transcribes the caller for the record, which decides whether a sentence is finished. Default `gpt-transcribe`.
    pub transcription_model: String,
    /// How long the transcript of an utterance may take after its end, in milliseconds. Then the other engines take over. Default 2000.
    pub final_timeout_ms: u64,
    /// How long a response may take until its first event, and then pause, in milliseconds. Then the other engines take over.
    /// Default 4000.
    pub response_timeout_ms: u64,
    /// The longest response of profiles that set none, in tokens of the session (about 25 a second). Default 2000.
    pub max_tokens: u32,
    /// Further fields of the session, such as `tracing`. None by default.
    pub extra: Extra,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: "gpt-realtime-2.1".into(),
            models: Vec::new(),
            voice: "marin".into(),
            transcription_model: "gpt-transcribe".into(),
            final_timeout_ms: 2_000,
            response_timeout_ms: 4_000,
            max_tokens: 2_000,
            extra: Extra::default(),
        }
    }
}

/// The rule for voices: any name, since accounts have voices of their own.
pub fn voices() -> Names {
    Names::Token
}

/// The terms of a session.
#[derive(Debug, Clone, Default)]
pub struct VoiceTerms {
    /// Samples per second of the call's audio, in both directions.
    pub rate: u32,
    /// The caller's language and terms; its model is not used.
    pub hints: Hints,
    /// The model; the engine's default when absent.
    pub model: Option<Arc<str>>,
    /// As above.
    pub voice: Option<Arc<str>>,
    /// Counts the usage.
    pub meter: Meter,
}

/// An engine that hears and speaks.
pub struct VoiceEngine {
    name: Arc<str>,
    transport: Arc<dyn Transport>,
    policy: Policy,
    settings: Settings,
    models: Names,
}

impl VoiceEngine {
    /// `limits` are those of connecting.
    pub fn new(
        name: Arc<str>,
        transport: Arc<dyn Transport>,
        limits: retry::Settings,
        settings: Settings,
    ) -> VoiceEngine {
        let models = Names::models(&settings.model, &settings.models);
        let policy = Policy::new(Kind::Realtime, name.clone(), limits).with_fallback(true);
        VoiceEngine { name, transport, policy, settings, models }
    }

    /// The name by which profiles choose the engine.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The same engine for the requests of one tenant.
    #[must_use]
    pub fn within(&self, shares: &Arc<TenantShares>) -> VoiceEngine {
        VoiceEngine {
            name: self.name.clone(),
            transport: self.transport.clone(),
            policy: self.policy.clone().with_shares(shares),
            settings: self.settings.clone(),
            models: self.models.clone(),
        }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Opens a session: connects at once. Dropping it closes the connection.
    pub fn open(self: &Arc<Self>, terms: &VoiceTerms) -> VoiceSession {
        let link = self.checked(terms).map(|(model, settings)| {
            let link = self.transport.open(self.policy.clone(), &model, settings);
            (link, model)
        });
        VoiceSession::new(self, terms, link)
    }

    /// The model and the settings of a session.
    fn checked(&self, terms: &VoiceTerms) -> Result<(String, Value), EngineError> {
        let model = terms.model.as_deref().unwrap_or(&self.settings.model);
        self.models.check(model).map_err(|error| EngineError::name("model", &error))?;
        let voice = terms.voice.as_deref().unwrap_or(&self.settings.voice);
        voices().check(voice).map_err(|error| EngineError::name("voice", &error))?;
        let format = RealtimeEncoding::of(terms.rate).format();
        let transcription =
            transcription(&self.settings.transcription_model, &terms.hints, &LanguageCodes::default())?;
        let mut session = json!({
            "type": "realtime", "output_modalities": ["audio"],
            "audio": {
                "input": { "format": format, "transcription": transcription, "turn_detection": null },
                "output": { "format": format, "voice": voice },
            },
        });
        self.settings.extra.merge_into(&mut session);
        Ok((model.to_owned(), session))
    }

    /// The settings of a session that depend on the prompt.
    fn response_settings(&self, prompt: &Prompt) -> Value {
        let tool = |tool: &ToolSpec| {
            json!({ "type": "function", "name": tool.name, "description": tool.description,
                    "parameters": *tool.parameters })
        };
        json!({
            "type": "realtime", "instructions": prompt.system, "tool_choice": "auto",
            "tools": prompt.tools.iter().map(tool).collect::<Vec<_>>(),
            "max_output_tokens": self.max_tokens(prompt.max_tokens),
        })
    }

    /// The longest response to a prompt, in tokens of the session.
    fn max_tokens(&self, text_tokens: Option<u32>) -> u32 {
        let wanted = text_tokens.map(|tokens| tokens.saturating_mul(SPEECH_TOKENS));
        wanted.unwrap_or(self.settings.max_tokens).clamp(1, MOST_TOKENS)
    }

    /// The model that transcribes the caller.
    pub fn transcription_model(&self) -> &str {
        &self.settings.transcription_model
    }

    fn final_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.final_timeout_ms)
    }

    fn response_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.response_timeout_ms)
    }
}
