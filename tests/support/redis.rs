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
        let folder = sandbox.run_folder("redis");
        let port = ports::free();
        let program = launch(sandbox, &folder, port);
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
        self.program = launch(&self.sandbox, &self.folder, self.port);
    }
}

fn launch(sandbox: &Sandbox, folder: &RunFolder, port: u16) -> Program {
    let port_text = port.to_string();
    let args = ["--bind", "127.0.0.1", "--port", &port_text, "--save", "", "--appendonly", "no"];
    let program = sandbox.start(folder, "redis-server", &args);
    let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    let ready = wait::until_true(Duration::from_secs(10), answers);
    assert!(ready, "Redis did not start: {}", folder.read("output"));
    program
}
