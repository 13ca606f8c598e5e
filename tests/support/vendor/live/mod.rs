//! Transcription of audio as it arrives, over WebSockets: Deepgram's `/v1/listen` and `/v2/listen`, OpenAI's `/v1/realtime` and
//! ElevenLabs' `/v1/speech-to-text/realtime`; and speech to speech by OpenAI's. Speech in contexts: ElevenLabs'
//! `/v1/text-to-speech/{voice}/multi-stream-input` and Cartesia's `/tts/websocket`. Speech one after the other: Deepgram's
//! `/v1/speak`.
//!
//! The words follow the audio: one for every [`WORD_MS`] of sound since the last commit, so an utterance of which audio is missing
//! has fewer words. Partial words are [`BEHIND_MS`] behind. Other requests are passed on to the HTTP server.

mod aura;
mod eleven;
mod flux;
mod listen;
mod realtime;
mod scribe;
mod sonic;
mod voice;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request as Upgrade, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{Dialect, KEY, Kind, Mood, Request, Server, WORDS};

/// Sound for one word, in milliseconds.
const WORD_MS: usize = 100;
/// How far partial words are behind the audio, in milliseconds.
const BEHIND_MS: usize = 60;
/// The length of a piece of speech, in milliseconds.
const CHUNK_MS: usize = 200;
/// The level from which a sample counts as sound.
const SOUND: u16 = 300;

/// The fault of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveFault {
    /// It is closed after so many milliseconds of sound, received or sent.
    CloseAfter(usize),
    /// Nothing is sent.
    Mute,
    /// It takes audio and has no words.
    MuteWords,
    /// It sends text that is no message.
    Garbage,
    /// The times of words that it sends cannot be.
    WrongTimes,
    /// A speech-to-speech session is closed after a second of its first response.
    ClosesInResponse,
    /// A speech-to-speech session sends nothing once its first response is created.
    StallsInResponse,
}

type Socket = WebSocketStream<TcpStream>;

/// Why a connection ends.
enum End {
    Closed,
    /// The server closes it.
    Close(u16, &'static str),
}

impl From<tokio_tungstenite::tungstenite::Error> for End {
    fn from(_: tokio_tungstenite::tungstenite::Error) -> End {
        End::Closed
    }
}

/// Serves WebSockets, and passes everything else to the HTTP server on `http`.
pub async fn serve(listener: TcpListener, http: u16, server: Arc<Server>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = server.clone();
        tokio::spawn(async move {
            if is_upgrade(&client).await {
                upgrade(client, &server).await;
            } else {
                relay(client, http).await;
            }
        });
    }
}

/// Reads the head without taking it.
async fn is_upgrade(client: &TcpStream) -> bool {
    let mut head = vec![0; 8 * 1024];
    for _ in 0..100 {
        let Ok(length) = client.peek(&mut head).await else { return false };
        let text = String::from_utf8_lossy(&head[..length]).to_lowercase();
        if text.contains("\r\n\r\n") || length == 0 {
            return text.contains("\r\nupgrade: websocket");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

async fn relay(mut client: TcpStream, http: u16) {
    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", http)).await {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}

#[derive(Clone, Copy)]
enum Api {
    Listen,
    Flux,
    Realtime,
    Voice,
    Scribe,
    Aura,
    Eleven,
    Sonic,
}

impl Api {
    fn kind(self) -> Kind {
        match self {
            Api::Listen | Api::Flux | Api::Realtime | Api::Voice | Api::Scribe => Kind::Stt,
            Api::Aura | Api::Eleven | Api::Sonic => Kind::Tts,
        }
    }
}

async fn upgrade(client: TcpStream, server: &Arc<Server>) {
    if server.engines()[Kind::Stt as usize].mood == Mood::Stalled {
        std::future::pending::<()>().await;
    }
    let mut accepted = None;
    #[allow(clippy::result_large_err, reason = "the type is the library's")]
    let decide = |request: &Upgrade, response: Response| match admit(server, request) {
        Ok(session) => {
            accepted = Some(session);
            Ok(response)
        }
        Err(refusal) => Err(refusal),
    };
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(client, decide).await else { return };
    let Some((api, query)) = accepted else { return };
    let fault = server.live_faults().pop_front();
    let mut session = Session { socket, fault, query, server: server.clone(), sent_ms: 0 };
    let end = match api {
        Api::Aura => aura::serve(&mut session).await,
        Api::Eleven => eleven::serve(&mut session).await,
        Api::Sonic => sonic::serve(&mut session).await,
        Api::Listen => listen::serve(&mut session).await,
        Api::Flux => flux::serve(&mut session).await,
        Api::Realtime => realtime::serve(&mut session).await,
        Api::Voice => voice::serve(&mut session).await,
        Api::Scribe => scribe::serve(&mut session).await,
    };
    if let Err(End::Close(code, reason)) = end {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        let _ = session.socket.close(Some(frame)).await;
        while let Some(Ok(_)) = session.socket.next().await {}
    }
}

type Query = Vec<(String, String)>;

#[allow(clippy::result_large_err, reason = "the type is the library's")]
fn admit(server: &Server, request: &Upgrade) -> Result<(Api, Query), ErrorResponse> {
    let query = request.uri().query().unwrap_or_default();
    let pairs: Query = serde_urlencoded::from_str(query).unwrap_or_default();
    let (api, dialect) = match request.uri().path() {
        "/deepgram/v1/listen" => (Api::Listen, Dialect::Deepgram),
        "/deepgram/v1/speak" => (Api::Aura, Dialect::Deepgram),
        "/deepgram/v2/listen" => (Api::Flux, Dialect::Deepgram),
        "/v1/realtime" if pairs.iter().any(|(name, _)| name == "model") => (Api::Voice, Dialect::OpenAi),
        "/v1/realtime" => (Api::Realtime, Dialect::OpenAi),
        "/elevenlabs/v1/speech-to-text/realtime" => (Api::Scribe, Dialect::ElevenLabs),
        "/cartesia/tts/websocket" => (Api::Sonic, Dialect::Cartesia),
        path if eleven::is_path(path) => (Api::Eleven, Dialect::ElevenLabs),
        _ => return Err(ErrorResponse::new(Some("no such path".into()))),
    };
    let mood = {
        let key = dialect.key(request.headers()).unwrap_or_default().to_owned();
        let mut engines = server.engines();
        let engine = &mut engines[api.kind() as usize];
        engine.requests.push(Request { authorization: key, body: query.as_bytes().to_vec() });
        engine.mood
    };
    let failure = match mood {
        _ if dialect.key(request.headers()) != Some(KEY) => Some(dialect.wrong_key()),
        Mood::Broken => Some(dialect.refusal(500, "server_error", "The server had an error")),
        Mood::WrongKey => Some(dialect.wrong_key()),
        Mood::RateLimited => Some(dialect.rate_limited()),
        Mood::OutOfQuota => Some(dialect.out_of_quota()),
        _ => None,
    };
    if let Some(failure) = failure {
        return Err(refusal(failure));
    }
    let problem = match api {
        Api::Listen => listen::problem(&pairs),
        Api::Flux => flux::problem(&pairs),
        Api::Realtime => realtime::problem(&pairs),
        Api::Voice => voice::problem(&pairs),
        Api::Scribe => scribe::problem(&pairs),
        Api::Aura => aura::problem(&pairs),
        Api::Eleven => eleven::problem(&pairs),
        Api::Sonic => sonic::problem(&pairs, request.headers()),
    };
    match problem {
        Some(problem) => Err(refusal(dialect.refusal(400, "INVALID_QUERY_PARAMETER", &problem))),
        None => Ok((api, pairs)),
    }
}

/// The characters of a text with the beginning and the end of each in its speech, in milliseconds: all are as long.
fn letter_times(text: &str) -> impl Iterator<Item = (char, f64, f64)> {
    let length = (500 + 30 * text.len()) as f64 / text.chars().count().max(1) as f64;
    text.chars().enumerate().map(move |(at, letter)| (letter, at as f64 * length, (at + 1) as f64 * length))
}

/// A refusal over HTTP as the WebSocket library has it.
fn refusal(response: axum::response::Response) -> ErrorResponse {
    let (parts, body) = response.into_parts();
    let bytes =
        axum::body::to_bytes(body, usize::MAX).now_or_never().and_then(Result::ok).expect("a body at hand");
    ErrorResponse::from_parts(parts, Some(String::from_utf8_lossy(&bytes).into_owned()))
}

struct Session {
    socket: Socket,
    fault: Option<LiveFault>,
    query: Query,
    server: Arc<Server>,
    /// Speech so far, in milliseconds.
    sent_ms: usize,
}

impl Session {
    /// Keeps an event of a speech-to-speech client, unless it is audio.
    fn note(&self, event: &Value) {
        if event["type"] != "input_audio_buffer.append" {
            self.server.voice_events().push(event.clone());
        }
    }

    /// The next message of a client that speaks in contexts, which is kept as a request.
    async fn receive(&mut self) -> Result<Value, End> {
        loop {
            match self.socket.next().await.ok_or(End::Closed)?? {
                Message::Text(text) => {
                    let request = Request { authorization: String::new(), body: text.as_bytes().to_vec() };
                    self.server.engines()[Kind::Tts as usize].requests.push(request);
                    return Ok(serde_json::from_str(&text).unwrap_or_default());
                }
                Message::Close(_) => return Err(End::Closed),
                _ => {}
            }
        }
    }

    /// Counts speech that is sent, and closes the connection if its fault is due. Speech is made faster than it is played.
    async fn speak(&mut self, ms: usize) -> Result<(), End> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.sent_ms += ms;
        match self.fault {
            Some(LiveFault::CloseAfter(most)) if self.sent_ms > most => Err(End::Close(1011, "NET-0000")),
            _ => Ok(()),
        }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    async fn send(&mut self, message: Value) -> Result<(), End> {
        let text = match self.fault {
            Some(LiveFault::Mute) => return Ok(()),
            Some(LiveFault::MuteWords) if !is_start(&message) => return Ok(()),
            Some(LiveFault::Garbage) => "<html>".to_owned(),
            _ => message.to_string(),
        };
        self.socket.send(Message::text(text)).await?;
        Ok(())
    }

    /// Sends audio in a binary frame.
    async fn send_audio(&mut self, audio: Vec<u8>) -> Result<(), End> {
        let message = match self.fault {
            Some(LiveFault::Mute) => return Ok(()),
            Some(LiveFault::Garbage) => Message::text("<html>"),
            _ => Message::binary(audio),
        };
        self.socket.send(message).await?;
        Ok(())
    }

    /// Closes the connection if its fault is due.
    fn check_fault(&self, hearing: &Hearing) -> Result<(), End> {
        match self.fault {
            Some(LiveFault::CloseAfter(ms)) if hearing.all_sound_ms() >= ms => {
                Err(End::Close(1011, "NET-0000"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a message belongs to the beginning of a session.
fn is_start(message: &Value) -> bool {
    let kind = message.get("type").or(message.get("message_type")).and_then(Value::as_str);
    kind.is_some_and(|kind| kind.starts_with("session") || kind == "Connected")
}

/// The audio of a connection.
struct Hearing {
    rate: usize,
    /// Samples since the connection began, and those that are sound.
    samples: usize,
    sound: usize,
    /// The sound that the last commit, or the last final result, ended at.
    committed: usize,
    /// Words of the part that were in final results.
    said: usize,
    /// Words that were sent in the last partial result.
    partial: usize,
}

impl Hearing {
    fn at(rate: usize) -> Hearing {
        Hearing { rate, samples: 0, sound: 0, committed: 0, said: 0, partial: 0 }
    }

    fn push(&mut self, samples: &[i16]) {
        self.samples += samples.len();
        // Speech has zero crossings: a run of 10 ms counts whole.
        for piece in samples.chunks(self.rate / 100) {
            if piece.iter().any(|sample| sample.unsigned_abs() > SOUND) {
                self.sound += piece.len();
            }
        }
    }

    fn ms(&self, samples: usize) -> usize {
        samples * 1_000 / self.rate
    }

    fn all_sound_ms(&self) -> usize {
        self.ms(self.sound)
    }

    /// The number of words in the part so far.
    fn count(&self, behind_ms: usize) -> usize {
        let heard = self.ms(self.sound - self.committed).saturating_sub(behind_ms);
        (heard / WORD_MS).min(WORDS.split(' ').count())
    }

    fn words(&self, count: usize) -> String {
        WORDS.split(' ').take(count).skip(self.said).collect::<Vec<_>>().join(" ")
    }

    /// New partial words, if there are any.
    fn partial(&mut self) -> Option<String> {
        let count = self.count(BEHIND_MS);
        (count > self.partial.max(self.said)).then(|| {
            self.partial = count;
            self.words(count)
        })
    }

    /// The final words so far of the part, which goes on.
    fn settle(&mut self) -> String {
        let count = self.count(0);
        let words = self.words(count);
        self.said = count;
        words
    }

    /// The final words of the part, which ends.
    fn commit(&mut self) -> String {
        let words = self.settle();
        (self.committed, self.said, self.partial) = (self.sound, 0, 0);
        words
    }
}

fn linear16(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn mulaw(bytes: &[u8]) -> Vec<i16> {
    bytes.iter().map(|byte| vca::audio::codec::ulaw_sample(*byte)).collect()
}
