//! Keeps calls from exhausting Asterisk's RTP ports.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::ari::event::Channel;
use crate::ari::{ChannelId, RtpPorts};

/// Pairs of ports of a call: the trunk's and those of external media.
const PAIRS_OF_A_CALL: usize = 2;

/// Counts the pairs of RTP ports that channels use, against those that Asterisk has.
pub struct PortBudget {
    /// `None` when the range is unknown: nothing is refused.
    ports: Option<RtpPorts>,
    /// Channels of other applications, as of the latest look. Each is taken to use a pair.
    others: AtomicUsize,
}

impl PortBudget {
    pub fn new(ports: Option<RtpPorts>) -> PortBudget {
        PortBudget { ports, others: AtomicUsize::new(0) }
    }

    pub fn is_known(&self) -> bool {
        self.ports.is_some()
    }

    /// Whether there is room for another call that has the pair of its trunk already. `admitted` calls have two
    /// pairs or will take them; `waiting` ones have their trunk's.
    pub fn has_room(&self, admitted: usize, waiting: usize) -> bool {
        let used = PAIRS_OF_A_CALL * (admitted + 1) + waiting + self.others.load(Relaxed);
        self.ports.is_none_or(|ports| used <= ports.pairs())
    }

    /// Takes the channels that Asterisk has; `is_ours` is true for those of calls under way.
    pub fn observe(&self, channels: &[Channel], is_ours: impl Fn(&ChannelId) -> bool) {
        let others = channels.iter().filter(|channel| channel.uses_rtp() && !is_ours(&channel.id)).count();
        self.others.store(others, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Channel {
        Channel { name: name.into(), ..Channel::with_id(name) }
    }

    #[test]
    fn calls_stay_within_the_range() {
        let budget = PortBudget::new(Some(RtpPorts::new((10_000, 10_019))));
        assert!(budget.has_room(4, 0), "the fifth call of five");
        assert!(!budget.has_room(5, 0));
        assert!(budget.has_room(3, 2), "calls that are not admitted yet have one pair");
        assert!(!budget.has_room(3, 3));
        assert!(PortBudget::new(None).has_room(1_000_000, 0), "an unknown range refuses nothing");
    }

    #[test]
    fn channels_of_other_applications_count() {
        let budget = PortBudget::new(Some(RtpPorts::new((10_000, 10_019))));
        let channels = ["PJSIP/desk-1", "PJSIP/ours-2", "Local/100@internal-3;1"].map(channel);
        budget.observe(&channels, |id| id.as_str() == "PJSIP/ours-2");
        assert!(budget.has_room(3, 0));
        assert!(!budget.has_room(4, 0), "the other call's pair is taken");
        budget.observe(&[], |_| false);
        assert!(budget.has_room(4, 0));
    }
}
