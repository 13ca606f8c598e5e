//! Statements: usage and its costs, row by row.

use std::borrow::Cow;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::csv;
use super::plans::{Quota, Terms};
use super::prices::{Prices, cost};
use crate::tenancy::{CallSums, EngineKind, EngineUse, Month, Plan, TenantId, Usage};

/// The statement of a tenant's month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Statement {
    pub tenant_id: TenantId,
    pub tenant_name: String,
    pub plan: Plan,
    pub month: Month,
    /// The statement is issued (after the month's end) and no longer changes.
    pub is_final: bool,
    #[serde(flatten)]
    pub sums: CallSums,
    #[serde(flatten)]
    pub bill: Bill,
    /// The month's minutes; absent where the plan has no limit.
    #[serde(default)]
    pub quota: Option<Quota>,
}

/// A tenant's usage in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UsageReport {
    pub tenant_id: TenantId,
    pub tenant_name: String,
    pub plan: Plan,
    /// The first day (UTC).
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// The figures are those of an issued statement. Otherwise they are computed by the present prices and may
    /// change.
    pub is_final: bool,
    #[serde(flatten)]
    pub sums: CallSums,
    #[serde(flatten)]
    pub bill: Bill,
    /// The month's minutes; absent for a range of days, and where the plan has no limit.
    pub quota: Option<Quota>,
}

/// Rows and their sum. Amounts are whole millionths of the currency's unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bill {
    pub currency: String,
    pub lines: Vec<BillLine>,
    pub total_micros: u64,
}

/// One item with its quantity, price and amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BillLine {
    pub item: BillItem,
    /// The kind of engine, for engine usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<EngineKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `months`, `seconds`, or an engine's unit.
    pub unit: Cow<'static, str>,
    /// For call time: the quantity beyond the plan's included minutes.
    pub quantity: u64,
    /// For each `per` units; absent where the price list has no price.
    pub price_micros: Option<u64>,
    pub per: u64,
    pub amount_micros: u64,
    /// No price applies: the amount is 0 because the price is missing, not because the item is free.
    #[serde(default)]
    pub unpriced: bool,
}

/// The subject of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BillItem {
    PlanFee,
    CallTime,
    Engine,
}

impl BillItem {
    pub fn as_str(self) -> &'static str {
        match self {
            BillItem::PlanFee => "plan_fee",
            BillItem::CallTime => "call_time",
            BillItem::Engine => "engine",
        }
    }
}

impl Statement {
    /// As CSV for a spreadsheet, with the total in the last row.
    pub fn csv(&self) -> String {
        csv::of(self)
    }

    /// The month's usage, with the figures of the statement.
    pub fn into_report(self) -> UsageReport {
        UsageReport {
            tenant_id: self.tenant_id,
            tenant_name: self.tenant_name,
            plan: self.plan,
            from: self.month.first_day(),
            to: self.month.last_day(),
            is_final: self.is_final,
            sums: self.sums,
            bill: self.bill,
            quota: self.quota,
        }
    }
}

impl Bill {
    /// Without terms only the price list applies.
    pub fn new(prices: &Prices, terms: Option<&Terms>, usage: &Usage) -> Bill {
        let mut lines = Vec::new();
        lines.extend(terms.filter(|terms| terms.fee > 0).map(fee));
        lines.push(call_time(prices, terms, usage.sums.seconds));
        lines.extend(usage.engines.iter().map(|taken| engine(prices, taken)));
        let total_micros = lines.iter().fold(0, |sum: u64, line| sum.saturating_add(line.amount_micros));
        Bill { currency: prices.currency.clone(), lines, total_micros }
    }

    /// The engines' models with usage that has no price, each once.
    pub fn unpriced(&self) -> Vec<String> {
        let mut models: Vec<String> =
            self.lines.iter().filter(|line| line.unpriced).map(BillLine::name).collect();
        models.dedup();
        models
    }
}

impl BillLine {
    /// Such as `plan fee`, or `llm openai gpt-5.4-mini`.
    pub fn name(&self) -> String {
        match (self.kind, &self.engine, &self.model) {
            (Some(kind), Some(engine), Some(model)) => format!("{kind} {engine} {model}"),
            _ => self.item.as_str().replace('_', " "),
        }
    }
}

fn fee(terms: &Terms) -> BillLine {
    line(BillItem::PlanFee, "months", 1, Some(terms.fee), 1)
}

fn call_time(prices: &Prices, terms: Option<&Terms>, seconds: u64) -> BillLine {
    let included = terms.map_or(0, |terms| u64::from(terms.included_minutes) * 60);
    line(BillItem::CallTime, "seconds", seconds.saturating_sub(included), Some(prices.call_minute), 60)
}

fn engine(prices: &Prices, taken: &EngineUse) -> BillLine {
    let price = prices.of(taken);
    let per = price.map_or(1, |price| price.per);
    BillLine {
        kind: Some(taken.kind),
        engine: Some(taken.engine.clone()),
        model: Some(taken.model.clone()),
        unpriced: !prices.covers(taken),
        ..line(BillItem::Engine, taken.unit.as_str(), taken.quantity, price.map(|price| price.price), per)
    }
}

fn line(item: BillItem, unit: &'static str, quantity: u64, price: Option<u64>, per: u64) -> BillLine {
    let amount_micros = price.map_or(0, |price| cost(quantity, price, per));
    BillLine {
        item,
        kind: None,
        engine: None,
        model: None,
        unit: unit.into(),
        quantity,
        price_micros: price,
        per,
        amount_micros,
        unpriced: false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::billing::Price;
    use crate::tenancy::UsageUnit;

    fn taken(unit: UsageUnit, quantity: u64) -> EngineUse {
        EngineUse {
            kind: EngineKind::Llm,
            engine: "openai".into(),
            model: "gpt-5.4-mini".into(),
            unit,
            quantity,
        }
    }

    fn prices(call_minute: u64, tokens: u64) -> Prices {
        let (kind, engine) = (EngineKind::Llm, "openai".to_owned());
        let unit = UsageUnit::InputTokens;
        let price = Price { kind, engine, model: "*".into(), unit, price: tokens, per: 1_000_000 };
        Prices { call_minute, engines: vec![price], ..Prices::default() }
    }

    fn usage(seconds: u64, tokens: u64) -> Usage {
        Usage {
            sums: CallSums { calls: 1, seconds, turns: 2 },
            engines: vec![taken(UsageUnit::Requests, 3), taken(UsageUnit::InputTokens, tokens)],
        }
    }

    #[test]
    fn a_month_is_its_fee_its_minutes_and_its_engines() {
        let terms = Terms { fee: 9_000_000, included_minutes: 10, ..Terms::default() };
        let bill = Bill::new(&prices(60_000, 30_000_000), Some(&terms), &usage(690, 1_500));
        let amounts: Vec<_> = bill.lines.iter().map(|line| (line.item, line.amount_micros)).collect();
        let expected = [
            (BillItem::PlanFee, 9_000_000),
            (BillItem::CallTime, 90_000),
            (BillItem::Engine, 0),
            (BillItem::Engine, 45_000),
        ];
        assert_eq!(amounts, expected);
        assert_eq!((bill.total_micros, bill.lines[2].price_micros), (9_135_000, None));
        assert_eq!(bill.unpriced(), Vec::<String>::new(), "a request has no price, its tokens have");
        let bare = Bill::new(&prices(60_000, 0), None, &usage(690, 0));
        assert_eq!((bare.lines.len(), bare.total_micros), (3, 690_000), "nothing is included without a plan");
    }

    #[test]
    fn a_model_without_a_price_is_named_once() {
        let model = |model: &str, unit| EngineUse { model: model.into(), ..taken(unit, 5_000_000) };
        let mut prices = prices(0, 1);
        prices.engines[0].model = "gpt-5.4-mini".into();
        let engines = vec![
            model("gpt-5.4-mini", UsageUnit::InputTokens),
            model("gpt-5-pro", UsageUnit::InputTokens),
            model("gpt-5-pro", UsageUnit::OutputTokens),
        ];
        let bill = Bill::new(&prices, None, &Usage { engines, ..Usage::default() });
        assert_eq!(bill.unpriced(), ["llm openai gpt-5-pro"]);
        assert_eq!(
            bill.lines.iter().map(|line| line.unpriced).collect::<Vec<_>>(),
            [false, false, true, true]
        );
    }

    #[test]
    fn a_statement_of_an_older_program_can_be_read() {
        let text = r#"{"tenant_id":"0197a000-0000-7000-8000-000000000001","tenant_name":"A","plan":"growth",
            "month":"2026-10","is_final":true,"calls":0,"seconds":0,"turns":0,"currency":"EUR","total_micros":0,
            "lines":[{"item":"call_time","unit":"seconds","quantity":0,"price_micros":0,"per":60,"amount_micros":0}]}"#;
        let statement: Statement = serde_json::from_str(text).expect("a statement");
        assert_eq!((statement.quota, statement.bill.lines[0].unpriced), (None, false));
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_the_lines(minute: u64, tokens: u64, fee: u64, included: u32, seconds: u64, quantity: u64) {
            let terms = Terms { fee, included_minutes: included, ..Terms::default() };
            let bill = Bill::new(&prices(minute, tokens), Some(&terms), &usage(seconds, quantity));
            let sum: u128 = bill.lines.iter().map(|line| u128::from(line.amount_micros)).sum();
            prop_assert_eq!(u128::from(bill.total_micros), sum.min(u64::MAX.into()));
        }

        #[test]
        fn who_takes_more_never_owes_less(minute: u32, tokens: u32, seconds: u32, more: u32, quantity: u32) {
            let owed = |seconds: u64, quantity: u64| {
                Bill::new(&prices(minute.into(), tokens.into()), None, &usage(seconds, quantity)).total_micros
            };
            let (seconds, more, quantity) = (u64::from(seconds), u64::from(more), u64::from(quantity));
            prop_assert!(owed(seconds, quantity) <= owed(seconds + more, quantity));
            prop_assert!(owed(seconds, quantity) <= owed(seconds, quantity + more));
        }
    }
}
