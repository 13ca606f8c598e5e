//! One short speech for a test of an engine.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use super::{Tts, Voice};
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;

/// A text for trials.
pub const TRIAL: &str = "One, two.";

/// A speech that was synthesised and not played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpeechTrial {
    /// Samples a second.
    pub rate: u32,
    /// The length of the speech.
    pub length: Duration,
    /// The time until the first samples.
    pub first: Duration,
    /// The time until the last ones.
    pub total: Duration,
}

impl fmt::Display for SpeechTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SpeechTrial { rate, length, first, total } = self;
        write!(
            f,
            "{rate} Hz, spoke {:.1} s in {} ms, the first samples after {} ms",
            length.as_secs_f64(),
            total.as_millis(),
            first.as_millis()
        )
    }
}

/// Has `text` spoken.
///
/// # Errors
/// As of [`Tts::speak`]; and Permanent when the speech has no samples.
pub async fn run(engine: &dyn Tts, text: &str, voice: Voice) -> Result<SpeechTrial, EngineError> {
    let begun = Instant::now();
    let mut pieces = engine.speak(text.into(), voice, Meter::default()).await?;
    let mut trial: Option<SpeechTrial> = None;
    while let Some(clip) = pieces.next().await {
        let clip = clip?;
        let new = SpeechTrial {
            rate: clip.rate,
            length: Duration::ZERO,
            first: begun.elapsed(),
            total: Duration::ZERO,
        };
        trial.get_or_insert(new).length += clip.duration();
    }
    let trial = trial.ok_or_else(|| EngineError::Permanent("the speech has no samples".into()))?;
    Ok(SpeechTrial { total: begun.elapsed(), ..trial })
}
