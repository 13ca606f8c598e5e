//! One short response for a test of an engine.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{ResponseKey, VoiceEngine, VoiceEvent, VoicePart, VoiceTerms};
use crate::engines::core::{EngineError, FailureReason};
use crate::engines::llm::{Message, Prompt};

/// The longest response of a trial, in tokens of text.
const TRIAL_TOKENS: u32 = 32;

/// A response that was not played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceTrial {
    /// Its words.
    pub text: String,
    /// The time until the first samples.
    pub first: Duration,
    /// The time until the end.
    pub total: Duration,
}

/// Has the engine answer a question, which is written.
///
/// # Errors
/// The engine's; or the response has no sound.
pub async fn run(engine: &Arc<VoiceEngine>) -> Result<VoiceTrial, EngineError> {
    let mut session = engine.open(&VoiceTerms { rate: 8_000, ..VoiceTerms::default() });
    let prompt = Prompt {
        system: "You answer the telephone. Answer in one word.".into(),
        messages: vec![Message::Caller("Can you hear me?".into())],
        max_tokens: Some(TRIAL_TOKENS),
        ..Prompt::default()
    };
    let begun = Instant::now();
    session.respond(ResponseKey(1), prompt);
    let (mut text, mut first) = (String::new(), None);
    loop {
        match poll_fn(|cx| session.poll_event(cx)).await {
            VoiceEvent::Failed(error) => return Err(error),
            VoiceEvent::Response { part: VoicePart::End, .. } => break,
            VoiceEvent::Response { part: VoicePart::Words(words), .. } => text.push_str(&words),
            VoiceEvent::Response { part: VoicePart::Audio(_), .. } => {
                first.get_or_insert_with(|| begun.elapsed());
            }
            VoiceEvent::Response { .. } | VoiceEvent::Recognised(_) => {}
        }
    }
    let first = first.ok_or_else(|| EngineError::refused(FailureReason::Empty, "the reply has no sound"))?;
    Ok(VoiceTrial { text, first, total: begun.elapsed() })
}
