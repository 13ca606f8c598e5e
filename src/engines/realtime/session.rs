//! A session with a model that hears and speaks: utterances and requests in, words and audio out.
//!
//! The server has one response at a time. A request that follows another one is sent when the one before it is over, and after the
//! changes of the server's conversation that it needs.

mod incoming;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep_until};

use super::events::ClientEvent;
use super::history::ServerHistory;
use super::link::{ConnectionEvent, SessionLink};
use super::response::{ResponseAudio, VoicePart};
use super::usage::{SessionUsage, VoiceResponseUsage};
use super::{VoiceEngine, VoiceTerms};
use crate::engines::core::EngineError;
use crate::engines::llm::{Prompt, ToolSpec};
use crate::engines::stt::items::CommittedItems;
use crate::engines::stt::live::timeline::UtteranceTimeline;
use crate::engines::stt::live::{Frame, SessionTimeline};
use crate::engines::stt::realtime::SessionEncoder;
use crate::engines::stt::{SttEvent, Utterance};

/// Responses that can still be cut: those of a turn with tools.
const KEPT: usize = 8;

/// One request to the model, by the owner's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseKey(pub u32);

/// An event of the session.
#[derive(Debug, PartialEq)]
pub enum VoiceEvent {
    Recognised(SttEvent),
    Response {
        key: ResponseKey,
        part: VoicePart,
    },
    /// The last event: the session cannot go on.
    Failed(EngineError),
}

/// The session of a call. The owner calls [`VoiceSession::poll_event`] again after every other method. Memory is bounded as for an
/// STT session; the events are to be read.
pub struct VoiceSession {
    engine: Arc<VoiceEngine>,
    rate: u32,
    state: SessionState,
    timeline: UtteranceTimeline,
    items: CommittedItems,
    encoder: SessionEncoder,
    history: ServerHistory,
    /// The instructions and tools that the server has.
    settings: Value,
    next: Option<(ResponseKey, Prompt)>,
    active: Option<ActiveResponse>,
    /// The audio of the latest responses, oldest first.
    spoken: VecDeque<ResponseAudio>,
    outgoing: VecDeque<ClientEvent>,
    events: VecDeque<VoiceEvent>,
    timer: Pin<Box<Sleep>>,
    usage: SessionUsage,
}

enum SessionState {
    Connecting(SessionLink),
    Open(SessionLink),
    Failed,
}

/// The response that the server works on.
struct ActiveResponse {
    key: ResponseKey,
    /// The server's id, once it is known.
    id: Option<String>,
    tools: Arc<[ToolSpec]>,
    stage: ResponseStage,
    /// When it has stalled.
    deadline: Instant,
    usage: VoiceResponseUsage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ResponseStage {
    Wanted,
    /// Its end is awaited, and nothing of it is reported.
    Cancelled,
}

impl VoiceSession {
    /// `link` is a connection that is being opened for a model, or why there is none.
    pub(super) fn new(
        engine: &Arc<VoiceEngine>,
        terms: &VoiceTerms,
        link: Result<(SessionLink, String), EngineError>,
    ) -> VoiceSession {
        let rate = terms.rate;
        let (state, model, events) = match link {
            Ok((link, model)) => (SessionState::Connecting(link), model, VecDeque::new()),
            Err(error) => (SessionState::Failed, String::new(), VecDeque::from([VoiceEvent::Failed(error)])),
        };
        VoiceSession {
            engine: engine.clone(),
            rate,
            state,
            timeline: UtteranceTimeline::new(rate, engine.final_timeout()),
            items: CommittedItems::default(),
            encoder: SessionEncoder::new(rate),
            history: ServerHistory::default(),
            settings: Value::Null,
            next: None,
            active: None,
            spoken: VecDeque::new(),
            outgoing: VecDeque::new(),
            events,
            timer: Box::pin(sleep_until(Instant::now())),
            usage: SessionUsage::new(engine, terms.meter.clone(), model),
        }
    }

    /// The next samples of the caller, silence included.
    pub fn audio(&mut self, samples: &[i16]) {
        self.timeline.audio(samples);
    }

    /// An utterance begins at a position of the audio.
    pub fn begin(&mut self, utterance: Utterance, from: u64) {
        self.timeline.begin(utterance, from);
    }

    /// It ends at a position: its words are wanted.
    pub fn end(&mut self, utterance: Utterance, at: u64) {
        self.timeline.end(utterance, at, Instant::now());
    }

    pub fn cancel(&mut self, utterance: Utterance) {
        self.timeline.cancel(utterance);
        self.events.retain(
            |event| !matches!(event, VoiceEvent::Recognised(SttEvent::Final { utterance: of, .. }) if *of == utterance),
        );
    }

    /// Audio before a position is not needed any more, except by utterances that have begun.
    pub fn forget(&mut self, position: u64) {
        self.timeline.forget(position);
    }

    /// Asks for a response to a prompt. A response in progress is stopped.
    pub fn respond(&mut self, key: ResponseKey, prompt: Prompt) {
        self.stop_active();
        self.next = Some((key, prompt));
        self.advance();
    }

    /// A response is not wanted any more. `heard` of its audio were played.
    pub fn stop(&mut self, key: ResponseKey, heard: Duration) {
        self.next.take_if(|(next, _)| *next == key);
        self.events.retain(|event| !matches!(event, VoiceEvent::Response { key: of, .. } if *of == key));
        let goes_on = self.active.as_ref().is_some_and(|active| active.key == key);
        if goes_on {
            self.stop_active();
        }
        if let Some(place) = self.spoken.iter().position(|audio| audio.key == key)
            && let Some(audio) = self.spoken.remove(place)
        {
            self.outgoing.extend(audio.cut(heard, goes_on));
        }
    }

    /// The next event.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<VoiceEvent> {
        loop {
            self.send(cx);
            let mut is_busy = self.receive(cx);
            is_busy |= self.tick(cx);
            self.report_words();
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            if !is_busy {
                return Poll::Pending;
            }
        }
    }

    fn stop_active(&mut self) {
        let Some(active) = self.active.as_mut().filter(|it| it.stage == ResponseStage::Wanted) else {
            return;
        };
        active.stage = ResponseStage::Cancelled;
        active.deadline = Instant::now() + self.engine.response_timeout();
        self.outgoing.push_back(ClientEvent::Cancel);
    }

    /// Sends the next request, unless the server is still busy with another one.
    fn advance(&mut self) {
        if self.active.is_some() || !matches!(self.state, SessionState::Open(_)) {
            return;
        }
        let Some((key, prompt)) = self.next.take() else { return };
        let settings = self.engine.response_settings(&prompt);
        if settings != self.settings {
            self.settings.clone_from(&settings);
            self.outgoing.push_back(ClientEvent::Update(settings));
        }
        let changes = self.history.follow(&prompt.messages);
        let usage = self.usage.response(&self.settings, &changes);
        self.outgoing.extend(changes);
        self.outgoing.push_back(ClientEvent::Respond);
        if self.spoken.len() == KEPT {
            self.spoken.pop_front();
        }
        self.spoken.push_back(ResponseAudio::new(key, self.rate));
        self.active = Some(ActiveResponse {
            key,
            id: None,
            tools: prompt.tools,
            stage: ResponseStage::Wanted,
            deadline: Instant::now() + self.engine.response_timeout(),
            usage,
        });
    }

    /// Sends the events that the connection has room for.
    fn send(&mut self, cx: &mut Context<'_>) {
        let SessionState::Open(link) = &mut self.state else { return };
        while let Poll::Ready(Ok(())) = link.outgoing.poll_reserve(cx) {
            let event = self.outgoing.pop_front().or_else(|| {
                self.timeline.next_frame().map(|frame| match frame {
                    Frame::Audio(samples) => ClientEvent::Append(self.encoder.encode(&samples)),
                    Frame::Commit => ClientEvent::Commit,
                })
            });
            let Some(event) = event else {
                link.outgoing.abort_send();
                break;
            };
            if link.outgoing.send_item(event).is_err() {
                break;
            }
        }
        self.usage.audio_sent(self.timeline.sent_ms());
    }

    /// Takes an event of the connection. Returns whether there was one.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let (SessionState::Connecting(link) | SessionState::Open(link)) = &mut self.state else {
            return false;
        };
        let Poll::Ready(event) = link.events.poll_recv(cx) else { return false };
        match event {
            Some(ConnectionEvent::Connected) => self.connected(),
            Some(ConnectionEvent::Server(event)) => {
                if let Err(error) = self.take(event) {
                    self.fail(error);
                }
            }
            Some(ConnectionEvent::Lost(error)) => self.fail(error),
            None => self.fail(EngineError::Temporary("the connection's task broke off".into())),
        }
        true
    }

    fn connected(&mut self) {
        if let SessionState::Connecting(link) = std::mem::replace(&mut self.state, SessionState::Failed) {
            self.state = SessionState::Open(link);
        }
        self.timeline.connected();
        self.advance();
    }

    fn fail(&mut self, error: EngineError) {
        match std::mem::replace(&mut self.state, SessionState::Failed) {
            SessionState::Failed => return,
            // The policy has counted a connection that was not opened.
            SessionState::Connecting(_) => {}
            SessionState::Open(_) => self.engine.policy().session_broke(&error),
        }
        self.events.push_back(VoiceEvent::Failed(error));
    }

    /// Reports the words that are known, unless the utterances are handed over.
    fn report_words(&mut self) {
        while let Some(event) = self.timeline.next_event() {
            let is_reported =
                !matches!(self.state, SessionState::Failed) && !matches!(event, SttEvent::Partial { .. });
            self.events.extend(is_reported.then_some(VoiceEvent::Recognised(event)));
        }
    }

    /// Carries out what is due. Returns whether there was anything, and waits for the next deadline otherwise.
    fn tick(&mut self, cx: &mut Context<'_>) -> bool {
        if matches!(self.state, SessionState::Failed) {
            return false;
        }
        let now = Instant::now();
        let response_deadline = self.active.as_ref().map(|active| active.deadline);
        let stalled = if self.timeline.expire(now) {
            Some(self.engine.final_timeout())
        } else {
            response_deadline.filter(|deadline| *deadline <= now).map(|_| self.engine.response_timeout())
        };
        if let Some(limit) = stalled {
            self.fail(EngineError::Timeout(limit));
            return true;
        }
        let deadlines = [self.timeline.deadline(), response_deadline];
        let Some(next) = deadlines.into_iter().flatten().min() else { return false };
        self.timer.as_mut().reset(next);
        self.timer.as_mut().poll(cx).is_ready()
    }
}

#[cfg(test)]
mod tests;
