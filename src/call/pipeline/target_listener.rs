//! The recognition of the words of a transfer's target, by the engine of the call's agent and apart from the caller's.

use std::future::poll_fn;
use std::sync::Arc;

use tracing::warn;

use super::EngineFault;
use crate::engines::stt::{SessionConfig, Stt, SttEvent, SttSession, Utterance};
use crate::language::{Acceptance, Language};
use crate::tenancy::EngineKind;

/// Listens to a target from when it has the call's media. Positions are those in the call's audio.
pub struct TargetListener {
    engine: Arc<str>,
    session: Box<dyn SttSession>,
    /// The position at which the session began.
    from: u64,
    language: &'static Language,
    /// The latest utterance.
    utterance: Utterance,
}

/// The words of an answer to the question whether the target takes the call.
#[derive(Debug, PartialEq, Eq)]
pub enum TargetAnswer {
    /// `None` in doubt.
    Words(Option<Acceptance>),
    Failed(EngineFault),
}

impl TargetListener {
    pub(super) fn new(
        engine: &dyn Stt,
        config: SessionConfig,
        from: u64,
        language: &'static Language,
    ) -> TargetListener {
        let session = engine.open(config);
        TargetListener { engine: engine.name().clone(), session, from, language, utterance: Utterance(0) }
    }

    /// The next samples of the target, silence included.
    pub fn audio(&mut self, samples: &[i16]) {
        self.session.audio(samples);
    }

    /// An answer begins.
    pub fn begin(&mut self, from: u64) {
        self.utterance = Utterance(self.utterance.0 + 1);
        self.session.begin(self.utterance, from.saturating_sub(self.from));
    }

    /// It ends: its words follow.
    pub fn end(&mut self, to: u64) {
        self.session.end(self.utterance, to.saturating_sub(self.from));
    }

    /// It is none.
    pub fn cancel(&mut self) {
        self.session.cancel(self.utterance);
    }

    /// Waits for the words of an answer. Dropping the future loses none.
    pub async fn next(&mut self) -> TargetAnswer {
        loop {
            match poll_fn(|cx| self.session.poll_event(cx)).await {
                SttEvent::Final { utterance, text } | SttEvent::TurnEnded { utterance, text }
                    if utterance == self.utterance =>
                {
                    return TargetAnswer::Words(self.language.consent(&text));
                }
                SttEvent::Failed { utterance, error } if utterance == self.utterance => {
                    let engine = self.engine.clone();
                    warn!(%error, %engine, "no transcript of a target's answer");
                    return TargetAnswer::Failed(EngineFault { kind: EngineKind::Stt, engine, error });
                }
                _ => {}
            }
        }
    }
}
