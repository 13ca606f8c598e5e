//! Billing: plans with quotas, the price list, and statements of usage.
//!
//! Pure arithmetic. Money is whole millionths of the currency's unit, never a float; sums saturate instead of
//! wrapping. Usage and time are arguments. `docs/billing.md` describes the rules.

mod csv;
mod plans;
mod prices;
mod statement;

pub use plans::{AtLimit, EngineTerms, Percent, Plans, Quota, Terms};
pub use prices::{Price, Prices};
pub use statement::{Bill, BillItem, BillLine, Statement, UsageReport};

use chrono::NaiveDate;

use crate::tenancy::{Month, Plan, Tenant, TenantId, Usage};

/// The operator's prices and plans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Billing {
    pub prices: Prices,
    pub plans: Plans,
}

/// A tenant in a month, for its statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub tenant_id: TenantId,
    pub tenant_name: String,
    /// The plan at the month's last moment; for the current month, the present plan.
    pub plan: Plan,
    /// The tenant was active or suspended at some moment of the month, so the plan's fee is due in full. Otherwise
    /// it was deleted before, and usage that was recorded late is billed by the price list alone.
    pub is_present: bool,
}

impl Billing {
    /// The draft of a month's statement by these prices and plans.
    pub fn draft(&self, account: &Account, month: Month, usage: &Usage) -> Statement {
        let terms = Some(self.plans.of(account.plan)).filter(|_| account.is_present);
        Statement {
            tenant_id: account.tenant_id,
            tenant_name: account.tenant_name.clone(),
            plan: account.plan,
            month,
            is_final: false,
            sums: usage.sums,
            bill: Bill::new(&self.prices, terms, usage),
            quota: terms.and_then(|terms| terms.quota(usage.sums.seconds)),
        }
    }

    /// The usage of a range of days, both included, with costs by the price list alone: fees and included minutes
    /// belong to months.
    pub fn days(&self, tenant: &Tenant, (from, to): (NaiveDate, NaiveDate), usage: &Usage) -> UsageReport {
        UsageReport {
            tenant_id: tenant.id,
            tenant_name: tenant.name.clone(),
            plan: tenant.plan,
            from,
            to,
            is_final: false,
            sums: usage.sums,
            bill: Bill::new(&self.prices, None, usage),
            quota: None,
        }
    }
}

/// An amount as a decimal number: `1.500000`.
pub fn decimal(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
