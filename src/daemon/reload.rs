//! Reloading the configuration on SIGHUP: settings that can change while calls are live take effect, and the log and
//! `GET /status` name the others. A configuration with faults changes nothing.

mod changes;
mod credentials;

use std::sync::Arc;

use chrono::Utc;
use metrics::counter;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::agents::{AgentFactory, warm_up_prompts};
use super::build::Services;
use crate::admin::{ReloadOutcome, ReloadReport};
use crate::ari;
use crate::billing::Billing;
use crate::call::PromptCache;
use crate::config::{Config, ConfigError, ConfigErrors, Effective, Loaded};
use crate::current::Current;
use crate::state::ConversationState;
use crate::store::Store;
use crate::switchboard::Switchboard;
use crate::tenancy::{Permitted, TransferRules};
use changes::{changes, in_use};
use credentials::ServersInUse;

/// How the configuration is read again.
pub struct Source {
    /// Reads files and variables as at the start.
    pub reread: Box<dyn Fn() -> Result<Loaded, Vec<ConfigError>> + Send + Sync>,
    pub set_log_filter: Box<dyn Fn(&str) + Send + Sync>,
}

/// The latest reload; none before the first.
pub type LatestReload = Current<Option<ReloadReport>>;

/// The parts of the daemon whose settings can change.
pub struct Targets {
    pub switchboard: Switchboard,
    pub asterisk: Arc<ari::Client>,
    pub store: Store,
    /// The connections of calls.
    pub calls: Store,
    pub state: Arc<dyn ConversationState>,
    pub prompts: Arc<PromptCache>,
    pub agent_factory: Current<AgentFactory>,
    pub billing: Current<Billing>,
    pub permitted: Current<Permitted>,
    pub transfer: Current<TransferRules>,
}

/// Reloads on each SIGHUP until it is dropped. `config` and `effective` are those of the start.
pub async fn on_sighup(
    source: Source,
    targets: Targets,
    latest: LatestReload,
    config: Config,
    mut effective: Vec<Effective>,
) {
    let mut sighups = match signal(SignalKind::hangup()) {
        Ok(sighups) => sighups,
        Err(error) => return warn!(%error, "SIGHUP cannot be received: no reload without a restart"),
    };
    let mut servers = ServersInUse::of(&config);
    let mut warm_up = JoinSet::new();
    for number in 1.. {
        if sighups.recv().await.is_none() {
            return;
        }
        let began_at = Utc::now();
        let read = read(&source, &targets.agent_factory.get());
        let outcome = match read {
            Ok((loaded, agent_factory)) => {
                let credentials = servers.take_up(&loaded.config, &targets).await;
                (source.set_log_filter)(&loaded.config.log.filter);
                targets.apply(&loaded.config, agent_factory);
                let outcome = changes(&effective, &loaded.effective, &credentials);
                effective = in_use(effective, loaded.effective, &outcome);
                // Prompts of other voices and languages; those that are cached cost nothing. One warm-up at a time.
                warm_up.shutdown().await;
                warm_up.spawn(warm_up_prompts(
                    targets.store.clone(),
                    targets.agent_factory.get(),
                    targets.prompts.clone(),
                ));
                outcome
            }
            Err(problem) => ReloadOutcome::Failed { problem },
        };
        log(&outcome);
        latest.set(Some(ReloadReport { number, began_at, at: Utc::now(), outcome }));
    }
}

/// The configuration and its engines, in place of those of `former`.
fn read(source: &Source, former: &AgentFactory) -> Result<(Loaded, AgentFactory), String> {
    // Reads files, and may load a model.
    tokio::task::block_in_place(|| {
        let loaded = (source.reread)().map_err(|faults| ConfigErrors(&faults).to_string())?;
        let agent_factory = former.renewed(&loaded.config).map_err(|error| error.to_string())?;
        Ok((loaded, agent_factory))
    })
}

fn log(outcome: &ReloadOutcome) {
    let label = match outcome {
        ReloadOutcome::Applied { changed, refused, after_restart } => {
            info!(?changed, "configuration reloaded");
            for setting in refused {
                error!(
                    key = setting.key,
                    problem = setting.problem,
                    "refused: the former value stays in use"
                );
            }
            if !after_restart.is_empty() {
                warn!(keys = ?after_restart, "changed settings take effect after a restart");
            }
            if refused.is_empty() { "ok" } else { "refused" }
        }
        ReloadOutcome::Failed { problem } => {
            error!(%problem, "configuration not reloaded: the former one stays in use");
            "failed"
        }
    };
    counter!("vca_config_reloads_total", "outcome" => label).increment(1);
}

impl Targets {
    pub fn of(services: &Services) -> Targets {
        Targets {
            switchboard: services.switchboard.clone(),
            asterisk: services.asterisk.clone(),
            store: services.store.clone(),
            calls: services.calls.clone(),
            state: services.state.clone(),
            prompts: services.prompts.clone(),
            agent_factory: services.agent_factory.clone(),
            billing: services.billing.clone(),
            permitted: services.permitted.clone(),
            transfer: services.transfer.clone(),
        }
    }

    /// Live calls keep the agents that they began with.
    fn apply(&self, config: &Config, agent_factory: AgentFactory) {
        self.permitted.set(agent_factory.permitted.clone());
        self.agent_factory.set(agent_factory);
        self.prompts.sentences().clear();
        self.billing.set(config.billing());
        self.transfer.set(config.transfer.clone());
        self.store.set_plans(config.plans.clone());
        self.store.set_limits(config.limits);
        self.switchboard.set_rules(config.calls.clone(), config.plans.clone());
    }
}
