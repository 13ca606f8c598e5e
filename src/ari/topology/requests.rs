//! The requests of a call that wait for their results, and the machine's outputs.

use std::collections::VecDeque;

use super::contract::{LegId, Output, RequestId};
use crate::ari::request::Request;

/// The purpose of a request. Bridges are named by their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TopologyStep {
    CreateLeg(LegId),
    CreateBridge(usize),
    Join {
        bridge: usize,
        legs: Vec<LegId>,
    },
    Leave {
        bridge: usize,
        legs: Vec<LegId>,
    },
    Answer(LegId),
    SendDtmf,
    /// Starts the sound for a caller who waits.
    StartSound(LegId),
    StopSound(LegId),
    Refer,
    /// Plays silence to a caller who was referred: it begins once the far end's transfer is over.
    AwaitReferral,
    /// Sets a channel variable for the dialplan that continues with the caller, by its number.
    SetVariable(usize),
    ContinueInDialplan,
    HangUpFormerChannel,
    DeleteLeg(LegId),
    DeleteBridge(usize),
}

impl TopologyStep {
    /// Does the result depend on the channel of this leg, which may be replaced?
    fn is_about(&self, leg: LegId) -> bool {
        match self {
            TopologyStep::Join { legs, .. } | TopologyStep::Leave { legs, .. } => legs.contains(&leg),
            TopologyStep::Answer(it)
            | TopologyStep::DeleteLeg(it)
            | TopologyStep::StartSound(it)
            | TopologyStep::StopSound(it) => *it == leg,
            TopologyStep::SetVariable(_) | TopologyStep::ContinueInDialplan => leg == LegId::CALLER,
            TopologyStep::CreateLeg(_)
            | TopologyStep::CreateBridge(_)
            | TopologyStep::SendDtmf
            | TopologyStep::Refer
            | TopologyStep::AwaitReferral
            | TopologyStep::HangUpFormerChannel
            | TopologyStep::DeleteBridge(_) => false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct RequestQueue {
    pending: Vec<(RequestId, TopologyStep)>,
    sent: u32,
    outputs: VecDeque<Output>,
}

impl RequestQueue {
    pub fn send(&mut self, step: TopologyStep, request: Request) {
        let id = RequestId(self.sent);
        self.sent += 1;
        self.pending.push((id, step));
        self.outputs.push_back(Output::Send { id, request });
    }

    /// The purpose of the request with this result; `None` if it no longer matters.
    pub fn finish(&mut self, id: RequestId) -> Option<TopologyStep> {
        let at = self.pending.iter().position(|(pending, _)| *pending == id)?;
        Some(self.pending.swap_remove(at).1)
    }

    /// Takes out the pending requests about a leg: their results do not apply to its new channel.
    pub fn forget(&mut self, leg: LegId) -> Vec<TopologyStep> {
        let forgotten = self.pending.extract_if(.., |(_, step)| step.is_about(leg));
        forgotten.map(|(_, step)| step).collect()
    }

    pub fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
