//! Which profile answers a number's calls: the tenant's default, or profiles of the number's own by weight, and another one
//! outside of business hours.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kinds::words;
use super::{AiProfile, CallId, ProfileId, Route};

/// The most profiles that share a number's calls.
pub const MAX_SHARES: usize = 10;
/// The highest weight of a profile.
pub const MAX_WEIGHT: u16 = 100;

words!(
    /// When a profile answers a number's calls.
    ProfilePurpose {
        /// As one of the profiles that share the calls.
        Open = "open",
        /// Outside of business hours.
        Closed = "closed",
    }
);

/// Which profiles answer a number's calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NumberRouting {
    /// The profiles that answer, each with its weight. Default: the tenant's default profile.
    #[serde(default)]
    #[schema(max_items = 10)]
    pub profiles: Vec<ProfileShare>,
    /// The profile that answers outside of the business hours of the profile that would answer. Default: none; the number's
    /// failover route `closed` applies, or the profile's message.
    #[serde(default)]
    pub closed_profile_id: Option<ProfileId>,
}

/// A profile's share of a number's calls: its weight of the sum of all weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileShare {
    pub ai_profile_id: ProfileId,
    /// 1 to 100. Default: 1.
    #[serde(default = "one")]
    #[schema(value_type = i64, minimum = 1, maximum = 100)]
    pub weight: u16,
}

fn one() -> u16 {
    1
}

impl NumberRouting {
    /// Every profile that it names, with the field that names it.
    pub fn named(&self) -> impl Iterator<Item = (String, ProfileId)> {
        let shares = self.profiles.iter().enumerate();
        let shares = shares.map(|(at, share)| (format!("profiles.{at}.ai_profile_id"), share.ai_profile_id));
        let closed = self.closed_profile_id.map(|id| ("closed_profile_id".to_owned(), id));
        shares.chain(closed)
    }
}

/// The profiles of a number's own, as a call finds them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NumberProfiles {
    /// In the order of their ids.
    pub shares: Vec<WeightedProfile>,
    pub closed: Option<Box<AiProfile>>,
}

/// A profile with its weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightedProfile {
    pub profile: AiProfile,
    #[schema(value_type = i64)]
    pub weight: u16,
}

impl NumberProfiles {
    /// The profile that answers a call, chosen by the call's id alone; `None` where none shares the number's calls.
    pub fn choose(&self, call: CallId) -> Option<&AiProfile> {
        let sum: u64 = self.shares.iter().map(|share| u64::from(share.weight)).sum();
        let mut left = spread(call).checked_rem(sum)?;
        let chosen = self.shares.iter().find(|share| {
            let weight = u64::from(share.weight);
            let is_chosen = left < weight;
            left = left.saturating_sub(weight);
            is_chosen
        });
        chosen.map(|share| &share.profile)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &AiProfile> {
        self.shares.iter().map(|share| &share.profile).chain(self.closed.as_deref())
    }
}

impl Route {
    /// The profile that answers a call at a time: the number's by weight, or the tenant's default; outside of its business hours
    /// the number's profile for these, where it has one. `None` where no profile answers.
    pub fn profile_at(&self, call: CallId, now: DateTime<Utc>) -> Option<&AiProfile> {
        let chosen = self.number_profiles.choose(call).or(self.profile.as_ref())?;
        match self.number_profiles.closed.as_deref() {
            Some(closed) if chosen.is_closed(now) => Some(closed),
            _ => Some(chosen),
        }
    }

    /// Does a profile answer the number?
    pub fn is_answered(&self) -> bool {
        self.profile.is_some() || !self.number_profiles.shares.is_empty()
    }
}

impl AiProfile {
    /// Is it outside of its business hours? Hours that cannot be evaluated count as always open.
    pub fn is_closed(&self, now: DateTime<Utc>) -> bool {
        let hours = self.settings.hours.as_ref().and_then(|hours| hours.schedule().ok());
        hours.is_some_and(|schedule| !schedule.is_open(now))
    }
}

/// A number that is evenly distributed, also for ids of one millisecond: the finaliser of SplitMix64 (Steele, Lea and Flood,
/// 2014).
fn spread(call: CallId) -> u64 {
    let (high, low) = call.0.as_u64_pair();
    let mixed = high ^ low.rotate_left(32);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::tenancy::{AgentRole, Hours, ProfileSettings, TenantId};

    fn profiles(weights: &[u16]) -> NumberProfiles {
        let profile = |n: usize| AiProfile {
            id: ProfileId(Uuid::from_u128(u128::try_from(n).unwrap())),
            tenant_id: TenantId(Uuid::nil()),
            name: format!("profile {n}"),
            role: AgentRole::Custom,
            system_prompt: "Be brief.".into(),
            is_default: false,
            settings: ProfileSettings::default(),
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            targets: None,
        };
        let share = |(n, weight): (usize, &u16)| WeightedProfile { profile: profile(n), weight: *weight };
        NumberProfiles { shares: weights.iter().enumerate().map(share).collect(), closed: None }
    }

    #[test]
    fn without_shares_no_profile_is_chosen() {
        assert_eq!(NumberProfiles::default().choose(CallId::new()), None);
        let one = profiles(&[7]);
        assert_eq!(one.choose(CallId::new()).map(|it| it.name.as_str()), Some("profile 0"));
    }

    #[test]
    fn a_weight_is_one_by_default_and_unknown_fields_are_refused() {
        let id = Uuid::nil();
        let share: ProfileShare = serde_json::from_value(json!({ "ai_profile_id": id })).unwrap();
        assert_eq!(share.weight, 1);
        for wrong in [
            json!({ "profiles": [{ "ai_profile_id": id, "wait": 1 }] }),
            json!({ "profile": [] }),
            json!({ "profiles": [{ "weight": 1 }] }),
        ] {
            assert!(serde_json::from_value::<NumberRouting>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    /// A shop with hours of its own, and a night line.
    fn shop(hours: serde_json::Value) -> Route {
        let mut shares = profiles(&[1]).shares;
        shares[0].profile.settings.hours = Some(serde_json::from_value::<Hours>(hours).unwrap());
        let mut night = shares[0].profile.clone();
        (night.name, night.settings.hours) = ("night".into(), None);
        let number_profiles = NumberProfiles { shares, closed: Some(Box::new(night)) };
        let (id, at) = (Uuid::nil(), DateTime::UNIX_EPOCH);
        serde_json::from_value(json!({
            "number": {
                "id": id, "tenant_id": id, "did_number": "+493055500100", "provider_type": "generic", "is_active": true,
                "provider_state": "registered", "call_delivery": "delivered", "created_at": at,
            },
            "tenant": { "id": id, "name": "Shop", "status": "active", "plan": "starter", "created_at": at },
            "profile": null, "usage": { "month": "2026-03", "seconds": 0 }, "number_profiles": number_profiles,
        }))
        .unwrap()
    }

    fn answers(route: &Route, at: &str) -> String {
        let profile = route.profile_at(CallId(Uuid::nil()), at.parse().unwrap());
        profile.map(|it| it.name.clone()).unwrap()
    }

    #[test]
    fn outside_of_business_hours_another_profile_answers() {
        let day = json!([{ "from": "09:00", "to": "17:00" }]);
        let berlin = shop(json!({
            "timezone": "Europe/Berlin", "weekly": { "sunday": day, "monday": day }, "closed_on": ["2026-10-26"],
        }));
        for (at, expected) in [
            // The clocks go forward on Sunday, 29 March 2026, and back on 25 October.
            ("2026-03-29T06:59:59Z", "night"),
            ("2026-03-29T07:00:00Z", "profile 0"),
            ("2026-03-29T14:59:59Z", "profile 0"),
            ("2026-03-29T15:00:00Z", "night"),
            ("2026-03-30T07:00:00Z", "profile 0"),
            ("2026-10-25T07:59:59Z", "night"),
            ("2026-10-25T08:00:00Z", "profile 0"),
            ("2026-10-25T15:59:59Z", "profile 0"),
            ("2026-10-26T09:00:00Z", "night"),
        ] {
            assert_eq!(answers(&berlin, at), expected, "{at}");
        }
        let kolkata = shop(json!({ "timezone": "Asia/Kolkata", "weekly": { "monday": day } }));
        assert_eq!(answers(&kolkata, "2026-03-30T03:29:59Z"), "night");
        assert_eq!(answers(&kolkata, "2026-03-30T03:30:00Z"), "profile 0");
    }

    /// 02:00 to 03:00 does not exist on one night of the year in Berlin, and exists twice on another.
    #[test]
    fn hours_within_a_change_of_the_clock_are_those_of_the_clock() {
        let night = json!([{ "from": "02:30", "to": "03:30" }]);
        let bakery = shop(json!({ "timezone": "Europe/Berlin", "weekly": { "sunday": night } }));
        for (at, expected) in [
            ("2026-03-29T00:59:59Z", "night"),
            ("2026-03-29T01:00:00Z", "profile 0"),
            ("2026-03-29T01:30:00Z", "night"),
            ("2026-10-25T00:30:00Z", "profile 0"),
            ("2026-10-25T01:00:00Z", "night"),
            ("2026-10-25T01:30:00Z", "profile 0"),
            ("2026-10-25T02:30:00Z", "night"),
        ] {
            assert_eq!(answers(&bakery, at), expected, "{at}");
        }
    }

    #[test]
    fn without_a_profile_for_closed_hours_the_chosen_one_stays() {
        let mut route = shop(json!({ "timezone": "UTC", "weekly": {} }));
        assert_eq!(answers(&route, "2026-03-30T12:00:00Z"), "night");
        let closed = route.number_profiles.closed.take();
        assert_eq!(answers(&route, "2026-03-30T12:00:00Z"), "profile 0");
        // The tenant's default has hours as well.
        route.profile = route.number_profiles.shares.pop().map(|share| share.profile);
        route.number_profiles.closed = closed;
        assert_eq!(answers(&route, "2026-03-30T12:00:00Z"), "night");
        route.profile = None;
        assert!(!route.is_answered() && route.profile_at(CallId::new(), DateTime::UNIX_EPOCH).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Within five standard deviations of a binomial distribution, with random parts of ids as `Uuid::now_v7` has.
        #[test]
        fn each_profile_gets_its_share(weights in prop::collection::vec(1u16..=MAX_WEIGHT, 1..=MAX_SHARES), seed: u64,
                                       start in 1_700_000_000_000u64..1_900_000_000_000) {
            const CALLS: u64 = 20_000;
            let profiles = profiles(&weights);
            let mut counts = vec![0f64; weights.len()];
            for n in 0..CALLS {
                let random = (u128::from(seed) << 64 | u128::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                let id = uuid::Builder::from_unix_timestamp_millis(start + n / 50, &random.to_be_bytes()[..10].try_into().unwrap());
                let call = CallId(id.into_uuid());
                let chosen = profiles.choose(call).unwrap();
                prop_assert_eq!(profiles.choose(call), Some(chosen), "the same call, the same profile");
                counts[usize::try_from(chosen.id.0.as_u128()).unwrap()] += 1.0;
            }
            let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for (count, weight) in counts.iter().zip(&weights) {
                let share = f64::from(*weight) / sum;
                let calls = 20_000.0;
                let deviation = (calls * share * (1.0 - share)).sqrt().max(1.0);
                prop_assert!((count - calls * share).abs() < 5.0 * deviation, "{} of {}", count, calls * share);
            }
        }
    }
}
