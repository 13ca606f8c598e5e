//! The local servers of vendors' APIs, proven by the vendors' own clients, and engines and `vca doctor` against them.

use std::path::Path;
use std::process::Command;

use crate::support::vendor::{Habit, KEY, Kind, Mood, Vendor};

mod doctor;
mod named;

/// `./dev` installs the clients by `tests/clients/requirements.txt` and names their folder in `VCA_TEST_API_TOOLS`.
#[test]
fn the_vendors_own_clients_accept_the_local_servers() {
    let Some(tools) = std::env::var_os("VCA_TEST_API_TOOLS") else {
        assert!(std::env::var_os("VCA_TEST_REQUIRE").is_none(), "VCA_TEST_API_TOOLS is not set");
        eprintln!("skipped: VCA_TEST_API_TOOLS is not set");
        return;
    };
    let vendor = Vendor::with(&[Habit::NoMaxTokens, Habit::ShutdownDates]);
    let limited = Vendor::start();
    for kind in [Kind::Stt, Kind::Llm, Kind::Tts] {
        limited.feels(kind, Mood::OutOfQuota);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/vendors.py");
    let output = Command::new(Path::new(&tools).join("venv/bin/python"))
        .arg(script)
        .env("NO_PROXY", "127.0.0.1")
        .env("VENDOR_URL", vendor.url(""))
        .env("LIMITED_URL", limited.url(""))
        .env("VENDOR_KEY", KEY)
        .output()
        .expect("python starts");
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && text.trim().ends_with("done"), "{text}");
}
