//! A small ARI server for tests: HTTP by script, and event WebSockets that the test serves. Loopback only.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Settings;

/// The reaction to a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Json(u16, Value),
    /// These bytes, then the end of the connection.
    Raw(String),
    /// No response, and the connection stays open.
    Stall,
    /// A response that waits for the test's notification.
    Held(Arc<Notify>, Value),
    /// For the event WebSocket only: open it.
    Open,
}

pub(super) type Ws = WebSocketStream<TcpStream>;
type FakeScript = Box<dyn FnMut(&str) -> Reply + Send>;

pub(super) struct FakeAri {
    pub url: String,
    /// Event WebSockets, as they are opened.
    pub sockets: mpsc::Receiver<Ws>,
    /// Heads of the requests so far.
    pub heads: Arc<Mutex<Vec<String>>>,
}

impl FakeAri {
    /// `script` is given the request line without its version.
    pub async fn start(script: impl FnMut(&str) -> Reply + Send + 'static) -> FakeAri {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (opened, sockets) = mpsc::channel(16);
        let heads = Arc::new(Mutex::new(vec![]));
        let script: Arc<Mutex<FakeScript>> = Arc::new(Mutex::new(Box::new(script)));
        let seen = heads.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), opened.clone(), seen.clone()));
            }
        });
        FakeAri { url, sockets, heads }
    }

    /// An ARI that carries out every request, with these channels and a bridge.
    pub async fn healthy(channels: &'static [&'static str]) -> FakeAri {
        FakeAri::start(move |line| healthy(line, channels)).await
    }

    pub fn settings(&self) -> Settings {
        Settings { url: self.url.clone(), password: "hush-hush".into(), ..Settings::default() }
    }
}

pub(super) fn healthy(line: &str, channels: &[&str]) -> Reply {
    match line {
        line if line.starts_with("GET /ari/events") => Reply::Open,
        line if line.contains("/applications/") => {
            Reply::Json(200, json!({ "name": "vca", "channel_ids": channels, "bridge_ids": ["b"] }))
        }
        _ => Reply::Json(204, Value::Null),
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Mutex<FakeScript>>,
    opened: mpsc::Sender<Ws>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    while let Some(head) = head(&mut stream).await {
        let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
        heads.lock().unwrap().push(head.clone());
        let reply = (script.lock().unwrap())(&line);
        let text = match reply {
            Reply::Json(code, Value::Null) => format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n"),
            Reply::Json(code, body) => with_body(code, &body),
            Reply::Held(released, body) => {
                released.notified().await;
                with_body(200, &body)
            }
            Reply::Raw(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                return;
            }
            Reply::Stall => return std::future::pending().await,
            Reply::Open => return open(stream, &head, opened).await,
        };
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn with_body(code: u16, body: &Value) -> String {
    let body = body.to_string();
    format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn open(mut stream: TcpStream, head: &str, opened: mpsc::Sender<Ws>) {
    let key = header(head, "sec-websocket-key").unwrap_or_default();
    let accept = derive_accept_key(key.as_bytes());
    let text = format!(
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if stream.write_all(text.as_bytes()).await.is_ok() {
        let _ = opened.send(WebSocketStream::from_raw_socket(stream, Role::Server, None).await).await;
    }
}

pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|it| it.1)
}

/// Reads one request. Returns its head.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = header(&head, "content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    stream.read_exact(&mut vec![0; length]).await.ok()?;
    Some(head)
}
