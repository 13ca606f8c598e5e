//! `vca call live`, `hang-up` and `watch`: what only the running daemon knows.

use clap::{Args, Subcommand};
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;

use super::records::table;
use crate::cli::failure::Failure;
use crate::cli::line::{Access, Line};
use crate::cli::output::Output;
use crate::cli::table::{or_dash, printable};
use crate::config::Config;
use crate::tenancy::{Call, CallId, Happening, LiveEvent, TenantId};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the calls under way. (Asks the running daemon.)
    Live(ListLiveCalls),
    /// End a call under way: the agent says goodbye. (Asks the running daemon.)
    HangUp(OneCall),
    /// Tell what happens on a call under way, until it ends. (Asks the running daemon.)
    Watch(OneCall),
    /// Write the audio of a call under way to standard output, until it ends. (Asks the running daemon.)
    ///
    /// WAV with the caller in the left channel and the agent in the right: `vca call listen CALL | ffplay -`, or into a file.
    /// Recorded in the tenant's audit log. The law of the country may require the parties' consent.
    Listen(OneCall),
}

#[derive(Debug, Args)]
pub struct ListLiveCalls {
    /// Only this tenant's. Its id.
    #[arg(long)]
    tenant: Option<TenantId>,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub struct OneCall {
    /// The call's id.
    call: CallId,
    #[command(flatten)]
    access: Access,
}

#[derive(Deserialize)]
struct Calls {
    items: Vec<Call>,
}

impl Command {
    pub async fn run(self, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Command::Live(ListLiveCalls { tenant, access }) => {
                let line = Line::open(&access, config)?;
                let mut calls = calls(&line).await?;
                calls.retain(|call| tenant.is_none_or(|tenant| call.tenant_id == tenant));
                output.print(&calls, || table(&calls))
            }
            Command::HangUp(OneCall { call, access }) => {
                let line = Line::open(&access, config)?;
                line.post(&path(&line, call, "hang-up").await?).await?;
                output.print(&json!({ "call_id": call, "ending": true }), || "the call is being ended".into())
            }
            Command::Watch(OneCall { call, access }) => {
                let line = Line::open(&access, config)?;
                watch(&line, &path(&line, call, "events").await?, output).await
            }
            Command::Listen(OneCall { call, access }) => {
                let line = Line::open(&access, config)?;
                listen(&line, call, output).await
            }
        }
    }
}

async fn calls(line: &Line) -> Result<Vec<Call>, Failure> {
    Ok(line.get::<Calls>("/api/calls/live").await?.items)
}

/// Where the daemon has something of a call under way: below its tenant.
async fn path(line: &Line, id: CallId, what: &str) -> Result<String, Failure> {
    let calls = calls(line).await?;
    let call = calls.iter().find(|call| call.id == id).ok_or_else(|| {
        Failure::not_found(format!("the call {id} is not under way: `vca call live` shows which are"))
    })?;
    Ok(format!("/api/tenants/{}/calls/{id}/{what}", call.tenant_id))
}

async fn watch(line: &Line, path: &str, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut events = line.stream(path).await?.bytes_stream().eventsource();
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| Failure::unavailable(format!("the daemon is gone: {error}")))?;
        let event: LiveEvent = serde_json::from_str(&event.data).map_err(anyhow::Error::from)?;
        output.line(&event, || text(&event))?;
        if matches!(event.what, Happening::Ended { .. }) {
            return Ok(());
        }
    }
    Err(Failure::unavailable("the daemon ended the stream before the call was over"))
}

async fn listen(line: &Line, call: CallId, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut audio = line.stream(&format!("/api/calls/{call}/audio")).await?.bytes_stream();
    while let Some(piece) = audio.next().await {
        let piece =
            piece.map_err(|error| Failure::unavailable(format!("the daemon ended the stream: {error}")))?;
        if !output.bytes(&piece) {
            break;
        }
    }
    Ok(())
}

/// An event as a line.
fn text(event: &LiveEvent) -> String {
    let what = match &event.what {
        Happening::Ringing { call } => {
            format!("rings: from {} to {}", or_dash(call.caller_number.as_deref()), call.called_number)
        }
        Happening::Answered => "answered".to_owned(),
        Happening::CallerTurn { text, .. } => format!("caller: {text}"),
        Happening::AgentTurn { text, .. } => format!("agent:  {text}"),
        Happening::Interrupted { .. } => "(interrupted)".to_owned(),
        Happening::Ended { call } => {
            format!("ended: {}, by {}", or_dash(call.disposition.as_deref()), or_dash(call.ended_by))
        }
        Happening::Lagged { missed } => format!("({missed} events are lost)"),
    };
    format!("{}  {}", event.at.format("%T"), printable(&what))
}
