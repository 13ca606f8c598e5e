//! A vendor for tests: a server on loopback with prepared responses, faults included.
//!
//! Each connection carries one request; the responses are sent in order, without regard to the request.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::openai::{Endpoint, Settings};

/// One step of an answer.
pub enum Step {
    Send(Vec<u8>),
    /// Nothing more, and the connection stays.
    Stall,
    /// The connection is reset (RST), not closed.
    Reset,
}

/// A whole answer: what follows `HTTP/1.1 ` up to the last header, and its body.
pub fn answer(head: &str, body: impl AsRef<[u8]>) -> Vec<Step> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    vec![Step::Send([head.as_bytes(), body].concat())]
}

/// A response without a known length, in these pieces.
pub fn chunked(pieces: &[&[u8]]) -> Vec<Step> {
    let mut steps = begun(pieces);
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}

/// The same without an end.
pub fn begun(pieces: &[&[u8]]) -> Vec<Step> {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let mut steps = vec![Step::Send(head.into())];
    for piece in pieces {
        let size = format!("{:x}\r\n", piece.len());
        steps.push(Step::Send([size.as_bytes(), piece, b"\r\n"].concat()));
    }
    steps
}

pub struct Vendor {
    address: std::net::SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Vendor {
    pub async fn start(answers: Vec<Vec<Step>>) -> Vendor {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            for steps in answers {
                let Ok((socket, _)) = listener.accept().await else { return };
                open.spawn(serve(socket, steps, seen.clone()));
            }
            open.join_all().await;
        });
        Vendor { address, requests, task }
    }

    /// Its base URL.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn endpoint(&self) -> Endpoint {
        let settings =
            Settings { base_url: self.address(), key: Some("secret-key".into()), ..Settings::default() };
        Endpoint::new(&settings).expect("an endpoint")
    }

    /// The requests so far, heads and bodies, bytes that are no UTF-8 replaced.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }

    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve(mut socket: TcpStream, steps: Vec<Step>, seen: Arc<Mutex<Vec<String>>>) {
    let request = read_request(&mut socket).await;
    seen.lock().expect("no panic").push(request);
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if socket.write_all(&bytes).await.is_err() || socket.flush().await.is_err() {
                    return;
                }
            }
            Step::Stall => std::future::pending().await,
            Step::Reset => {
                // Bytes that are still to be read make the kernel answer a close with RST.
                let _ = socket.set_zero_linger();
                return;
            }
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
            let length =
                text.lines().find_map(|l| l.strip_prefix("content-length: ")).and_then(|l| l.parse().ok());
            let chunked_end = text.contains("transfer-encoding: chunked") && bytes.ends_with(b"0\r\n\r\n");
            let complete = bytes.len() >= head + 4 + length.unwrap_or(0);
            if chunked_end || (complete && !text.contains("transfer-encoding: chunked")) {
                break;
            }
        }
        if !matches!(socket.read_buf(&mut bytes).await, Ok(1..)) {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
