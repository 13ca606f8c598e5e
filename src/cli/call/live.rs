//! Calls in progress, over the API of the running daemon: `vca call live`, `watch`, `listen`, and the commands to one call.

use clap::{Args, Subcommand};
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::records::table;
use crate::cli::daemon_client::{Access, DaemonClient};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::table::{or_dash, printable};
use crate::config::Config;
use crate::tenancy::{Call, CallId, LiveEvent, LiveEventKind, SpokenBy, TenantId};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the calls in progress. (Asks the running daemon.)
    Live(ListLiveCalls),
    /// End a call in progress: the agent says goodbye. (Asks the running daemon.)
    #[command(visible_alias = "end")]
    HangUp(HangUp),
    /// Say something to the caller of a call in progress, in the agent's voice. (Asks the running daemon.)
    Say(Say),
    /// Add a note for the agent of a call in progress, which the caller does not hear. (Asks the running daemon.)
    Note(Note),
    /// Mute the agent of a call in progress: it neither hears nor answers. (Asks the running daemon.)
    Mute(Mute),
    /// Let a muted agent hear again. (Asks the running daemon.)
    Unmute(OneCall),
    /// Transfer the caller of a call in progress to one of the tenant's targets. (Asks the running daemon.)
    Transfer(Transfer),
    /// Cancel a transfer while the target rings or is asked: the caller returns to the agent. (Asks the running daemon.)
    CancelTransfer(OneCall),
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

#[derive(Debug, Args)]
pub struct HangUp {
    /// End it at once, without a goodbye.
    #[arg(long)]
    no_goodbye: bool,
    #[command(flatten)]
    call: OneCall,
}

#[derive(Debug, Args)]
pub struct Say {
    #[command(flatten)]
    call: OneCall,
    /// The words. Up to 1,000 characters.
    text: String,
    /// Say it at once, and cut the agent or the caller short.
    #[arg(long)]
    interrupt: bool,
    /// End the call after these words.
    #[arg(long)]
    end: bool,
}

#[derive(Debug, Args)]
pub struct Note {
    #[command(flatten)]
    call: OneCall,
    /// An instruction or a fact. Up to 2,000 characters.
    text: String,
    /// Have the agent respond to it as soon as neither side speaks.
    #[arg(long)]
    respond: bool,
}

#[derive(Debug, Args)]
pub struct Mute {
    #[command(flatten)]
    call: OneCall,
    /// The agent hears again after so many seconds, 3,600 at most.
    #[arg(long, default_value_t = 300)]
    seconds: u32,
}

#[derive(Debug, Args)]
pub struct Transfer {
    #[command(flatten)]
    call: OneCall,
    /// The name of one of the tenant's transfer targets; `vca target list` shows them.
    target: String,
    /// Silence the agent at once: a person takes the call over.
    #[arg(long)]
    take_over: bool,
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
            Command::HangUp(HangUp { no_goodbye, call: OneCall { call, access } }) => {
                let client = DaemonClient::open(&access, config)?;
                let action = if no_goodbye { "hang-up?goodbye=false" } else { "hang-up" };
                client.post(&path(&client, call, action).await?).await?;
                output.print(&json!({ "call_id": call, "ending": true }), || "the call is being ended".into())
            }
            Command::Say(Say { call, text, interrupt, end }) => {
                let body = json!({ "text": text, "interrupt": interrupt, "end_call": end });
                give(config, output, call, ("say", body)).await
            }
            Command::Note(Note { call, text, respond }) => {
                give(config, output, call, ("notes", json!({ "text": text, "respond": respond }))).await
            }
            Command::Mute(Mute { call, seconds }) => {
                give(config, output, call, ("mute", json!({ "seconds": seconds }))).await
            }
            Command::Unmute(call) => give(config, output, call, ("unmute", json!({}))).await,
            Command::Transfer(Transfer { call, target, take_over }) => {
                let body = json!({ "target": target, "take_over": take_over });
                give(config, output, call, ("transfer", body)).await
            }
            Command::CancelTransfer(call) => give(config, output, call, ("cancel-transfer", json!({}))).await,
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

/// Gives a command to a call.
async fn give(
    config: &Config,
    output: &mut Output<'_>,
    OneCall { call, access }: OneCall,
    (command, body): (&str, Value),
) -> Result<(), Failure> {
    let client = DaemonClient::open(&access, config)?;
    client.post_json(&path(&client, call, command).await?, &body).await?;
    output.print(&json!({ "call_id": call, "accepted": true }), || "the call accepts the command".into())
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
        LiveEventKind::AgentTurn { text, spoken_by: SpokenBy::Agent, .. } => format!("agent:  {text}"),
        LiveEventKind::AgentTurn { text, spoken_by: SpokenBy::Operator, .. } => format!("operator: {text}"),
        LiveEventKind::TargetTurn { text, .. } => format!("target: {text}"),
        LiveEventKind::Interrupted { .. } => "(interrupted)".to_owned(),
        LiveEventKind::Tool { name, outcome, .. } => format!("tool:   {name} {outcome}"),
        LiveEventKind::Command { command } => format!("(command: {command})"),
        LiveEventKind::Muted => "(the agent is muted)".to_owned(),
        LiveEventKind::Unmuted => "(the agent hears again)".to_owned(),
        LiveEventKind::Transfer { target, outcome } => format!("transfer to {target}: {outcome}"),
        LiveEventKind::Ended { call } => {
            format!("ended: {}, by {}", or_dash(call.disposition.as_deref()), or_dash(call.ended_by))
        }
        LiveEventKind::AgentChanged { change } => {
            format!("{}: profile {}", change.cause, change.ai_profile_id)
        }
        LiveEventKind::Lagged { missed } => format!("({missed} events are lost)"),
    };
    format!("{}  {}", event.at.format("%T"), printable(&what))
}
