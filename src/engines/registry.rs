//! Builds engines by name from the settings, each with its retries and its fallback.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::engines::core::openai::Endpoint;
use crate::engines::core::{openai, retry};
use crate::engines::llm::{self, Llm};
use crate::engines::stt::{self, Stt};
use crate::engines::tts::{self, Tts};
use crate::names::{EngineNames, Names};

/// Which engines there are and which are asked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The OpenAI-compatible server of all engines named `openai`.
    pub openai: openai::Settings,
    pub stt: SttSettings,
    pub llm: LlmSettings,
    pub tts: TtsSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SttSettings {
    /// The engine of profiles that name none: `openai` when there is a key, else `pocketsphinx`.
    pub default: Option<String>,
    /// The engine that is asked when another one has failed. None by default.
    pub fallback: Option<String>,
    /// What callers may say, for pocketsphinx, is taken from the script of replies when that is the
    /// default engine for replies and no phrases are set. True by default.
    pub phrases_of_script: bool,
    pub retry: retry::Settings,
    pub openai: stt::openai::Settings,
    pub pocketsphinx: stt::pocketsphinx::Settings,
}

impl Default for SttSettings {
    fn default() -> Self {
        SttSettings {
            default: None,
            fallback: None,
            phrases_of_script: true,
            retry: retry::Settings::default(),
            openai: Default::default(),
            pocketsphinx: Default::default(),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlmSettings {
    /// The engine of profiles that name none: `openai` when there is a key, else `scripted`.
    pub default: Option<String>,
    /// The engine that is asked when another one has failed. None by default.
    pub fallback: Option<String>,
    pub retry: retry::Settings,
    pub openai: llm::openai::Settings,
    pub scripted: llm::scripted::Settings,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TtsSettings {
    /// The engine of profiles that name none: `openai` when there is a key, else `espeak`.
    pub default: Option<String>,
    /// The engine that is asked when another one has failed. None by default.
    pub fallback: Option<String>,
    pub retry: retry::Settings,
    pub openai: tts::openai::Settings,
    pub espeak: tts::espeak::Settings,
    pub flite: tts::flite::Settings,
}

/// The engines of this program, and the models and voices that profiles may choose of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    pub stt: Vec<EngineNames>,
    pub llm: Vec<EngineNames>,
    pub tts: Vec<EngineNames>,
}

impl Settings {
    /// Every engine of this program, built or not. `openai` is first unless the settings name another default: its key
    /// may be in the environment of the daemon alone.
    pub fn catalogue(&self) -> Catalogue {
        let engine = |name, models| EngineNames::new(name, models, Names::None);
        let speaker = |name, voices| EngineNames::new(name, Names::None, voices);
        let stt =
            vec![engine("openai", self.stt.openai.allowed_models()), engine("pocketsphinx", Names::None)];
        let llm = vec![engine("openai", self.llm.openai.allowed_models()), engine("scripted", Names::None)];
        let tts = vec![
            EngineNames::new("openai", self.tts.openai.allowed_models(), tts::openai::voices()),
            speaker("espeak", tts::espeak::voices()),
            speaker("flite", tts::flite::voices()),
        ];
        Catalogue {
            stt: default_first(stt, self.stt.default.as_deref()),
            llm: default_first(llm, self.llm.default.as_deref()),
            tts: default_first(tts, self.tts.default.as_deref()),
        }
    }
}

fn default_first(mut engines: Vec<EngineNames>, default: Option<&str>) -> Vec<EngineNames> {
    engines.sort_by_key(|it| default != Some(it.engine.as_str()));
    engines
}

/// The entries of the engines that were built, in their order.
fn built(names: &[&str], all: &[EngineNames]) -> Vec<EngineNames> {
    names.iter().filter_map(|name| all.iter().find(|it| it.engine == *name).cloned()).collect()
}

/// What is wrong with the settings, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Fault {
    /// Dotted, relative to [`Settings`], such as `stt.default`.
    pub key: &'static str,
    /// With its remedy.
    pub problem: String,
}

impl Fault {
    fn new(key: &'static str, problem: impl ToString) -> Fault {
        Fault { key, problem: problem.to_string() }
    }
}

/// Engines by name. Cheap to clone.
#[derive(Clone)]
pub struct Engines {
    stt: Shelf<dyn Stt>,
    llm: Shelf<dyn Llm>,
    tts: Shelf<dyn Tts>,
    all: Arc<Catalogue>,
}

impl Engines {
    /// Builds every engine whose settings allow it; all faults are returned at once. Nothing is asked
    /// of any engine yet: see their `probe`.
    ///
    /// The `openai` engines exist when there is a key or the server is another than OpenAI's. A TLS
    /// provider has to be installed before.
    pub fn build(settings: &Settings) -> Result<Engines, Vec<Fault>> {
        let mut faults = Vec::new();
        let endpoint = endpoint(&settings.openai, &mut faults);
        let cloud = settings.openai.key.is_some();
        let chosen = |name: &Option<String>, local: &str| {
            name.clone().unwrap_or_else(|| if cloud { "openai" } else { local }.to_owned())
        };
        let llm_default = chosen(&settings.llm.default, "scripted");
        let (llm, phrases) = llm_engines(&settings.llm, endpoint.as_ref(), &mut faults);
        let phrases = if llm_default == "scripted" { phrases } else { Vec::new() };
        let stt = stt_engines(&settings.stt, endpoint.as_ref(), phrases, &mut faults);
        let tts = tts_engines(&settings.tts, endpoint.as_ref());
        let engines = Engines {
            stt: Shelf::new(
                stt,
                chosen(&settings.stt.default, "pocketsphinx"),
                &settings.stt.fallback,
                |engine, fallback| {
                    Arc::new(stt::Resilient::new(engine, settings.stt.retry.clone(), fallback))
                },
            ),
            llm: Shelf::new(llm, llm_default, &settings.llm.fallback, |engine, fallback| {
                Arc::new(llm::Resilient::new(engine, settings.llm.retry.clone(), fallback))
            }),
            tts: Shelf::new(
                tts,
                chosen(&settings.tts.default, "espeak"),
                &settings.tts.fallback,
                |engine, fallback| {
                    Arc::new(tts::Resilient::new(engine, settings.tts.retry.clone(), fallback))
                },
            ),
            all: Arc::new(settings.catalogue()),
        };
        faults.extend(engines.stt.faults("stt.default", "stt.fallback", &settings.stt.fallback));
        faults.extend(engines.llm.faults("llm.default", "llm.fallback", &settings.llm.fallback));
        faults.extend(engines.tts.faults("tts.default", "tts.fallback", &settings.tts.fallback));
        if faults.is_empty() { Ok(engines) } else { Err(faults) }
    }

    /// The engine of that name, or the default one; nothing when there is none of that name.
    pub fn stt(&self, name: Option<&str>) -> Option<Arc<dyn Stt>> {
        self.stt.take(name)
    }

    pub fn llm(&self, name: Option<&str>) -> Option<Arc<dyn Llm>> {
        self.llm.take(name)
    }

    pub fn tts(&self, name: Option<&str>) -> Option<Arc<dyn Tts>> {
        self.tts.take(name)
    }

    /// The names of all engines, the default one first.
    pub fn stt_names(&self) -> Vec<&str> {
        self.stt.names()
    }

    pub fn llm_names(&self) -> Vec<&str> {
        self.llm.names()
    }

    pub fn tts_names(&self) -> Vec<&str> {
        self.tts.names()
    }

    /// The engines that were built, the default one of each kind first, and the names that profiles may choose.
    pub fn catalogue(&self) -> Catalogue {
        Catalogue {
            stt: built(&self.stt.names(), &self.all.stt),
            llm: built(&self.llm.names(), &self.all.llm),
            tts: built(&self.tts.names(), &self.all.tts),
        }
    }
}

type ByName<T> = BTreeMap<&'static str, Arc<T>>;

/// The engines of one kind.
struct Shelf<T: ?Sized> {
    engines: Arc<ByName<T>>,
    default: Arc<str>,
}

impl<T: ?Sized> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Shelf { engines: self.engines.clone(), default: self.default.clone() }
    }
}

impl<T: ?Sized> Shelf<T> {
    fn new(
        bare: ByName<T>,
        default: String,
        fallback: &Option<String>,
        wrap: impl Fn(Arc<T>, Option<Arc<T>>) -> Arc<T>,
    ) -> Shelf<T> {
        let fallback = fallback.as_deref().and_then(|name| Some((name, bare.get(name)?.clone())));
        let fallback = fallback.map(|(name, engine)| (name, wrap(engine, None)));
        let engines = bare.into_iter().map(|(name, engine)| {
            let other = fallback.as_ref().filter(|(of, _)| *of != name).map(|(_, engine)| engine.clone());
            (name, wrap(engine, other))
        });
        Shelf { engines: Arc::new(engines.collect()), default: default.into() }
    }

    fn take(&self, name: Option<&str>) -> Option<Arc<T>> {
        self.engines.get(name.unwrap_or(&self.default)).cloned()
    }

    fn names(&self) -> Vec<&str> {
        let others = self.engines.keys().copied().filter(|name| **name != *self.default);
        std::iter::once(&*self.default).chain(others).collect()
    }

    fn faults(&self, default: &'static str, fallback: &'static str, second: &Option<String>) -> Vec<Fault> {
        let wanted = [(default, Some(&*self.default)), (fallback, second.as_deref())];
        let missing = wanted.into_iter().filter_map(|(key, name)| Some((key, name?)));
        let missing = missing.filter(|(_, name)| !self.engines.contains_key(name));
        let known = self.engines.keys().copied().collect::<Vec<_>>().join(", ");
        missing
            .map(|(key, name)| {
                let hint = if name == "openai" { "; openai needs openai.key or openai.base_url" } else { "" };
                Fault::new(key, format!("there is no engine {name:?}: choose one of {known}{hint}"))
            })
            .collect()
    }
}

fn endpoint(settings: &openai::Settings, faults: &mut Vec<Fault>) -> Option<Endpoint> {
    if settings.key.is_none() && settings.base_url == openai::Settings::default().base_url {
        return None;
    }
    Endpoint::new(settings).map_err(|error| faults.push(Fault::new("openai.base_url", error))).ok()
}

/// The engines for replies, and what callers may say by the script.
fn llm_engines(
    settings: &LlmSettings,
    endpoint: Option<&Endpoint>,
    faults: &mut Vec<Fault>,
) -> (ByName<dyn Llm>, Vec<String>) {
    let mut engines: ByName<dyn Llm> = BTreeMap::new();
    if let Some(endpoint) = endpoint {
        engines
            .insert("openai", Arc::new(llm::openai::OpenAi::new(endpoint.clone(), settings.openai.clone())));
    }
    let mut phrases = Vec::new();
    match llm::scripted::Scripted::new(&settings.scripted) {
        Ok(scripted) => {
            phrases = scripted.phrases().to_vec();
            engines.insert("scripted", Arc::new(scripted));
        }
        Err(error) => faults.push(Fault::new("llm.scripted.script", error)),
    }
    (engines, phrases)
}

fn stt_engines(
    settings: &SttSettings,
    endpoint: Option<&Endpoint>,
    phrases: Vec<String>,
    faults: &mut Vec<Fault>,
) -> ByName<dyn Stt> {
    let mut engines: ByName<dyn Stt> = BTreeMap::new();
    if let Some(endpoint) = endpoint {
        engines
            .insert("openai", Arc::new(stt::openai::OpenAi::new(endpoint.clone(), settings.openai.clone())));
    }
    let mut local = settings.pocketsphinx.clone();
    if local.phrases.is_empty() && settings.phrases_of_script {
        local.phrases = phrases;
    }
    let needed =
        [&settings.default, &settings.fallback].into_iter().any(|n| n.as_deref() == Some("pocketsphinx"));
    match stt::pocketsphinx::Pocketsphinx::new(&local) {
        Ok(engine) => {
            engines.insert("pocketsphinx", Arc::new(engine));
        }
        // Nobody has to install a recogniser that nobody asks.
        Err(error) if needed || endpoint.is_none() => faults.push(Fault::new("stt.pocketsphinx", error)),
        Err(_) => {}
    }
    engines
}

fn tts_engines(settings: &TtsSettings, endpoint: Option<&Endpoint>) -> ByName<dyn Tts> {
    let mut engines: ByName<dyn Tts> = BTreeMap::new();
    if let Some(endpoint) = endpoint {
        engines
            .insert("openai", Arc::new(tts::openai::OpenAi::new(endpoint.clone(), settings.openai.clone())));
    }
    engines.insert("espeak", Arc::new(tts::espeak::Espeak::new(settings.espeak.clone())));
    engines.insert("flite", Arc::new(tts::flite::Flite::new(settings.flite.clone())));
    engines
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "measures real programs")]
mod tests;
