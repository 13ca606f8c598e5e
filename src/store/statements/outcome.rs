//! Which statements are to be issued, and the result: those that were issued, and those that are held back.

use serde::Serialize;
use utoipa::ToSchema;

use crate::billing::{Statement, UsageReport};
use crate::store::Page;
use crate::tenancy::{Month, TenantId};

/// Which statements are to be issued.
#[derive(Debug, Clone)]
pub struct IssueRequest {
    /// One month; otherwise every month that is due.
    pub month: Option<Month>,
    /// One tenant; otherwise all of them.
    pub tenant: Option<TenantId>,
    /// Issue statements with use that has no price, for which it bills nothing, instead of holding them back.
    pub accept_unpriced: bool,
    /// Change nothing, and return what would be issued and what held back.
    pub dry_run: bool,
}

/// The result of issuing the due statements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IssueOutcome {
    pub issued: Vec<IssuedStatement>,
    pub held: Vec<HeldStatement>,
}

/// A statement that was issued, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssuedStatement {
    pub tenant_id: TenantId,
    pub tenant_name: String,
    pub month: Month,
    pub currency: String,
    pub total_micros: u64,
    /// Models with usage that has no price.
    pub unpriced: Vec<String>,
}

/// A statement that is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldStatement {
    pub tenant_id: TenantId,
    pub tenant_name: String,
    pub month: Month,
    pub reason: HoldReason,
    /// The models without a price, or what cannot be read.
    pub detail: String,
}

/// Why a statement is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// Use of a model has no price.
    Unpriced,
    /// Rows of the tenant cannot be read.
    Unreadable,
}

/// A page of tenants with a month's usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthReports {
    pub page: Page<UsageReport>,
    /// The tenants of this page with rows that cannot be read.
    pub unreadable: Vec<UnreadableTenant>,
}

/// A tenant with figures of a month that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableTenant {
    pub tenant_id: TenantId,
    pub tenant_name: String,
    pub problem: String,
}

impl HoldReason {
    pub(in crate::store) fn as_str(self) -> &'static str {
        match self {
            HoldReason::Unpriced => "unpriced",
            HoldReason::Unreadable => "unreadable",
        }
    }

    pub(in crate::store) fn read(text: &str) -> Result<HoldReason, String> {
        let all = [HoldReason::Unpriced, HoldReason::Unreadable];
        let found = all.into_iter().find(|reason| reason.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no reason to hold a statement back"))
    }
}

impl IssuedStatement {
    pub(super) fn of(statement: &Statement) -> IssuedStatement {
        IssuedStatement {
            tenant_id: statement.tenant_id,
            tenant_name: statement.tenant_name.clone(),
            month: statement.month,
            currency: statement.bill.currency.clone(),
            total_micros: statement.bill.total_micros,
            unpriced: statement.bill.unpriced(),
        }
    }
}
