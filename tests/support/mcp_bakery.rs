//! An MCP server on the published Python SDK, with the tools of a bakery (`tests/clients/mcp_bakery.py`).

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub struct McpBakery {
    server: Child,
    pub url: String,
}

impl McpBakery {
    /// `None` where the tools' folder is not named and not demanded.
    pub fn start() -> Option<McpBakery> {
        let tools = super::api_tools()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/mcp_bakery.py");
        let mut command = Command::new(tools.join("venv/bin/python"));
        let server = command.arg(script).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut server = server.expect("Python runs");
        let mut port = String::new();
        let output = server.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut port).expect("its port");
        Some(McpBakery { server, url: format!("http://127.0.0.1:{}/mcp", port.trim()) })
    }
}

impl Drop for McpBakery {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
