//! The sandbox: a Debian root directory with Asterisk and sipp in it. A program runs there under `chroot`, as
//! the user who runs the tests, with a run folder of its own below the sandbox's `/tmp`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getegid, geteuid, kill_process, test_kill_process};

use super::wait;

#[derive(Debug, Clone)]
pub struct Sandbox {
    root: PathBuf,
}

impl Sandbox {
    pub fn new(root: impl Into<PathBuf>) -> Sandbox {
        Sandbox { root: root.into() }
    }

    /// Where a path of the sandbox lies on this machine.
    pub fn outside(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// A fresh folder for one run, deleted when dropped.
    pub fn run_folder(&self, name: &str) -> RunFolder {
        let inside = format!("/tmp/vca-{name}-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let outside = self.outside(&inside);
        fs::create_dir_all(&outside).unwrap_or_else(|e| panic!("cannot make {}: {e}", outside.display()));
        RunFolder { inside, outside }
    }

    /// A command that runs in the sandbox and ends by itself.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.chroot();
        command.arg(program);
        command
    }

    /// Like [`Sandbox::command`], as a user of the sandbox where root runs the tests: some programs refuse to be root's.
    pub fn command_as(&self, user: &str, command: &[&str]) -> Command {
        let mut program = self.chroot_as(Some(user));
        program.args(command).current_dir("/");
        program
    }

    /// The number of a user of the sandbox.
    pub fn user_id(&self, name: &str) -> u32 {
        let users = fs::read_to_string(self.outside("/etc/passwd")).expect("the sandbox has users");
        let user =
            users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":x:")?.split(':').next());
        user.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("the sandbox has no user {name}"))
    }

    /// Starts a program in a run folder and returns once its process id is known.
    ///
    /// Standard output and error go to `output` in the folder.
    pub fn start(&self, folder: &RunFolder, program: &str, args: &[&str]) -> Program {
        self.launch(self.chroot(), folder, program, args)
    }

    /// Like [`Sandbox::start`], as a user of the sandbox where root runs the tests. The folder has to be that user's.
    pub fn start_as(&self, user: &str, folder: &RunFolder, program: &str, args: &[&str]) -> Program {
        self.launch(self.chroot_as(Some(user)), folder, program, args)
    }

    fn launch(&self, mut command: Command, folder: &RunFolder, program: &str, args: &[&str]) -> Program {
        let pid_file = folder.outside.join("pid");
        let _ = fs::remove_file(&pid_file);
        let output = fs::File::create(folder.outside.join("output")).expect("the run folder can be written");
        // The shell's process becomes the program's, so its id is known whatever `sudo` puts in front.
        let script = format!("cd {} && echo $$ > pid.new && mv pid.new pid && exec \"$@\"", folder.inside);
        command.args(["/bin/sh", "-c", &script, "sh", program]).args(args);
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a file can be shared")).stderr(output);
        let child = command.spawn().expect("chroot can be started");
        let pid = wait::until(Duration::from_secs(10), || {
            let text = fs::read_to_string(&pid_file).ok()?;
            Pid::from_raw(text.trim().parse().ok()?)
        });
        let pid = pid.unwrap_or_else(|| panic!("{program} did not start: {}", folder.read("output")));
        Program { child, pid }
    }

    /// As root plainly; as anybody else through `sudo`, which keeps the program that user's own.
    fn chroot(&self) -> Command {
        self.chroot_as(None)
    }

    fn chroot_as(&self, user: Option<&str>) -> Command {
        if geteuid().is_root() {
            let mut command = Command::new("chroot");
            command.args(user.map(|user| format!("--userspec={user}:"))).arg(&self.root);
            return command;
        }
        let mut command = Command::new("sudo");
        command.args(["-n", "chroot"]);
        command.arg(format!("--userspec={}:{}", geteuid().as_raw(), getegid().as_raw()));
        command.arg(&self.root);
        command
    }
}

/// A folder seen from inside and from outside of the sandbox.
#[derive(Debug)]
pub struct RunFolder {
    pub inside: String,
    pub outside: PathBuf,
}

impl RunFolder {
    pub fn path(&self, name: &str) -> PathBuf {
        self.outside.join(name)
    }

    /// A file's text; empty when it cannot be read.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.path(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // Whoever looks into a failure wants to keep the logs.
        if std::env::var_os("VCA_TEST_KEEP").is_none() {
            let _ = fs::remove_dir_all(Path::new(&self.outside));
        }
    }
}

/// A program that runs in the sandbox; killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pid: Pid,
}

impl Program {
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None)) && test_kill_process(self.pid).is_ok()
    }

    /// Asks it to stop, and kills it when it has not after `timeout`.
    pub fn stop(&mut self, timeout: Duration) {
        self.signal(Signal::TERM);
        if !wait::until_true(timeout, || !self.is_running()) {
            self.kill();
        }
        let _ = self.child.wait();
    }

    /// Ends it without a word, as a crash would.
    pub fn kill(&mut self) {
        if self.is_running() {
            self.signal(Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
