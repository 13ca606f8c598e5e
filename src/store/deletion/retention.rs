//! Deleting what is older than a tenant's retention, a batch at a time.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::BATCH;
use crate::store::page::first_id_at;
use crate::store::statement::{Statement, composed, sql};
use crate::store::tx::{Access, RowScope, Tx};
use crate::store::{Scope, StoreError, kept};
use crate::tenancy::{CallTransfer, EventId, EventType, Retention, TenantId};

/// Rows past their retention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Expired {
    pub calls: u64,
    /// Turns of transcripts, those of expired calls included.
    pub turns: u64,
    /// Events for webhooks, with their deliveries.
    pub webhook_events: u64,
    pub audit_entries: u64,
    /// Records of calls that the database had refused.
    pub dead_letters: u64,
}

impl Expired {
    pub fn is_empty(&self) -> bool {
        *self == Expired::default()
    }

    pub fn add(&mut self, other: Expired) {
        self.calls += other.calls;
        self.turns += other.turns;
        self.webhook_events += other.webhook_events;
        self.audit_entries += other.audit_entries;
        self.dead_letters += other.dead_letters;
    }
}

/// Calls that one transaction deletes, with all that belongs to them.
const CALLS: i64 = 50;

/// Moments before which rows are deleted.
#[derive(Debug, Clone, Copy)]
struct Cutoffs {
    calls: Option<DateTime<Utc>>,
    transcripts: Option<DateTime<Utc>>,
    audit: Option<DateTime<Utc>>,
}

impl Cutoffs {
    fn of(retention: Retention, now: DateTime<Utc>) -> Cutoffs {
        let before = |days: Option<u32>| {
            days.and_then(|days| now.checked_sub_signed(TimeDelta::days(days.into()))).map(kept)
        };
        Cutoffs {
            calls: before(retention.call_days),
            transcripts: before(retention.transcript_days),
            audit: before(retention.audit_days),
        }
    }
}

const OLD_CALLS: &str = "FROM calls WHERE tenant_id = $1 AND started_at < $2 \
    AND status NOT IN ('ringing', 'answered')";
/// Turns alone: the other records are still to be billed, and stay until the operator retries or discards them.
const OLD_LETTERS: &str =
    "FROM ledger_dead_letters WHERE tenant_id = $1 AND created_at < $2 AND kind = 'turn'";
const OLD_TURNS: &str = "FROM call_turns WHERE tenant_id = $1 AND at < $2";
const OLD_TRANSCRIPTS: &str = "FROM webhook_events WHERE tenant_id = $1 AND created_at < $2 AND type IN ('transcript.ready', 'call.analyzed')";
const OLD_OTHER_EVENTS: &str = "FROM webhook_events WHERE tenant_id = $1 AND created_at < $2 AND type NOT IN ('transcript.ready', 'call.analyzed')";
const OLD_ENTRIES: &str = "FROM audit_log WHERE tenant_id = $1 AND id < $2";

impl Scope {
    /// Counts what has expired.
    pub async fn count_expired(&self, now: DateTime<Utc>) -> Result<Expired, StoreError> {
        let cutoffs = Cutoffs::of(self.retention().await?, now);
        let mut expired = Expired::default();
        if let Some(before) = cutoffs.calls {
            expired.calls = self.count(OLD_CALLS, before).await?;
            expired.webhook_events += self.count(OLD_OTHER_EVENTS, before).await?;
        }
        // Transcripts are kept no longer than their calls.
        if let Some(before) = cutoffs.transcripts {
            expired.webhook_events += self.count(OLD_TRANSCRIPTS, before).await?;
            expired.turns = self.count(OLD_TURNS, before).await?;
            expired.dead_letters = self.count(OLD_LETTERS, before).await?;
        }
        if let Some(before) = cutoffs.audit {
            let count = composed(format!("SELECT COUNT(*) {OLD_ENTRIES}"));
            let (count,) = self.one::<(i64,)>(count.bind(self.tenant.0).bind(first_id_at(before))).await?;
            expired.audit_entries = count.unsigned_abs();
        }
        Ok(expired)
    }

    /// Deletes one batch of what has expired. Nothing is left when the answer is empty.
    pub async fn delete_expired(&self, now: DateTime<Utc>) -> Result<Expired, StoreError> {
        let cutoffs = Cutoffs::of(self.retention().await?, now);
        let mut tx = self.begin(Access::Write).await?;
        let mut expired = Expired::default();
        if let Some(before) = cutoffs.transcripts {
            expired.turns += tx.delete_old_turns(self.tenant, before).await?;
            expired.dead_letters += tx.delete_old_letters(self.tenant, before).await?;
            expired.webhook_events += tx.delete_old_events(self.tenant, OLD_TRANSCRIPTS, before).await?;
        }
        if let Some(before) = cutoffs.calls {
            expired.webhook_events += tx.delete_old_events(self.tenant, OLD_OTHER_EVENTS, before).await?;
            expired.add(tx.delete_old_calls(self.tenant, before).await?);
        }
        if let Some(before) = cutoffs.audit {
            expired.audit_entries += tx.delete_old_entries(self.tenant, before).await?;
        }
        tx.commit().await?;
        Ok(expired)
    }

    async fn count(&self, old: &str, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let count = composed(format!("SELECT COUNT(*) {old}")).bind(self.tenant.0).bind(before);
        Ok(self.one::<(i64,)>(count).await?.0.unsigned_abs())
    }
}

impl Tx {
    /// Deletes old turns, and what repeats the caller's words: the fields that the agent remembered of their calls, its summaries
    /// for transfer targets, and analyses.
    async fn delete_old_turns(&mut self, tenant: TenantId, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let delete = format!(
            "DELETE FROM call_turns WHERE (call_id, turn) IN (SELECT call_id, turn {OLD_TURNS} LIMIT $3) \
             RETURNING call_id"
        );
        let turns = self.all::<(Uuid,)>(composed(delete).bind(tenant.0).bind(before).bind(BATCH)).await?;
        let calls: BTreeSet<Uuid> = turns.iter().map(|(call,)| *call).collect();
        let calls: Vec<Uuid> = calls.into_iter().collect();
        self.delete_analyses(tenant, &calls).await?;
        self.delete_notes(tenant, &calls).await?;
        Ok(turns.len() as u64)
    }

    /// Deletes the fields of calls and the summaries of their transfers, also in the payloads of their events.
    async fn delete_notes(&mut self, tenant: TenantId, calls: &[Uuid]) -> Result<(), StoreError> {
        const FIELDS: &str =
            "UPDATE calls SET fields = NULL WHERE tenant_id = $1 AND fields IS NOT NULL AND id IN";
        const EVENTS: &str = "SELECT id, payload FROM webhook_events WHERE tenant_id = $1 AND id IN";
        const WRITE: &str = "UPDATE webhook_events SET payload = $3 WHERE tenant_id = $1 AND id = $2";
        if calls.is_empty() {
            return Ok(());
        }
        let with_fields = self.all::<(Uuid,)>(of_ids(FIELDS, tenant, calls, "RETURNING id")).await?;
        let mut changed: BTreeSet<Uuid> = with_fields.into_iter().map(|(call,)| call).collect();
        changed.extend(self.delete_summaries(tenant, calls).await?);
        let events: Vec<Uuid> = changed
            .iter()
            .flat_map(|call| EventType::ALL.iter().map(move |kind| EventId::of(*call, *kind).0))
            .collect();
        if events.is_empty() {
            return Ok(());
        }
        for (id, payload) in self.all::<(Uuid, String)>(of_ids(EVENTS, tenant, &events, "")).await? {
            if let Some(payload) = without_notes(&payload) {
                self.execute(sql(WRITE).bind(tenant.0).bind(id).bind(payload)).await?;
            }
        }
        Ok(())
    }

    /// Deletes the agent's summaries in the transfers of calls. Returns the calls that had one.
    pub(super) async fn delete_summaries(
        &mut self,
        tenant: TenantId,
        calls: &[Uuid],
    ) -> Result<Vec<Uuid>, StoreError> {
        const SELECT: &str =
            "SELECT id, transfers FROM calls WHERE tenant_id = $1 AND transfers IS NOT NULL AND id IN";
        const WRITE: &str = "UPDATE calls SET transfers = $3 WHERE tenant_id = $1 AND id = $2";
        let mut changed = Vec::new();
        for (id, transfers) in self.all::<(Uuid, String)>(of_ids(SELECT, tenant, calls, "")).await? {
            let transfers: Vec<CallTransfer> =
                serde_json::from_str(&transfers).map_err(StoreError::corrupt)?;
            if transfers.iter().all(|transfer| transfer.summary.is_none()) {
                continue;
            }
            let kept: Vec<_> = transfers.into_iter().map(CallTransfer::without_summary).collect();
            let kept = serde_json::to_string(&kept).map_err(StoreError::invalid)?;
            self.execute(sql(WRITE).bind(tenant.0).bind(id).bind(kept)).await?;
            changed.push(id);
        }
        Ok(changed)
    }

    /// Deletes the analyses of calls, due ones included. Their events are deleted with those of the transcripts.
    async fn delete_analyses(&mut self, tenant: TenantId, calls: &[Uuid]) -> Result<(), StoreError> {
        const CLEAR: &str =
            "UPDATE calls SET analysis = NULL WHERE tenant_id = $1 AND analysis IS NOT NULL AND id IN";
        if calls.is_empty() {
            return Ok(());
        }
        // Due analyses first, as where a result is recorded: in another order the two can deadlock.
        for table in ["analysis_jobs", "analysis_labels"] {
            self.delete_where(table, "call_id", tenant, calls).await?;
        }
        self.execute(of_ids(CLEAR, tenant, calls, "")).await.map(drop)
    }

    async fn delete_old_letters(
        &mut self,
        tenant: TenantId,
        before: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let delete =
            format!("DELETE FROM ledger_dead_letters WHERE id IN (SELECT id {OLD_LETTERS} LIMIT $3)");
        self.execute(composed(delete).bind(tenant.0).bind(before).bind(BATCH)).await
    }

    /// Deletes old events with their deliveries, pending ones included.
    async fn delete_old_events(
        &mut self,
        tenant: TenantId,
        old: &str,
        before: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let select = composed(format!("SELECT id {old} ORDER BY created_at LIMIT $3"));
        let events = self.all::<(Uuid,)>(select.bind(tenant.0).bind(before).bind(BATCH)).await?;
        let events: Vec<Uuid> = events.into_iter().map(|(id,)| id).collect();
        self.delete_where("webhook_deliveries", "event_id", tenant, &events).await?;
        self.delete_where("webhook_events", "id", tenant, &events).await
    }

    async fn delete_old_calls(
        &mut self,
        tenant: TenantId,
        before: DateTime<Utc>,
    ) -> Result<Expired, StoreError> {
        let select = composed(format!("SELECT id {OLD_CALLS} ORDER BY started_at LIMIT $3"));
        let calls = self.all::<(Uuid,)>(select.bind(tenant.0).bind(before).bind(CALLS)).await?;
        let calls: Vec<Uuid> = calls.into_iter().map(|(id,)| id).collect();
        let turns = self.delete_where("call_turns", "call_id", tenant, &calls).await?;
        let belonging = [
            "call_usage",
            "call_feedback",
            "announced_calls",
            "analysis_jobs",
            "analysis_labels",
            "analysis_usage",
        ];
        for table in belonging {
            self.delete_where(table, "call_id", tenant, &calls).await?;
        }
        let calls = self.delete_where("calls", "id", tenant, &calls).await?;
        Ok(Expired { calls, turns, ..Expired::default() })
    }

    async fn delete_old_entries(
        &mut self,
        tenant: TenantId,
        before: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM audit_log WHERE id IN \
            (SELECT id FROM audit_log WHERE tenant_id = $1 AND id < $2 ORDER BY id LIMIT $3)";
        self.execute(sql(SQL).bind(tenant.0).bind(first_id_at(before)).bind(BATCH)).await
    }

    /// Deletes a tenant's rows that have one of these ids in the column.
    async fn delete_where(
        &mut self,
        table: &'static str,
        column: &'static str,
        tenant: TenantId,
        ids: &[Uuid],
    ) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        self.execute(delete_where(table, column, tenant, ids)).await
    }
}

fn delete_where(table: &'static str, column: &'static str, tenant: TenantId, ids: &[Uuid]) -> Statement {
    of_ids(&format!("DELETE FROM {table} WHERE tenant_id = $1 AND {column} IN"), tenant, ids, "")
}

/// A statement about a tenant's rows with one of these ids: `before ($2, $3) after`.
pub(super) fn of_ids(before: &str, tenant: TenantId, ids: &[Uuid], after: &str) -> Statement {
    let places: Vec<String> = (2..ids.len() + 2).map(|n| format!("${n}")).collect();
    composed(format!("{before} ({}) {after}", places.join(", ")))
        .bind(tenant.0)
        .bind_all(ids.iter().map(|id| (*id).into()))
}

/// The payload of an event without its call's fields and the summaries of its transfers; `None` when it has neither.
fn without_notes(payload: &str) -> Option<String> {
    let mut payload: Json = serde_json::from_str(payload).ok()?;
    let data = payload.get_mut("data")?;
    let mut is_changed = false;
    if let Some(fields) = data.get_mut("fields").and_then(Json::as_object_mut) {
        is_changed = !fields.is_empty();
        fields.clear();
    }
    let transfers = data.get_mut("transfers").and_then(Json::as_array_mut);
    for summary in transfers.into_iter().flatten().filter_map(|transfer| transfer.get_mut("summary")) {
        is_changed |= !summary.take().is_null();
    }
    is_changed.then(|| payload.to_string())
}
