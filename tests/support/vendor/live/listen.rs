//! Deepgram's `GET /v1/listen`.
//!
//! <https://developers.deepgram.com/reference/speech-to-text/listen-streaming>,
//! <https://developers.deepgram.com/docs/stt-troubleshooting-websocket-data-and-net-errors>

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use super::{End, Hearing, Session, linear16, mulaw};

const PARAMETERS: &[&str] = &[
    "callback",
    "callback_method",
    "channels",
    "detect_entities",
    "diarize",
    "diarize_model",
    "dictation",
    "encoding",
    "endpointing",
    "extra",
    "interim_results",
    "keyterm",
    "keywords",
    "language",
    "language_hint",
    "mip_opt_out",
    "model",
    "multichannel",
    "numerals",
    "profanity_filter",
    "punctuate",
    "redact",
    "replace",
    "sample_rate",
    "search",
    "smart_format",
    "tag",
    "utterance_end_ms",
    "vad_events",
    "version",
];
/// The languages of nova-3.
const LANGUAGES: &[&str] = &[
    "af", "ar", "be", "bg", "bn", "bs", "ca", "cs", "da", "da-DK", "de", "de-CH", "el", "en", "en-AU",
    "en-GB", "en-IN", "en-NZ", "en-US", "es", "es-419", "et", "fa", "fi", "fr", "fr-CA", "gu", "gu-IN", "he",
    "hi", "hr", "hu", "hy", "id", "it", "ja", "ka", "kn", "ko", "ko-KR", "lt", "lv", "mk", "mr", "ms",
    "multi", "ne", "nl", "nl-BE", "no", "pa", "pa-IN", "pl", "pt", "pt-BR", "pt-PT", "ro", "ru", "sk", "sl",
    "sr", "sv", "sv-SE", "ta", "te", "th", "th-TH", "tl", "tr", "uk", "ur", "vi", "zh", "zh-CN", "zh-Hans",
    "zh-Hant", "zh-HK", "zh-TW",
];
/// Without audio or KeepAlive for this long the connection is closed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest audio of one result, in milliseconds.
const WINDOW_MS: usize = 3_000;

/// Why a query is refused.
pub fn problem(query: &[(String, String)]) -> Option<String> {
    let value = |name: &str| query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    if let Some((unknown, _)) = query.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
        return Some(format!("Unknown parameter {unknown}"));
    }
    if !value("model").is_some_and(|model| model.starts_with("nova-")) {
        return Some("No such model".into());
    }
    if value("language").is_some_and(|language| !LANGUAGES.contains(&language)) {
        return Some("No such model/language/tier combination found.".into());
    }
    for name in ["interim_results", "punctuate", "smart_format", "vad_events"] {
        if !value(name).is_none_or(|value| ["true", "false"].contains(&value)) {
            return Some(format!("{name} has to be true or false"));
        }
    }
    if value("endpointing").is_some_and(|value| value != "false" && value.parse::<u32>().is_err()) {
        return Some("endpointing has to be false or a number".into());
    }
    // The client in Python writes numbers as 8000.0 or 8000.
    let rate = value("sample_rate").and_then(|rate| rate.parse::<f64>().ok());
    match (value("encoding"), rate) {
        (Some("linear16" | "mulaw"), Some(rate)) if rate >= 8_000.0 => None,
        _ => Some("encoding and sample_rate are needed for raw audio".into()),
    }
}

pub async fn serve(session: &mut Session) -> Result<(), End> {
    let rate = session.parameter("sample_rate").and_then(|rate| rate.parse::<f64>().ok());
    let (rate, is_mulaw) = (rate.unwrap_or(8_000.0) as usize, session.parameter("encoding") == Some("mulaw"));
    let has_partials = session.parameter("interim_results") == Some("true");
    let (mut hearing, mut window) = (Hearing::at(rate), 0);
    let mut heard_at = Instant::now();
    loop {
        let Ok(message) = timeout_at(heard_at + TIMEOUT, session.socket.next()).await else {
            return Err(End::Close(1011, "NET-0001"));
        };
        match message.ok_or(End::Closed)?? {
            Message::Binary(bytes) => {
                heard_at = Instant::now();
                if !is_mulaw && bytes.len() % 2 == 1 {
                    return Err(End::Close(1008, "DATA-0000"));
                }
                hearing.push(&if is_mulaw { mulaw(&bytes) } else { linear16(&bytes) });
                session.check_fault(&hearing)?;
                if hearing.ms(hearing.samples - window) >= WINDOW_MS {
                    let words = hearing.settle();
                    session.send(results(&hearing, &mut window, &words, Kind::Final)).await?;
                } else if has_partials && let Some(words) = hearing.partial() {
                    session.send(results(&hearing, &mut window, &words, Kind::Interim)).await?;
                }
            }
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap_or_default();
                match message["type"].as_str() {
                    Some("KeepAlive") => heard_at = Instant::now(),
                    // Without audio since the last result there is no result.
                    Some("Finalize") if hearing.samples == window => {}
                    Some("Finalize") => {
                        let words = hearing.commit();
                        session.send(results(&hearing, &mut window, &words, Kind::Finalized)).await?;
                    }
                    Some("CloseStream") => {
                        let words = hearing.commit();
                        session.send(results(&hearing, &mut window, &words, Kind::Final)).await?;
                        let metadata = json!({ "type": "Metadata", "transaction_key": "deprecated", "request_id": "r-1",
                            "sha256": "0", "created": "2026-11-01T00:00:00Z", "channels": 1,
                            "duration": hearing.samples as f64 / hearing.rate as f64 });
                        session.send(metadata).await?;
                        return Err(End::Close(1000, ""));
                    }
                    _ => return Err(End::Close(1008, "DATA-0001")),
                }
            }
            Message::Close(_) => return Err(End::Closed),
            _ => {}
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Interim,
    Final,
    Finalized,
}

/// The result of the audio since `window`.
fn results(hearing: &Hearing, window: &mut usize, words: &str, kind: Kind) -> Value {
    let seconds = |samples: usize| samples as f64 / hearing.rate as f64;
    let (start, duration) = (seconds(*window), seconds(hearing.samples - *window));
    if kind != Kind::Interim {
        *window = hearing.samples;
    }
    json!({
        "type": "Results", "channel_index": [0, 1], "start": start, "duration": duration,
        "is_final": kind != Kind::Interim, "speech_final": false, "from_finalize": kind == Kind::Finalized,
        "channel": { "alternatives": [{ "transcript": words, "confidence": 0.99, "words": [] }] },
        "metadata": { "request_id": "r-1", "model_uuid": "u-1",
                      "model_info": { "name": "nova-3", "version": "1", "arch": "nova-3" } },
    })
}
