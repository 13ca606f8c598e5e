//! A Redis of one's own, for tests that take it away in the middle of a call.

use std::time::Duration;

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
            Some((launch(sandbox, &folder, port)?, port))
        });
        let (program, port) = attempts.find_map(|started| started).expect("Redis found every port taken");
        Redis { program, folder, sandbox: sandbox.clone(), port }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would; what it held is gone.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Starts it again, empty, on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.program = launch(&self.sandbox, &self.folder, self.port).expect("its port is still free");
    }
}

/// `None` when the port is taken.
fn launch(sandbox: &Sandbox, folder: &RunFolder, port: u16) -> Option<Program> {
    let port_text = port.to_string();
    let args = ["--bind", "127.0.0.1", "--port", &port_text, "--save", "", "--appendonly", "no"];
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
