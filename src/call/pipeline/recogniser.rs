//! The recognition of a call's utterances, by one session after the other: another agent may have another engine or language.
//!
//! A new session is opened at once and hears the caller from then on. The session before it keeps the utterances that it has
//! begun, and is dropped with the last of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::conversation::{Recognition, UtteranceId};
use crate::engines::core::EngineError;
use crate::engines::stt::{SessionConfig, Stt, SttEvent, SttSession, Utterance};

/// The sessions. Positions are those in the call's audio.
pub struct Recogniser {
    current: PlacedSession,
    /// It takes over as soon as the current one has no utterances.
    next: Option<PlacedSession>,
    /// Utterances of the current session without their last event.
    pending: BTreeSet<Utterance>,
    /// Samples of the call so far.
    end: u64,
}

/// A session that began at a position of the call's audio.
struct PlacedSession {
    /// The name of its engine.
    engine: Arc<str>,
    session: Box<dyn SttSession>,
    from: u64,
}

impl Recogniser {
    /// Opens the first session of a call.
    pub fn new(engine: &dyn Stt, config: SessionConfig) -> Recogniser {
        let current = PlacedSession::open(engine, config, 0);
        Recogniser { current, next: None, pending: BTreeSet::new(), end: 0 }
    }

    /// Opens a session that recognises the utterances from now on.
    pub fn replace(&mut self, engine: &dyn Stt, config: SessionConfig) {
        self.next = Some(PlacedSession::open(engine, config, self.end));
        self.advance();
    }

    pub fn audio(&mut self, samples: &[i16]) {
        self.end += samples.len() as u64;
        self.current.session.audio(samples);
        if let Some(next) = &mut self.next {
            next.session.audio(samples);
        }
    }

    pub fn begin(&mut self, utterance: Utterance, from: u64) {
        self.pending.insert(utterance);
        self.current.session.begin(utterance, self.current.place(from));
    }

    pub fn end(&mut self, utterance: Utterance, at: u64) {
        self.current.session.end(utterance, self.current.place(at));
    }

    pub fn cancel(&mut self, utterance: Utterance) {
        self.current.session.cancel(utterance);
        self.pending.remove(&utterance);
        self.advance();
    }

    pub fn forget(&mut self, position: u64) {
        for placed in [Some(&mut self.current), self.next.as_mut()].into_iter().flatten() {
            placed.session.forget(placed.place(position));
        }
    }

    /// The next event, with the name of its engine.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(SttEvent, Arc<str>)> {
        let event = ready!(self.current.session.poll_event(cx));
        let engine = self.current.engine.clone();
        if event.is_last() {
            self.pending.remove(&event.utterance());
            self.advance();
        }
        Poll::Ready((event, engine))
    }

    fn advance(&mut self) {
        if self.pending.is_empty()
            && let Some(next) = self.next.take()
        {
            self.current = next;
        }
    }
}

impl PlacedSession {
    fn open(engine: &dyn Stt, config: SessionConfig, from: u64) -> PlacedSession {
        PlacedSession { engine: engine.name().clone(), session: engine.open(config), from }
    }

    /// A position of the call's audio in that of the session; its beginning for an earlier one.
    fn place(&self, position: u64) -> u64 {
        position.saturating_sub(self.from)
    }
}

/// The event of a session for the conversation, or the engine's failure.
pub fn recognition(event: SttEvent) -> (UtteranceId, Result<Recognition, EngineError>) {
    let Utterance(utterance) = event.utterance();
    let recognition = match event {
        SttEvent::Partial { text, .. } => Ok(Recognition::Partial { text }),
        SttEvent::TurnStarted { text, .. } => Ok(Recognition::TurnStarted { text }),
        SttEvent::TurnMayEnd { text, .. } => Ok(Recognition::TurnMayEnd { text }),
        SttEvent::TurnResumed { text, .. } => Ok(Recognition::TurnResumed { text }),
        SttEvent::TurnEnded { text, .. } => Ok(Recognition::TurnEnded { text }),
        SttEvent::Final { text, .. } => Ok(Recognition::Final { text }),
        SttEvent::Failed { error, .. } => Err(error),
    };
    (UtteranceId(utterance), recognition)
}
