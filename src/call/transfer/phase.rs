//! The phases of a transfer.

use std::time::Instant;

use super::words::{FirstWords, PartySpeech};
use crate::ari::topology::LegId;
use crate::tenancy::TransferRoute;

#[derive(Debug)]
pub(super) enum TransferPhase {
    LastWords {
        until: Instant,
        route: TransferRoute,
    },
    /// The database is asked whether the tenant still has the target, which has a time limit of its own.
    Checking {
        route: TransferRoute,
    },
    /// The endpoint is asked, which has a time limit of its own.
    Resolving,
    Waiting,
    Ringing {
        leg: LegId,
        until: Instant,
        /// Of the caller who waits, where they are heard.
        caller: PartySpeech,
        /// Utterances of theirs that may still be recognised.
        left: u32,
    },
    Referring {
        until: Instant,
    },
    Answering {
        leg: LegId,
        words: FirstWords,
    },
    Announcing {
        leg: LegId,
        until: Instant,
    },
    Deciding {
        leg: LegId,
        until: Instant,
        answer: PartySpeech,
    },
    Connected {
        leg: LegId,
        until: Instant,
    },
}
