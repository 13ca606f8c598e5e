//! Webhook events of calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::call_turns::author;
use super::calls::from_json_text;
use super::outbox::{NewEvent, payload};
use super::statement::{Value, any_of};
use super::tx::Tx;
use super::{StoreError, now};
use crate::tenancy::{
    AgentChange, Call, CallId, CallStatus, CallTransfer, Direction, EndedBy, EngineFailure, EventId,
    EventType, NumberId, ProfileId, SpokenBy, TenantId, ToolRun,
};

/// A recorded call before a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CallBefore {
    pub answered: bool,
    pub transferred: bool,
    pub ended: bool,
}

impl CallBefore {
    pub fn of(call: &Call) -> CallBefore {
        CallBefore {
            answered: call.answered_at.is_some(),
            transferred: call.was_transferred(),
            ended: call.ended_at.is_some(),
        }
    }
}

impl Tx {
    /// Writes the events of a change of a call from `before` to `call`, as [`Tx::emit_calls`] does.
    pub async fn emit_call(&mut self, before: Option<CallBefore>, call: &Call) -> Result<u64, StoreError> {
        let events: Vec<_> = news(before, call).map(|kind| CallEvent { kind, call }).collect();
        self.emit_calls(&events).await
    }

    /// Writes events of calls for the webhooks that subscribe to them, and returns how many deliveries they have: give
    /// that to [`super::Store::ring`] after the commit. An event that is written already is not written again.
    pub async fn emit_calls(&mut self, events: &[CallEvent<'_>]) -> Result<u64, StoreError> {
        let webhooks = self.webhooks_of(events).await?;
        let subscribers = |event: &CallEvent<'_>| -> Vec<Uuid> {
            let subscribes = |it: &&Subscriber| it.hears(event.call.tenant_id, event.kind);
            webhooks.iter().filter(subscribes).map(|it| it.id).collect()
        };
        let wanted: Vec<_> =
            events.iter().map(|event| (event, subscribers(event))).filter(|(_, to)| !to.is_empty()).collect();
        let mut turns = self.spoken(wanted.iter().map(|(event, _)| *event)).await?;
        let mut payloads = Vec::new();
        for (event, webhooks) in wanted {
            let (id, kind) = (EventId::of(event.call.id.0, event.kind), event.kind);
            let payload = match kind {
                EventType::TranscriptReady => {
                    let turns = turns.remove(&event.call.id.0).unwrap_or_default();
                    payload(kind, now(), &TranscriptPayload::of(event.call, turns))?
                }
                _ => payload(kind, now(), &CallPayload::of(event.call))?,
            };
            payloads.push(NewEvent { id, tenant: event.call.tenant_id, kind, payload, webhooks });
        }
        self.post_all(payloads).await
    }

    async fn webhooks_of(&mut self, events: &[CallEvent<'_>]) -> Result<Vec<Subscriber>, StoreError> {
        const SELECT: &str = "SELECT id, tenant_id, events FROM webhooks \
            WHERE is_active AND deleted_at IS NULL AND tenant_id IN";
        let tenants: BTreeSet<Uuid> = events.iter().map(|event| event.call.tenant_id.0).collect();
        self.all_of(any_of(SELECT, tenants.into_iter().map(Value::from).collect(), "")).await
    }

    /// The turns of calls with a complete transcript.
    async fn spoken<'a>(
        &mut self,
        events: impl Iterator<Item = &'a CallEvent<'a>>,
    ) -> Result<HashMap<Uuid, Vec<TurnPayload>>, StoreError> {
        const SELECT: &str = "SELECT call_id, turn, caller_text, agent_text, interrupted, spoken_by, target_text, \
            tools, at FROM call_turns WHERE call_id IN";
        let ready = events.filter(|event| event.kind == EventType::TranscriptReady);
        let calls = ready.map(|event| event.call.id.0.into()).collect();
        let rows = self.all_of::<SpokenRow>(any_of(SELECT, calls, "ORDER BY call_id, turn")).await?;
        let mut turns: HashMap<Uuid, Vec<TurnPayload>> = HashMap::new();
        for row in rows {
            let (call, turn) = row.try_into()?;
            turns.entry(call).or_default().push(turn);
        }
        Ok(turns)
    }
}

/// An event of a call in the state that it had then.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallEvent<'a> {
    pub kind: EventType,
    pub call: &'a Call,
}

/// A webhook that is switched on.
#[derive(sqlx::FromRow)]
struct Subscriber {
    id: Uuid,
    tenant_id: Uuid,
    events: String,
}

impl Subscriber {
    fn hears(&self, tenant: TenantId, kind: EventType) -> bool {
        self.tenant_id == tenant.0 && self.events.split(',').any(|word| word == kind.as_str())
    }
}

/// The events of a change of a call; `before` is absent for a call that was not recorded.
pub(super) fn news(before: Option<CallBefore>, call: &Call) -> impl Iterator<Item = EventType> + use<> {
    let CallBefore { answered, transferred, ended } = before.unwrap_or_default();
    let ends = !ended && call.ended_at.is_some();
    let all = [
        (before.is_none(), EventType::CallStarted),
        (!answered && call.answered_at.is_some(), EventType::CallAnswered),
        (!transferred && call.was_transferred(), EventType::CallTransferred),
        (ends, EventType::CallEnded),
        (ends && call.answered_at.is_some(), EventType::TranscriptReady),
    ];
    all.into_iter().filter_map(|(happened, kind)| happened.then_some(kind))
}

/// `data` of `call.started`, `call.answered`, `call.transferred` and `call.ended`.
#[derive(Serialize, ToSchema)]
#[schema(as = CallEventData)]
pub struct CallPayload<'a> {
    call_id: CallId,
    tenant_id: TenantId,
    phone_number_id: NumberId,
    ai_profile_id: Option<ProfileId>,
    direction: Direction,
    /// As received from the trunk; `null` when withheld.
    caller_number: Option<&'a str>,
    /// In E.164.
    called_number: String,
    status: CallStatus,
    /// Why the call ended; `null` while it lasts.
    disposition: Option<&'a str>,
    ended_by: Option<EndedBy>,
    /// ITU-T Q.850 cause value.
    hangup_cause: Option<u16>,
    sip_status: Option<u16>,
    /// Why the call failed; `null` for a call that did not fail.
    failure_reason: Option<&'a str>,
    /// When the notice had been played to its end; `null` without one.
    notice_heard_at: Option<DateTime<Utc>>,
    /// When the caller first spoke of an emergency; `null` if they did not.
    emergency_at: Option<DateTime<Utc>>,
    /// The engines that failed during the call.
    engine_failures: &'a [EngineFailure],
    /// Fields that the agent remembered of the call.
    fields: &'a BTreeMap<String, String>,
    /// The transfers that the agent made.
    transfers: &'a [CallTransfer],
    /// The changes of profile and language during the call.
    agent_changes: &'a [AgentChange],
    provider_call_id: Option<&'a str>,
    started_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// From its start to its end.
    duration_ms: Option<i64>,
    /// From its answer to its end.
    talk_ms: Option<i64>,
}

impl CallPayload<'_> {
    fn of(call: &Call) -> CallPayload<'_> {
        let until_end = |from: DateTime<Utc>| call.ended_at.map(|end| (end - from).num_milliseconds());
        CallPayload {
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
            sip_status: call.sip_status,
            failure_reason: call.failure_reason.as_deref(),
            notice_heard_at: call.notice_heard_at,
            emergency_at: call.emergency_at,
            engine_failures: &call.engine_failures,
            fields: &call.fields,
            transfers: &call.transfers,
            agent_changes: &call.agent_changes,
            provider_call_id: call.provider_call_id.as_deref(),
            started_at: call.started_at,
            answered_at: call.answered_at,
            ended_at: call.ended_at,
            duration_ms: until_end(call.started_at),
            talk_ms: call.answered_at.and_then(until_end),
        }
    }
}

/// `data` of `transcript.ready`.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptEventData)]
pub struct TranscriptPayload<'a> {
    #[serde(flatten)]
    call: CallPayload<'a>,
    /// In order. Turn 0 is the greeting.
    turns: Vec<TurnPayload>,
}

impl TranscriptPayload<'_> {
    fn of(call: &Call, turns: Vec<TurnPayload>) -> TranscriptPayload<'_> {
        TranscriptPayload { call: CallPayload::of(call), turns }
    }
}

#[derive(sqlx::FromRow)]
struct SpokenRow {
    call_id: Uuid,
    turn: i64,
    caller_text: String,
    agent_text: String,
    interrupted: bool,
    spoken_by: Option<String>,
    target_text: Option<String>,
    tools: Option<String>,
    at: DateTime<Utc>,
}

impl TryFrom<SpokenRow> for (Uuid, TurnPayload) {
    type Error = StoreError;

    fn try_from(row: SpokenRow) -> Result<Self, StoreError> {
        let turn = TurnPayload {
            turn: row.turn,
            caller_text: row.caller_text,
            agent_text: row.agent_text,
            interrupted: row.interrupted,
            spoken_by: author(row.spoken_by)?,
            target_text: row.target_text,
            tools: from_json_text(row.tools.as_deref())?,
            at: row.at,
        };
        Ok((row.call_id, turn))
    }
}

/// A turn of `transcript.ready`.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptEventTurn)]
pub struct TurnPayload {
    turn: i64,
    caller_text: String,
    agent_text: String,
    interrupted: bool,
    /// The author of the agent's words.
    spoken_by: SpokenBy,
    /// The words of the person to whom the caller was transferred, where VCA stays for the record; `null` in the
    /// conversation with the agent.
    target_text: Option<String>,
    /// The tools that the agent called and that finished in this turn.
    tools: Vec<ToolRun>,
    at: DateTime<Utc>,
}
