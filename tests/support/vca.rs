//! The daemon as a program: its command line, its environment and its log, all in this one place.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::asterisk::Asterisk;
use super::{http, ports, wait};

/// A daemon that has a database and an Asterisk, and does not run yet.
#[derive(Debug, Clone)]
pub struct Vca {
    program: PathBuf,
    /// Another one once the daemon has found it taken.
    admin_port: Arc<AtomicU16>,
    environment: Vec<(String, String)>,
    config: Option<PathBuf>,
}

impl Vca {
    /// `folder` is where its SQLite database lies, unless `DATABASE_URL` is set by [`Vca::with`].
    pub fn new(program: &Path, folder: &Path, asterisk: &Asterisk) -> Vca {
        let admin_port = Arc::new(AtomicU16::new(ports::free()));
        let database = format!("sqlite://{}", folder.join("vca.db").display());
        let vca = Vca { program: program.to_owned(), admin_port, environment: Vec::new(), config: None };
        vca.with("ARI_URL", &asterisk.ari_url())
            .with("ARI_USERNAME", asterisk.ari_user())
            .with("ARI_PASSWORD", asterisk.ari_password())
            .with("DATABASE_URL", &database)
            .with("VCA__LOG__FORMAT", "json")
    }

    /// The same with an admin port of its own, to run beside this one.
    pub fn beside(&self) -> Vca {
        Vca { admin_port: Arc::new(AtomicU16::new(ports::free())), ..self.clone() }
    }

    /// The same, started by another program, which gets its arguments.
    pub fn through(&self, program: &str) -> Vca {
        Vca { program: program.into(), ..self.clone() }
    }

    /// One more variable of its environment; a later value covers an earlier one.
    pub fn with(mut self, name: &str, value: &str) -> Vca {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a variable.
    pub fn without(mut self, name: &str) -> Vca {
        self.environment.retain(|(it, _)| it != name);
        self
    }

    /// The same with a configuration file.
    pub fn configured(mut self, path: &str) -> Vca {
        self.config = Some(path.into());
        self
    }

    /// Runs a subcommand to its end, whatever that is.
    pub fn run(&self, args: &[&str]) -> std::io::Result<Output> {
        self.command().args(args).output()
    }

    /// Runs a subcommand to its end; what it printed, or, when it failed, its complaint.
    pub fn cli(&self, args: &[&str]) -> Result<String, String> {
        let output = self.run(args).map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(format!("vca {} failed ({}): {}", args.join(" "), output.status, text(&output.stderr)))
    }

    /// Runs a subcommand with `--json` and reads what it prints.
    pub fn cli_json(&self, args: &[&str]) -> Result<Value, String> {
        let text = self.cli(&[args, &["--json"]].concat())?;
        serde_json::from_str(&text)
            .map_err(|e| format!("vca {} printed no JSON ({e}): {text}", args.join(" ")))
    }

    /// Migrates, and creates a tenant with one number and a default profile. The tenant's id.
    pub fn create_tenant(
        &self,
        name: &str,
        did: &str,
        prompt: &str,
        settings: &Value,
    ) -> Result<String, String> {
        self.cli(&["migrate"])?;
        let tenant = self.cli_json(&["tenant", "create", "--name", name])?;
        let id = tenant["id"].as_str().ok_or_else(|| format!("a tenant without id: {tenant}"))?;
        self.cli_json(&["number", "create", "--tenant", id, "--did", did])?;
        let settings = settings.to_string();
        let who = ["--tenant", id, "--name", "front desk", "--role", "receptionist", "--default"];
        let how = ["--system-prompt", prompt, "--settings", &settings];
        self.cli_json(&[&["profile", "create"], &who[..], &how].concat())?;
        Ok(id.to_owned())
    }

    /// Starts the daemon without waiting for it.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn(&self) -> Daemon {
        let mut command = self.command();
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.program.display()));
        let log = follow(&mut child);
        Daemon { child, log }
    }

    /// Starts the daemon and waits until it is ready to take calls. Another admin port is chosen while it is taken.
    pub fn serve(&self) -> Result<Daemon, String> {
        let mut attempts = 0..ports::TRIES;
        loop {
            let started = self.start();
            if started.is_ok() || ports::is_free(self.admin_port()) || attempts.next().is_none() {
                return started;
            }
            self.set_admin_port(ports::free());
        }
    }

    fn start(&self) -> Result<Daemon, String> {
        let mut daemon = self.spawn();
        let mut ended = None;
        let ready = wait::until_true(Duration::from_secs(30), || {
            ended = daemon.child.try_wait().ok().flatten();
            ended.is_some() || http::status(self.admin_port(), "/readyz") == Some(200)
        });
        match ended {
            Some(status) => Err(format!("vca serve ended at once: {status}")),
            None if !ready => Err("vca serve was not ready within 30 s".to_owned()),
            None => {
                self.wait_for_prompts();
                Ok(daemon)
            }
        }
    }

    /// Waits for the tenants' prompts, at most 10 s: where engines fail there may be none.
    fn wait_for_prompts(&self) {
        wait::until_true(Duration::from_secs(10), || {
            let page = http::get(self.admin_port(), "/readyz");
            page.is_none_or(|(_, body)| !body.contains("prompts are being synthesised"))
        });
    }

    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port())
    }

    pub fn admin_port(&self) -> u16 {
        self.admin_port.load(Relaxed)
    }

    /// Where the daemon is to listen at its next start.
    pub fn set_admin_port(&self, port: u16) {
        self.admin_port.store(port, Relaxed);
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("VCA__ADMIN__BIND", format!("127.0.0.1:{}", self.admin_port()));
        command.args(self.config.iter().flat_map(|path| ["--config".as_ref(), path.as_os_str()]));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running daemon; told to stop, and killed if it does not, when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// Each line of its log as it comes: JSON, or a string where a line is none.
    pub log: Receiver<Value>,
}

impl Daemon {
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for it to end by itself: its exit status, or `None` after `timeout`.
    pub fn wait_for_end(&mut self, timeout: Duration) -> Option<ExitStatus> {
        wait::until(timeout, || self.child.try_wait().ok().flatten())
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The id of a process that has ended may be another's by now.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
        }
        if !wait::until_true(Duration::from_secs(10), || !matches!(self.child.try_wait(), Ok(None))) {
            self.kill();
        }
    }
}

fn follow(child: &mut Child) -> Receiver<Value> {
    let (sender, receiver) = channel();
    let output = child.stdout.take().expect("it was piped");
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
            // Read on without a listener too: a full pipe would stop the daemon.
            let _ = sender.send(value);
        }
    });
    receiver
}
