//! A Redis of one's own, for tests that take it away in the middle of a call.

use std::time::Duration;

use super::authority::Issued;
use super::sandbox::{Program, RunFolder, Sandbox};
use super::{ports, wait};

/// A running Redis without persistence; stopped, and its folder deleted, when dropped.
#[derive(Debug)]
pub struct Redis {
    program: Program,
    folder: RunFolder,
    sandbox: Sandbox,
    port: u16,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub fn start(sandbox: &Sandbox) -> Redis {
        Redis::start_from(sandbox, ports::free)
    }

    /// Takes its port from `port`, and further ones while that is taken.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_from(sandbox: &Sandbox, mut port: impl FnMut() -> u16) -> Redis {
        let folder = sandbox.run_folder("redis");
        let mut attempts = (0..ports::TRIES).map(|_| {
            let port = port();
            Some((launch(sandbox, &folder, &plain(port))?, port))
        });
        let (program, port) = attempts.find_map(|started| started).expect("Redis found every port taken");
        Redis { program, folder, sandbox: sandbox.clone(), port }
    }

    /// Starts one that takes TLS connections alone, with `client_ca` only those of clients that show a certificate of it.
    pub fn start_tls(sandbox: &Sandbox, certificate: &Issued, client_ca: Option<&str>) -> Redis {
        let folder = sandbox.run_folder("redis");
        folder.write("certificate.pem", &certificate.certificate);
        folder.write("key.pem", &certificate.key);
        folder.write("ca.pem", client_ca.unwrap_or(&certificate.certificate));
        let file = |name: &str| format!("{}/{name}", folder.inside);
        let mut attempts = (0..ports::TRIES).map(|_| {
            let port = ports::free();
            let mut args =
                vec!["--port".to_owned(), "0".to_owned(), "--tls-port".to_owned(), port.to_string()];
            args.extend(["--tls-cert-file".to_owned(), file("certificate.pem")]);
            args.extend(["--tls-key-file".to_owned(), file("key.pem")]);
            args.extend(["--tls-ca-cert-file".to_owned(), file("ca.pem")]);
            let clients = if client_ca.is_some() { "yes" } else { "no" };
            args.extend(["--tls-auth-clients".to_owned(), clients.to_owned()]);
            Some((launch(sandbox, &folder, &args)?, port))
        });
        let (program, port) = attempts.find_map(|started| started).expect("Redis found every port taken");
        Redis { program, folder, sandbox: sandbox.clone(), port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The output of `redis-cli` with these arguments, without space at its ends.
    pub fn command(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let output = self.sandbox.command("redis-cli").args(["-p", &port]).args(arguments).output();
        let output = output.expect("chroot can be started");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Ends it as a crash would; what it held is gone.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Starts it again, empty, on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.program =
            launch(&self.sandbox, &self.folder, &plain(self.port)).expect("its port is still free");
    }
}

fn plain(port: u16) -> Vec<String> {
    vec!["--port".to_owned(), port.to_string()]
}

/// `None` when the port is taken.
fn launch(sandbox: &Sandbox, folder: &RunFolder, ports: &[String]) -> Option<Program> {
    let mut args = vec!["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    args.extend(ports.iter().map(String::as_str));
    let mut program = sandbox.start(folder, "redis-server", &args);
    let output = || folder.read("output");
    // Another server on the port would answer, too: only the output says who listens.
    wait::until_true(Duration::from_secs(10), || {
        !program.is_running() || output().contains("Ready to accept connections")
    });
    if !program.is_running() && output().contains("Address already in use") {
        return None;
    }
    assert!(output().contains("Ready to accept connections"), "Redis did not start: {}", output());
    Some(program)
}
