//! Call records and their turns. Writing is idempotent by id: a write with an unknown outcome may be repeated.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::call_events::CallBefore;
use super::call_turns::{TURN_COLUMNS, TurnRow};
use super::counting::EndedCall;
use super::ledger::Entry;
use super::statement::{Value, composed, sql};
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::usage::{CALL_ENGINES, EngineRow, LAST_TURN};
use super::{Backend, Scope, Store, StoreError};
use crate::tenancy::{Call, CallId, CallTurn, EngineUse, NumberId, ProfileId, TenantId};

/// No call lasts so long: its daemon will not return.
pub const ABANDONED: TimeDelta = TimeDelta::days(2);

/// How many unfinished calls are closed in one transaction.
const CLOSED_AT_ONCE: i64 = 200;

pub(super) const COLUMNS: &str = "id, tenant_id, phone_number_id, ai_profile_id, ai_profile_version, \
    asterisk_channel_id, direction, caller_number, called_number, status, ended_by, disposition, hangup_cause, \
    sip_status, provider_call_id, started_at, answered_at, ended_at, codec, media, failure_reason, engine_failures, \
    fields, notice_heard_at, emergency_at, transfers, analysis, pre_call, agent_changes, \
    routing_version";

/// Puts a newer state of a call in place of the recorded one.
pub(super) const CALL_CHANGE: &str = "ON CONFLICT (id) DO UPDATE SET ai_profile_id = excluded.ai_profile_id, \
    ai_profile_version = excluded.ai_profile_version, status = excluded.status, ended_by = excluded.ended_by, \
    disposition = excluded.disposition, hangup_cause = excluded.hangup_cause, sip_status = excluded.sip_status, \
    provider_call_id = CASE WHEN calls.erased_at IS NULL THEN excluded.provider_call_id END, \
    answered_at = excluded.answered_at, ended_at = excluded.ended_at, codec = excluded.codec, media = excluded.media, \
    failure_reason = excluded.failure_reason, engine_failures = excluded.engine_failures, \
    fields = CASE WHEN calls.erased_at IS NULL THEN excluded.fields END, \
    notice_heard_at = excluded.notice_heard_at, emergency_at = excluded.emergency_at, \
    transfers = CASE WHEN calls.erased_at IS NULL THEN excluded.transfers ELSE calls.transfers END, pre_call = excluded.pre_call, \
    agent_changes = excluded.agent_changes, routing_version = excluded.routing_version, daemon = excluded.daemon \
    WHERE calls.tenant_id = excluded.tenant_id RETURNING id";

/// The values of [`COLUMNS`] and of `daemon`.
pub(super) fn call_row(call: &Call, daemon: &str) -> Vec<Value> {
    vec![
        call.id.0.into(),
        call.tenant_id.0.into(),
        call.phone_number_id.0.into(),
        call.ai_profile_id.map(|id| id.0).into(),
        call.ai_profile_version.map(i64::from).into(),
        call.asterisk_channel_id.as_str().into(),
        call.direction.as_str().into(),
        call.caller_number.as_deref().into(),
        call.called_number.digits().into(),
        call.status.as_str().into(),
        call.ended_by.map(|by| by.as_str()).into(),
        call.disposition.as_deref().into(),
        call.hangup_cause.map(i64::from).into(),
        call.sip_status.map(i64::from).into(),
        call.provider_call_id.as_deref().into(),
        call.started_at.into(),
        call.answered_at.into(),
        call.ended_at.into(),
        call.codec.as_deref().into(),
        call.media.as_ref().map(serde_json::Value::to_string).into(),
        call.failure_reason.as_deref().map(without_nul).into(),
        json_text(&call.engine_failures, call.engine_failures.is_empty()).into(),
        json_text(&call.fields, call.fields.is_empty()).into(),
        call.notice_heard_at.into(),
        call.emergency_at.into(),
        json_text(&call.transfers, call.transfers.is_empty()).into(),
        json_text(&call.analysis, call.analysis.is_none()).into(),
        json_text(&call.pre_call, call.pre_call.is_none()).into(),
        json_text(&call.agent_changes, call.agent_changes.is_empty()).into(),
        call.routing_version.map(i64::from).into(),
        daemon.into(),
    ]
}

impl Store {
    /// Closes this daemon's calls that began before `before` and have no end, because the daemon was killed. Calls
    /// of another daemon are left to it until they are [`ABANDONED`]; an SQLite file has no other daemon.
    /// Announced calls that may still arrive are left to [`super::Announcements`]. The calls become `failed`, with
    /// `interrupted` as their disposition and `now` as their end. Returns their number.
    pub async fn close_unfinished(
        &self,
        before: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let mut closed = 0;
        loop {
            let some = self.close_some_unfinished(before, now).await?;
            closed += some;
            if some < CLOSED_AT_ONCE.unsigned_abs() {
                return Ok(closed);
            }
        }
    }

    async fn close_some_unfinished(
        &self,
        before: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let close = format!(
            "UPDATE calls SET status = 'failed', ended_by = 'system', disposition = 'interrupted', ended_at = $2 \
             WHERE id IN (SELECT id FROM calls WHERE status IN ('ringing', 'answered') AND started_at < $1 \
             AND (daemon = $3 OR daemon IS NULL OR started_at < $4) AND NOT (status = 'ringing' AND EXISTS \
             (SELECT 1 FROM announced_calls a WHERE a.call_id = calls.id)) ORDER BY id LIMIT $5) \
             RETURNING {COLUMNS}"
        );
        let close = composed(close)
            .bind(before)
            .bind(now)
            .bind(&*self.daemon)
            .bind(self.not_mine_until(now))
            .bind(CLOSED_AT_ONCE);
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        let rows = tx.all::<Row>(close).await?;
        let closed = rows.len() as u64;
        // A row that cannot be read is closed as well, without an event.
        let calls: Vec<Call> = rows.into_iter().filter_map(|row| row.try_into().ok()).collect();
        let mut deliveries = 0;
        let mut ended = Vec::new();
        for call in &calls {
            deliveries +=
                tx.emit_call(Some(CallBefore { ended: false, ..CallBefore::of(call) }), call).await?;
            ended.extend(tx.interrupted(call).await?);
        }
        deliveries += tx.count_calls(&self.plans.get(), ended).await?;
        tx.commit().await?;
        self.ring(deliveries);
        Ok(closed)
    }

    /// Calls that began before this moment are closed for any daemon. An SQLite file has one daemon.
    pub(super) fn not_mine_until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self.backend() {
            Backend::Sqlite => now + ABANDONED,
            Backend::Postgres => now - ABANDONED,
        }
    }
}

impl Tx {
    /// An interrupted call as it is counted: its conversation and its engines until its last turn.
    async fn interrupted(&mut self, call: &Call) -> Result<Option<EndedCall>, StoreError> {
        let of_call = |text| sql(text).bind(call.tenant_id.0).bind(call.id.0);
        let last = self.optional::<(DateTime<Utc>,)>(of_call(LAST_TURN)).await?;
        let engines = self.all::<EngineRow>(of_call(CALL_ENGINES)).await?;
        let engines: Vec<EngineUse> = engines.into_iter().filter_map(|row| row.try_into().ok()).collect();
        Ok(EndedCall::of(call, last.map(|(at,)| at).or(call.answered_at), &engines))
    }
}

impl Scope {
    /// Records a call. A call that is recorded already stays as it is.
    ///
    /// # Errors
    /// `Invalid` when the call, its number or its profile is another tenant's.
    pub async fn begin_call(&self, call: &Call) -> Result<(), StoreError> {
        self.own(call.tenant_id, "call")?;
        self.store.write(&[Entry::Begin(call.clone())]).await
    }

    /// Records the present state of a call. A call that has ended stays ended.
    ///
    /// # Errors
    /// `Invalid` when the call, its number or its profile is another tenant's.
    pub async fn update_call(&self, call: &Call) -> Result<(), StoreError> {
        self.own(call.tenant_id, "call")?;
        self.store.write(&[Entry::Update(call.clone())]).await
    }

    /// Records a call that has ended, and what it took of its engines. It is counted once, however often it is written.
    ///
    /// # Errors
    /// `Invalid` when the call, its number or its profile is another tenant's.
    pub async fn end_call(&self, call: &Call, engines: &[EngineUse]) -> Result<(), StoreError> {
        self.own(call.tenant_id, "call")?;
        self.store.write(&[Entry::End(call.clone(), engines.to_vec())]).await
    }

    /// Records a turn, in place of an earlier record of it.
    ///
    /// # Errors
    /// `Invalid` when its call is not recorded, or is another tenant's.
    pub async fn add_turn(&self, turn: &CallTurn) -> Result<(), StoreError> {
        self.own(turn.tenant_id, "turn")?;
        self.store.write(&[Entry::Turn(turn.clone())]).await
    }

    /// Records what a live call has taken so far, in case its daemon does not record its end. A call that was counted
    /// already, or that is not recorded, stays as it is.
    pub async fn keep_taken(&self, call: CallId, engines: &[EngineUse]) -> Result<(), StoreError> {
        self.store.write(&[Entry::Taken(self.tenant, call, engines.to_vec())]).await
    }

    /// One call with its turns in order; `None` when the tenant has no such call.
    pub async fn call(&self, id: CallId) -> Result<Option<(Call, Vec<CallTurn>)>, StoreError> {
        let select = format!("SELECT {COLUMNS} FROM calls WHERE tenant_id = $1 AND id = $2");
        let call = self.optional::<Row>(composed(select).bind(self.tenant.0).bind(id.0)).await?;
        let Some(call) = call else { return Ok(None) };
        let select = format!(
            "SELECT {TURN_COLUMNS} FROM call_turns WHERE tenant_id = $1 AND call_id = $2 ORDER BY turn"
        );
        let turns = self.all::<TurnRow>(composed(select).bind(self.tenant.0).bind(id.0)).await?;
        let turns: Result<Vec<CallTurn>, StoreError> = turns.into_iter().map(CallTurn::try_from).collect();
        Ok(Some((call.try_into()?, turns?)))
    }

    fn own(&self, tenant: TenantId, what: &str) -> Result<(), StoreError> {
        if tenant == self.tenant { Ok(()) } else { Err(foreign(what)) }
    }
}

pub(super) fn foreign(what: &str) -> StoreError {
    StoreError::invalid(format_args!("this {what} is another tenant's"))
}

/// A list or a map as it is stored: JSON, or nothing when it is empty. JSON has no NUL as such.
pub(super) fn json_text<T: Serialize>(value: &T, is_empty: bool) -> Option<String> {
    if is_empty { None } else { serde_json::to_string(value).ok() }
}

/// A list or a map from its stored text.
pub(super) fn from_json_text<T: DeserializeOwned + Default>(text: Option<&str>) -> Result<T, StoreError> {
    text.map_or_else(|| Ok(T::default()), |text| serde_json::from_str(text).map_err(StoreError::corrupt))
}

/// PostgreSQL keeps no NUL in a text, and one in a transcript is no reason to refuse the turn.
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Uuid,
    phone_number_id: Uuid,
    ai_profile_id: Option<Uuid>,
    ai_profile_version: Option<i64>,
    asterisk_channel_id: String,
    direction: String,
    caller_number: Option<String>,
    called_number: String,
    status: String,
    ended_by: Option<String>,
    disposition: Option<String>,
    hangup_cause: Option<i64>,
    sip_status: Option<i64>,
    provider_call_id: Option<String>,
    started_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    codec: Option<String>,
    media: Option<String>,
    failure_reason: Option<String>,
    engine_failures: Option<String>,
    fields: Option<String>,
    notice_heard_at: Option<DateTime<Utc>>,
    emergency_at: Option<DateTime<Utc>>,
    transfers: Option<String>,
    analysis: Option<String>,
    pre_call: Option<String>,
    agent_changes: Option<String>,
    routing_version: Option<i64>,
}

impl TryFrom<Row> for Call {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Call, StoreError> {
        let media = row.media.as_deref().map(serde_json::from_str);
        Ok(Call {
            id: CallId(row.id),
            tenant_id: TenantId(row.tenant_id),
            phone_number_id: NumberId(row.phone_number_id),
            ai_profile_id: row.ai_profile_id.map(ProfileId),
            ai_profile_version: narrow(row.ai_profile_version)?,
            routing_version: narrow(row.routing_version)?,
            asterisk_channel_id: row.asterisk_channel_id,
            direction: row.direction.parse().map_err(StoreError::corrupt)?,
            caller_number: row.caller_number,
            called_number: row
                .called_number
                .parse()
                .map_err(|_| StoreError::corrupt("calls.called_number is no number"))?,
            status: row.status.parse().map_err(StoreError::corrupt)?,
            ended_by: row.ended_by.map(|by| by.parse()).transpose().map_err(StoreError::corrupt)?,
            disposition: row.disposition,
            hangup_cause: narrow(row.hangup_cause)?,
            sip_status: narrow(row.sip_status)?,
            provider_call_id: row.provider_call_id,
            started_at: row.started_at,
            answered_at: row.answered_at,
            ended_at: row.ended_at,
            codec: row.codec,
            media: media.transpose().map_err(StoreError::corrupt)?,
            failure_reason: row.failure_reason,
            engine_failures: from_json_text(row.engine_failures.as_deref())?,
            fields: from_json_text(row.fields.as_deref())?,
            notice_heard_at: row.notice_heard_at,
            emergency_at: row.emergency_at,
            transfers: from_json_text(row.transfers.as_deref())?,
            analysis: from_json_text(row.analysis.as_deref())?,
            pre_call: from_json_text(row.pre_call.as_deref())?,
            agent_changes: from_json_text(row.agent_changes.as_deref())?,
        })
    }
}

/// Both databases keep whole numbers in 64 bits.
pub(super) fn narrow<T: TryFrom<i64, Error: std::fmt::Display>>(
    value: Option<i64>,
) -> Result<Option<T>, StoreError> {
    value.map(T::try_from).transpose().map_err(StoreError::corrupt)
}
