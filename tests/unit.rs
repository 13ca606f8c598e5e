//! The files of `systemd/`: what the unit promises fits the daemon, and systemd accepts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use vca::switchboard;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn unit() -> String {
    fs::read_to_string(root().join("systemd/vca.service")).expect("the unit")
}

/// The last value of a setting.
fn value<'a>(unit: &'a str, key: &str) -> &'a str {
    let found = unit.lines().rev().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("the unit has no {key}="))
}

fn seconds(unit: &str, key: &str) -> u64 {
    let text = value(unit, key);
    text.strip_suffix('s').and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{key}={text}"))
}

/// Goodbyes (20 s), three tasks and the counts of unmatched numbers (5 s each), trials and records together (10 s), and the
/// database follow the drain.
#[test]
fn systemd_waits_for_the_drain() {
    let drain = switchboard::Settings::default().drain_timeout_s;
    assert!(seconds(&unit(), "TimeoutStopSec") >= drain + 60, "TimeoutStopSec is too short for {drain} s");
}

#[test]
fn systemd_starts_it_again_however_often_it_fails() {
    let unit = unit();
    assert_eq!(value(&unit, "StartLimitIntervalSec"), "0");
    assert_eq!(
        value(&unit, "RestartPreventExitStatus"),
        "64",
        "a configuration with faults does not improve"
    );
    assert!(
        unit.find("StartLimitIntervalSec").expect("found above") < unit.find("[Service]").expect("[Service]")
    );
}

/// A copy of the unit that starts this build, with every drop-in of `systemd/vca.service.d`.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Copy {
        let folder = std::env::temp_dir().join(format!("vca-unit-{:016x}", rand::random::<u64>()));
        fs::create_dir_all(folder.join("vca.service.d")).expect("a folder");
        let text = unit().replace("/usr/bin/vca", env!("CARGO_BIN_EXE_vca"));
        // The build may lie below /home, which only systemd itself would have to see.
        fs::write(folder.join("vca.service"), text).expect("the unit's copy");
        let drop_ins = fs::read_dir(root().join("systemd/vca.service.d")).expect("drop-ins");
        for drop_in in drop_ins.flatten() {
            fs::copy(drop_in.path(), folder.join("vca.service.d").join(drop_in.file_name()))
                .expect("a drop-in");
        }
        Copy(folder)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn systemd_accepts_the_unit_and_its_drop_ins() {
    let copy = Copy::new();
    let verify = Command::new("systemd-analyze").arg("verify").arg(copy.0.join("vca.service")).output();
    let Ok(output) = verify else {
        eprintln!("skipped: there is no systemd-analyze");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("vca")).collect();
    assert!(output.status.success() && about_us.is_empty(), "{}: {said}", output.status);
}
