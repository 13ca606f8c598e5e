//! One call in Asterisk, from its arrival until its last object is deleted: a list of legs and the wanted state, which
//! says who hears whom. The machine works out the requests that lead from the present state to the wanted one.
//!
//! An admitted call gets an external-media channel and a bridge, both requested at once; caller and media join the
//! bridge; the call is answered last, so that the greeting can start with the answer. However and whenever the call
//! ends, nothing remains: its objects are deleted, late ones as soon as they exist, and those that cannot be deleted
//! are reported.
//!
//! The contract: after every [`Topology::handle`], and with [`Input::Tick`] at [`Topology::deadline`], the driver
//! drains [`Topology::poll`] fully; it returns the result of every [`Output::Send`] with one [`Input::Response`].
//! Reads no clock, sends nothing itself, and contains neither tenants nor samples.
//!
//! # The call
//!
//! | phase | input | next | output |
//! |---|---|---|---|
//! | `Admission` | `Arrange` | `SetUp` | creation of channels and bridges |
//! | `SetUp` | responses, `StasisStart` | `SetUp` | the next step of each leg |
//! | `SetUp` | every leg is where it should be, callers are answered | `Up` | `Ready` |
//! | `Up` | `Arrange` | `Up` | the steps to the new wanted state |
//! | `Up` | a dialled leg answers, or ends or leaves the application | `Up` | `LegAnswered`, `LegEnded` |
//! | `Up` | `Release` | `Up` | the leg's deletion |
//! | `Up` | a leg that is spared ends | `Up` | – |
//! | `Admission`, `SetUp` | the deadline | `Ending` | `Ended(Failed(Deadline))` |
//! | any of these | `HangUp`, `ContinueInDialplan` | `Ending` | `Ended(HungUp)` |
//! | any of these | the caller's channel ends or leaves | `Ending` | `Ended(CallerLeft)`, `Ended(HungUpInAsterisk)` |
//! | any of these | a step fails, media or bridge end | `Ending` | `Ended(Failed)` |
//! | `Ending` | responses, time | `Ending` | deletions, repeated with a growing pause |
//! | `Ending` | everything is deleted, or 30 s have passed | `Done` | `Leaked` where something is left; `Done` |
//!
//! # A leg
//!
//! | placement | wanted bridge | next | request |
//! |---|---|---|---|
//! | `Alone`, `In(a)` | `b`, with all of its legs ready | `Joining(b)` | `addChannel`, one for all of them |
//! | `In(a)` | none | `Leaving(a)` | `removeChannel` |
//! | `Joining(b)` | accepted | `In(b)` | an arrived channel is answered |
//! | `Joining(b)` | refused | as before | again after 50 ms, four times in all; then an optional one is hung up |
//! | `Leaving(a)` | accepted or refused | `Alone` | – |

mod arrangement;
mod bridge;
mod contract;
mod leg;
mod object_ids;
mod reconciliation;
mod referral;
mod requests;
mod resource;
mod teardown;
mod waiting;

use std::time::{Duration, Instant};

use serde_json::Value;

use super::answer::AriError;
use super::dtmf::DtmfTiming;
use super::event::Event;
use super::ids::{BridgeId, ChannelId};
use super::request::Request;
use crate::dtmf::Tone;
use arrangement::Arrangement;
pub use contract::{
    DialSpec, DialplanExit, DialplanPlace, End, Failure, Input, LegId, LegSpec, Output, RequestId,
    SetUpStage, WaitingSound, Wanted,
};
pub use object_ids::{bridge_id, call_of, dialled_leg_ids, is_dialled_leg, media_id};
use requests::{RequestQueue, TopologyStep};
use teardown::{CallerExit, Teardown, last_outputs};

/// A teardown ends after this, and what is left is reported.
const TEARDOWN_LIMIT: Duration = Duration::from_secs(30);
/// The channel variable in which the dialplan finds why it continues with a caller.
pub const STATUS_VARIABLE: &str = "VCA_STATUS";

/// The machine. Dropping it before [`Output::Done`] leaves objects in Asterisk.
#[derive(Debug)]
pub struct Topology {
    phase: TopologyPhase,
    arrangement: Arrangement,
    teardown: Teardown,
    requests: RequestQueue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TopologyPhase {
    Admission { until: Instant },
    SetUp { until: Instant },
    Up { since: Instant },
    Ending { until: Instant },
    Done,
}

impl Topology {
    /// A call that rings as channel `caller`. It has `set_up` until it is answered, admission included.
    pub fn new(now: Instant, call_id: &str, caller: ChannelId, app: &str, set_up: Duration) -> Topology {
        let mut arrangement = Arrangement::new(app, call_id);
        arrangement.add(now, LegSpec::Arrived(caller));
        Topology {
            phase: TopologyPhase::Admission { until: now + set_up },
            arrangement,
            teardown: Teardown::new(),
            requests: RequestQueue::default(),
        }
    }

    /// Takes an event or result. After [`Output::Done`] it has no effect.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.phase == TopologyPhase::Done {
            return;
        }
        match input {
            Input::Arrange { legs, wanted } => self.arrange(now, legs, &wanted),
            Input::HangUp { reason } => {
                self.teardown.reason = reason;
                self.end(now, End::HungUp(reason));
            }
            Input::ContinueInDialplan { exit, reason } => {
                self.teardown.exit = CallerExit::ContinueInDialplan(exit);
                self.teardown.reason = reason;
                self.end(now, End::HungUp(reason));
            }
            Input::Release { leg } => self.arrangement.release(leg),
            Input::Spare { leg } => self.arrangement.spare(leg),
            Input::Refer { uri } => self.arrangement.refer(uri),
            Input::SendDtmf { leg, keys } => self.send_dtmf(leg, &keys),
            Input::Event(event) => self.on_event(now, &event),
            Input::Response { id, result } => self.on_response(now, id, result),
            Input::Reconciled(inventory) => self.reconcile(now, &inventory),
            Input::Tick => {}
        }
        self.advance(now);
        self.teardown.tick(now, &mut self.requests);
        self.tear_down(now);
    }

    /// The id that the next added leg will have; `None` when there are too many legs.
    pub fn next_leg(&self) -> Option<LegId> {
        self.arrangement.next_leg()
    }

    /// The leg of a channel of this call.
    pub fn leg_of(&self, channel: &ChannelId) -> Option<LegId> {
        self.arrangement.legs.iter().find(|leg| leg.channel.id == *channel).map(|leg| leg.id)
    }

    /// The channel of a leg of this call.
    pub fn channel_of(&self, leg: LegId) -> Option<&ChannelId> {
        self.arrangement.legs.iter().find(|it| it.id == leg).map(|it| &it.channel.id)
    }

    /// The next action.
    pub fn poll(&mut self) -> Option<Output> {
        self.requests.poll()
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            TopologyPhase::Admission { until } | TopologyPhase::SetUp { until } => {
                self.arrangement.deadline().into_iter().chain([until]).min()
            }
            TopologyPhase::Up { .. } => {
                self.arrangement.deadline().into_iter().chain(self.teardown.deadline()).min()
            }
            TopologyPhase::Ending { until } => {
                let legs = self.arrangement.legs.iter().filter_map(|leg| leg.channel.deadline());
                let bridges = self.arrangement.bridges.iter().filter_map(|it| it.resource.deadline());
                legs.chain(bridges).chain([until]).min()
            }
            TopologyPhase::Done => None,
        }
    }

    fn arrange(&mut self, now: Instant, legs: Vec<LegSpec>, wanted: &Wanted) {
        match self.phase {
            TopologyPhase::Admission { until } => self.phase = TopologyPhase::SetUp { until },
            TopologyPhase::SetUp { .. } | TopologyPhase::Up { .. } => {}
            TopologyPhase::Ending { .. } | TopologyPhase::Done => return,
        }
        legs.into_iter().for_each(|spec| self.arrangement.add(now, spec));
        self.arrangement.want(wanted);
    }

    fn send_dtmf(&mut self, leg: LegId, keys: &[Tone]) {
        if let (TopologyPhase::Up { .. }, Some(leg)) = (self.phase, self.arrangement.leg(leg)) {
            let request = Request::send_dtmf(&leg.channel.id, keys, DtmfTiming::default());
            self.requests.send(TopologyStep::SendDtmf, request);
        }
    }

    fn on_event(&mut self, now: Instant, event: &Event) {
        if let Event::StasisStart { channel, replaces: Some(old), .. } = event
            && let Some(leg) = self.arrangement.leg_of(old).filter(|leg| leg.is_arrived())
        {
            let leg = leg.id;
            return self.replace_caller(now, leg, channel.id.clone());
        }
        if let Event::BridgeDestroyed { bridge } = event {
            return self.on_bridge_destroyed(now, bridge);
        }
        if let Event::PlaybackStarted { channel } = event {
            return self.arrangement.playback_started(channel, &mut self.requests);
        }
        let Some(leg) = event.channel_id().and_then(|id| self.arrangement.leg_of(id)) else { return };
        let leg_id = leg.id;
        if leg.is_arrived() {
            self.on_caller(now, leg_id, event);
        } else if leg.is_optional() || !leg.is_needed() {
            self.on_created(now, leg_id, event);
        } else {
            self.on_media(now, leg_id, event);
        }
    }

    fn replace_caller(&mut self, now: Instant, leg: LegId, channel: ChannelId) {
        let former = self.arrangement.replace_channel(now, leg, channel, &mut self.requests);
        if let Some(former) = former {
            self.teardown.caller_replaced(now, former, &mut self.requests);
        }
    }

    fn on_bridge_destroyed(&mut self, now: Instant, id: &BridgeId) {
        let bridge = self.arrangement.bridges.iter_mut().find(|bridge| bridge.resource.id == *id);
        if let Some(bridge) = bridge {
            bridge.resource.gone();
            self.end(now, End::Failed(Failure::BridgeLost));
        }
    }

    fn on_caller(&mut self, now: Instant, leg: LegId, event: &Event) {
        let left = |cause, sip_status| End::CallerLeft { cause, sip_status };
        let end = match event {
            Event::StasisEnd { .. } => left(None, None),
            Event::ChannelDestroyed { cause, tech_cause, .. } => left(Some(*cause), *tech_cause),
            // A hang-up by the caller is requested by the channel itself: that is no soft one.
            Event::ChannelHangupRequest { soft: true, cause, .. } => End::HungUpInAsterisk { cause: *cause },
            Event::ChannelHangupRequest { cause, tech_cause, .. } => left(*cause, *tech_cause),
            _ => return,
        };
        if let Some(leg) = self.arrangement.leg(leg) {
            leg.channel.gone();
        }
        self.end(now, end);
    }

    fn on_media(&mut self, now: Instant, leg: LegId, event: &Event) {
        let Some(leg) = self.arrangement.leg(leg) else { return };
        match event {
            Event::StasisStart { .. } => {
                leg.entered();
                leg.channel.seen(now);
            }
            Event::StasisEnd { .. } => self.end(now, End::Failed(Failure::MediaLost)),
            Event::ChannelDestroyed { .. } => {
                leg.channel.gone();
                self.end(now, End::Failed(Failure::MediaLost));
            }
            _ => {}
        }
    }

    /// A leg that may end without the call: an optional one, or one that is not needed any more.
    fn on_created(&mut self, now: Instant, id: LegId, event: &Event) {
        let Some(leg) = self.arrangement.leg(id) else { return };
        match event {
            Event::StasisStart { .. } => {
                leg.channel.seen(now);
                if leg.entered() && leg.is_needed() && leg.is_dialled() {
                    self.requests.emit(Output::LegAnswered { leg: id });
                }
            }
            Event::ChannelDestroyed { cause, .. } => self.leg_ended(id, Some(*cause)),
            // It was hung up, or the dialplan continues with it: either way it is no leg of this call any more.
            Event::StasisEnd { .. } if leg.is_optional() => self.leg_ended(id, None),
            _ => {}
        }
    }

    fn leg_ended(&mut self, id: LegId, cause: Option<u16>) {
        let Some(leg) = self.arrangement.leg(id) else { return };
        let is_reported = leg.channel.is_settled();
        leg.ended();
        let is_over = matches!(self.phase, TopologyPhase::Ending { .. } | TopologyPhase::Done);
        if leg.is_needed() && leg.is_dialled() && !is_over && !is_reported {
            self.requests.emit(Output::LegEnded { leg: id, cause });
        }
    }

    fn on_response(&mut self, now: Instant, id: RequestId, result: Result<Value, AriError>) {
        let Some(step) = self.requests.finish(id) else { return };
        let arrangement = &mut self.arrangement;
        let outcome = match step {
            TopologyStep::CreateLeg(leg) => arrangement.leg_created(now, leg, result, &mut self.requests),
            TopologyStep::CreateBridge(bridge) => arrangement.bridge_created(now, bridge, result.map(drop)),
            TopologyStep::Join { bridge, legs } => {
                arrangement.joined(now, bridge, &legs, result.map(drop), &mut self.requests)
            }
            TopologyStep::Leave { legs, .. } => arrangement.left(&legs, result.map(drop)),
            TopologyStep::Answer(leg) => arrangement.answered(leg, result.map(drop)),
            TopologyStep::StartSound(leg) | TopologyStep::StopSound(leg) => {
                arrangement.sound_changed(leg);
                Ok(())
            }
            TopologyStep::Refer => {
                arrangement.referred(result.map(drop), &mut self.requests);
                Ok(())
            }
            TopologyStep::AwaitReferral => Ok(()),
            deletion => {
                let result = result.map(drop);
                self.teardown.finished(now, &deletion, &result, arrangement, &mut self.requests);
                Ok(())
            }
        };
        if let Err(end) = outcome {
            self.end(now, end);
        }
    }

    /// The first reason counts.
    fn end(&mut self, now: Instant, end: End) {
        if !matches!(self.phase, TopologyPhase::Ending { .. } | TopologyPhase::Done) {
            self.phase = TopologyPhase::Ending { until: now + TEARDOWN_LIMIT };
            self.requests.emit(Output::Ended(end));
        }
    }

    /// Sends the requests that lead to the wanted state, and reports when it is reached for the first time.
    fn advance(&mut self, now: Instant) {
        match self.phase {
            TopologyPhase::Admission { until } if until <= now => {
                self.end(now, End::Failed(Failure::Deadline(SetUpStage::Admission)));
            }
            TopologyPhase::SetUp { until } if until <= now => {
                self.end(now, End::Failed(Failure::Deadline(self.arrangement.stage())));
            }
            TopologyPhase::SetUp { .. } => {
                self.arrangement.advance(now, &mut self.requests);
                if let Some(peer) = self.arrangement.settled() {
                    self.phase = TopologyPhase::Up { since: now };
                    self.requests.emit(Output::Ready { peer });
                }
            }
            TopologyPhase::Up { .. } => self.arrangement.advance(now, &mut self.requests),
            TopologyPhase::Admission { .. } | TopologyPhase::Ending { .. } | TopologyPhase::Done => {}
        }
    }

    /// Deletes what exists, and finishes when nothing is left to delete.
    fn tear_down(&mut self, now: Instant) {
        let TopologyPhase::Ending { until } = self.phase else { return };
        self.teardown.advance(now, until, &mut self.arrangement, &mut self.requests);
        if let Some(outputs) = last_outputs(&self.arrangement) {
            outputs.into_iter().for_each(|output| self.requests.emit(output));
            self.phase = TopologyPhase::Done;
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a moment to begin at")]
mod tests;
