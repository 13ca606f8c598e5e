//! What webhooks are told of calls.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::StoreError;
use super::statement::sql;
use super::tx::Tx;
use crate::tenancy::{
    Call, CallId, CallStatus, Direction, EndedBy, EventId, EventType, NumberId, ProfileId, TenantId,
};

/// How a call stood on record before a change: whether it was answered, and whether it was over.
pub(super) type Standing = (bool, bool);

pub(super) const STANDING: &str =
    "SELECT answered_at IS NOT NULL, ended_at IS NOT NULL FROM calls WHERE tenant_id = $1 AND id = $2";

pub(super) const SPOKEN: &str = "SELECT turn, caller_text, agent_text, interrupted, at FROM call_turns \
    WHERE tenant_id = $1 AND call_id = $2 ORDER BY turn";

/// Tells of a call that a change has brought from `before` to what it is now. The value is that of `emit!`.
macro_rules! emit_call {
    ($tx:ident, $before:expr, $call:expr) => {{
        let call: &$crate::tenancy::Call = $call;
        let mut deliveries = 0;
        for kind in $crate::store::call_events::news($before, call) {
            let id = $crate::tenancy::EventId::of(call.id.0, kind);
            let tenant = call.tenant_id;
            deliveries += if kind == $crate::tenancy::EventType::TranscriptReady {
                $crate::store::outbox::emit!($tx, tenant, kind, id, {
                    let turns = sqlx::query_as::<_, $crate::store::call_events::Spoken>(
                        $crate::store::call_events::SPOKEN,
                    )
                    .bind(tenant.0)
                    .bind(call.id.0)
                    .fetch_all(&mut *$tx)
                    .await?;
                    $crate::store::call_events::Transcript::of(call, turns)
                })
            } else {
                $crate::store::outbox::emit!(
                    $tx,
                    tenant,
                    kind,
                    id,
                    $crate::store::call_events::Told::of(call)
                )
            };
        }
        deliveries
    }};
}

pub(super) use emit_call;

impl Tx {
    /// Writes the webhook events of a change of a call from `before` to `call`, and returns how many deliveries they have.
    pub async fn emit_call(&mut self, before: Option<Standing>, call: &Call) -> Result<u64, StoreError> {
        let tenant = call.tenant_id;
        let mut deliveries = 0;
        for kind in news(before, call) {
            let webhooks = self.subscribers(tenant, kind).await?;
            if webhooks.is_empty() {
                continue;
            }
            let id = EventId::of(call.id.0, kind);
            deliveries += if kind == EventType::TranscriptReady {
                let turns = self.all::<Spoken>(sql(SPOKEN).bind(tenant.0).bind(call.id.0)).await?;
                self.post(tenant, kind, id, &Transcript::of(call, turns), &webhooks).await?
            } else {
                self.post(tenant, kind, id, &Told::of(call), &webhooks).await?
            };
        }
        Ok(deliveries)
    }
}

/// What has happened to a call; `before` is absent for one that was not on record.
pub(super) fn news(before: Option<Standing>, call: &Call) -> impl Iterator<Item = EventType> + use<> {
    let (answered, ended) = before.unwrap_or_default();
    let ends = !ended && call.ended_at.is_some();
    let all = [
        (before.is_none(), EventType::CallStarted),
        (!answered && call.answered_at.is_some(), EventType::CallAnswered),
        (ends, EventType::CallEnded),
        (ends && call.answered_at.is_some(), EventType::TranscriptReady),
    ];
    all.into_iter().filter_map(|(happened, kind)| happened.then_some(kind))
}

/// `data` of `call.started`, `call.answered` and `call.ended`.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    call_id: CallId,
    tenant_id: TenantId,
    phone_number_id: NumberId,
    ai_profile_id: Option<ProfileId>,
    direction: Direction,
    caller_number: Option<&'a str>,
    called_number: String,
    status: CallStatus,
    disposition: Option<&'a str>,
    ended_by: Option<EndedBy>,
    hangup_cause: Option<u16>,
    started_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// From its first ring to its end.
    duration_ms: Option<i64>,
    /// From its answer to its end.
    talk_ms: Option<i64>,
}

impl Told<'_> {
    pub(super) fn of(call: &Call) -> Told<'_> {
        let until_end = |from: DateTime<Utc>| call.ended_at.map(|end| (end - from).num_milliseconds());
        Told {
            call_id: call.id,
            tenant_id: call.tenant_id,
            phone_number_id: call.phone_number_id,
            ai_profile_id: call.ai_profile_id,
            direction: call.direction,
            caller_number: call.caller_number.as_deref(),
            called_number: call.called_number.to_string(),
            status: call.status,
            disposition: call.disposition.as_deref(),
            ended_by: call.ended_by,
            hangup_cause: call.hangup_cause,
            started_at: call.started_at,
            answered_at: call.answered_at,
            ended_at: call.ended_at,
            duration_ms: until_end(call.started_at),
            talk_ms: call.answered_at.and_then(until_end),
        }
    }
}

/// `data` of `transcript.ready`.
#[derive(Serialize)]
pub(super) struct Transcript<'a> {
    #[serde(flatten)]
    call: Told<'a>,
    turns: Vec<Spoken>,
}

impl Transcript<'_> {
    pub(super) fn of(call: &Call, turns: Vec<Spoken>) -> Transcript<'_> {
        Transcript { call: Told::of(call), turns }
    }
}

#[derive(Serialize, sqlx::FromRow)]
pub(super) struct Spoken {
    turn: i64,
    caller_text: String,
    agent_text: String,
    interrupted: bool,
    at: DateTime<Utc>,
}
