//! The usage of a session, in the units that OpenAI bills: tokens of text and of audio, those of the cache apart, and the time of
//! the audio that was transcribed.

use std::sync::Arc;

use super::VoiceEngine;
use super::events::TokenUsage;
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::{Charge, Meter, Unit};

pub struct SessionUsage {
    engine: Arc<VoiceEngine>,
    meter: Meter,
    model: String,
    /// Of the model that transcribes.
    transcription: Option<Charge>,
}

impl SessionUsage {
    pub fn new(engine: &Arc<VoiceEngine>, meter: Meter, model: String) -> SessionUsage {
        SessionUsage { engine: engine.clone(), meter, model, transcription: None }
    }

    /// The charge for a response that is about to be requested.
    pub fn response(&self) -> Charge {
        self.meter.charge(Kind::Realtime, self.engine.name(), &self.model)
    }

    /// So much audio was sent so far.
    pub fn audio_sent(&mut self, ms: u64) {
        if ms == 0 {
            return;
        }
        let charge = self.transcription.get_or_insert_with(|| {
            self.meter.charge(Kind::Realtime, self.engine.name(), self.engine.transcription_model())
        });
        charge.set(Unit::AudioMs, ms);
    }
}

impl TokenUsage {
    /// Adds the tokens to the charge of their response.
    pub fn charge(&self, charge: &mut Charge) {
        let (input, output) = (self.input_token_details, self.output_token_details);
        let cached = input.cached_tokens_details;
        for (unit, tokens) in [
            (Unit::InputTokens, input.text_tokens.saturating_sub(cached.text_tokens)),
            (Unit::CachedInputTokens, cached.text_tokens),
            (Unit::AudioInputTokens, input.audio_tokens.saturating_sub(cached.audio_tokens)),
            (Unit::CachedAudioTokens, cached.audio_tokens),
            (Unit::OutputTokens, output.text_tokens),
            (Unit::AudioOutputTokens, output.audio_tokens),
        ] {
            charge.set(unit, tokens);
        }
    }
}
