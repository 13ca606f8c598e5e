//! Accounts at vendors: one key for each, and an engine under the vendor's name.

use std::collections::BTreeMap;

use super::Settings;
use super::named::{LlmSpec, Named, Remote, Spec, SttSpec, TtsSpec};
use crate::engines::core::server;
use crate::engines::llm::anthropic;
use crate::engines::stt::flux;
use crate::engines::tts::{deepgram, elevenlabs};

/// The names of the engines that accounts add.
pub const ANTHROPIC: &str = "anthropic";
pub const ELEVENLABS: &str = "elevenlabs";
pub const DEEPGRAM: &str = "deepgram";

impl Settings {
    /// The engines of `[engines.NAME]`, those at a vendor's own address with the key of its account where they have none; and
    /// for each account an engine under the vendor's name, unless one has that name.
    pub(super) fn named_engines(&self) -> BTreeMap<String, Named> {
        let mut engines = self.engines.clone();
        let own = [
            (ANTHROPIC, &self.anthropic, Spec::Llm(LlmSpec::Anthropic(at(anthropic::BASE_URL)))),
            (ELEVENLABS, &self.elevenlabs, Spec::Tts(TtsSpec::ElevenLabs(at(elevenlabs::BASE_URL)))),
            (DEEPGRAM, &self.deepgram, Spec::Tts(TtsSpec::Deepgram(at(deepgram::BASE_URL)))),
        ];
        for (name, account, spec) in own {
            if account.key.is_some() {
                engines.entry(name.to_owned()).or_insert(Named { retry: None, spec });
            }
        }
        for engine in engines.values_mut() {
            self.lend_key(engine);
        }
        engines
    }

    /// The engine for speech of the first account, for profiles that name none.
    pub(super) fn account_voice(&self) -> Option<&'static str> {
        let engines = self.named_engines();
        let is_voice = |name: &str| matches!(engines.get(name), Some(Named { spec: Spec::Tts(_), .. }));
        let accounts = [(ELEVENLABS, &self.elevenlabs), (DEEPGRAM, &self.deepgram)];
        let with_key = accounts.into_iter().filter(|(name, account)| account.key.is_some() && is_voice(name));
        with_key.map(|(name, _)| name).next()
    }

    /// The language model of the account at Anthropic, for profiles that name none.
    pub(super) fn account_model(&self) -> Option<&'static str> {
        let engines = self.named_engines();
        let is_model = matches!(engines.get(ANTHROPIC), Some(Named { spec: Spec::Llm(_), .. }));
        (is_model && self.anthropic.key.is_some()).then_some(ANTHROPIC)
    }

    /// The key of an account is sent to the vendor's own address alone.
    fn lend_key(&self, engine: &mut Named) {
        let (server, key, own) = match &mut engine.spec {
            Spec::Llm(LlmSpec::Anthropic(remote)) => {
                (&mut remote.server, &self.anthropic.key, anthropic::BASE_URL)
            }
            Spec::Tts(TtsSpec::ElevenLabs(remote)) => {
                (&mut remote.server, &self.elevenlabs.key, elevenlabs::BASE_URL)
            }
            Spec::Stt(SttSpec::Scribe(remote)) => {
                (&mut remote.server, &self.elevenlabs.key, elevenlabs::BASE_URL)
            }
            Spec::Tts(TtsSpec::Deepgram(remote)) => {
                (&mut remote.server, &self.deepgram.key, deepgram::BASE_URL)
            }
            Spec::Stt(SttSpec::Deepgram(remote)) => {
                (&mut remote.server, &self.deepgram.key, deepgram::BASE_URL)
            }
            Spec::Stt(SttSpec::Flux(remote)) => (&mut remote.server, &self.deepgram.key, flux::BASE_URL),
            Spec::Stt(SttSpec::Realtime(remote)) if is_own(&self.openai, server::OPENAI) => {
                (&mut remote.server, &self.openai.key, server::OPENAI)
            }
            Spec::Realtime(remote) if is_own(&self.openai, server::OPENAI) => {
                (&mut remote.server, &self.openai.key, server::OPENAI)
            }
            _ => return,
        };
        if server.key.is_none() && is_own(server, own) {
            server.key.clone_from(key);
        }
    }
}

fn is_own(server: &server::Settings, own: &str) -> bool {
    server.base_url.trim_end_matches('/') == own
}

fn at<O: Default>(base_url: &str) -> Remote<O> {
    let server = server::Settings { base_url: base_url.to_owned(), ..server::Settings::default() };
    Remote { server, options: O::default() }
}
