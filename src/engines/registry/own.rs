//! Engines of tenants' own accounts at vendors, built when a call needs them and kept for the next ones.

mod bounded;
mod cache;
mod trial;

use std::sync::Arc;

use figment::value::{Dict, Value};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::entries::Entry;
use super::named::{LlmSpec, Named, Remote, Spec, SttSpec, TtsSpec};
use super::stt_engine::SttEngine;
use super::{Defaults, Settings};
use crate::egress::Guard;
use crate::engines::core::retry::{EngineState, Kind, Policy};
use crate::engines::core::shares::TenantShares;
use crate::engines::core::{retry, server};
use crate::engines::llm::{self, Llm};
use crate::engines::realtime::VoiceEngine;
use crate::engines::stt::Stt;
use crate::engines::tts::{self, Tts};
use crate::names::{ANY, OWN};
use crate::violation::Violation;

use bounded::{BoundedLlm, BoundedTts};
use cache::Cache;

/// A tenant's account at a vendor.
#[derive(Debug, Clone)]
pub struct OwnAccount {
    /// Of the resource with its key: unique among all tenants.
    pub id: Arc<str>,
    /// Different after each change of key or address.
    pub version: u32,
    /// As profiles and records name the engine: [`OWN`] and a name of the tenant's.
    pub name: Arc<str>,
    pub kind: Kind,
    /// As `api` of `[engines.NAME]`.
    pub api: &'static str,
    /// Default: the vendor's.
    pub base_url: Option<String>,
    /// The model of profiles that name none. Default: the API's.
    pub model: Option<String>,
    pub key: SecretString,
    /// The tenant's id.
    pub tenant: Uuid,
    /// Whether the operator's engines answer when this one fails.
    pub has_fallback: bool,
    /// The tenant's shares of the operator's engines.
    pub shares: Option<Arc<TenantShares>>,
}

/// Limits of tenants' own engines.
#[derive(Debug, Clone)]
pub struct OwnLimits {
    /// The destinations of requests.
    pub guard: Guard,
    /// The most engines of each kind that are kept.
    pub capacity: usize,
    /// Names of the operator's engines that are no fallbacks of a tenant's own.
    pub withheld: Vec<String>,
}

/// The built engines of tenants' accounts, and the operator's that follow them.
pub struct OwnEngines {
    guard: Guard,
    retry: [retry::Settings; 3],
    stt: Cache<dyn Stt>,
    llm: Cache<dyn Llm>,
    tts: Cache<dyn Tts>,
    realtime: Cache<VoiceEngine>,
    fallbacks: OperatorChains,
}

/// The operator's engines that answer for a tenant's own, in order: the default one, then its fallbacks.
#[derive(Default)]
pub(super) struct OperatorChains {
    stt: Vec<SttEngine>,
    llm: Vec<llm::Resilient>,
    tts: Vec<tts::Resilient>,
}

/// The operator's engines of each kind, by name.
type NamedEngines<'a> =
    (&'a [(Arc<str>, SttEngine)], &'a [(Arc<str>, llm::Resilient)], &'a [(Arc<str>, tts::Resilient)]);

impl OperatorChains {
    /// Engines that are `withheld`, and the built-in script, are in no chain.
    pub(super) fn new(
        settings: &Settings,
        defaults: &Defaults,
        withheld: &[String],
        (stt, llm, tts): NamedEngines<'_>,
    ) -> OperatorChains {
        let scripts: Vec<Arc<str>> = settings
            .llm_entries()
            .into_iter()
            .filter(Entry::<LlmSpec>::is_built_in_script)
            .map(|entry| entry.name)
            .collect();
        let may = |name: &str| {
            !withheld.iter().any(|it| it == name) && !scripts.iter().any(|script| **script == *name)
        };
        let names = |default: &str, fallbacks: &super::Fallbacks| -> Vec<String> {
            let others = fallbacks.names().filter(|name| *name != default);
            std::iter::once(default).chain(others).filter(|name| may(name)).map(str::to_owned).collect()
        };
        OperatorChains {
            stt: chosen(stt, &names(&defaults.stt, &settings.stt.fallback)),
            llm: chosen(llm, &names(&defaults.llm, &settings.llm.fallback)),
            tts: chosen(tts, &names(&defaults.tts, &settings.tts.fallback)),
        }
    }
}

/// The engines of these names, in the order of the names.
fn chosen<E: Clone>(engines: &[(Arc<str>, E)], names: &[String]) -> Vec<E> {
    let find =
        |name: &String| engines.iter().find(|(it, _)| **it == **name).map(|(_, engine)| engine.clone());
    names.iter().filter_map(find).collect()
}

impl OwnEngines {
    pub(super) fn new(settings: &Settings, limits: &OwnLimits, fallbacks: OperatorChains) -> OwnEngines {
        OwnEngines {
            guard: limits.guard.clone(),
            retry: [&settings.stt.retry, &settings.llm.retry, &settings.tts.retry].map(of_own_account),
            stt: Cache::new(limits.capacity),
            llm: Cache::new(limits.capacity),
            tts: Cache::new(limits.capacity),
            realtime: Cache::new(limits.capacity),
            fallbacks,
        }
    }

    /// The recogniser of an account.
    ///
    /// # Errors
    /// The account has an address or a model that cannot be used, or is of another kind.
    pub fn stt(&self, account: &OwnAccount) -> Result<Arc<dyn Stt>, Violation> {
        self.stt.get(account, || self.build_stt(account, account.has_fallback))
    }

    /// The language model of an account.
    ///
    /// # Errors
    /// As of [`OwnEngines::stt`].
    pub fn llm(&self, account: &OwnAccount) -> Result<Arc<dyn Llm>, Violation> {
        self.llm.get(account, || self.build_llm(account, account.has_fallback))
    }

    /// The voice of an account.
    ///
    /// # Errors
    /// As of [`OwnEngines::stt`].
    pub fn tts(&self, account: &OwnAccount) -> Result<Arc<dyn Tts>, Violation> {
        self.tts.get(account, || self.build_tts(account, account.has_fallback))
    }

    /// The speech-to-speech engine of an account. When it fails, the other engines of the call go on.
    ///
    /// # Errors
    /// As of [`OwnEngines::stt`].
    pub fn realtime(&self, account: &OwnAccount) -> Result<Arc<VoiceEngine>, Violation> {
        self.realtime.get(account, || self.build_realtime(account))
    }

    /// The state of an account's engine; none while no call has used it since it was changed, or for long.
    pub fn state(&self, kind: Kind, id: &str, version: u32) -> Option<EngineState> {
        let policy = match kind {
            Kind::Stt => self.stt.policy(id, version),
            Kind::Llm => self.llm.policy(id, version),
            Kind::Tts => self.tts.policy(id, version),
            Kind::Realtime => self.realtime.policy(id, version),
        };
        Some(policy?.engine_state())
    }

    fn build_stt(
        &self,
        account: &OwnAccount,
        with_fallback: bool,
    ) -> Result<(Arc<dyn Stt>, Policy), Violation> {
        let Spec::Stt(spec) = self.spec(account)? else { return Err(misfit()) };
        let engine = entry(account, &self.retry[0], spec).build(&[])?.ok_or_else(misfit)?;
        let chain = if with_fallback { self.fallbacks.stt.iter().collect() } else { Vec::new() };
        let linked = engine.with_fallbacks(&chain);
        let linked = account.shares.as_ref().map_or_else(|| linked.clone(), |shares| linked.within(shares));
        let policy = linked.policy().clone();
        Ok((linked.into_stt(), policy))
    }

    fn build_llm(
        &self,
        account: &OwnAccount,
        with_fallback: bool,
    ) -> Result<(Arc<dyn Llm>, Policy), Violation> {
        let Spec::Llm(spec) = self.spec(account)? else { return Err(misfit()) };
        let engine = entry(account, &self.retry[1], spec).build()?.ok_or_else(misfit)?;
        let engine = llm::Resilient::new(Arc::new(BoundedLlm(engine)), self.retry[1].clone(), None);
        let chain = if with_fallback { self.fallbacks.llm.iter().collect() } else { Vec::new() };
        let linked = engine.with_fallbacks(&chain);
        let linked = account.shares.as_ref().map_or_else(|| linked.clone(), |shares| linked.within(shares));
        let policy = linked.policy().clone();
        Ok((Arc::new(linked), policy))
    }

    fn build_tts(
        &self,
        account: &OwnAccount,
        with_fallback: bool,
    ) -> Result<(Arc<dyn Tts>, Policy), Violation> {
        let Spec::Tts(spec) = self.spec(account)? else { return Err(misfit()) };
        let engine = entry(account, &self.retry[2], spec).build()?.ok_or_else(misfit)?;
        let identity = format!("{OWN}{}@{}", account.id, account.version);
        let engine = BoundedTts::new(engine, identity.into());
        let engine = tts::Resilient::new(Arc::new(engine), self.retry[2].clone(), None);
        let chain = if with_fallback { self.fallbacks.tts.iter().collect() } else { Vec::new() };
        let linked = engine.with_fallbacks(&chain);
        let linked = account.shares.as_ref().map_or_else(|| linked.clone(), |shares| linked.within(shares));
        let policy = linked.policy().clone();
        Ok((Arc::new(linked), policy))
    }

    fn build_realtime(&self, account: &OwnAccount) -> Result<(Arc<VoiceEngine>, Policy), Violation> {
        let Spec::Realtime(spec) = self.spec(account)? else { return Err(misfit()) };
        let engine = entry(account, &retry::Settings::default(), spec).build()?.ok_or_else(misfit)?;
        let policy = engine.policy().clone();
        Ok((engine, policy))
    }

    fn spec(&self, account: &OwnAccount) -> Result<Spec, Violation> {
        spec(account, &self.guard)
    }
}

/// The operator's limit on requests at once protects its own accounts.
fn of_own_account(retry: &retry::Settings) -> retry::Settings {
    retry::Settings { max_concurrent: 0, ..retry.clone() }
}

/// The engine of an account: its API's own defaults, none of the operator's settings.
fn spec(account: &OwnAccount, guard: &Guard) -> Result<Spec, Violation> {
    let mut table = Dict::new();
    let mut set = |key: &str, value: Value| table.insert(key.to_owned(), value);
    set("kind", account.kind.as_str().into());
    set("api", account.api.into());
    set("key", account.key.expose_secret().into());
    if let Some(base_url) = &account.base_url {
        set("base_url", base_url.as_str().into());
    }
    if account.kind != Kind::Tts || account.api != "deepgram" {
        // A tenant pays for its models itself: all are allowed.
        set("models", Value::from(vec![ANY]));
    }
    if let Some(model) = &account.model {
        set("model", model.as_str().into());
    }
    let read = Named::read(table);
    let mut spec = read.map_err(|error| Violation::new(error.path.join("."), error.kind.to_string()))?.spec;
    match server_of(&mut spec) {
        Some(server) => server.guard = Some(guard.for_tenant(account.tenant)),
        None => return Err(misfit()),
    }
    Ok(spec)
}

fn entry<S>(account: &OwnAccount, retry: &retry::Settings, spec: S) -> Entry<S> {
    // The section makes it one that needs a key, or an address.
    Entry {
        name: account.name.clone(),
        section: format!("engines.{}", account.name),
        retry: retry.clone(),
        spec,
    }
}

fn misfit() -> Violation {
    Violation::new("api", "it has no engines of this kind at a server")
}

/// The settings of an engine's server; none for a program of this machine.
fn server_of(spec: &mut Spec) -> Option<&mut server::Settings> {
    match spec {
        Spec::Stt(
            SttSpec::OpenAi(Remote { server, .. })
            | SttSpec::Realtime(Remote { server, .. })
            | SttSpec::Scribe(Remote { server, .. })
            | SttSpec::Deepgram(Remote { server, .. })
            | SttSpec::Flux(Remote { server, .. }),
        )
        | Spec::Llm(
            LlmSpec::OpenAi(Remote { server, .. })
            | LlmSpec::Responses(Remote { server, .. })
            | LlmSpec::Anthropic(Remote { server, .. }),
        )
        | Spec::Tts(
            TtsSpec::OpenAi(Remote { server, .. })
            | TtsSpec::Cartesia(Remote { server, .. })
            | TtsSpec::ElevenLabs(Remote { server, .. })
            | TtsSpec::Deepgram(Remote { server, .. }),
        )
        | Spec::Realtime(Remote { server, .. }) => Some(server),
        Spec::Stt(SttSpec::Pocketsphinx(_))
        | Spec::Llm(LlmSpec::Scripted(_))
        | Spec::Tts(TtsSpec::Espeak(_) | TtsSpec::Flite(_)) => None,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "asks servers on loopback")]
mod tests;
