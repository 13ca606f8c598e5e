//! The response to a transcription, in OpenAI's formats `json` and `verbose_json`.
//!
//! <https://platform.openai.com/docs/api-reference/audio/verbose-json-object>

use serde::Deserialize;

use super::noise::{Doubt, is_noise, without_remarks};
use crate::audio::Clip;
use crate::engines::core::usage::{Charge, Unit, readable};

/// The requested format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    Json,
    /// With the recogniser's judgement of each segment: words that it doubts are not taken for the caller's.
    VerboseJson,
}

impl ResponseFormat {
    /// OpenAI's models since `gpt-4o-transcribe` have `json` alone.
    pub fn of_model(model: &str) -> ResponseFormat {
        if model.starts_with("gpt-") { ResponseFormat::Json } else { ResponseFormat::VerboseJson }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            ResponseFormat::Json => "json",
            ResponseFormat::VerboseJson => "verbose_json",
        }
    }
}

#[derive(Deserialize)]
pub struct TranscriptionResponse {
    /// Null or empty when there are no words.
    #[serde(deserialize_with = "Option::deserialize")]
    text: Option<String>,
    /// Of `verbose_json`, and even there not of every server.
    #[serde(default, deserialize_with = "readable")]
    segments: Option<Vec<Segment>>,
    #[serde(default, deserialize_with = "readable")]
    usage: Option<VendorUsage>,
}

#[derive(Deserialize)]
struct Segment {
    text: String,
    no_speech_prob: Option<f64>,
    avg_logprob: Option<f64>,
}

impl Segment {
    fn doubt(&self) -> Option<Doubt> {
        Some(Doubt { no_speech: self.no_speech_prob?, words: self.avg_logprob })
    }
}

/// The billed quantity, where the vendor states it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum VendorUsage {
    Duration { seconds: f64 },
    Tokens { input_tokens: u64, output_tokens: u64 },
}

impl TranscriptionResponse {
    /// The caller's words in `clip`; empty when there are none.
    pub fn words(&self, clip: &Clip) -> String {
        let whole = self.text.as_deref().unwrap_or_default();
        let segments = self.segments.as_deref().unwrap_or_default();
        let is_kept = |segment: &Segment| !is_noise(&segment.text, segment.doubt(), clip);
        let (kept, dropped): (Vec<_>, Vec<_>) = segments.iter().partition(|segment| is_kept(segment));
        let words = match (segments.is_empty(), dropped.is_empty()) {
            (true, _) if is_noise(whole, None, clip) => String::new(),
            (_, true) => whole.to_owned(),
            // Some servers trim the text of segments.
            (_, false) => kept.iter().map(|segment| segment.text.trim()).collect::<Vec<_>>().join(" "),
        };
        without_remarks(&words)
    }

    /// Adds the quantity that the vendor states.
    pub fn count(&self, mut charge: Charge) {
        match self.usage {
            Some(VendorUsage::Duration { seconds }) if seconds > 0.0 => {
                charge.set(Unit::AudioMs, (seconds * 1_000.0).round() as u64);
            }
            Some(VendorUsage::Tokens { input_tokens, output_tokens }) => {
                charge.set(Unit::InputTokens, input_tokens);
                charge.set(Unit::OutputTokens, output_tokens);
            }
            Some(VendorUsage::Duration { .. }) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn words(response: Value) -> String {
        let response: TranscriptionResponse = serde_json::from_value(response).expect("a response");
        response.words(&Clip::new(8_000, vec![6_000; 8_000]))
    }

    #[test]
    fn doubtful_segments_are_left_out() {
        let segment = |text: &str, no_speech: f64| json!({ "text": text, "no_speech_prob": no_speech, "avg_logprob": -0.3 });
        let said = [segment(" What are your hours?", 0.02), segment(" Thanks for watching!", 0.9)];
        let trimmed = [segment("Hello.", 0.02), segment("Thank you.", 0.9), segment("Are you open?", 0.02)];
        assert_eq!(words(json!({ "text": "…", "segments": trimmed })), "Hello. Are you open?");
        let text = " What are your hours? Thanks for watching!";
        assert_eq!(words(json!({ "text": text, "segments": said })), "What are your hours?");
        assert_eq!(words(json!({ "text": " Thank you.", "segments": [segment(" Thank you.", 0.9)] })), "");
        assert_eq!(
            words(json!({ "text": " Thank you.", "segments": [segment(" Thank you.", 0.1)] })),
            "Thank you."
        );
    }

    #[test]
    fn responses_without_a_judgement_are_whole() {
        for segments in [json!(null), json!([]), json!("odd"), json!([{ "text": " Thank you." }])] {
            assert_eq!(
                words(json!({ "text": " Thank you.", "segments": segments })),
                "Thank you.",
                "{segments}"
            );
        }
        assert_eq!(words(json!({ "text": "[BLANK_AUDIO]" })), "");
        assert_eq!(words(json!({ "text": null })), "");
    }
}
