//! The treatment of each table's rows in the purge of a tenant and in the erasure of a call. A test compares the
//! list with the database: enter new tables here.

/// The treatment of a tenant's rows in a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge {
    Delete,
    /// The rows are the operator's: they are assigned to no tenant any more.
    Unassign,
    /// Sums and statements, which accounting needs: deleted only when that is asked for.
    Accounting,
}

/// A tenant-owned table.
#[derive(Debug, Clone, Copy)]
pub struct OwnedTable {
    pub name: &'static str,
    /// The columns of its primary key.
    pub key: &'static str,
    pub purge: Purge,
}

const fn deleted(name: &'static str, key: &'static str) -> OwnedTable {
    OwnedTable { name, key, purge: Purge::Delete }
}

const fn accounting(name: &'static str, key: &'static str) -> OwnedTable {
    OwnedTable { name, key, purge: Purge::Accounting }
}

/// All tenant-owned tables, each before those that it refers to.
pub const OWNED: &[OwnedTable] = &[
    deleted("idempotency_keys", "id"),
    deleted("webhook_deliveries", "id"),
    deleted("webhook_events", "id"),
    deleted("webhooks", "id"),
    deleted("tool_secrets", "id"),
    deleted("engine_credentials", "id"),
    deleted("ledger_dead_letters", "id"),
    OwnedTable { name: "number_inventory", key: "id", purge: Purge::Unassign },
    deleted("announced_calls", "tenant_id, asterisk_channel_id"),
    deleted("analysis_jobs", "call_id"),
    deleted("analysis_labels", "call_id, name"),
    deleted("analysis_usage", "call_id, kind, engine, model, unit"),
    deleted("call_feedback", "id"),
    deleted("call_usage", "call_id, kind, engine, model, unit"),
    deleted("call_turns", "call_id, turn"),
    deleted("calls", "id"),
    deleted("pre_call_webhooks", "id"),
    deleted("number_routing_versions", "phone_number_id, version"),
    deleted("number_profiles", "phone_number_id, purpose, ai_profile_id"),
    deleted("ai_profile_versions", "ai_profile_id, version"),
    deleted("ai_profiles", "id"),
    deleted("phone_numbers", "id"),
    deleted("transfer_targets", "id"),
    deleted("api_keys", "id"),
    deleted("retention", "tenant_id"),
    deleted("audit_log", "id"),
    deleted("leg_spend", "tenant_id, day"),
    deleted("rollup_values", "tenant_id, measure, day, phone_number_id, ai_profile_id, value"),
    deleted("rollup_outcomes", "tenant_id, day, phone_number_id, ai_profile_id, disposition, ended_by"),
    deleted("rollup_calls", "tenant_id, quarter, phone_number_id, ai_profile_id"),
    accounting("usage_month_engines", "tenant_id, month, kind, engine, model, unit"),
    accounting("usage_months", "tenant_id, month"),
    accounting("statements", "tenant_id, month"),
    accounting("statement_holds", "tenant_id, month"),
    accounting("tenant_terms", "tenant_id, seq"),
];

/// Tables without rows of a tenant's: `tenants` itself, which a purge handles, the record of migrations, and the operator's.
#[cfg(test)]
pub const OTHERS: &[&str] = &["tenants", "_sqlx_migrations", "unmatched_numbers", "write_probes"];

impl OwnedTable {
    /// Deletes at most `$2` of a tenant's rows, or unassigns them.
    pub fn delete_some(&self) -> String {
        let OwnedTable { name, key, .. } = self;
        if self.purge == Purge::Unassign {
            let some = format!("SELECT {key} FROM {name} WHERE tenant_id = $1 LIMIT $2");
            return format!("UPDATE {name} SET tenant_id = NULL WHERE ({key}) IN ({some})");
        }
        format!(
            "DELETE FROM {name} WHERE ({key}) IN (SELECT {key} FROM {name} WHERE tenant_id = $1 LIMIT $2)"
        )
    }

    pub fn count(&self) -> String {
        format!("SELECT COUNT(*) FROM {} WHERE tenant_id = $1", self.name)
    }
}
