//! Which tables and columns make up a tenant. A test holds the lists against the database, so that a new column
//! is either taken along or left behind knowingly.

/// A tenant-owned table.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    /// All but `tenant_id`.
    pub columns: &'static [(&'static str, Kind)],
    /// What rows are ordered by.
    pub order: &'static str,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The row's own id, or one of a row that it refers to.
    Id,
    Text,
    /// JSON, kept as text.
    Json,
    Count,
    Flag,
    Moment,
    /// A secret: it stays behind, and a new one is made.
    Secret,
}

use Kind::{Count, Flag, Id, Json, Moment, Secret, Text};

/// What a tenant has set up, in an order in which rows refer to rows before them; and its statements, so that what was
/// issued elsewhere is not issued once more.
pub const OWNED: [Table; 6] = [
    Table {
        name: "phone_numbers",
        columns: &[
            ("id", Id),
            ("did", Text),
            ("provider_type", Text),
            ("is_active", Flag),
            ("created_at", Moment),
            ("deleted_at", Moment),
            ("provider_state", Text),
            ("provider_detail", Text),
            ("provider_reference", Text),
            ("registered_by", Text),
        ],
        order: "id",
    },
    Table {
        name: "ai_profiles",
        columns: &[
            ("id", Id),
            ("name", Text),
            ("role", Text),
            ("system_prompt", Text),
            ("is_default", Flag),
            ("settings", Json),
            ("created_at", Moment),
            ("version", Count),
        ],
        order: "id",
    },
    Table {
        name: "ai_profile_versions",
        columns: &[
            ("ai_profile_id", Id),
            ("version", Count),
            ("name", Text),
            ("role", Text),
            ("system_prompt", Text),
            ("settings", Json),
            ("created_by", Text),
            ("created_at", Moment),
        ],
        order: "ai_profile_id, version",
    },
    Table {
        name: "webhooks",
        columns: &[
            ("id", Id),
            ("url", Text),
            ("events", Text),
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
            ("call_days", Count),
            ("transcript_days", Count),
            ("recording_days", Count),
            ("audit_days", Count),
            ("updated_at", Moment),
        ],
        order: "updated_at",
    },
    Table {
        name: "statements",
        columns: &[("month", Text), ("statement", Json), ("issued_at", Moment)],
        order: "month",
    },
];

/// Its calls, and what belongs to them.
pub const CALLS: [Table; 6] = [
    Table {
        name: "calls",
        columns: &[
            ("id", Id),
            ("phone_number_id", Id),
            ("ai_profile_id", Id),
            ("ai_profile_version", Count),
            ("asterisk_channel_id", Text),
            ("direction", Text),
            ("caller_number", Text),
            ("called_number", Text),
            ("status", Text),
            ("ended_by", Text),
            ("disposition", Text),
            ("hangup_cause", Count),
            ("sip_status", Count),
            ("provider_call_id", Text),
            ("started_at", Moment),
            ("answered_at", Moment),
            ("ended_at", Moment),
            ("codec", Text),
            ("media", Json),
            ("billed_seconds", Count),
            ("billed_turns", Count),
        ],
        order: "id",
    },
    Table {
        name: "call_turns",
        columns: &[
            ("call_id", Id),
            ("turn", Count),
            ("caller_text", Text),
            ("agent_text", Text),
            ("interrupted", Flag),
            ("transcript_ms", Count),
            ("reply_ms", Count),
            ("commit_ms", Count),
            ("audio_ms", Count),
            ("at", Moment),
        ],
        order: "call_id, turn",
    },
    Table {
        name: "call_usage",
        columns: &[
            ("call_id", Id),
            ("kind", Text),
            ("engine", Text),
            ("model", Text),
            ("unit", Text),
            ("quantity", Count),
        ],
        order: "call_id, kind, engine, model, unit",
    },
    Table {
        name: "call_feedback",
        columns: &[
            ("id", Id),
            ("call_id", Id),
            ("rating", Count),
            ("comment", Text),
            ("source", Text),
            ("created_at", Moment),
        ],
        order: "id",
    },
    Table {
        name: "usage_months",
        columns: &[("month", Text), ("calls", Count), ("seconds", Count), ("turns", Count)],
        order: "month",
    },
    Table {
        name: "usage_month_engines",
        columns: &[
            ("month", Text),
            ("kind", Text),
            ("engine", Text),
            ("model", Text),
            ("unit", Text),
            ("quantity", Count),
        ],
        order: "month, kind, engine, model, unit",
    },
];

/// Tenant-owned tables that stay behind: secrets, the history of changes, deliveries under way, and the operator's
/// inventory, in which an import assigns the tenant's numbers.
#[cfg(test)]
const LEFT: [&str; 10] = [
    "api_keys",
    "audit_log",
    "announced_calls",
    "ledger_dead_letters",
    "number_inventory",
    "rollup_calls",
    "rollup_outcomes",
    "rollup_values",
    "webhook_events",
    "webhook_deliveries",
];

/// Columns that stay behind: secrets, how deliveries go, and what the database reckons.
#[cfg(test)]
const LEFT_COLUMNS: [(&str, &str); 7] = [
    ("webhooks", "former_secret"),
    ("webhooks", "former_secret_until"),
    ("webhooks", "failing_since"),
    ("calls", "daemon"),
    ("calls", "is_rolled_up"),
    ("calls", "duration_ms"),
    ("calls", "started_quarter"),
];

/// Is it said what becomes of a column?
#[cfg(test)]
pub fn is_known(table: &str, column: &str) -> bool {
    let is_listed = |table: &Table| column == "tenant_id" || table.kind(column).is_some();
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
        static ALL: ([Table; 6], [Table; 6]) = (OWNED, CALLS);
        ALL.0.iter().chain(&ALL.1).find(|table| table.name == name)
    }

    pub fn kind(&self, column: &str) -> Option<Kind> {
        self.columns.iter().find(|(name, _)| *name == column).map(|(_, kind)| *kind)
    }

    /// Columns that travel.
    pub fn travelling(&self) -> impl Iterator<Item = (&'static str, Kind)> {
        self.columns.iter().copied().filter(|(_, kind)| *kind != Secret)
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

    /// Calls, and what belongs to one of them; not what is kept of a month.
    pub fn is_of_calls(&self) -> bool {
        self.name == "calls" || self.kind("call_id").is_some()
    }

    /// Calls that are over, and what belongs to them.
    fn condition(&self) -> &'static str {
        match self.name {
            "calls" => " AND ended_at IS NOT NULL",
            _ if self.kind("call_id").is_some() => {
                " AND call_id IN (SELECT id FROM calls WHERE tenant_id = $1 AND ended_at IS NOT NULL)"
            }
            _ => "",
        }
    }
}
