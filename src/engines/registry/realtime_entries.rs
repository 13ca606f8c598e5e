//! The configured speech-to-speech engines, all of them of `[engines.NAME]`.

use std::sync::Arc;

use super::Settings;
use super::entries::{Built, Entry, allowed};
use super::named::{RealtimeSpec, Spec};
use crate::engines::core::{retry, server};
use crate::engines::realtime::{self, VoiceEngine};
use crate::names::EngineNames;

impl Entry<RealtimeSpec> {
    pub fn server(&self) -> &server::Settings {
        &self.spec.server
    }

    /// The model of calls with a profile that names none, and the further ones.
    pub fn models(&self) -> (&str, &[String]) {
        (&self.spec.options.model, &self.spec.options.models)
    }

    pub fn names(&self) -> EngineNames {
        EngineNames::new(&self.name, allowed(Some(self.models())), realtime::voices())
    }

    pub(super) fn build(&self) -> Built<VoiceEngine> {
        let endpoint = self.socket(self.server(), server::OPENAI, realtime::AUTH)?;
        let (name, options) = (self.name.clone(), self.spec.options.clone());
        Ok(Some(Arc::new(VoiceEngine::new(name, Arc::new(endpoint), self.retry.clone(), options))))
    }
}

impl Settings {
    /// Every speech-to-speech engine.
    pub fn realtime_entries(&self) -> Vec<Entry<RealtimeSpec>> {
        let retry = retry::Settings::default();
        let named = self.named_engines();
        let entries = named.iter().filter_map(|(name, named)| match &named.spec {
            Spec::Realtime(spec) => Some(Entry::named(name, named, &retry, spec)),
            _ => None,
        });
        entries.collect()
    }
}
