//! Asterisk, a daemon and its database, in one piece.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vca::sim::{Codec, Step};
use vca::tenancy::{Call as Record, CallStatus, CallTurn, TenantId};

use super::asterisk::{Asterisk, Options};
use super::phone::{self, Call, Plan, Report};
use super::seed::Seed;
use super::vca::{Daemon, Vca};
use super::{http, sandbox, wait};

/// How long a call may take to be answered, to be cleared away, to be on record.
const TIMEOUT: Duration = Duration::from_secs(8);

/// An environment of one tenant or several.
pub struct TestEnv {
    // Dropped in this order: the daemon before what it stands on.
    daemon: Option<Daemon>,
    log: RefCell<Vec<String>>,
    pub vca: Vca,
    pub asterisk: Asterisk,
    pub seed: Seed,
    folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl TestEnv {
    /// Everything but the daemon `program`, which waits for its settings. `database` is a server's URL; SQLite otherwise.
    pub fn build(sandbox: &sandbox::Sandbox, program: &Path, database: Option<&str>) -> TestEnv {
        let folder = std::env::temp_dir().join(format!("vca-test-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let asterisk = Asterisk::start(sandbox, Options::default());
        let seed = database.map_or_else(|| Seed::open(&folder), Seed::at);
        let vca = Vca::new(program, &folder, &asterisk);
        let vca = database.map_or(vca.clone(), |url| vca.with("DATABASE_URL", url));
        TestEnv { daemon: None, log: RefCell::default(), vca, asterisk, seed, folder: Folder(folder) }
    }

    /// One more variable of the daemon's environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.vca = self.vca.clone().with(name, value);
    }

    /// Gives the scripted engine another script than the built-in one.
    pub fn set_script(&mut self, script: &str) {
        let path = self.write("script.toml", script);
        self.set("VCA__LLM__SCRIPTED__SCRIPT", &path);
    }

    /// Writes a file that lasts as long as this does. Its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.0.join(name);
        std::fs::write(&path, text).expect("the folder can be written");
        path.display().to_string()
    }

    /// The contents of the environment's files, the SQLite database among them.
    pub fn files(&self) -> Vec<Vec<u8>> {
        let listed = std::fs::read_dir(&self.folder.0).expect("a folder");
        let is_data = |path: &PathBuf| path.is_file() && !path.ends_with("script.toml");
        let paths = listed.filter_map(|entry| Some(entry.ok()?.path())).filter(is_data);
        paths.filter_map(|path| std::fs::read(path).ok()).collect()
    }

    /// Starts the daemon, again if need be, and waits until it takes calls.
    ///
    /// # Panics
    /// When it does not.
    pub fn open(&mut self) {
        self.log();
        self.daemon = None;
        let daemon = self.vca.serve();
        self.daemon = Some(daemon.unwrap_or_else(|fault| panic!("{fault}\n{}", self.log())));
    }

    /// The daemon that was opened.
    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("a daemon that was started")
    }

    /// A file of the daemon's process below `/proc`, such as `smaps`.
    pub fn process_file(&self, name: &str) -> Option<String> {
        let pid = self.daemon.as_ref()?.pid().as_raw_nonzero();
        std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok()
    }

    /// A call that runs beside the test.
    pub fn place(&self, to: &str, script: Vec<Step>) -> Call {
        Call::place(&self.asterisk, Plan::new(to, Codec::Ulaw, script))
    }

    /// A call from its beginning to its end.
    pub fn dial(&self, to: &str, script: Vec<Step>) -> Report {
        phone::call(&self.asterisk, Plan::new(to, Codec::Ulaw, script))
    }

    /// A call in progress that has been answered.
    ///
    /// # Panics
    /// When it is not.
    pub fn answered(&self, to: &str, script: Vec<Step>) -> Call {
        let mut call = self.place(to, script);
        let answered = wait::until_true(TIMEOUT, || {
            call.step();
            call.progress().answered().is_some()
        });
        assert!(answered, "nobody answers\n{}", self.log());
        call
    }

    /// Sees a call to its end, and demands that its caller never waited in vain.
    pub fn satisfied(&self, call: Call) -> Report {
        let report = call.finish();
        assert_eq!(report.status, Some(200), "{}\n{}", report.log, self.log());
        let missed = &report.conversation.missed;
        assert!(missed.is_empty(), "the caller waited in vain: {missed:?}\n{}", self.log());
        report
    }

    /// Goes on with a call until something is so.
    ///
    /// # Panics
    /// When it is not after `timeout`.
    pub fn until(&self, call: &mut Call, timeout: Duration, what: &str, is_so: impl Fn() -> bool) {
        let so = wait::until_true(timeout, || {
            call.step();
            is_so()
        });
        assert!(so, "in vain: {what}\n{}", self.log());
    }

    /// Waits until a tenant's call has so many turns on record, and tells them.
    ///
    /// # Panics
    /// When it has not.
    pub fn turns(&self, call: &mut Call, tenant: TenantId, count: usize) -> (Record, Vec<CallTurn>) {
        let last = || self.seed.calls(tenant).pop().filter(|(_, turns)| turns.len() >= count);
        self.until(call, Duration::from_secs(30), "turns on record", || last().is_some());
        last().expect("what there was a moment ago")
    }

    /// A tenant's last call, once nothing is left of it in Asterisk and its record is closed.
    ///
    /// # Panics
    /// When that does not come about, or there is no call.
    pub fn last_call(&self, tenant: TenantId) -> (Record, Vec<CallTurn>) {
        self.clears_away(TIMEOUT);
        let over = |status| !matches!(status, CallStatus::Ringing | CallStatus::Answered);
        let closed = wait::until_true(TIMEOUT, || {
            self.has_written_records() && self.seed.calls(tenant).iter().all(|(call, _)| over(call.status))
        });
        assert!(closed, "a call's record stays open\n{}", self.log());
        self.seed.calls(tenant).pop().unwrap_or_else(|| panic!("no call on record\n{}", self.log()))
    }

    /// Whether the daemon has no calls and everything about earlier ones is in the database; so too when it does not run.
    fn has_written_records(&self) -> bool {
        // In this order: a call is in the ledger before it is over.
        ["vca_calls_live", "vca_ledger_pending"]
            .iter()
            .all(|name| self.metric(name, &[]).is_none_or(|count| count == 0.0))
    }

    /// Nothing is left in Asterisk within `timeout`.
    pub fn clears_away(&self, timeout: Duration) {
        self.asterisk.becomes_idle(timeout).unwrap_or_else(|left| panic!("{left}\n{}", self.log()));
    }

    /// Status and body of a page of the daemon's own port.
    pub fn page(&self, path: &str) -> Option<(u16, String)> {
        http::get(self.vca.admin_port(), path)
    }

    /// A metric's value: the sum over all of its lines that hold every one of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let (_, text) = self.page("/metrics")?;
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        let values: Vec<f64> = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// All that daemons have logged so far.
    pub fn log(&self) -> String {
        let mut log = self.log.borrow_mut();
        if let Some(daemon) = &self.daemon {
            log.extend(daemon.log.try_iter().map(|line| format!("{line}\n")));
        }
        log.concat()
    }
}
