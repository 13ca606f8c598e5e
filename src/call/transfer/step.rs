//! The steps of a transfer that its driver carries out.

use crate::ari::topology::LegId;
use crate::tenancy::{DialplanRoute, TransferEnd, TransferOutcome};

/// An action for the driver.
#[derive(Debug, PartialEq, Eq)]
pub enum TransferStep {
    /// Ask whether the tenant still has the target, then call [`Transfer::checked`].
    Check,
    /// Ask the endpoint of the target, then call [`Transfer::resolved`] or [`Transfer::unresolved`].
    Ask,
    /// Ring this endpoint of Asterisk, then call [`Transfer::ringing`].
    Dial { endpoint: String },
    /// Ask the caller's side to connect this URI, then call [`Transfer::referring`].
    Refer { uri: String },
    /// Have the dialplan continue here. The transfer is over.
    HandOver(DialplanRoute),
    /// Join the agent with this leg, without the caller, and prepare the announcement.
    Consult { leg: LegId },
    /// Play the announcement, then call [`Transfer::announced`].
    Announce,
    /// Recognise the words of the party that is heard from this position of its audio on.
    BeginWords { from: u64 },
    /// They end here: call [`Transfer::answered_in_words`] with those of the target, [`Transfer::caller_said`] with the caller's.
    EndWords { to: u64 },
    /// They are of no use.
    DropWords,
    /// Join the caller with this leg, without the agent.
    Connect { leg: LegId },
    /// The transfer failed: hang up the leg, if any, and return the caller to the agent.
    /// `by` has cancelled it.
    Return { outcome: TransferOutcome, by: Option<TransferEnd>, release: Option<LegId> },
    /// The conversation with the target is over: hang up the caller.
    End { by: TransferEnd },
}

pub(super) fn returned(outcome: TransferOutcome, release: Option<LegId>) -> Option<TransferStep> {
    Some(failed(outcome, release))
}

pub(super) fn failed(outcome: TransferOutcome, release: Option<LegId>) -> TransferStep {
    TransferStep::Return { outcome, by: None, release }
}

/// The outcome of a leg that ended unanswered, by its Q.850 cause.
pub(super) fn outcome_of(cause: Option<u16>) -> TransferOutcome {
    match cause {
        Some(17) => TransferOutcome::Busy,
        // No user responding, no answer, subscriber absent; and the timer that Asterisk itself has.
        Some(18..=20 | 102) => TransferOutcome::NoAnswer,
        Some(21) => TransferOutcome::Declined,
        _ => TransferOutcome::Unreachable,
    }
}
