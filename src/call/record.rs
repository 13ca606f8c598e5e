//! Records of a call during its time and at its end, and the events for its readers.

mod turns;

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::ending::Verdict;
use super::failures;
use super::feed::Feed;
use crate::call::Agent;
use crate::conversation::{self, At, ContextItem, Record, ToolOutcome, ToolUse};
use crate::engines::core::EngineError;
use crate::engines::core::usage::{Meter, Unit};
use crate::media::{Report, TapPoint};
use crate::store::{Entry, Ledger};
use crate::tenancy::{
    AgentChange, AgentChangeCause, Call, CallStatus, CallTransfer, CallTurn, EngineKind, EngineUse, Feedback,
    FeedbackId, LiveEventKind, MAX_FIELDS, SpokenBy, ToolRun, ToolRunOutcome, TransferEnd, TransferOutcome,
    TransferStyle, TransferTarget, UsageUnit,
};
use crate::tools::McpProblem;

/// A call's own clock: the wall clock's time at its arrival, and from there on a monotonic clock. So the length of a
/// call, by which it is billed, does not change when the wall clock is set.
#[derive(Debug, Clone, Copy)]
pub struct CallClock {
    started_at: DateTime<Utc>,
    since: Instant,
}

impl CallClock {
    /// `since` is the moment of the arrival, which the wall clock called `started_at`.
    pub fn new(started_at: DateTime<Utc>, since: Instant) -> CallClock {
        CallClock { started_at, since }
    }

    pub fn at(&self, moment: Instant) -> DateTime<Utc> {
        self.started_at + moment.saturating_duration_since(self.since)
    }
}

/// One moment, by the process's clock and by the conversation's.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub now: Instant,
    pub conversation: At,
}

/// The record of one call. Every change goes to the ledger at once. Moments are times of the call's own clock.
pub struct RecordWriter {
    call: Call,
    clock: CallClock,
    ledger: Ledger,
    feed: Feed,
    /// The caller's words in the last event: their turn, and the conversation's number of items with them.
    published: Option<(u32, usize)>,
    /// The number of the latest turn.
    latest_turn: u32,
    /// For the record of the next turn.
    tools_missing: Vec<ToolRun>,
}

impl RecordWriter {
    /// The call arrived at `since`.
    pub fn begin(call: Call, since: Instant, ledger: Ledger, feed: Feed) -> RecordWriter {
        ledger.record(Entry::Begin(call.clone()));
        feed.set(&call);
        feed.tell(call.started_at, LiveEventKind::Ringing { call: Box::new(call.clone()) });
        let clock = CallClock::new(call.started_at, since);
        RecordWriter { call, clock, ledger, feed, published: None, latest_turn: 0, tools_missing: Vec::new() }
    }

    /// Lets the call be listened to.
    pub fn set_audio(&self, audio: TapPoint) {
        self.feed.set_audio(audio);
    }

    pub fn answered(&mut self, at: Instant) {
        let at = self.clock.at(at);
        self.call.status = CallStatus::Answered;
        self.call.answered_at = Some(at);
        self.ledger.record(Entry::Update(self.call.clone()));
        self.feed.set(&self.call);
        self.feed.tell(at, LiveEventKind::Answered);
    }

    /// The notice was played to its end.
    pub fn notice_heard(&mut self, at: Instant) {
        self.call.notice_heard_at = Some(self.clock.at(at));
        self.update();
    }

    /// The caller speaks of an emergency.
    pub fn emergency_noticed(&mut self, at: Instant) {
        self.call.emergency_at = Some(self.clock.at(at));
        self.update();
    }

    /// The caller has rated the call: feedback of theirs.
    pub fn rated(&self, rating: u8, at: Instant) {
        self.ledger.record(Entry::Rated(Feedback {
            id: FeedbackId::new(),
            tenant_id: self.call.tenant_id,
            call_id: self.call.id,
            rating,
            comment: None,
            source: "caller".to_owned(),
            created_at: self.clock.at(at),
        }));
    }

    pub fn transfer_began(
        &mut self,
        target: &TransferTarget,
        summary: Option<&str>,
        outcome: TransferOutcome,
        at: Instant,
    ) {
        let at = self.clock.at(at);
        self.call.transfers.push(CallTransfer {
            target: target.name.clone(),
            method: target.method,
            style: target.style,
            outcome,
            resolved_to: None,
            summary: summary.map(str::to_owned),
            started_at: at,
            answered_at: None,
            accepted_at: None,
            ended_at: (outcome == TransferOutcome::Refused).then_some(at),
            ended_by: None,
        });
        self.change_transfer(at, |_| {});
    }

    /// The target's endpoint has named a place.
    pub fn transfer_resolved(&mut self, place: String, target: &TransferTarget) {
        if let Some(transfer) = self.call.transfers.last_mut() {
            transfer.resolved_to = Some(place);
            (transfer.method, transfer.style) = (target.method, target.style);
        }
        self.update();
    }

    pub fn transfer_answered(&mut self, at: Instant) {
        let at = self.clock.at(at);
        self.change_transfer(at, |transfer| transfer.answered_at = Some(at));
    }

    pub fn transfer_connected(&mut self, at: Instant) {
        let at = self.clock.at(at);
        self.change_transfer(at, |transfer| {
            transfer.outcome = TransferOutcome::Connected;
            transfer.accepted_at = (transfer.style != TransferStyle::Cold).then_some(at);
        });
    }

    pub fn transfer_ended(&mut self, outcome: Option<TransferOutcome>, by: Option<TransferEnd>, at: Instant) {
        let at = self.clock.at(at);
        self.change_transfer(at, |transfer| {
            transfer.outcome = outcome.unwrap_or(transfer.outcome);
            transfer.ended_at = Some(at);
            transfer.ended_by = by;
        });
    }

    fn change_transfer(&mut self, at: DateTime<Utc>, change: impl FnOnce(&mut CallTransfer)) {
        let Some(transfer) = self.call.transfers.last_mut() else { return };
        change(transfer);
        let (target, outcome) = (transfer.target.clone(), transfer.outcome);
        self.update();
        self.feed.tell(at, LiveEventKind::Transfer { target, outcome });
    }

    pub fn agent_changed(&mut self, agent: &Agent, cause: AgentChangeCause, at: Instant) {
        let change = AgentChange {
            at: self.clock.at(at),
            cause,
            ai_profile_id: agent.profile,
            ai_profile_version: agent.version,
            language: agent.voice.language.as_deref().map(str::to_owned),
        };
        self.feed.tell(change.at, LiveEventKind::AgentChanged { change: change.clone() });
        self.call.agent_changes.push(change);
        self.update();
    }

    fn update(&self) {
        self.ledger.record(Entry::Update(self.call.clone()));
        self.feed.set(&self.call);
    }

    /// The response begins: the caller's words and keys are published before the turn is over.
    pub fn response_begins(&mut self, turn: u32, context: &[ContextItem], at: Instant) {
        let notes = context.iter().rev().take_while(|item| matches!(item, ContextItem::Note { .. })).count();
        let text = match &context[..context.len() - notes] {
            [.., ContextItem::Dtmf(keys), ContextItem::Caller { text }] => format!("{keys} {text}"),
            [.., ContextItem::Caller { text }] => text.clone(),
            [.., ContextItem::Dtmf(keys)] => keys.to_string(),
            _ => return,
        };
        if self.published.is_none_or(|(_, items)| items != context.len()) {
            self.published = Some((turn, context.len()));
            self.feed.tell(self.clock.at(at), LiveEventKind::CallerTurn { turn, text });
        }
    }

    /// A turn is over; the engine usage until then is recorded before it.
    /// `items` is the number of the context's items with this turn.
    pub fn turn(&mut self, record: &Record, items: usize, meter: &Meter, times: Times) {
        let at = self.clock.at(times.now);
        let millis =
            |time: Option<std::time::Duration>| time.map(|t| t.as_millis().min(u32::MAX.into()) as u32);
        self.latest_turn = self.latest_turn.max(record.turn.0);
        self.ledger.record(Entry::Taken(self.call.tenant_id, self.call.id, engine_use(meter)));
        let missing = std::mem::take(&mut self.tools_missing);
        self.ledger.record(Entry::Turn(CallTurn {
            call_id: self.call.id,
            tenant_id: self.call.tenant_id,
            turn: record.turn.0,
            caller_text: record.caller_text().into_owned(),
            agent_text: record.agent.clone(),
            interrupted: record.interrupted,
            spoken_by: author(record.spoken_by),
            target_text: None,
            pause_ms: millis(record.latency.pause),
            transcript_ms: millis(record.latency.transcript),
            reply_ms: millis(record.latency.reply),
            clause_ms: millis(record.latency.clause),
            speech_ms: millis(record.latency.speech),
            commit_ms: millis(record.latency.commit),
            audio_ms: millis(record.latency.audio),
            tools: missing
                .into_iter()
                .chain(record.tools.iter().map(|used| self.tool_run(used, times)))
                .collect(),
            at,
        }));
        self.publish_turn(record, items, at);
    }

    /// Tools of MCP servers are not offered to the model. The record of the next turn has each as a failed run, of the
    /// server where all its tools are missing.
    pub fn tools_missing(&mut self, problems: &[McpProblem], at: Instant) {
        let at = self.clock.at(at);
        self.tools_missing.extend(problems.iter().map(|problem| ToolRun {
            name: problem.name(),
            turn: 0,
            arguments: "{}".to_owned(),
            outcome: ToolRunOutcome::Failed,
            result: ToolRun::kept(&json!({ "error": problem.problem }).to_string()),
            started_at: at,
            duration_ms: 0,
        }));
    }

    fn tool_run(&self, used: &ToolUse, times: Times) -> ToolRun {
        let ago = times.conversation.since(used.at);
        ToolRun {
            name: used.name.as_ref().to_owned(),
            turn: used.turn.0,
            arguments: ToolRun::kept(&used.arguments),
            outcome: outcome(used.outcome),
            result: ToolRun::kept(&used.result),
            started_at: self.clock.at(times.now.checked_sub(ago).unwrap_or(times.now)),
            duration_ms: used.took.as_millis().min(u32::MAX.into()) as u32,
        }
    }

    /// Keeps a field of the call. Returns false when it has too many fields.
    pub fn remember(&mut self, field: String, value: String) -> bool {
        let fits = self.call.fields.len() < MAX_FIELDS || self.call.fields.contains_key(&field);
        if fits {
            self.call.fields.insert(field, value);
            self.update();
        }
        fits
    }

    /// The call has accepted a command, or the agent is muted or hears again.
    pub fn publish(&self, event: LiveEventKind, at: Instant) {
        self.feed.tell(self.clock.at(at), event);
    }

    /// An engine failed, retries and fallbacks included. The first failure of its kind is written at once.
    pub fn engine_failed(&mut self, kind: EngineKind, engine: &str, error: &EngineError, at: Instant) {
        let at = self.clock.at(at);
        if failures::count(&mut self.call.engine_failures, (kind, engine), error.reason().as_str(), at) {
            self.ledger.record(Entry::Update(self.call.clone()));
        }
        self.feed.set(&self.call);
    }

    /// Keeps why the call fails. The first reason counts.
    pub fn failed(&mut self, reason: &str) {
        self.call.failure_reason.get_or_insert_with(|| failures::reason(reason));
    }

    pub fn ended(&mut self, verdict: Verdict, media: Option<Report>, meter: &Meter, at: Instant) {
        let at = self.clock.at(at);
        for failure in meter.covered.take() {
            let at = self.clock.at(failure.at.into_std());
            failures::count_covered(&mut self.call.engine_failures, &failure, at);
        }
        let call = &mut self.call;
        call.status = verdict.status;
        call.ended_by = Some(verdict.ended_by);
        call.disposition = Some(verdict.disposition.to_owned());
        call.hangup_cause = Some(verdict.cause);
        call.sip_status = verdict.sip_status;
        call.ended_at = Some(at);
        call.media = media.and_then(|report| serde_json::to_value(report).ok());
        self.ledger.record(Entry::End(call.clone(), engine_use(meter)));
        self.feed.tell(at, LiveEventKind::Ended { call: Box::new(call.clone()) });
    }

    pub fn call(&self) -> &Call {
        &self.call
    }

    /// How long the caller and the agent talked, once the call has ended.
    pub fn talked(&self) -> Option<TimeDelta> {
        Some(self.call.ended_at? - self.call.answered_at?)
    }

    /// How long the call has lasted, from its arrival.
    pub fn lasted(&self, now: Instant) -> TimeDelta {
        self.clock.at(now) - self.call.started_at
    }
}

fn author(spoken_by: conversation::SpokenBy) -> SpokenBy {
    match spoken_by {
        conversation::SpokenBy::Agent => SpokenBy::Agent,
        conversation::SpokenBy::Operator => SpokenBy::Operator,
    }
}

fn outcome(outcome: ToolOutcome) -> ToolRunOutcome {
    match outcome {
        ToolOutcome::Succeeded => ToolRunOutcome::Succeeded,
        ToolOutcome::Failed => ToolRunOutcome::Failed,
        ToolOutcome::TimedOut => ToolRunOutcome::TimedOut,
        ToolOutcome::Refused => ToolRunOutcome::Refused,
        ToolOutcome::Abandoned => ToolRunOutcome::Abandoned,
    }
}

/// The call's engine usage, as it is recorded.
fn engine_use(meter: &Meter) -> Vec<EngineUse> {
    let taken = meter.total().into_iter().map(|(item, quantity)| EngineUse {
        kind: failures::engine_kind(item.kind),
        engine: item.engine.to_string(),
        model: item.model.to_string(),
        unit: match item.unit {
            Unit::Requests => UsageUnit::Requests,
            Unit::AudioMs => UsageUnit::AudioMs,
            Unit::Characters => UsageUnit::Characters,
            Unit::InputTokens => UsageUnit::InputTokens,
            Unit::OutputTokens => UsageUnit::OutputTokens,
            Unit::CachedInputTokens => UsageUnit::CachedInputTokens,
            Unit::AudioInputTokens => UsageUnit::AudioInputTokens,
            Unit::AudioOutputTokens => UsageUnit::AudioOutputTokens,
            Unit::CachedAudioTokens => UsageUnit::CachedAudioTokens,
        },
        quantity,
    });
    taken.collect()
}

/// A conversation as its state is kept.
pub fn state_of(context: &[ContextItem]) -> serde_json::Value {
    let item = |item: &ContextItem| match item {
        ContextItem::Caller { text } => json!({ "speaker": "caller", "text": text }),
        ContextItem::Dtmf(keys) => json!({ "speaker": "caller", "text": keys.to_string() }),
        ContextItem::Agent { text, cut_short } => {
            json!({ "speaker": "agent", "text": text, "cut_short": cut_short })
        }
        ContextItem::Note { text } => json!({ "speaker": "operator", "text": text }),
        ContextItem::ActOnNotes => json!({ "speaker": "operator", "text": "" }),
        ContextItem::ToolCall { name, arguments, .. } => {
            json!({ "speaker": "agent", "tool": name, "arguments": arguments })
        }
        ContextItem::ToolResult { content, .. } => json!({ "speaker": "tool", "text": content }),
    };
    json!({ "history": context.iter().map(item).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_does_not_change_a_calls_length() {
        let ringing = Instant::now();
        let seconds = |n| ringing + Duration::from_secs(n);
        // The wall clock is an hour behind when the call arrives, and right when it ends: nothing reads it.
        let started_at: DateTime<Utc> = "2026-11-30T22:59:00Z".parse().expect("a moment");
        let clock = CallClock::new(started_at, ringing);
        let (answered_at, ended_at) = (clock.at(seconds(2)), clock.at(seconds(62)));
        assert_eq!((clock.at(ringing), ended_at - answered_at), (started_at, TimeDelta::seconds(60)));
        assert_eq!(clock.at(ringing - Duration::from_secs(1)), started_at, "not before it began");
    }
}
