//! `vca call`: the record of calls from the database, and calls under way from the running daemon.

mod feedback;
mod live;
mod records;

use clap::Subcommand;

pub use records::{find_number, tenant_of};

use super::failure::Failure;
use super::output::Output;
use crate::store::Store;

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Live(live::Command),
    #[command(flatten)]
    Recorded(Recorded),
}

/// What is in the database.
#[derive(Debug, Subcommand)]
pub enum Recorded {
    #[command(flatten)]
    Records(records::Command),
    /// What people thought of calls.
    #[command(subcommand)]
    Feedback(feedback::Command),
}

impl Recorded {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Recorded::Records(command) => command.run(store, output).await,
            Recorded::Feedback(command) => command.run(store, output).await,
        }
    }
}
