//! The report of the running daemon (`GET /status`): for `vca doctor`, and for operators who compare it with the shell.
//!
//! It names the database and recent problems, so it needs an operator's key, except for clients on this machine.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Part;

/// The running daemon, as it sees itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaemonReport {
    pub version: String,
    pub pid: u32,
    pub started_at: DateTime<Utc>,
    /// The daemon's clock.
    pub now: DateTime<Utc>,
    /// The name of its Stasis application.
    pub application: String,
    /// Can it take calls?
    pub ready: bool,
    pub parts: Vec<PartReport>,
    /// The engines since the start or the latest reload; of each kind, the default one is first.
    #[serde(default)]
    pub engines: Vec<EngineReport>,
    pub calls: CallLoad,
    /// Absent where the system does not tell.
    pub files: Option<OpenFiles>,
    pub database: DatabaseReport,
    pub records: RecordReport,
    /// Warnings and errors of its log, the latest first.
    pub log: Vec<LoggedProblem>,
    /// The latest reload of its configuration; absent before the first.
    #[serde(default)]
    pub reload: Option<ReloadReport>,
}

/// A part of the daemon; see [`Part`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReport {
    pub name: String,
    pub ok: bool,
    pub needed: bool,
    pub problem: Option<String>,
}

impl From<Part> for PartReport {
    fn from(part: Part) -> PartReport {
        PartReport { name: part.name.to_owned(), ok: part.ok, needed: part.needed, problem: part.problem }
    }
}

/// An engine as calls find it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineReport {
    /// `stt`, `llm` or `tts`.
    pub kind: String,
    pub engine: String,
    /// The share of recent attempts that succeeded, 0 to 1.
    pub health: f64,
    /// It is left alone after failures, and its fallback is used.
    pub open: bool,
    /// The engines that are asked when it fails, in order.
    #[serde(default)]
    pub fallbacks: Vec<String>,
}

/// Live calls and the most that the daemon takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLoad {
    pub live: usize,
    pub max: usize,
}

/// Open file descriptors and the most that the daemon may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFiles {
    pub open: u64,
    /// Absent: unlimited.
    pub limit: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseReport {
    /// The database without its password; an SQLite file by its absolute path.
    pub location: String,
    /// Why it does not take writes; absent when it does.
    pub problem: Option<String>,
    /// Does it hold the row that the request named? Absent when it named none, or when the database does not answer.
    pub has_probe: Option<bool>,
}

/// Records of calls on their way to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordReport {
    pub pending: usize,
    /// Lost since the daemon's start.
    pub dropped: u64,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedProblem {
    pub at: DateTime<Utc>,
    /// `WARN` or `ERROR`.
    pub level: String,
    pub target: String,
    pub text: String,
}

/// A reload of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// 1 for the first since the daemon's start.
    pub number: u64,
    /// When the configuration began to be read. A daemon that is older than this field does not report it.
    #[serde(default)]
    pub began_at: DateTime<Utc>,
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub outcome: ReloadOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// The configuration was read; the keys that have another value, by what became of them.
    Applied { changed: Vec<String>, refused: Vec<RefusedSetting>, after_restart: Vec<String> },
    /// The configuration has faults, and nothing was changed.
    Failed { problem: String },
}

/// A setting that its server refuses, so that the former one stays in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSetting {
    pub key: String,
    pub problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reload_of_an_older_daemon_is_read() {
        let text = r#"{"number":1,"at":"2026-11-01T00:00:00Z","outcome":"failed","problem":"a fault"}"#;
        let report: ReloadReport = serde_json::from_str(text).expect("a report");
        assert_eq!(report.began_at, DateTime::<Utc>::default());
        assert_eq!(report.outcome, ReloadOutcome::Failed { problem: "a fault".into() });
    }
}
