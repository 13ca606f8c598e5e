//! A server with OpenAI's API for transcription, replies and speech, at a vendor's pace.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::sleep;
use vca::audio::Clip;
use vca::audio::resample::convert;

use super::live;
use super::recogniser::{HeardWord, Recogniser};
use super::track::{LabelledTrack, Speaker};
use crate::support::clips;
use crate::support::vendor::form::Form;

/// The rate of its speech, as OpenAI's.
pub(super) const SPEECH_RATE: u32 = 24_000;
/// Speech is sent in pieces of this length …
pub(super) const PIECE: Duration = Duration::from_millis(200);
/// … this much faster than it is played.
pub(super) const SPEED: u32 = 8;
/// The part of a speech that is sent before a stall in its middle.
const BEFORE_STALL: Duration = Duration::from_millis(400);

/// How fast the engines are.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From a clip to its transcript.
    pub transcript: Duration,
    /// From a prompt to the first token of the reply.
    pub first_token: Duration,
    pub tokens_per_second: u32,
    /// From a text to the first byte of its speech.
    pub first_byte: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Pace { transcript: ms(100), first_token: ms(150), tokens_per_second: 60, first_byte: ms(80) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Stt,
    Llm,
    Tts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing is sent.
    Before,
    /// A part is sent, and nothing more.
    Middle,
}

/// Requests that get no whole response, however often they are repeated: those of a stage with a text that contains a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    pub stage: Stage,
    pub place: Place,
    /// In lowercase.
    pub word: &'static str,
}

/// A transcription that was asked for.
#[derive(Debug, Clone)]
pub struct SttRequest {
    pub received: Instant,
    /// The length of the clip.
    pub length: Duration,
    pub text: String,
    pub words: Vec<HeardWord>,
    /// How long the recogniser took.
    pub work: Duration,
}

/// A reply that was asked for.
#[derive(Debug, Clone)]
pub struct LlmRequest {
    pub received: Instant,
    /// The last message of the caller.
    pub question: String,
}

#[derive(Debug, Default)]
struct Requests {
    stt: Vec<SttRequest>,
    llm: Vec<LlmRequest>,
}

#[derive(Debug, Default)]
pub(super) struct Server {
    recogniser: Recogniser,
    pub(super) pace: Pace,
    /// A word of the caller's message, and the reply to it. The last pair's reply is that to all else.
    replies: Vec<(&'static str, String)>,
    stall: Mutex<Option<Stall>>,
    requests: Mutex<Requests>,
    speeches: Mutex<HashMap<String, Arc<[i16]>>>,
}

pub struct EngineServer {
    port: u16,
    live_port: u16,
    server: Arc<Server>,
    // Dropped with everything that runs on it.
    _runtime: tokio::runtime::Runtime,
}

type Shared = State<Arc<Server>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EngineServer {
    /// Starts a server that answers a message with the first reply of which it contains the word.
    pub fn start(pace: Pace, replies: Vec<(&'static str, String)>) -> EngineServer {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let server = Arc::new(Server { pace, replies, ..Server::default() });
        let router = Router::new()
            .route("/v1/audio/transcriptions", post(transcribe))
            .route("/v1/chat/completions", post(complete))
            .route("/v1/audio/speech", post(speak))
            .with_state(server.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("a bound port").port();
        runtime.spawn(axum::serve(listener, router).into_future());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let live_port = listener.local_addr().expect("a bound port").port();
        runtime.spawn(live::serve(listener, server.clone()));
        EngineServer { port, live_port, server, _runtime: runtime }
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// The address of Deepgram's API for audio as it arrives.
    pub fn live_base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.live_port)
    }

    /// The address of Deepgram's Flux.
    pub fn flux_base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v2", self.live_port)
    }

    /// The address of Cartesia's API for speech of a text in parts.
    pub fn words_base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.live_port)
    }

    /// The recogniser, which knows the speech of this server.
    pub fn recogniser(&self) -> &Recogniser {
        &self.server.recogniser
    }

    /// Lets requests stall from now on, or ends that.
    pub fn stall(&self, stall: Option<Stall>) {
        *lock(&self.server.stall) = stall;
    }

    /// The transcriptions so far.
    pub fn transcriptions(&self) -> Vec<SttRequest> {
        lock(&self.server.requests).stt.clone()
    }

    /// The replies so far.
    pub fn replies(&self) -> Vec<LlmRequest> {
        lock(&self.server.requests).llm.clone()
    }

    /// The transcriptions and replies so far, in their order, with the seconds since the first.
    pub fn log(&self) -> Vec<String> {
        let requests = lock(&self.server.requests);
        let heard = |it: &SttRequest| (it.received, format!("heard {:?} in {:?}", it.text, it.length));
        let asked = |it: &LlmRequest| (it.received, format!("asked {:?}", it.question));
        let mut lines: Vec<_> =
            requests.stt.iter().map(heard).chain(requests.llm.iter().map(asked)).collect();
        lines.sort_by_key(|(at, _)| *at);
        let Some(first) = lines.first().map(|(at, _)| *at) else { return Vec::new() };
        lines.iter().map(|(at, line)| format!("{:7.2} s {line}", (*at - first).as_secs_f64())).collect()
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        *lock(&self.server.requests) = Requests::default();
    }

    /// Synthesises a text before it is asked for.
    pub fn prepare(&self, text: &str) {
        self.server.speech(text);
    }
}

impl Server {
    /// The words of a clip.
    pub(super) async fn heard(self: &Arc<Server>, clip: Clip) -> (String, Vec<HeardWord>) {
        let server = self.clone();
        let work = tokio::task::spawn_blocking(move || server.recogniser.transcribe(&clip));
        work.await.expect("the recogniser does not panic")
    }

    pub(super) fn note(&self, request: SttRequest) {
        lock(&self.requests).stt.push(request);
    }

    /// Where a request with this text stalls, if it does.
    fn stalls(&self, stage: Stage, text: &str) -> Option<Place> {
        let stall = *lock(&self.stall);
        stall.filter(|it| it.stage == stage && text.to_lowercase().contains(it.word)).map(|it| it.place)
    }

    /// The samples of a text, which the recogniser knows from now on.
    fn speech(&self, text: &str) -> Arc<[i16]> {
        if let Some(speech) = lock(&self.speeches).get(text) {
            return speech.clone();
        }
        let clip = clips::flite(text, "rms");
        self.recogniser.learn(LabelledTrack::new(Speaker::Agent, &clip, text));
        let speech = convert(&clip, SPEECH_RATE).samples;
        lock(&self.speeches).insert(text.to_owned(), speech.clone());
        speech
    }

    /// The samples of the known text that begins with these words, or of the words.
    pub(super) fn speech_from(&self, words: &str) -> Arc<[i16]> {
        let known =
            lock(&self.speeches).iter().find(|(text, _)| text.starts_with(words)).map(|(_, it)| it.clone());
        known.unwrap_or_else(|| self.speech(words))
    }

    fn reply(&self, question: &str) -> &str {
        let question = question.to_lowercase();
        let found = self.replies.iter().find(|(word, _)| question.contains(word));
        found.or(self.replies.last()).map_or("", |(_, reply)| reply)
    }
}

async fn transcribe(State(server): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let received = Instant::now();
    let form = Form::read(&headers, &body);
    let Some(clip) = form.field("file").and_then(read_wav) else {
        return (axum::http::StatusCode::BAD_REQUEST, "no file").into_response();
    };
    let length = clip.duration();
    let (text, words) = server.heard(clip).await;
    let text = punctuated(text);
    let work = received.elapsed();
    server.note(SttRequest { received, length, text: text.clone(), words, work });
    if server.stalls(Stage::Stt, &text).is_some() {
        std::future::pending::<()>().await;
    }
    sleep(server.pace.transcript.saturating_sub(received.elapsed())).await;
    let segment = json!({ "id": 0, "start": 0.0, "end": length.as_secs_f64(), "text": text, "avg_logprob": -0.2,
                          "compression_ratio": 0.8, "no_speech_prob": 0.01 });
    let transcript = json!({ "task": "transcribe", "duration": length.as_secs_f64(), "text": text, "segments": [segment],
                             "usage": { "type": "duration", "seconds": length.as_secs_f64().ceil() } });
    axum::Json(transcript).into_response()
}

/// As Whisper writes: with a full stop behind everything.
fn punctuated(text: String) -> String {
    if text.is_empty() || text.ends_with(['.', '?', '!']) { text } else { text + "." }
}

fn read_wav(file: &[u8]) -> Option<Clip> {
    let mut reader = hound::WavReader::new(file).ok()?;
    let rate = reader.spec().sample_rate;
    let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>().ok()?;
    Some(Clip::new(rate, samples))
}

async fn complete(State(server): Shared, body: Bytes) -> Response {
    let received = Instant::now();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    let last = messages.iter().rfind(|message| message["role"] == "user");
    let question = last.and_then(|message| message["content"].as_str()).unwrap_or_default().to_owned();
    let tokens = tokens(server.reply(&question));
    let stalls = server.stalls(Stage::Llm, last_sentence(&question));
    lock(&server.requests).llm.push(LlmRequest { received, question });
    let sent = match stalls {
        Some(Place::Before) => 0,
        // The first clause and the beginning of the next.
        Some(Place::Middle) => tokens.len().min(9),
        None => tokens.len(),
    };
    let pace = server.pace;
    let interval = Duration::from_secs(1) / pace.tokens_per_second;
    let due = move |n: usize| pace.first_token + interval * n as u32;
    let whole = tokens.len();
    let pieces = tokens.into_iter().take(sent).enumerate().map(move |(n, token)| {
        let delta =
            json!({ "choices": [{ "index": 0, "delta": { "content": token }, "finish_reason": null }] });
        (due(n), delta.to_string())
    });
    let end = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }).to_string();
    let ends = [(due(whole), end), (due(whole), "[DONE]".to_owned())];
    let events = pieces.chain(ends.into_iter().filter(move |_| stalls.is_none()));
    let events = events.map(|(at, event)| (at, Bytes::from(format!("data: {event}\n\n")))).collect();
    paced("text/event-stream", received, events, stalls.is_some())
}

/// A question that stalled is in the prompt of the next one, too.
fn last_sentence(text: &str) -> &str {
    let ends = ['.', '?', '!'];
    text.trim_end_matches(ends).rsplit(ends).next().unwrap_or_default()
}

/// Words with the space before them, and punctuation marks.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for character in text.chars() {
        match tokens.last_mut() {
            Some(last) if character.is_alphanumeric() || character == '\'' => last.push(character),
            _ => tokens.push(character.to_string()),
        }
    }
    tokens
}

async fn speak(State(server): Shared, body: Bytes) -> Response {
    let received = Instant::now();
    let order: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = order["input"].as_str().unwrap_or_default().to_owned();
    let stalls = server.stalls(Stage::Tts, &text);
    let speaker = server.clone();
    let samples = tokio::task::spawn_blocking(move || speaker.speech(&text)).await.expect("flite speaks");
    let count = |length: Duration| (length.as_secs_f64() * f64::from(SPEECH_RATE)) as usize;
    let sent = match stalls {
        Some(Place::Before) => 0,
        Some(Place::Middle) => samples.len().min(count(BEFORE_STALL)),
        None => samples.len(),
    };
    let pieces = samples[..sent].chunks(count(PIECE)).enumerate().map(|(n, piece)| {
        let bytes: Vec<u8> = piece.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        (server.pace.first_byte + PIECE / SPEED * n as u32, Bytes::from(bytes))
    });
    paced("audio/pcm", received, pieces.collect(), stalls.is_some())
}

/// A response in pieces, each at its time; one that stalls does not end.
fn paced(kind: &'static str, since: Instant, pieces: Vec<(Duration, Bytes)>, stalls: bool) -> Response {
    let sent = stream::iter(pieces).then(move |(at, piece)| async move {
        sleep(at.saturating_sub(since.elapsed())).await;
        Ok::<_, Infallible>(piece)
    });
    let never = stream::pending().take(usize::from(stalls));
    ([("content-type", kind)], Body::from_stream(sent.chain(never))).into_response()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_is_divided_into_tokens() {
        let text = "We're open, every day.";
        assert_eq!(super::tokens(text), ["We're", " open", ",", " every", " day", "."]);
        assert_eq!(super::tokens(text).concat(), text);
    }

    #[test]
    fn the_last_sentence_of_a_message_decides_whether_it_stalls() {
        assert_eq!(super::last_sentence("Your opening hours? And a tyre?"), " And a tyre");
        assert_eq!(super::last_sentence("Your opening hours?"), "Your opening hours");
        assert_eq!(super::last_sentence(""), "");
    }

    #[test]
    fn a_reply_is_chosen_by_a_word_and_only_its_requests_stall() {
        let replies = vec![("hours", "Until five.".to_owned()), ("", "Go on.".to_owned())];
        let engines = super::EngineServer::start(super::Pace::default(), replies);
        assert_eq!(engines.server.reply("Your opening Hours?"), "Until five.");
        assert_eq!(engines.server.reply("Hello."), "Go on.");
        let (llm, middle) = (super::Stage::Llm, super::Place::Middle);
        engines.stall(Some(super::Stall { stage: llm, place: middle, word: "hours" }));
        assert_eq!(engines.server.stalls(llm, "Your opening Hours?"), Some(middle));
        assert_eq!(engines.server.stalls(llm, "Hello."), None);
        assert_eq!(engines.server.stalls(super::Stage::Stt, "Your opening Hours?"), None);
    }
}
