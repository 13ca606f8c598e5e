//! The end of a call in Asterisk: how its caller leaves, and the deletion of everything else.

use std::time::{Duration, Instant};

use super::arrangement::Arrangement;
use super::contract::{DialplanExit, LegId, Output};
use super::leg::CallLeg;
use super::requests::{RequestQueue, TopologyStep};
use crate::ari::answer::AriError;
use crate::ari::ids::ChannelId;
use crate::ari::request::{Reason, Request};

/// A caller's former channel is hung up after this: by then another one has replaced it in the bridge, and a party
/// that transferred the call has hung up itself.
const FORMER_CHANNEL_DELAY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Teardown {
    /// The cause with which callers are hung up.
    pub reason: Reason,
    pub exit: CallerExit,
    former: Option<FormerChannel>,
}

/// How the caller leaves when the call ends here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallerExit {
    HangUp,
    ContinueInDialplan(DialplanExit),
}

/// The channel that the caller had before. If it were not hung up, it might stay in the application, out of the
/// bridge, without end.
#[derive(Debug)]
struct FormerChannel {
    id: ChannelId,
    hang_up_at: Instant,
}

impl Teardown {
    pub fn new() -> Teardown {
        Teardown { reason: Reason::Congestion, exit: CallerExit::HangUp, former: None }
    }

    /// When a former channel is hung up.
    pub fn deadline(&self) -> Option<Instant> {
        self.former.as_ref().map(|former| former.hang_up_at)
    }

    /// The caller continues on another channel than `former`.
    pub fn caller_replaced(&mut self, now: Instant, former: ChannelId, requests: &mut RequestQueue) {
        self.hang_up_former_channel(requests);
        self.former = Some(FormerChannel { id: former, hang_up_at: now + FORMER_CHANNEL_DELAY });
    }

    pub fn tick(&mut self, now: Instant, requests: &mut RequestQueue) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.hang_up_former_channel(requests);
        }
    }

    /// Hangs up the channel that the caller had before, whether or not it still exists.
    fn hang_up_former_channel(&mut self, requests: &mut RequestQueue) {
        if let Some(FormerChannel { id, .. }) = self.former.take() {
            let request = Request::hang_up(&id, Reason::NormalClearing);
            requests.send(TopologyStep::HangUpFormerChannel, request);
        }
    }

    /// Requests the deletions that are due. From `until` on nothing is deleted any more.
    pub fn advance(
        &mut self,
        now: Instant,
        until: Instant,
        arrangement: &mut Arrangement,
        requests: &mut RequestQueue,
    ) {
        self.hang_up_former_channel(requests);
        for leg in &mut arrangement.legs {
            if leg.channel.take_deletion(now, until) {
                let (step, request) = self.removal(leg);
                requests.send(step, request);
            }
        }
        for (number, bridge) in arrangement.bridges.iter_mut().enumerate() {
            if bridge.resource.take_deletion(now, until) {
                let request = Request::destroy_bridge(&bridge.resource.id);
                requests.send(TopologyStep::DeleteBridge(number), request);
            }
        }
    }

    fn removal(&self, leg: &CallLeg) -> (TopologyStep, Request) {
        let id = &leg.channel.id;
        let reason = if leg.is_arrived() { self.reason } else { Reason::NormalClearing };
        match &self.exit {
            CallerExit::ContinueInDialplan(exit) if leg.id == LegId::CALLER => next_step(exit, 0, id),
            _ => (TopologyStep::DeleteLeg(leg.id), Request::hang_up(id, reason)),
        }
    }

    /// Takes the result of a request of the teardown.
    pub fn finished(
        &mut self,
        now: Instant,
        step: &TopologyStep,
        result: &Result<(), AriError>,
        arrangement: &mut Arrangement,
        requests: &mut RequestQueue,
    ) {
        match step {
            TopologyStep::SetVariable(number) => self.variable_set(*number, result, arrangement, requests),
            TopologyStep::ContinueInDialplan => self.continued(result, arrangement),
            TopologyStep::DeleteLeg(leg) => {
                if let Some(leg) = arrangement.leg(*leg) {
                    leg.channel.deletion_finished(now, result);
                }
            }
            TopologyStep::DeleteBridge(bridge) => {
                if let Some(bridge) = arrangement.bridges.get_mut(*bridge) {
                    bridge.resource.deletion_finished(now, result);
                }
            }
            _ => {}
        }
    }

    /// The dialplan has a variable. With the last of them it continues with a caller who has not left meanwhile.
    fn variable_set(
        &mut self,
        number: usize,
        result: &Result<(), AriError>,
        arrangement: &mut Arrangement,
        requests: &mut RequestQueue,
    ) {
        let Some(caller) = arrangement.leg(LegId::CALLER) else { return };
        match &self.exit {
            CallerExit::ContinueInDialplan(exit) if result.is_ok() => {
                if !caller.channel.is_settled() {
                    let (step, request) = next_step(exit, number + 1, &caller.channel.id);
                    requests.send(step, request);
                }
            }
            _ => self.refuse_after_all(caller),
        }
    }

    fn continued(&mut self, result: &Result<(), AriError>, arrangement: &mut Arrangement) {
        let Some(caller) = arrangement.leg(LegId::CALLER) else { return };
        match result {
            // 404: it is no more. 409: it is not in the application any more.
            Ok(()) | Err(AriError::Status { code: 404 | 409, .. }) => caller.channel.gone(),
            Err(_) => self.refuse_after_all(caller),
        }
    }

    fn refuse_after_all(&mut self, caller: &mut CallLeg) {
        self.exit = CallerExit::HangUp;
        caller.channel.spared();
    }
}

/// Sets the variable of this number, or has the dialplan continue after the last one.
fn next_step(exit: &DialplanExit, number: usize, caller: &ChannelId) -> (TopologyStep, Request) {
    match exit.variables().nth(number) {
        Some((name, value)) => {
            (TopologyStep::SetVariable(number), Request::set_variable(caller, name, value))
        }
        None => {
            let place = exit.place().map(|it| (it.context.as_str(), it.extension.as_str()));
            (TopologyStep::ContinueInDialplan, Request::continue_in_dialplan_at(caller, place))
        }
    }
}

/// Once everything is deleted or given up: the last outputs.
pub(super) fn last_outputs(arrangement: &Arrangement) -> Option<Vec<Output>> {
    let Arrangement { legs, bridges, .. } = arrangement;
    let is_settled = legs.iter().all(|leg| leg.channel.is_settled())
        && bridges.iter().all(|bridge| bridge.resource.is_settled());
    if !is_settled {
        return None;
    }
    let channels: Vec<_> = legs.iter().filter_map(|leg| leg.channel.leaked()).collect();
    let bridges: Vec<_> = bridges.iter().filter_map(|bridge| bridge.resource.leaked()).collect();
    let has_leaks = !(channels.is_empty() && bridges.is_empty());
    Some(
        has_leaks.then_some(Output::Leaked { channels, bridges }).into_iter().chain([Output::Done]).collect(),
    )
}
