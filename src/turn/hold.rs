//! The caller puts the call on hold and takes it back. In between nothing of them is heard, and nothing is said.
//!
//! A hold pauses the playback whether or not anything is played: an answer that comes meanwhile waits for the caller.

use std::time::Instant;

use super::floor::Floor;
use super::timer::Timer;
use super::{Output, Turn};

impl Turn {
    /// What the caller has said so far counts, and is answered; what sounds from now on is not theirs.
    pub(super) fn held(&mut self, now: Instant) {
        if self.on_hold {
            return;
        }
        self.on_hold = true;
        if !self.floor.is_paused() {
            self.out.push(Output::Pause);
        }
        self.speech_paused(now);
        self.timers.stop(Timer::Silence);
    }

    /// The caller listens again, and is plainly there: how silent they were before does not count any more.
    pub(super) fn resumed(&mut self, now: Instant) {
        if !self.on_hold {
            return;
        }
        self.on_hold = false;
        self.prompts = 0;
        if !self.floor.is_paused() {
            self.out.push(Output::Resume);
        }
        if matches!(self.floor, Floor::Nobody) {
            self.settle(now, None);
        }
    }

    /// Nobody speaks over the agent any more: it goes on, unless the call is on hold.
    pub(super) fn unpause(&mut self) {
        if !self.on_hold {
            self.out.push(Output::Resume);
        }
    }

    /// Drops what was not heard yet. What is said instead waits as well while the call is on hold.
    pub(super) fn flush(&mut self) {
        self.out.push(Output::Flush);
        if self.on_hold {
            self.out.push(Output::Pause);
        }
    }
}
