//! `vca call`

use std::fmt::Write;

use chrono::TimeDelta;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::failure::Failure;
use super::output::Output;
use super::table::{Sheet, Table, or_dash, printable};
use super::tenant;
use crate::store::{CallFilter, Store};
use crate::tenancy::{Call, CallId, CallTurn};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List calls, newest first.
    List(List),
    /// Show one call with its transcript and its latencies.
    Show(Show),
}

#[derive(Debug, Args)]
pub struct List {
    /// Id or name; all tenants when absent.
    #[arg(long)]
    tenant: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Only calls older than this one: the last of a page leads to the next.
    #[arg(long, value_name = "CALL")]
    before: Option<CallId>,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The call's id.
    call: CallId,
    /// Look among this tenant's calls only. Id or name.
    #[arg(long)]
    tenant: Option<String>,
}

/// A call and what was said in it.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    call: Call,
    turns: Vec<CallTurn>,
}

impl Command {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Command::List(list) => list.run(store, output).await,
            Command::Show(show) => show.run(store, output).await,
        }
    }
}

impl List {
    async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let mut calls = Vec::new();
        for tenant in tenant::find_or_all(store, self.tenant.as_deref()).await? {
            let filter = CallFilter { limit: self.limit, before: self.before };
            calls.extend(store.scope(tenant.id).calls(filter).await?);
        }
        // Ids are ordered by time.
        calls.sort_by_key(|call| std::cmp::Reverse(call.id));
        calls.truncate(self.limit as usize);
        output.print(&calls, || {
            let mut table =
                Table::new(["started (UTC)", "from", "to", "status", "why", "ended by", "length", "id"]);
            for call in &calls {
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
        })
    }
}

impl Show {
    async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        for tenant in tenant::find_or_all(store, self.tenant.as_deref()).await? {
            if let Some((call, turns)) = store.scope(tenant.id).call(self.call).await? {
                let told = Told { call, turns };
                return output.print(&told, || text(&told, &tenant.name));
            }
        }
        let id = self.call;
        Err(Failure::not_found(format!("there is no call {id}: `vca call list` shows the latest")))
    }
}

fn text(Told { call, turns }: &Told, tenant: &str) -> String {
    let sheet = Sheet::new()
        .line("id", call.id)
        .line("tenant", tenant)
        .line("direction", call.direction)
        .line("from", or_dash(call.caller_number.as_deref()))
        .line("to", &call.called_number)
        .line("status", call.status)
        .line("why", or_dash(call.disposition.as_deref()))
        .line("ended by", or_dash(call.ended_by))
        .line("cause (Q.850)", or_dash(call.hangup_cause))
        .line("started", call.started_at.format("%F %T%.3f UTC"))
        .line("answered", or_dash(call.answered_at.map(|at| at.format("%F %T%.3f UTC"))))
        .line("ended", or_dash(call.ended_at.map(|at| at.format("%F %T%.3f UTC"))))
        .line("length", or_dash(length(call)))
        .line("codec", or_dash(call.codec.as_deref()))
        .line("media", or_dash(call.media.as_ref()))
        .line("channel", &call.asterisk_channel_id);
    let mut text = sheet.to_string();
    for turn in turns {
        let _ = write!(text, "\n{}", transcript(turn));
    }
    text
}

/// What was said in a turn, and how long each step took.
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
    if !turn.caller_text.is_empty() {
        let _ = writeln!(text, "  caller: {}", printable(&turn.caller_text));
    }
    if !turn.agent_text.is_empty() || turn.interrupted {
        let cut = if turn.interrupted { " [interrupted]" } else { "" };
        let _ = writeln!(text, "  agent:  {}{cut}", printable(&turn.agent_text));
    }
    text
}

/// From the answer to the end, as minutes and seconds.
fn length(call: &Call) -> Option<String> {
    let length: TimeDelta = call.ended_at? - call.answered_at?;
    let seconds = length.num_seconds().max(0);
    Some(format!("{}:{:02}", seconds / 60, seconds % 60))
}
