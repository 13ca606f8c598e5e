//! `vca doctor` on a real Asterisk: what is well, and whether each thing that is not is named with its remedy.

mod faults;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support;
use crate::support::asterisk::{Asterisk, Options};
use crate::support::seed::{Seed, local_agent};
use crate::support::vca::Vca;
use crate::support::wait;

/// Asterisk, a tenant, and a daemon that does not run.
struct DoctorEnv {
    asterisk: Asterisk,
    vca: Vca,
    folder: PathBuf,
}

impl DoctorEnv {
    fn open() -> Option<DoctorEnv> {
        let sandbox = support::sandbox()?;
        let folder = std::env::temp_dir().join(format!("vca-doctor-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let asterisk = Asterisk::start(&sandbox, Options::default());
        Seed::open(&folder).tenant("main", "+49305550100", None, local_agent());
        let vca = Vca::new(Path::new(env!("CARGO_BIN_EXE_vca")), &folder, &asterisk);
        Some(DoctorEnv { asterisk, vca, folder })
    }

    /// Neither channel nor bridge nor application of the doctor's is left.
    fn is_tidy(&self, applications: &[&str]) {
        self.asterisk.becomes_idle(Duration::from_secs(1)).unwrap_or_else(|left| panic!("{left}"));
        // Asterisk forgets an application some moments after its WebSocket has closed.
        let tidy = wait::until_true(Duration::from_secs(3), || self.applications() == applications);
        assert!(tidy, "{:?} instead of {applications:?}", self.applications());
    }

    fn applications(&self) -> Vec<String> {
        let listed = self.asterisk.ari("applications").expect("a list");
        let items = listed.as_array().into_iter().flatten();
        items.filter_map(|item| item["name"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for DoctorEnv {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Exit code and report of an examination.
fn examine(vca: &Vca) -> (Option<i32>, String) {
    let output = vca.run(&["doctor"]).expect("vca can be run");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The finding about `check`, with the remedy if there is one.
fn finding<'a>(report: &'a str, check: &str) -> Vec<&'a str> {
    let mut lines = report.lines().skip_while(|line| line.split_whitespace().nth(1) != Some(check));
    let found: Vec<&str> =
        lines.next().into_iter().chain(lines.take_while(|line| line.starts_with(' '))).collect();
    assert!(!found.is_empty(), "nothing about {check} in:\n{report}");
    found
}

#[test]
fn a_sound_is_heard_both_ways_beside_a_daemon_and_without_one() {
    let Some(env) = DoctorEnv::open() else { return };
    let (code, report) = examine(&env.vca);
    assert_eq!(code, Some(0), "{report}");
    assert!(finding(&report, "media")[0].ends_with("nothing lost"), "{report}");
    env.is_tidy(&[]);
    let daemon = env.vca.serve().unwrap_or_else(|fault| panic!("{fault}"));
    let (code, report) = examine(&env.vca);
    assert_eq!(code, Some(0), "{report}");
    assert!(finding(&report, "media")[0].contains("heard both ways"), "{report}");
    println!("{report}");
    assert!(finding(&report, "application")[0].contains("a daemon is connected"), "{report}");
    env.is_tidy(&["vca"]);
    drop(daemon);
}

#[test]
fn programs_read_the_report_as_json() {
    let Some(env) = DoctorEnv::open() else { return };
    let report = env.vca.cli_json(&["doctor"]).unwrap_or_else(|fault| panic!("{fault}"));
    let findings = report.as_array().expect("a list of findings");
    let verdict = |check: &str| findings.iter().find(|it| it["check"] == check).map(|it| &it["verdict"]);
    for check in ["database", "asterisk", "asterisk modules", "media", "tenant main"] {
        assert_eq!(verdict(check), Some(&Value::from("ok")), "{check} in {report:#}");
    }
}

/// Asterisk's default of `identify_by` believes the From header.
#[test]
fn an_endpoint_that_lets_strangers_in_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let (code, report) = examine(&env.vca);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("each of 7 is known by its address or a password"), "{report}");
    env.asterisk.edit("vca-twilio", "identify_by=ip", ";identify_by=ip");
    env.asterisk.cli("module reload res_pjsip.so");
    let mut seen = (None, String::new());
    let found = wait::until_true(Duration::from_secs(5), || {
        seen = examine(&env.vca);
        seen.0 == Some(1)
    });
    assert!(found, "{}", seen.1);
    assert!(seen.1.contains("sip endpoints: twilio-trunk"), "{}", seen.1);
    assert!(seen.1.contains("set identify_by=ip in [twilio-trunk]"), "{}", seen.1);
}

#[test]
fn an_asterisk_that_refuses_or_is_gone_is_told_with_the_remedy() {
    let Some(mut env) = DoctorEnv::open() else { return };
    let (code, report) = examine(&env.vca.clone().with("ARI_PASSWORD", "wrong"));
    assert_eq!(code, Some(1), "{report}");
    let found = finding(&report, "asterisk");
    assert!(found[0].starts_with("FAIL") && found[1].contains("ARI_PASSWORD"), "{report}");
    assert!(!report.contains("media"), "what needs Asterisk is not tried without it:\n{report}");
    env.asterisk.kill();
    let (code, report) = examine(&env.vca);
    assert_eq!(code, Some(1), "{report}");
    let found = finding(&report, "asterisk");
    assert!(found[0].starts_with("FAIL") && found[1].contains("is Asterisk running"), "{report}");
}

#[test]
fn rtp_that_goes_astray_is_told_with_the_remedy() {
    let Some(env) = DoctorEnv::open() else { return };
    // Nobody is at 127.0.0.9, so nothing comes back.
    let astray = env.vca.clone().with("VCA__MEDIA__PUBLIC_ADDRESS", "127.0.0.9");
    let (code, report) = examine(&astray);
    assert_eq!(code, Some(1), "{report}");
    let found = finding(&report, "media");
    assert!(found[0].contains("no RTP comes back at all"), "{report}");
    assert!(found[1].contains("media.public_address (127.0.0.9)"), "{report}");
    env.is_tidy(&[]);
    // Now we are there, but our packets leave from another address, and those that come are no answer to them.
    let (code, report) = examine(&astray.with("VCA__MEDIA__BIND_ADDRESS", "0.0.0.0"));
    assert_eq!(code, Some(1), "{report}");
    assert!(finding(&report, "media")[0].contains("packets come to 127.0.0.9"), "{report}");
    env.is_tidy(&[]);
}
