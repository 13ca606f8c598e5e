//! One call in Asterisk, from the ring until its last object is gone.
//!
//! An admitted call gets an external-media channel and a bridge, both requested at once; caller and media join the
//! bridge; the call is answered last, so that the greeting can start with the answer. However and whenever the
//! call ends, nothing remains: its objects are deleted, late ones as soon as they exist, and those that cannot be
//! deleted are reported.
//!
//! The contract: after every [`Bridging::handle`], and with [`Input::Tick`] at [`Bridging::deadline`], the driver
//! drains [`Bridging::poll`] fully; it returns the result of every [`Output::Send`] with one [`Input::Answer`].
//! Reads no clock, sends nothing itself, and contains neither tenants nor samples.

mod thing;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::answer::{AriError, Continuity, ExternalMedia, Inventory};
use super::event::Event;
use super::ids::{BridgeId, ChannelId};
use super::request::{NewMedia, Reason, Request};
use thing::Thing;

/// A teardown that takes longer is given up, and what is left is reported.
const TEARDOWN_LIMIT: Duration = Duration::from_secs(30);
/// A channel that cannot enter the bridge is on its way in or out of the application: look again after this.
const JOIN_PAUSE: Duration = Duration::from_millis(50);
const JOIN_ATTEMPTS: u32 = 4;
/// A caller's former channel is hung up after this: by then another one has replaced it in the bridge, and a party
/// that transferred the call has hung up itself.
const FORMER_PAUSE: Duration = Duration::from_secs(1);

/// The channel variable with which the dialplan learns why it continues with a caller.
pub const STATUS_VARIABLE: &str = "VCA_STATUS";

/// Names a request and its answer, within one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

/// An event, or the result of a request.
#[derive(Debug, Clone)]
pub enum Input {
    /// The call is let in: `external_host` is our socket as Asterisk reaches it, `format` its codec there.
    Admit { external_host: SocketAddr, format: String },
    /// The call has to end. Before the answer this refuses it, and the reason decides the SIP status.
    HangUp { reason: Reason },
    /// The call has to end here, and the dialplan continues with the caller; [`STATUS_VARIABLE`] has the reason. A
    /// caller who cannot be returned is refused with `reason`.
    GiveBack { status: &'static str, reason: Reason },
    /// Something happened to a channel or bridge; those of other calls are passed over.
    Event(Event),
    /// The result of [`Output::Send`].
    Answer { id: RequestId, result: Result<Value, AriError> },
    /// The event WebSocket was lost and is back; this is what there is now.
    Reconciled(Arc<Inventory>),
    /// Nothing but time passed.
    Tick,
}

/// A request to send, or an event for the call.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Send {
        id: RequestId,
        request: Request,
    },
    /// The call is answered and its media flows. `peer` is the only address that RTP is taken from.
    Ready {
        peer: SocketAddr,
    },
    /// The call is over, for this reason; its teardown begins. Comes exactly once.
    Ended(End),
    /// These channels and bridges could not be deleted.
    Leaked {
        channels: Vec<ChannelId>,
        bridges: Vec<BridgeId>,
    },
    /// The last output: nothing is left to do.
    Done,
}

/// Why a call is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The caller hung up, or the channel left the application. `cause` is a Q.850 code and `sip_status` that of the
    /// SIP call, where Asterisk reports them.
    CallerLeft {
        cause: Option<u16>,
        sip_status: Option<u16>,
    },
    /// [`Input::HangUp`] or [`Input::GiveBack`].
    HungUp(Reason),
    /// Asterisk was asked for the end of the caller's channel, by an operator or another program.
    HungUpInAsterisk {
        cause: Option<u16>,
    },
    /// Asterisk was restarted, and the call ended with it.
    AsteriskLost,
    Failed(Failure),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the call was not set up in time: it hung in {0:?}")]
    Deadline(Stage),
    #[error("{stage:?} failed: {error}")]
    Step { stage: Stage, error: AriError },
    #[error("Asterisk ended the call's external-media channel")]
    MediaLost,
    #[error("the call's bridge was destroyed")]
    BridgeLost,
}

/// The progress of a call's set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits for [`Input::Admit`].
    Admission,
    Creation,
    Joining,
    Answering,
}

/// The machine. Dropping it before [`Output::Done`] leaves things in Asterisk.
#[derive(Debug)]
pub struct Bridging {
    app: String,
    born: Instant,
    /// Sets the reason that the caller's device is given.
    reason: Reason,
    /// The status for the dialplan when it gets the caller back. Otherwise the caller is hung up.
    back: Option<&'static str>,
    phase: Phase,
    caller: Thing<ChannelId>,
    /// The channel that the caller had before, and when it is hung up. Without that it might stay in the
    /// application, out of the bridge, for ever.
    former: Option<(Instant, ChannelId)>,
    media: Thing<ChannelId>,
    bridge: Thing<BridgeId>,
    /// The source of Asterisk's RTP, once it is known.
    peer: Option<SocketAddr>,
    /// The external-media channel is in the application's hands and can be moved.
    entered: bool,
    pending: Vec<(RequestId, SetUpStep)>,
    requests: u32,
    outputs: VecDeque<Output>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    SetUp { stage: Stage, until: Instant, join: Join },
    Up { since: Instant },
    Ending { until: Instant },
    Done,
}

/// How often the bridge was tried, and when it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Join {
    attempts: u32,
    again: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetUpStep {
    CreateMedia,
    CreateBridge,
    Join,
    Answer,
    /// Tells the dialplan why it gets the caller back.
    Explain,
    GiveBack,
    Dismiss,
    Delete(BridgingPart),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BridgingPart {
    Caller,
    Media,
    Bridge,
}

impl Bridging {
    /// A call that rings as channel `caller`. It has `set_up` until it is answered, admission included.
    pub fn new(now: Instant, call_id: &str, caller: ChannelId, app: &str, set_up: Duration) -> Bridging {
        Bridging {
            app: app.to_owned(),
            born: now,
            reason: Reason::Congestion,
            back: None,
            phase: Phase::SetUp { stage: Stage::Admission, until: now + set_up, join: Join::default() },
            caller: Thing::present(caller),
            former: None,
            media: Thing::absent(media_id(call_id)),
            bridge: Thing::absent(bridge_id(call_id)),
            peer: None,
            entered: false,
            pending: Vec::new(),
            requests: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes what happened. Nothing happens any more after [`Output::Done`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.phase == Phase::Done {
            return;
        }
        match input {
            Input::Admit { external_host, format } => self.admit(external_host, &format),
            Input::HangUp { reason } => {
                self.reason = reason;
                self.end(now, End::HungUp(reason));
            }
            Input::GiveBack { status, reason } => {
                (self.back, self.reason) = (Some(status), reason);
                self.end(now, End::HungUp(reason));
            }
            Input::Event(event) => self.on_event(now, &event),
            Input::Answer { id, result } => self.on_answer(now, id, result),
            Input::Reconciled(inventory) => self.reconcile(now, &inventory),
            Input::Tick => {}
        }
        self.set_up(now);
        if self.former.as_ref().is_some_and(|(at, _)| *at <= now) {
            self.dismiss();
        }
        self.tear_down(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::SetUp { until, join, .. } => Some(join.again.map_or(until, |again| again.min(until))),
            Phase::Up { .. } => self.former.as_ref().map(|(at, _)| *at),
            Phase::Done => None,
            Phase::Ending { until } => {
                let deadlines = [self.caller.deadline(), self.media.deadline(), self.bridge.deadline()];
                deadlines.into_iter().flatten().chain([until]).min()
            }
        }
    }

    fn admit(&mut self, external_host: SocketAddr, format: &str) {
        let Phase::SetUp { stage: stage @ Stage::Admission, .. } = &mut self.phase else { return };
        *stage = Stage::Creation;
        let new = NewMedia { channel_id: &self.media.id, app: &self.app, external_host, format };
        let media = Request::external_media(&new);
        let bridge = Request::create_bridge(&self.bridge.id);
        self.media.create_asked();
        self.bridge.create_asked();
        self.send(SetUpStep::CreateMedia, media);
        self.send(SetUpStep::CreateBridge, bridge);
    }

    fn on_event(&mut self, now: Instant, event: &Event) {
        if let Event::StasisStart { channel, replaces: Some(old), .. } = event
            && *old == self.caller.id
        {
            return self.replace_caller(now, &channel.id);
        }
        match event.channel_id() {
            Some(id) if *id == self.caller.id => self.on_caller(now, event),
            Some(id) if *id == self.media.id => self.on_media(now, event),
            _ => {}
        }
        if matches!(event, Event::BridgeDestroyed { bridge } if *bridge == self.bridge.id) {
            self.bridge.gone();
            self.end(now, End::Failed(Failure::BridgeLost));
        }
    }

    /// The caller continues on another channel, which Asterisk puts into the bridge by itself. Pending results of
    /// the old channel do not apply to it.
    fn replace_caller(&mut self, now: Instant, channel: &ChannelId) {
        let old = std::mem::replace(&mut self.caller, Thing::present(channel.clone()));
        self.pending.retain(|(_, step)| !step.is_about_caller());
        self.dismiss();
        self.former = Some((now + FORMER_PAUSE, old.id));
    }

    /// Hangs up the channel that the caller had before, whether or not it is still there.
    fn dismiss(&mut self) {
        if let Some((_, channel)) = self.former.take() {
            self.send(SetUpStep::Dismiss, Request::hang_up(&channel, Reason::NormalClearing));
        }
    }

    fn on_caller(&mut self, now: Instant, event: &Event) {
        let left = |cause, sip_status| End::CallerLeft { cause, sip_status };
        let end = match event {
            Event::StasisEnd { .. } => left(None, None),
            Event::ChannelDestroyed { cause, tech_cause, .. } => left(Some(*cause), *tech_cause),
            // Of the caller's own hang-up Asterisk is informed by the channel: that is no soft one.
            Event::ChannelHangupRequest { soft: true, cause, .. } => End::HungUpInAsterisk { cause: *cause },
            Event::ChannelHangupRequest { cause, tech_cause, .. } => left(*cause, *tech_cause),
            _ => return,
        };
        self.caller.gone();
        self.end(now, end);
    }

    fn on_media(&mut self, now: Instant, event: &Event) {
        match event {
            Event::StasisStart { .. } => {
                self.entered = true;
                self.media.seen(now);
            }
            Event::StasisEnd { .. } => self.end(now, End::Failed(Failure::MediaLost)),
            Event::ChannelDestroyed { .. } => {
                self.media.gone();
                self.end(now, End::Failed(Failure::MediaLost));
            }
            _ => {}
        }
    }

    /// Only what was there before the question can be missed in the answer.
    fn reconcile(&mut self, now: Instant, inventory: &Inventory) {
        if self.born < inventory.asked_at && !inventory.channels.contains(&self.caller.id) {
            self.caller.gone();
            let end = match inventory.continuity {
                Continuity::Restarted => End::AsteriskLost,
                Continuity::Unknown | Continuity::Continued => {
                    End::CallerLeft { cause: None, sip_status: None }
                }
            };
            self.end(now, end);
        }
        let up = matches!(self.phase, Phase::Up { since } if since < inventory.asked_at);
        if inventory.channels.contains(&self.media.id) {
            self.entered = true;
            self.media.seen(now);
        } else if up {
            self.end(now, End::Failed(Failure::MediaLost));
        }
        if inventory.bridges.contains(&self.bridge.id) {
            self.bridge.seen(now);
        } else if up {
            self.end(now, End::Failed(Failure::BridgeLost));
        }
    }

    fn on_answer(&mut self, now: Instant, id: RequestId, result: Result<Value, AriError>) {
        let Some(at) = self.pending.iter().position(|(pending, _)| *pending == id) else { return };
        let (_, step) = self.pending.swap_remove(at);
        match step {
            SetUpStep::CreateMedia => self.on_media_created(now, result),
            SetUpStep::CreateBridge => {
                let result = result.map(drop);
                self.bridge.create_answered(&result);
                self.fail_on(now, Stage::Creation, result);
            }
            SetUpStep::Join => self.on_joined(now, result.map(drop)),
            SetUpStep::Answer => self.on_call_answered(now, result.map(drop)),
            SetUpStep::Explain => self.on_explained(result.map(drop)),
            SetUpStep::GiveBack => self.on_given_back(result.map(drop)),
            SetUpStep::Dismiss => {}
            SetUpStep::Delete(which) => {
                let result = result.map(drop);
                match which {
                    BridgingPart::Caller => self.caller.delete_answered(now, &result),
                    BridgingPart::Media => self.media.delete_answered(now, &result),
                    BridgingPart::Bridge => self.bridge.delete_answered(now, &result),
                }
            }
        }
    }

    fn on_media_created(&mut self, now: Instant, result: Result<Value, AriError>) {
        let created = result.as_ref().map(drop).map_err(Clone::clone);
        self.media.create_answered(&created);
        let media = result.and_then(|answer| {
            ExternalMedia::deserialize(answer).map_err(|_| AriError::Decode("no address of its RTP"))
        });
        self.peer = media.as_ref().ok().map(|media| media.local);
        self.fail_on(now, Stage::Creation, media.map(drop));
    }

    /// A refusal may be due to a channel that is not yet, or no longer, in the application. That event arrives on
    /// another connection, so it has a moment before the verdict.
    fn on_joined(&mut self, now: Instant, result: Result<(), AriError>) {
        let Phase::SetUp { stage, join, .. } = &mut self.phase else { return };
        match result {
            Ok(()) => {
                *stage = Stage::Answering;
                let request = Request::answer(&self.caller.id);
                self.send(SetUpStep::Answer, request);
            }
            Err(AriError::Status { code: 400 | 404 | 409 | 422, .. }) if join.attempts < JOIN_ATTEMPTS => {
                join.again = Some(now + JOIN_PAUSE);
            }
            failed => self.fail_on(now, Stage::Joining, failed),
        }
    }

    fn on_call_answered(&mut self, now: Instant, result: Result<(), AriError>) {
        match (result, self.peer) {
            (Ok(()), Some(peer)) if matches!(self.phase, Phase::SetUp { .. }) => {
                self.phase = Phase::Up { since: now };
                self.outputs.push_back(Output::Ready { peer });
            }
            // 404: it is no more. 409: it is not in the application any more.
            (Err(AriError::Status { code: 404 | 409, .. }), _) => {
                self.caller.gone();
                self.end(now, End::CallerLeft { cause: None, sip_status: None });
            }
            (result, _) => self.fail_on(now, Stage::Answering, result),
        }
    }

    /// The dialplan knows why, and may go on with a caller who has not left meanwhile.
    fn on_explained(&mut self, result: Result<(), AriError>) {
        if result.is_err() {
            self.refuse_after_all();
        } else if !self.caller.is_settled() {
            let request = Request::continue_in_dialplan(&self.caller.id);
            self.send(SetUpStep::GiveBack, request);
        }
    }

    fn on_given_back(&mut self, result: Result<(), AriError>) {
        match result {
            // 404: it is no more. 409: it is not in the application any more.
            Ok(()) | Err(AriError::Status { code: 404 | 409, .. }) => self.caller.gone(),
            Err(_) => self.refuse_after_all(),
        }
    }

    fn refuse_after_all(&mut self) {
        self.back = None;
        self.caller.spared();
    }

    fn fail_on(&mut self, now: Instant, stage: Stage, result: Result<(), AriError>) {
        if let Err(error) = result {
            self.end(now, End::Failed(Failure::Step { stage, error }));
        }
    }

    /// The first reason counts.
    fn end(&mut self, now: Instant, end: End) {
        if matches!(self.phase, Phase::SetUp { .. } | Phase::Up { .. }) {
            self.phase = Phase::Ending { until: now + TEARDOWN_LIMIT };
            self.outputs.push_back(Output::Ended(end));
        }
    }

    /// Takes the next step of the set-up when it is due.
    fn set_up(&mut self, now: Instant) {
        let Phase::SetUp { stage, until, mut join } = self.phase else { return };
        if until <= now {
            return self.end(now, End::Failed(Failure::Deadline(stage)));
        }
        let ready = match stage {
            Stage::Creation => self.peer.is_some() && self.entered && self.bridge.is_present(),
            Stage::Joining => join.again.is_some_and(|again| again <= now),
            Stage::Admission | Stage::Answering => false,
        };
        if ready {
            join = Join { attempts: join.attempts + 1, again: None };
            self.phase = Phase::SetUp { stage: Stage::Joining, until, join };
            let request = Request::add_to_bridge(&self.bridge.id, &[&self.caller.id, &self.media.id]);
            self.send(SetUpStep::Join, request);
        }
    }

    /// Deletes what is there, and ends when nothing is left to delete.
    fn tear_down(&mut self, now: Instant) {
        let Phase::Ending { until } = self.phase else { return };
        self.dismiss();
        for which in [BridgingPart::Caller, BridgingPart::Media, BridgingPart::Bridge] {
            let is_due = match which {
                BridgingPart::Caller => self.caller.advance(now, until),
                BridgingPart::Media => self.media.advance(now, until),
                BridgingPart::Bridge => self.bridge.advance(now, until),
            };
            if is_due {
                let (step, request) = self.removal(which);
                self.send(step, request);
            }
        }
        if self.caller.is_settled() && self.media.is_settled() && self.bridge.is_settled() {
            let channels: Vec<_> =
                [&self.caller, &self.media].into_iter().filter_map(Thing::leaked).collect();
            let bridges: Vec<_> = self.bridge.leaked().into_iter().collect();
            if !(channels.is_empty() && bridges.is_empty()) {
                self.outputs.push_back(Output::Leaked { channels, bridges });
            }
            self.outputs.push_back(Output::Done);
            self.phase = Phase::Done;
        }
    }

    fn removal(&self, which: BridgingPart) -> (SetUpStep, Request) {
        let request = match (which, self.back) {
            (BridgingPart::Caller, Some(status)) => {
                return (SetUpStep::Explain, Request::set_variable(&self.caller.id, STATUS_VARIABLE, status));
            }
            (BridgingPart::Caller, None) => Request::hang_up(&self.caller.id, self.reason),
            (BridgingPart::Media, _) => Request::hang_up(&self.media.id, Reason::NormalClearing),
            (BridgingPart::Bridge, _) => Request::destroy_bridge(&self.bridge.id),
        };
        (SetUpStep::Delete(which), request)
    }

    fn send(&mut self, step: SetUpStep, request: Request) {
        let id = RequestId(self.requests);
        self.requests += 1;
        self.pending.push((id, step));
        self.outputs.push_back(Output::Send { id, request });
    }
}

impl SetUpStep {
    /// Does its outcome depend on the caller's channel?
    fn is_about_caller(self) -> bool {
        match self {
            SetUpStep::Join | SetUpStep::Answer | SetUpStep::Explain | SetUpStep::GiveBack => true,
            SetUpStep::Delete(which) => which == BridgingPart::Caller,
            SetUpStep::CreateMedia | SetUpStep::CreateBridge | SetUpStep::Dismiss => false,
        }
    }
}

/// The id of a call's external-media channel.
pub fn media_id(call_id: &str) -> ChannelId {
    ChannelId::new(&format!("vca-media-{call_id}"))
}

/// The id of a call's bridge.
pub fn bridge_id(call_id: &str) -> BridgeId {
    BridgeId::new(&format!("vca-bridge-{call_id}"))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a moment to begin at")]
mod tests;
