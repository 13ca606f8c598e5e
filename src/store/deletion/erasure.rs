//! Erasing the personal data of a call or of a caller. The call's row stays with its times, for billing.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::retention::of_ids;
use crate::store::analyses::analysis_event;
use crate::store::analysis_requests::MOST_RUNS;
use crate::store::audit::Change;
use crate::store::statement::{composed, sql};
use crate::store::tx::{Access, RowScope, Tx};
use crate::store::{Scope, StoreError, now};
use crate::tenancy::{Actor, CallAnalysis, CallId, EventId, EventType, TenantId};

/// Whose data is erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Call(CallId),
    /// All calls of a caller's number, with or without a plus sign.
    Caller(String),
}

/// Counts of erased data, without the data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Erased {
    /// Nothing was erased yet.
    pub dry_run: bool,
    /// Calls made anonymous: their rows stay with their times.
    pub calls: u64,
    pub turns: u64,
    /// Entries of feedback with an erased comment; the rating stays.
    pub feedback: u64,
    /// Analyses, due ones included.
    pub analyses: u64,
    /// Events for webhooks with an erased payload.
    pub webhook_events: u64,
    /// Pending deliveries of those, cancelled.
    pub deliveries_cancelled: u64,
    /// Records that the database had refused, and that lost the caller's number or words.
    pub dead_letters: u64,
    /// Entries of the audit log that held the caller's number.
    pub audit_entries: u64,
    /// Copies that are out of reach.
    pub not_covered: Vec<String>,
    /// The calls. Their conversation state is deleted as well.
    #[serde(skip)]
    pub ids: Vec<CallId>,
}

/// Calls that one look finds.
const BATCH: i64 = 100;
/// Takes the place of a number in the audit log.
const REDACTED: &str = "[erased]";

impl Erased {
    fn add(&mut self, other: Erased) {
        self.calls += other.calls;
        self.turns += other.turns;
        self.feedback += other.feedback;
        self.analyses += other.analyses;
        self.webhook_events += other.webhook_events;
        self.deliveries_cancelled += other.deliveries_cancelled;
        self.dead_letters += other.dead_letters;
        self.ids.extend(other.ids);
    }
}

impl Scope {
    /// Erases what is stored of a call, or of all calls of a caller: what was said, the caller's number, comments of
    /// feedback, analyses, payloads of webhooks, announcements, stored responses, and the number in the audit log. Each call is a transaction; what is
    /// broken off can be repeated.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such call; `Refused` (`call_live`) when one is in progress.
    pub async fn erase(&self, actor: &Actor, subject: &Subject, dry_run: bool) -> Result<Erased, StoreError> {
        let mut erased = Erased { dry_run, not_covered: not_covered(), ..Erased::default() };
        let mut after = Uuid::nil();
        loop {
            let calls = self.calls_of(subject, after).await?;
            let Some(last) = calls.last() else { break };
            after = last.id;
            for call in &calls {
                erased.add(self.erase_call(actor, call, dry_run).await?);
            }
            if let Subject::Call(_) = subject {
                self.redact_caller(calls[0].caller(), &mut erased).await?;
                return Ok(erased);
            }
        }
        match subject {
            Subject::Call(_) => Err(StoreError::NotFound),
            Subject::Caller(number) => {
                self.redact_caller(number, &mut erased).await?;
                Ok(erased)
            }
        }
    }

    /// The next calls, in the order of their ids; none is in progress.
    async fn calls_of(&self, subject: &Subject, after: Uuid) -> Result<Vec<Row>, StoreError> {
        const SELECT: &str =
            "SELECT id, caller_number, status FROM calls WHERE tenant_id = $1 AND id > $2 AND";
        let statement = match subject {
            Subject::Call(id) => {
                composed(format!("{SELECT} id = $3")).bind(self.tenant.0).bind(after).bind(id.0)
            }
            Subject::Caller(number) => {
                let digits = number.trim_start_matches('+');
                composed(format!("{SELECT} caller_number IN ($3, $4) ORDER BY id LIMIT $5"))
                    .bind(self.tenant.0)
                    .bind(after)
                    .bind(digits)
                    .bind(format!("+{digits}"))
                    .bind(BATCH)
            }
        };
        let rows = self.all::<Row>(statement).await?;
        match rows.iter().find(|row| row.is_live()) {
            None => Ok(rows),
            Some(live) => {
                let what = format!("the call {} is in progress: erase it when it is over", live.id);
                Err(StoreError::refused("call_live", what))
            }
        }
    }

    async fn erase_call(&self, actor: &Actor, call: &Row, dry_run: bool) -> Result<Erased, StoreError> {
        let mut tx = self.begin(Access::Write).await?;
        let erased = tx.erase_call(self.tenant, CallId(call.id)).await?;
        if !dry_run {
            // Not limited as other changes are: an erasure is an obligation.
            let change = Change::new(actor, self.tenant, "erase", "call", call.id).after(&erased);
            tx.execute(change.insert()).await?;
            tx.commit().await?;
        }
        Ok(erased)
    }

    /// Takes a number out of the audit log's entries, and its calls out of records that the database had refused.
    async fn redact_caller(&self, number: &str, erased: &mut Erased) -> Result<(), StoreError> {
        const FIND: &str = "SELECT id, resource_id, before, after FROM audit_log WHERE tenant_id = $1 \
            AND (before LIKE $2 OR after LIKE $2 OR resource_id LIKE $2)";
        const WRITE: &str =
            "UPDATE audit_log SET resource_id = $2, before = $3, after = $4 WHERE tenant_id = $5 AND id = $1";
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        // A short one would match parts of other numbers.
        if digits.len() < SHORTEST_NUMBER {
            return Ok(());
        }
        let mut tx = self.begin(Access::Write).await?;
        let entries = tx.all::<AuditRow>(sql(FIND).bind(self.tenant.0).bind(format!("%{digits}%"))).await?;
        for call in tx.calls_in_letters(self.tenant, &digits).await? {
            erased.dead_letters += tx.erase_letters(self.tenant, call).await?;
        }
        tx.erase_responses_with(self.tenant, &digits).await?;
        for entry in entries.into_iter().filter(|entry| entry.holds(&digits)) {
            let write = sql(WRITE)
                .bind(entry.id)
                .bind(without_number(&entry.resource_id, &digits))
                .bind(entry.before.map(|text| redact(&text, &digits)))
                .bind(entry.after.map(|text| redact(&text, &digits)))
                .bind(self.tenant.0);
            erased.audit_entries += tx.execute(write).await?;
        }
        if !erased.dry_run {
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Numbers with fewer digits are not looked for in texts.
const SHORTEST_NUMBER: usize = 5;

impl Tx {
    async fn erase_call(&mut self, tenant: TenantId, call: CallId) -> Result<Erased, StoreError> {
        const CALL: &str = "UPDATE calls SET caller_number = NULL, asterisk_channel_id = 'erased', \
            provider_call_id = NULL, fields = NULL, analysis = NULL, erased_at = COALESCE(erased_at, $3) WHERE tenant_id = $1 AND id = $2";
        const TURNS: &str = "DELETE FROM call_turns WHERE tenant_id = $1 AND call_id = $2";
        const ANNOUNCED: &str = "DELETE FROM announced_calls WHERE tenant_id = $1 AND call_id = $2";
        const FEEDBACK: &str = "UPDATE call_feedback SET comment = NULL, source = 'erased' \
            WHERE tenant_id = $1 AND call_id = $2 RETURNING id";
        const ANALYSIS: &str = "SELECT analysis FROM calls WHERE tenant_id = $1 AND id = $2";
        const JOBS: &str = "DELETE FROM analysis_jobs WHERE tenant_id = $1 AND call_id = $2";
        const LABELS: &str = "DELETE FROM analysis_labels WHERE tenant_id = $1 AND call_id = $2";
        const EVENTS: &str = "SELECT id FROM webhook_events WHERE tenant_id = $1 AND id IN";
        let of_call = |text| sql(text).bind(tenant.0).bind(call.0);
        self.execute(of_call(JOBS)).await?;
        self.execute(of_call(LABELS)).await?;
        let analysis = self.optional::<(Option<String>,)>(of_call(ANALYSIS)).await?;
        let analysis: Option<CallAnalysis> =
            analysis.and_then(|(text,)| serde_json::from_str(text.as_deref()?).ok());
        let calls = self.execute(of_call(CALL).bind(now())).await?;
        self.delete_summaries(tenant, &[call.0]).await?;
        let turns = self.execute(of_call(TURNS)).await?;
        self.execute(of_call(ANNOUNCED)).await?;
        let dead_letters = self.erase_letters(tenant, call).await?;
        let feedback: Vec<Uuid> =
            self.all::<(Uuid,)>(of_call(FEEDBACK)).await?.into_iter().map(|(id,)| id).collect();
        let mut erased = Erased {
            calls,
            turns,
            dead_letters,
            feedback: feedback.len() as u64,
            analyses: analysis.iter().len() as u64,
            ids: vec![call],
            ..Erased::default()
        };
        // The analysis may have been deleted with the transcript, and events of its runs may be left.
        let runs = analysis.map_or(MOST_RUNS, |it| it.run.min(MOST_RUNS));
        let events = events_of(call, &feedback, runs);
        let ids: Vec<Uuid> = events.iter().map(|(event, _)| event.0).collect();
        let written = self.all::<(Uuid,)>(of_ids(EVENTS, tenant, &ids, "")).await?;
        for event in events.into_iter().filter(|(event, _)| written.contains(&(event.0,))) {
            self.erase_event(tenant, event, &mut erased).await?;
        }
        self.erase_responses_about(tenant, "call", call.0).await?;
        for id in &feedback {
            self.erase_feedback_entry(tenant, *id).await?;
        }
        Ok(erased)
    }

    /// The event stays, so that a repeated record of the call does not announce it again.
    async fn erase_event(
        &mut self,
        tenant: TenantId,
        (event, kind): (EventId, EventType),
        erased: &mut Erased,
    ) -> Result<(), StoreError> {
        const PAYLOAD: &str = "UPDATE webhook_events SET payload = $3 WHERE tenant_id = $1 AND id = $2";
        const CANCEL: &str = "UPDATE webhook_deliveries SET status = 'failed', problem = 'erased' \
            WHERE tenant_id = $1 AND event_id = $2 AND status = 'pending'";
        let payload = json!({ "type": kind, "erased": true }).to_string();
        erased.webhook_events +=
            self.execute(sql(PAYLOAD).bind(tenant.0).bind(event.0).bind(payload)).await?;
        erased.deliveries_cancelled += self.execute(sql(CANCEL).bind(tenant.0).bind(event.0)).await?;
        Ok(())
    }

    /// The audit log's entry of feedback names its source, which may be a person.
    async fn erase_feedback_entry(&mut self, tenant: TenantId, feedback: Uuid) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE audit_log SET before = NULL, after = NULL \
            WHERE tenant_id = $1 AND resource = 'feedback' AND resource_id = $2";
        self.execute(sql(SQL).bind(tenant.0).bind(feedback.to_string())).await?;
        self.erase_responses_about(tenant, "feedback", feedback).await
    }
}

/// All events that there can be of a call, its feedback, and the runs of its analysis.
fn events_of(call: CallId, feedback: &[Uuid], runs: u32) -> Vec<(EventId, EventType)> {
    let of_call = EventType::ALL.iter().map(|kind| (EventId::of(call.0, *kind), *kind));
    let kind = EventType::FeedbackReceived;
    let of_feedback = feedback.iter().map(|id| (EventId::of(*id, kind), kind));
    let of_runs = (1..=runs).map(|run| (analysis_event(call, run), EventType::CallAnalyzed));
    of_call.chain(of_feedback).chain(of_runs).collect()
}

/// Copies that an erasure cannot reach.
fn not_covered() -> Vec<String> {
    [
        "files made by `vca tenant export`, backups of the database and Asterisk's own records and logs",
        "what webhook receivers and the engines' vendors have been sent already",
        "the daemon's log, which masks callers' numbers above level debug",
        "numbers and names that were spoken in other calls",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A JSON text without a number in its strings.
fn redact(text: &str, digits: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            redact_strings(&mut value, digits);
            value.to_string()
        }
        Err(_) => REDACTED.to_owned(),
    }
}

fn redact_strings(value: &mut Value, digits: &str) {
    match value {
        Value::String(text) => *text = without_number(text, digits),
        Value::Array(items) => items.iter_mut().for_each(|item| redact_strings(item, digits)),
        Value::Object(fields) => fields.values_mut().for_each(|field| redact_strings(field, digits)),
        _ => {}
    }
}

/// The text with the number redacted where it stands by itself: not as a part of a longer number, an id or a time.
fn without_number(text: &str, digits: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(digits) {
        let (before, found) = rest.split_at(at);
        let after = &found[digits.len()..];
        let stands_alone = !before.ends_with(|c: char| c.is_alphanumeric() || c == '-')
            && !after.starts_with(|c: char| c.is_alphanumeric() || c == '-');
        redacted.push_str(before);
        redacted.push_str(if stands_alone { REDACTED } else { digits });
        rest = after;
    }
    redacted + rest
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    caller_number: Option<String>,
    status: String,
}

impl Row {
    fn is_live(&self) -> bool {
        matches!(self.status.as_str(), "ringing" | "answered")
    }

    fn caller(&self) -> &str {
        self.caller_number.as_deref().unwrap_or_default()
    }
}

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: Uuid,
    resource_id: String,
    before: Option<String>,
    after: Option<String>,
}

impl AuditRow {
    fn holds(&self, digits: &str) -> bool {
        let texts = [Some(&self.resource_id), self.before.as_ref(), self.after.as_ref()];
        texts.into_iter().flatten().any(|text| without_number(text, digits) != *text)
    }
}
