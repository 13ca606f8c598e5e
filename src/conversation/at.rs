//! Time within a conversation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: how long after the conversation's origin. Unlike an `Instant` it can be stored and resumed in another
/// process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct At(pub Duration);

impl At {
    /// The time since `earlier`; zero when that is later.
    pub fn since(self, earlier: At) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `wait` later, or `None` beyond the range of a `Duration`.
    pub fn checked_add(self, wait: Duration) -> Option<At> {
        self.0.checked_add(wait).map(At)
    }

    /// The moment `wait` later, or the last one there is.
    pub fn saturating_add(self, wait: Duration) -> At {
        At(self.0.saturating_add(wait))
    }
}
