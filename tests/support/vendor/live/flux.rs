//! Deepgram's `GET /v2/listen`, Flux: turns of the caller, with their ends.
//!
//! <https://developers.deepgram.com/reference/speech-to-text/listen-flux>, <https://developers.deepgram.com/docs/flux/state>,
//! <https://developers.deepgram.com/docs/flux/force-end-turn>
//!
//! A turn may be over after [`EAGER_MS`] of silence and is over after [`END_MS`].

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use super::{BEHIND_MS, End, Hearing, SOUND, Session, linear16};

const PARAMETERS: &[&str] = &[
    "eager_eot_threshold",
    "encoding",
    "eot_threshold",
    "eot_timeout_ms",
    "keyterm",
    "language_hint",
    "mip_opt_out",
    "model",
    "numerals",
    "profanity_filter",
    "redact",
    "sample_rate",
    "tag",
];
const LANGUAGES: &[&str] = &["en", "es", "fr", "de", "hi", "ru", "pt", "ja", "it", "nl"];
/// Without audio for this long the connection is closed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The audio between two updates, in milliseconds.
const UPDATE_MS: usize = 250;
const EAGER_MS: usize = 200;
const END_MS: usize = 400;

/// Why a query is refused.
pub fn problem(query: &[(String, String)]) -> Option<String> {
    let value = |name: &str| query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    let number = |name: &str, default: f64| value(name).map_or(Ok(default), str::parse::<f64>);
    if let Some((unknown, _)) = query.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
        return Some(format!("Unknown parameter {unknown}"));
    }
    let is_multi = match value("model") {
        Some("flux-general-en") => false,
        Some("flux-general-multi") => true,
        _ => return Some("No such model".into()),
    };
    let mut hints = query.iter().filter(|(name, _)| name == "language_hint").map(|(_, value)| value.as_str());
    if !hints.all(|hint| is_multi && LANGUAGES.contains(&hint.split('-').next().unwrap_or_default())) {
        return Some("language_hint is not supported here".into());
    }
    let (end, eager) = (number("eot_threshold", 0.7), number("eager_eot_threshold", 0.3));
    let in_range = matches!((&end, &eager), (Ok(end), Ok(eager))
        if (0.5..=1.0).contains(end) && (0.3..=0.9).contains(eager) && eager <= end);
    if !in_range || !number("eot_timeout_ms", 5_000.0).is_ok_and(|ms| (500.0..=60_000.0).contains(&ms)) {
        return Some("The thresholds are out of range".into());
    }
    match (value("encoding"), number("sample_rate", 0.0)) {
        (Some("linear16"), Ok(rate)) if rate >= 8_000.0 => None,
        _ => Some("encoding and sample_rate are needed for raw audio".into()),
    }
}

pub async fn serve(session: &mut Session) -> Result<(), End> {
    let mut turns = Turns::of(session);
    session.send(json!({ "type": "Connected", "request_id": "r-1", "sequence_id": 0 })).await?;
    let mut heard_at = Instant::now();
    loop {
        let Ok(message) = timeout_at(heard_at + TIMEOUT, session.socket.next()).await else {
            return Err(End::Close(1011, "NET-0001"));
        };
        match message.ok_or(End::Closed)?? {
            Message::Binary(bytes) if bytes.len() % 2 == 0 => {
                heard_at = Instant::now();
                // The state is judged every 10 ms.
                for piece in linear16(&bytes).chunks(turns.hearing.rate / 100) {
                    turns.push(piece);
                    session.check_fault(&turns.hearing)?;
                    for event in turns.events() {
                        let message = turns.message(event);
                        session.send(message).await?;
                    }
                }
            }
            Message::Binary(_) => return fail(session, &mut turns, "UNDECODABLE_AUDIO").await,
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap_or_default();
                match message["type"].as_str() {
                    Some("ForceEndTurn") if turns.state != TurnState::Initial => {
                        let message = turns.end("manual");
                        session.send(message).await?;
                    }
                    Some("ForceEndTurn") => {}
                    Some("CloseStream") => return Err(End::Close(1000, "")),
                    _ => return fail(session, &mut turns, "UNPARSABLE_CLIENT_MESSAGE").await,
                }
            }
            Message::Close(_) => return Err(End::Closed),
            _ => {}
        }
    }
}

async fn fail(session: &mut Session, turns: &mut Turns, code: &str) -> Result<(), End> {
    let sequence_id = turns.next_id();
    let description = "The client sent what is not understood.";
    session
        .send(
            json!({ "type": "Error", "sequence_id": sequence_id, "code": code, "description": description }),
        )
        .await?;
    Err(End::Close(1008, ""))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TurnState {
    Initial,
    Ongoing,
    AwaitingEnd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Update,
    StartOfTurn,
    EagerEndOfTurn,
    TurnResumed,
    EndOfTurn(&'static str),
}

struct Turns {
    hearing: Hearing,
    state: TurnState,
    index: usize,
    sequence: usize,
    /// Samples of silence since the latest sound.
    quiet: usize,
    /// Samples at the latest message, and at the beginning of the turn.
    reported: usize,
    began: usize,
    is_eager: bool,
    ends_itself: bool,
    timeout_ms: usize,
}

impl Turns {
    fn of(session: &Session) -> Turns {
        let number = |name: &str, default: f64| {
            session.parameter(name).and_then(|it| it.parse::<f64>().ok()).unwrap_or(default)
        };
        Turns {
            hearing: Hearing::at(number("sample_rate", 8_000.0) as usize),
            state: TurnState::Initial,
            index: 0,
            sequence: 0,
            quiet: 0,
            reported: 0,
            began: 0,
            is_eager: session.parameter("eager_eot_threshold").is_some(),
            ends_itself: number("eot_threshold", 0.7) < 1.0,
            timeout_ms: number("eot_timeout_ms", 5_000.0) as usize,
        }
    }

    fn push(&mut self, piece: &[i16]) {
        self.hearing.push(piece);
        let is_sound = piece.iter().any(|sample| sample.unsigned_abs() > SOUND);
        self.quiet = if is_sound { 0 } else { self.quiet + piece.len() };
    }

    /// The words so far: all of them in a pause.
    fn transcript(&self) -> String {
        let behind = if self.quiet > 0 { 0 } else { BEHIND_MS };
        self.hearing.words(self.hearing.count(behind))
    }

    fn events(&mut self) -> Vec<Event> {
        let quiet = self.hearing.ms(self.quiet);
        let is_over = self.ends_itself && quiet >= END_MS;
        let event = match self.state {
            TurnState::Initial if !self.transcript().is_empty() => Event::StartOfTurn,
            TurnState::Ongoing if self.is_eager && (EAGER_MS..END_MS).contains(&quiet) => {
                Event::EagerEndOfTurn
            }
            TurnState::Ongoing | TurnState::AwaitingEnd if is_over => Event::EndOfTurn("model"),
            TurnState::Ongoing | TurnState::AwaitingEnd if quiet >= self.timeout_ms => {
                Event::EndOfTurn("timeout")
            }
            TurnState::AwaitingEnd if quiet == 0 => Event::TurnResumed,
            _ if self.hearing.ms(self.hearing.samples - self.reported) >= UPDATE_MS => Event::Update,
            _ => return Vec::new(),
        };
        vec![event]
    }

    fn next_id(&mut self) -> usize {
        self.sequence += 1;
        self.sequence
    }

    fn message(&mut self, event: Event) -> Value {
        self.state = match event {
            Event::EndOfTurn(trigger) => return self.end(trigger),
            Event::Update => self.state,
            Event::StartOfTurn | Event::TurnResumed => TurnState::Ongoing,
            Event::EagerEndOfTurn => TurnState::AwaitingEnd,
        };
        let name = match event {
            Event::StartOfTurn => "StartOfTurn",
            Event::TurnResumed => "TurnResumed",
            Event::EagerEndOfTurn => "EagerEndOfTurn",
            _ => "Update",
        };
        self.turn_info(name)
    }

    /// Ends the turn.
    fn end(&mut self, trigger: &str) -> Value {
        let mut message = self.turn_info("EndOfTurn");
        message["trigger"] = json!(trigger);
        self.hearing.commit();
        (self.state, self.index, self.began) = (TurnState::Initial, self.index + 1, self.hearing.samples);
        message
    }

    fn turn_info(&mut self, event: &str) -> Value {
        let seconds = |samples: usize| samples as f64 / self.hearing.rate as f64;
        let transcript = self.transcript();
        let words: Vec<Value> =
            transcript.split_whitespace().map(|word| json!({ "word": word, "confidence": 0.99 })).collect();
        let (start, end) = (seconds(self.began), seconds(self.hearing.samples));
        self.reported = self.hearing.samples;
        json!({
            "type": "TurnInfo", "request_id": "r-1", "sequence_id": self.next_id(), "event": event,
            "turn_index": self.index, "audio_window_start": start, "audio_window_end": end,
            "transcript": transcript, "words": words, "end_of_turn_confidence": 0.5,
        })
    }
}
