//! Asterisk, a daemon and its database, in one piece.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vca::sim::{Codec, Step};
use vca::tenancy::{Call as Record, CallStatus, CallTurn, TenantId};

use super::asterisk::{Asterisk, Options};
use super::office::Office;
use super::phone::{self, Call, Plan, Report};
use super::vca::{Daemon, Vca};
use super::{http, sandbox, wait};

/// How long a call may take to be answered, to be cleared away, to be on record.
const PATIENCE: Duration = Duration::from_secs(8);

/// A house of one tenant or several.
pub struct House {
    // Dropped in this order: the daemon before what it stands on.
    daemon: Option<Daemon>,
    log: RefCell<Vec<String>>,
    pub vca: Vca,
    pub asterisk: Asterisk,
    pub office: Office,
    folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl House {
    /// Everything but the daemon `program`, which waits for its settings. `database` is a server's URL; SQLite otherwise.
    pub fn build(sandbox: &sandbox::Sandbox, program: &Path, database: Option<&str>) -> House {
        let folder = std::env::temp_dir().join(format!("vca-house-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let asterisk = Asterisk::start(sandbox, Options::default());
        let office = database.map_or_else(|| Office::open(&folder), Office::at);
        let vca = Vca::new(program, &folder, &asterisk);
        let vca = database.map_or(vca.clone(), |url| vca.with("DATABASE_URL", url));
        House { daemon: None, log: RefCell::default(), vca, asterisk, office, folder: Folder(folder) }
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
        self.daemon.as_mut().expect("an open house")
    }

    /// A call that runs beside the test.
    pub fn place(&self, to: &str, script: Vec<Step>) -> Call {
        Call::place(&self.asterisk, Plan::new(to, Codec::Ulaw, script))
    }

    /// A call from its beginning to its end.
    pub fn dial(&self, to: &str, script: Vec<Step>) -> Report {
        phone::call(&self.asterisk, Plan::new(to, Codec::Ulaw, script))
    }

    /// A call under way that has been answered.
    ///
    /// # Panics
    /// When it is not.
    pub fn answered(&self, to: &str, script: Vec<Step>) -> Call {
        let mut call = self.place(to, script);
        let answered = wait::until_true(PATIENCE, || {
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
    /// When it is not after `patience`.
    pub fn until(&self, call: &mut Call, patience: Duration, what: &str, is_so: impl Fn() -> bool) {
        let so = wait::until_true(patience, || {
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
        let last = || self.office.calls(tenant).pop().filter(|(_, turns)| turns.len() >= count);
        self.until(call, Duration::from_secs(30), "turns on record", || last().is_some());
        last().expect("what there was a moment ago")
    }

    /// A tenant's last call, once nothing is left of it in Asterisk and its record is closed.
    ///
    /// # Panics
    /// When that does not come about, or there is no call.
    pub fn last_call(&self, tenant: TenantId) -> (Record, Vec<CallTurn>) {
        self.clears_away(PATIENCE);
        let over = |status| !matches!(status, CallStatus::Ringing | CallStatus::Answered);
        let closed = wait::until_true(PATIENCE, || {
            self.office.calls(tenant).iter().all(|(call, _)| over(call.status))
        });
        assert!(closed, "a call's record stays open\n{}", self.log());
        self.office.calls(tenant).pop().unwrap_or_else(|| panic!("no call on record\n{}", self.log()))
    }

    /// Nothing is left in Asterisk within `patience`.
    pub fn clears_away(&self, patience: Duration) {
        self.asterisk.becomes_idle(patience).unwrap_or_else(|left| panic!("{left}\n{}", self.log()));
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
