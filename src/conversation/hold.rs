//! Hold: while the caller has put the call on hold, the conversation neither listens nor speaks.
//!
//! A hold pauses playback whether or not anything plays: a response that becomes ready meanwhile waits.

use super::floor::Floor;
use super::timer::Timer;
use super::{At, Conversation, Output};

impl Conversation {
    /// The utterance so far counts and is answered; later sound is not the caller's.
    pub(super) fn held(&mut self, now: At) {
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

    /// Taking the call off hold is a sign of life: earlier silence no longer counts.
    pub(super) fn resumed(&mut self, now: At) {
        if !self.on_hold {
            return;
        }
        self.on_hold = false;
        self.prompts = 0;
        if !self.floor.is_paused() {
            self.out.push(Output::Resume);
        }
        if matches!(self.floor, Floor::Free) {
            self.settle(now, None);
        }
    }

    /// The caller no longer speaks over the agent: playback continues, unless the call is on hold.
    pub(super) fn unpause(&mut self) {
        if !self.on_hold {
            self.out.push(Output::Resume);
        }
    }

    /// Drops speech that was not played yet. Speech in its place waits too while the call is on hold.
    pub(super) fn flush(&mut self) {
        self.out.push(Output::Flush);
        if self.on_hold {
            self.out.push(Output::Pause);
        }
    }
}
