//! Why a call ended, and the party that ended it: one verdict for every ending.

use super::failover::ContinuesByDefault;
use crate::ari::request::Reason;
use crate::ari::topology::{End, Failure};
use crate::conversation::Ending;
use crate::tenancy::{CallStatus, EndedBy, FailoverCase, RejectCause};

/// Why a call was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The called number is not a phone number, or belongs to no tenant.
    UnknownNumber,
    NumberInactive,
    TenantSuspended,
    TenantDeleted,
    /// The tenant has no default profile, or names an engine that does not exist.
    NoAgent,
    /// The tenant's minutes of this month are used up.
    QuotaReached,
    /// The caller has the most calls that the operator allows one number, at once or within an hour.
    CallerLimit,
    /// The tenant has its maximum of calls.
    TenantBusy,
    /// The daemon has its maximum of calls.
    Full,
    /// The daemon is about to stop.
    Draining,
    /// The number cannot be looked up and is not cached.
    NoDatabase,
    /// The greeting cannot be synthesised.
    NoGreeting,
    /// Asterisk has too few RTP ports left.
    NoRtpPorts,
    /// Outside of business hours, and the number has a route for that.
    Closed,
    /// The number's pre-call webhook refuses the call.
    RejectedByWebhook(RejectCause),
    /// The number's pre-call webhook sends the call to a transfer target.
    Forwarded,
}

impl Refusal {
    /// The cause for the caller's network (ITU-T Q.850).
    pub fn reason(self) -> Reason {
        match self {
            Refusal::UnknownNumber | Refusal::NumberInactive | Refusal::TenantDeleted => {
                Reason::UnallocatedNumber
            }
            // Not a cause upon which a network tries elsewhere, or again.
            Refusal::TenantSuspended | Refusal::QuotaReached | Refusal::CallerLimit => Reason::Rejected,
            Refusal::TenantBusy => Reason::Busy,
            Refusal::Full | Refusal::NoRtpPorts => Reason::NoCircuit,
            Refusal::NoAgent
            | Refusal::Draining
            | Refusal::NoDatabase
            | Refusal::NoGreeting
            | Refusal::Closed => Reason::Congestion,
            Refusal::RejectedByWebhook(cause) => match cause {
                RejectCause::Busy => Reason::Busy,
                RejectCause::Declined => Reason::Rejected,
                RejectCause::Unavailable => Reason::Congestion,
                RejectCause::UnknownNumber => Reason::UnallocatedNumber,
            },
            Refusal::Forwarded => Reason::NormalClearing,
        }
    }

    /// The case of the number's failover routes; `None` where no route applies.
    pub fn case(self) -> Option<FailoverCase> {
        match self {
            Refusal::UnknownNumber
            | Refusal::NumberInactive
            | Refusal::TenantSuspended
            | Refusal::TenantDeleted
            | Refusal::NoDatabase
            | Refusal::RejectedByWebhook(_)
            | Refusal::Forwarded => None,
            Refusal::NoAgent => Some(FailoverCase::NoAgent),
            Refusal::QuotaReached => Some(FailoverCase::Quota),
            Refusal::CallerLimit => Some(FailoverCase::Limit),
            Refusal::TenantBusy => Some(FailoverCase::Busy),
            Refusal::Full | Refusal::NoRtpPorts => Some(FailoverCase::Full),
            Refusal::Draining => Some(FailoverCase::Draining),
            Refusal::NoGreeting => Some(FailoverCase::Engines),
            Refusal::Closed => Some(FailoverCase::Closed),
        }
    }

    /// Whether the dialplan continues with the caller where the number has no route, as it does without a daemon. The
    /// network gets the cause only if that fails.
    pub fn continues_by_default(self) -> ContinuesByDefault {
        match self {
            Refusal::Draining | Refusal::NoGreeting | Refusal::NoRtpPorts => ContinuesByDefault::Yes,
            _ => ContinuesByDefault::No,
        }
    }

    /// The value in the call record, the metric and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::UnknownNumber => "refused_unknown_number",
            Refusal::NumberInactive => "refused_number_inactive",
            Refusal::TenantSuspended => "refused_tenant_suspended",
            Refusal::TenantDeleted => "refused_tenant_deleted",
            Refusal::NoAgent => "refused_no_agent",
            Refusal::QuotaReached => "refused_quota_reached",
            Refusal::CallerLimit => "refused_caller_limit",
            Refusal::TenantBusy => "refused_tenant_busy",
            Refusal::Full => "refused_full",
            Refusal::Draining => "refused_draining",
            Refusal::NoDatabase => "refused_no_database",
            Refusal::NoGreeting => "refused_no_greeting",
            Refusal::NoRtpPorts => "refused_no_rtp_ports",
            Refusal::Closed => "refused_closed",
            Refusal::RejectedByWebhook(_) => "refused_by_webhook",
            Refusal::Forwarded => "forwarded",
        }
    }
}

/// The record of a call's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub status: CallStatus,
    pub ended_by: EndedBy,
    pub disposition: &'static str,
    pub cause: u16,
    /// The final status of the SIP call; `None` where it is not known.
    pub sip_status: Option<u16>,
}

impl Verdict {
    /// The verdict on an answered call in which no packet of the caller's arrived.
    pub fn without_media(self) -> Verdict {
        Verdict { status: CallStatus::Failed, disposition: "no_media", ..self }
    }
}

/// The INVITE was answered: its final response.
const OK: u16 = 200;

/// How a call ended here: its conversation, if it had begun, the reason of a refusal, and the case in which the dialplan
/// continues with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndedHere {
    pub conversation: Option<Ending>,
    pub refusal: Option<Refusal>,
    pub continued: Option<FailoverCase>,
}

/// The verdict on a call: how it ended in Asterisk, and how it did here.
pub fn verdict(end: &End, here: EndedHere) -> Verdict {
    let EndedHere { conversation, refusal, .. } = here;
    let answered = conversation.is_some();
    let ok = answered.then_some(OK);
    match (end, refusal) {
        (End::HungUp(reason), Some(refusal)) => of_refusal(refusal, *reason, here),
        (End::CallerLeft { cause, sip_status }, _) => Verdict {
            status: if answered { CallStatus::Completed } else { CallStatus::Failed },
            ended_by: EndedBy::Caller,
            disposition: match conversation {
                Some(Ending::Transferred) => "transferred",
                Some(_) => "caller_hung_up",
                None => "caller_gave_up",
            },
            cause: cause.unwrap_or(16),
            sip_status: sip_status.or(ok),
        },
        (End::HungUpInAsterisk { cause }, _) => Verdict {
            status: if answered { CallStatus::Completed } else { CallStatus::Failed },
            ended_by: EndedBy::System,
            disposition: "hung_up_in_asterisk",
            cause: cause.unwrap_or(16),
            sip_status: ok,
        },
        (End::AsteriskLost, _) => Verdict {
            status: CallStatus::Failed,
            ended_by: EndedBy::System,
            disposition: "asterisk_lost",
            cause: 41,
            sip_status: ok,
        },
        (End::HungUp(reason), None) => {
            let (status, ended_by, disposition) = of_conversation(conversation);
            let sip_status = ok.or_else(|| reason.sip_status());
            Verdict { status, ended_by, disposition, cause: reason.code().into(), sip_status }
        }
        (End::Failed(failure), _) => Verdict {
            status: CallStatus::Failed,
            ended_by: EndedBy::System,
            disposition: match failure {
                Failure::Deadline(_) => "failed_setup_timeout",
                Failure::Step { .. } => "failed_setup",
                Failure::MediaLost | Failure::BridgeLost => "failed_media_lost",
            },
            cause: 41,
            sip_status: ok,
        },
    }
}

/// The verdict on a call that no agent served.
fn of_refusal(refusal: Refusal, reason: Reason, here: EndedHere) -> Verdict {
    let (status, ended_by, sip_status) = match here.conversation {
        // The caller was answered for a message.
        Some(_) => (CallStatus::Completed, EndedBy::Agent, Some(OK)),
        // The dialplan decides about a caller who returns to it.
        None => {
            let sip_status = reason.sip_status().filter(|_| here.continued.is_none());
            (CallStatus::Refused, EndedBy::System, sip_status)
        }
    };
    Verdict { status, ended_by, disposition: refusal.as_str(), cause: reason.code().into(), sip_status }
}

fn of_conversation(ending: Option<Ending>) -> (CallStatus, EndedBy, &'static str) {
    match ending {
        Some(Ending::CallerLeft) => (CallStatus::Completed, EndedBy::Caller, "caller_hung_up"),
        Some(Ending::Silence) => (CallStatus::Completed, EndedBy::Agent, "caller_silent"),
        Some(Ending::TurnLimit) => (CallStatus::Completed, EndedBy::Agent, "turn_limit"),
        Some(Ending::TimeLimit) => (CallStatus::Completed, EndedBy::Agent, "time_limit"),
        Some(Ending::HoldLimit) => (CallStatus::Completed, EndedBy::Agent, "hold_limit"),
        Some(Ending::Emergency) => (CallStatus::Completed, EndedBy::Agent, "emergency"),
        Some(Ending::EngineFailure) => (CallStatus::Failed, EndedBy::System, "failed_engines"),
        Some(Ending::AgentHungUp) => (CallStatus::Completed, EndedBy::Agent, "agent_hung_up"),
        Some(Ending::Transferred) => (CallStatus::Completed, EndedBy::Agent, "transferred"),
        Some(Ending::Closed) => (CallStatus::Completed, EndedBy::Agent, "closed"),
        Some(Ending::Requested) => (CallStatus::Completed, EndedBy::System, "requested"),
        None => (CallStatus::Failed, EndedBy::System, "failed_media"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refusal: Refusal) -> EndedHere {
        EndedHere { refusal: Some(refusal), ..EndedHere::default() }
    }

    fn talked() -> EndedHere {
        EndedHere { conversation: Some(Ending::CallerLeft), ..EndedHere::default() }
    }

    #[test]
    fn a_refusal_sets_cause_and_disposition() {
        let refusal = Refusal::TenantSuspended;
        let verdict = verdict(&End::HungUp(refusal.reason()), refused(refusal));
        assert_eq!(verdict.status, CallStatus::Refused);
        assert_eq!((verdict.disposition, verdict.cause), ("refused_tenant_suspended", 21));
        assert_eq!(verdict.sip_status, Some(403));
    }

    #[test]
    fn a_message_in_place_of_a_conversation_is_an_answered_call() {
        let refusal = Refusal::TenantBusy;
        let here = EndedHere { conversation: Some(Ending::Closed), ..refused(refusal) };
        let verdict = verdict(&End::HungUp(Reason::NormalClearing), here);
        assert_eq!((verdict.status, verdict.ended_by), (CallStatus::Completed, EndedBy::Agent));
        assert_eq!((verdict.disposition, verdict.sip_status), ("refused_tenant_busy", Some(200)));
    }

    #[test]
    fn an_end_in_asterisk_is_not_the_callers() {
        let ended = |end| {
            let verdict = verdict(&end, talked());
            (verdict.status, verdict.ended_by, verdict.disposition)
        };
        let system = EndedBy::System;
        assert_eq!(ended(End::AsteriskLost), (CallStatus::Failed, system, "asterisk_lost"));
        let asked = End::HungUpInAsterisk { cause: Some(16) };
        assert_eq!(ended(asked), (CallStatus::Completed, system, "hung_up_in_asterisk"));
    }

    #[test]
    fn a_caller_who_leaves_before_the_answer_gave_up() {
        let end = End::CallerLeft { cause: Some(16), sip_status: None };
        let ringing = EndedHere::default();
        assert_eq!(verdict(&end, ringing).disposition, "caller_gave_up");
        assert_eq!(verdict(&end, talked()).disposition, "caller_hung_up");
        let cancelled = End::CallerLeft { cause: Some(127), sip_status: Some(487) };
        let statuses = [
            verdict(&cancelled, ringing).sip_status,
            verdict(&end, ringing).sip_status,
            verdict(&end, talked()).sip_status,
            verdict(
                &End::HungUp(Reason::Congestion),
                EndedHere { continued: Some(FailoverCase::Draining), ..refused(Refusal::Draining) },
            )
            .sip_status,
        ];
        assert_eq!(statuses, [Some(487), None, Some(200), None]);
    }
}
