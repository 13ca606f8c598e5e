//! Transfers of a call, as its record has them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::words;
use super::{Label, TransferMethod, TransferStyle};

words!(
    /// The outcome of a transfer. `ringing`: in progress. `connected`: the target answered, and talked to the caller.
    /// `handed_over`: the caller continued in the dialplan, or left for the target by SIP REFER. With all other outcomes the
    /// caller returned to the agent, unless the call was over.
    TransferOutcome {
        Ringing = "ringing",
        Connected = "connected",
        HandedOver = "handed_over",
        Busy = "busy",
        NoAnswer = "no_answer",
        Declined = "declined",
        /// It answered and did not accept the call: it hung up or gave no answer, as a mailbox does.
        NotAccepted = "not_accepted",
        /// It could not be reached: an unknown number or extension, or no route to it.
        Unreachable = "unreachable",
        /// It was not attempted: outside of its hours, at a limit, or not allowed by the operator.
        Refused = "refused",
        /// It was not attempted: the tenant's dialled legs have cost the most that the operator allows a day.
        SpendLimit = "spend_limit",
        /// The call ended before the target had the caller, or the transfer was cancelled: `ended_by` is the party that did it.
        Cancelled = "cancelled",
    }
);
words!(
    /// The party that ended the conversation with a target, or cancelled the transfer.
    TransferEnd {
        Caller = "caller",
        Target = "target",
        /// A person, by a command to the live call.
        Operator = "operator",
        /// The longest conversation that the operator allows, a drain, a hang-up in Asterisk or a failure.
        System = "system",
    }
);

/// One transfer of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallTransfer {
    /// The target's name.
    pub target: Label,
    pub method: TransferMethod,
    #[serde(default)]
    pub style: TransferStyle,
    pub outcome: TransferOutcome,
    /// The place that the endpoint of a target of the kind `http` named: a target's name or an address.
    #[serde(default)]
    pub resolved_to: Option<String>,
    /// The agent's words about the call for the target, on one line of at most 400 characters. Absent where it had none, and once
    /// the call's transcript is deleted.
    #[serde(default)]
    pub summary: Option<String>,
    /// The agent's last words were over, and the transfer began.
    pub started_at: DateTime<Utc>,
    /// The target answered; only for `dial`.
    pub answered_at: Option<DateTime<Utc>>,
    /// The target accepted the call by key or word; only for the styles `confirmed` and `warm`.
    #[serde(default)]
    pub accepted_at: Option<DateTime<Utc>>,
    /// The attempt ended, or the conversation with the target did.
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_by: Option<TransferEnd>,
}

impl CallTransfer {
    /// The transfer without the agent's words.
    #[must_use]
    pub fn without_summary(self) -> CallTransfer {
        CallTransfer { summary: None, ..self }
    }

    /// Did the caller reach the target, as far as it is known?
    pub fn is_success(&self) -> bool {
        matches!(self.outcome, TransferOutcome::Connected | TransferOutcome::HandedOver)
    }
}
