//! A channel or bridge of a call in Asterisk: whether it exists, and how it is made to be gone.
//!
//! It knows neither requests nor the call: it says when a deletion is due and is told what came of it.

use std::time::{Duration, Instant};

use crate::ari::AriError;

/// Deletions that are tried before the thing is given up as leaked.
const ATTEMPTS: u32 = 6;
/// Pause after the first failed deletion; it doubles.
const BACKOFF: Duration = Duration::from_millis(250);
/// A creation whose answer never came may still be carried out: look again after this long.
const DOUBT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Thing {
    pub id: String,
    state: State,
    /// Failed deletions.
    failures: u32,
    /// It may come into being although nobody said so.
    doubtful: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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

impl Thing {
    pub fn absent(id: String) -> Thing {
        Thing { id, state: State::Absent, failures: 0, doubtful: false }
    }

    pub fn present(id: String) -> Thing {
        Thing { state: State::Present, ..Thing::absent(id) }
    }

    pub fn is_present(&self) -> bool {
        self.state == State::Present
    }

    pub fn is_leaked(&self) -> bool {
        self.state == State::Leaked
    }

    /// Nothing is left to be done about it.
    pub fn is_settled(&self) -> bool {
        matches!(self.state, State::Absent | State::Gone | State::Leaked)
    }

    pub fn create_asked(&mut self) {
        self.state = State::Asked;
    }

    pub fn create_answered(&mut self, result: &Result<(), AriError>) {
        if self.state != State::Asked {
            return;
        }
        self.doubtful = result.as_ref().is_err_and(AriError::leaves_doubt);
        self.state = if result.is_ok() || self.doubtful { State::Present } else { State::Absent };
    }

    /// Asterisk shows it. Where it was believed gone or absent, it has to go once more.
    pub fn seen(&mut self, now: Instant) {
        if matches!(self.state, State::Absent | State::Gone | State::Due(_)) {
            self.state = State::Due(now);
            self.doubtful = false;
        }
    }

    /// Asterisk said that it is no more.
    pub fn gone(&mut self) {
        self.state = State::Gone;
    }

    /// Is a deletion due? Then the caller sends it now.
    pub fn take_deletion(&mut self, now: Instant) -> bool {
        let due = match self.state {
            State::Present => true,
            State::Due(at) => at <= now,
            _ => false,
        };
        if due {
            self.state = State::Deleting;
        }
        due
    }

    pub fn delete_answered(&mut self, now: Instant, result: &Result<(), AriError>) {
        if self.state != State::Deleting {
            return;
        }
        self.state = match result {
            Err(error) if error.is_gone() && self.doubtful => {
                self.doubtful = false;
                State::Due(now + DOUBT)
            }
            Err(error) if !error.is_gone() => {
                self.failures += 1;
                match self.failures {
                    ATTEMPTS.. => State::Leaked,
                    failures => State::Due(now + BACKOFF * 2_u32.pow(failures - 1)),
                }
            }
            _ => State::Gone,
        };
    }

    /// What was to take it away did not: it is there as before.
    pub fn spared(&mut self) {
        if self.state == State::Deleting {
            self.state = State::Present;
        }
    }

    /// Whatever is still open about it stays open.
    pub fn give_up(&mut self) {
        if !self.is_settled() {
            self.state = State::Leaked;
        }
    }

    /// When the next deletion is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) => Some(at),
            _ => None,
        }
    }
}
