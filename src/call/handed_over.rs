//! Legs that the dialplan dials for callers whom VCA has handed over. VCA does not see these legs: they count until the caller's
//! channel is gone from Asterisk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dialled_legs::CountedLeg;
use super::leg_spend::LegCharge;
use super::task::Task;
use crate::ari::ChannelId;
use crate::ari::topology::LegId;

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

impl Task {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::DialledLegs;
    use crate::tenancy::{TenantId, TransferRules};

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
