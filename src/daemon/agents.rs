//! Profiles to agents, and the prompts that are pre-synthesised for them.

use std::sync::Arc;

use tracing::{info, warn};

use crate::analysis::Model;
use crate::call::{Agent, Engines, PromptCache};
use crate::config::Config;
use crate::engines::core::retry::EngineState;
use crate::engines::registry;
use crate::store::{Store, StoreError};
use crate::tenancy::{AiProfile, Permitted, TenantStatus};

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
            let profiles = store.scope(tenant.id).answering_profiles().await?;
            agents.extend(profiles.iter().filter_map(|profile| agent_factory.agent(profile)));
        }
    }
    Ok(agents)
}

/// Profiles to agents, by the engines that there are.
pub struct AgentFactory {
    engines: registry::Engines,
    pub permitted: Permitted,
}

impl AgentFactory {
    pub fn new(config: &Config) -> anyhow::Result<AgentFactory> {
        let engines = registry::Engines::build(&config.engines()).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the engines cannot be built:\n  {}", lines.join("\n  "))
        })?;
        let permitted = config.permitted(engines.catalogue());
        Ok(AgentFactory { engines, permitted })
    }

    /// The state of each engine.
    pub fn engine_states(&self) -> Vec<EngineState> {
        self.engines.states()
    }

    /// The language model that analyses calls with a profile; `None` if the profile names an engine that was not built. It has no
    /// circuit breaker, so that a failing analysis keeps no call from the engine.
    pub fn analyst(&self, profile: &AiProfile) -> Option<Model> {
        let (settings, _) = self.permitted.effective(&profile.settings);
        let asked = settings.analysis.unwrap_or_default();
        // The profile's model belongs to the profile's engine.
        let (engine, model) = match (asked.llm, asked.llm_model) {
            (Some(engine), model) => (Some(engine), model),
            (None, model) => (settings.llm, model.or(settings.llm_model)),
        };
        let llm = self.engines.llm(engine.as_deref())?;
        Some(Model { llm: llm.alone().unwrap_or(llm), name: model.map(Into::into) })
    }

    /// `None` if the profile names an engine that was not built. Settings that are not permitted, of a profile that was
    /// saved under other rules or imported, give way to the daemon's.
    pub fn agent(&self, profile: &AiProfile) -> Option<Agent> {
        let (settings, refused) = self.permitted.effective(&profile.settings);
        for violation in &refused {
            warn!(profile = %profile.id, field = %violation.field, problem = %violation.problem, "profile setting not used");
        }
        let profile = &AiProfile { settings, ..profile.clone() };
        let wanted = &profile.settings;
        let missing = |kind: &str, name: &Option<String>| {
            warn!(profile = %profile.id, kind, engine = name.as_deref(), "the profile names an engine that is not configured");
        };
        let stt = self.engines.stt(wanted.stt.as_deref());
        let llm = self.engines.llm(wanted.llm.as_deref());
        let tts = self.engines.tts(wanted.tts.as_deref());
        match (stt, llm, tts) {
            (Some(stt), Some(llm), Some(tts)) => {
                Some(Agent::new(profile, Engines { stt, llm, tts }, &self.permitted))
            }
            (None, _, _) => {
                missing("stt", &wanted.stt);
                None
            }
            (_, None, _) => {
                missing("llm", &wanted.llm);
                None
            }
            (_, _, None) => {
                missing("tts", &wanted.tts);
                None
            }
        }
    }
}
