//! Faults of the servers, of Asterisk's modules and of the daemon's start, each named by the doctor with its remedy.
//! `docs/operations.md` has the table.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;

use serde_json::Value;

use super::faults::{run, script, until_found};
use super::{DoctorEnv, examine};
use crate::life::servers::Database;
use crate::support::authority::Authority;
use crate::support::namespace::mount_namespace;
use crate::support::ports;
use crate::support::seed::Seed;
use crate::support::vca::Vca;

/// The report with one more variable says all of `words`.
fn says(vca: &Vca, variable: (&str, &str), words: &[&str]) {
    let (_, report) = examine(&vca.clone().with(variable.0, variable.1));
    for words in words {
        assert!(report.contains(words), "no {words:?} in:\n{report}");
    }
}

#[test]
fn faults_of_ari_are_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let elsewhere = format!("http://127.0.0.1:{}", ports::free());
    says(
        &env.vca,
        ("ARI_URL", &elsewhere),
        &["FAIL  asterisk", "is Asterisk running, with enabled=yes in http.conf", &elsewhere],
    );
    env.asterisk.cli("module unload res_ari_channels.so");
    let words = ["FAIL  asterisk res_ari_channels.so", "it is needed for answering and hanging up"];
    until_found(&env.vca, &[], &words);
    env.asterisk.cli("module load res_ari_channels.so");
    env.asterisk.edit("vca-ari", "enabled=yes", "enabled=no");
    env.asterisk.cli("module reload res_ari.so");
    until_found(&env.vca, &[], &["FAIL  asterisk", "its prefix, and enabled=yes in ari.conf?"]);
}

#[test]
fn missing_translators_are_found() {
    let Some(env) = DoctorEnv::open() else { return };
    for (module, purpose) in [
        ("codec_g722.so", "callers with wideband codecs"),
        ("codec_alaw.so", "callers with G.711 A-law"),
        ("codec_ulaw.so", "callers with G.711 µ-law"),
    ] {
        env.asterisk.cli(&format!("module unload {module}"));
        let check = format!("warn  asterisk {module}");
        until_found(&env.vca, &[], &[&check, purpose, &format!("load = {module} in modules.conf")]);
    }
}

#[test]
fn asterisk_is_not_robbed_of_its_last_rtp_ports() {
    let Some(env) = DoctorEnv::open() else { return };
    let range = |range| ("VCA__ARI__RTP_PORTS", range);
    says(
        &env.vca,
        range("[10000, 10199]"),
        &[
            "warn  asterisk rtp ports",
            "suffice for 50 calls; calls.max_calls is 200",
            "widen rtpstart to rtpend",
        ],
    );
    let (code, report) = examine(&env.vca.clone().with("VCA__ARI__RTP_PORTS", "[10000, 10001]"));
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("the media path is not tested, as Asterisk crashes"), "{report}");
    assert!(!report.contains("heard both ways"), "{report}");
}

#[test]
fn a_postgresql_that_is_away_or_refuses_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let Some(database) = Database::create() else { return };
    let url = database.url();
    let (user, rest) = url.rsplit_once('@').expect("a URL with a user");
    let away = format!("{user}@127.0.0.1:{}/vca", ports::free());
    says(
        &env.vca,
        ("DATABASE_URL", &away),
        &["FAIL  database", "is the server running, and are host and port right?"],
    );
    let wrong = format!("postgres://vca:wrong@{rest}");
    says(
        &env.vca,
        ("DATABASE_URL", &wrong),
        &["FAIL  database", "password authentication failed", "pg_hba.conf"],
    );
    says(
        &env.vca,
        ("DATABASE_URL", &url),
        &["FAIL  database", "PostgreSQL answers, but its tables lack", "vca migrate"],
    );
}

#[test]
fn a_redis_that_is_away_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let url = format!("redis://127.0.0.1:{}", ports::free());
    let words =
        ["warn  conversation state", "Redis is unavailable", "start Redis, or correct state.redis_url"];
    says(&env.vca, ("REDIS_URL", &url), &words);
}

#[test]
fn programs_and_models_of_local_engines_that_are_missing_are_found() {
    let Some(env) = DoctorEnv::open() else { return };
    says(
        &env.vca,
        ("VCA__STT__POCKETSPHINX__MODEL", "/no/such/model"),
        &["FAIL  stt pocketsphinx", "install what the engine needs (see [stt.pocketsphinx])"],
    );
    let without_programs = ("PATH", "/no/such/folder");
    says(&env.vca, without_programs, &["FAIL  tts espeak", "install the package espeak-ng"]);
}

#[test]
fn a_tenant_without_a_default_profile_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    Seed::open(&env.folder).tenant("Bakery", "+49305550200", None, Value::Null);
    let (code, report) = examine(&env.vca);
    assert_eq!(code, Some(1), "{report}");
    let words =
        ["FAIL  tenant Bakery", "it has no default profile: its calls are refused", "vca profile create"];
    assert!(words.iter().all(|words| report.contains(words)), "{report}");
}

/// The daemon does not start and cannot be asked: the unit's journal has the reason.
#[test]
fn the_journal_of_the_unit_is_read() {
    let Some(env) = DoctorEnv::open() else { return };
    let now = chrono::Utc::now().timestamp_micros();
    let entry = |message: &str, priority: &str| serde_json::json!({ "MESSAGE": message, "PRIORITY": priority, "__REALTIME_TIMESTAMP": now.to_string() });
    let line = r#"{"level":"WARN","message":"no ARI events","why":"refused"}"#;
    let failure = "vca: the admin port 127.0.0.1:8080 cannot be opened: choose another with admin.bind";
    let entries = format!("{}\n{}\n", entry(line, "4"), entry(failure, "6"));
    fs::write(env.folder.join("entries"), entries).expect("a file");
    let entries = env.folder.join("entries");
    script(&env, "journalctl", &format!("[ \"$1 $2\" = '-u vca' ] && exec cat {}", entries.display()));
    let path = format!("{}:{}", env.folder.display(), std::env::var("PATH").unwrap_or_default());
    let words = ["note  unit's journal", "1 errors and 1 warnings", failure];
    says(&env.vca, ("PATH", &path), &words);
    // A journal that does not respond is left out.
    script(&env, "journalctl", "exec sleep 60");
    let (_, report) = run(&env.vca.clone().with("PATH", &path), &["--no-cost"]);
    assert!(!report.contains("unit's journal"), "{report}");
}

/// The daemon serves calls without the certificate of its admin port, and takes it up when it is there.
#[test]
fn a_missing_certificate_closes_the_admin_port_alone() {
    let Some(env) = DoctorEnv::open() else { return };
    let authority = Authority::new();
    let (certificate, key) = authority.install("127.0.0.1");
    let hidden = certificate.with_extension("hidden");
    fs::rename(&certificate, &hidden).expect("a file");
    let path = |path: &Path| path.display().to_string();
    let vca = env
        .vca
        .clone()
        .with("VCA__ADMIN__TLS__CERTIFICATE", &path(&certificate))
        .with("VCA__ADMIN__TLS__KEY", &path(&key));
    let daemon = vca.spawn();
    let is_connected = || env.asterisk.has_application("vca");
    assert!(crate::support::wait::until_true(super::faults::TIMEOUT, is_connected), "calls are served");
    until_found(
        &vca,
        &[],
        &[
            "FAIL  daemon",
            "is closed until its certificate can be used",
            &path(&certificate),
            "taken up within a second",
        ],
    );
    let log: Vec<String> = daemon.log.try_iter().map(|line| line.to_string()).collect();
    let errors = log.iter().filter(|line| line.contains("admin port closed")).count();
    assert_eq!(errors, 1, "{log:#?}");
    fs::rename(&hidden, &certificate).expect("a file");
    until_found(&vca, &[], &["ok    daemon", "takes calls since"]);
}

/// The machine's name is unknown to /etc/hosts, and the name server takes requests without a response.
#[test]
fn a_name_server_that_does_not_respond_is_found() {
    let Some(env) = DoctorEnv::open() else { return };
    let Some(namespace) = mount_namespace() else { return };
    let silent = UdpSocket::bind("127.0.0.9:53");
    if let Err(error) = &silent {
        assert!(
            std::env::var_os("VCA_TEST_REQUIRE").is_none(),
            "port 53 of 127.0.0.9 cannot be bound: {error}"
        );
        return eprintln!("skipped: this user may not bind port 53");
    }
    let file = |name: &str, text: &str| {
        let path = env.folder.join(name);
        fs::write(&path, text).expect("a file");
        format!("mount --bind {} /etc/{name}", path.display())
    };
    let mounts = [
        file("resolv.conf", "nameserver 127.0.0.9\n"),
        file("hosts", "127.0.0.1 localhost\n"),
        file("nsswitch.conf", "hosts: files dns\n"),
    ];
    let vca = env!("CARGO_BIN_EXE_vca");
    let text = format!(
        "exec unshare {namespace} -u sh -c 'hostname pbx-of-a-test && {} && exec {vca} \"$@\"' sh \"$@\"",
        mounts.join(" && ")
    );
    let (code, report) = examine(&env.vca.through(&script(&env, "doctor", &text)));
    assert_eq!(code, Some(1), "{report}");
    let words = [
        "FAIL  own hostname",
        "looking up pbx-of-a-test takes longer than 2 s",
        "add a line to /etc/hosts: 127.0.1.1 pbx-of-a-test",
    ];
    assert!(words.iter().all(|words| report.contains(words)), "{report}");
}
