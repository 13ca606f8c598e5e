//! What tenants owe: plans and their quotas, the price list, and the statement that follows from what was taken.
//!
//! Pure arithmetic. Money is whole millionths of the currency's unit, never a float; sums stop at the greatest
//! number instead of beginning anew. It knows neither the database nor the time: both are arguments.

mod csv;
mod plans;
mod prices;
mod statement;

pub use plans::{AtLimit, Plans, Quota, Terms};
pub use prices::{Price, Prices};
pub use statement::{Bill, Line, LineItem, Statement, UsageReport};

use chrono::{DateTime, NaiveDate, Utc};

use crate::tenancy::{Month, Tenant, Usage};

/// The operator's terms: what things cost, and what each plan has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Billing {
    pub prices: Prices,
    pub plans: Plans,
}

impl Billing {
    /// What a tenant owes for a month by the prices and its plan of now: a draft, until it is issued.
    pub fn statement(&self, tenant: &Tenant, month: Month, usage: &Usage) -> Statement {
        Statement {
            tenant_id: tenant.id,
            tenant_name: tenant.name.clone(),
            plan: tenant.plan,
            month,
            is_final: false,
            sums: usage.sums,
            bill: Bill::new(&self.prices, Some(self.plans.of(tenant.plan)), usage),
        }
    }

    /// What a tenant has taken in a month, what that costs by its plan, and where its quota stands.
    pub fn month(&self, tenant: &Tenant, month: Month, usage: &Usage, now: DateTime<Utc>) -> UsageReport {
        let terms = self.plans.of(tenant.plan);
        UsageReport {
            tenant_id: tenant.id,
            tenant_name: tenant.name.clone(),
            plan: tenant.plan,
            from: month.first_day(),
            to: month.last_day(),
            is_final: month.is_over(now),
            sums: usage.sums,
            bill: Bill::new(&self.prices, Some(terms), usage),
            quota: terms.quota(usage.sums.seconds),
        }
    }

    /// What a tenant has taken from one day to another, both included, by the price list alone: a fee and what it
    /// includes are a month's.
    pub fn days(
        &self,
        tenant: &Tenant,
        (from, to): (NaiveDate, NaiveDate),
        usage: &Usage,
        now: DateTime<Utc>,
    ) -> UsageReport {
        UsageReport {
            tenant_id: tenant.id,
            tenant_name: tenant.name.clone(),
            plan: tenant.plan,
            from,
            to,
            is_final: now.date_naive() > to,
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
