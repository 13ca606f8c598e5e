//! One small request to an engine, as a call would make it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use crate::audio::Clip;
use crate::engines::core::usage::Meter;
use crate::engines::core::{EngineError, FailureReason};
use crate::engines::llm::{Delta, Llm, Message, Prompt, ToolSpec};
use crate::engines::realtime::trial::VoiceTrial;
use crate::engines::realtime::{self, VoiceEngine};
use crate::engines::stt::{self, Hints, Stt};
use crate::engines::tts::{self, Tts, Voice};

/// From here on callers notice that they wait.
const SLOW: Duration = Duration::from_millis(1_500);
/// How much of a reply is shown, in characters.
const SHOWN: usize = 40;

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestTrial {
    Transcript { total: Duration },
    Reply { text: String, first: Duration, total: Duration, remark: Option<(String, String)> },
    Speech(tts::trial::SpeechTrial),
}

impl RequestTrial {
    /// The problem of a response, and the remedy.
    pub fn doubt(&self) -> Option<(String, String)> {
        match self {
            RequestTrial::Reply { text, .. } if spells_markup(text) => Some((
                "it writes tool calls or its thoughts into its text".into(),
                "start the server with its parsers (vLLM: --tool-call-parser and --reasoning-parser; llama.cpp: --jinja)"
                    .into(),
            )),
            RequestTrial::Reply { remark: Some(remark), .. } => Some(remark.clone()),
            RequestTrial::Speech(speech) if speech.length < Duration::from_millis(100) => Some((
                "the speech is too short for its text".into(),
                "see format and rate of this engine: the server may answer in another format".into(),
            )),
            _ if self.first() > SLOW => Some((
                format!("callers wait {:.1} s for it", self.first().as_secs_f64()),
                "choose a faster model or a nearer server".into(),
            )),
            _ => None,
        }
    }

    /// The time until the first of what a caller hears.
    fn first(&self) -> Duration {
        match self {
            RequestTrial::Transcript { total } => *total,
            RequestTrial::Reply { first, .. } => *first,
            RequestTrial::Speech(speech) => speech.first,
        }
    }
}

impl fmt::Display for RequestTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestTrial::Transcript { total } => {
                write!(f, "transcribed 0.3 s of sound in {} ms", total.as_millis())
            }
            RequestTrial::Reply { text, first, total, .. } => {
                let shown: String = text.chars().take(SHOWN).collect();
                let (first, total) = (first.as_millis(), total.as_millis());
                write!(f, "replied {shown:?} in {total} ms, the first words after {first} ms")
            }
            RequestTrial::Speech(speech) => speech.fmt(f),
        }
    }
}

fn spells_markup(text: &str) -> bool {
    let text = text.trim_start();
    ["<tool_call", "<think", "<|", "[TOOL_CALLS]", "{\"name\""].iter().any(|mark| text.starts_with(mark))
}

/// Has 0.3 s of sound transcribed, which has no words.
///
/// # Errors
/// The engine's.
pub async fn transcribe(engine: Arc<dyn Stt>) -> Result<RequestTrial, EngineError> {
    let begun = Instant::now();
    let sound: Vec<i16> = (0..2_400i16).map(|n| (n % 80 - 40) * 50).collect();
    stt::recognise(&*engine, Clip::new(8_000, sound), Hints::default(), Meter::default()).await?;
    Ok(RequestTrial::Transcript { total: begun.elapsed() })
}

/// Has a speech-to-speech engine answer a question, which is written.
///
/// # Errors
/// The engine's.
pub async fn converse(engine: Arc<VoiceEngine>) -> Result<RequestTrial, EngineError> {
    let VoiceTrial { text, first, total } = realtime::trial::run(&engine).await?;
    Ok(RequestTrial::Reply { text, first, total, remark: None })
}

/// Asks a question at the beginning of a call.
///
/// # Errors
/// As of [`Llm::reply`], and of its stream.
pub async fn ask(engine: Arc<dyn Llm>, may_end_call: bool) -> Result<RequestTrial, EngineError> {
    let prompt = Prompt {
        system: "You answer the telephone. Answer in one word.".into(),
        messages: vec![Message::Agent("Hello!".into()), Message::Caller("Can you hear me?".into())],
        tools: may_end_call.then(ToolSpec::end_call).into_iter().collect(),
        ..Prompt::default()
    };
    let begun = Instant::now();
    let mut deltas = engine.reply(prompt, Meter::default()).await?;
    let (mut text, mut first) = (String::new(), None);
    while let Some(delta) = deltas.next().await {
        first.get_or_insert_with(|| begun.elapsed());
        if let Delta::Text(piece) = delta? {
            text.push_str(&piece);
        }
    }
    let total = begun.elapsed();
    if text.trim().is_empty() {
        return Err(EngineError::refused(FailureReason::Empty, "the reply has no text"));
    }
    let remark = engine.remarks().into_iter().next();
    Ok(RequestTrial::Reply { text, first: first.unwrap_or(total), total, remark })
}

/// Has one word spoken.
///
/// # Errors
/// As of [`Tts::speak`], and of its stream.
pub async fn speak(engine: Arc<dyn Tts>) -> Result<RequestTrial, EngineError> {
    Ok(RequestTrial::Speech(tts::trial::run(&*engine, "Hello.", Voice::default()).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_response_is_doubted() {
        let after = |ms| RequestTrial::Transcript { total: Duration::from_millis(ms) };
        assert_eq!(after(1_500).doubt(), None);
        let (problem, remedy) = after(3_000).doubt().expect("callers notice");
        assert_eq!(problem, "callers wait 3.0 s for it");
        assert!(remedy.contains("nearer server"), "{remedy}");
    }
}
