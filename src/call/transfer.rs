//! A transfer of a call, from the agent's last words until the caller and the target have parted.
//!
//! Pure: it reads no clock and sends nothing. Its driver is `call::transferring`.
//!
//! | phase | event | next | step |
//! |---|---|---|---|
//! | `LastWords` | the last words have reached the caller | `Checking` | `Check` |
//! | `Checking` | the tenant has the target | `Waiting` | `Dial`, `Refer` or `HandOver` |
//! | `Checking` | the same, and the tenant's endpoint names the place | `Resolving` | `Ask` |
//! | `Checking` | the target was deleted, or the leg exceeds the spend of the day | – | `Return` |
//! | `Resolving` | the place is known | `Checking` | `Check` |
//! | `Resolving` | it is not | – | `Return` |
//! | `Waiting` | the driver has dialled | `Ringing` | – |
//! | `Waiting` | the driver has sent the REFER | `Referring` | – |
//! | `Ringing` | the target answers, cold | `Connected` | `Connect` |
//! | `Ringing` | the target answers, confirmed or warm | `Answering` | `Consult` |
//! | `Ringing` | the target's leg ends, or its time is over | – | `Return` |
//! | `Ringing` | a caller who is heard speaks, and pauses | – | `BeginWords`, `EndWords`, or `DropWords` after long speech |
//! | `Ringing` | the caller's words cancel the transfer | – | `Return` |
//! | `Referring` | Asterisk refuses it, or the caller is still there after its time | – | `Return` |
//! | `Referring` | the caller's side has reported its end | `Referring`, for a moment | – |
//! | `Answering` | the target's first words are over, or there are none in time | `Announcing` | `Announce` |
//! | `Announcing` | the announcement was played | `Deciding` | – |
//! | `Deciding` | the target speaks, and pauses | – | `BeginWords`, `EndWords`, or `DropWords` where it speaks for long |
//! | `Deciding` | its words are in doubt, and it has begun to speak again | – | `BeginWords` |
//! | `Deciding` | its words accept the call | `Connected` | `Connect` |
//! | `Deciding` | its words decline it, or its time is over | – | `Return` |
//! | `Answering`, `Announcing`, `Deciding` | key 1 | `Connected` | `Connect` |
//! | `Answering`, `Announcing`, `Deciding` | key 2, or a hang-up | – | `Return` |
//! | any before `Connected`, not `Referring` | the transfer is cancelled | – | `Return` |
//! | `Connected` | the target hangs up, or the time is over | – | `End` |

mod phase;
mod step;
mod times;
mod words;

use std::time::{Duration, Instant};

use crate::ari::topology::LegId;
use crate::conversation::ToolId;
use crate::dtmf::Digit;
use crate::language::Acceptance;
use crate::tenancy::{TransferEnd, TransferOutcome, TransferRoute, TransferStyle};
use phase::TransferPhase;
pub use step::TransferStep;
use step::{failed, outcome_of, returned};
use times::LONGEST_ANNOUNCEMENT;
pub use times::TransferTimes;
use words::{FirstWords, Meaning, PartySpeech};

/// A caller returns to the agent after this if their side has not reported the end of a REFER: it may ring the target.
const REFER_LIMIT: Duration = Duration::from_secs(60);
/// A caller who is still there this long after the end of a REFER was not connected.
const REFER_GRACE: Duration = Duration::from_secs(2);
/// A pause of the target's words after which they are over.
const WORDS_PAUSE: Duration = Duration::from_millis(700);
/// The announcement begins this long after the first words began, even if they go on: a mailbox may greet at length.
const LONGEST_WORDS: Duration = Duration::from_secs(5);
/// Utterances of a caller who waits that are recognised in one transfer: music may return as an echo.
const MOST_UTTERANCES: u32 = 10;

/// The transfer that is under way.
#[derive(Debug)]
pub struct Transfer {
    /// The tool that has asked for it.
    pub tool: ToolId,
    style: TransferStyle,
    times: TransferTimes,
    phase: TransferPhase,
}

impl Transfer {
    /// `until` is the moment at which the agent's last words have reached the caller.
    pub fn new(
        tool: ToolId,
        route: TransferRoute,
        style: TransferStyle,
        times: TransferTimes,
        until: Instant,
    ) -> Transfer {
        Transfer { tool, style, times, phase: TransferPhase::LastWords { until, route } }
    }

    /// When [`Transfer::tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            TransferPhase::Ringing { until, caller, .. } => {
                caller.deadline().into_iter().chain([until]).min()
            }
            TransferPhase::LastWords { until, .. }
            | TransferPhase::Referring { until }
            | TransferPhase::Announcing { until, .. }
            | TransferPhase::Connected { until, .. } => Some(until),
            TransferPhase::Deciding { until, answer, .. } => Some(answer.deadline().unwrap_or(until)),
            TransferPhase::Answering { words, .. } => Some(words.until()),
            TransferPhase::Checking { .. } | TransferPhase::Waiting | TransferPhase::Resolving => None,
        }
    }

    pub fn tick(&mut self, now: Instant) -> Option<TransferStep> {
        if self.deadline().is_none_or(|until| until > now) {
            return None;
        }
        match std::mem::replace(&mut self.phase, TransferPhase::Waiting) {
            TransferPhase::LastWords { route, .. } => Some(self.check(route)),
            TransferPhase::Ringing { leg, until, .. } if until <= now => {
                returned(TransferOutcome::NoAnswer, Some(leg))
            }
            TransferPhase::Ringing { leg, until, mut caller, left } => {
                let step = caller.tick(now);
                self.phase = TransferPhase::Ringing { leg, until, caller, left };
                step
            }
            TransferPhase::Referring { .. } => returned(TransferOutcome::Unreachable, None),
            TransferPhase::Answering { leg, .. } => {
                self.phase = TransferPhase::Announcing { leg, until: now + LONGEST_ANNOUNCEMENT };
                Some(TransferStep::Announce)
            }
            TransferPhase::Announcing { leg, .. } => returned(TransferOutcome::NotAccepted, Some(leg)),
            TransferPhase::Deciding { leg, until, mut answer } => match answer.tick(now) {
                None => returned(TransferOutcome::NotAccepted, Some(leg)),
                step => {
                    self.phase = TransferPhase::Deciding { leg, until, answer };
                    step
                }
            },
            TransferPhase::Connected { .. } => Some(TransferStep::End { by: TransferEnd::System }),
            TransferPhase::Checking { .. } | TransferPhase::Waiting | TransferPhase::Resolving => None,
        }
    }

    fn check(&mut self, route: TransferRoute) -> TransferStep {
        self.phase = TransferPhase::Checking { route };
        TransferStep::Check
    }

    /// The tenant still has the target, or has deleted it meanwhile.
    pub fn checked(&mut self, exists: bool) -> Option<TransferStep> {
        if !matches!(self.phase, TransferPhase::Checking { .. }) {
            return None;
        }
        match std::mem::replace(&mut self.phase, TransferPhase::Waiting) {
            TransferPhase::Checking { route } if exists => Some(self.begin(route)),
            _ => returned(TransferOutcome::Refused, None),
        }
    }

    /// The leg must not be dialled, because it is not within the tenant's spend of the day, or that is not known.
    pub fn not_charged(&mut self, outcome: TransferOutcome) -> Option<TransferStep> {
        matches!(self.phase, TransferPhase::Checking { .. }).then(|| {
            self.phase = TransferPhase::Waiting;
            failed(outcome, None)
        })
    }

    fn begin(&mut self, route: TransferRoute) -> TransferStep {
        match route {
            TransferRoute::Dial { endpoint } => TransferStep::Dial { endpoint },
            TransferRoute::Refer { uri } => TransferStep::Refer { uri },
            TransferRoute::Dialplan(place) => TransferStep::HandOver(place),
            TransferRoute::Ask => {
                self.phase = TransferPhase::Resolving;
                TransferStep::Ask
            }
        }
    }

    /// The endpoint has named the place, which has a style of its own.
    pub fn resolved(&mut self, route: TransferRoute, style: TransferStyle) -> Option<TransferStep> {
        let is_asked = matches!(self.phase, TransferPhase::Resolving) && route != TransferRoute::Ask;
        is_asked.then(|| {
            self.style = style;
            self.check(route)
        })
    }

    /// The endpoint has named no place that the caller may go to.
    pub fn unresolved(&mut self, outcome: TransferOutcome) -> Option<TransferStep> {
        matches!(self.phase, TransferPhase::Resolving).then(|| failed(outcome, None))
    }

    pub fn ringing(&mut self, leg: LegId, until: Instant) {
        let (caller, left) = (PartySpeech::Silent, MOST_UTTERANCES);
        self.phase = TransferPhase::Ringing { leg, until, caller, left };
    }

    pub fn referring(&mut self, now: Instant) {
        self.phase = TransferPhase::Referring { until: now + REFER_LIMIT };
    }

    pub fn leg_answered(&mut self, answered: LegId, now: Instant) -> Option<TransferStep> {
        match (&self.phase, self.style) {
            (TransferPhase::Ringing { leg, .. }, TransferStyle::Cold) if *leg == answered => {
                self.connect(answered, now)
            }
            (TransferPhase::Ringing { leg, .. }, TransferStyle::Confirmed | TransferStyle::Warm)
                if *leg == answered =>
            {
                let words = FirstWords::Awaited { until: now + self.times.first_words };
                self.phase = TransferPhase::Answering { leg: answered, words };
                Some(TransferStep::Consult { leg: answered })
            }
            _ => None,
        }
    }

    /// The caller who waits, or the target that is joined with the agent, begins to speak at this position of the audio.
    pub fn voice_started(&mut self, now: Instant, from: u64) -> Option<TransferStep> {
        match &mut self.phase {
            TransferPhase::Ringing { caller, left: 0, .. } if caller.takes_another() => None,
            TransferPhase::Ringing { until, caller, left, .. } => {
                *left -= u32::from(caller.takes_another());
                caller.started(now, from, *until)
            }
            TransferPhase::Answering { words, .. } => {
                let at_most = match *words {
                    FirstWords::Awaited { .. } => now + LONGEST_WORDS,
                    FirstWords::Spoken { at_most, .. } => at_most,
                };
                *words = FirstWords::Spoken { until: at_most, at_most };
                None
            }
            TransferPhase::Deciding { until, answer, .. } => answer.started(now, from, *until),
            _ => None,
        }
    }

    /// The party that is heard pauses at this position of its audio.
    pub fn voice_paused(&mut self, now: Instant, to: u64) {
        match &mut self.phase {
            TransferPhase::Answering { words: FirstWords::Spoken { until, at_most }, .. } => {
                *until = (*at_most).min(now + WORDS_PAUSE);
            }
            TransferPhase::Deciding { answer, .. } => answer.paused(now, to),
            TransferPhase::Ringing { caller, .. } => caller.paused(now, to),
            _ => {}
        }
    }

    /// The announcement was played, or cannot be.
    pub fn announced(&mut self, now: Instant) {
        if let TransferPhase::Announcing { leg, .. } = self.phase {
            let until = now + self.times.accept;
            self.phase = TransferPhase::Deciding { leg, until, answer: PartySpeech::Silent };
        }
    }

    /// The words of the target's answer are known. Doubt is no consent: `None` counts as no answer.
    pub fn answered_in_words(&mut self, now: Instant, consent: Option<Acceptance>) -> Option<TransferStep> {
        let TransferPhase::Deciding { leg, answer, .. } = &mut self.phase else { return None };
        let leg = *leg;
        match answer.recognised(now, consent) {
            Meaning::Answer(Acceptance::Accepted) => self.connect(leg, now),
            Meaning::Answer(Acceptance::Declined) => {
                self.phase = TransferPhase::Waiting;
                returned(TransferOutcome::Declined, Some(leg))
            }
            Meaning::Doubt { then } => then.map(|from| TransferStep::BeginWords { from }),
        }
    }

    /// The words of the caller who waits are known, and whether they cancel the transfer.
    pub fn caller_said(&mut self, now: Instant, cancel: bool) -> Option<TransferStep> {
        let TransferPhase::Ringing { caller, .. } = &mut self.phase else { return None };
        match caller.recognised(now, cancel.then_some(())) {
            Meaning::Answer(()) => self.cancel(TransferEnd::Caller),
            Meaning::Doubt { then } => then.map(|from| TransferStep::BeginWords { from }),
        }
    }

    /// The target presses a key: 1 accepts the call, 2 declines it.
    pub fn pressed(&mut self, by: LegId, key: Digit, now: Instant) -> Option<TransferStep> {
        let leg = self.consulted().filter(|leg| *leg == by)?;
        match key.as_char() {
            '1' => self.connect(leg, now),
            '2' => {
                self.phase = TransferPhase::Waiting;
                returned(TransferOutcome::Declined, Some(leg))
            }
            _ => None,
        }
    }

    pub fn leg_ended(&mut self, ended: LegId, cause: Option<u16>) -> Option<TransferStep> {
        match self.phase {
            TransferPhase::Ringing { leg, .. } if leg == ended => returned(outcome_of(cause), None),
            TransferPhase::Answering { leg, .. }
            | TransferPhase::Announcing { leg, .. }
            | TransferPhase::Deciding { leg, .. }
                if leg == ended =>
            {
                returned(TransferOutcome::NotAccepted, None)
            }
            TransferPhase::Connected { leg, .. } if leg == ended => {
                Some(TransferStep::End { by: TransferEnd::Target })
            }
            _ => None,
        }
    }

    /// The caller's side has carried out the REFER or has refused it: a caller who was connected leaves now.
    pub fn refer_ended(&mut self, now: Instant) {
        if let TransferPhase::Referring { until } = &mut self.phase {
            *until = (*until).min(now + REFER_GRACE);
        }
    }

    pub fn refer_failed(&mut self) -> Option<TransferStep> {
        let is_referring = matches!(self.phase, TransferPhase::Referring { .. });
        is_referring.then(|| failed(TransferOutcome::Unreachable, None))
    }

    /// Gives the transfer up, as caller or operator want it. `None` when that is not possible: the target has the caller, or the
    /// caller's side has been asked to connect it.
    pub fn cancel(&mut self, by: TransferEnd) -> Option<TransferStep> {
        let release = match self.phase {
            TransferPhase::LastWords { .. } | TransferPhase::Checking { .. } | TransferPhase::Resolving => {
                None
            }
            TransferPhase::Ringing { leg, .. }
            | TransferPhase::Answering { leg, .. }
            | TransferPhase::Announcing { leg, .. }
            | TransferPhase::Deciding { leg, .. } => Some(leg),
            TransferPhase::Waiting | TransferPhase::Referring { .. } | TransferPhase::Connected { .. } => {
                return None;
            }
        };
        self.phase = TransferPhase::Waiting;
        Some(TransferStep::Return { outcome: TransferOutcome::Cancelled, by: Some(by), release })
    }

    /// The call is over: what that means for the transfer, if its outcome is not known yet.
    pub fn call_ended(&self, by: TransferEnd) -> Option<TransferOutcome> {
        match self.phase {
            // A caller's side that carries out a REFER ends its call here.
            TransferPhase::Referring { .. } if by == TransferEnd::Caller => Some(TransferOutcome::HandedOver),
            TransferPhase::Connected { .. } => None,
            TransferPhase::LastWords { .. }
            | TransferPhase::Checking { .. }
            | TransferPhase::Resolving
            | TransferPhase::Waiting
            | TransferPhase::Ringing { .. }
            | TransferPhase::Referring { .. }
            | TransferPhase::Answering { .. }
            | TransferPhase::Announcing { .. }
            | TransferPhase::Deciding { .. } => Some(TransferOutcome::Cancelled),
        }
    }

    /// The target that is joined with the agent.
    fn consulted(&self) -> Option<LegId> {
        match self.phase {
            TransferPhase::Answering { leg, .. }
            | TransferPhase::Announcing { leg, .. }
            | TransferPhase::Deciding { leg, .. } => Some(leg),
            _ => None,
        }
    }

    fn connect(&mut self, leg: LegId, now: Instant) -> Option<TransferStep> {
        self.phase = TransferPhase::Connected { leg, until: now + self.times.leg };
        Some(TransferStep::Connect { leg })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a moment to begin at")]
mod tests;
