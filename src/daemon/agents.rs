//! Profiles to agents, and the prompts that are pre-synthesised for them.

mod share_report;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::analysis::Model;
use crate::billing::{EngineTerms, Percent, Plans};
use crate::call::{Agent, AgentSource, Engines, PromptCache, TargetSource};
use crate::config::Config;
use crate::control::TenantEngines;
use crate::current::Current;
use crate::egress::{DestinationPolicy, Guard};
use crate::engines::core::EngineError;
use crate::engines::core::retry::{EngineState, Kind};
use crate::engines::core::shares::{self, EngineShares, Scale, TenantShares};
use crate::engines::end_of_turn::EndOfTurn;
use crate::engines::llm::Llm;
use crate::engines::registry::{self, OwnAccount};
use crate::store::{Store, StoreError};
use crate::switchboard;
use crate::tenancy::{
    AiProfile, EngineAccess, EngineCredential, EngineFallback, EngineHealth, EngineKind, EngineTrial,
    Permitted, TargetId, Tenant, TenantEngineShares, TenantId, TenantKeys, TenantStatus, TransferRules,
    TransferTarget,
};
use crate::violation::Violation;

/// How long a trial of a tenant's engine may take.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Pre-synthesises every active tenant's prompts, so that a first caller is greeted as fast as any other.
pub async fn warm_up_prompts(store: Store, agent_factory: Arc<AgentFactory>, prompts: Arc<PromptCache>) {
    let began = std::time::Instant::now();
    let agents = match active_agents(&store, &agent_factory).await {
        Ok(agents) => agents,
        Err(error) => return warn!(%error, "prompts are not pre-synthesised: the profiles cannot be read"),
    };
    for agent in &agents {
        agent.warm_up(&prompts).await;
    }
    info!(agents = agents.len(), ms = began.elapsed().as_millis() as u64, "prompts are pre-synthesised");
}

async fn active_agents(store: &Store, agent_factory: &AgentFactory) -> Result<Vec<Agent>, StoreError> {
    let mut agents = Vec::new();
    for tenant in store.tenants().await? {
        if tenant.status == TenantStatus::Active {
            let scope = store.scope(tenant.id);
            let (profiles, own) = (scope.answering_profiles().await?, scope.engine_accesses().await?);
            agents.extend(profiles.iter().filter_map(|profile| agent_factory.unlimited_agent(profile, &own)));
        }
    }
    Ok(agents)
}

/// The agents of other profiles that one call can change to at most.
const MOST_OTHERS: usize = 10;

/// Other agents and the transfer targets of a tenant, from the database.
pub struct StoredAgents {
    pub store: Store,
    pub factory: Current<AgentFactory>,
    pub rules: Current<TransferRules>,
}

impl AgentSource for StoredAgents {
    fn others<'a>(
        &'a self,
        tenant: TenantId,
        agent: &'a Agent,
        targets: &'a [TransferTarget],
    ) -> BoxFuture<'a, Result<Vec<Agent>, StoreError>> {
        async move {
            let (scope, factory, rules) = (self.store.scope(tenant), self.factory.get(), self.rules.get());
            let own = scope.engine_accesses().await?;
            let mut others: Vec<Agent> = Vec::new();
            let mut names: VecDeque<Arc<str>> = agent.switch_to.iter().cloned().collect();
            let mut known = BTreeSet::from([agent.name.clone()]);
            while let Some(name) = names.pop_front()
                && others.len() < MOST_OTHERS
            {
                if !known.insert(name.clone()) {
                    continue;
                }
                let Some(profile) = scope.profile_named(&name).await? else {
                    warn!(profile = %name, "switch_to names a profile that does not exist");
                    continue;
                };
                let other = factory.other_agent(&profile, &own);
                let own_targets = profile.known_targets(targets);
                let other = other.map(|it| it.with_targets(&profile.settings, &own_targets, &rules));
                names.extend(other.iter().flat_map(|other| other.switch_to.iter().cloned()));
                others.extend(other);
            }
            Ok(others)
        }
        .boxed()
    }
}

impl TargetSource for StoredAgents {
    fn has_target(&self, tenant: TenantId, target: TargetId) -> BoxFuture<'_, Result<bool, StoreError>> {
        async move {
            match self.store.scope(tenant).target(target).await {
                Ok(_) => Ok(true),
                Err(StoreError::NotFound) => Ok(false),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }
}

/// Profiles to agents, by the engines that there are.
pub struct AgentFactory {
    engines: registry::Engines,
    end_of_turn: Option<EndOfTurn>,
    shares: EngineShares,
    share_settings: Arc<shares::Settings>,
    calls: switchboard::Settings,
    plans: Plans,
    pub permitted: Permitted,
}

impl AgentFactory {
    /// Blocks for a second where there is an end-of-turn model to load.
    ///
    /// # Errors
    /// Engines that cannot be built, or a model that cannot be loaded.
    pub fn new(config: &Config) -> anyhow::Result<AgentFactory> {
        let end_of_turn = EndOfTurn::load(&config.end_of_turn, None)?;
        AgentFactory::build(config, end_of_turn, EngineShares::default())
    }

    /// The same without an end-of-turn model, for a process without calls.
    ///
    /// # Errors
    /// Engines that cannot be built.
    pub fn without_model(config: &Config) -> anyhow::Result<AgentFactory> {
        AgentFactory::build(config, None, EngineShares::default())
    }

    /// The same for a configuration that was read again: an end-of-turn model of the same file stays in use.
    ///
    /// # Errors
    /// As of [`AgentFactory::new`].
    pub fn renewed(&self, config: &Config) -> anyhow::Result<AgentFactory> {
        let end_of_turn = EndOfTurn::load(&config.end_of_turn, self.end_of_turn.as_ref())?;
        AgentFactory::build(config, end_of_turn, self.shares.clone())
    }

    fn build(
        config: &Config,
        end_of_turn: Option<EndOfTurn>,
        shares: EngineShares,
    ) -> anyhow::Result<AgentFactory> {
        let rules = &config.tenant_engines;
        let policy =
            DestinationPolicy { allow_private: rules.allow_private_addresses, allow_http: rules.allow_http };
        let required = rules.keys == TenantKeys::Required;
        let own = registry::OwnLimits {
            guard: Guard::new(policy),
            capacity: rules.max_kept,
            withheld: if required { config.account_engines() } else { Vec::new() },
        };
        let engines = registry::Engines::build_with(&config.engines(), &own).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the engines cannot be built:\n  {}", lines.join("\n  "))
        })?;
        let permitted = config.permitted(engines.catalogue());
        Ok(AgentFactory {
            engines,
            end_of_turn,
            shares,
            share_settings: Arc::new(config.engine_shares.clone()),
            calls: config.calls.clone(),
            plans: config.plans.clone(),
            permitted,
        })
    }

    /// The shares of a tenant with these terms. Default: those of its latest call.
    fn shares_of(&self, tenant: TenantId, terms: Option<EngineTerms>) -> Arc<TenantShares> {
        let scale = terms.map(scale);
        let usual = || Scale { calls: self.calls.max_calls_per_tenant, percent: Percent::default().0 };
        let scale = scale.or_else(|| self.shares.scale_of(tenant.0)).unwrap_or_else(usual);
        self.shares.of(tenant.0, &self.share_settings, scale)
    }

    /// The state of each engine of the operator's.
    pub fn engine_states(&self) -> Vec<EngineState> {
        self.engines.states()
    }

    /// The language model that analyses calls with a profile; `None` if the profile names an engine that was not built, or may not
    /// be used. It has no circuit breaker, so that a failing analysis keeps no call from the engine.
    pub fn analyst(&self, profile: &AiProfile, own: &[EngineAccess]) -> Option<Model> {
        let permitted = self.permitted.with_own(own.iter().map(|it| &it.credential));
        let (settings, _) = permitted.effective(&profile.settings);
        if permitted.analysis_account_violation(&settings).is_some() {
            warn!(profile = %profile.id, kind = "analysis", "the profile has to use the tenant's own engine");
            return None;
        }
        let asked = settings.analysis.unwrap_or_default();
        // The profile's model belongs to the profile's engine.
        let (engine, model) = match (asked.llm, asked.llm_model) {
            (Some(engine), model) => (Some(engine), model),
            (None, model) => (settings.llm, model.or(settings.llm_model)),
        };
        let llm = self.llm(&engine, own, Some(&self.shares_of(profile.tenant_id, None)))?;
        Some(Model { llm: llm.alone().unwrap_or(llm), name: model.map(Into::into) })
    }

    /// The agent of a profile, for a tenant with these engine credentials and terms. `None` if the profile names an engine that
    /// was not built, or may not be used. Other settings that are not permitted, of a profile that was saved under other rules or
    /// imported, give way to the daemon's.
    pub fn agent(&self, profile: &AiProfile, own: &[EngineAccess], terms: EngineTerms) -> Option<Agent> {
        self.agent_within(profile, own, Some(&self.shares_of(profile.tenant_id, Some(terms))))
    }

    /// Another agent for a call of the tenant.
    fn other_agent(&self, profile: &AiProfile, own: &[EngineAccess]) -> Option<Agent> {
        self.agent_within(profile, own, Some(&self.shares_of(profile.tenant_id, None)))
    }

    /// An agent for requests of the daemon itself, which no share of the operator's engines limits.
    fn unlimited_agent(&self, profile: &AiProfile, own: &[EngineAccess]) -> Option<Agent> {
        self.agent_within(profile, own, None)
    }

    fn agent_within(
        &self,
        profile: &AiProfile,
        own: &[EngineAccess],
        shares: Option<&Arc<TenantShares>>,
    ) -> Option<Agent> {
        let tenants = (!own.is_empty()).then(|| self.permitted.with_own(own.iter().map(|it| &it.credential)));
        let permitted = tenants.as_ref().unwrap_or(&self.permitted);
        let (settings, refused) = permitted.effective(&profile.settings);
        for violation in &refused {
            warn!(profile = %profile.id, field = %violation.field, problem = %violation.problem, "profile setting not used");
        }
        if let Some(violation) = permitted.account_violations(&settings).first() {
            warn!(profile = %profile.id, kind = %violation.field, "the profile has to use the tenant's own engine");
            return None;
        }
        let profile = &AiProfile { settings, ..profile.clone() };
        let engines = self.chosen(profile, own, shares)?;
        Some(Agent::new(profile, engines, permitted).with_end_of_turn(self.end_of_turn.clone()))
    }

    /// The engines that a profile chooses, within the shares of its tenant.
    fn chosen(
        &self,
        profile: &AiProfile,
        own: &[EngineAccess],
        shares: Option<&Arc<TenantShares>>,
    ) -> Option<Engines> {
        let (wanted, engines) = (&profile.settings, self.engines_within(shares));
        let stt = match self.account(EngineKind::Stt, &wanted.stt, own, shares) {
            Some(account) => reported(self.engines.own().stt(&account)),
            None => engines.stt(wanted.stt.as_deref()),
        };
        let llm = self.llm(&wanted.llm, own, shares);
        let tts = match self.account(EngineKind::Tts, &wanted.tts, own, shares) {
            Some(account) => reported(self.engines.own().tts(&account)),
            None => engines.tts(wanted.tts.as_deref()),
        };
        let realtime = match self.account(EngineKind::Realtime, &wanted.realtime, own, shares) {
            Some(account) => Some(reported(self.engines.own().realtime(&account))),
            None => wanted.realtime.as_deref().map(|name| engines.realtime(name)),
        };
        let built = [
            ("realtime", &wanted.realtime, realtime.as_ref().is_none_or(Option::is_some)),
            ("stt", &wanted.stt, stt.is_some()),
            ("llm", &wanted.llm, llm.is_some()),
            ("tts", &wanted.tts, tts.is_some()),
        ];
        for (kind, name, _) in built.into_iter().filter(|(.., is_built)| !is_built) {
            warn!(profile = %profile.id, kind, engine = name.as_deref(), "the profile names an engine that is not configured");
        }
        // Without it, the other engines serve the call.
        Some(Engines { stt: stt?, llm: llm?, tts: tts?, realtime: realtime.flatten() })
    }

    /// The operator's engines, within the shares of a tenant.
    fn engines_within(&self, shares: Option<&Arc<TenantShares>>) -> registry::Engines {
        match shares {
            Some(shares) => self.engines.within(shares.clone()),
            None => self.engines.clone(),
        }
    }

    /// The language model of a name, or the default one.
    fn llm(
        &self,
        name: &Option<String>,
        own: &[EngineAccess],
        shares: Option<&Arc<TenantShares>>,
    ) -> Option<Arc<dyn Llm>> {
        match self.account(EngineKind::Llm, name, own, shares) {
            Some(account) => reported(self.engines.own().llm(&account)),
            None => self.engines_within(shares).llm(name.as_deref()),
        }
    }

    /// The tenant's account that a profile names, where the operator allows it. Its engine is kept for the tenant's calls, so the
    /// operator's engines that follow it are always within the tenant's shares.
    fn account(
        &self,
        kind: EngineKind,
        name: &Option<String>,
        own: &[EngineAccess],
        shares: Option<&Arc<TenantShares>>,
    ) -> Option<OwnAccount> {
        let name = name.as_deref()?;
        let rules = &self.permitted.tenant_engines;
        let named = own.iter().find(|it| it.credential.kind == kind && it.credential.engine() == name)?;
        let shares = || shares.cloned().unwrap_or_else(|| self.shares_of(named.credential.tenant_id, None));
        rules.allow(&named.credential).then(|| account(named, Some(shares())))
    }
}

fn scale(EngineTerms { calls, share }: EngineTerms) -> Scale {
    Scale { calls, percent: share.0 }
}

/// The account of engine credentials.
fn account(access: &EngineAccess, shares: Option<Arc<TenantShares>>) -> OwnAccount {
    let EngineAccess { credential, key } = access;
    OwnAccount {
        id: credential.id.to_string().into(),
        version: credential.version,
        name: credential.engine().into(),
        kind: engine_kind(credential.kind),
        api: credential.api.as_str(),
        base_url: credential.base_url.clone(),
        model: credential.model.clone(),
        key: key.clone(),
        has_fallback: credential.fallback == EngineFallback::Operator,
        tenant: credential.tenant_id.0,
        shares,
    }
}

fn engine_kind(kind: EngineKind) -> Kind {
    match kind {
        EngineKind::Stt => Kind::Stt,
        EngineKind::Llm => Kind::Llm,
        EngineKind::Tts => Kind::Tts,
        EngineKind::Realtime => Kind::Realtime,
    }
}

fn reported<T: ?Sized>(built: Result<Arc<T>, Violation>) -> Option<Arc<T>> {
    built.inspect_err(|violation| warn!(%violation, "a tenant's own engine cannot be used")).ok()
}

impl TenantEngines for Current<AgentFactory> {
    fn try_out(&self, access: EngineAccess) -> BoxFuture<'_, EngineTrial> {
        let factory = self.get();
        async move {
            let begun = Instant::now();
            let tried = timeout(TRIAL_TIMEOUT, factory.engines.own().try_out(&account(&access, None))).await;
            let failure = tried.unwrap_or(Err(EngineError::Timeout(TRIAL_TIMEOUT))).err();
            EngineTrial {
                outcome: failure
                    .as_ref()
                    .map_or(EngineTrial::SUCCEEDED, |it| it.reason().as_str())
                    .to_owned(),
                problem: failure.map(|it| it.to_string()),
                duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            }
        }
        .boxed()
    }

    fn health(&self, credential: &EngineCredential) -> EngineHealth {
        let (kind, id) = (engine_kind(credential.kind), credential.id.to_string());
        let state = self.get().engines.own().state(kind, &id, credential.version);
        EngineHealth {
            success_share: state.as_ref().map(|state| state.health),
            is_paused: state.is_some_and(|state| state.is_open),
        }
    }

    fn shares(&self, tenant: &Tenant) -> TenantEngineShares {
        self.get().share_report(tenant)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::tenancy::{AgentRole, EngineApi, EngineCredentialId, ProfileId};

    fn profile(tenant_id: TenantId, settings: serde_json::Value) -> AiProfile {
        AiProfile {
            id: ProfileId::new(),
            tenant_id,
            name: "Front desk".into(),
            role: AgentRole::Receptionist,
            system_prompt: "Sell bread.".into(),
            is_default: true,
            settings: serde_json::from_value(settings).expect("settings"),
            version: 1,
            targets: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    fn access(tenant_id: TenantId, kind: EngineKind, api: EngineApi) -> EngineAccess {
        let credential = EngineCredential {
            id: EngineCredentialId::new(),
            tenant_id,
            name: "acme".into(),
            kind,
            api,
            base_url: None,
            model: None,
            fallback: EngineFallback::Operator,
            key_hint: "…".into(),
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        };
        EngineAccess { credential, key: "key".into() }
    }

    fn allowing_own() -> Config {
        let mut config = Config::default();
        config.tenant_engines.keys = TenantKeys::Allowed;
        config
    }

    #[test]
    fn a_profile_may_choose_its_tenants_own_speech_to_speech() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let factory = AgentFactory::new(&allowing_own()).expect("engines");
        let tenant = TenantId::new();
        let profile =
            profile(tenant, serde_json::json!({ "realtime": "own:acme", "realtime_voice": "cedar" }));
        let own = access(tenant, EngineKind::Realtime, EngineApi::Realtime);
        let realtime = |own: &[EngineAccess]| {
            let agent = factory.unlimited_agent(&profile, own).expect("an agent");
            let name = agent.engines.realtime.map(|engine| engine.name().to_string());
            (name, agent.realtime_voice.is_some())
        };
        assert_eq!(realtime(&[own]), (Some("own:acme".to_owned()), true));
        assert_eq!(realtime(&[]), (None, false), "another tenant has no such engine");
    }

    #[test]
    fn an_engine_that_is_built_at_the_start_has_the_tenants_shares() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let factory = AgentFactory::new(&allowing_own()).expect("engines");
        let [plain, own] = [TenantId::new(), TenantId::new()];
        let agent = factory.unlimited_agent(&profile(plain, serde_json::json!({})), &[]);
        assert!(agent.is_some() && factory.shares.scale_of(plain.0).is_none());
        let account = access(own, EngineKind::Tts, EngineApi::ElevenLabs);
        let agent =
            factory.unlimited_agent(&profile(own, serde_json::json!({ "tts": "own:acme" })), &[account]);
        assert_eq!(agent.map(|agent| agent.engines.tts.name().to_string()).as_deref(), Some("own:acme"));
        assert!(factory.shares.scale_of(own.0).is_some());
    }

    #[test]
    fn a_trial_of_credentials_loads_no_end_of_turn_model() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = Config::default();
        config.end_of_turn.model_file = Some("/nonexistent.onnx".into());
        assert!(AgentFactory::new(&config).is_err());
        assert!(AgentFactory::without_model(&config).is_ok());
    }

    #[test]
    fn a_tenants_shares_follow_the_terms_of_its_latest_call() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let factory = AgentFactory::new(&Config::default()).expect("engines");
        let tenant = TenantId::new();
        factory.shares_of(tenant, None);
        assert_eq!(factory.shares.scale_of(tenant.0), Some(Scale { calls: 20, percent: 100 }));
        let terms = EngineTerms { calls: 3, share: Percent(50) };
        factory.shares_of(tenant, Some(terms));
        let renewed = factory.renewed(&Config::default()).expect("engines");
        renewed.shares_of(tenant, None);
        assert_eq!(renewed.shares.scale_of(tenant.0), Some(Scale { calls: 3, percent: 50 }));
    }
}
