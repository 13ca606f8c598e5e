//! A published MCP server: the protocol's reference server `@modelcontextprotocol/server-everything`, in the version that
//! `tests/clients/package-lock.json` pins.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::ports;

const PROGRAM: &str = "npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js";

pub struct McpEverything {
    server: Child,
    pub url: String,
}

impl McpEverything {
    /// `None` where the tools' folder is not named and not demanded.
    pub fn start() -> Option<McpEverything> {
        let program = super::api_tools()?.join(PROGRAM);
        let started = (0..ports::TRIES).find_map(|_| McpEverything::start_on(&program, ports::free()));
        Some(started.expect("it starts on a free port"))
    }

    /// `None` when the port is taken.
    fn start_on(program: &Path, port: u16) -> Option<McpEverything> {
        let mut command = Command::new("node");
        command.arg(program).arg("streamableHttp").env("PORT", port.to_string());
        let server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("Node runs");
        let mut everything = McpEverything { server, url: format!("http://127.0.0.1:{port}/mcp") };
        let mut output = BufReader::new(everything.server.stderr.take().expect("its output"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line of its output");
        if line.contains("already in use") {
            return None;
        }
        assert!(line.contains("listening on port"), "{line}");
        // It writes to no closed pipe.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        Some(everything)
    }
}

impl Drop for McpEverything {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
