//! Connections that carry one context at a time, whose messages name none.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::engines::core::openai::Settings;
use crate::engines::core::server::Auth;
use crate::engines::core::timing::SpeechTiming;
use crate::engines::tts::sound::BareSpeech;

/// The messages of the server after it was told to clear. `LATE` is the end of the cleared text once the next one begins.
type ClearReplies = &'static [&'static str];

const LATE: &str = "late";

/// A server that speaks two bytes for a text. The end of "long" follows only if `ending` has it.
struct ExclusiveServer {
    url: String,
    /// The connections so far.
    opened: Arc<AtomicUsize>,
}

impl ExclusiveServer {
    async fn start(ending: ClearReplies) -> ExclusiveServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let opened = Arc::<AtomicUsize>::default();
        let count = opened.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(socket, ending));
            }
        });
        ExclusiveServer { url, opened }
    }

    fn pool(&self, limits: ConnectionLimits) -> ContextPool {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { base_url: self.url.clone(), ..Settings::default() };
        let endpoint = SocketEndpoint::new(&settings, Auth::Scheme("Token")).expect("an endpoint");
        ContextPool::new(endpoint, Arc::new(ExclusiveProtocol(limits)))
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

async fn serve(socket: TcpStream, ending: ClearReplies) {
    let mut socket = tokio_tungstenite::accept_async(socket).await.expect("a handshake");
    let (mut text, mut is_late) = (String::new(), false);
    while let Some(Ok(Message::Text(message))) = socket.next().await {
        let message: Value = serde_json::from_str(&message).expect("JSON");
        assert!(message.get("context_id").is_none(), "{message}");
        let mut replies = Vec::new();
        match message["type"].as_str() {
            Some("Speak") => {
                text.push_str(message["text"].as_str().expect("a text"));
                replies.extend(std::mem::take(&mut is_late).then(|| reply("Flushed")));
            }
            Some("Flush") => {
                replies.push(Message::binary(vec![1, 2]));
                if std::mem::take(&mut text) != "long" {
                    replies.push(reply("Flushed"));
                }
            }
            _ => {
                replies.push(Message::binary(vec![3, 3]));
                replies.extend(ending.iter().filter(|kind| **kind != LATE).map(|kind| reply(kind)));
                is_late = ending.contains(&LATE);
            }
        }
        for reply in replies {
            if socket.send(reply).await.is_err() {
                return;
            }
        }
    }
}

fn reply(kind: &str) -> Message {
    Message::text(json!({ "type": kind }).to_string())
}

struct ExclusiveProtocol(ConnectionLimits);

impl ContextProtocol for ExclusiveProtocol {
    fn multiplexing(&self) -> Multiplexing {
        Multiplexing::Exclusive
    }

    fn limits(&self) -> ConnectionLimits {
        self.0
    }

    fn characters(&self, message: &Value) -> usize {
        message["text"].as_str().map_or(0, str::len)
    }

    fn cancellation(&self) -> Cancellation {
        Cancellation::Confirmed(json!({ "type": "Clear" }))
    }

    fn read(&self, message: &str, _: &SocketEndpoint) -> Result<ContextMessage, EngineError> {
        let end = if message.contains("Flushed") { ContextEnd::Spoken } else { ContextEnd::Cancelled };
        Ok(ContextMessage { end: Some(end), ..ContextMessage::default() })
    }
}

const ONE: ConnectionLimits =
    ConnectionLimits { contexts: 1, lifetime: Duration::MAX, idle: Duration::from_secs(60), minute: None };

fn address() -> Address {
    Address { path: "/speak".into(), query: Vec::new() }
}

async fn begin(pool: &ContextPool, text: &str) -> ByteStream {
    let messages = [json!({ "type": "Speak", "text": text }), json!({ "type": "Flush" })];
    let clock = ContextClock::new(SpeechTiming::default(), BareSpeech::Mulaw);
    pool.speak(&address(), &messages, clock).await.expect("a speech")
}

async fn spoken(pool: &ContextPool, text: &str) -> Vec<Bytes> {
    begin(pool, text).await.try_collect().await.expect("audio")
}

/// Waits until every connection meets a condition.
async fn until(pool: &ContextPool, is_met: impl Fn(&ContextLink) -> bool) {
    let met = async {
        while !pool.links().values().flatten().all(&is_met) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), met).await.expect("the condition is met");
}

#[tokio::test]
async fn the_audio_of_a_cancelled_speech_is_not_that_of_the_next() {
    let endings: [ClearReplies; 4] =
        [&["Cleared"], &["Flushed", "Cleared"], &["Cleared", "Flushed"], &["Cleared", LATE]];
    for ending in endings {
        let server = ExclusiveServer::start(ending).await;
        let pool = server.pool(ONE);
        for _ in 0..3 {
            drop(begin(&pool, "long").await);
            until(&pool, ContextLink::is_idle).await;
            assert_eq!(spoken(&pool, "Hello.").await, [vec![1, 2]], "{ending:?}");
        }
        assert_eq!(server.opened(), 1, "{ending:?}");
    }
}

#[tokio::test]
async fn a_speech_does_not_wait_until_another_is_cancelled() {
    let server = ExclusiveServer::start(&[]).await;
    let pool = server.pool(ONE);
    drop(begin(&pool, "long").await);
    assert_eq!(spoken(&pool, "Hello.").await, [vec![1, 2]]);
    assert_eq!(server.opened(), 2);
}

#[tokio::test]
async fn a_connection_that_does_not_confirm_a_cancellation_is_closed() {
    let server = ExclusiveServer::start(&[]).await;
    let pool = server.pool(ONE);
    drop(begin(&pool, "long").await);
    until(&pool, |link| link.commands.is_closed()).await;
}

#[tokio::test]
async fn two_speeches_at_once_have_a_connection_each() {
    let server = ExclusiveServer::start(&["Cleared"]).await;
    let pool = server.pool(ONE);
    let first = begin(&pool, "long").await;
    assert_eq!(spoken(&pool, "Hello.").await, [vec![1, 2]]);
    assert_eq!(spoken(&pool, "Hello.").await, [vec![1, 2]]);
    assert_eq!(server.opened(), 2);
    drop(first);
}

#[tokio::test]
async fn a_connection_without_room_in_its_minute_or_too_old_is_not_used() {
    let minute = MinuteLimits { characters: 18, texts: 2, longest: 8 };
    let texts = ConnectionLimits { minute: Some(MinuteLimits { characters: 100, ..minute }), ..ONE };
    let characters = ConnectionLimits { minute: Some(MinuteLimits { texts: 9, ..minute }), ..ONE };
    let lifetime = ConnectionLimits { lifetime: Duration::ZERO, ..ONE };
    for (limits, opened) in [(texts, 2), (characters, 2), (lifetime, 3)] {
        let server = ExclusiveServer::start(&[]).await;
        let pool = server.pool(limits);
        for _ in 0..3 {
            assert_eq!(spoken(&pool, "Hello.").await, [vec![1, 2]]);
            until(&pool, ContextLink::is_idle).await;
        }
        assert_eq!(server.opened(), opened, "{limits:?}");
    }
}
