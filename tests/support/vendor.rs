//! A vendor of engines that speaks OpenAI's API on loopback: it hears fixed words, gives fixed replies and
//! speaks in tones; or fails as it is told.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::stream;
use serde_json::{Value, json};

/// What one of its engines does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Answers 500.
    Broken,
    /// Does not answer.
    Stalled,
}

/// A request that has come.
#[derive(Debug, Clone)]
pub struct Request {
    pub authorization: String,
    /// As it came; a form's files make it more than text.
    pub body: Vec<u8>,
}

impl Request {
    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn contains(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

#[derive(Debug)]
struct Engine {
    mood: Mood,
    requests: Vec<Request>,
}

impl Default for Engine {
    fn default() -> Self {
        Engine { mood: Mood::Well, requests: Vec::new() }
    }
}

#[derive(Debug, Default)]
struct Engines([Engine; 3]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stt,
    Llm,
    Tts,
}

pub struct Vendor {
    port: u16,
    engines: Arc<Mutex<Engines>>,
    // Dropped with everything that runs on it.
    _runtime: tokio::runtime::Runtime,
}

pub const KEY: &str = "sk-test-5f2a";
pub const WORDS: &str = "What are your opening hours?";
/// What it says that each reply takes: tokens in and out.
pub const TOKENS: (u64, u64) = (40, 8);
pub const REPLY: [&str; 3] = ["We are open ", "from nine", " to five."];

/// The tone in which a text is spoken, in Hz: failure phrases differ from all else.
pub fn pitch(text: &str) -> u32 {
    let pitches = [("difficulty", 700), ("catch", 900), ("Audio issues", 1_100), ("Goodbye", 1_300)];
    pitches.iter().find(|(part, _)| text.contains(part)).map_or(400, |(_, pitch)| *pitch)
}

impl Vendor {
    pub fn start() -> Vendor {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let engines = Arc::new(Mutex::new(Engines::default()));
        let router = Router::new()
            .route("/v1/audio/transcriptions", post(transcribe))
            .route("/v1/chat/completions", post(complete))
            .route("/v1/audio/speech", post(speak))
            .with_state(engines.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("a bound port").port();
        runtime.spawn(axum::serve(listener, router).into_future());
        Vendor { port, engines, _runtime: runtime }
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    pub fn feels(&self, kind: Kind, mood: Mood) {
        lock(&self.engines).0[kind as usize].mood = mood;
    }

    /// What one of its engines was asked so far.
    pub fn requests(&self, kind: Kind) -> Vec<Request> {
        lock(&self.engines).0[kind as usize].requests.clone()
    }
}

type Shared = State<Arc<Mutex<Engines>>>;

fn lock(engines: &Mutex<Engines>) -> MutexGuard<'_, Engines> {
    engines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes the request; an answer where the engine is not well.
async fn receive(
    engines: &Mutex<Engines>,
    kind: Kind,
    headers: &HeaderMap,
    body: &Bytes,
) -> Option<Response> {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    let request =
        Request { authorization: authorization.unwrap_or_default().to_owned(), body: body.to_vec() };
    let mood = {
        let mut engines = lock(engines);
        let engine = &mut engines.0[kind as usize];
        engine.requests.push(request);
        engine.mood
    };
    match mood {
        Mood::Well => None,
        Mood::Broken => {
            let body = json!({ "error": { "message": "The server had an error" } }).to_string();
            Some((StatusCode::INTERNAL_SERVER_ERROR, body).into_response())
        }
        Mood::Stalled => std::future::pending().await,
    }
}

async fn transcribe(State(engines): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(failure) = receive(&engines, Kind::Stt, &headers, &body).await {
        return failure;
    }
    axum::Json(json!({ "text": WORDS })).into_response()
}

async fn complete(State(engines): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(failure) = receive(&engines, Kind::Llm, &headers, &body).await {
        return failure;
    }
    let delta = |text: &str| {
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": text } }] });
        format!("data: {chunk}\n\n")
    };
    let question: Value = serde_json::from_slice(&body).unwrap_or_default();
    let is_asked = question["stream_options"]["include_usage"] == true;
    let (prompt_tokens, completion_tokens) = TOKENS;
    let usage = json!({ "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens });
    let usage = json!({ "choices": [], "usage": usage });
    let last = is_asked.then(|| format!("data: {usage}\n\n"));
    let events = REPLY.map(delta).into_iter().chain(last).chain(["data: [DONE]\n\n".to_owned()]);
    let events = stream::iter(events.map(Ok::<_, Infallible>).collect::<Vec<_>>());
    ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Half a second and 30 ms for each character, in pieces that part samples.
async fn speak(State(engines): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(failure) = receive(&engines, Kind::Tts, &headers, &body).await {
        return failure;
    }
    let order: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = order["input"].as_str().unwrap_or_default();
    let step = f64::from(pitch(text)) * std::f64::consts::TAU / 24_000.0;
    let samples = (0..12_000 + 720 * text.len()).map(|n| ((step * n as f64).sin() * 8_000.0) as i16);
    let bytes: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let pieces: Vec<_> = bytes.chunks(4_801).map(|piece| Ok::<_, Infallible>(piece.to_vec())).collect();
    ([("content-type", "audio/pcm")], Body::from_stream(stream::iter(pieces))).into_response()
}
