//! Whether the pitch of this caller tells that more follows.

use serde::{Deserialize, Serialize};

/// Turns in a row that ended with a level pitch after all. Some speakers raise it at the end of everything they say.
const MOST_IN_VAIN: u8 = 3;

/// The trust in the caller's intonation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trust {
    /// Waits for more after a level pitch, in a row, that were in vain.
    in_vain: u8,
}

impl Trust {
    /// Whether a level pitch makes the agent wait.
    pub fn is_kept(self) -> bool {
        self.in_vain < MOST_IN_VAIN
    }

    /// The caller went on after a level pitch.
    pub fn went_on(&mut self) {
        self.in_vain = 0;
    }

    /// The turn ended with a level pitch.
    pub fn ended(&mut self) {
        self.in_vain = self.in_vain.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pitch_of_a_caller_who_always_raises_it_tells_nothing_until_they_go_on() {
        let mut trust = Trust::default();
        for _ in 0..MOST_IN_VAIN {
            assert!(trust.is_kept());
            trust.ended();
        }
        assert!(!trust.is_kept());
        trust.went_on();
        assert!(trust.is_kept());
    }
}
