//! A transfer of a call, from the agent's last words until the caller and the target have parted.
//!
//! Pure: it reads no clock and sends nothing. Its driver is `call::transferring`.
//!
//! | phase | event | next | step |
//! |---|---|---|---|
//! | `LastWords` | the last words have reached the caller | `Waiting` | `Dial`, `Refer` or `HandOver` |
//! | `Waiting` | the driver has dialled | `Ringing` | – |
//! | `Waiting` | the driver has sent the REFER | `Referring` | – |
//! | `Ringing` | the target answers | `Connected` | `Connect` |
//! | `Ringing` | the target's leg ends, or its time is over | – | `Return` |
//! | `Referring` | it is refused, or the caller is still there after its time | – | `Return` |
//! | `Connected` | the target hangs up, or the time is over | – | `End` |

use std::time::{Duration, Instant};

use crate::ari::topology::LegId;
use crate::conversation::ToolId;
use crate::tenancy::{DialplanRoute, TransferEnd, TransferOutcome, TransferRoute};

/// A caller who is still there this long after a REFER is not transferred, as far as it is known, and returns to the agent.
const REFER_LIMIT: Duration = Duration::from_secs(15);

/// The transfer that is under way.
#[derive(Debug)]
pub struct Transfer {
    /// The tool that has asked for it.
    pub tool: ToolId,
    phase: TransferPhase,
}

#[derive(Debug)]
enum TransferPhase {
    LastWords { until: Instant, route: TransferRoute },
    Waiting,
    Ringing { leg: LegId, until: Instant },
    Referring { until: Instant },
    Connected { leg: LegId, until: Instant },
}

/// An action for the driver.
#[derive(Debug, PartialEq, Eq)]
pub enum TransferStep {
    /// Ring this endpoint of Asterisk, then call [`Transfer::ringing`].
    Dial { endpoint: String },
    /// Ask the caller's side to connect this URI, then call [`Transfer::referring`].
    Refer { uri: String },
    /// Have the dialplan continue here. The transfer is over.
    HandOver(DialplanRoute),
    /// Join the caller with this leg, without the agent.
    Connect { leg: LegId },
    /// The transfer failed: hang up the leg, if any, and return the caller to the agent.
    Return { outcome: TransferOutcome, release: Option<LegId> },
    /// The conversation with the target is over: hang up the caller.
    End { by: TransferEnd },
}

impl Transfer {
    /// `until` is the moment at which the agent's last words have reached the caller.
    pub fn new(tool: ToolId, route: TransferRoute, until: Instant) -> Transfer {
        Transfer { tool, phase: TransferPhase::LastWords { until, route } }
    }

    /// When [`Transfer::tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            TransferPhase::LastWords { until, .. }
            | TransferPhase::Ringing { until, .. }
            | TransferPhase::Referring { until }
            | TransferPhase::Connected { until, .. } => Some(until),
            TransferPhase::Waiting => None,
        }
    }

    pub fn tick(&mut self, now: Instant) -> Option<TransferStep> {
        if self.deadline().is_none_or(|until| until > now) {
            return None;
        }
        let returned = |outcome, release| Some(TransferStep::Return { outcome, release });
        match std::mem::replace(&mut self.phase, TransferPhase::Waiting) {
            TransferPhase::LastWords { route, .. } => Some(match route {
                TransferRoute::Dial { endpoint } => TransferStep::Dial { endpoint },
                TransferRoute::Refer { uri } => TransferStep::Refer { uri },
                TransferRoute::Dialplan(place) => TransferStep::HandOver(place),
            }),
            TransferPhase::Ringing { leg, .. } => returned(TransferOutcome::NoAnswer, Some(leg)),
            TransferPhase::Referring { .. } => returned(TransferOutcome::Unreachable, None),
            TransferPhase::Connected { .. } => Some(TransferStep::End { by: TransferEnd::System }),
            TransferPhase::Waiting => None,
        }
    }

    pub fn ringing(&mut self, leg: LegId, until: Instant) {
        self.phase = TransferPhase::Ringing { leg, until };
    }

    pub fn referring(&mut self, now: Instant) {
        self.phase = TransferPhase::Referring { until: now + REFER_LIMIT };
    }

    /// The target may talk to the caller until `until`.
    pub fn leg_answered(&mut self, answered: LegId, until: Instant) -> Option<TransferStep> {
        let TransferPhase::Ringing { leg, .. } = self.phase else { return None };
        (leg == answered).then(|| {
            self.phase = TransferPhase::Connected { leg, until };
            TransferStep::Connect { leg }
        })
    }

    pub fn leg_ended(&mut self, ended: LegId, cause: Option<u16>) -> Option<TransferStep> {
        match self.phase {
            TransferPhase::Ringing { leg, .. } if leg == ended => {
                Some(TransferStep::Return { outcome: outcome_of(cause), release: None })
            }
            TransferPhase::Connected { leg, .. } if leg == ended => {
                Some(TransferStep::End { by: TransferEnd::Target })
            }
            _ => None,
        }
    }

    pub fn refer_failed(&mut self) -> Option<TransferStep> {
        let is_referring = matches!(self.phase, TransferPhase::Referring { .. });
        is_referring.then_some(TransferStep::Return { outcome: TransferOutcome::Unreachable, release: None })
    }

    /// The call is over: what that means for the transfer, if its outcome is not known yet.
    pub fn call_ended(&self, by: TransferEnd) -> Option<TransferOutcome> {
        match self.phase {
            // A caller's side that carries out a REFER ends its call here.
            TransferPhase::Referring { .. } if by == TransferEnd::Caller => Some(TransferOutcome::HandedOver),
            TransferPhase::Connected { .. } => None,
            TransferPhase::LastWords { .. }
            | TransferPhase::Waiting
            | TransferPhase::Ringing { .. }
            | TransferPhase::Referring { .. } => Some(TransferOutcome::Cancelled),
        }
    }
}

/// The outcome of a leg that ended unanswered, by its Q.850 cause.
fn outcome_of(cause: Option<u16>) -> TransferOutcome {
    match cause {
        Some(17) => TransferOutcome::Busy,
        // No user responding, no answer, subscriber absent; and the timer that Asterisk itself has.
        Some(18..=20 | 102) => TransferOutcome::NoAnswer,
        Some(21) => TransferOutcome::Declined,
        _ => TransferOutcome::Unreachable,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a moment to begin at")]
mod tests {
    use super::*;

    const LEG: LegId = LegId::MEDIA;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn begun(route: TransferRoute) -> (Transfer, Instant) {
        let now = Instant::now();
        (Transfer::new(ToolId(1), route, now + seconds(1)), now)
    }

    fn ringing() -> (Transfer, Instant) {
        let (mut transfer, now) = begun(TransferRoute::Dial { endpoint: "PJSIP/alice".into() });
        assert_eq!(transfer.tick(now), None, "the last words are still played");
        let dial = TransferStep::Dial { endpoint: "PJSIP/alice".into() };
        assert_eq!(transfer.tick(now + seconds(1)), Some(dial));
        transfer.ringing(LEG, now + seconds(30));
        (transfer, now)
    }

    #[test]
    fn a_target_that_answers_talks_until_it_hangs_up_or_its_time_is_over() {
        let (mut transfer, now) = ringing();
        assert_eq!(transfer.leg_answered(LegId::CALLER, now), None, "another leg");
        let connect = Some(TransferStep::Connect { leg: LEG });
        assert_eq!(transfer.leg_answered(LEG, now + seconds(60)), connect);
        assert_eq!(transfer.leg_answered(LEG, now + seconds(60)), None, "once");
        assert_eq!(transfer.call_ended(TransferEnd::Caller), None);
        assert_eq!(transfer.tick(now + seconds(30)), None);
        let ended = transfer.leg_ended(LEG, Some(16));
        assert_eq!(ended, Some(TransferStep::End { by: TransferEnd::Target }));
        let ended = transfer.tick(now + seconds(60));
        assert_eq!(ended, Some(TransferStep::End { by: TransferEnd::System }));
    }

    #[test]
    fn a_target_that_does_not_answer_returns_the_caller() {
        for (cause, outcome) in [
            (Some(17), TransferOutcome::Busy),
            (Some(19), TransferOutcome::NoAnswer),
            (Some(18), TransferOutcome::NoAnswer),
            (Some(21), TransferOutcome::Declined),
            (Some(1), TransferOutcome::Unreachable),
            (Some(3), TransferOutcome::Unreachable),
            (None, TransferOutcome::Unreachable),
        ] {
            let (mut transfer, _) = ringing();
            let returned = transfer.leg_ended(LEG, cause);
            assert_eq!(returned, Some(TransferStep::Return { outcome, release: None }), "{cause:?}");
        }
        let (mut transfer, now) = ringing();
        let expected = TransferStep::Return { outcome: TransferOutcome::NoAnswer, release: Some(LEG) };
        assert_eq!(transfer.tick(now + seconds(30)), Some(expected));
        assert_eq!(transfer.leg_answered(LEG, now), None, "too late");
    }

    #[test]
    fn a_refer_without_an_end_returns_the_caller() {
        let refer = || begun(TransferRoute::Refer { uri: "sip:shop@pbx".into() });
        let (mut transfer, now) = refer();
        let step = transfer.tick(now + seconds(1));
        assert_eq!(step, Some(TransferStep::Refer { uri: "sip:shop@pbx".into() }));
        transfer.referring(now);
        assert_eq!(transfer.call_ended(TransferEnd::Caller), Some(TransferOutcome::HandedOver));
        assert_eq!(transfer.call_ended(TransferEnd::System), Some(TransferOutcome::Cancelled));
        let returned = TransferStep::Return { outcome: TransferOutcome::Unreachable, release: None };
        assert_eq!(transfer.tick(now + REFER_LIMIT).as_ref(), Some(&returned));
        let (mut transfer, now) = refer();
        assert_eq!(transfer.refer_failed(), None);
        transfer.tick(now + seconds(1));
        transfer.referring(now);
        assert_eq!(transfer.refer_failed(), Some(returned));
    }

    #[test]
    fn the_dialplan_takes_over_after_the_last_words() {
        let place = DialplanRoute { context: "sales".into(), extension: "1001".into(), endpoint: None };
        let (mut transfer, now) = begun(TransferRoute::Dialplan(place.clone()));
        assert_eq!(transfer.call_ended(TransferEnd::Caller), Some(TransferOutcome::Cancelled));
        assert_eq!(transfer.tick(now + seconds(1)), Some(TransferStep::HandOver(place)));
        assert_eq!(transfer.tick(now + seconds(2)), None);
    }
}
