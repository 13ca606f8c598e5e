//! `vca doctor`: looks at everything that a call needs, and says what to do where something is wrong.
//!
//! Each examination answers with findings, a line each. A new one is added to [`examine`].

mod asterisk;
mod endpoints;
mod engines;
mod hostname;
mod keeping;
mod loopback;

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::failure::Failure;
use super::output::Output;
use super::table::printable;
use crate::config::{Config, Fault, Loaded};

/// How long one examination may take.
const PATIENCE: Duration = Duration::from_secs(20);

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
    /// Calls can be taken, but not all, or not well.
    Warn { problem: String, remedy: String },
    /// No call can be taken, or those of one tenant cannot.
    Fail { problem: String, remedy: String },
}

impl Finding {
    pub fn ok(check: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { check: check.into(), verdict: Verdict::Ok { seen: seen.into() } }
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

/// Examines, and fails when anything is wrong. What deserves a warning only is no failure.
/// Examines everything and prints what was found. `no_cost` leaves out requests that vendors bill.
pub async fn run(loaded: &Loaded, no_cost: bool, output: &mut Output<'_>) -> Result<(), Failure> {
    let cost = if no_cost { engines::Cost::None } else { engines::Cost::Small };
    let mut findings: Vec<Finding> = loaded.warnings.iter().map(weakness).collect();
    findings.extend(examine(&loaded.config, cost).await);
    output.print(&findings, || text(&findings))?;
    let failed = findings.iter().any(Finding::is_fail);
    if failed { Err(Failure::said()) } else { Ok(()) }
}

fn weakness(warning: &Fault) -> Finding {
    Finding::warn("configuration", format!("{}: {}", warning.key, warning.problem), &warning.remedy)
}

/// All findings. What stands on something that is missing is not looked at.
async fn examine(config: &Config, cost: engines::Cost) -> Vec<Finding> {
    let (mut findings, practice) = keeping::database(&config.database, config.numbers).await;
    findings.extend(keeping::secrets(config).await);
    findings.push(keeping::state(&config.state).await);
    let asterisk = asterisk::examine(&config.ari).await;
    let is_sound = asterisk.iter().all(|finding| !finding.is_fail());
    findings.extend(asterisk);
    findings.extend(hostname::examine(&config.ari).await);
    if is_sound {
        findings.push(loopback::examine(&config.ari, &config.media).await);
    }
    findings.extend(engines::examine(&config.engines(), &practice, cost).await);
    let permitted = config.permitted(config.engines().catalogue());
    findings.extend(keeping::tenants(&practice, &permitted));
    findings.extend(keeping::prices(config, &practice));
    findings
}

/// Awaits an examination, but not for ever.
async fn patiently<T>(examination: impl Future<Output = T>) -> Result<T, String> {
    let limit = format!("no answer within {} s", PATIENCE.as_secs());
    tokio::time::timeout(PATIENCE, examination).await.map_err(|_| limit)
}

fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { check, verdict } in findings {
        let (word, found, remedy) = match verdict {
            Verdict::Ok { seen } => ("ok  ", seen, None),
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
