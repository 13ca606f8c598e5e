//! Plans: concurrent calls, minutes per month, and the policy when the minutes are used up.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::tenancy::Plan;

/// `[plans]`: by default a plan has no limits and costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plans {
    pub starter: Terms,
    pub growth: Terms,
    pub custom: Terms,
}

/// `[plans.starter]` and the like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// Concurrent calls of a tenant that has no limit of its own. Default: `calls.max_calls_per_tenant`.
    pub concurrent_calls: Option<u32>,
    /// Requests of a tenant to the operator's engines, in percent of those of `[engine_shares]`. Default: 100.
    pub engine_share: Percent,
    /// Minutes of answered calls per calendar month (UTC). Default: no limit.
    pub minutes_per_month: Option<u32>,
    /// The policy for new calls when the minutes are used up. Default: `refuse`.
    pub at_limit: AtLimit,
    /// The fee for a month, in millionths of the currency's unit. Default: 0.
    pub fee: u64,
    /// Minutes of a month that the fee includes. Default: 0.
    pub included_minutes: u32,
}

/// A share in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u32);

impl Default for Percent {
    fn default() -> Percent {
        Percent(100)
    }
}

/// The terms of a tenant by which its shares of the engines are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineTerms {
    /// The calls that it may have at once.
    pub calls: u32,
    pub share: Percent,
}

/// The policy for new calls when a month's minutes are used up. A call in progress is never cut off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = QuotaAction)]
pub enum AtLimit {
    #[default]
    Refuse,
    /// They are accepted and billed; the tenant receives an event.
    Allow,
}

/// The minutes of a month that are used, and the limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = QuotaUsage)]
pub struct Quota {
    pub minutes_per_month: u32,
    pub used_seconds: u64,
    /// Rounded down; may exceed 100.
    pub percent: u64,
    pub is_reached: bool,
    pub at_limit: AtLimit,
}

/// The percentages of a month's minutes at which the tenant receives an event.
const THRESHOLDS: [u8; 2] = [80, 100];

impl Plans {
    pub fn of(&self, plan: Plan) -> &Terms {
        match plan {
            Plan::Starter => &self.starter,
            Plan::Growth => &self.growth,
            Plan::Custom => &self.custom,
        }
    }

    /// Whether any plan has a quota.
    pub fn have_quotas(&self) -> bool {
        Plan::ALL.iter().any(|plan| self.of(*plan).minutes_per_month.is_some())
    }
}

impl Terms {
    /// The quota after `used_seconds`; `None` where the plan has none.
    pub fn quota(&self, used_seconds: u64) -> Option<Quota> {
        let minutes_per_month = self.minutes_per_month?;
        let limit = u64::from(minutes_per_month) * 60;
        let percent = (u128::from(used_seconds) * 100).checked_div(limit.into()).unwrap_or(100);
        Some(Quota {
            minutes_per_month,
            used_seconds,
            percent: u64::try_from(percent).unwrap_or(u64::MAX),
            is_reached: used_seconds >= limit,
            at_limit: self.at_limit,
        })
    }

    /// Whether a call is refused when `used_seconds` of the month are used.
    pub fn refuses_after(&self, used_seconds: u64) -> bool {
        self.at_limit == AtLimit::Refuse && self.quota(used_seconds).is_some_and(|quota| quota.is_reached)
    }

    /// The thresholds, in percent, between two numbers of used seconds.
    pub fn crossed(&self, before: u64, after: u64) -> impl Iterator<Item = u8> + use<> {
        let limit = self.minutes_per_month.map_or(0, |minutes| u128::from(minutes) * 60);
        let (before, after) = (u128::from(before) * 100, u128::from(after) * 100);
        THRESHOLDS.into_iter().filter(move |percent| {
            let mark = limit * u128::from(*percent);
            before < mark && mark <= after
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_minutes(minutes: u32) -> Terms {
        Terms { minutes_per_month: Some(minutes), ..Terms::default() }
    }

    #[test]
    fn a_quota_is_reached_at_its_last_second() {
        let terms = of_minutes(10);
        let quota = terms.quota(599).expect("a quota");
        assert_eq!((quota.percent, quota.is_reached), (99, false));
        assert!(!terms.refuses_after(599) && terms.refuses_after(600));
        let lenient = Terms { at_limit: AtLimit::Allow, ..of_minutes(10) };
        assert!(lenient.quota(900).is_some_and(|quota| quota.is_reached && quota.percent == 150));
        assert!(!lenient.refuses_after(900));
        assert!(!Terms::default().refuses_after(u64::MAX));
        assert!(of_minutes(0).refuses_after(0));
    }

    #[test]
    fn a_threshold_is_crossed_when_it_is_met() {
        let crossed = |before, after| of_minutes(10).crossed(before, after).collect::<Vec<_>>();
        let none: [u8; 0] = [];
        assert_eq!(crossed(0, 479), none);
        assert_eq!(crossed(479, 480), [80]);
        assert_eq!(crossed(480, 599), none);
        assert_eq!(crossed(0, 600), [80, 100]);
        assert_eq!(crossed(600, 9_000), none);
        assert_eq!(Terms::default().crossed(0, u64::MAX).count(), 0);
    }

    proptest! {
        #[test]
        fn each_threshold_is_crossed_once(
            minutes in 1..1_000_u32,
            calls in proptest::collection::vec(0..100_000_u64, 0..40),
        ) {
            let (terms, mut sum, mut told) = (of_minutes(minutes), 0, Vec::new());
            for seconds in calls {
                told.extend(terms.crossed(sum, sum + seconds));
                sum += seconds;
            }
            let due: Vec<u8> = THRESHOLDS
                .into_iter()
                .filter(|percent| sum * 100 >= u64::from(minutes) * 60 * u64::from(*percent))
                .collect();
            prop_assert_eq!(told, due);
        }
    }
}
