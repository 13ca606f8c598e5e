//! Hold: while the caller has put the call on hold, the conversation neither listens nor speaks.
//!
//! A hold pauses playback whether or not anything plays: a response that becomes ready meanwhile waits.

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::outbox::Outbox;
use super::timer::Timer;
use super::{At, Conversation, HoldChange, Output};

/// Whether the caller listens. It decides what an interruption may do to playback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Hold {
    #[default]
    Off,
    On,
}

impl Hold {
    pub fn is_on(self) -> bool {
        self == Hold::On
    }

    /// The caller no longer speaks over the agent: playback continues, unless the call is on hold.
    pub fn unpause(self, out: &mut Outbox) {
        if self == Hold::Off {
            out.push(Output::Resume);
        }
    }

    /// Drops speech that was not played yet. Speech in its place waits too while the call is on hold.
    pub fn flush(self, out: &mut Outbox) {
        out.push(Output::Flush);
        if self == Hold::On {
            out.push(Output::Pause);
        }
    }
}

impl Conversation {
    pub(super) fn hold_changed(&mut self, now: At, change: HoldChange) {
        match (self.hold, change) {
            (Hold::Off, HoldChange::Held) => self.held(now),
            (Hold::On, HoldChange::Resumed) => self.resumed(now),
            (Hold::On, HoldChange::Held) | (Hold::Off, HoldChange::Resumed) => {}
        }
    }

    /// The utterance so far counts and is answered; later sound is not the caller's.
    fn held(&mut self, now: At) {
        self.hold = Hold::On;
        if !self.floor.is_paused() {
            self.out.push(Output::Pause);
        }
        self.background = None;
        self.voice_paused(now, None);
        self.timers.stop(Timer::Silence);
    }

    /// Taking the call off hold is a sign of life: earlier silence no longer counts.
    fn resumed(&mut self, now: At) {
        self.hold = Hold::Off;
        self.limits.caller_is_there();
        if !self.floor.is_paused() {
            self.out.push(Output::Resume);
        }
        if matches!(self.floor, Floor::Free) {
            self.settle(now, None);
        }
    }
}
