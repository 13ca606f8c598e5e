//! Faults that are planted, each named by the doctor with its remedy.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use vca::tenancy::TenantStatus;

use super::{DoctorEnv, examine};
use crate::support::seed::{Seed, local_agent};
use crate::support::vca::Vca;
use crate::support::wait;

const MAIN: &str = "+49305550100";
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs the doctor with arguments: exit code and report.
pub(super) fn run(vca: &Vca, args: &[&str]) -> (Option<i32>, String) {
    let output = vca.run(&[&["doctor"], args].concat()).expect("vca can be run");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs the doctor until its report says `words`; its failures say so.
pub(super) fn until_found(vca: &Vca, args: &[&str], words: &[&str]) {
    let mut seen = (None, String::new());
    let found = wait::until_true(TIMEOUT, || {
        seen = run(vca, args);
        words.iter().all(|words| seen.1.contains(words))
    });
    assert!(found, "no {words:?} in (exit code {:?}):\n{}", seen.0, seen.1);
}

/// A program that the test writes.
pub(super) fn script(env: &DoctorEnv, name: &str, text: &str) -> String {
    let path = env.folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the folder can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a program");
    path.display().to_string()
}

/// Asterisk's command line, which is inside of the sandbox.
fn command_line(env: &DoctorEnv) -> String {
    script(env, "asterisk", &format!("exec {} \"$@\"", env.asterisk.command_line()))
}

#[test]
fn a_daemon_with_another_database_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let _daemon = env.vca.serve().unwrap_or_else(|fault| panic!("{fault}"));
    let (code, report) = examine(&env.vca);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("as in this shell; it takes writes"), "{report}");
    assert!(report.contains("a row was written and deleted"), "{report}");
    assert!(report.contains("0 of 200 are live"), "{report}");
    let other = env.folder.join("other");
    std::fs::create_dir_all(&other).expect("a folder");
    Seed::open(&other).tenant("main", MAIN, None, local_agent());
    let elsewhere = format!("sqlite://{}", other.join("vca.db").display());
    let (code, report) = examine(&env.vca.clone().with("DATABASE_URL", &elsewhere));
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("numbers created here are unknown to calls (404)"), "{report}");
    assert!(report.contains("export VCA_ENV_FILE"), "{report}");
    // The same file by another path is the same database.
    let link = env.folder.join("link");
    std::os::unix::fs::symlink(&env.folder, &link).expect("a link");
    let same = format!("sqlite://{}", link.join("vca.db").display());
    let (code, report) = examine(&env.vca.clone().with("DATABASE_URL", &same));
    assert_eq!(code, Some(0), "{report}");
}

#[test]
fn a_database_that_takes_no_writes_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let read_only = format!("sqlite://{}?mode=ro", env.folder.join("vca.db").display());
    let (code, report) = examine(&env.vca.clone().with("DATABASE_URL", &read_only));
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("FAIL  database writes") && report.contains("readonly"), "{report}");
    assert!(report.contains("has to own the file"), "{report}");
}

#[test]
fn an_admin_port_of_another_program_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let listener = TcpListener::bind(("127.0.0.1", env.vca.admin_port())).expect("a port");
    std::thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            let _ = peer.read(&mut [0; 1_024]);
            let _ = peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        }
    });
    let (code, report) = examine(&env.vca);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("is taken by another program") && report.contains("admin.bind"), "{report}");
}

#[test]
fn an_application_that_another_program_takes_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let _daemon = env.vca.serve().unwrap_or_else(|fault| panic!("{fault}"));
    let settings = vca::ari::Settings {
        url: env.asterisk.ari_url(),
        username: env.asterisk.ari_user().into(),
        password: SecretString::from(env.asterisk.ari_password()),
        reconnect_min_ms: 1,
        reconnect_max_ms: 1,
        ..vca::ari::Settings::default()
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stop = CancellationToken::new();
    let client = Arc::new(vca::ari::Client::new(&settings).expect("a client"));
    let intruder = runtime.spawn(vca::ari::listen(client, settings, |_| {}, stop.clone()));
    until_found(&env.vca, &[], &["another program has taken it from the daemon", "ari.app"]);
    stop.cancel();
    runtime.block_on(async { intruder.await.expect("it ends") });
}

#[test]
fn too_few_open_files_are_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let program =
        script(&env, "limited", &format!("ulimit -n 300\nexec {} \"$@\"", env!("CARGO_BIN_EXE_vca")));
    let limited = Vca::new(Path::new(&program), &env.folder, &env.asterisk);
    let _daemon = limited.serve().unwrap_or_else(|fault| panic!("{fault}"));
    let (code, report) = examine(&limited);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("of 300 are open; 200 calls need up to 1856"), "{report}");
    assert!(report.contains("LimitNOFILE=65536"), "{report}");
}

#[test]
fn a_dialplan_that_leads_elsewhere_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let asterisk = command_line(&env);
    let args = ["--asterisk", asterisk.as_str()];
    let (code, report) = run(&env.vca, &args);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("leads to Stasis(vca)"), "{report}");
    for file in ["vca-extensions", "extensions"] {
        env.asterisk.edit(file, "Stasis(vca)", "Stasis(voicebot)");
    }
    env.asterisk.cli("dialplan reload");
    until_found(
        &env.vca,
        &args,
        &["FAIL", "leads to Stasis(voicebot), not to Stasis(vca)", "dialplan reload"],
    );
    // Without Asterisk's command line nothing is claimed.
    let (_, report) = run(&env.vca, &["--asterisk", "/no/such/program"]);
    assert!(report.contains("note  dialplan") && report.contains("not checked"), "{report}");
}

#[test]
fn an_endpoint_in_another_context_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let asterisk = command_line(&env);
    env.asterisk.edit("vca-trunk", "context=vca-inbound", "context=elsewhere");
    env.asterisk.cli("module reload res_pjsip.so");
    let words = ["the context elsewhere, which does not exist", "correct context= in pjsip.conf"];
    until_found(&env.vca, &["--asterisk", &asterisk], &words);
}

#[test]
fn codecs_that_nothing_translates_are_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let (_, report) = examine(&env.vca);
    assert!(report.contains("g729 is allowed and no module translates it"), "{report}");
    env.asterisk.edit("vca-trunk", "allow=ulaw,alaw,g729", "allow=g729");
    env.asterisk.cli("module reload res_pjsip.so");
    until_found(&env.vca, &[], &["FAIL", "only g729 is allowed, and no module translates it"]);
}

#[test]
fn an_ari_without_its_modules_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    for module in ["asterisk", "applications", "channels", "bridges", "endpoints"] {
        env.asterisk.cli(&format!("module unload res_ari_{module}.so"));
    }
    let (code, report) = examine(&env.vca);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("ARI runs without its modules"), "{report}");
    assert!(
        report.contains("res_ari_asterisk.so") && !report.contains("enabled=yes in ari.conf"),
        "{report}"
    );
}

#[test]
fn what_is_switched_off_on_purpose_is_remarked() {
    let Some(env) = DoctorEnv::open() else { return };
    let seed = Seed::open(&env.folder);
    let suspended = seed.tenant("Bakery", "+49305550200", None, local_agent());
    seed.set_status(suspended, TenantStatus::Suspended);
    let quiet = seed.tenant("Quiet", "+49305550300", None, local_agent());
    seed.deactivate_numbers(quiet);
    let (code, report) = examine(&env.vca);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("calls to Bakery are refused (403)"), "{report}");
    assert!(report.contains("+49305550300 inactive: their calls are refused (404)"), "{report}");
}

#[test]
fn a_call_is_placed_through_the_dialplan() {
    let Some(env) = DoctorEnv::open() else { return };
    let _daemon = env.vca.serve().unwrap_or_else(|fault| panic!("{fault}"));
    let asterisk = command_line(&env);
    let (code, report) = run(&env.vca, &["--asterisk", &asterisk, "--call", MAIN]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains(&format!("ok    call to {MAIN}")) && report.contains("sound "), "{report}");
    assert!(report.contains("of main: completed, caller_hung_up, ended by caller"), "{report}");
    // A number that no tenant has.
    let (code, report) = run(&env.vca, &["--asterisk", &asterisk, "--call", "+49305559999"]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("with cause 1 ") && report.contains("vca number unmatched"), "{report}");
    let listed = wait::until_true(TIMEOUT, || {
        let numbers = env.vca.cli_json(&["number", "unmatched"]).unwrap_or_else(|fault| panic!("{fault}"));
        numbers[0]["called"] == "+49305559999" && numbers[0]["calls"] == 1
    });
    assert!(listed, "the number is not listed");
    // An extension that the dialplan does not have.
    let (code, report) = run(&env.vca, &["--asterisk", &asterisk, "--call", "12"]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("has no such extension"), "{report}");
    env.is_tidy(&["vca"]);
}
