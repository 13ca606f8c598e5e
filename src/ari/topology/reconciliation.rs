//! What a list of Asterisk's objects shows of a call: objects that are missing, or that exist after all.

use std::time::Instant;

use super::contract::{End, Failure};
use super::{Topology, TopologyPhase};
use crate::ari::answer::{Continuity, Inventory};

impl Topology {
    /// Only an object that existed before the list was requested can be missing in it.
    pub(super) fn reconcile(&mut self, now: Instant, inventory: &Inventory) {
        let asked_at = inventory.asked_at;
        let is_up = matches!(self.phase, TopologyPhase::Up { since } if since < asked_at);
        let (mut ends, mut missing) = (Vec::new(), Vec::new());
        for leg in &mut self.arrangement.legs {
            let is_listed = inventory.channels.contains(&leg.channel.id);
            let is_missing = !is_listed && leg.channel.existed_before(asked_at);
            if leg.is_arrived() {
                if is_missing {
                    leg.channel.gone();
                    ends.push(end_of_missing_caller(inventory.continuity));
                }
            } else if leg.is_optional() || !leg.is_needed() {
                // Whether it was answered meanwhile is not known: it rings until its time is over.
                if is_listed {
                    leg.channel.seen(now);
                } else if is_missing {
                    missing.push(leg.id);
                }
            } else if is_listed {
                leg.entered();
                leg.channel.seen(now);
            } else if is_missing && is_up {
                ends.push(End::Failed(Failure::MediaLost));
            }
        }
        for bridge in &mut self.arrangement.bridges {
            if inventory.bridges.contains(&bridge.resource.id) {
                bridge.resource.seen(now);
            } else if is_up && bridge.resource.existed_before(asked_at) {
                ends.push(End::Failed(Failure::BridgeLost));
            }
        }
        missing.into_iter().for_each(|leg| self.leg_ended(leg, None));
        ends.into_iter().for_each(|end| self.end(now, end));
    }
}

/// The end of a call without its caller in the list of channels.
fn end_of_missing_caller(continuity: Continuity) -> End {
    match continuity {
        Continuity::Restarted => End::AsteriskLost,
        Continuity::Unknown | Continuity::Continued => End::CallerLeft { cause: None, sip_status: None },
    }
}
