//! Call records and their turns. Writing is idempotent by id, so that whoever is unsure whether a write
//! happened may repeat it.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::call_events::{STANDING, Standing, emit_call};
use super::pool::{Everywhere, transact};
use super::statement::composed;
use super::tx::RowScope;
use super::usage::{CALL_ENGINES, Ended, EngineRow, LAST_TURN, count};
use super::{Backend, Scope, Store, StoreError, kept};
use crate::tenancy::{Call, CallId, CallTurn, EngineUse, NumberId, ProfileId, TenantId};

/// No call lasts so long: the daemon that had it will not come back.
pub const ABANDONED: TimeDelta = TimeDelta::days(2);

macro_rules! columns {
    () => {
        "id, tenant_id, phone_number_id, ai_profile_id, ai_profile_version, asterisk_channel_id, direction, caller_number, \
         called_number, status, ended_by, disposition, hangup_cause, started_at, answered_at, ended_at, \
         codec, media"
    };
}

pub(super) const COLUMNS: &str = columns!();

const TURN_COLUMNS: &str = "tenant_id, call_id, turn, caller_text, agent_text, interrupted, transcript_ms, reply_ms, \
    commit_ms, audio_ms, at";

const TURN_CHANGE: &str = "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (call_id, turn) DO UPDATE SET \
    caller_text = excluded.caller_text, agent_text = excluded.agent_text, interrupted = excluded.interrupted, \
    transcript_ms = excluded.transcript_ms, reply_ms = excluded.reply_ms, commit_ms = excluded.commit_ms, \
    audio_ms = excluded.audio_ms, at = excluded.at WHERE call_turns.tenant_id = excluded.tenant_id";

macro_rules! insert {
    () => {
        concat!(
            "INSERT INTO calls (",
            columns!(),
            ", daemon) VALUES \
             ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) "
        )
    };
}

impl Store {
    /// Closes the books on calls of this daemon's that began before `before` and that nobody ended: it was killed.
    /// Another daemon's are its own to close, until they are [`ABANDONED`]; an SQLite file has no other. Calls whose
    /// channel may yet come are left to [`super::Announcements`]. They become `failed`, with `interrupted` as their
    /// disposition and `now` as their end. The answer is how many there were.
    pub async fn close_unfinished(
        &self,
        before: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        const SQL: &str = concat!(
            "UPDATE calls SET status = 'failed', ended_by = 'system', disposition = 'interrupted', \
             ended_at = $2 WHERE status IN ('ringing', 'answered') AND started_at < $1 \
             AND (daemon = $3 OR daemon IS NULL OR started_at < $4) AND NOT (status = 'ringing' AND EXISTS \
             (SELECT 1 FROM announced_calls a WHERE a.call_id = calls.id)) RETURNING ",
            columns!()
        );
        let (closed, deliveries) = transact!(Everywhere(self), tx => {
            let rows = sqlx::query_as::<_, Row>(SQL)
                .bind(kept(before))
                .bind(kept(now))
                .bind(&*self.daemon)
                .bind(kept(self.not_mine_until(now)))
                .fetch_all(&mut *tx)
                .await?;
            let (closed, mut deliveries) = (rows.len(), 0);
            // A row that cannot be read is closed all the same, and nobody is told of it.
            for call in rows.into_iter().filter_map(|row| Call::try_from(row).ok()) {
                let answered = call.answered_at.is_some();
                deliveries += emit_call!(tx, Some((answered, false)), &call);
                // Of talk and of engines, what is known is until the last turn.
                let heard = sqlx::query_scalar::<_, DateTime<Utc>>(LAST_TURN)
                    .bind(call.tenant_id.0)
                    .bind(call.id.0)
                    .fetch_optional(&mut *tx)
                    .await?;
                let ended = Ended::of(&call, heard.or(call.answered_at));
                let taken = sqlx::query_as::<_, EngineRow>(CALL_ENGINES)
                    .bind(call.tenant_id.0)
                    .bind(call.id.0)
                    .fetch_all(&mut *tx)
                    .await?;
                let taken: Vec<_> = taken.into_iter().filter_map(|row| row.try_into().ok()).collect();
                deliveries += count!(self, tx, ended, &taken);
            }
            (closed as u64, deliveries)
        })?;
        self.ring(deliveries);
        Ok(closed)
    }

    /// Until when calls that began earlier are closed whoever has them. An SQLite file is nobody else's.
    pub(super) fn not_mine_until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self.backend() {
            Backend::Sqlite => now + ABANDONED,
            Backend::Postgres => now - ABANDONED,
        }
    }
}

impl Scope {
    /// Puts a call on record. When it is there already, it stays as it is: what came later is not undone.
    ///
    /// # Errors
    /// `Invalid` when the call, its number or its profile is another tenant's.
    pub async fn begin_call(&self, call: &Call) -> Result<(), StoreError> {
        const SQL: &str = concat!(insert!(), "ON CONFLICT (id) DO NOTHING");
        self.write_call(SQL, call, &[]).await.map(drop)
    }

    /// Records how a call stands, and puts it on record when it is not.
    ///
    /// # Errors
    /// `Invalid` when the call, its number or its profile is another tenant's.
    pub async fn update_call(&self, call: &Call) -> Result<(), StoreError> {
        self.end_call(call, &[]).await
    }

    /// The same for a call that is over, with what it took of engines. It counts once, however often it is told.
    ///
    /// # Errors
    /// `Invalid` when the call, its number or its profile is another tenant's.
    pub async fn end_call(&self, call: &Call, engines: &[EngineUse]) -> Result<(), StoreError> {
        const SQL: &str = concat!(
            insert!(),
            "ON CONFLICT (id) DO UPDATE SET ai_profile_id = excluded.ai_profile_id, \
             ai_profile_version = excluded.ai_profile_version, \
             status = excluded.status, ended_by = excluded.ended_by, disposition = excluded.disposition, \
             hangup_cause = excluded.hangup_cause, answered_at = excluded.answered_at, \
             ended_at = excluded.ended_at, codec = excluded.codec, media = excluded.media, daemon = excluded.daemon \
             WHERE calls.tenant_id = excluded.tenant_id"
        );
        if self.write_call(SQL, call, engines).await? == 0 { Err(foreign("call")) } else { Ok(()) }
    }

    /// Records a turn, in place of what was recorded of it before.
    ///
    /// # Errors
    /// `Invalid` when its call is not on record, or is another tenant's.
    pub async fn add_turn(&self, turn: &CallTurn) -> Result<(), StoreError> {
        self.own(turn.tenant_id, "turn")?;
        let insert = format!("INSERT INTO call_turns ({TURN_COLUMNS}) VALUES {TURN_CHANGE}");
        let insert = composed(insert)
            .bind(turn.tenant_id.0)
            .bind(turn.call_id.0)
            .bind(i64::from(turn.turn))
            .bind(without_nul(&turn.caller_text))
            .bind(without_nul(&turn.agent_text))
            .bind(turn.interrupted)
            .bind(turn.transcript_ms.map(i64::from))
            .bind(turn.reply_ms.map(i64::from))
            .bind(turn.commit_ms.map(i64::from))
            .bind(turn.audio_ms.map(i64::from))
            .bind(turn.at);
        let written = self.execute(insert).await?;
        if written == 0 { Err(foreign("turn")) } else { Ok(()) }
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

    async fn write_call(
        &self,
        sql: &'static str,
        call: &Call,
        engines: &[EngineUse],
    ) -> Result<u64, StoreError> {
        self.own(call.tenant_id, "call")?;
        let media = call.media.as_ref().map(serde_json::Value::to_string);
        let (written, deliveries) = transact!(*self, tx => {
            let before = sqlx::query_as::<_, Standing>(STANDING)
                .bind(call.tenant_id.0)
                .bind(call.id.0)
                .fetch_optional(&mut *tx)
                .await?;
            let written = sqlx::query(sql)
                .bind(call.id.0)
                .bind(call.tenant_id.0)
                .bind(call.phone_number_id.0)
                .bind(call.ai_profile_id.map(|id| id.0))
                .bind(call.ai_profile_version.map(i64::from))
                .bind(call.asterisk_channel_id.as_str())
                .bind(call.direction.word())
                .bind(call.caller_number.as_deref())
                .bind(call.called_number.digits())
                .bind(call.status.word())
                .bind(call.ended_by.map(|by| by.word()))
                .bind(call.disposition.as_deref())
                .bind(call.hangup_cause.map(i64::from))
                .bind(kept(call.started_at))
                .bind(call.answered_at.map(kept))
                .bind(call.ended_at.map(kept))
                .bind(call.codec.as_deref())
                .bind(media.as_deref())
                .bind(&*self.store.daemon)
                .execute(&mut *tx)
                .await?
                .rows_affected();
            let mut deliveries = if written > 0 { emit_call!(tx, before, call) } else { 0 };
            if written > 0 {
                deliveries += count!(&self.store, tx, Ended::of(call, None), engines);
            }
            (written, deliveries)
        })?;
        self.store.ring(deliveries);
        Ok(written)
    }

    fn own(&self, tenant: TenantId, what: &str) -> Result<(), StoreError> {
        if tenant == self.tenant { Ok(()) } else { Err(foreign(what)) }
    }
}

fn foreign(what: &str) -> StoreError {
    StoreError::invalid(format_args!("this {what} is another tenant's"))
}

/// PostgreSQL keeps no NUL in a text. What an engine made of a voice should not cost the turn its record.
fn without_nul(text: &str) -> String {
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
    started_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    codec: Option<String>,
    media: Option<String>,
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
            started_at: row.started_at,
            answered_at: row.answered_at,
            ended_at: row.ended_at,
            codec: row.codec,
            media: media.transpose().map_err(StoreError::corrupt)?,
        })
    }
}

#[derive(sqlx::FromRow)]
struct TurnRow {
    tenant_id: Uuid,
    call_id: Uuid,
    turn: i64,
    caller_text: String,
    agent_text: String,
    interrupted: bool,
    transcript_ms: Option<i64>,
    reply_ms: Option<i64>,
    commit_ms: Option<i64>,
    audio_ms: Option<i64>,
    at: DateTime<Utc>,
}

impl TryFrom<TurnRow> for CallTurn {
    type Error = StoreError;

    fn try_from(row: TurnRow) -> Result<CallTurn, StoreError> {
        Ok(CallTurn {
            call_id: CallId(row.call_id),
            tenant_id: TenantId(row.tenant_id),
            turn: u32::try_from(row.turn).map_err(StoreError::corrupt)?,
            caller_text: row.caller_text,
            agent_text: row.agent_text,
            interrupted: row.interrupted,
            transcript_ms: narrow(row.transcript_ms)?,
            reply_ms: narrow(row.reply_ms)?,
            commit_ms: narrow(row.commit_ms)?,
            audio_ms: narrow(row.audio_ms)?,
            at: row.at,
        })
    }
}

/// Both databases keep whole numbers in 64 bits.
pub(super) fn narrow<T: TryFrom<i64, Error: std::fmt::Display>>(
    value: Option<i64>,
) -> Result<Option<T>, StoreError> {
    value.map(T::try_from).transpose().map_err(StoreError::corrupt)
}
