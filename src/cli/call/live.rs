//! `vca call live`, `hang-up` and `watch`: what only the running daemon knows.

use clap::{Args, Subcommand};
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;

use super::records::table;
use crate::cli::daemon_client::{Access, DaemonClient};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::table::{or_dash, printable};
use crate::config::Config;
use crate::tenancy::{Call, CallId, LiveEvent, LiveEventKind, TenantId};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the calls in progress. (Asks the running daemon.)
    Live(ListLiveCalls),
    /// End a call in progress: the agent says goodbye. (Asks the running daemon.)
    HangUp(OneCall),
    /// Show the events of a call in progress, until it ends. (Asks the running daemon.)
    Watch(OneCall),
    /// Write the audio of a call in progress to standard output, until it ends. (Asks the running daemon.)
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
                let client = DaemonClient::open(&access, config)?;
                let mut calls = calls(&client).await?;
                calls.retain(|call| tenant.is_none_or(|tenant| call.tenant_id == tenant));
                output.print(&calls, || table(&calls))
            }
            Command::HangUp(OneCall { call, access }) => {
                let client = DaemonClient::open(&access, config)?;
                client.post(&path(&client, call, "hang-up").await?).await?;
                output.print(&json!({ "call_id": call, "ending": true }), || "the call is being ended".into())
            }
            Command::Watch(OneCall { call, access }) => {
                let client = DaemonClient::open(&access, config)?;
                watch(&client, &path(&client, call, "events").await?, output).await
            }
            Command::Listen(OneCall { call, access }) => {
                let client = DaemonClient::open(&access, config)?;
                listen(&client, call, output).await
            }
        }
    }
}

async fn calls(client: &DaemonClient) -> Result<Vec<Call>, Failure> {
    Ok(client.get::<Calls>("/api/calls/live").await?.items)
}

/// The daemon's path of a call in progress, below its tenant.
async fn path(client: &DaemonClient, id: CallId, what: &str) -> Result<String, Failure> {
    let calls = calls(client).await?;
    let call = calls.iter().find(|call| call.id == id).ok_or_else(|| {
        Failure::not_found(format!("the call {id} is not in progress: `vca call live` shows which are"))
    })?;
    Ok(format!("/api/tenants/{}/calls/{id}/{what}", call.tenant_id))
}

async fn watch(client: &DaemonClient, path: &str, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut events = client.stream(path).await?.bytes_stream().eventsource();
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| Failure::unavailable(format!("the daemon is gone: {error}")))?;
        let event: LiveEvent = serde_json::from_str(&event.data).map_err(anyhow::Error::from)?;
        output.line(&event, || text(&event))?;
        if matches!(event.what, LiveEventKind::Ended { .. }) {
            return Ok(());
        }
    }
    Err(Failure::unavailable("the daemon ended the stream before the call was over"))
}

async fn listen(client: &DaemonClient, call: CallId, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut audio = client.stream(&format!("/api/calls/{call}/audio")).await?.bytes_stream();
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
        LiveEventKind::Ringing { call } => {
            format!("rings: from {} to {}", or_dash(call.caller_number.as_deref()), call.called_number)
        }
        LiveEventKind::Answered => "answered".to_owned(),
        LiveEventKind::CallerTurn { text, .. } => format!("caller: {text}"),
        LiveEventKind::AgentTurn { text, .. } => format!("agent:  {text}"),
        LiveEventKind::Interrupted { .. } => "(interrupted)".to_owned(),
        LiveEventKind::Ended { call } => {
            format!("ended: {}, by {}", or_dash(call.disposition.as_deref()), or_dash(call.ended_by))
        }
        LiveEventKind::Lagged { missed } => format!("({missed} events are lost)"),
    };
    format!("{}  {}", event.at.format("%T"), printable(&what))
}
