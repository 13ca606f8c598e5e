//! A question to ARI, without the product's own client: what the tests compare that client's work with.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// The answer to a GET; `None` when there is none, or none with status 200.
pub fn fetch(port: u16, account: (&str, &str), path: &str) -> Option<Value> {
    let timeout = Some(Duration::from_secs(2));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(timeout).ok()?;
    stream.set_write_timeout(timeout).ok()?;
    // Closed, so the end of the connection is the end of the answer.
    let (user, password) = account;
    let request = format!(
        "GET /ari/{path}?api_key={user}:{password} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head.split(' ').nth(1)? != "200" {
        return None;
    }
    serde_json::from_str(body).ok()
}
