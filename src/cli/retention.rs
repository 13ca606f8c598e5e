//! `vca retention`

use std::num::NonZeroU32;

use clap::{Args, Subcommand};

use super::actor;
use super::failure::Failure;
use super::output::Output;
use super::table::Sheet;
use super::tenant;
use crate::store::Store;
use crate::tenancy::Retention;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show for how long a tenant's things are kept.
    Show {
        /// Id or name.
        #[arg(long)]
        tenant: String,
    },
    /// Say for how long they are kept; what is not named stays. Nothing is deleted by it yet.
    Set(Set),
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
    /// Not longer than calls.
    #[arg(long, value_name = "DAYS|forever", value_parser = days)]
    recordings: Option<Days>,
    #[arg(long, value_name = "DAYS|forever", value_parser = days)]
    audit: Option<Days>,
}

/// A number of days, or for ever.
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
