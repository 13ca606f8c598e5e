//! The usage of a session, in the units that OpenAI bills: tokens of text and of audio, those of the cache apart, and the time of
//! the audio that was transcribed.
//!
//! The server reports the tokens of a response at its end. Those of a response without an end, because the caller hangs up or the
//! connection is lost, stay as they are estimated: of text by its length, of audio by its duration.

use std::sync::Arc;

use serde_json::Value;

use super::VoiceEngine;
use super::events::{ClientEvent, TokenUsage};
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{Charge, Meter, Unit, characters, estimated_tokens};

/// Milliseconds of the caller's audio for a token, and of the agent's:
/// <https://developers.openai.com/api/docs/guides/realtime-costs>
const CALLER_TOKEN_MS: u64 = 100;
const AGENT_TOKEN_MS: u64 = 50;
/// More tokens than any response has: a count beyond it is an error.
const MOST_COUNTED: u64 = 1 << 32;

pub struct SessionUsage {
    engine: Arc<VoiceEngine>,
    meter: Meter,
    model: String,
    /// Of the model that transcribes.
    transcription: Option<Charge>,
    /// Characters of the items that were added as text. Deleted ones are not subtracted.
    added: u64,
    /// The caller's audio and the agent's that the server has, in milliseconds.
    caller_ms: u64,
    agent_ms: u64,
}

impl SessionUsage {
    pub fn new(engine: &Arc<VoiceEngine>, meter: Meter, model: String) -> SessionUsage {
        let engine = engine.clone();
        SessionUsage { engine, meter, model, transcription: None, added: 0, caller_ms: 0, agent_ms: 0 }
    }

    /// The usage of a response that is about to be requested, after these changes of the server's conversation. `settings` have its
    /// instructions and tools.
    pub fn response(&mut self, settings: &Value, changes: &[ClientEvent]) -> VoiceResponseUsage {
        let added = changes.iter().map(|change| match change {
            ClientEvent::CreateItem { item, .. } => characters(&item.to_string()),
            _ => 0,
        });
        self.added += added.sum::<u64>();
        VoiceResponseUsage {
            charge: self.meter.charge(Kind::Realtime, self.engine.name(), &self.model),
            read: estimated_tokens(characters(&settings.to_string()) + self.added),
            heard: self.caller_ms.div_ceil(CALLER_TOKEN_MS) + self.agent_ms.div_ceil(AGENT_TOKEN_MS),
            written: 0,
            spoken_ms: 0,
        }
    }

    /// So much audio was sent so far.
    pub fn audio_sent(&mut self, ms: u64) {
        if ms == 0 {
            return;
        }
        self.caller_ms = ms;
        let charge = self.transcription.get_or_insert_with(|| {
            self.meter.charge(Kind::Realtime, self.engine.name(), self.engine.transcription_model())
        });
        charge.set(Unit::AudioMs, ms);
    }

    /// A response is over.
    pub fn ended(&mut self, response: &VoiceResponseUsage) {
        self.agent_ms += response.spoken_ms;
    }
}

/// The usage of a response: as the server reports it, or else estimated.
pub struct VoiceResponseUsage {
    charge: Charge,
    /// Estimated tokens of the text and the audio that the model reads.
    read: u64,
    heard: u64,
    /// Characters that it has written so far, and milliseconds that it has spoken.
    written: u64,
    spoken_ms: u64,
}

impl VoiceResponseUsage {
    /// The server has begun the response.
    pub fn begun(&mut self) {
        self.charge.set(Unit::InputTokens, self.read);
        self.charge.set(Unit::AudioInputTokens, self.heard);
    }

    /// The model has written more. Returns the characters so far.
    pub fn wrote(&mut self, text: &str) -> u64 {
        self.written += characters(text);
        self.charge.set(Unit::OutputTokens, estimated_tokens(self.written));
        self.written
    }

    /// The model has spoken for so long.
    pub fn spoke(&mut self, ms: u64) {
        self.spoken_ms = ms;
        self.charge.set(Unit::AudioOutputTokens, ms.div_ceil(AGENT_TOKEN_MS));
    }

    /// The server's own counts, in place of the estimate. Counts that cannot be are ignored, and a usage without any.
    pub fn report(&mut self, usage: &TokenUsage) {
        let (input, output) = (usage.input_token_details, usage.output_token_details);
        let cached = input.cached_tokens_details;
        let counts = [
            (Unit::InputTokens, input.text_tokens.saturating_sub(cached.text_tokens)),
            (Unit::CachedInputTokens, cached.text_tokens),
            (Unit::AudioInputTokens, input.audio_tokens.saturating_sub(cached.audio_tokens)),
            (Unit::CachedAudioTokens, cached.audio_tokens),
            (Unit::OutputTokens, output.text_tokens),
            (Unit::AudioOutputTokens, output.audio_tokens),
        ];
        let is_known = counts.iter().any(|(_, count)| *count > 0);
        if is_known && counts.iter().all(|(_, count)| *count <= MOST_COUNTED) {
            counts.into_iter().for_each(|(unit, count)| self.charge.set(unit, count));
        }
    }
}
