//! The recognition of the words of a transfer's party, by the engine of the call's agent and apart from the conversation.

use std::future::poll_fn;
use std::sync::Arc;

use tracing::warn;

use super::EngineFault;
use crate::engines::stt::{SessionConfig, Stt, SttEvent, SttSession, Utterance};
use crate::tenancy::EngineKind;

/// Listens to a party from when it has the call's media. Positions are those in the call's audio.
pub struct PartyListener {
    engine: Arc<str>,
    session: Box<dyn SttSession>,
    /// The position at which the session began.
    from: u64,
    /// The samples since then.
    heard: u64,
    /// The latest utterance.
    utterance: Utterance,
}

/// The words of an utterance.
#[derive(Debug, PartialEq, Eq)]
pub enum PartyWords {
    Words(String),
    Failed(EngineFault),
}

impl PartyListener {
    pub(in crate::call) fn new(engine: &dyn Stt, config: SessionConfig, from: u64) -> PartyListener {
        let session = engine.open(config);
        PartyListener { engine: engine.name().clone(), session, from, heard: 0, utterance: Utterance(0) }
    }

    /// The position after the samples so far.
    pub fn position(&self) -> u64 {
        self.from + self.heard
    }

    /// The latest utterance that has begun.
    pub fn latest(&self) -> Utterance {
        self.utterance
    }

    /// The next samples of the party, silence included.
    pub fn audio(&mut self, samples: &[i16]) {
        self.heard += samples.len() as u64;
        self.session.audio(samples);
    }

    /// An utterance begins.
    pub fn begin(&mut self, from: u64) {
        self.utterance = Utterance(self.utterance.0 + 1);
        self.session.begin(self.utterance, from.saturating_sub(self.from));
    }

    /// It ends: its words follow.
    pub fn end(&mut self, to: u64) {
        self.session.end(self.utterance, to.saturating_sub(self.from));
    }

    /// Its words are of no use.
    pub fn cancel(&mut self) {
        self.session.cancel(self.utterance);
    }

    /// Waits for the words of the latest utterance. Dropping the future loses none.
    pub async fn next(&mut self) -> PartyWords {
        loop {
            let (utterance, words) = self.next_of_any().await;
            if utterance == self.utterance {
                return words;
            }
        }
    }

    /// Waits for the words of any utterance. Dropping the future loses none.
    pub async fn next_of_any(&mut self) -> (Utterance, PartyWords) {
        loop {
            match poll_fn(|cx| self.session.poll_event(cx)).await {
                SttEvent::Final { utterance, text } | SttEvent::TurnEnded { utterance, text } => {
                    return (utterance, PartyWords::Words(text));
                }
                SttEvent::Failed { utterance, error } => {
                    let engine = self.engine.clone();
                    warn!(%error, %engine, "no transcript of the words of a transfer's party");
                    let fault = EngineFault { kind: EngineKind::Stt, engine, error };
                    return (utterance, PartyWords::Failed(fault));
                }
                _ => {}
            }
        }
    }
}
