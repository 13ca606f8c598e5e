//! A live session with another engine, which transcribes the utterances on which the live engine fails.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::session::LiveSession;
use crate::engines::core::EngineError;
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::Meter;
use crate::engines::stt::{
    Buffered, Hints, Resilient, SessionConfig, Stt, SttEvent, SttSession, Transcriber, Utterance,
};

/// Keeps the audio of the utterances of which the words are not known.
pub struct WithFallback {
    live: LiveSession,
    fallback: Box<dyn SttSession>,
    engine: Arc<str>,
    /// The name of the fallback, where it has none of its own.
    served_by: Option<Arc<str>>,
    meter: Meter,
    /// Seconds are converted to samples by it.
    rate: u32,
    utterances: Vec<FallbackUtterance>,
}

struct FallbackUtterance {
    utterance: Utterance,
    from: u64,
    /// Its end, when it has ended.
    at: Option<u64>,
    /// Why the live engine failed.
    failure: Option<EngineError>,
}

impl WithFallback {
    pub fn new(
        live: LiveSession,
        fallback: Resilient,
        engine: Arc<str>,
        config: SessionConfig,
    ) -> WithFallback {
        let (rate, meter) = (config.rate, config.meter.clone());
        // A model's name means nothing to another engine.
        let hints = Hints { model: None, ..config.hints.clone() };
        let served_by = fallback.is_alone().then(|| fallback.name().clone());
        let fallback = Buffered::new(fallback).open(SessionConfig { hints, ..config });
        WithFallback { live, fallback, engine, served_by, meter, rate, utterances: Vec::new() }
    }

    /// The live engine failed: the fallback gets the clip. Returns whether there is one.
    fn hand_over(&mut self, utterance: Utterance, error: EngineError) -> bool {
        let pending = self.utterances.iter_mut().find(|it| it.utterance == utterance);
        let Some((pending, at)) = pending.and_then(|it| it.at.map(|at| (it, at))) else { return false };
        pending.failure = Some(error);
        self.fallback.begin(utterance, pending.from);
        self.fallback.end(utterance, at);
        true
    }

    fn remove(&mut self, utterance: Utterance) -> Option<FallbackUtterance> {
        let index = self.utterances.iter().position(|it| it.utterance == utterance)?;
        Some(self.utterances.remove(index))
    }

    /// Passes on an event of the fallback.
    fn answered(&mut self, event: SttEvent) -> SttEvent {
        match &event {
            SttEvent::Final { utterance, .. } => {
                if let Some(error) = self.remove(*utterance).and_then(|it| it.failure) {
                    self.meter.covered.add(Kind::Stt, &self.engine, &error, self.served_by.as_ref());
                }
            }
            SttEvent::Failed { utterance, .. } => drop(self.remove(*utterance)),
            _ => {}
        }
        event
    }
}

impl SttSession for WithFallback {
    fn audio(&mut self, samples: &[i16]) {
        self.live.audio(samples);
        self.fallback.audio(samples);
    }

    fn begin(&mut self, utterance: Utterance, from: u64) {
        self.live.begin(utterance, from);
        // One that has not ended is replaced.
        self.utterances.retain(|it| it.at.is_some());
        self.utterances.push(FallbackUtterance { utterance, from, at: None, failure: None });
    }

    fn end(&mut self, utterance: Utterance, at: u64) {
        self.live.end(utterance, at);
        if let Some(pending) = self.utterances.iter_mut().find(|it| it.utterance == utterance) {
            pending.at = pending.at.or(Some(at));
        }
    }

    fn cancel(&mut self, utterance: Utterance) {
        self.live.cancel(utterance);
        self.fallback.cancel(utterance);
        self.remove(utterance);
    }

    fn forget(&mut self, position: u64) {
        self.live.forget(position);
        let oldest = self.utterances.iter().map(|it| it.from.saturating_sub(u64::from(self.rate))).min();
        self.fallback.forget(oldest.map_or(position, |oldest| oldest.min(position)));
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SttEvent> {
        loop {
            if let Poll::Ready(event) = self.fallback.poll_event(cx) {
                return Poll::Ready(self.answered(event));
            }
            let Poll::Ready(event) = self.live.poll_event(cx) else { return Poll::Pending };
            match event {
                SttEvent::Failed { utterance, error } => {
                    if !self.hand_over(utterance, error.clone()) {
                        self.remove(utterance);
                        return Poll::Ready(SttEvent::Failed { utterance, error });
                    }
                }
                event => {
                    if event.is_last() {
                        self.remove(event.utterance());
                    }
                    return Poll::Ready(event);
                }
            }
        }
    }
}
