//! A session with a live engine: its timeline and its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::link::{EngineLink, LinkEvent};
use super::{Protocol, SessionTimeline};
use crate::engines::core::retry::{Kind, Policy};
use crate::engines::core::usage::{Charge, Meter, Unit};
use crate::engines::core::{EngineError, FailureReason};
use crate::engines::stt::{Hints, SessionConfig, SttEvent, SttSession, Utterance};

/// The pause before the first repetition of a failed connect; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A connection that lasted this long is replaced without a pause.
const LASTING: Duration = Duration::from_secs(5);
/// After so many utterances in a row without words in time the engine is left alone for [`LONGEST_PAUSE`], so that the fallback
/// gets the next ones at once.
const MOST_STALLS: u32 = 2;

/// The connection opens with the session, and is replaced while the session lasts.
pub struct LiveSession {
    protocol: Arc<dyn Protocol>,
    policy: Policy,
    rate: u32,
    hints: Hints,
    meter: Meter,
    charge: Option<Charge>,
    timeline: Box<dyn SessionTimeline>,
    state: LinkState,
    /// Connections in a row that failed, or did not last.
    failures: u32,
    /// Utterances in a row without words in time.
    stalls: u32,
    timer: Pin<Box<Sleep>>,
}

enum LinkState {
    /// `since` is when it was connected, none before.
    Open { link: EngineLink, since: Option<Instant> },
    /// There is none until `retry_at`.
    Failed { error: EngineError, retry_at: Instant },
}

impl LiveSession {
    pub fn new(
        protocol: Arc<dyn Protocol>,
        policy: Policy,
        final_timeout: Duration,
        config: &SessionConfig,
    ) -> LiveSession {
        let (rate, hints) = (config.rate, config.hints.clone());
        let link = EngineLink::open(protocol.clone(), policy.clone(), rate, hints.clone());
        LiveSession {
            timeline: protocol.timeline(rate, final_timeout),
            protocol,
            policy,
            rate,
            hints,
            meter: config.meter.clone(),
            charge: None,
            state: LinkState::Open { link, since: None },
            failures: 0,
            stalls: 0,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    fn connect(&mut self) {
        let (protocol, policy) = (self.protocol.clone(), self.policy.clone());
        let link = EngineLink::open(protocol, policy, self.rate, self.hints.clone());
        self.state = LinkState::Open { link, since: None };
    }

    /// The connection is lost, or could not be opened.
    fn lost(&mut self, error: EngineError) {
        self.timeline.lost();
        let now = Instant::now();
        let lasted_for = match self.state {
            LinkState::Open { since: Some(since), .. } => Some(now - since),
            _ => None,
        };
        self.failures = if lasted_for >= Some(LASTING) { 0 } else { self.failures + 1 };
        let is_temporary = error.worth_retrying() || error.reason() == FailureReason::Limited;
        let pause = match is_temporary && self.stalls < MOST_STALLS {
            true if lasted_for.is_some() && self.failures <= 1 => Duration::ZERO,
            true => (FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(8) - 1)).min(LONGEST_PAUSE),
            false => LONGEST_PAUSE,
        };
        let engine = self.protocol.name();
        tracing::warn!(%engine, %error, again_in_ms = pause.as_millis() as u64, "no connection to the STT engine");
        if pause.is_zero() {
            return self.connect();
        }
        self.state = LinkState::Failed { error, retry_at: now + pause };
    }

    /// An utterance had no words in time. A connection that is being opened has limits of its own.
    fn stalled(&mut self) {
        if matches!(self.state, LinkState::Open { since: Some(_), .. }) {
            self.stalls += 1;
            self.lost(EngineError::Temporary("no words in time".into()));
        }
    }

    /// Takes an event of the connection. Returns whether there was one.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let LinkState::Open { link, since } = &mut self.state else { return false };
        let Poll::Ready(event) = link.events.poll_recv(cx) else { return false };
        match event {
            Some(LinkEvent::Connected) => {
                *since = Some(Instant::now());
                self.timeline.connected();
            }
            Some(LinkEvent::TranscriptEvent(heard)) => self.timeline.heard(heard),
            Some(LinkEvent::Lost(error)) => self.lost(error),
            None => self.lost(EngineError::Temporary("the connection's task broke off".into())),
        }
        true
    }

    /// Sends the frames that the connection has room for.
    fn send(&mut self, cx: &mut Context<'_>) {
        let LinkState::Open { link, .. } = &mut self.state else { return };
        while let Poll::Ready(Ok(())) = link.frames.poll_reserve(cx) {
            let frame = self.timeline.next_frame();
            let Some(frame) = frame else {
                link.frames.abort_send();
                break;
            };
            if link.frames.send_item(frame).is_err() {
                break;
            }
        }
        self.count();
    }

    /// Counts the audio that was sent, which is the audio that vendors charge for.
    fn count(&mut self) {
        let sent = self.timeline.sent_ms();
        if sent == 0 {
            return;
        }
        if self.charge.is_none() {
            let Ok(model) = self.protocol.model(&self.hints) else { return };
            self.charge = Some(self.meter.charge(Kind::Stt, self.protocol.name(), &model));
        }
        if let Some(charge) = &mut self.charge {
            charge.set(Unit::AudioMs, sent);
        }
    }

    /// Carries out what is due. Returns whether there was anything, and waits for the next deadline otherwise.
    fn tick(&mut self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        if self.timeline.expire(now) {
            self.stalled();
            return true;
        }
        if let LinkState::Failed { error, retry_at } = &self.state {
            if *retry_at <= now {
                self.connect();
                return true;
            }
            self.timeline.give_up(error);
        }
        let retry = match &self.state {
            LinkState::Failed { retry_at, .. } => Some(*retry_at),
            LinkState::Open { .. } => None,
        };
        let Some(next) = [self.timeline.deadline(), retry].into_iter().flatten().min() else { return false };
        self.timer.as_mut().reset(next);
        self.timer.as_mut().poll(cx).is_ready()
    }
}

impl SttSession for LiveSession {
    fn audio(&mut self, samples: &[i16]) {
        self.timeline.audio(samples);
    }

    fn begin(&mut self, utterance: Utterance, from: u64) {
        self.timeline.begin(utterance, from);
    }

    fn end(&mut self, utterance: Utterance, at: u64) {
        self.timeline.end(utterance, at, Instant::now());
    }

    fn cancel(&mut self, utterance: Utterance) {
        self.timeline.cancel(utterance);
    }

    fn forget(&mut self, position: u64) {
        self.timeline.forget(position);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SttEvent> {
        loop {
            self.send(cx);
            let mut is_busy = self.receive(cx);
            is_busy |= self.tick(cx);
            if let Some(event) = self.timeline.next_event() {
                if matches!(event, SttEvent::Final { .. } | SttEvent::TurnEnded { .. }) {
                    self.stalls = 0;
                }
                return Poll::Ready(event);
            }
            if !is_busy {
                return Poll::Pending;
            }
        }
    }
}
