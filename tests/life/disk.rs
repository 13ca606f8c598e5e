//! A full disk, and a file that cannot be written: calls go on, their records wait, and none is lost.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use vca::tenancy::{CallStatus, TenantId};

use super::reload::serves;
use super::{MAIN, agent, env, exchange, ms, program};
use crate::support::namespace::mount_namespace;
use crate::support::test_env::TestEnv;
use crate::support::wait;

/// A script that runs the daemon's program.
fn script(env: &TestEnv, name: &str, text: &str) -> String {
    let path = env.write(name, &format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our file");
    path
}

/// The daemon's database on a tmpfs of some MB that only the daemon sees.
struct SmallDisk {
    /// As the daemon sees it.
    folder: PathBuf,
    namespace: &'static str,
}

impl SmallDisk {
    /// Copies the database there at each start of the daemon.
    fn under(env: &mut TestEnv, namespace: &'static str) -> SmallDisk {
        let marker = env.write("marker", "");
        let prepared = Path::new(&marker).parent().expect("a folder").to_owned();
        let folder = prepared.join("small");
        fs::create_dir_all(&folder).expect("a folder");
        let (from, to, vca) = (prepared.display(), folder.display(), program().display());
        let start = format!(
            "exec unshare {namespace} sh -c 'mount -t tmpfs -o size=12m tmpfs {to} && cp {from}/vca.db* {to}/ && \
             rm -f {to}/vca.db-shm && exec {vca} \"$@\"' sh \"$@\""
        );
        env.vca = env.vca.through(&script(env, "start", &start));
        env.set("DATABASE_URL", &format!("sqlite://{to}/vca.db"));
        SmallDisk { folder, namespace }
    }

    /// As this test sees it, while the daemon runs.
    fn outside(&self, daemon: Pid) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", daemon.as_raw_nonzero()));
        root.join(self.folder.strip_prefix("/").expect("an absolute path"))
    }

    /// Writes a file until nothing more fits. Its path.
    fn fill(&self, daemon: Pid) -> PathBuf {
        let path = self.outside(daemon).join("fill");
        let mut file = fs::File::create(&path).expect("a file on the tmpfs");
        while file.write_all(&[7; 4_096]).is_ok() {}
        path
    }

    /// The report of a doctor that sees the same disk.
    fn doctor(&self, env: &TestEnv, daemon: Pid) -> String {
        let pid = daemon.as_raw_nonzero();
        let user = if self.namespace == "-m" { "" } else { "-U --preserve-credentials" };
        let text = format!("exec nsenter -t {pid} -m {user} {} \"$@\"", program().display());
        let doctor = env.vca.through(&script(env, "doctor", &text));
        let output = doctor.run(&["doctor"]).expect("nsenter can be run");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// The tenant's calls as the daemon's API lists them: it alone sees its database.
fn listed(env: &TestEnv, operator: &str, main: TenantId) -> Vec<Value> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let page: Value = runtime.block_on(async {
        let url = format!("{}/api/tenants/{main}/calls", env.vca.admin_url());
        let response =
            reqwest::Client::new().get(url).bearer_auth(operator).send().await.expect("a response");
        response.json().await.expect("JSON")
    });
    page["items"].as_array().cloned().unwrap_or_default()
}

fn pending(env: &TestEnv) -> f64 {
    env.metric("vca_ledger_pending", &[]).unwrap_or_default()
}

/// Calls whose records cannot be written.
fn calls_go_on(env: &TestEnv, count: usize) {
    for _ in 0..count {
        env.satisfied(env.place(MAIN, exchange()));
        env.clears_away(ms(8_000));
    }
    assert!(wait::until_true(ms(5_000), || pending(env) > 0.0), "records wait\n{}", env.log());
}

fn records_arrive(env: &TestEnv) {
    assert!(wait::until_true(ms(20_000), || pending(env) == 0.0), "{} wait\n{}", pending(env), env.log());
    assert_eq!(env.metric("vca_ledger_dropped_total", &[]), Some(0.0), "{}", env.log());
    assert_eq!(env.metric("vca_ledger_dead_letters_total", &[]).unwrap_or_default(), 0.0, "{}", env.log());
}

#[test]
fn a_full_disk_loses_no_record() {
    let Some(namespace) = mount_namespace() else { return };
    let Some((mut env, main)) = env(agent()) else { return };
    let operator = env.seed.operator_key();
    let disk = SmallDisk::under(&mut env, namespace);
    env.open();
    let daemon = env.daemon().pid();
    env.satisfied(env.place(MAIN, exchange()));
    let completed = || {
        let calls = listed(&env, &operator, main);
        calls.iter().filter(|call| call["status"] == "completed").count()
    };
    assert!(wait::until_true(ms(8_000), || completed() == 1), "{}", env.log());

    let file = disk.fill(daemon);
    calls_go_on(&env, 2);
    let report = disk.doctor(&env, daemon);
    for words in [
        "FAIL  disk space",
        "0 MiB are free in",
        "FAIL  database writes",
        "the daemon cannot write to",
        "the disk needs free space",
    ] {
        assert!(report.contains(words), "no {words:?} in:\n{report}");
    }
    fs::remove_file(file).expect("the file that filled it");
    records_arrive(&env);
    assert_eq!(completed(), 3, "{}", env.log());
    // A connection that SQLite rolled back would refuse this call's record.
    env.satisfied(env.place(MAIN, exchange()));
    assert!(wait::until_true(ms(8_000), || completed() == 4), "{}", env.log());
    records_arrive(&env);
}

/// Beyond RLIMIT_FSIZE the kernel refuses to write (EFBIG), which SQLite reports as SQLITE_IOERR_WRITE.
#[test]
fn an_input_output_error_loses_no_record() {
    let Some((mut env, main)) = env(agent()) else { return };
    // SIGXFSZ would end the daemon.
    let start = format!("trap '' XFSZ; exec {} \"$@\"", program().display());
    env.vca = env.vca.through(&script(&env, "start", &start));
    env.open();
    serves(&env, main);
    let daemon = Some(env.daemon().pid());
    let log = Path::new(&env.write("marker", "")).with_file_name("vca.db-wal");
    let size = fs::metadata(log).expect("the write-ahead log").len();
    let limit = |current| Rlimit { current, maximum: None };
    prlimit(daemon, Resource::Fsize, limit(Some(size))).expect("our process");
    calls_go_on(&env, 2);
    assert!(env.log().contains("records of calls wait"), "{}", env.log());
    prlimit(daemon, Resource::Fsize, limit(None)).expect("our process");
    records_arrive(&env);
    serves(&env, main);
    let calls = env.seed.calls(main);
    let completed = calls.iter().filter(|(call, _)| call.status == CallStatus::Completed).count();
    assert_eq!(completed, 4, "{calls:?}\n{}", env.log());
}
