//! `vca doctor`: looks at everything that a call needs, and says what to do where something is wrong.
//!
//! Each examination answers with findings, a line each. A new one is added to [`examine`].

mod asterisk;
mod certificate;
mod clock;
mod daemon;
mod dialplan;
mod disk;
mod end_of_turn;
mod endpoints;
mod engines;
mod hostname;
mod journal;
mod loopback;
mod rtp;
mod storage;

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::daemon_client::Access;
use super::failure::Failure;
use super::output::Output;
use super::table::printable;
use crate::config::{Config, ConfigError, Loaded};
use loopback::call::is_dialable;

#[derive(Debug, Args)]
pub struct Command {
    /// The program of Asterisk's command line, with which the dialplan is read.
    #[arg(long, value_name = "PROGRAM", default_value = "asterisk")]
    asterisk: PathBuf,
    /// Make no requests that vendors bill: engines with servers are then examined by their lists of models alone.
    #[arg(long)]
    no_cost: bool,
    /// Place a call to this number through the dialplan, listen for the agent's first words, and hang up. It is recorded and
    /// charged like any other call.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    call: Option<String>,
    /// The context that the call enters. Default: the one of a SIP endpoint that leads to the Stasis application.
    #[arg(long, requires = "call")]
    context: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// How long one examination may take.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: String,
    #[serde(flatten)]
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// It works; what was seen.
    Ok { seen: String },
    /// Not a fault by itself: a remark, or what could not be checked.
    Note { seen: String },
    /// Calls can be taken, but not all, or not well.
    Warn { problem: String, remedy: String },
    /// No call can be taken, or those of one tenant cannot.
    Fail { problem: String, remedy: String },
}

impl Finding {
    pub fn ok(check: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { check: check.into(), verdict: Verdict::Ok { seen: seen.into() } }
    }

    pub fn note(check: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { check: check.into(), verdict: Verdict::Note { seen: seen.into() } }
    }

    pub fn warn(check: impl Into<String>, problem: impl ToString, remedy: impl Into<String>) -> Finding {
        let verdict = Verdict::Warn { problem: problem.to_string(), remedy: remedy.into() };
        Finding { check: check.into(), verdict }
    }

    pub fn fail(check: impl Into<String>, problem: impl ToString, remedy: impl Into<String>) -> Finding {
        let verdict = Verdict::Fail { problem: problem.to_string(), remedy: remedy.into() };
        Finding { check: check.into(), verdict }
    }

    fn is_fail(&self) -> bool {
        matches!(self.verdict, Verdict::Fail { .. })
    }
}

impl Command {
    /// Runs all checks. Fails when one has failed; warnings do not count.
    pub async fn run(self, loaded: &Loaded, output: &mut Output<'_>) -> Result<(), Failure> {
        let mut findings: Vec<Finding> = loaded.warnings.iter().map(weakness).collect();
        findings.extend(self.examine(&loaded.config).await);
        output.print(&findings, || text(&findings))?;
        let failed = findings.iter().any(Finding::is_fail);
        if failed { Err(Failure::said()) } else { Ok(()) }
    }
}

fn weakness(warning: &ConfigError) -> Finding {
    Finding::warn("configuration", format!("{}: {}", warning.key, warning.problem), &warning.remedy)
}

impl Command {
    /// All findings. Checks that depend on a missing part are skipped.
    async fn examine(&self, config: &Config) -> Vec<Finding> {
        let (mut findings, practice) = storage::database(&config.database, config.numbers).await;
        findings.extend(disk::examine(&config.database));
        findings.extend(storage::secrets(config).await);
        findings.push(storage::state(&config.state).await);
        findings.extend(self.asterisk(config).await);
        findings.extend(hostname::examine(&config.ari).await);
        findings.extend(clock::examine(config).await);
        let cost = if self.no_cost { engines::Cost::None } else { engines::Cost::Small };
        findings.extend(agents(config, &practice, cost).await);
        findings
    }

    /// Asterisk, its dialplan, the media path, and the daemon that is connected.
    async fn asterisk(&self, config: &Config) -> Vec<Finding> {
        let (daemon, mut findings) = daemon::ask(&self.access, config).await;
        let asterisk::Examined { findings: found, registration, endpoints } =
            asterisk::examine(&config.ari).await;
        let is_sound = found.iter().all(|finding| !finding.is_fail());
        findings.extend(found);
        let dialplan = dialplan::read(&self.asterisk, &config.ari).await;
        if !endpoints.is_empty() {
            findings.extend(dialplan::examine(&dialplan, &endpoints, &config.ari.app));
        }
        findings.extend(daemon::examine(&daemon, &registration, config));
        if !matches!(daemon, daemon::Daemon::Running(_)) {
            findings.extend(journal::examine().await);
        }
        if is_sound {
            findings.extend(media_path(config).await);
        }
        if let (Some(number), true) = (&self.call, is_sound) {
            let entered =
                self.context.clone().or_else(|| dialplan::entered(&dialplan, &endpoints, &config.ari.app));
            findings.extend(self.placed(number, entered, config).await);
        }
        findings
    }

    /// A call to a number, where number and context can be dialled.
    async fn placed(&self, number: &str, context: Option<String>, config: &Config) -> Vec<Finding> {
        const CHECK: &str = "call";
        match context {
            Some(context) if is_dialable(number) && is_dialable(&context) => {
                loopback::call::examine(number, &context, config).await
            }
            Some(_) => vec![Finding::fail(
                CHECK,
                "the number or the context cannot be dialled",
                "give a number such as +493055500100, and a context of extensions.conf",
            )],
            None => vec![Finding::fail(
                CHECK,
                "it is not known which context calls enter",
                "name it by --context, such as --context from-trunk",
            )],
        }
    }
}

/// Asterisk's RTP ports, and a sound over two of them where that leaves a free one.
async fn media_path(config: &Config) -> Vec<Finding> {
    let (test, mut findings) = rtp::examine(&config.ari, config.calls.max_calls).await;
    if test == rtp::MediaTest::Possible {
        findings.push(loopback::examine(&config.ari, &config.media).await);
    }
    findings
}

/// The engines, and the tenants whose calls they answer.
async fn agents(config: &Config, practice: &[storage::ActiveTenant], cost: engines::Cost) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(engines::examine(&config.engines(), practice, cost).await);
    findings.extend(end_of_turn::examine(&config.end_of_turn).await);
    let permitted = config.permitted(config.engines().catalogue());
    findings.extend(storage::tenants(practice, &permitted));
    findings.extend(storage::prices(config, practice));
    findings
}

/// Awaits an examination for the time limit at most.
async fn within_limit<T>(examination: impl Future<Output = T>) -> Result<T, String> {
    let limit = format!("no response within {} s", TIME_LIMIT.as_secs());
    tokio::time::timeout(TIME_LIMIT, examination).await.map_err(|_| limit)
}

fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { check, verdict } in findings {
        let (word, found, remedy) = match verdict {
            Verdict::Ok { seen } => ("ok  ", seen, None),
            Verdict::Note { seen } => ("note", seen, None),
            Verdict::Warn { problem, remedy } => ("warn", problem, Some(remedy)),
            Verdict::Fail { problem, remedy } => ("FAIL", problem, Some(remedy)),
        };
        let _ = writeln!(text, "{word}  {check:width$}  {}", printable(found));
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "      {:width$}  -> {}", "", printable(remedy));
        }
    }
    text
}

#[cfg(test)]
mod tests;
