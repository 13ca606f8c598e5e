//! The local servers of vendors' APIs, proven by the vendors' own clients, and engines and `vca doctor` against them.

use std::path::Path;
use std::process::Command;

use crate::support;
use crate::support::vendor::{Habit, KEY, Kind, Mood, Vendor};

mod aura;
mod contexts;
mod doctor;
mod flux;
mod languages;
mod live;
mod named;
mod voice;

/// Runs a script of `tests/clients` against a local server and one whose credit is used up.
fn run_clients(command: &mut Command) {
    let vendor = Vendor::with(&[Habit::NoMaxTokens, Habit::ShutdownDates]);
    let limited = Vendor::start();
    for kind in [Kind::Stt, Kind::Llm, Kind::Tts] {
        limited.feels(kind, Mood::OutOfQuota);
    }
    let output = command
        .env("NO_PROXY", "127.0.0.1")
        .env("VENDOR_URL", vendor.url(""))
        .env("LIMITED_URL", limited.url(""))
        .env("LIVE_URL", vendor.live_url(""))
        .env("VENDOR_KEY", KEY)
        .output()
        .expect("the interpreter starts");
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && text.trim().ends_with("done"), "{text}");
}

#[test]
fn the_vendors_clients_for_python_accept_the_local_servers() {
    let Some(tools) = support::api_tools() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/vendors.py");
    run_clients(Command::new(tools.join("venv/bin/python")).arg(script));
}

/// Node looks for packages beside the script.
#[test]
fn the_vendors_clients_for_node_accept_the_local_servers() {
    let Some(tools) = support::api_tools() else { return };
    let folder = std::env::temp_dir().join(format!("vca-vendors-{:016x}", rand::random::<u64>()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::os::unix::fs::symlink(tools.join("npm/node_modules"), folder.join("node_modules")).expect("a link");
    let script = folder.join("vendors.mjs");
    std::fs::write(&script, include_str!("../clients/vendors.mjs")).expect("a file");
    run_clients(Command::new("node").arg(script));
    let _ = std::fs::remove_dir_all(&folder);
}
