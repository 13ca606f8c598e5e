//! `vca call list`, `show` and `transcript`

use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::analysis;
use super::names::CallName;
use super::waterfall::waterfall;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::span::moment;
use crate::cli::table::{Sheet, Table, or_dash, printable};
use crate::cli::{actor, tenant};
use crate::store::{AnalysisFilter, CallFilter, NumberQuery, Store, StoreError, Window};
use crate::tenancy::{
    AgentChange, Call, CallId, CallStatus, CallTransfer, CallTurn, EngineFailure, NumberId, ProfileId,
    Sentiment, SpokenBy, Tenant, TenantId, Transcript, is_field_name,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List calls, newest first.
    List(Box<ListCalls>),
    /// Show one call with its transcript and its latencies.
    Show(CallSelector),
    /// Show what was said in one call.
    Transcript(CallSelector),
    /// Analyse a call again, by the present version of its profile. The daemon does it soon.
    Analyze(CallSelector),
}

#[derive(Debug, Args)]
pub struct ListCalls {
    /// Id or name; all tenants when absent.
    #[arg(long)]
    tenant: Option<String>,
    #[arg(long)]
    status: Option<CallStatus>,
    /// Why it ended, such as `caller_hung_up`.
    #[arg(long, value_name = "WORD")]
    disposition: Option<String>,
    /// The called number, or its id.
    #[arg(long)]
    number: Option<String>,
    /// The id of the AI profile.
    #[arg(long)]
    profile: Option<ProfileId>,
    /// The caller's number, with or without +.
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// Begun at this moment or later, such as 2026-01-31, 2026-01-31T09:00:00Z, or 7d for a week ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<DateTime<Utc>>,
    /// Begun before this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<DateTime<Utc>>,
    /// Answered for so many seconds at least.
    #[arg(long, value_name = "SECONDS")]
    min_duration: Option<u32>,
    /// Answered for so many seconds at most.
    #[arg(long, value_name = "SECONDS")]
    max_duration: Option<u32>,
    /// Rated so by the caller, from 1 to 5.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=5))]
    rating: Option<u8>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Only calls older than this one: the last of a page leads to the next.
    #[arg(long, value_name = "CALL")]
    before: Option<CallId>,
    #[command(flatten)]
    analysis: AnalysisConditions,
}

/// Conditions of the analysis after the call.
#[derive(Debug, Args)]
pub struct AnalysisConditions {
    /// With this outcome.
    #[arg(long, value_name = "TEXT")]
    outcome: Option<String>,
    /// A success, or none.
    #[arg(long, value_name = "true|false")]
    success: Option<bool>,
    #[arg(long)]
    sentiment: Option<Sentiment>,
    /// With this value in a field, such as `party_size=4`.
    #[arg(long, value_name = "NAME=VALUE", value_parser = field_and_value)]
    field: Option<(String, String)>,
}

impl From<AnalysisConditions> for AnalysisFilter {
    fn from(conditions: AnalysisConditions) -> AnalysisFilter {
        let AnalysisConditions { outcome, success, sentiment, field } = conditions;
        AnalysisFilter { outcome, success, sentiment, field }
    }
}

fn field_and_value(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, value)| is_field_name(name) && !value.is_empty());
    let (name, value) = parts.ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// One call.
#[derive(Debug, Args)]
pub struct CallSelector {
    /// The call's id, its first digits, or `last`.
    call: CallName,
    /// Look among this tenant's calls only. Id or name.
    #[arg(long)]
    tenant: Option<String>,
}

/// A call and what was said in it.
#[derive(Debug, Serialize)]
struct CallWithTurns {
    #[serde(flatten)]
    call: Call,
    turns: Vec<CallTurn>,
}

impl Command {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Command::List(list) => list.run(store, output).await,
            Command::Show(which) => {
                let (tenant, call, turns) = which.find(store).await?;
                note_read(store, tenant.id, call.id).await?;
                let told = CallWithTurns { call, turns };
                output.print(&told, || text(&told, &tenant.name))
            }
            Command::Transcript(which) => {
                let (tenant, call, turns) = which.find(store).await?;
                note_read(store, tenant.id, call.id).await?;
                let transcript = Transcript::of(call, turns);
                output.print(&transcript, || transcript.to_string())
            }
            Command::Analyze(which) => {
                let (tenant, call, _) = which.find(store).await?;
                let analysis = store.scope(tenant.id).request_analysis(&actor(), call.id).await?;
                output.print(&analysis, || {
                    format!("analysis {} of the call is due: `vca call show {}`", analysis.run, call.id)
                })
            }
        }
    }
}

/// The audit log knows who has read the words of a call.
async fn note_read(store: &Store, tenant: TenantId, call: CallId) -> Result<(), Failure> {
    Ok(store.scope(tenant).note_access(&actor(), "read_transcript", "call", call.0).await?)
}

impl ListCalls {
    async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let window = Window { after: self.before.map(|id| id.0), limit: self.limit };
        let phone_number_id = match &self.number {
            Some(named) => Some(find_number(store, named).await?),
            None => None,
        };
        let filter = CallFilter {
            status: self.status,
            disposition: self.disposition,
            phone_number_id,
            ai_profile_id: self.profile,
            caller_number: self.caller,
            from: self.from,
            to: self.to,
            min_duration_s: self.min_duration,
            max_duration_s: self.max_duration,
            rating: self.rating,
            analysis: self.analysis.into(),
        };
        let page = match self.tenant.as_deref() {
            Some(named) => {
                let tenant = tenant::find(store, named).await?;
                store.scope(tenant.id).calls(&filter, window).await?
            }
            None => store.calls(&filter, window).await?,
        };
        if let (Some(disposition), []) = (&filter.disposition, page.items.as_slice()) {
            check_disposition(store, disposition).await?;
        }
        output.print(&page.items, || table(&page.items))
    }
}

/// Whether calls have ended with a disposition, which may be misspelt.
async fn check_disposition(store: &Store, disposition: &str) -> Result<(), Failure> {
    let known = store.dispositions().await?;
    if known.is_empty() || known.iter().any(|it| it == disposition) {
        return Ok(());
    }
    Err(Failure::not_found(format!(
        "no call has ended with the disposition {disposition:?}: those on record are {}",
        known.join(", ")
    )))
}

/// The number of an id, or the one that a dialled text leads to.
pub async fn find_number(store: &Store, named: &str) -> Result<NumberId, Failure> {
    if let Ok(id) = named.parse() {
        return Ok(id);
    }
    let query = NumberQuery::Called(store.called(named));
    let found = store.find_number(&query, None).await.map_err(|error| match error {
        StoreError::NotFound => Failure::not_found(format!(
            "there is no number {named:?}; one that was released is found by its id"
        )),
        error => error.into(),
    })?;
    Ok(found.number.id)
}

/// Calls as people read them.
pub fn table(calls: &[Call]) -> String {
    let mut table = Table::new(["started (UTC)", "from", "to", "status", "why", "ended by", "length", "id"]);
    for call in calls {
        table.row([
            call.started_at.format("%F %T").to_string(),
            or_dash(call.caller_number.as_deref()),
            call.called_number.to_string(),
            call.status.to_string(),
            or_dash(call.disposition.as_deref()),
            or_dash(call.ended_by),
            or_dash(length(call)),
            call.id.to_string(),
        ]);
    }
    table.to_string()
}

impl CallSelector {
    pub async fn find(&self, store: &Store) -> Result<(Tenant, Call, Vec<CallTurn>), Failure> {
        let tenant = match self.tenant.as_deref() {
            Some(named) => Some(tenant::find(store, named).await?.id),
            None => None,
        };
        let (id, tenant) = self.call.find(store, tenant).await?;
        match store.scope(tenant).call(id).await? {
            Some((call, turns)) => Ok((store.tenant(tenant).await?, call, turns)),
            None => Err(no_call(id)),
        }
    }
}

/// The tenant of a call.
pub async fn tenant_of(store: &Store, call: CallId) -> Result<crate::tenancy::TenantId, Failure> {
    store.tenant_of_call(call).await.map_err(|error| match error {
        StoreError::NotFound => no_call(call),
        other => other.into(),
    })
}

/// The profile that answered, and its version.
fn profile(call: &Call) -> Option<String> {
    Some(format!("{}, version {}", call.ai_profile_id?, call.ai_profile_version?))
}

fn no_call(id: impl std::fmt::Display) -> Failure {
    Failure::not_found(format!("there is no call {id}: `vca call list` shows the latest"))
}

fn text(CallWithTurns { call, turns }: &CallWithTurns, tenant: &str) -> String {
    let sheet = Sheet::new()
        .line("id", call.id)
        .line("tenant", tenant)
        .line("direction", call.direction)
        .line("from", or_dash(call.caller_number.as_deref()))
        .line("to", &call.called_number)
        .line("status", call.status)
        .line("why", or_dash(call.disposition.as_deref()))
        .line("ended by", or_dash(call.ended_by))
        .line("reason", or_dash(call.failure_reason.as_deref().map(printable)))
        .line("cause (Q.850)", or_dash(call.hangup_cause))
        .line("SIP status", or_dash(call.sip_status))
        .line("provider call", or_dash(call.provider_call_id.as_deref()))
        .line("started", call.started_at.format("%F %T%.3f UTC"))
        .line("answered", or_dash(call.answered_at.map(|at| at.format("%F %T%.3f UTC"))))
        .line("ended", or_dash(call.ended_at.map(|at| at.format("%F %T%.3f UTC"))))
        .line("length", or_dash(length(call)))
        .line("notice heard", or_dash(call.notice_heard_at.map(|at| at.format("%F %T%.3f UTC"))))
        .line("emergency", or_dash(call.emergency_at.map(|at| at.format("%F %T%.3f UTC"))))
        .line("profile", or_dash(profile(call)))
        .line("routing", or_dash(call.routing_version.map(|version| format!("version {version}"))))
        .line("codec", or_dash(call.codec.as_deref()))
        .line("media", or_dash(call.media.as_ref()))
        .line("channel", &call.asterisk_channel_id);
    let mut text = sheet.to_string();
    for failure in &call.engine_failures {
        let EngineFailure { kind, engine, reason, count, first_at, covered, served_by } = failure;
        let covered = match served_by {
            Some(other) => format!(", covered by the fallback {}", printable(other)),
            None if *covered => ", covered by the fallback".to_owned(),
            None => String::new(),
        };
        let first = first_at.format("%T%.3f UTC");
        let _ = writeln!(
            text,
            "{kind} {} failed {count} times: {}, first at {first}{covered}",
            printable(engine),
            printable(reason)
        );
    }
    for (field, value) in &call.fields {
        let _ = writeln!(text, "{}: {}", printable(field), printable(value));
    }
    if let Some(analysis) = &call.analysis {
        text.push_str(&analysis::sheet(analysis));
    }
    for transfer in &call.transfers {
        let _ = writeln!(text, "{}", transfer_line(transfer));
        if let Some(summary) = &transfer.summary {
            let _ = writeln!(text, "  summary: {}", printable(summary));
        }
    }
    for change in &call.agent_changes {
        let AgentChange { at, cause, ai_profile_id, ai_profile_version, language } = change;
        let (at, language) = (at.format("%T%.3f UTC"), or_dash(language.as_deref().map(printable)));
        let _ = writeln!(
            text,
            "{cause} at {at}: profile {ai_profile_id} version {ai_profile_version}, language {language}"
        );
    }
    for turn in turns {
        let _ = write!(text, "\n{}", transcript(turn));
    }
    text
}

fn transfer_line(transfer: &CallTransfer) -> String {
    let CallTransfer { target, method, style, outcome, resolved_to, started_at, .. } = transfer;
    let place = resolved_to.as_ref().map(|place| format!(" ({})", printable(place))).unwrap_or_default();
    let time = |at: &Option<DateTime<Utc>>| or_dash(at.map(|at| at.format("%T%.3f UTC")));
    format!(
        "{style} transfer to {target}{place} by {method}: {outcome}, began at {}, answered {}, accepted {}, ended {} by {}",
        started_at.format("%T%.3f UTC"),
        time(&transfer.answered_at),
        time(&transfer.accepted_at),
        time(&transfer.ended_at),
        or_dash(transfer.ended_by)
    )
}

/// The words of a turn, and the duration of each step.
fn transcript(turn: &CallTurn) -> String {
    let mut text = format!("#{}", turn.turn);
    for (name, time) in [
        ("words", turn.transcript_ms),
        ("reply", turn.reply_ms),
        ("commit", turn.commit_ms),
        ("audio", turn.audio_ms),
    ] {
        if let Some(time) = time {
            let _ = write!(text, "  {name} {time} ms");
        }
    }
    text.push('\n');
    text.push_str(&waterfall(turn));
    if !turn.caller_text.is_empty() {
        let _ = writeln!(text, "  caller: {}", printable(&turn.caller_text));
    }
    if !turn.agent_text.is_empty() || turn.interrupted {
        let cut = if turn.interrupted { " [interrupted]" } else { "" };
        let speaker = match turn.spoken_by {
            SpokenBy::Agent => "agent:  ",
            SpokenBy::Operator => "operator: ",
        };
        let _ = writeln!(text, "  {speaker}{}{cut}", printable(&turn.agent_text));
    }
    if let Some(words) = turn.target_text.as_deref().filter(|words| !words.is_empty()) {
        let _ = writeln!(text, "  target: {}", printable(words));
    }
    for tool in &turn.tools {
        let _ = writeln!(text, "  tool:   {tool}");
    }
    text
}

/// From the answer to the end, as minutes and seconds.
fn length(call: &Call) -> Option<String> {
    let length: TimeDelta = call.ended_at? - call.answered_at?;
    let seconds = length.num_seconds().max(0);
    Some(format!("{}:{:02}", seconds / 60, seconds % 60))
}
