//! How long a transfer waits for its target.

use std::time::Duration;

use crate::tenancy::TransferRules;

/// The time that an announcement may take, its synthesis included.
pub(super) const LONGEST_ANNOUNCEMENT: Duration = Duration::from_secs(60);

/// The operator's time limits for dialled targets.
#[derive(Debug, Clone, Copy)]
pub struct TransferTimes {
    /// For the first words of a target that answers.
    pub first_words: Duration,
    /// For the target's decision, from the end of the announcement.
    pub accept: Duration,
    /// For the conversation of caller and target.
    pub leg: Duration,
}

impl TransferTimes {
    pub fn of(rules: &TransferRules) -> TransferTimes {
        TransferTimes {
            first_words: Duration::from_millis(rules.first_words_ms),
            accept: Duration::from_secs(rules.accept_s),
            leg: Duration::from_secs(rules.max_leg_s),
        }
    }
}
