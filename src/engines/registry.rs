//! Builds engines by name from the settings, each with its retries and its fallback.
//!
//! The names `openai`, `pocketsphinx`, `scripted`, `espeak` and `flite` are built in; `[engines.NAME]` adds others. A new API is
//! a variant in [`named`] and an arm in [`entries`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::egress::{DestinationPolicy, Guard};
use crate::engines::core::retry::EngineState;
use crate::engines::core::shares::TenantShares;
use crate::engines::core::{retry, server};
use crate::engines::llm::{self, Llm};
use crate::engines::realtime::VoiceEngine;
use crate::engines::stt::{self, Stt};
use crate::engines::tts::{self, Tts};
use crate::names::EngineNames;
use crate::violation::Violation;

mod accounts;
mod engine_set;
mod entries;
mod fallbacks;
mod named;
mod own;
mod realtime_entries;
mod stt_engine;

use engine_set::EngineSet;
pub use entries::Entry;
pub use fallbacks::Fallbacks;
pub use named::{LlmSpec, Named, RealtimeSpec, Remote, Spec, SttSpec, TtsSpec};
use own::OperatorChains;
pub use own::{OwnAccount, OwnEngines, OwnLimits};
use stt_engine::SttEngine;

/// Which engines there are and which are asked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The OpenAI-compatible server of all engines named `openai`.
    pub openai: server::Settings,
    /// The account at Anthropic; with a key there is a language model of this name.
    pub anthropic: server::VendorAccount,
    /// The account at ElevenLabs; with a key there is an engine of this name for speech.
    pub elevenlabs: server::VendorAccount,
    /// As above, at Deepgram.
    pub deepgram: server::VendorAccount,
    /// Further engines of all kinds by name.
    pub engines: BTreeMap<String, Named>,
    pub stt: SttSettings,
    pub llm: LlmSettings,
    pub tts: TtsSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SttSettings {
    /// The engine of profiles that name none: `openai` when there is a key, else `pocketsphinx`.
    pub default: Option<String>,
    /// The engines that are asked, in this order, when another one has failed. None by default.
    pub fallback: Fallbacks,
    /// Whether pocketsphinx takes the phrases of callers from the script of replies, where that is the default
    /// engine for replies and no phrases are set. True by default.
    pub phrases_of_script: bool,
    pub retry: retry::Settings,
    pub openai: stt::openai::Settings,
    pub pocketsphinx: stt::pocketsphinx::Settings,
}

impl Default for SttSettings {
    fn default() -> Self {
        SttSettings {
            default: None,
            fallback: Fallbacks::default(),
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
    /// The engine of profiles that name none: `openai` when there is a key, else `anthropic` when its account has one, else
    /// `scripted`.
    pub default: Option<String>,
    /// The engines that are asked, in this order, when another one has failed. None by default.
    pub fallback: Fallbacks,
    pub retry: retry::Settings,
    pub openai: llm::openai::Settings,
    pub scripted: llm::scripted::Settings,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TtsSettings {
    /// The engine of profiles that name none: `openai` when there is a key, else that of the first account with a key
    /// (`elevenlabs`, `deepgram`), else `espeak`.
    pub default: Option<String>,
    /// The engines that are asked, in this order, when another one has failed. None by default.
    pub fallback: Fallbacks,
    pub retry: retry::Settings,
    pub openai: tts::openai::Settings,
    pub espeak: tts::espeak::Settings,
    pub flite: tts::flite::Settings,
}

/// The configured engines, and the models and voices that profiles may choose of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    pub stt: Vec<EngineNames>,
    pub llm: Vec<EngineNames>,
    pub tts: Vec<EngineNames>,
    pub realtime: Vec<EngineNames>,
}

impl Settings {
    /// Every configured engine, built or not. `openai` is first unless the settings name another default: its key
    /// may be in the environment of the daemon alone.
    pub fn catalogue(&self) -> Catalogue {
        let stt = self.stt_entries().iter().map(Entry::<SttSpec>::names).collect();
        let llm = self.llm_entries().iter().map(Entry::<LlmSpec>::names).collect();
        let tts = self.tts_entries().iter().map(Entry::<TtsSpec>::names).collect();
        Catalogue {
            stt: default_first(stt, self.stt.default.as_deref()),
            llm: default_first(llm, self.llm.default.as_deref()),
            tts: default_first(tts, self.tts.default.as_deref()),
            realtime: self.realtime_entries().iter().map(Entry::<RealtimeSpec>::names).collect(),
        }
    }

    /// The engines of profiles that name none.
    pub fn defaults(&self) -> Defaults {
        let is_cloud = self.openai.key.is_some();
        let chosen = |name: &Option<String>, local: &str| {
            name.clone().unwrap_or_else(|| if is_cloud { "openai" } else { local }.to_owned())
        };
        Defaults {
            stt: chosen(&self.stt.default, "pocketsphinx"),
            llm: chosen(&self.llm.default, self.account_model().unwrap_or("scripted")),
            tts: chosen(&self.tts.default, self.account_voice().unwrap_or("espeak")),
        }
    }
}

/// The engines of profiles that name none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    pub stt: String,
    pub llm: String,
    pub tts: String,
}

fn default_first(mut engines: Vec<EngineNames>, default: Option<&str>) -> Vec<EngineNames> {
    engines.sort_by_key(|it| default != Some(it.engine.as_str()));
    engines
}

/// The entries of the engines that were built, in their order.
fn built(names: &[&str], all: &[EngineNames]) -> Vec<EngineNames> {
    names.iter().filter_map(|name| all.iter().find(|it| it.engine == *name).cloned()).collect()
}

/// Engines by name. Cheap to clone.
#[derive(Clone)]
pub struct Engines {
    stt: EngineSet<SttEngine>,
    llm: EngineSet<llm::Resilient>,
    tts: EngineSet<tts::Resilient>,
    realtime: Arc<BTreeMap<Arc<str>, Arc<VoiceEngine>>>,
    all: Arc<Catalogue>,
    own: Arc<OwnEngines>,
    shares: Option<Arc<TenantShares>>,
}

impl Engines {
    /// As [`Engines::build_with`], with its errors, for a process in which tenants have no engines of their own.
    pub fn build(settings: &Settings) -> Result<Engines, Vec<Violation>> {
        let guard = Guard::new(DestinationPolicy { allow_private: false, allow_http: false });
        Engines::build_with(settings, &OwnLimits { guard, capacity: 1, withheld: Vec::new() })
    }

    /// Builds every engine that the settings allow; returns all violations at once. No requests are sent yet: see the
    /// engines' `probe`.
    ///
    /// The `openai` engines exist when there is a key or the server is not OpenAI's. A TLS provider has to be
    /// installed before.
    ///
    /// # Errors
    /// Every setting that an engine cannot be built from, with its key.
    pub fn build_with(settings: &Settings, own: &OwnLimits) -> Result<Engines, Vec<Violation>> {
        let mut violations = name_violations(&settings.engines);
        let defaults = settings.defaults();
        let stt = stt_engines(settings, &defaults, &mut violations);
        let llm = llm_engines(settings, &mut violations);
        let tts = tts_engines(settings, &mut violations);
        let realtime = realtime_engines(settings, &mut violations);
        let chains = OperatorChains::new(settings, &defaults, &own.withheld, (&stt, &llm, &tts));
        let engines = Engines {
            own: Arc::new(OwnEngines::new(settings, own, chains)),
            stt: EngineSet::new(stt, &defaults.stt, &settings.stt.fallback, SttEngine::with_fallbacks),
            llm: EngineSet::new(llm, &defaults.llm, &settings.llm.fallback, llm::Resilient::with_fallbacks),
            tts: EngineSet::new(tts, &defaults.tts, &settings.tts.fallback, tts::Resilient::with_fallbacks),
            realtime: Arc::new(realtime),
            all: Arc::new(settings.catalogue()),
            shares: None,
        };
        violations.extend(engines.stt.violations("stt", &settings.stt.fallback));
        violations.extend(engines.llm.violations("llm", &settings.llm.fallback));
        violations.extend(engines.tts.violations("tts", &settings.tts.fallback));
        violations.extend(fallback_script(settings));
        violations.sort_by(|one, other| one.field.cmp(&other.field));
        violations.dedup();
        if violations.is_empty() { Ok(engines) } else { Err(violations) }
    }

    /// The same engines for the requests of one tenant.
    #[must_use]
    pub fn within(&self, shares: Arc<TenantShares>) -> Engines {
        Engines { shares: Some(shares), ..self.clone() }
    }

    /// The engine of that name, or the default one; none when there is no engine of that name.
    pub fn stt(&self, name: Option<&str>) -> Option<Arc<dyn Stt>> {
        Some(self.stt.take(name, self.shares.as_ref(), SttEngine::within)?.into_stt())
    }

    /// As [`Engines::stt`].
    pub fn llm(&self, name: Option<&str>) -> Option<Arc<dyn Llm>> {
        Some(Arc::new(self.llm.take(name, self.shares.as_ref(), llm::Resilient::within)?))
    }

    /// As [`Engines::stt`].
    pub fn tts(&self, name: Option<&str>) -> Option<Arc<dyn Tts>> {
        Some(Arc::new(self.tts.take(name, self.shares.as_ref(), tts::Resilient::within)?))
    }

    /// The speech-to-speech engine of that name.
    pub fn realtime(&self, name: &str) -> Option<Arc<VoiceEngine>> {
        let engine = self.realtime.get(name)?;
        Some(match &self.shares {
            Some(shares) => Arc::new(engine.within(shares)),
            None => engine.clone(),
        })
    }

    /// The engines of tenants' own accounts.
    pub fn own(&self) -> &OwnEngines {
        &self.own
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

    /// The state of each engine, with its fallbacks; of each kind, the default one is first.
    pub fn states(&self) -> Vec<EngineState> {
        let stt = self.stt.states(SttEngine::policy);
        let llm = self.llm.states(llm::Resilient::policy);
        let realtime = self.realtime.values().map(|engine| engine.policy().engine_state());
        stt.chain(llm).chain(self.tts.states(tts::Resilient::policy)).chain(realtime).collect()
    }

    /// The engines that were built, the default one of each kind first, and the names that profiles may choose.
    pub fn catalogue(&self) -> Catalogue {
        Catalogue {
            stt: built(&self.stt.names(), &self.all.stt),
            llm: built(&self.llm.names(), &self.all.llm),
            tts: built(&self.tts.names(), &self.all.tts),
            realtime: self.all.realtime.clone(),
        }
    }
}

/// A violation for each malformed name of `[engines.NAME]`.
fn name_violations(engines: &BTreeMap<String, Named>) -> Vec<Violation> {
    let check = |name: &String| {
        Some(Violation::new(format!("engines.{name}"), named::check_name(name).err()?.to_string()))
    };
    engines.keys().filter_map(check).collect()
}

/// A violation where callers would hear the built-in script in place of their tenant's language model.
fn fallback_script(settings: &Settings) -> Option<Violation> {
    let problem = "the built-in script answers for no tenant: set the script of this engine, or choose another fallback";
    let is_script =
        |entry: &Entry<LlmSpec>| settings.llm.fallback.contains(&entry.name) && entry.is_built_in_script();
    settings.llm_entries().iter().any(is_script).then(|| Violation::new("llm.fallback", problem))
}

/// Keeps an engine that was built, and the violation of one that was not.
fn keep<E>(built: Result<Option<E>, Violation>, violations: &mut Vec<Violation>) -> Option<E> {
    built.unwrap_or_else(|violation| {
        violations.push(violation);
        None
    })
}

fn stt_engines(
    settings: &Settings,
    defaults: &Defaults,
    violations: &mut Vec<Violation>,
) -> Vec<(Arc<str>, SttEngine)> {
    let entries = settings.llm_entries();
    let scripted = entries.iter().find(|it| settings.stt.phrases_of_script && *it.name == *defaults.llm);
    let phrases = scripted.map(Entry::<LlmSpec>::phrases).unwrap_or_default();
    let is_wanted = |name: &str| name == defaults.stt || settings.stt.fallback.contains(name);
    let engine = |entry: &Entry<SttSpec>| {
        let built = entry.build(&phrases);
        // A recogniser of this machine that no profile can need does not have to be installed.
        let is_optional = entry.is_built_in() && !is_wanted(&entry.name) && entry.server().is_none();
        let engine = if is_optional { built.ok().flatten() } else { keep(built, violations) };
        engine.map(|it| (entry.name.clone(), it))
    };
    settings.stt_entries().iter().filter_map(engine).collect()
}

fn llm_engines(settings: &Settings, violations: &mut Vec<Violation>) -> Vec<(Arc<str>, llm::Resilient)> {
    let engine = |entry: &Entry<LlmSpec>| {
        let engine = keep(entry.build(), violations);
        engine.map(|it| (entry.name.clone(), llm::Resilient::new(it, entry.retry.clone(), None)))
    };
    settings.llm_entries().iter().filter_map(engine).collect()
}

fn tts_engines(settings: &Settings, violations: &mut Vec<Violation>) -> Vec<(Arc<str>, tts::Resilient)> {
    let engine = |entry: &Entry<TtsSpec>| {
        let engine = keep(entry.build(), violations);
        let resilient = |it| tts::Resilient::new(it, entry.retry.clone(), None).identified(entry.identity());
        engine.map(|it| (entry.name.clone(), resilient(it)))
    };
    settings.tts_entries().iter().filter_map(engine).collect()
}

fn realtime_engines(
    settings: &Settings,
    violations: &mut Vec<Violation>,
) -> BTreeMap<Arc<str>, Arc<VoiceEngine>> {
    let engine = |entry: &Entry<RealtimeSpec>| {
        let engine = keep(entry.build(), violations);
        engine.map(|it| (entry.name.clone(), it))
    };
    settings.realtime_entries().iter().filter_map(engine).collect()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "measures real programs")]
mod tests;
