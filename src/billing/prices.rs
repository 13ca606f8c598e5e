//! The price list.

use serde::Deserialize;

use crate::tenancy::{EngineKind, EngineUse, UsageUnit};

/// `[prices]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// The currency of all prices, by ISO 4217. Default: `EUR`.
    pub currency: String,
    /// A minute of an answered call, billed by the second, in millionths of the currency's unit. Default: 0.
    pub call_minute: u64,
    /// Prices of engine usage. Default: none.
    pub engines: Vec<Price>,
}

impl Default for Prices {
    fn default() -> Prices {
        Prices { currency: "EUR".to_owned(), call_minute: 0, engines: Vec::new() }
    }
}

/// The price of `per` units of an engine's usage.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub kind: EngineKind,
    pub engine: String,
    /// `*` means every model without a price of its own.
    #[serde(default = "any")]
    pub model: String,
    pub unit: UsageUnit,
    /// In millionths of the currency's unit.
    pub price: u64,
    /// The number of units that the price is for: 1,000,000 tokens, 60,000 milliseconds, 1 request.
    #[serde(default = "one")]
    pub per: u64,
}

/// The model of engines that are local programs.
const LOCAL: &str = "local";

fn is_tokens(unit: UsageUnit) -> bool {
    !matches!(unit, UsageUnit::Requests | UsageUnit::AudioMs | UsageUnit::Characters)
}

fn any() -> String {
    "*".to_owned()
}

fn one() -> u64 {
    1
}

impl Prices {
    /// The price of `taken`: the model's own, or else the one for all models; `None` when there is neither, and for usage of a
    /// tenant's own account.
    pub fn of(&self, taken: &EngineUse) -> Option<&Price> {
        if taken.is_own() {
            return None;
        }
        let fits = |price: &&Price| {
            (price.kind, &price.engine, price.unit) == (taken.kind, &taken.engine, taken.unit)
        };
        let priced = |model: &str| self.engines.iter().filter(fits).find(|price| price.model == model);
        priced(&taken.model).or_else(|| priced("*"))
    }

    /// Whether `taken` is billed: its unit has a price, or its model is billed by another unit (speech by the
    /// minute instead of by the request). Units of tokens do not substitute for each other. The operator does not
    /// charge for a tenant's own account. Local programs cost nothing unless the list has a price for them, and an empty list
    /// bills no engines at all. A price of 0 means that the usage is free.
    pub fn covers(&self, taken: &EngineUse) -> bool {
        let stands_for = |unit: UsageUnit| unit == taken.unit || !(is_tokens(unit) && is_tokens(taken.unit));
        let mut units = UsageUnit::ALL.iter().filter(|unit| stands_for(**unit));
        self.engines.is_empty()
            || taken.is_own()
            || taken.model == LOCAL
            || units.any(|unit| self.of(&EngineUse { unit: *unit, ..taken.clone() }).is_some())
    }

    /// The units of a model that would be used without being billed.
    pub fn missing(&self, kind: EngineKind, engine: &str, model: &str) -> Vec<UsageUnit> {
        let units: &[UsageUnit] = match kind {
            EngineKind::Stt => &[UsageUnit::AudioMs],
            EngineKind::Llm => &[UsageUnit::InputTokens, UsageUnit::OutputTokens],
            EngineKind::Tts => &[UsageUnit::Characters],
            EngineKind::Realtime => &[
                UsageUnit::InputTokens,
                UsageUnit::CachedInputTokens,
                UsageUnit::OutputTokens,
                UsageUnit::AudioInputTokens,
                UsageUnit::CachedAudioTokens,
                UsageUnit::AudioOutputTokens,
            ],
        };
        let taken = |unit: &&UsageUnit| EngineUse {
            kind,
            engine: engine.to_owned(),
            model: model.to_owned(),
            unit: **unit,
            quantity: 1,
        };
        units.iter().filter(|unit| !self.covers(&taken(unit))).copied().collect()
    }

    /// A price that is in the list twice.
    pub fn doubled(&self) -> Option<&Price> {
        let same = |one: &Price, other: &Price| {
            (one.kind, &one.engine, &one.model, one.unit)
                == (other.kind, &other.engine, &other.model, other.unit)
        };
        let repeated = |(at, price): &(usize, &Price)| self.engines[..*at].iter().any(|one| same(one, price));
        self.engines.iter().enumerate().find(repeated).map(|(_, price)| price)
    }
}

/// The cost of `quantity` at `price` for each `per`, rounded to the nearest millionth.
pub fn cost(quantity: u64, price: u64, per: u64) -> u64 {
    let per = u128::from(per.max(1));
    // Cannot exceed 128 bits.
    let exact = u128::from(quantity) * u128::from(price) + per / 2;
    u64::try_from(exact / per).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(model: &str, price: u64) -> Price {
        let unit = UsageUnit::InputTokens;
        Price {
            kind: EngineKind::Llm,
            engine: "openai".into(),
            model: model.into(),
            unit,
            price,
            per: 1_000_000,
        }
    }

    #[test]
    fn a_models_own_price_goes_first() {
        let prices = Prices { engines: vec![price("*", 1), price("gpt-5.4-mini", 2)], ..Prices::default() };
        let taken = |model: &str, unit| EngineUse {
            kind: EngineKind::Llm,
            engine: "openai".into(),
            model: model.into(),
            unit,
            quantity: 1,
        };
        let found = |model, unit| prices.of(&taken(model, unit)).map(|price| price.price);
        assert_eq!(found("gpt-5.4-mini", UsageUnit::InputTokens), Some(2));
        assert_eq!(found("gpt-5", UsageUnit::InputTokens), Some(1));
        assert_eq!(found("gpt-5.4-mini", UsageUnit::OutputTokens), None);
        assert_eq!(prices.doubled(), None);
        let twice = Prices { engines: vec![price("a", 1), price("b", 1), price("a", 3)], ..prices };
        assert_eq!(twice.doubled().map(|price| price.price), Some(3));
    }

    #[test]
    fn use_without_a_price_is_known() {
        let taken = |kind, model: &str, unit| EngineUse {
            kind,
            engine: "openai".into(),
            model: model.into(),
            unit,
            quantity: 1,
        };
        let by_the_minute = Price { kind: EngineKind::Stt, unit: UsageUnit::AudioMs, ..price("*", 1) };
        let prices = Prices { engines: vec![price("gpt-5.4-mini", 2), by_the_minute], ..Prices::default() };
        for (kind, model, unit, is_covered) in [
            (EngineKind::Llm, "gpt-5.4-mini", UsageUnit::InputTokens, true),
            (EngineKind::Llm, "gpt-5.4-mini", UsageUnit::Requests, true),
            (EngineKind::Llm, "gpt-5.4-mini", UsageUnit::OutputTokens, false),
            (EngineKind::Llm, "gpt-5-pro", UsageUnit::InputTokens, false),
            (EngineKind::Llm, "gpt-5-pro", UsageUnit::Requests, false),
            (EngineKind::Stt, "whisper-1", UsageUnit::Requests, true),
            (EngineKind::Tts, "tts-1", UsageUnit::Characters, false),
            (EngineKind::Tts, LOCAL, UsageUnit::Characters, true),
        ] {
            assert_eq!(prices.covers(&taken(kind, model, unit)), is_covered, "{kind} {model} {unit}");
            assert!(Prices::default().covers(&taken(kind, model, unit)), "engines are not billed at all");
        }
        assert_eq!(prices.missing(EngineKind::Llm, "openai", "gpt-5.4-mini"), [UsageUnit::OutputTokens]);
        assert_eq!(prices.missing(EngineKind::Stt, "openai", "whisper-1"), []);
        let free = Price { kind: EngineKind::Tts, unit: UsageUnit::Characters, ..price("tts-1", 0) };
        let prices = Prices { engines: vec![free], ..Prices::default() };
        assert_eq!(prices.missing(EngineKind::Tts, "openai", "tts-1"), [], "0 is a price");
    }

    #[test]
    fn a_tenants_own_account_is_not_charged() {
        let own = Price { engine: "own:acme".into(), ..price("*", 5) };
        let prices = Prices { engines: vec![own, price("*", 7)], ..Prices::default() };
        let taken = EngineUse {
            kind: EngineKind::Llm,
            engine: "own:acme".into(),
            model: "gpt-5.4-mini".into(),
            unit: UsageUnit::InputTokens,
            quantity: 1_000_000,
        };
        assert_eq!((prices.of(&taken), prices.covers(&taken)), (None, true));
        let operators = EngineUse { engine: "openai".into(), ..taken };
        assert_eq!(
            prices.of(&operators).map(|price| price.price),
            Some(7),
            "a fallback of the operator's is"
        );
    }

    #[test]
    fn costs_are_rounded_to_the_nearest() {
        assert_eq!(cost(1_500, 30_000_000, 1_000_000), 45_000);
        assert_eq!((cost(1, 1, 2), cost(1, 1, 3), cost(2, 1, 3)), (1, 0, 1));
        assert_eq!(cost(u64::MAX, u64::MAX, 1), u64::MAX);
        assert_eq!(cost(3, 5, 0), 15, "per nothing is per one");
    }

    proptest! {
        #[test]
        fn more_never_costs_less(a: u64, b: u64, price: u64, per: u64) {
            prop_assert!(cost(a.min(b), price, per) <= cost(a.max(b), price, per));
            prop_assert!(cost(a, price.min(b), per) <= cost(a, price.max(b), per));
        }

        #[test]
        fn a_cost_is_within_half_a_millionth(quantity in 0..1_u64 << 40, price in 0..1_u64 << 20, per in 1..1_u64 << 20) {
            let exact = u128::from(quantity) * u128::from(price);
            let charged = u128::from(cost(quantity, price, per)) * u128::from(per);
            prop_assert!(charged.abs_diff(exact) * 2 <= u128::from(per));
        }
    }
}
