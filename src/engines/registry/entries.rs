//! All configured engines of a kind: the built-in ones, described by `[openai]`, `[stt]`, `[llm]` and `[tts]`, and those of
//! `[engines.NAME]`.

mod speech;

use std::sync::Arc;
use std::time::Duration;

use super::Settings;
use super::named::{LlmSpec, Named, Remote, Spec, SttSpec, TtsSpec};
use super::stt_engine::SttEngine;
use crate::engines::core::openai::Endpoint;
use crate::engines::core::server::{Auth, SettingsError};
use crate::engines::core::websocket::SocketEndpoint;
use crate::engines::core::{retry, server};
use crate::engines::llm::{self, Llm};
use crate::engines::stt::live::{FINAL_TIMEOUT_MS, LiveEngine, Protocol};
use crate::engines::stt::{self, Transcriber};
use crate::engines::tts::{self, Tts};
use crate::names::{EngineNames, Names};
use crate::violation::Violation;

/// The section of all servers of built-in engines.
const OPENAI: &str = "openai";

/// A configured engine.
#[derive(Debug, Clone)]
pub struct Entry<S> {
    /// The name by which profiles and fallbacks choose it.
    pub name: Arc<str>,
    /// The section of the configuration with its options, such as `llm.openai` or `engines.groq`.
    pub section: String,
    pub retry: retry::Settings,
    pub spec: S,
}

/// The result of building an engine: none when a built-in engine is not configured.
pub(super) type Built<T> = Result<Option<Arc<T>>, Violation>;

impl<S> Entry<S> {
    fn built_in(kind: retry::Kind, name: &str, retry: &retry::Settings, spec: S) -> Entry<S> {
        Entry { name: name.into(), section: format!("{kind}.{name}"), retry: retry.clone(), spec }
    }

    pub(super) fn named(name: &str, named: &Named, retry: &retry::Settings, spec: &S) -> Entry<S>
    where
        S: Clone,
    {
        let retry = named.retry.as_ref().unwrap_or(retry).clone();
        Entry { name: name.into(), section: format!("engines.{name}"), retry, spec: spec.clone() }
    }

    pub fn is_built_in(&self) -> bool {
        !self.section.starts_with("engines.")
    }

    /// The section of the configuration with its server.
    pub fn server_section(&self) -> &str {
        if self.is_built_in() { OPENAI } else { &self.section }
    }

    fn server_violation(&self, error: SettingsError) -> Violation {
        Violation::new(format!("{}.{}", self.server_section(), error.key), error.to_string())
    }

    /// The endpoint of a server: none for a built-in engine without an address or a key.
    fn endpoint(&self, server: &server::Settings) -> Result<Option<Endpoint>, Violation> {
        match server.is_complete() {
            true => Endpoint::new(server).map(Some).map_err(|error| self.server_violation(error)),
            false if self.is_built_in() => Ok(None),
            false => Err(self.server_violation(SettingsError::new(
                "key",
                "OpenAI's server needs a key: set it, or base_url",
            ))),
        }
    }
}

impl<S> Entry<S> {
    /// The endpoint of another vendor; its own server needs a key.
    fn vendor(&self, server: &server::Settings, own: &str, auth: Auth) -> Result<Endpoint, Violation> {
        self.check_key(server, own)?;
        Endpoint::with_auth(server, auth).map_err(|error| self.server_violation(error))
    }

    /// The same for WebSockets.
    pub(super) fn socket(
        &self,
        server: &server::Settings,
        own: &str,
        auth: Auth,
    ) -> Result<SocketEndpoint, Violation> {
        self.check_key(server, own)?;
        SocketEndpoint::new(server, auth).map_err(|error| self.server_violation(error))
    }

    fn check_key(&self, server: &server::Settings, own: &str) -> Result<(), Violation> {
        if server.key.is_some() || server.base_url.trim_end_matches('/') != own {
            return Ok(());
        }
        Err(self.server_violation(SettingsError::new("key", format!("{own} needs a key: set it"))))
    }
}

impl Entry<SttSpec> {
    pub fn server(&self) -> Option<&server::Settings> {
        match &self.spec {
            SttSpec::OpenAi(Remote { server, .. })
            | SttSpec::Realtime(Remote { server, .. })
            | SttSpec::Scribe(Remote { server, .. })
            | SttSpec::Deepgram(Remote { server, .. })
            | SttSpec::Flux(Remote { server, .. }) => Some(server),
            SttSpec::Pocketsphinx(_) => None,
        }
    }

    /// The model of calls with a profile that names none, and the further ones; none for an engine without models.
    pub fn models(&self) -> Option<(&str, &[String])> {
        match &self.spec {
            SttSpec::OpenAi(Remote { server, options }) => {
                Some((options.model_at(&server.base_url), &options.models))
            }
            SttSpec::Realtime(Remote { options, .. }) => Some((&options.model, &options.models)),
            SttSpec::Scribe(Remote { options, .. }) => Some((&options.model, &options.models)),
            SttSpec::Deepgram(Remote { options, .. }) => Some((&options.model, &options.models)),
            SttSpec::Flux(Remote { options, .. }) => Some((&options.model, &options.models)),
            SttSpec::Pocketsphinx(_) => None,
        }
    }

    pub fn names(&self) -> EngineNames {
        EngineNames::new(&self.name, allowed(self.models()), Names::None)
    }

    /// How long a live engine's last words may take; none for an engine that transcribes clips.
    pub fn final_timeout_ms(&self) -> Option<u64> {
        match &self.spec {
            SttSpec::Realtime(Remote { options, .. }) => Some(options.final_timeout_ms),
            SttSpec::Scribe(Remote { options, .. }) => Some(options.final_timeout_ms),
            SttSpec::Deepgram(Remote { options, .. }) => Some(options.final_timeout_ms),
            SttSpec::Flux(Remote { options, .. }) => Some(options.final_timeout_ms),
            SttSpec::OpenAi(_) | SttSpec::Pocketsphinx(_) => None,
        }
    }

    /// Builds it. `phrases` are those of the script, for pocketsphinx without phrases of its own.
    pub(super) fn build(&self, phrases: &[String]) -> Result<Option<SttEngine>, Violation> {
        if let Some(live) = self.build_live()? {
            return Ok(Some(SttEngine::Live(live)));
        }
        let engine = self.build_transcriber(phrases)?;
        Ok(engine.map(|it| SttEngine::Clips(stt::Resilient::new(it, self.retry.clone(), None))))
    }

    /// Builds an engine that takes audio as it arrives; none for one that transcribes clips.
    fn build_live(&self) -> Result<Option<LiveEngine>, Violation> {
        let name = self.name.clone();
        let protocol: Arc<dyn Protocol> = match &self.spec {
            SttSpec::Realtime(Remote { server, options }) => {
                let endpoint = self.socket(server, server::OPENAI, stt::realtime::AUTH)?;
                Arc::new(stt::realtime::Realtime::new(name, endpoint, options.clone()))
            }
            SttSpec::Scribe(Remote { server, options }) => {
                let endpoint = self.socket(server, stt::scribe::BASE_URL, stt::scribe::AUTH)?;
                Arc::new(stt::scribe::Scribe::new(name, endpoint, options.clone()))
            }
            SttSpec::Deepgram(Remote { server, options }) => {
                let endpoint = self.socket(server, stt::deepgram::BASE_URL, stt::deepgram::AUTH)?;
                Arc::new(stt::deepgram::DeepgramStt::new(name, endpoint, options.clone()))
            }
            SttSpec::Flux(Remote { server, options }) => {
                let endpoint = self.socket(server, stt::flux::BASE_URL, stt::flux::AUTH)?;
                Arc::new(stt::flux::Flux::new(name, endpoint, options.clone()))
            }
            SttSpec::OpenAi(_) | SttSpec::Pocketsphinx(_) => return Ok(None),
        };
        let final_timeout = Duration::from_millis(self.final_timeout_ms().unwrap_or(FINAL_TIMEOUT_MS));
        Ok(Some(LiveEngine::new(protocol, self.retry.clone(), final_timeout)))
    }

    fn build_transcriber(&self, phrases: &[String]) -> Built<dyn Transcriber> {
        let name = self.name.clone();
        match &self.spec {
            SttSpec::OpenAi(Remote { server, options }) => {
                let endpoint = self.endpoint(server)?;
                Ok(endpoint.map(|it| Arc::new(stt::openai::OpenAiStt::new(name, it, options.clone())) as _))
            }
            SttSpec::Realtime(_) | SttSpec::Scribe(_) | SttSpec::Deepgram(_) | SttSpec::Flux(_) => Ok(None),
            SttSpec::Pocketsphinx(options) => {
                let mut options = options.clone();
                if options.phrases.is_empty() {
                    options.phrases = phrases.to_vec();
                }
                let engine = stt::pocketsphinx::Pocketsphinx::new(name, &options);
                engine
                    .map(|it| Some(Arc::new(it) as _))
                    .map_err(|error| Violation::new(&self.section, error.to_string()))
            }
        }
    }
}

impl Entry<LlmSpec> {
    pub fn server(&self) -> Option<&server::Settings> {
        match &self.spec {
            LlmSpec::OpenAi(Remote { server, .. })
            | LlmSpec::Responses(Remote { server, .. })
            | LlmSpec::Anthropic(Remote { server, .. }) => Some(server),
            LlmSpec::Scripted(_) => None,
        }
    }

    /// As [`Entry::<SttSpec>::models`].
    pub fn models(&self) -> Option<(&str, &[String])> {
        match &self.spec {
            LlmSpec::OpenAi(Remote { options, .. }) => Some((&options.model, &options.models)),
            LlmSpec::Responses(Remote { options, .. }) => Some((&options.model, &options.models)),
            LlmSpec::Anthropic(Remote { options, .. }) => Some((&options.model, &options.models)),
            LlmSpec::Scripted(_) => None,
        }
    }

    pub fn names(&self) -> EngineNames {
        EngineNames::new(&self.name, allowed(self.models()), Names::None)
    }

    /// The longest reply of profiles that set none, in tokens; none for an engine without tokens.
    pub fn max_tokens(&self) -> Option<u32> {
        match &self.spec {
            LlmSpec::OpenAi(Remote { options, .. }) => Some(options.max_tokens),
            LlmSpec::Responses(Remote { options, .. }) => Some(options.max_tokens),
            LlmSpec::Anthropic(Remote { options, .. }) => Some(options.max_tokens),
            LlmSpec::Scripted(_) => None,
        }
    }

    /// The phrases of callers in its script; none for an engine without a script.
    pub(super) fn phrases(&self) -> Vec<String> {
        match &self.spec {
            LlmSpec::Scripted(options) => llm::scripted::ScriptedLlm::new(self.name.clone(), options)
                .map(|it| it.phrases().to_vec())
                .unwrap_or_default(),
            LlmSpec::OpenAi(_) | LlmSpec::Responses(_) | LlmSpec::Anthropic(_) => Vec::new(),
        }
    }

    /// Whether it answers by the built-in script, which belongs to no tenant.
    pub(super) fn is_built_in_script(&self) -> bool {
        matches!(&self.spec, LlmSpec::Scripted(options) if options.script.is_none())
    }

    pub(super) fn build(&self) -> Built<dyn Llm> {
        let name = self.name.clone();
        match &self.spec {
            LlmSpec::OpenAi(Remote { server, options }) => {
                let endpoint = self.endpoint(server)?;
                Ok(endpoint.map(|it| Arc::new(llm::openai::OpenAiLlm::new(name, it, options.clone())) as _))
            }
            LlmSpec::Responses(Remote { server, options }) => {
                let endpoint = self.endpoint(server)?;
                let engine = |it| llm::responses::ResponsesLlm::new(name, it, options.clone());
                Ok(endpoint.map(|it| Arc::new(engine(it)) as _))
            }
            LlmSpec::Anthropic(Remote { server, options }) => {
                let endpoint = self.vendor(server, llm::anthropic::BASE_URL, llm::anthropic::AUTH)?;
                let engine = llm::anthropic::AnthropicLlm::new(name, endpoint, options.clone());
                Ok(Some(Arc::new(engine)))
            }
            LlmSpec::Scripted(options) => match llm::scripted::ScriptedLlm::new(name, options) {
                Ok(engine) => Ok(Some(Arc::new(engine))),
                Err(error) => Err(Violation::new(format!("{}.script", self.section), error.to_string())),
            },
        }
    }
}

impl Entry<TtsSpec> {
    pub fn server(&self) -> Option<&server::Settings> {
        match &self.spec {
            TtsSpec::OpenAi(Remote { server, .. })
            | TtsSpec::Cartesia(Remote { server, .. })
            | TtsSpec::ElevenLabs(Remote { server, .. })
            | TtsSpec::Deepgram(Remote { server, .. }) => Some(server),
            TtsSpec::Espeak(_) | TtsSpec::Flite(_) => None,
        }
    }

    /// As [`Entry::<SttSpec>::models`].
    pub fn models(&self) -> Option<(&str, &[String])> {
        match &self.spec {
            TtsSpec::OpenAi(Remote { options, .. }) => Some((&options.model, &options.models)),
            TtsSpec::Cartesia(Remote { options, .. }) => Some((&options.model, &options.models)),
            TtsSpec::ElevenLabs(Remote { options, .. }) => Some((&options.model, &options.models)),
            TtsSpec::Deepgram(_) | TtsSpec::Espeak(_) | TtsSpec::Flite(_) => None,
        }
    }

    /// The voice of profiles that name none, and the rule for voices.
    pub fn voice(&self) -> (&str, Names) {
        match &self.spec {
            TtsSpec::OpenAi(Remote { options, .. }) => (&options.voice, tts::openai::voices()),
            TtsSpec::Cartesia(Remote { options, .. }) => (&options.voice, tts::cartesia::voices()),
            TtsSpec::ElevenLabs(Remote { options, .. }) => (&options.voice, tts::elevenlabs::voices()),
            TtsSpec::Deepgram(Remote { options, .. }) => (&options.voice, tts::deepgram::voices()),
            TtsSpec::Espeak(options) => (&options.voice, tts::espeak::voices()),
            TtsSpec::Flite(options) => (&options.voice, tts::flite::voices()),
        }
    }

    pub fn names(&self) -> EngineNames {
        EngineNames::new(&self.name, allowed(self.models()), self.voice().1)
    }

    pub(super) fn build(&self) -> Built<dyn Tts> {
        let name = self.name.clone();
        Ok(match &self.spec {
            TtsSpec::OpenAi(Remote { server, options }) => self
                .endpoint(server)?
                .map(|it| Arc::new(tts::openai::OpenAiTts::new(name, it, options.clone())) as _),
            TtsSpec::Cartesia(remote) => Some(Arc::new(self.cartesia(remote)?)),
            TtsSpec::ElevenLabs(remote) => Some(Arc::new(self.elevenlabs(remote)?)),
            TtsSpec::Deepgram(remote) => Some(Arc::new(self.deepgram(remote)?)),
            TtsSpec::Espeak(options) => Some(Arc::new(tts::espeak::Espeak::new(name, options.clone()))),
            TtsSpec::Flite(options) => Some(Arc::new(tts::flite::Flite::new(name, options.clone()))),
        })
    }
}

pub(super) fn allowed(models: Option<(&str, &[String])>) -> Names {
    models.map_or(Names::None, |(model, more)| Names::models(model, more))
}

impl Settings {
    /// Every engine for speech to text, `openai` first, built or not.
    pub fn stt_entries(&self) -> Vec<Entry<SttSpec>> {
        let retry = &self.stt.retry;
        let entry = |name, spec| Entry::built_in(retry::Kind::Stt, name, retry, spec);
        let mut entries = vec![
            entry(OPENAI, SttSpec::OpenAi(self.remote(&self.stt.openai))),
            entry("pocketsphinx", SttSpec::Pocketsphinx(self.stt.pocketsphinx.clone())),
        ];
        entries.extend(self.named_engines().iter().filter_map(|(name, named)| match &named.spec {
            Spec::Stt(spec) => Some(Entry::named(name, named, retry, spec)),
            _ => None,
        }));
        entries
    }

    /// Every language model, as above.
    pub fn llm_entries(&self) -> Vec<Entry<LlmSpec>> {
        let retry = &self.llm.retry;
        let entry = |name, spec| Entry::built_in(retry::Kind::Llm, name, retry, spec);
        let mut entries = vec![
            entry(OPENAI, LlmSpec::OpenAi(self.remote(&self.llm.openai))),
            entry("scripted", LlmSpec::Scripted(self.llm.scripted.clone())),
        ];
        entries.extend(self.named_engines().iter().filter_map(|(name, named)| match &named.spec {
            Spec::Llm(spec) => Some(Entry::named(name, named, retry, spec)),
            _ => None,
        }));
        entries
    }

    /// Every engine for text to speech, as above.
    pub fn tts_entries(&self) -> Vec<Entry<TtsSpec>> {
        let retry = &self.tts.retry;
        let entry = |name, spec| Entry::built_in(retry::Kind::Tts, name, retry, spec);
        let mut entries = vec![
            entry(OPENAI, TtsSpec::OpenAi(self.remote(&self.tts.openai))),
            entry("espeak", TtsSpec::Espeak(self.tts.espeak.clone())),
            entry("flite", TtsSpec::Flite(self.tts.flite.clone())),
        ];
        entries.extend(self.named_engines().iter().filter_map(|(name, named)| match &named.spec {
            Spec::Tts(spec) => Some(Entry::named(name, named, retry, spec)),
            _ => None,
        }));
        entries
    }

    fn remote<O: Clone>(&self, options: &O) -> Remote<O> {
        Remote { server: self.openai.clone(), options: options.clone() }
    }
}
