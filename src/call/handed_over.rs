//! Legs that the dialplan dials for callers whom VCA has handed over. VCA does not see these legs: they count until the caller's
//! channel is gone from Asterisk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use super::dialled_legs::CountedLeg;
use super::leg_spend::{ChargeError, LegCharge, PricedLeg};
use super::task::Task;
use super::tasks::TaskResult;
use crate::ari::ChannelId;
use crate::ari::topology::{Input as TopologyInput, LegId};
use crate::tenancy::{TransferMethod, TransferStyle, TransferTarget};

/// The legs of all calls that were handed over. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct HandedOverLegs(Arc<Mutex<Vec<HandedOverLeg>>>);

/// Counted and charged until this is dropped.
#[derive(Debug)]
struct HandedOverLeg {
    caller: ChannelId,
    _leg: CountedLeg,
    _charge: Option<LegCharge>,
}

impl HandedOverLegs {
    pub fn add(&self, caller: ChannelId, leg: CountedLeg, charge: Option<LegCharge>) {
        self.lock().push(HandedOverLeg { caller, _leg: leg, _charge: charge });
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Ends the legs of callers whose channel Asterisk no longer has.
    pub fn retain(&self, has_channel: impl Fn(&ChannelId) -> bool) {
        self.lock().retain(|leg| has_channel(&leg.caller));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<HandedOverLeg>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a call here, with the leg that the dialplan is to dial for the caller.
#[derive(Debug)]
pub struct ChargedExit {
    input: TopologyInput,
    leg: CountedLeg,
    charge: Result<LegCharge, ChargeError>,
}

impl Task {
    /// Carries out the end of the call that its failover routes want.
    pub(super) fn leave(&mut self, input: TopologyInput) {
        let target = self.failover.continued_target().cloned();
        self.leave_to(target, input);
    }

    /// Carries out the end of the call. The dialplan dials the target within the operator's limits only: beyond them the call
    /// continues after Stasis.
    pub(super) fn leave_to(&mut self, target: Option<TransferTarget>, input: TopologyInput) {
        let is_dialled = |target: &TransferTarget| target.kind.is_dialled() && has_place(&input);
        let Some(target) = target.filter(is_dialled) else { return self.control(input) };
        let target =
            TransferTarget { method: TransferMethod::Dialplan, style: TransferStyle::Cold, ..target };
        let rules = self.services.transfer_rules.get();
        let Some(leg) = self.services.dialled_legs.count(target.tenant_id, &rules) else {
            warn!(to = %target.name, "all lines are in use: the call continues after Stasis");
            return self.control(after_stasis(input));
        };
        let Some(priced) = PricedLeg::of(&target, &rules) else {
            self.leave_leg(Some(leg), None);
            return self.control(input);
        };
        let spend = self.services.leg_spend.clone();
        self.tasks.start(|reports| async move {
            let charge = spend.charge(priced).await;
            let exit = Box::new(ChargedExit { input, leg, charge });
            // Without a receiver the call is over.
            let _ = reports.send(TaskResult::ExitCharged(exit)).await;
        });
    }

    pub(super) fn exit_charged(&mut self, exit: ChargedExit) {
        let ChargedExit { input, leg, charge } = exit;
        match charge {
            Ok(charge) => {
                self.leave_leg(Some(leg), Some(charge));
                self.control(input);
            }
            Err(error) => {
                warn!(%error, "the target is not dialled: the call continues after Stasis");
                self.control(after_stasis(input));
            }
        }
    }

    /// The dialplan dials for the caller. When the leg is answered is not known: it is charged from now on.
    pub(super) fn leave_leg(&self, leg: Option<CountedLeg>, mut charge: Option<LegCharge>) {
        if let Some(charge) = &mut charge {
            charge.answered();
        }
        if let (Some(leg), Some(caller)) = (leg, self.channel_of(LegId::CALLER)) {
            self.services.handed_over_legs.add(caller.clone(), leg, charge);
        }
    }
}

fn has_place(input: &TopologyInput) -> bool {
    matches!(input, TopologyInput::ContinueInDialplan { exit, .. } if exit.place().is_some())
}

fn after_stasis(input: TopologyInput) -> TopologyInput {
    match input {
        TopologyInput::ContinueInDialplan { exit, reason } => {
            TopologyInput::ContinueInDialplan { exit: exit.after_stasis(), reason }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ari::Reason;
    use crate::ari::topology::{DialplanExit, DialplanPlace};
    use crate::call::DialledLegs;
    use crate::tenancy::{TenantId, TransferRules};

    #[test]
    fn an_exit_beyond_the_limits_leads_behind_stasis() {
        let place = DialplanPlace { context: "vca-transfer".into(), extension: "s".into() };
        let exit = DialplanExit::with_status("busy").at(place);
        let input = TopologyInput::ContinueInDialplan { exit, reason: Reason::NormalClearing };
        assert!(has_place(&input));
        let input = after_stasis(input);
        assert!(!has_place(&input) && matches!(input, TopologyInput::ContinueInDialplan { .. }));
        let hang_up = || TopologyInput::HangUp { reason: Reason::Busy };
        assert!(!has_place(&hang_up()) && matches!(after_stasis(hang_up()), TopologyInput::HangUp { .. }));
    }

    #[test]
    fn a_leg_of_the_dialplan_counts_while_the_caller_has_a_channel() {
        let rules = TransferRules { max_legs: 2, max_legs_per_tenant: 1, ..TransferRules::default() };
        let (legs, handed_over, tenant) =
            (DialledLegs::default(), HandedOverLegs::default(), TenantId::new());
        let leg = legs.count(tenant, &rules).expect("there is room");
        handed_over.add(ChannelId::new("1.1"), leg, None);
        handed_over.retain(|channel| channel.as_str() == "1.1");
        assert!(!handed_over.is_empty() && legs.count(tenant, &rules).is_none());
        handed_over.retain(|channel| channel.as_str() == "1.2");
        assert!(handed_over.is_empty() && legs.count(tenant, &rules).is_some());
    }
}
