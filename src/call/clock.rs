//! Moments of this process as moments of a conversation, and back.

use std::time::{Duration, Instant};

use crate::conversation::At;

/// Speech that begins shortly before the conversation does keeps its moment.
const BEFORE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock for a conversation that begins at `now`.
    pub fn starting(now: Instant) -> Clock {
        Clock { origin: now.checked_sub(BEFORE).unwrap_or(now) }
    }

    pub fn at(&self, moment: Instant) -> At {
        At(moment.saturating_duration_since(self.origin))
    }

    /// `None` for a moment beyond the range of the process's clock.
    pub fn instant(&self, at: At) -> Option<Instant> {
        self.origin.checked_add(at.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_convert_both_ways() {
        let now = Instant::now();
        let clock = Clock::starting(now);
        for moment in [now - Duration::from_secs(3), now, now + Duration::from_millis(1_234)] {
            assert_eq!(clock.instant(clock.at(moment)), Some(moment));
        }
        assert_eq!(clock.instant(At(Duration::MAX)), None);
    }
}
