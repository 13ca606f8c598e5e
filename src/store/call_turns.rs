//! The rows of a call's turns.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::StoreError;
use super::calls::{from_json_text, json_text, narrow, without_nul};
use super::statement::Value;
use crate::tenancy::{CallId, CallTurn, SpokenBy, TenantId};

pub(super) const TURN_COLUMNS: &str = "tenant_id, call_id, turn, caller_text, agent_text, interrupted, \
    pause_ms, transcript_ms, reply_ms, clause_ms, speech_ms, commit_ms, audio_ms, tools, at, spoken_by, target_text";

/// Puts a turn in place of the recorded one.
pub(super) const TURN_CHANGE: &str = "ON CONFLICT (call_id, turn) DO UPDATE SET caller_text = excluded.caller_text, \
    agent_text = excluded.agent_text, interrupted = excluded.interrupted, \
    pause_ms = excluded.pause_ms, transcript_ms = excluded.transcript_ms, reply_ms = excluded.reply_ms, \
    clause_ms = excluded.clause_ms, speech_ms = excluded.speech_ms, commit_ms = excluded.commit_ms, \
    audio_ms = excluded.audio_ms, tools = excluded.tools, at = excluded.at, \
    spoken_by = excluded.spoken_by, target_text = excluded.target_text WHERE call_turns.tenant_id = excluded.tenant_id";

/// The values of [`TURN_COLUMNS`].
pub(super) fn turn_row(turn: &CallTurn) -> Vec<Value> {
    vec![
        turn.tenant_id.0.into(),
        turn.call_id.0.into(),
        i64::from(turn.turn).into(),
        without_nul(&turn.caller_text).into(),
        without_nul(&turn.agent_text).into(),
        turn.interrupted.into(),
        turn.pause_ms.map(i64::from).into(),
        turn.transcript_ms.map(i64::from).into(),
        turn.reply_ms.map(i64::from).into(),
        turn.clause_ms.map(i64::from).into(),
        turn.speech_ms.map(i64::from).into(),
        turn.commit_ms.map(i64::from).into(),
        turn.audio_ms.map(i64::from).into(),
        json_text(&turn.tools, turn.tools.is_empty()).into(),
        turn.at.into(),
        operators_words(turn.spoken_by).into(),
        turn.target_text.as_deref().map(without_nul).into(),
    ]
}

#[derive(sqlx::FromRow)]
pub(super) struct TurnRow {
    tenant_id: Uuid,
    call_id: Uuid,
    turn: i64,
    caller_text: String,
    agent_text: String,
    interrupted: bool,
    pause_ms: Option<i64>,
    transcript_ms: Option<i64>,
    reply_ms: Option<i64>,
    clause_ms: Option<i64>,
    speech_ms: Option<i64>,
    commit_ms: Option<i64>,
    audio_ms: Option<i64>,
    tools: Option<String>,
    at: DateTime<Utc>,
    spoken_by: Option<String>,
    target_text: Option<String>,
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
            spoken_by: author(row.spoken_by)?,
            target_text: row.target_text,
            pause_ms: narrow(row.pause_ms)?,
            transcript_ms: narrow(row.transcript_ms)?,
            reply_ms: narrow(row.reply_ms)?,
            clause_ms: narrow(row.clause_ms)?,
            speech_ms: narrow(row.speech_ms)?,
            commit_ms: narrow(row.commit_ms)?,
            audio_ms: narrow(row.audio_ms)?,
            tools: from_json_text(row.tools.as_deref())?,
            at: row.at,
        })
    }
}

/// The author of the agent's words as it is stored: only where it is another's.
fn operators_words(spoken_by: SpokenBy) -> Option<&'static str> {
    (spoken_by != SpokenBy::Agent).then(|| spoken_by.as_str())
}

pub(super) fn author(stored: Option<String>) -> Result<SpokenBy, StoreError> {
    let author = stored.map(|word| word.parse().map_err(StoreError::corrupt)).transpose()?;
    Ok(author.unwrap_or_default())
}
