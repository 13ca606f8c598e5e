//! A bridge of a call, and the requests that move legs into it.

use std::time::{Duration, Instant};

use super::resource::Resource;
use crate::ari::ids::BridgeId;

/// A channel that cannot enter the bridge is entering or leaving the application: try again after this.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const ATTEMPTS: u32 = 4;

#[derive(Debug)]
pub(super) struct MixingBridge {
    pub resource: Resource<BridgeId>,
    /// Requests for the same move so far.
    attempts: u32,
    join: JoinState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JoinState {
    Idle,
    Requested,
    RetryAt(Instant),
}

impl MixingBridge {
    pub fn absent(id: BridgeId) -> MixingBridge {
        MixingBridge { resource: Resource::absent(id), attempts: 0, join: JoinState::Idle }
    }

    /// Can a request that moves legs into it be sent now? One at a time is under way.
    pub fn may_join(&mut self, now: Instant) -> bool {
        if self.deadline().is_some_and(|at| at <= now) {
            self.join = JoinState::Idle;
        }
        self.resource.is_present() && self.join == JoinState::Idle
    }

    pub fn join_requested(&mut self) {
        self.join = JoinState::Requested;
        self.attempts += 1;
    }

    /// The request was carried out, or is not repeated.
    pub fn join_finished(&mut self) {
        self.join = JoinState::Idle;
        self.attempts = 0;
    }

    /// The result of the request does not apply any more.
    pub fn join_forgotten(&mut self) {
        self.join = JoinState::Idle;
    }

    /// Tries again after a pause. False when it was tried often enough.
    pub fn retry_join(&mut self, now: Instant) -> bool {
        let may_retry = self.attempts < ATTEMPTS;
        if may_retry {
            self.join = JoinState::RetryAt(now + RETRY_PAUSE);
        }
        may_retry
    }

    /// When legs are moved into it again.
    pub fn deadline(&self) -> Option<Instant> {
        match self.join {
            JoinState::RetryAt(at) => Some(at),
            JoinState::Idle | JoinState::Requested => None,
        }
    }
}
