use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt, TryStreamExt};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::engines::core::openai::Settings;
use crate::engines::core::server::Auth;
use crate::engines::core::timing::SpeechTiming;
use crate::engines::tts::sound::BareSpeech;

/// A server that speaks two bytes in each context, and ends those of which the text is not "hold".
struct SpeechServer {
    url: String,
    /// The connections so far.
    opened: Arc<AtomicUsize>,
}

impl SpeechServer {
    async fn start() -> SpeechServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let opened = Arc::<AtomicUsize>::default();
        let count = opened.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(socket));
            }
        });
        SpeechServer { url, opened }
    }

    /// An engine's connections to it.
    fn pool(&self, max_connections: usize) -> ContextPool {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { base_url: self.url.clone(), ..Settings::default() };
        let endpoint = SocketEndpoint::new(&settings, Auth::Scheme("Bearer")).expect("an endpoint");
        ContextPool { max_connections, ..ContextPool::new(endpoint, Arc::new(TestProtocol)) }
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

async fn serve(socket: TcpStream) {
    let mut socket = tokio_tungstenite::accept_async(socket).await.expect("a handshake");
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        if socket.send(Message::text(text)).await.is_err() {
            return;
        }
    }
}

/// The server returns what it is sent.
struct TestProtocol;

impl ContextProtocol for TestProtocol {
    fn cancellation(&self) -> Cancellation {
        Cancellation::AtItsEnd(json!({}))
    }

    fn read(&self, message: &str, _: &SocketEndpoint) -> Result<ContextMessage, EngineError> {
        let message: Value = serde_json::from_str(message).expect("JSON");
        let context = message["context_id"].as_str().map(str::to_owned);
        let end = (message["text"] != "hold").then_some(ContextEnd::Spoken);
        Ok(ContextMessage { context, audio: vec![1, 2], alignment: None, end })
    }
}

fn address(path: &str) -> Address {
    Address { path: path.into(), query: Vec::new() }
}

async fn speak(pool: &ContextPool, path: &str, text: &str) -> Result<ByteStream, EngineError> {
    pool.speak(&address(path), &[json!({ "text": text })], clock()).await
}

fn clock() -> ContextClock {
    ContextClock::new(SpeechTiming::default(), BareSpeech::Mulaw)
}

/// A whole speech.
async fn spoken(pool: &ContextPool, path: &str) -> Vec<Bytes> {
    speak(pool, path, "Hello.").await.expect("a speech").try_collect().await.expect("audio")
}

#[tokio::test]
async fn a_connection_without_a_speech_makes_room_for_another() {
    let server = SpeechServer::start().await;
    let pool = server.pool(2);
    for (path, opened) in [("/a", 1), ("/b", 2), ("/a", 2), ("/c", 3), ("/a", 3), ("/c", 3), ("/b", 4)] {
        assert_eq!(spoken(&pool, path).await.len(), 1);
        assert_eq!(server.opened(), opened, "{path}");
    }
}

#[tokio::test]
async fn connections_with_a_speech_are_kept() {
    let server = SpeechServer::start().await;
    let pool = server.pool(2);
    let held = [speak(&pool, "/a", "hold").await, speak(&pool, "/b", "hold").await];
    assert!(held.iter().all(Result::is_ok));
    let refused = speak(&pool, "/c", "Hello.").await.err();
    assert!(refused.is_some_and(|error| error.to_string().contains("all 2 connections are in use")));
    assert_eq!(spoken(&pool, "/a").await.len(), 1, "beside the one that is held");
}

#[tokio::test]
async fn a_connection_that_stands_still_is_not_waited_for() {
    let pool = SpeechServer::start().await.pool(2);
    let (commands, _receiver) = mpsc::channel(1);
    let usage = ConnectionUse { open: Arc::new(AtomicUsize::new(1)), ..ConnectionUse::default() };
    let (limits, opened_at) = (ConnectionLimits::default(), Instant::now());
    let link = ContextLink { commands, usage, limits, opened_at, used_at: Arc::default() };
    link.start(Command::Cancel { context: "c".into() }).expect("room");
    let begun = pool.begin(&link, &[json!({})], clock()).now_or_never().expect("no wait");
    assert!(begun.is_err_and(|error| error.worth_retrying()) && link.is_idle());
}

#[tokio::test]
async fn a_speech_that_the_server_ends_before_its_text_fails() {
    let pool = SpeechServer::start().await.pool(1);
    let context = pool.open_context(&address("/a"), &[json!({ "text": "Hello" })], clock()).await;
    let pieces: Vec<_> = context.expect("a context").audio().await.expect("audio").collect().await;
    assert!(pieces.len() == 2 && pieces[0].is_ok(), "{pieces:?}");
    assert!(pieces[1].as_ref().is_err_and(EngineError::worth_retrying), "{pieces:?}");
}
