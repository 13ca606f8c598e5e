//! The running daemon: is it there, does it take calls, and does it use what this shell's configuration names? The doctor
//! runs as another user, with other limits and perhaps another environment, so it asks.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::asterisk::Registration;
use super::{Finding, certificate, clock};
use crate::admin::{DaemonReport, DatabaseReport, LoggedProblem, OpenFiles, PartReport};
use crate::cli::daemon_client::{Access, DaemonClient, Unanswered};
use crate::cli::database;
use crate::config::Config;
use crate::store::Store;

const CHECK: &str = "daemon";
/// Files that the daemon has open for a call: two sockets, and connections or pipes to engines.
const FILES_PER_CALL: u64 = 8;
/// Files beside those of calls: database, ARI, the admin port and its clients.
const OTHER_FILES: u64 = 256;
/// Problems of the log that are not older are shown.
const RECENT: TimeDelta = TimeDelta::hours(1);

/// The daemon's response.
#[derive(Debug)]
pub enum Daemon {
    Running(Box<DaemonReport>),
    /// Nothing listens where it should.
    Absent,
    /// A daemon is there and refuses, or something else is: why, and the remedy.
    Unknown {
        problem: String,
        remedy: String,
    },
}

/// Asks the daemon for its report, with a row in the database of this shell, which it sees if it uses the same one.
pub async fn ask(access: &Access, config: &Config) -> (Daemon, Vec<Finding>) {
    let (store, probe, mut findings) = write_probe(config).await;
    let daemon = match DaemonClient::keyless(access, config) {
        Ok(client) => response(&client, probe, config).await,
        Err(failure) => {
            Daemon::Unknown { problem: failure.text, remedy: "correct --ca or --client-certificate".into() }
        }
    };
    if let (Some(store), Some(probe)) = (store, probe)
        && let Err(error) = store.remove_probe(probe).await
    {
        findings.push(Finding::warn("database writes", error, "see the database's own log"));
    }
    if matches!(daemon, Daemon::Absent) {
        findings.extend(certificate::fault(&config.admin));
    }
    (daemon, findings)
}

/// Writes a row. Nothing where the database cannot be opened or lacks its tables, which has a finding of its own.
async fn write_probe(config: &Config) -> (Option<Store>, Option<Uuid>, Vec<Finding>) {
    const CHECK: &str = "database writes";
    let Ok(store) = database::open(&config.database).await else { return (None, None, Vec::new()) };
    if !store.pending_migrations().await.is_ok_and(|pending| pending.is_empty()) {
        return (None, None, Vec::new());
    }
    match store.add_probe().await {
        Ok(probe) => (Some(store), Some(probe), vec![Finding::ok(CHECK, "a row was written and deleted")]),
        Err(error) => {
            (Some(store), None, vec![Finding::fail(CHECK, error, write_remedy(&config.database.location()))])
        }
    }
}

fn write_remedy(location: &str) -> String {
    format!(
        "the daemon's user has to own the file and its folder, and the disk needs free space: `ls -la {location}*`, \
         `df -h`; of PostgreSQL see its log, and whether it is a standby"
    )
}

async fn response(client: &DaemonClient, probe: Option<Uuid>, config: &Config) -> Daemon {
    let path = probe.map_or_else(|| "/status".to_owned(), |probe| format!("/status?probe={probe}"));
    match client.ask::<DaemonReport>(&path).await {
        Ok(report) => Daemon::Running(Box::new(report)),
        Err(Unanswered::NoConnection) => Daemon::Absent,
        Err(Unanswered::Refused) => Daemon::Unknown {
            problem: format!("it does not report to this client at {}", client.base()),
            remedy: "give an operator's key in VCA_API_KEY (`vca key create --operator`)".into(),
        },
        Err(Unanswered::NoDaemon(response)) => {
            certificate::closed_port(&config.admin).unwrap_or_else(|| Daemon::Unknown {
                problem: format!("{} is taken by another program: {response}", client.base()),
                remedy: "stop that program (`ss -ltnp` names it), or choose another port with admin.bind"
                    .into(),
            })
        }
    }
}

/// The findings about the daemon and its Stasis application.
pub fn examine(daemon: &Daemon, registration: &Registration, config: &Config) -> Vec<Finding> {
    let app = format!("application {}", config.ari.app);
    match daemon {
        Daemon::Absent => vec![unattended(&app, registration)],
        Daemon::Unknown { problem, remedy } => {
            vec![Finding::fail(CHECK, problem, remedy), unattended(&app, registration)]
        }
        Daemon::Running(report) => {
            let mut findings = vec![state(report, config)];
            findings.extend(application(&app, report, registration, config));
            findings.push(same_database(&report.database, config));
            findings.extend(report.files.and_then(|files| open_files(files, config.calls.max_calls)));
            findings.extend(lost_records(report));
            findings.extend(clock::daemon(report.now - Utc::now()));
            findings.extend(recent_problems(&report.log, report.now));
            findings
        }
    }
}

/// Of an application without a daemon that reports.
fn unattended(check: &str, registration: &Registration) -> Finding {
    match registration {
        Registration::Connected { .. } => Finding::fail(
            check,
            "a program is connected to it, but no daemon reports on the admin port: another program may have taken it",
            "stop that program, or correct ari.app; where it is a daemon, correct admin.bind or --url",
        ),
        Registration::Absent | Registration::Unknown => Finding::warn(
            check,
            "no daemon is connected: its calls go on in the dialplan",
            "start `vca serve`; where the service does not start: systemctl status vca, journalctl -u vca -n 20",
        ),
    }
}

fn state(report: &DaemonReport, config: &Config) -> Finding {
    let failing: Vec<String> = report.parts.iter().filter(|part| !part.ok).map(describe).collect();
    let problem = failing.join("; ");
    if !report.ready {
        return Finding::fail(CHECK, format!("it takes no calls: {problem}"), "journalctl -u vca -n 50");
    }
    if !failing.is_empty() {
        return Finding::warn(CHECK, format!("it takes calls, but: {problem}"), "journalctl -u vca -n 50");
    }
    if report.version != env!("CARGO_PKG_VERSION") {
        let problem =
            format!("it is version {}, and this program {}", report.version, env!("CARGO_PKG_VERSION"));
        return Finding::warn(CHECK, problem, "restart it: systemctl restart vca");
    }
    if report.calls.max != config.calls.max_calls {
        let problem = format!(
            "it takes {} calls; this configuration says {}",
            report.calls.max, config.calls.max_calls
        );
        return Finding::warn(CHECK, problem, "it was started with another configuration: restart it");
    }
    let DaemonReport { version, started_at, calls, .. } = report;
    Finding::ok(
        CHECK,
        format!(
            "version {version} takes calls since {}; {} of {} are live",
            started_at.format("%F %T UTC"),
            calls.live,
            calls.max
        ),
    )
}

fn describe(part: &PartReport) -> String {
    format!("{}: {}", part.name, part.problem.as_deref().unwrap_or("not well"))
}

fn application(
    check: &str,
    report: &DaemonReport,
    registration: &Registration,
    config: &Config,
) -> Option<Finding> {
    if report.application != config.ari.app {
        let problem = format!("the daemon serves {}, this configuration names another", report.application);
        return Some(Finding::fail(check, problem, "restart the daemon, or correct ari.app (VCA__ARI__APP)"));
    }
    let is_connected = report.parts.iter().any(|part| part.name == "ari" && part.ok);
    match (registration, is_connected) {
        (Registration::Connected { channels }, true) => {
            Some(Finding::ok(check, format!("a daemon is connected; {channels} channels are in it")))
        }
        (Registration::Connected { .. }, false) => Some(Finding::fail(
            check,
            "another program has taken it from the daemon: its calls are not answered by vca",
            "stop that program, or give vca another name with ari.app and in the dialplan",
        )),
        (Registration::Absent, _) => Some(Finding::fail(
            check,
            "the daemon runs and is not connected to this Asterisk: its calls go on in the dialplan",
            "does the daemon have the same ari.url and password? journalctl -u vca -n 50",
        )),
        (Registration::Unknown, _) => None,
    }
}

/// A daemon with another database answers none of the numbers that are created in this shell.
fn same_database(database: &DatabaseReport, config: &Config) -> Finding {
    const CHECK: &str = "daemon's database";
    let DatabaseReport { location, problem, has_probe } = database;
    if let Some(problem) = problem {
        return Finding::fail(
            CHECK,
            format!("the daemon cannot write to {location}: {problem}"),
            write_remedy(location),
        );
    }
    let own = config.database.location();
    let is_same = has_probe.unwrap_or_else(|| canonical(location) == canonical(&own));
    if is_same {
        return Finding::ok(CHECK, format!("{location}, as in this shell; it takes writes"));
    }
    Finding::fail(
        CHECK,
        format!(
            "the daemon uses {location}, this shell {own}: numbers created here are unknown to calls (404)"
        ),
        "set database.url in /etc/vca/vca.toml, or export VCA_ENV_FILE=/etc/vca/vca.env in this shell",
    )
}

fn canonical(location: &str) -> PathBuf {
    std::fs::canonicalize(location).unwrap_or_else(|_| Path::new(location).to_owned())
}

/// Fewer files than calls need: calls fail with "too many open files".
pub(super) fn open_files(OpenFiles { open, limit }: OpenFiles, max_calls: usize) -> Option<Finding> {
    const CHECK: &str = "daemon's open files";
    let limit = limit?;
    let needed = max_calls as u64 * FILES_PER_CALL + OTHER_FILES;
    let seen = format!("{open} of {limit} are open; {max_calls} calls need up to {needed}");
    if limit < needed {
        let remedy = format!(
            "LimitNOFILE={} in the unit, `ulimit -n`, or a smaller calls.max_calls",
            needed.max(65_536)
        );
        return Some(Finding::fail(CHECK, seen, remedy));
    }
    Some(Finding::ok(CHECK, seen))
}

fn lost_records(report: &DaemonReport) -> Option<Finding> {
    let records = report.records;
    (records.dropped > 0).then(|| {
        let problem =
            format!("{} were lost since the daemon's start; {} wait", records.dropped, records.pending);
        Finding::fail(
            "records of calls on their way",
            problem,
            "see the log for the reason: journalctl -u vca -p err",
        )
    })
}

/// The latest problem of the log, where it is not old.
fn recent_problems(log: &[LoggedProblem], now: DateTime<Utc>) -> Option<Finding> {
    let recent: Vec<&LoggedProblem> = log.iter().filter(|line| now - line.at < RECENT).collect();
    let errors = recent.iter().filter(|line| line.level == "ERROR").count();
    // An error says more than the warnings after it.
    let latest = recent.iter().find(|line| line.level == "ERROR").or(recent.first())?;
    let LoggedProblem { at, level, text, .. } = latest;
    Some(Finding::note(
        "daemon's log",
        format!(
            "{errors} errors and {} warnings lately; {} {level} {text}",
            recent.len() - errors,
            at.format("%T")
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{CallLoad, RecordReport};
    use crate::cli::doctor::Verdict;

    fn report() -> DaemonReport {
        let now = Utc::now();
        let part = |name: &str| PartReport { name: name.into(), ok: true, needed: true, problem: None };
        DaemonReport {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: 1,
            started_at: now,
            now,
            application: "vca".into(),
            ready: true,
            parts: vec![part("ari"), part("database")],
            engines: Vec::new(),
            calls: CallLoad { live: 1, max: 200 },
            files: Some(OpenFiles { open: 40, limit: Some(65_536) }),
            database: DatabaseReport {
                location: "/var/lib/vca/vca.db".into(),
                problem: None,
                has_probe: Some(true),
            },
            records: RecordReport { pending: 0, dropped: 0 },
            log: Vec::new(),
            reload: None,
        }
    }

    /// The problem found after a change of the report, with its check; the first of several.
    fn problem(
        change: impl FnOnce(&mut DaemonReport),
        registration: Registration,
    ) -> Option<(String, String)> {
        let mut report = report();
        change(&mut report);
        let findings = examine(&Daemon::Running(Box::new(report)), &registration, &Config::default());
        findings.into_iter().find_map(|Finding { check, verdict }| match verdict {
            Verdict::Warn { problem, .. } | Verdict::Fail { problem, .. } => Some((check, problem)),
            Verdict::Ok { .. } | Verdict::Note { .. } => None,
        })
    }

    fn assert_found(change: impl FnOnce(&mut DaemonReport), check: &str, words: &str) {
        let (found, problem) = problem(change, Registration::Connected { channels: 0 }).expect("a finding");
        assert!(found == check && problem.contains(words), "{found}: {problem}");
    }

    #[test]
    fn a_daemon_that_is_well_has_no_problem() {
        assert_eq!(problem(|_| {}, Registration::Connected { channels: 2 }), None);
    }

    #[test]
    fn each_problem_of_the_daemon_is_named() {
        assert_found(|report| report.version = "0.0.1".into(), "daemon", "version 0.0.1");
        assert_found(|report| report.calls.max = 7, "daemon", "7 calls");
        let draining = |report: &mut DaemonReport| {
            report.ready = false;
            report.parts[1] =
                PartReport { ok: false, problem: Some("away".into()), ..report.parts[1].clone() };
        };
        assert_found(draining, "daemon", "takes no calls: database: away");
        assert_found(|report| report.application = "bot".into(), "application vca", "serves bot");
        assert_found(
            |report| report.database.has_probe = Some(false),
            "daemon's database",
            "unknown to calls",
        );
        assert_found(|report| report.database.has_probe = None, "daemon's database", "this shell");
        assert_found(
            |report| report.database.problem = Some("full".into()),
            "daemon's database",
            "cannot write",
        );
        let few = OpenFiles { open: 40, limit: Some(64) };
        assert_found(|report| report.files = Some(few), "daemon's open files", "40 of 64");
        assert_found(|report| report.records.dropped = 3, "records of calls on their way", "3 were lost");
        assert_found(|report| report.now += TimeDelta::days(40), "daemon's clock", "ahead");
    }

    #[test]
    fn an_application_that_another_program_has_is_told_from_one_that_none_has() {
        let lost = |report: &mut DaemonReport| report.parts[0].ok = false;
        let (_, taken) = problem(lost, Registration::Connected { channels: 0 }).expect("a finding");
        assert!(taken.contains("ari"), "{taken}");
        let daemon = Daemon::Running(Box::new({
            let mut report = report();
            report.parts[0].ok = false;
            report
        }));
        let config = Config::default();
        let has = |registration: Registration, words: &str| {
            let findings = examine(&daemon, &registration, &config);
            findings.iter().any(|finding| format!("{finding:?}").contains(words))
        };
        assert!(has(Registration::Connected { channels: 0 }, "another program has taken it"));
        assert!(has(Registration::Absent, "is not connected to this Asterisk"));
        let unattended = examine(&Daemon::Absent, &Registration::Connected { channels: 1 }, &config);
        assert!(format!("{unattended:?}").contains("another program may have taken it"), "{unattended:?}");
    }

    #[test]
    fn the_latest_error_of_the_log_is_shown() {
        let line = |level: &str, text: &str, minutes: i64| LoggedProblem {
            at: Utc::now() - TimeDelta::minutes(minutes),
            level: level.into(),
            target: "vca".into(),
            text: text.into(),
        };
        let log = [line("WARN", "slow", 1), line("ERROR", "broken", 2), line("ERROR", "long ago", 90)];
        let found = format!("{:?}", recent_problems(&log, Utc::now()));
        assert!(found.contains("1 errors and 1 warnings") && found.contains("ERROR broken"), "{found}");
        assert_eq!(recent_problems(&log[2..], Utc::now()), None);
    }
}
