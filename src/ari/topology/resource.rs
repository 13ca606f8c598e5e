//! A channel or bridge of a call in Asterisk: whether it exists, and its deletion.
//!
//! Sends no requests itself: it decides when a deletion is due, and receives the result.

use std::time::{Duration, Instant};

use crate::ari::answer::AriError;

/// Deletions that are tried before the resource is reported as leaked.
const ATTEMPTS: u32 = 6;
/// Pause after the first failed deletion; it doubles.
const BACKOFF: Duration = Duration::from_millis(250);
/// A creation without a response may still be carried out: check again after this long.
const DOUBT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Resource<Id> {
    pub id: Id,
    state: ResourceState,
    /// Since when it is known to exist.
    since: Option<Instant>,
    creation: Creation,
    failed_deletions: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResourceState {
    Absent,
    /// Its creation was requested.
    Requested,
    Present,
    /// Its deletion was requested.
    Deleting,
    /// Its deletion is due at this moment.
    Due(Instant),
    Gone,
    Leaked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creation {
    Certain,
    /// The request may have been carried out, now or later, although it was not confirmed.
    Doubtful,
}

impl<Id: Clone> Resource<Id> {
    pub fn absent(id: Id) -> Resource<Id> {
        let (state, creation) = (ResourceState::Absent, Creation::Certain);
        Resource { id, state, since: None, creation, failed_deletions: 0 }
    }

    pub fn present(id: Id, now: Instant) -> Resource<Id> {
        Resource { state: ResourceState::Present, since: Some(now), ..Resource::absent(id) }
    }

    pub fn is_absent(&self) -> bool {
        self.state == ResourceState::Absent
    }

    pub fn is_present(&self) -> bool {
        self.state == ResourceState::Present
    }

    /// Did it exist before `at`? Only then can it be missing in a list that was requested then.
    pub fn existed_before(&self, at: Instant) -> bool {
        self.since.is_some_and(|since| since < at)
    }

    /// Nothing is left to be done about it.
    pub fn is_settled(&self) -> bool {
        matches!(self.state, ResourceState::Absent | ResourceState::Gone | ResourceState::Leaked)
    }

    /// Its id, if it could not be deleted.
    pub fn leaked(&self) -> Option<Id> {
        (self.state == ResourceState::Leaked).then(|| self.id.clone())
    }

    pub fn creation_requested(&mut self) {
        self.state = ResourceState::Requested;
    }

    pub fn creation_finished(&mut self, now: Instant, result: &Result<(), AriError>) {
        if self.state != ResourceState::Requested {
            return;
        }
        self.state = match result {
            Err(error) if !error.leaves_doubt() => ResourceState::Absent,
            Err(_) => {
                self.creation = Creation::Doubtful;
                ResourceState::Present
            }
            Ok(()) => {
                self.since = Some(now);
                ResourceState::Present
            }
        };
    }

    /// Asterisk shows it. If it counted as absent or gone, it has to be deleted once more.
    pub fn seen(&mut self, now: Instant) {
        if matches!(self.state, ResourceState::Absent | ResourceState::Gone | ResourceState::Due(_)) {
            self.state = ResourceState::Due(now);
            self.creation = Creation::Certain;
        }
    }

    /// Asterisk reported its end.
    pub fn gone(&mut self) {
        self.state = ResourceState::Gone;
    }

    /// Is a deletion due? Then the caller sends it now. From `until` on nothing is deleted any more.
    pub fn take_deletion(&mut self, now: Instant, until: Instant) -> bool {
        if until <= now && !self.is_settled() {
            self.state = ResourceState::Leaked;
        }
        let is_due = match self.state {
            ResourceState::Present => true,
            ResourceState::Due(at) => at <= now,
            _ => false,
        };
        if is_due {
            self.state = ResourceState::Deleting;
        }
        is_due
    }

    pub fn deletion_finished(&mut self, now: Instant, result: &Result<(), AriError>) {
        if self.state != ResourceState::Deleting {
            return;
        }
        self.state = match result {
            Err(error) if error.is_gone() && self.creation == Creation::Doubtful => {
                self.creation = Creation::Certain;
                ResourceState::Due(now + DOUBT)
            }
            Err(error) if !error.is_gone() => {
                self.failed_deletions += 1;
                match self.failed_deletions {
                    ATTEMPTS.. => ResourceState::Leaked,
                    failed => ResourceState::Due(now + BACKOFF * 2_u32.pow(failed - 1)),
                }
            }
            _ => ResourceState::Gone,
        };
    }

    /// It was not deleted after all: it still exists.
    pub fn spared(&mut self) {
        if self.state == ResourceState::Deleting {
            self.state = ResourceState::Present;
        }
    }

    /// When the next deletion is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            ResourceState::Due(at) => Some(at),
            _ => None,
        }
    }
}
