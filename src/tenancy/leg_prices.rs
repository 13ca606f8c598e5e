//! The prices of dialled legs, for the operator's ceiling of a tenant's spend a day. Amounts are millionths of the currency's
//! unit.

use std::time::Duration;

use serde::Deserialize;

use super::target::Destination;
use super::{TransferRules, TransferStyle, TransferTarget};

/// The price of legs to numbers with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixPrice {
    /// As in `+4915`.
    pub prefix: String,
    /// A minute from the answer.
    pub minute: u64,
}

const MINUTE: Duration = Duration::from_secs(60);
/// The longest time from a target's answer until it has accepted the call, besides the operator's limits for its first
/// words and its decision: the first words themselves, the announcement and the recognition of the answer.
const LONGEST_CONSULTATION: Duration = Duration::from_secs(90);

impl TransferRules {
    /// The price of a minute of a leg to the target: that of the longest prefix of its number, or the general one.
    pub fn leg_minute_of(&self, target: &TransferTarget) -> u64 {
        let Ok(Destination::Number(did)) = target.destination() else { return self.leg_minute };
        let number = did.to_string();
        let fitting = self.prefix_prices.iter().filter(|price| number.starts_with(&*price.prefix));
        let longest = fitting.max_by_key(|price| price.prefix.len());
        longest.map_or(self.leg_minute, |price| price.minute)
    }

    /// The longest time of a leg from its answer.
    pub fn longest_leg(&self, style: TransferStyle) -> Duration {
        let consultation = match style {
            TransferStyle::Cold => Duration::ZERO,
            TransferStyle::Confirmed | TransferStyle::Warm => {
                let first_words = Duration::from_millis(self.first_words_ms);
                let decision = Duration::from_secs(self.accept_s);
                first_words.saturating_add(decision).saturating_add(LONGEST_CONSULTATION)
            }
        };
        consultation.saturating_add(Duration::from_secs(self.max_leg_s))
    }
}

/// The cost of a leg that lasted so long from its answer. Carriers charge each minute that has begun in full, and a ceiling must
/// not count less than they do.
pub fn leg_cost(minute: u64, lasted: Duration) -> u64 {
    let minutes = lasted.as_nanos().div_ceil(MINUTE.as_nanos());
    u64::try_from(minutes).unwrap_or(u64::MAX).saturating_mul(minute)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::tenancy::{AfterBridge, TargetId, TargetKind, TenantId, TransferMethod};

    fn target(kind: TargetKind, address: &str) -> TransferTarget {
        TransferTarget {
            id: TargetId::new(),
            tenant_id: TenantId::new(),
            name: "shop".parse().expect("a label"),
            description: "The shop.".into(),
            kind,
            address: address.into(),
            method: TransferMethod::Dial,
            style: TransferStyle::Cold,
            after_bridge: AfterBridge::Leave,
            resolver: None,
            hours: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_longest_prefix_has_the_price() {
        let price = |prefix: &str, minute| PrefixPrice { prefix: prefix.into(), minute };
        let prefix_prices = vec![price("+49", 10_000), price("+4915", 90_000), price("+4930", 0)];
        let rules = TransferRules { leg_minute: 50_000, prefix_prices, ..TransferRules::default() };
        for (kind, address, minute) in [
            (TargetKind::Number, "+4989555001", 10_000),
            (TargetKind::Number, "+4915155500100", 90_000),
            (TargetKind::Number, "+493055500100", 0),
            (TargetKind::Number, "+15550100", 50_000),
            (TargetKind::Sip, "shop@pbx.example.com", 50_000),
            (TargetKind::Extension, "1001@sales", 50_000),
        ] {
            assert_eq!(rules.leg_minute_of(&target(kind, address)), minute, "{address}");
        }
    }

    #[test]
    fn each_minute_that_has_begun_costs_its_price() {
        let cost = |millis| leg_cost(20_000, Duration::from_millis(millis));
        assert_eq!((cost(0), cost(1), cost(60_000), cost(60_001)), (0, 20_000, 20_000, 40_000));
        assert_eq!(leg_cost(20_000, Duration::from_nanos(1)), 20_000);
        assert_eq!(leg_cost(u64::MAX, Duration::MAX), u64::MAX);
    }

    #[test]
    fn a_target_that_is_asked_may_be_connected_for_longer() {
        let rules =
            TransferRules { max_leg_s: 600, accept_s: 15, first_words_ms: 3_000, ..Default::default() };
        assert_eq!(rules.longest_leg(TransferStyle::Cold), Duration::from_secs(600));
        assert_eq!(rules.longest_leg(TransferStyle::Warm), Duration::from_secs(708));
    }
}
