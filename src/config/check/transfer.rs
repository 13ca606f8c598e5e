//! `[transfer]`: templates that lead nowhere, and ceilings that contradict each other.

use super::zeros;
use crate::tenancy::{TransferRules, TransferStyle, leg_cost};
use crate::violation::Violation;

/// Ten minutes, and a day.
const LONGEST_RING_S: u64 = 600;
const LONGEST_LEG_S: u64 = 86_400;
/// The caller waits meanwhile.
const LONGEST_WORDS_MS: u64 = 60_000;
const LONGEST_ACCEPT_S: u64 = 120;

pub(super) fn check(rules: &TransferRules) -> Vec<Violation> {
    let mut found = zeros(&[
        ("transfer.max_legs", rules.max_legs == 0),
        ("transfer.max_legs_per_tenant", rules.max_legs_per_tenant == 0),
        ("transfer.ring_s", rules.ring_s == 0),
        ("transfer.max_leg_s", rules.max_leg_s == 0),
        ("transfer.accept_s", rules.accept_s == 0),
    ]);
    found.extend(longest("transfer.ring_s", rules.ring_s, LONGEST_RING_S));
    found.extend(longest("transfer.max_leg_s", rules.max_leg_s, LONGEST_LEG_S));
    found.extend(longest("transfer.accept_s", rules.accept_s, LONGEST_ACCEPT_S));
    if rules.first_words_ms > LONGEST_WORDS_MS {
        let problem = format!("{} milliseconds are too long", rules.first_words_ms);
        let remedy = format!("set it to {LONGEST_WORDS_MS} or less");
        found.push(Violation::with_remedy("transfer.first_words_ms", problem, remedy));
    }
    found.extend(header(&rules.summary_header));
    let number = ["{number}", "{digits}"];
    let example = "PJSIP/{number}@vca-trunk";
    found.extend(template("transfer.number_endpoint", &rules.number_endpoint, &number, example));
    found.extend(template("transfer.sip_endpoint", &rules.sip_endpoint, &["{uri}"], "PJSIP/vca-trunk/{uri}"));
    let example = "sip:{number}@sip.example.com";
    found.extend(template("transfer.refer_uri", &rules.refer_uri, &number, example));
    found.extend(prefixes("transfer.prefixes", &rules.prefixes));
    found.extend(prefixes("transfer.blocked_prefixes", &rules.blocked_prefixes));
    let priced: Vec<String> = rules.prefix_prices.iter().map(|price| price.prefix.clone()).collect();
    found.extend(prefixes("transfer.prefix_prices", &priced));
    found.extend(contradictions(rules));
    found.extend(spend(rules));
    let shipped = [(&rules.queue_context, "vca-queue"), (&rules.voicemail_context, "vca-voicemail")];
    let own = shipped.into_iter().filter(|(name, shipped)| !name.is_empty() && name != shipped);
    found.extend(contexts(rules.contexts.iter().chain(own.map(|(name, _)| name))));
    found
}

/// One of a private use cannot replace a header of the call's signalling.
fn header(name: &str) -> Option<Violation> {
    let is_token =
        |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_sound = name.is_empty() || name.len() <= 64 && name.strip_prefix("X-").is_some_and(is_token);
    let problem = format!("{name:?} is no header of private use");
    (!is_sound).then(|| {
        Violation::with_remedy("transfer.summary_header", problem, "write it as in X-Transfer-Summary")
    })
}

fn longest(key: &str, value: u64, most: u64) -> Option<Violation> {
    let problem = format!("{value} seconds are too long");
    (value > most).then(|| Violation::with_remedy(key, problem, format!("set it to {most} or less")))
}

fn template(key: &str, text: &str, placeholders: &[&str], example: &str) -> Option<Violation> {
    let count: usize = placeholders.iter().map(|it| text.matches(it).count()).sum();
    let is_wrong = !text.is_empty() && count != 1;
    is_wrong.then(|| {
        let problem = format!("it has to contain {} once", placeholders.join(" or "));
        Violation::with_remedy(key, problem, format!("write it as in {example}"))
    })
}

fn prefixes(key: &str, prefixes: &[String]) -> Option<Violation> {
    let is_prefix = |text: &str| {
        let digits = text.strip_prefix('+').unwrap_or_default();
        (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let wrong = prefixes.iter().find(|prefix| !is_prefix(prefix))?;
    let problem = format!("{wrong:?} is no prefix of a number");
    Some(Violation::with_remedy(key, problem, "write a plus sign and the first digits, as in +49"))
}

/// Settings that have no effect together.
fn contradictions(rules: &TransferRules) -> Vec<Violation> {
    let is_dialled = !rules.number_endpoint.is_empty() || !rules.refer_uri.is_empty();
    let blocked = |prefix: &String| rules.blocked_prefixes.iter().any(|it| prefix.starts_with(&**it));
    let mut found = Vec::new();
    if is_dialled && rules.prefixes.is_empty() {
        found.push(Violation::with_remedy(
            "transfer.prefixes",
            "numbers can be dialled, and no prefix is allowed",
            "list the prefixes that tenants may call, as in [\"+49\"], or unset number_endpoint and refer_uri",
        ));
    }
    if !is_dialled && !rules.prefixes.is_empty() {
        found.push(Violation::with_remedy(
            "transfer.number_endpoint",
            "prefixes are allowed, and there is no endpoint for numbers",
            "set it as in PJSIP/{number}@vca-trunk, or unset prefixes",
        ));
    }
    if let Some(prefix) = rules.prefixes.iter().find(|prefix| blocked(prefix)) {
        found.push(Violation::with_remedy(
            "transfer.blocked_prefixes",
            format!("it blocks all numbers of the allowed prefix {prefix}"),
            "take the prefix out of one of the lists",
        ));
    }
    if rules.max_legs_per_tenant > rules.max_legs {
        found.push(Violation::with_remedy(
            "transfer.max_legs_per_tenant",
            format!("it is more than transfer.max_legs ({})", rules.max_legs),
            "lower it, or raise transfer.max_legs",
        ));
    }
    found
}

/// A ceiling of spend that limits nothing, or under which nothing is dialled.
fn spend(rules: &TransferRules) -> Option<Violation> {
    let limit = rules.max_daily_spend_per_tenant?;
    let key = "transfer.max_daily_spend_per_tenant";
    let prices = || rules.prefix_prices.iter().map(|price| price.minute).chain([rules.leg_minute]);
    if prices().all(|minute| minute == 0) {
        let remedy = "set leg_minute or prefix_prices";
        return Some(Violation::with_remedy(key, "legs have no price, so that nothing is limited", remedy));
    }
    let has_price = |prefix: &&String| rules.prefix_prices.iter().any(|it| prefix.starts_with(&*it.prefix));
    if rules.leg_minute == 0
        && let Some(prefix) = rules.prefixes.iter().find(|prefix| !has_price(prefix))
    {
        let problem = format!("numbers that begin with {prefix} are allowed and have no price");
        return Some(Violation::with_remedy("transfer.prefix_prices", problem, "add it, or set leg_minute"));
    }
    let longest = rules.longest_leg(TransferStyle::Warm);
    let dearest = prices().map(|minute| leg_cost(minute, longest)).max().unwrap_or(0);
    (dearest > limit).then(|| {
        let problem = format!("a leg of max_leg_s may cost {dearest}: it would never be dialled");
        Violation::with_remedy(key, problem, "raise it, or lower max_leg_s")
    })
}

/// Contexts by which a caller would enter VCA again.
fn contexts<'a>(named: impl Iterator<Item = &'a String>) -> Option<Violation> {
    let wrong = named.into_iter().find(|name| name.starts_with("vca-"))?;
    let problem = format!("{wrong} is one of VCA's own contexts");
    Some(Violation::with_remedy("transfer.contexts", problem, "name contexts of your own"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::PrefixPrice;

    fn keys(change: impl FnOnce(&mut TransferRules)) -> Vec<String> {
        let mut rules = TransferRules::default();
        change(&mut rules);
        check(&rules).into_iter().map(|value| value.field).collect()
    }

    #[test]
    fn contradictions_are_named() {
        assert_eq!(keys(|_| {}), Vec::<String>::new());
        let dialled = |rules: &mut TransferRules| {
            rules.number_endpoint = "PJSIP/{number}@trunk".into();
            rules.prefixes = vec!["+49".into()];
        };
        assert_eq!(keys(dialled), Vec::<String>::new());
        let no_prefix = |rules: &mut TransferRules| rules.number_endpoint = "PJSIP/{digits}@trunk".into();
        assert_eq!(keys(no_prefix), ["transfer.prefixes"]);
        assert_eq!(keys(|rules| rules.prefixes = vec!["+49".into()]), ["transfer.number_endpoint"]);
        let blocked = |rules: &mut TransferRules| {
            dialled(rules);
            rules.blocked_prefixes = vec!["+4".into()];
        };
        assert_eq!(keys(blocked), ["transfer.blocked_prefixes"]);
        assert_eq!(keys(|rules| rules.max_legs = 5), ["transfer.max_legs_per_tenant"]);
    }

    #[test]
    fn a_ceiling_of_spend_needs_prices_and_room_for_a_leg() {
        let priced = |limit, leg_minute, prices: &[(&str, u64)]| {
            let price =
                |(prefix, minute): &(&str, u64)| PrefixPrice { prefix: (*prefix).into(), minute: *minute };
            keys(|rules| {
                rules.number_endpoint = "PJSIP/{number}@trunk".into();
                rules.prefixes = vec!["+49".into()];
                (rules.max_leg_s, rules.leg_minute) = (600, leg_minute);
                rules.prefix_prices = prices.iter().map(price).collect();
                rules.max_daily_spend_per_tenant = limit;
            })
        };
        let (ceiling, unpriced) = ("transfer.max_daily_spend_per_tenant", "transfer.prefix_prices");
        assert_eq!(priced(None, 0, &[]), [] as [&str; 0]);
        assert_eq!(priced(Some(1_000_000), 20_000, &[]), [] as [&str; 0]);
        assert_eq!(priced(Some(1_000_000), 0, &[("+49", 20_000)]), [] as [&str; 0]);
        assert_eq!(priced(Some(1_000_000), 0, &[]), [ceiling]);
        assert_eq!(priced(Some(100_000), 20_000, &[]), [ceiling], "less than a leg of ten minutes");
        assert_eq!(priced(Some(1_000_000), 0, &[("+4930", 20_000)]), [unpriced]);
        assert_eq!(priced(None, 20_000, &[("49", 20_000)]), [unpriced], "without a plus sign");
    }

    #[test]
    fn values_that_lead_nowhere_are_named() {
        for text in ["PJSIP/trunk", "PJSIP/{uri}/{uri}"] {
            assert_eq!(keys(|rules| rules.sip_endpoint = text.into()), ["transfer.sip_endpoint"], "{text}");
        }
        for prefix in ["49", "+", "+4x"] {
            let set = |rules: &mut TransferRules| rules.blocked_prefixes = vec![prefix.into()];
            assert_eq!(keys(set), ["transfer.blocked_prefixes"], "{prefix}");
        }
        assert_eq!(keys(|rules| rules.contexts = vec!["vca-inbound".into()]), ["transfer.contexts"]);
        assert_eq!(keys(|rules| rules.queue_context = "vca-absent".into()), ["transfer.contexts"]);
        assert_eq!(keys(|rules| rules.voicemail_context = "vca-queue".into()), ["transfer.contexts"]);
        assert_eq!(keys(|rules| rules.voicemail_context = "vca-voicemail".into()), [] as [&str; 0]);
        for seconds in [0, u64::MAX] {
            assert_eq!(keys(|rules| rules.ring_s = seconds), ["transfer.ring_s"]);
            assert_eq!(keys(|rules| rules.max_leg_s = seconds), ["transfer.max_leg_s"]);
            assert_eq!(keys(|rules| rules.accept_s = seconds), ["transfer.accept_s"]);
        }
        for name in ["Via", "X-", "X-Summary\r\nVia", "X-A,b", "X-A)"] {
            let set = |rules: &mut TransferRules| rules.summary_header = name.into();
            assert_eq!(keys(set), ["transfer.summary_header"], "{name}");
        }
        assert_eq!(keys(|rules| rules.summary_header = "X-Transfer-Summary".into()), Vec::<String>::new());
        assert_eq!(keys(|rules| rules.first_words_ms = 60_001), ["transfer.first_words_ms"]);
    }
}
