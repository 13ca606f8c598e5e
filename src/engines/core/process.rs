//! Local programs as engines: bytes in, bytes out, a limited number at once.
//!
//! Texts and sounds travel over pipes and anonymous files, never over the command line, which every
//! user of the machine can read. A program dies with the future or stream that asked it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, setpriority_process};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::EngineError;

/// How much of a program's complaints an error repeats.
const COMPLAINT: usize = 300;
/// The most that is read of a program's output at once.
const PIECE: usize = 16 * 1024;

/// The variables that a program gets: none of the daemon's secrets.
const PASSED_ON: [&str; 7] =
    ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "ESPEAK_DATA_PATH"];

/// A program, and how many of it may run at once.
#[derive(Debug, Clone)]
pub struct Program {
    path: OsString,
    /// The Debian package that contains it.
    package: &'static str,
    slots: Arc<Semaphore>,
}

impl Program {
    pub fn new(path: impl Into<OsString>, package: &'static str, at_once: usize) -> Program {
        Program { path: path.into(), package, slots: Arc::new(Semaphore::new(at_once.max(1))) }
    }

    /// Runs it to its end and returns what it wrote.
    ///
    /// Missing: it is not installed. Permanent: it reports a failure. Temporary: it was killed or could not be started.
    pub async fn run(&self, args: &[OsString], input: Bytes) -> Result<Vec<u8>, EngineError> {
        let mut running = self.start(args, input, Stdio::piped()).await?;
        let mut output = Vec::new();
        if let Some(mut stdout) = running.child.stdout.take() {
            stdout.read_to_end(&mut output).await.map_err(|e| self.trouble(e))?;
        }
        running.finish().await?;
        Ok(output)
    }

    /// Runs it to its end with an anonymous file as its output, for programs that seek in it.
    pub async fn run_to_file(&self, args: &[OsString], input: Bytes) -> Result<Vec<u8>, EngineError> {
        let file = memory_file("output", MemfdFlags::CLOEXEC).map_err(|e| self.trouble(e))?;
        let output = file.try_clone().map_err(|e| self.trouble(e))?;
        self.start(args, input, output.into()).await?.finish().await?;
        // A memory file: reading it does not wait for any disk.
        let (mut bytes, mut file) = (Vec::new(), file);
        io::Seek::rewind(&mut file)
            .and_then(|()| io::Read::read_to_end(&mut file, &mut bytes))
            .map_err(|e| self.trouble(e))?;
        Ok(bytes)
    }

    /// Runs the program and returns its output as it arrives. A failure is the last item.
    pub async fn stream(
        &self,
        args: &[OsString],
        input: Bytes,
    ) -> Result<BoxStream<'static, Result<Bytes, EngineError>>, EngineError> {
        let running = self.start(args, input, Stdio::piped()).await?;
        let pieces = stream::unfold(Some(running), |running| async move {
            let mut running = running?;
            let mut piece = Vec::with_capacity(PIECE);
            match running.read(&mut piece).await {
                Ok(0) => running.finish().await.err().map(|error| (Err(error), None)),
                Ok(_) => Some((Ok(Bytes::from(piece)), Some(running))),
                Err(error) => Some((Err(EngineError::Temporary(error.to_string())), None)),
            }
        });
        Ok(pieces.boxed())
    }

    async fn start(&self, args: &[OsString], input: Bytes, stdout: Stdio) -> Result<Running, EngineError> {
        let slot = self.slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let mut child = Command::new(&self.path)
            .args(args)
            .env_clear()
            .envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| self.trouble(e))?;
        give_way(&child);
        if let Some(stdin) = child.stdin.take() {
            tokio::spawn(feed(stdin, input));
        }
        let stderr = child.stderr.take();
        let complaint = tokio::spawn(async move {
            match stderr {
                Some(stderr) => tail(stderr).await,
                None => String::new(),
            }
        });
        Ok(Running { program: self.clone(), child, complaint, _slot: slot })
    }

    fn trouble(&self, error: io::Error) -> EngineError {
        let name = self.path.to_string_lossy();
        match error.kind() {
            io::ErrorKind::NotFound => EngineError::Missing { program: name.into(), package: self.package },
            io::ErrorKind::PermissionDenied => {
                EngineError::Permanent(format!("the program {name} may not be run: {error}"))
            }
            _ => EngineError::Temporary(format!("the program {name}: {error}")),
        }
    }

    fn verdict(&self, status: ExitStatus, complaint: &str) -> Result<(), EngineError> {
        let name = self.path.to_string_lossy();
        match status.code() {
            Some(0) => Ok(()),
            Some(code) => Err(EngineError::Permanent(format!("{name} ended with code {code}: {complaint}"))),
            None => Err(EngineError::Temporary(format!("{name} was killed ({status})"))),
        }
    }
}

/// A file in memory, without a name on any disk, that every program started later inherits.
#[derive(Debug)]
pub struct InheritedFile(File);

impl InheritedFile {
    pub fn new(label: &str, content: &[u8]) -> io::Result<InheritedFile> {
        let mut file = memory_file(label, MemfdFlags::empty())?;
        io::Write::write_all(&mut file, content)?;
        Ok(InheritedFile(file))
    }

    /// The path by which an inheriting program opens it.
    pub fn path(&self) -> OsString {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

fn memory_file(label: &str, flags: MemfdFlags) -> io::Result<File> {
    Ok(memfd_create(label, flags)?.into())
}

struct Running {
    program: Program,
    child: Child,
    complaint: JoinHandle<String>,
    _slot: OwnedSemaphorePermit,
}

impl Running {
    async fn read(&mut self, piece: &mut Vec<u8>) -> io::Result<usize> {
        match &mut self.child.stdout {
            Some(stdout) => stdout.read_buf(piece).await,
            None => Ok(0),
        }
    }

    async fn finish(mut self) -> Result<(), EngineError> {
        let status = self.child.wait().await.map_err(|e| self.program.trouble(e))?;
        let complaint =
            if status.success() { String::new() } else { self.complaint.await.unwrap_or_default() };
        self.program.verdict(status, &complaint)
    }
}

/// A program that ends early closes the pipe; its exit code has the reason, so the write error is ignored.
async fn feed(mut stdin: ChildStdin, input: Bytes) {
    let _ = stdin.write_all(&input).await;
}

/// The last words on a stream, on one line.
async fn tail(mut stream: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut kept).await {
        if kept.len() > 4 * COMPLAINT {
            kept.drain(..kept.len() - COMPLAINT);
        }
    }
    let start = kept.len().saturating_sub(COMPLAINT);
    String::from_utf8_lossy(&kept[start..]).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lets the frames of calls go before a program's work, on a machine that is short of cores.
fn give_way(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = setpriority_process(Some(pid), NICE)
    {
        // It may have ended already.
        tracing::trace!(%error, "a program keeps its priority");
    }
}

/// How nice programs are to the rest of the machine, -20 to 19.
const NICE: i32 = 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shell(script: &str) -> [OsString; 2] {
        ["-c".into(), script.into()]
    }

    fn sh(at_once: usize) -> Program {
        Program::new("sh", "dash", at_once)
    }

    #[tokio::test]
    async fn large_input_and_output_do_not_block_each_other() {
        let input = Bytes::from(vec![7; 1 << 20]);
        let output = sh(1).run(&shell("cat"), input.clone()).await.unwrap();
        assert!(output == input);
    }

    #[tokio::test]
    async fn a_program_does_not_get_the_daemons_environment() {
        assert!(std::env::vars_os().any(|(name, _)| name == "CARGO_MANIFEST_DIR"), "the test runner sets it");
        let output = sh(1).run(&shell("/usr/bin/env"), Bytes::new()).await.unwrap();
        let output = String::from_utf8(output).unwrap();
        let names: Vec<&str> = output.lines().filter_map(|line| line.split('=').next()).collect();
        // The shell sets the last three.
        let known = |name: &&str| PASSED_ON.contains(name) || ["PWD", "SHLVL", "_"].contains(name);
        assert!(names.contains(&"PATH") && names.iter().all(known), "{names:?}");
    }

    #[tokio::test]
    async fn a_missing_program_names_its_package() {
        let error = Program::new("vca-no-such", "nosuch", 1).run(&[], Bytes::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "the program vca-no-such is not there: install the package nosuch");
        assert!(!error.worth_retrying());
    }

    #[tokio::test]
    async fn a_failure_repeats_the_complaint() {
        let error = sh(1).run(&shell("echo 'no such voice' >&2; exit 3"), Bytes::new()).await.unwrap_err();
        assert_eq!(error, EngineError::Permanent("sh ended with code 3: no such voice".into()));
    }

    #[tokio::test]
    async fn a_killed_program_is_worth_another_try() {
        let error = sh(1).run(&shell("kill -9 $$"), Bytes::new()).await.unwrap_err();
        assert!(error.worth_retrying(), "{error:?}");
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_failure() {
        let pieces = sh(1).stream(&shell("echo hello; exit 4"), Bytes::new()).await.unwrap();
        let pieces: Vec<_> = pieces.collect().await;
        assert_eq!(pieces.first(), Some(&Ok(Bytes::from("hello\n"))));
        assert!(matches!(pieces.last(), Some(Err(EngineError::Permanent(_)))), "{pieces:?}");
    }

    #[tokio::test]
    async fn output_to_a_file_may_be_rewritten() {
        let output = sh(1).run_to_file(&shell("cat >/dev/stdout; printf x >>/dev/stdout"), "ab".into()).await;
        assert_eq!(output.unwrap(), b"abx");
    }

    #[tokio::test]
    async fn an_inherited_file_is_read_by_each_program_from_its_start() {
        let file = InheritedFile::new("words", b"abc").unwrap();
        for _ in 0..2 {
            let output = Program::new("cat", "coreutils", 1).run(&[file.path()], Bytes::new()).await;
            assert_eq!(output.unwrap(), b"abc");
        }
    }

    #[tokio::test]
    async fn a_dropped_stream_frees_its_place_and_kills() {
        let program = sh(1);
        let mut pieces = program.stream(&shell("echo $$; exec sleep 60"), Bytes::new()).await.unwrap();
        let pid = pieces.next().await.unwrap().unwrap();
        drop(pieces);
        program.run(&shell("true"), Bytes::new()).await.unwrap();
        let pid = String::from_utf8_lossy(&pid).trim().to_owned();
        let gone = async {
            while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z ")) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the sleeper was killed");
    }
}
