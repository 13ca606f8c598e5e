//! Reloading the configuration on SIGHUP: settings that can change while calls are live take effect, and the log names the
//! others. A configuration with faults changes nothing.

use std::sync::Arc;

use metrics::counter;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::agents::{Cast, rehearse};
use super::build::Services;
use crate::billing::Billing;
use crate::call::Spoken;
use crate::config::{Config, Effective, Fault, Faults, Loaded};
use crate::current::Current;
use crate::store::Store;
use crate::switchboard::Switchboard;
use crate::tenancy::Permitted;

/// Keys, or beginnings of keys, that take effect without a restart.
const RELOADED: &[&str] = &[
    "calls.max_calls",
    "calls.max_calls_per_tenant",
    "engines.",
    "limits.",
    "llm.",
    "log.filter",
    "openai.",
    "plans.",
    "prices.",
    "profiles.",
    "stt.",
    "tts.",
    "turn.",
];

/// How the configuration is read again.
pub struct Source {
    /// Reads files and variables as at the start.
    pub reread: Box<dyn Fn() -> Result<Loaded, Vec<Fault>> + Send + Sync>,
    pub set_log_filter: Box<dyn Fn(&str) + Send + Sync>,
}

/// The parts of the daemon whose settings can change.
pub struct Targets {
    pub switchboard: Switchboard,
    pub store: Store,
    pub spoken: Arc<Spoken>,
    pub cast: Current<Cast>,
    pub billing: Current<Billing>,
    pub permitted: Current<Permitted>,
}

/// Reloads on each SIGHUP until it is dropped. `effective` is the configuration at the start.
pub async fn on_hang_up(source: Source, targets: Targets, mut effective: Vec<Effective>) {
    let mut hang_ups = match signal(SignalKind::hangup()) {
        Ok(hang_ups) => hang_ups,
        Err(error) => return warn!(%error, "SIGHUP cannot be received: no reload without a restart"),
    };
    let mut warm_up = JoinSet::new();
    while hang_ups.recv().await.is_some() {
        match reload(&source, &targets) {
            Ok(loaded) => {
                counter!("vca_config_reloads_total", "outcome" => "ok").increment(1);
                let (changed, after_restart) = changes(&effective, &loaded.effective);
                info!(?changed, "configuration reloaded");
                if !after_restart.is_empty() {
                    warn!(keys = ?after_restart, "changed settings take effect after a restart");
                }
                effective = loaded.effective;
                // Prompts of other voices and languages; those that are cached cost nothing. One warm-up at a time.
                warm_up.shutdown().await;
                warm_up.spawn(rehearse(targets.store.clone(), targets.cast.get(), targets.spoken.clone()));
            }
            Err(problem) => {
                counter!("vca_config_reloads_total", "outcome" => "failed").increment(1);
                error!(%problem, "configuration not reloaded: the former one stays in use");
            }
        }
    }
}

fn reload(source: &Source, targets: &Targets) -> Result<Loaded, String> {
    let loaded = tokio::task::block_in_place(&source.reread).map_err(|faults| Faults(&faults).to_string())?;
    let cast = Cast::new(&loaded.config).map_err(|error| error.to_string())?;
    (source.set_log_filter)(&loaded.config.log.filter);
    targets.apply(&loaded.config, cast);
    Ok(loaded)
}

impl Targets {
    pub fn of(services: &Services) -> Targets {
        Targets {
            switchboard: services.switchboard.clone(),
            store: services.store.clone(),
            spoken: services.spoken.clone(),
            cast: services.cast.clone(),
            billing: services.billing.clone(),
            permitted: services.permitted.clone(),
        }
    }

    /// Live calls keep the agents that they began with.
    fn apply(&self, config: &Config, cast: Cast) {
        self.permitted.set(cast.permitted.clone());
        self.cast.set(cast);
        self.billing.set(config.billing());
        self.store.set_plans(config.plans.clone());
        self.store.set_limits(config.limits);
        self.switchboard.set_rules(config.calls.clone(), config.plans.clone());
    }
}

/// The keys with another value: those that took effect, and those that need a restart. A changed secret does not show.
fn changes<'a>(before: &'a [Effective], after: &'a [Effective]) -> (Vec<&'a str>, Vec<&'a str>) {
    let differs = |row: &&Effective| !before.iter().any(|old| old.key == row.key && old.value == row.value);
    let is_reloaded = |key: &&str| {
        RELOADED.iter().any(|name| if name.ends_with('.') { key.starts_with(name) } else { key == name })
    };
    after.iter().filter(differs).map(|row| row.key.as_str()).partition(is_reloaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_keys_are_divided_by_whether_they_took_effect() {
        let row =
            |key: &str, value: &str| Effective { key: key.into(), value: value.into(), source: "x".into() };
        let before =
            [row("calls.max_calls", "1"), row("calls.drain_timeout_s", "1"), row("prices.currency", "1")];
        let after =
            [row("calls.max_calls", "2"), row("calls.drain_timeout_s", "2"), row("prices.currency", "1")];
        assert_eq!(changes(&before, &after), (vec!["calls.max_calls"], vec!["calls.drain_timeout_s"]));
    }
}
