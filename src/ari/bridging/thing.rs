//! A channel or bridge of a call in Asterisk: whether it exists, and its deletion.
//!
//! Sends no requests itself: it decides when a deletion is due, and receives the result.

use std::time::{Duration, Instant};

use crate::ari::AriError;

/// Deletions that are tried before the thing is given up as leaked.
const ATTEMPTS: u32 = 6;
/// Pause after the first failed deletion; it doubles.
const BACKOFF: Duration = Duration::from_millis(250);
/// A creation without a response may still be carried out: check again after this long.
const DOUBT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Thing<Id> {
    pub id: Id,
    state: ResourceState,
    /// Failed deletions.
    failures: u32,
    /// It may exist although its creation was not confirmed.
    doubtful: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResourceState {
    Absent,
    /// Its creation was asked for.
    Asked,
    Present,
    /// Its deletion was asked for.
    Deleting,
    /// Its deletion is due at this moment.
    Due(Instant),
    Gone,
    Leaked,
}

impl<Id: Clone> Thing<Id> {
    pub fn absent(id: Id) -> Thing<Id> {
        Thing { id, state: ResourceState::Absent, failures: 0, doubtful: false }
    }

    pub fn present(id: Id) -> Thing<Id> {
        Thing { state: ResourceState::Present, ..Thing::absent(id) }
    }

    pub fn is_present(&self) -> bool {
        self.state == ResourceState::Present
    }

    /// Its id, if it could not be deleted.
    pub fn leaked(&self) -> Option<Id> {
        (self.state == ResourceState::Leaked).then(|| self.id.clone())
    }

    /// Nothing is left to be done about it.
    pub fn is_settled(&self) -> bool {
        matches!(self.state, ResourceState::Absent | ResourceState::Gone | ResourceState::Leaked)
    }

    pub fn create_asked(&mut self) {
        self.state = ResourceState::Asked;
    }

    pub fn create_answered(&mut self, result: &Result<(), AriError>) {
        if self.state != ResourceState::Asked {
            return;
        }
        self.doubtful = result.as_ref().is_err_and(AriError::leaves_doubt);
        self.state =
            if result.is_ok() || self.doubtful { ResourceState::Present } else { ResourceState::Absent };
    }

    /// Asterisk shows it. Where it was believed gone or absent, it has to go once more.
    pub fn seen(&mut self, now: Instant) {
        if matches!(self.state, ResourceState::Absent | ResourceState::Gone | ResourceState::Due(_)) {
            self.state = ResourceState::Due(now);
            self.doubtful = false;
        }
    }

    /// Asterisk said that it is no more.
    pub fn gone(&mut self) {
        self.state = ResourceState::Gone;
    }

    /// Is a deletion due? Then the caller sends it now. From `until` on nothing is deleted any more.
    pub fn advance(&mut self, now: Instant, until: Instant) -> bool {
        if until <= now {
            self.give_up();
        }
        self.take_deletion(now)
    }

    fn take_deletion(&mut self, now: Instant) -> bool {
        let due = match self.state {
            ResourceState::Present => true,
            ResourceState::Due(at) => at <= now,
            _ => false,
        };
        if due {
            self.state = ResourceState::Deleting;
        }
        due
    }

    pub fn delete_answered(&mut self, now: Instant, result: &Result<(), AriError>) {
        if self.state != ResourceState::Deleting {
            return;
        }
        self.state = match result {
            Err(error) if error.is_gone() && self.doubtful => {
                self.doubtful = false;
                ResourceState::Due(now + DOUBT)
            }
            Err(error) if !error.is_gone() => {
                self.failures += 1;
                match self.failures {
                    ATTEMPTS.. => ResourceState::Leaked,
                    failures => ResourceState::Due(now + BACKOFF * 2_u32.pow(failures - 1)),
                }
            }
            _ => ResourceState::Gone,
        };
    }

    /// The deletion failed: the object still exists.
    pub fn spared(&mut self) {
        if self.state == ResourceState::Deleting {
            self.state = ResourceState::Present;
        }
    }

    /// Whatever is still open about it stays open.
    fn give_up(&mut self) {
        if !self.is_settled() {
            self.state = ResourceState::Leaked;
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
