//! `vca retention`

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::actor;
use super::failure::Failure;
use super::output::Output;
use super::table::{Sheet, Table};
use super::tenant;
use super::trial::Trial;
use crate::control::{self, RetentionRun, TenantExpired};
use crate::store::Store;
use crate::tenancy::Retention;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show for how many days a tenant's records are kept.
    Show {
        /// Id or name.
        #[arg(long)]
        tenant: String,
    },
    /// Set for how many days records are kept; what is not named stays. The daemon deletes what is older, once an hour.
    Set(Set),
    /// Delete now what is older than its tenant keeps it.
    Run(Run),
}

#[derive(Debug, Args)]
pub struct Set {
    /// Id or name.
    #[arg(long)]
    tenant: String,
    #[arg(long, value_name = "DAYS|forever", value_parser = days)]
    calls: Option<Days>,
    /// Not longer than calls.
    #[arg(long, value_name = "DAYS|forever", value_parser = days)]
    transcripts: Option<Days>,
    /// Not longer than calls. Calls are not recorded as audio: there is nothing to delete by it.
    #[arg(long, value_name = "DAYS|forever", value_parser = days)]
    recordings: Option<Days>,
    #[arg(long, value_name = "DAYS|forever", value_parser = days)]
    audit: Option<Days>,
}

#[derive(Debug, Args)]
pub struct Run {
    /// Id or name. Default: all tenants.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    trial: Trial,
}

impl Run {
    async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let only = match &self.tenant {
            Some(named) => Some(tenant::find(store, named).await?.id),
            None => None,
        };
        let found = if self.trial.dry_run {
            control::count_expired(store, only).await?
        } else {
            RetentionRun::new(store.clone(), NO_LIMIT, PAUSE).run(only).await?
        };
        output.print(&found, || table(&found, self.trial.dry_run))
    }
}

/// A run by the operator continues until it is done; between batches the daemon's writers get their turn.
const NO_LIMIT: Duration = Duration::from_secs(30 * 86_400);
const PAUSE: Duration = Duration::from_millis(50);

fn table(found: &[TenantExpired], dry_run: bool) -> String {
    if found.is_empty() {
        return "Nothing has expired.".to_owned();
    }
    let fate = if dry_run { "tenant (would delete)" } else { "tenant (deleted)" };
    let mut table = Table::new([fate, "calls", "turns", "webhook events", "audit entries"]);
    for TenantExpired { tenant_id, expired } in found {
        table.row([
            tenant_id.to_string(),
            expired.calls.to_string(),
            expired.turns.to_string(),
            expired.webhook_events.to_string(),
            expired.audit_entries.to_string(),
        ]);
    }
    table.to_string()
}

/// A number of days, or forever.
#[derive(Debug, Clone, Copy)]
struct Days(Option<u32>);

fn days(text: &str) -> Result<Days, std::num::ParseIntError> {
    if text == "forever" {
        Ok(Days(None))
    } else {
        text.parse().map(|days: NonZeroU32| Days(Some(days.get())))
    }
}

impl Command {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let retention = match self {
            Command::Run(run) => return run.run(store, output).await,
            Command::Show { tenant } => {
                store.scope(tenant::find(store, &tenant).await?.id).retention().await?
            }
            Command::Set(set) => {
                let scope = store.scope(tenant::find(store, &set.tenant).await?.id);
                let now = scope.retention().await?;
                let either = |new: Option<Days>, old| new.map_or(old, |days| days.0);
                let retention = Retention {
                    call_days: either(set.calls, now.call_days),
                    transcript_days: either(set.transcripts, now.transcript_days),
                    recording_days: either(set.recordings, now.recording_days),
                    audit_days: either(set.audit, now.audit_days),
                };
                scope.set_retention(&actor(), retention).await?
            }
        };
        output.print(&retention, || sheet(&retention))
    }
}

fn sheet(retention: &Retention) -> String {
    let text = |days: Option<u32>| days.map_or_else(|| "for ever".to_owned(), |days| format!("{days} days"));
    Sheet::new()
        .line("calls", text(retention.call_days))
        .line("transcripts", text(retention.transcript_days))
        .line("recordings", text(retention.recording_days))
        .line("audit log", text(retention.audit_days))
        .to_string()
}
