//! The report of the running daemon, as `GET /status` returns it.

use std::fs;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::process::{Resource, getrlimit};
use uuid::Uuid;

use super::health::Parts;
use super::reload::LatestReload;
use crate::admin::{CallLoad, DaemonReport, DatabaseReport, EngineReport, OpenFiles, RecordReport};
use crate::config::Config;
use crate::engines::core::retry::EngineState;
use crate::logging;
use crate::store::Store;

/// How long the database may take to answer. Shorter than an HTTP request may take.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(4);

/// The facts of a report that do not change while the daemon runs.
pub struct ReportSource {
    started_at: DateTime<Utc>,
    application: String,
    database: String,
    reloads: LatestReload,
}

impl ReportSource {
    pub fn of(config: &Config, reloads: LatestReload) -> ReportSource {
        ReportSource {
            started_at: Utc::now(),
            application: config.ari.app.clone(),
            database: config.database.location(),
            reloads,
        }
    }

    /// The report, without the parts, which the port checks itself.
    pub async fn report(&self, parts: &Parts, probe: Option<Uuid>) -> DaemonReport {
        DaemonReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started_at,
            now: Utc::now(),
            application: self.application.clone(),
            ready: false,
            parts: Vec::new(),
            engines: parts.agent_factory.get().engine_states().into_iter().map(engine_report).collect(),
            calls: CallLoad { live: parts.switchboard.live_calls(), max: parts.switchboard.max_calls() },
            files: open_files(),
            database: self.database(&parts.calls, probe).await,
            records: RecordReport { pending: parts.ledger.pending(), dropped: parts.ledger.dropped() },
            log: logging::recent_problems(),
            reload: Option::clone(&self.reloads.get()),
        }
    }

    async fn database(&self, store: &Store, probe: Option<Uuid>) -> DatabaseReport {
        let asked = tokio::time::timeout(DATABASE_TIMEOUT, async {
            let problem = store.check_write().await.err().map(|error| error.to_string());
            let has_probe = match probe {
                Some(probe) => store.has_probe(probe).await.ok(),
                None => None,
            };
            (problem, has_probe)
        });
        let (problem, has_probe) = asked
            .await
            .unwrap_or_else(|_| (Some(format!("no response within {} s", DATABASE_TIMEOUT.as_secs())), None));
        DatabaseReport { location: self.database.clone(), problem, has_probe }
    }
}

fn engine_report(EngineState { kind, engine, health, is_open, fallbacks }: EngineState) -> EngineReport {
    let fallbacks = fallbacks.iter().map(ToString::to_string).collect();
    EngineReport { kind: kind.to_string(), engine: engine.to_string(), health, open: is_open, fallbacks }
}

/// The open files of this process, and its soft limit.
pub fn open_files() -> Option<OpenFiles> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(OpenFiles { open: open as u64, limit: getrlimit(Resource::Nofile).current })
}
