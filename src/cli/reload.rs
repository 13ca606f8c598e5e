//! `vca config reload`: has the running daemon read its configuration again, and reports the result.
//!
//! The daemon names its process over its HTTP port and gets SIGHUP. So the kernel decides who may reload: root and the
//! daemon's own user.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use reqwest::Url;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::daemon_client::{Access, DaemonClient, Unanswered};
use super::failure::Failure;
use super::output::Output;
use crate::admin::{DaemonReport, RefusedSetting, ReloadOutcome, ReloadReport};
use crate::config::Config;

/// A reload tries the logins of Asterisk, the database and Redis, each with a time limit.
const LIMIT: Duration = Duration::from_secs(60);
/// For the name of the daemon's host.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    access: Access,
}

impl Reload {
    /// Fails where the configuration has faults, where a server refuses its credentials, and where there is no daemon.
    pub async fn run(self, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let client = DaemonClient::keyless(&self.access, config)?;
        let pid = status(&client).await?.pid;
        require_this_machine(client.base()).await?;
        let signalled = Utc::now();
        send_sighup(pid)?;
        let reload = reload_since(&client, signalled).await?;
        output.print(&reload, || text(&reload.outcome))?;
        match &reload.outcome {
            ReloadOutcome::Applied { refused, .. } if refused.is_empty() => Ok(()),
            ReloadOutcome::Applied { .. } | ReloadOutcome::Failed { .. } => Err(Failure::said()),
        }
    }
}

async fn status(client: &DaemonClient) -> Result<DaemonReport, Failure> {
    let unavailable = |problem: &str| {
        let base = client.base();
        Failure::unavailable(format!("{problem} at {base}; `systemctl reload vca` reloads it, too"))
    };
    client.ask::<DaemonReport>("/status").await.map_err(|unanswered| match unanswered {
        Unanswered::NoConnection => unavailable("no daemon responds"),
        Unanswered::Refused => unavailable("the daemon asks for an operator's key (VCA_API_KEY)"),
        Unanswered::NoDaemon(response) => unavailable(&format!("no daemon responds: {response}")),
    })
}

/// A process id is of use on its own machine only.
async fn require_this_machine(base: &str) -> Result<(), Failure> {
    let refusal =
        || Failure::unacceptable(format!("the daemon at {base} is on another machine: reload it there"));
    let url = Url::parse(base).map_err(|_| refusal())?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let lookup = tokio::time::timeout(LOOKUP_LIMIT, tokio::net::lookup_host((host, 0))).await;
    let addresses = lookup.map_err(|_| refusal())?.map_err(|_| refusal())?;
    let is_own = |address: SocketAddr| UdpSocket::bind(address).is_ok();
    addresses.into_iter().any(is_own).then_some(()).ok_or_else(refusal)
}

fn send_sighup(pid: u32) -> Result<(), Failure> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| name.starts_with("vca"));
    let pid = pid.ok_or_else(|| {
        Failure::unavailable("the daemon's process is not visible here (a container?): reload it there")
    })?;
    kill_process(pid, Signal::HUP).map_err(|error| {
        Failure::failed(format!("the daemon cannot be signalled ({error}): run this as root or as its user"))
    })
}

/// Waits for a reload that began after the signal: one that was in progress may have read the former files. The clock is
/// the same, as the daemon is on this machine. A request that fails meanwhile is repeated.
async fn reload_since(client: &DaemonClient, signalled: DateTime<Utc>) -> Result<ReloadReport, Failure> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let reload = status(client).await.ok().and_then(|report| report.reload);
        if let Some(reload) = reload.filter(|reload| reload.began_at >= signalled) {
            return Ok(reload);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Failure::unavailable("the daemon did not reload in time: see its log"))
}

fn text(outcome: &ReloadOutcome) -> String {
    let (changed, refused, after_restart) = match outcome {
        ReloadOutcome::Failed { problem } => {
            return format!("not reloaded, and nothing was changed:\n{problem}");
        }
        ReloadOutcome::Applied { changed, refused, after_restart } => (changed, refused, after_restart),
    };
    let mut lines = vec![match changed.as_slice() {
        [] => "nothing has changed".to_owned(),
        keys => format!("reloaded: {}", keys.join(", ")),
    }];
    lines.extend(refused.iter().map(|RefusedSetting { key, problem }| {
        format!("refused, and the former value stays in use: {key}: {problem}")
    }));
    if !after_restart.is_empty() {
        lines.push(format!("takes effect after a restart: {}", after_restart.join(", ")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_named_by_what_became_of_it() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        let outcome = ReloadOutcome::Applied {
            changed: keys(&["log.filter", "openai.key"]),
            refused: vec![RefusedSetting { key: "ari.password".into(), problem: "401".into() }],
            after_restart: keys(&["admin.bind"]),
        };
        let expected = "reloaded: log.filter, openai.key\n\
                        refused, and the former value stays in use: ari.password: 401\n\
                        takes effect after a restart: admin.bind";
        assert_eq!(text(&outcome), expected);
        let nothing =
            ReloadOutcome::Applied { changed: keys(&[]), refused: Vec::new(), after_restart: keys(&[]) };
        assert_eq!(text(&nothing), "nothing has changed");
    }

    #[tokio::test]
    async fn only_a_daemon_of_this_machine_is_signalled() {
        assert_eq!(require_this_machine("http://127.0.0.1:8080").await, Ok(()));
        assert_eq!(require_this_machine("https://localhost:8080").await, Ok(()));
        // TEST-NET-1 (RFC 5737) is no machine's own.
        let refused = require_this_machine("http://192.0.2.1:8080").await;
        assert!(refused.is_err_and(|failure| failure.text.contains("another machine")));
        assert!(send_sighup(u32::MAX).is_err());
    }
}
