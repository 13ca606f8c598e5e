//! The tables and columns that make up a tenant, and the types that read their values. A test compares the lists with
//! the database, so that a new column either travels or stays behind knowingly.

use serde_json::{Map, Value as Json};

use super::call_tables::CALLS;
use super::words::{did, document, events, hold_reason, profile_name, target_address, url, word};
use crate::billing::Statement;
use crate::tenancy::{
    AfterBridge, AgentRole, FailoverRoutes, Hours, Label, Month, NumberRouting, Plan, ProfilePurpose,
    ProfileSettings, ProviderState, ProviderType, Retention, TargetKind, TargetResolver, TenantStatus,
    TransferMethod, TransferStyle, TransferTarget,
};

/// A tenant-owned table.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    /// All but `tenant_id`.
    pub columns: &'static [(&'static str, Kind)],
    /// The columns that rows are ordered by.
    pub order: &'static str,
}

/// The type of a column's values.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// The row's own id, or one of a row that it refers to.
    Id,
    /// Free text.
    Text,
    /// A text that a type of the program reads.
    Word(fn(&str) -> Result<(), String>),
    /// JSON that a type of the program reads, kept as text.
    Json(fn(&Json) -> Result<(), String>),
    /// A count in 64 bits.
    Count,
    /// A count of at most so much.
    UpTo(i64),
    Flag,
    Moment,
    /// A secret: it stays behind, and a new one is made.
    Secret,
}

use Kind::{Flag, Id, Json as Document, Moment, Secret, Text, UpTo, Word};

/// The range that the program reads as `u32`.
pub const U32: i64 = u32::MAX as i64;

/// The tables of a tenant's own settings, in an order in which rows refer to earlier rows; and its statements with
/// the history of its plan, so that months that were billed elsewhere are not billed again.
pub const OWNED: [Table; 12] = [
    Table {
        name: "phone_numbers",
        columns: &[
            ("id", Id),
            ("did", Word(did)),
            ("provider_type", Word(word::<ProviderType>)),
            ("is_active", Flag),
            ("created_at", Moment),
            ("deleted_at", Moment),
            ("provider_state", Word(word::<ProviderState>)),
            ("provider_detail", Text),
            ("provider_reference", Text),
            ("registered_by", Text),
            ("provider_asked_at", Moment),
            ("failover", Document(document::<FailoverRoutes>)),
            ("uses_tenant_webhook", Flag),
            ("routing_version", UpTo(U32)),
        ],
        order: "id",
    },
    Table {
        name: "transfer_targets",
        columns: &[
            ("id", Id),
            ("name", Word(word::<Label>)),
            ("description", Text),
            ("kind", Word(word::<TargetKind>)),
            ("address", Text),
            ("method", Word(word::<TransferMethod>)),
            ("style", Word(word::<TransferStyle>)),
            ("after_bridge", Word(word::<AfterBridge>)),
            ("resolver", Document(document::<TargetResolver>)),
            ("hours", Document(document::<Hours>)),
            ("created_at", Moment),
        ],
        order: "id",
    },
    Table {
        name: "ai_profiles",
        columns: &[
            ("id", Id),
            ("name", Word(profile_name)),
            ("role", Word(word::<AgentRole>)),
            ("system_prompt", Text),
            ("is_default", Flag),
            ("settings", Document(document::<ProfileSettings>)),
            ("created_at", Moment),
            ("version", UpTo(U32)),
            ("targets", Document(document::<Vec<TransferTarget>>)),
        ],
        order: "id",
    },
    Table {
        name: "ai_profile_versions",
        columns: &[
            ("ai_profile_id", Id),
            ("version", UpTo(U32)),
            ("name", Text),
            ("role", Word(word::<AgentRole>)),
            ("system_prompt", Text),
            ("settings", Document(document::<ProfileSettings>)),
            ("created_by", Text),
            ("created_at", Moment),
            ("targets", Document(document::<Vec<TransferTarget>>)),
            ("republished", Flag),
        ],
        order: "ai_profile_id, version",
    },
    Table {
        name: "number_profiles",
        columns: &[
            ("phone_number_id", Id),
            ("purpose", Word(word::<ProfilePurpose>)),
            ("ai_profile_id", Id),
            ("weight", UpTo(100)),
        ],
        order: "phone_number_id, purpose, ai_profile_id",
    },
    Table {
        name: "number_routing_versions",
        columns: &[
            ("phone_number_id", Id),
            ("version", UpTo(U32)),
            ("routing", Document(document::<NumberRouting>)),
            ("failover", Document(document::<FailoverRoutes>)),
            ("created_by", Text),
            ("created_at", Moment),
        ],
        order: "phone_number_id, version",
    },
    Table {
        name: "pre_call_webhooks",
        columns: &[
            ("id", Id),
            ("phone_number_id", Id),
            ("url", Word(url)),
            ("timeout_ms", UpTo(5_000)),
            ("secret", Secret),
            ("created_at", Moment),
        ],
        order: "id",
    },
    Table {
        name: "webhooks",
        columns: &[
            ("id", Id),
            ("url", Word(url)),
            ("events", Word(events)),
            ("secret", Secret),
            ("is_active", Flag),
            ("created_at", Moment),
            ("deleted_at", Moment),
        ],
        order: "id",
    },
    Table {
        name: "retention",
        columns: &[
            ("call_days", UpTo(U32)),
            ("transcript_days", UpTo(U32)),
            ("recording_days", UpTo(U32)),
            ("audit_days", UpTo(U32)),
            ("updated_at", Moment),
        ],
        order: "updated_at",
    },
    Table {
        name: "statements",
        columns: &[
            ("month", Word(word::<Month>)),
            ("statement", Document(document::<Statement>)),
            ("issued_at", Moment),
        ],
        order: "month",
    },
    Table {
        name: "tenant_terms",
        columns: &[("at", Moment), ("plan", Word(word::<Plan>)), ("status", Word(word::<TenantStatus>))],
        order: "seq",
    },
    Table {
        name: "statement_holds",
        columns: &[
            ("month", Word(word::<Month>)),
            ("reason", Word(hold_reason)),
            ("detail", Text),
            ("since", Moment),
        ],
        order: "month",
    },
];

/// Tenant-owned tables that stay behind: secrets, the history of changes, deliveries in progress, the spend of a
/// day, and the operator's inventory, in which an import assigns the tenant's numbers.
#[cfg(test)]
const LEFT: [&str; 15] = [
    "analysis_jobs",
    "api_keys",
    "audit_log",
    "announced_calls",
    "engine_credentials",
    "idempotency_keys",
    "ledger_dead_letters",
    "leg_spend",
    "number_inventory",
    "rollup_calls",
    "rollup_outcomes",
    "rollup_values",
    "tool_secrets",
    "webhook_events",
    "webhook_deliveries",
];

/// Columns that stay behind: secrets, how deliveries go, and what the database reckons.
#[cfg(test)]
const LEFT_COLUMNS: [(&str, &str); 10] = [
    ("webhooks", "former_secret"),
    ("webhooks", "former_secret_until"),
    ("webhooks", "failing_since"),
    ("pre_call_webhooks", "former_secret"),
    ("pre_call_webhooks", "former_secret_until"),
    ("calls", "daemon"),
    ("calls", "is_rolled_up"),
    ("tenant_terms", "seq"),
    ("calls", "duration_ms"),
    ("calls", "started_quarter"),
];

/// Whether a column travels or is known to stay behind.
#[cfg(test)]
pub fn is_known(table: &str, column: &str) -> bool {
    let is_listed =
        |table: &Table| column == "tenant_id" || table.column(column).is_some() || column == "secret";
    LEFT.contains(&table)
        || LEFT_COLUMNS.contains(&(table, column))
        || Table::named(table).is_some_and(is_listed)
}

/// The tables that travel, each behind those that it refers to.
#[cfg(test)]
pub fn lists() -> Vec<&'static str> {
    OWNED.iter().chain(&CALLS).map(|table| table.name).collect()
}

impl Table {
    pub fn named(name: &str) -> Option<&'static Table> {
        static ALL: ([Table; 12], [Table; 8]) = (OWNED, CALLS);
        ALL.0.iter().chain(&ALL.1).find(|table| table.name == name)
    }

    /// A column that travels.
    pub fn column(&self, column: &str) -> Option<(&'static str, Kind)> {
        self.travelling().find(|(name, _)| *name == column)
    }

    /// The columns that travel.
    pub fn travelling(&self) -> impl Iterator<Item = (&'static str, Kind)> {
        self.columns.iter().copied().filter(|(_, kind)| !matches!(kind, Secret))
    }

    /// Whether each row has a secret, which stays behind.
    pub fn has_secret(&self) -> bool {
        self.columns.iter().any(|(_, kind)| matches!(kind, Secret))
    }

    /// Checks what the columns of a row say together.
    ///
    /// # Errors
    /// The column, and what is wrong.
    pub fn check(&self, row: &Map<String, Json>) -> Result<(), String> {
        match self.name {
            "retention" => check_retention(row),
            "transfer_targets" => target_address(row),
            "statements" if row.get("statement").and_then(|it| it.get("month")) != row.get("month") => {
                Err("month: the statement is of another month".to_owned())
            }
            "calls" if row.get("ended_at").is_none_or(Json::is_null) => {
                Err("ended_at: only calls that have ended can be imported".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Reads the rows of one tenant.
    pub fn select(&self) -> String {
        let columns: Vec<&str> = self.travelling().map(|(name, _)| name).collect();
        format!(
            "SELECT {} FROM {} WHERE tenant_id = $1{} ORDER BY {}",
            columns.join(", "),
            self.name,
            self.condition(),
            self.order
        )
    }

    /// Calls, and what belongs to one of them; not the sums of months.
    pub fn is_of_calls(&self) -> bool {
        self.name == "calls" || self.column("call_id").is_some()
    }

    /// Whether a row is a number, or belongs to one of them alone.
    pub fn is_of_number(&self, row: &Map<String, Json>) -> bool {
        self.name == "phone_numbers" || row.get("phone_number_id").is_some_and(|number| !number.is_null())
    }

    /// Whether it is part of billing: statements and plans.
    pub fn is_of_billing(&self) -> bool {
        matches!(self.name, "statements" | "tenant_terms" | "statement_holds")
    }

    /// Calls that are over, and what belongs to them.
    fn condition(&self) -> &'static str {
        match self.name {
            "calls" => " AND ended_at IS NOT NULL",
            _ if self.column("call_id").is_some() => {
                " AND call_id IN (SELECT id FROM calls WHERE tenant_id = $1 AND ended_at IS NOT NULL)"
            }
            _ => "",
        }
    }
}

fn check_retention(row: &Map<String, Json>) -> Result<(), String> {
    let days =
        |column: &str| row.get(column).and_then(Json::as_u64).and_then(|days| u32::try_from(days).ok());
    let retention = Retention {
        call_days: days("call_days"),
        transcript_days: days("transcript_days"),
        recording_days: days("recording_days"),
        audit_days: days("audit_days"),
    };
    match retention.violations().first() {
        Some(violation) => Err(violation.to_string()),
        None => Ok(()),
    }
}
