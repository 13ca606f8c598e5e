//! `vca call`: the record of calls from the database, and calls in progress from the running daemon.

mod analysis;
mod erase;
mod feedback;
mod live;
mod names;
mod records;
mod waterfall;

use clap::Subcommand;

pub use records::{find_number, tenant_of};

use super::failure::Failure;
use super::output::Output;
use crate::config::Config;
use crate::store::Store;

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Live(live::Command),
    #[command(flatten)]
    Recorded(Recorded),
}

/// Commands on call records.
#[derive(Debug, Subcommand)]
pub enum Recorded {
    #[command(flatten)]
    Records(records::Command),
    /// Try an analysis on a call that has ended. Nothing is stored but its usage, which is billed.
    TryAnalysis(analysis::TryAnalysis),
    /// Ratings of calls and comments.
    #[command(subcommand)]
    Feedback(feedback::Command),
    /// Erase the personal data of a call or of a caller. The call's row stays with its times, for billing.
    Erase(erase::Erase),
}

impl Recorded {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Recorded::Records(command) => command.run(store, output).await,
            Recorded::TryAnalysis(trial) => trial.run(store, config, output).await,
            Recorded::Feedback(command) => command.run(store, output).await,
            Recorded::Erase(command) => command.run(store, config, output).await,
        }
    }
}
