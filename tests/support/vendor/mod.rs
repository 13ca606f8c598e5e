//! A vendor of engines on loopback: OpenAI's API below `/v1`, Anthropic's below `/anthropic/v1`, Cartesia's below `/cartesia`,
//! ElevenLabs' below `/elevenlabs/v1` and Deepgram's below `/deepgram/v1` and, for Flux, `/deepgram/v2`.
//!
//! It refuses what the vendors refuse, in their words. It transcribes fixed words, replies a fixed text and speaks in tones;
//! or it fails by its [`Mood`], or behaves like another server by its [`Habit`]s. The vendors' own clients are run against
//! it (`tests/vendors`).

mod aura;
mod chat;
mod claude;
mod eleven;
pub mod form;
mod live;
mod models;
mod responses;
mod short;
mod sonic;
mod sound;
mod speech;
mod transcription;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

pub use live::LiveFault;

/// How one of its engines fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Answers 500.
    Broken,
    /// Does not answer.
    Stalled,
    /// Answers 401, as to a wrong key.
    WrongKey,
    /// Answers 429: too many requests.
    RateLimited,
    /// Refuses for want of credit, which waiting does not cure.
    OutOfQuota,
    /// Answers 200 with an error page.
    Garbage,
    /// Begins an answer and closes the connection.
    Closing,
    /// Sends the first clause of one reply, [`STALLED_REPLY`], and no more of it. Then it is well.
    StallsOnce,
}

/// What servers with OpenAI's API do differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// There is no list of models (whisper.cpp).
    NoModels,
    /// The list names models with a tag, `llama3.2:latest` (Ollama).
    Tagged,
    /// The list is null (Ollama without models).
    NullList,
    /// The list states when models are shut down (OpenAI).
    ShutdownDates,
    /// `max_tokens` is refused (OpenAI's models since GPT-5).
    NoMaxTokens,
    /// Roles have to alternate and a user has to begin (vLLM and llama.cpp with strict templates).
    StrictTemplate,
    /// Tools are refused (vLLM without --enable-auto-tool-choice).
    NoTools,
    /// Tool calls are written into the text (llama.cpp without --jinja).
    TextToolCalls,
    /// All tokens are spent on reasoning (thinking models).
    Thinks,
    /// Replies begin with reasoning, and only its end has a tag (vLLM with a template that opens it).
    UnopenedReasoning,
    /// The words are "Thank you.", and doubtful: there was only noise (Whisper).
    NoiseWords,
    /// The words of a short clip are "Yes, please.", or "Not now." with the key term [`NOT_NOW`].
    ShortYes,
    /// The words of a short clip are "Cancel, please."
    ShortCancel,
    /// The words are those of a caller in an emergency.
    EmergencyWords,
    /// `verbose_json` is refused (vLLM before 0.11).
    NoVerbose,
    /// No key is needed, and one is ignored (vLLM, speaches, Kokoro-FastAPI).
    Keyless,
    /// Voices are Kokoro's, such as `af_heart`.
    KokoroVoices,
    /// Connections are closed after a request, without notice (proxies and load balancers).
    ShortConnections,
    /// Speech is WAV at 22.05 kHz whatever was requested (LocalAI).
    Wav,
    /// Speech is MP3 whatever was requested.
    Mp3,
    /// PCM is refused, mu-law offered (Groq).
    NoPcm,
    /// `sample_rate` is taken; PCM is 22.05 kHz without it (speaches with a voice of Piper).
    SampleRate,
}

/// A call of a tool that the model is to make: the tool's name, and the arguments as it writes them.
pub type PlannedCall = (String, String);

/// The most planned replies to one question; then the model replies in words.
const PLANNED_ROUNDS: usize = 4;

/// A request that was received.
#[derive(Debug, Clone)]
pub struct Request {
    /// The value of `Authorization`, `x-api-key` or `xi-api-key`.
    pub authorization: String,
    /// A form's files make it more than text.
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
struct Server {
    engines: Mutex<[Engine; 3]>,
    /// The faults of the next WebSockets.
    live_faults: Mutex<VecDeque<LiveFault>>,
    /// The events of speech-to-speech clients, without audio.
    voice_events: Mutex<Vec<Value>>,
    /// The calls of tools in the next replies, where the model makes no others.
    planned: Mutex<Option<VecDeque<Vec<PlannedCall>>>>,
    habits: Vec<Habit>,
}

type Shared = axum::extract::State<Arc<Server>>;

impl Server {
    fn has(&self, habit: Habit) -> bool {
        self.habits.contains(&habit)
    }

    fn live_faults(&self) -> MutexGuard<'_, VecDeque<LiveFault>> {
        self.live_faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn voice_events(&self) -> MutexGuard<'_, Vec<Value>> {
        self.voice_events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn planned(&self) -> MutexGuard<'_, Option<VecDeque<Vec<PlannedCall>>>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engines(&self) -> MutexGuard<'_, [Engine; 3]> {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stt,
    Llm,
    Tts,
}

pub struct Vendor {
    port: u16,
    /// Serves WebSockets as well.
    live_port: u16,
    server: Arc<Server>,
    // Dropped with everything that runs on it.
    _runtime: tokio::runtime::Runtime,
}

pub const KEY: &str = "sk-test-5f2a";
pub const WORDS: &str = "What are your opening hours?";
/// What it says that each reply takes: tokens in and out.
pub const TOKENS: (u64, u64) = (40, 8);
/// The beginning of a reply that stalls: a clause and the first words of another.
pub const STALLED_REPLY: [&str; 2] = ["Let me look at that,", " it is"];
pub const REPLY: [&str; 3] = ["We are open ", "from nine", " to five."];

/// Its analysis of any call.
pub const ANALYSIS: &str = r#"{"summary":"The caller asked when the shop is open."}"#;

/// The words that it speaks itself.
pub const VOICE_REPLY: &str = "Certainly. We open at nine, and we close at six.";

/// The key term with which the words of a short clip are "Not now."
pub const NOT_NOW: &str = "Nottnau";

/// Its summary of a call for the target of a transfer.
pub const SUMMARY: &str = "Late order.";

/// The tone in which a text is spoken, in Hz: failure phrases and announcements differ from all else.
pub fn pitch(text: &str) -> u32 {
    let pitches = [
        ("difficulty", 700),
        ("catch", 900),
        ("Audio issues", 1_100),
        ("Goodbye", 1_300),
        ("A call for", 1_500),
    ];
    pitches.iter().find(|(part, _)| text.contains(part)).map_or(400, |(_, pitch)| *pitch)
}

impl Vendor {
    pub fn start() -> Vendor {
        Vendor::with(&[])
    }

    pub fn with(habits: &[Habit]) -> Vendor {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let server = Arc::new(Server { habits: habits.to_vec(), ..Server::default() });
        let router = Router::new()
            .route("/v1/models", get(models::openai))
            .route("/v1/audio/transcriptions", post(transcription::transcribe))
            .route("/v1/chat/completions", post(chat::complete))
            .route("/v1/responses", post(responses::respond))
            .route("/anthropic/v1/models", get(models::anthropic))
            .route("/anthropic/v1/messages", post(claude::reply))
            .route("/v1/audio/speech", post(speech::speak))
            .route("/cartesia/tts/bytes", post(sonic::speak))
            .route("/elevenlabs/v1/models", get(models::elevenlabs))
            .route("/elevenlabs/v1/text-to-speech/{voice}/stream", post(eleven::speak))
            .route("/deepgram/v1/models", get(models::deepgram))
            .route("/deepgram/v1/speak", post(aura::speak))
            .with_state(server.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("a bound port").port();
        runtime.spawn(axum::serve(listener, router).into_future());
        let port = if server.has(Habit::ShortConnections) {
            let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
            let outer = listener.local_addr().expect("a bound port").port();
            runtime.spawn(short::serve(listener, port));
            outer
        } else {
            port
        };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let live_port = listener.local_addr().expect("a bound port").port();
        runtime.spawn(live::serve(listener, port, server.clone()));
        Vendor { port, live_port, server, _runtime: runtime }
    }

    pub fn base_url(&self) -> String {
        self.url("/v1")
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The address of a path at the port that serves WebSockets as well.
    pub fn live_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.live_port)
    }

    /// The next WebSockets have these faults, one each.
    pub fn fail_live(&self, faults: &[LiveFault]) {
        self.server.live_faults().extend(faults);
    }

    /// The events of speech-to-speech clients of a type so far.
    pub fn voice_events(&self, kind: &str) -> Vec<Value> {
        self.server.voice_events().iter().filter(|event| event["type"] == kind).cloned().collect()
    }

    /// The next replies of the model that may call tools have these calls and no words, four replies to a question at most. A result
    /// of a tool with a list `obey` of calls goes before them. From now on the model makes no other calls.
    pub fn plans(&self, replies: impl IntoIterator<Item = Vec<PlannedCall>>) {
        self.server.planned().get_or_insert_default().extend(replies);
    }

    pub fn feels(&self, kind: Kind, mood: Mood) {
        self.server.engines()[kind as usize].mood = mood;
    }

    /// What one of its engines was asked so far.
    pub fn requests(&self, kind: Kind) -> Vec<Request> {
        self.server.engines()[kind as usize].requests.clone()
    }
}

/// A vendor's way to write errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    OpenAi,
    Anthropic,
    Cartesia,
    ElevenLabs,
    Deepgram,
}

impl Dialect {
    /// A refusal with the vendor's code for it.
    fn refusal(self, status: u16, code: &str, message: &str) -> Response {
        let body = match self {
            Dialect::OpenAi => {
                json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": code } })
            }
            Dialect::Anthropic => {
                json!({ "type": "error", "error": { "type": code, "message": message }, "request_id": "req_1" })
            }
            Dialect::Cartesia => {
                json!({ "title": code, "message": message, "error_code": code, "status_code": status })
            }
            Dialect::ElevenLabs => json!({ "detail": { "status": code, "message": message } }),
            Dialect::Deepgram => json!({ "err_code": code, "err_msg": message, "request_id": "r-1" }),
        };
        answer(status, &body)
    }

    fn wrong_key(self) -> Response {
        match self {
            Dialect::OpenAi => self.refusal(401, "invalid_api_key", "Incorrect API key provided"),
            Dialect::Cartesia => self.refusal(401, "unauthorized", "Invalid API key"),
            Dialect::Anthropic => self.refusal(401, "authentication_error", "invalid x-api-key"),
            Dialect::ElevenLabs => self.refusal(401, "invalid_api_key", "Invalid API key"),
            Dialect::Deepgram => self.refusal(401, "INVALID_AUTH", "Invalid credentials."),
        }
    }

    fn rate_limited(self) -> Response {
        match self {
            Dialect::OpenAi => self.refusal(429, "rate_limit_exceeded", "Rate limit reached"),
            Dialect::Cartesia => self.refusal(429, "concurrency_limited", "Too many concurrent requests"),
            Dialect::Anthropic => self.refusal(529, "overloaded_error", "Overloaded"),
            Dialect::ElevenLabs => {
                self.refusal(429, "too_many_concurrent_requests", "Too many requests at once")
            }
            Dialect::Deepgram => self.refusal(429, "TOO_MANY_REQUESTS", "Too many requests."),
        }
    }

    fn out_of_quota(self) -> Response {
        match self {
            Dialect::OpenAi => self.refusal(429, "insufficient_quota", "You exceeded your current quota"),
            Dialect::Anthropic => {
                let message = "Your credit balance is too low to access the Anthropic API.";
                self.refusal(400, "invalid_request_error", message)
            }
            Dialect::Cartesia => self.refusal(402, "quota_exceeded", "Not enough credits"),
            Dialect::ElevenLabs => self.refusal(401, "quota_exceeded", "You have 0 credits remaining"),
            Dialect::Deepgram => {
                self.refusal(402, "ASR_PAYMENT_REQUIRED", "Project does not have enough credits.")
            }
        }
    }

    fn key(self, headers: &HeaderMap) -> Option<&str> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match self {
            Dialect::OpenAi | Dialect::Cartesia => header("authorization")?.strip_prefix("Bearer "),
            // The vendor's clients of late 2026 send the latter.
            Dialect::Anthropic => {
                header("x-api-key").or_else(|| header("authorization")?.strip_prefix("Bearer "))
            }
            Dialect::ElevenLabs => header("xi-api-key"),
            Dialect::Deepgram => header("authorization")?.strip_prefix("Token "),
        }
    }
}

fn answer(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).expect("a status"), axum::Json(body.clone())).into_response()
}

/// Notes a request. The response of one without the key, and of a server that is not well.
async fn receive(
    (server, dialect, kind): (&Server, Dialect, Kind),
    headers: &HeaderMap,
    body: &Bytes,
) -> Option<Response> {
    let header = match dialect {
        Dialect::Anthropic => "x-api-key",
        Dialect::ElevenLabs => "xi-api-key",
        Dialect::OpenAi | Dialect::Cartesia | Dialect::Deepgram => "authorization",
    };
    let authorization = headers.get(header).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let request = Request { authorization: authorization.to_owned(), body: body.to_vec() };
    let mood = {
        let mut engines = server.engines();
        engines[kind as usize].requests.push(request);
        engines[kind as usize].mood
    };
    if dialect.key(headers) != Some(KEY) && !server.has(Habit::Keyless) {
        return Some(dialect.wrong_key());
    }
    Some(match mood {
        Mood::Well => return None,
        Mood::Broken => dialect.refusal(500, "server_error", "The server had an error"),
        Mood::Stalled => std::future::pending().await,
        Mood::WrongKey => dialect.wrong_key(),
        Mood::RateLimited => dialect.rate_limited(),
        Mood::OutOfQuota => dialect.out_of_quota(),
        Mood::Garbage => {
            ([("content-type", "text/html")], "<html><body>Bad gateway</body></html>").into_response()
        }
        Mood::StallsOnce => {
            server.engines()[kind as usize].mood = Mood::Well;
            chat::stalled()
        }
        Mood::Closing => {
            let pieces = [Ok(Bytes::from_static(b"0123456789ab")), Err(std::io::Error::other("closed"))];
            Body::from_stream(stream::iter(pieces).boxed()).into_response()
        }
    })
}
