//! The commands that read and change records in the database.

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::{
    analytics, audit, call, credential, inventory, key, ledger, number, profile, retention, secrets, target,
    tenant, tool, usage, webhook,
};
use crate::config::Config;
use crate::store::Store;

#[derive(Debug, Subcommand)]
pub enum RecordCommand {
    /// Tenants.
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Tenants' phone numbers.
    #[command(subcommand)]
    Number(number::Command),
    /// The numbers that the operator has, and which tenant may take which.
    #[command(subcommand)]
    Inventory(inventory::Command),
    /// AI profiles: who answers, and how.
    #[command(subcommand)]
    Profile(Box<profile::Command>),
    /// The record of calls, and the calls in progress.
    #[command(subcommand)]
    Call(call::Command),
    /// Transfer targets: where agents may transfer callers to.
    #[command(subcommand)]
    Target(Box<target::Command>),
    /// Webhooks: subscriptions of tenants' receivers to events.
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// HTTP tools and MCP servers of agents: trials, and secrets for their headers.
    #[command(subcommand)]
    Tool(Box<tool::Command>),
    /// Engine credentials: tenants' own accounts at vendors of engines.
    #[command(subcommand)]
    Credential(Box<credential::Command>),
    /// Usage, costs and quotas of tenants.
    #[command(subcommand)]
    Usage(usage::Command),
    /// Statistics of calls: counts, durations, latencies, busiest hours.
    Analytics(Box<analytics::Command>),
    /// For how long a tenant's records are kept.
    #[command(subcommand)]
    Retention(retention::Command),
    /// Records of calls that the database refused.
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Secrets that the database keeps.
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// API keys. `vca key create --operator` makes the first one.
    #[command(subcommand)]
    Key(key::Command),
    /// Who changed what, and when; newest first.
    Audit(audit::Command),
}

impl RecordCommand {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            RecordCommand::Tenant(command) => command.run(store, config, output).await,
            RecordCommand::Target(command) => command.run(store, config, output).await,
            RecordCommand::Number(command) => command.run(store, config, output).await,
            RecordCommand::Inventory(command) => command.run(store, config, output).await,
            RecordCommand::Profile(command) => command.run(store, config, output).await,
            RecordCommand::Call(call::Command::Live(command)) => command.run(config, output).await,
            RecordCommand::Call(call::Command::Recorded(command)) => command.run(store, config, output).await,
            RecordCommand::Webhook(command) => command.run(store, config, output).await,
            RecordCommand::Tool(command) => command.run(store, config, output).await,
            RecordCommand::Credential(command) => command.run(store, config, output).await,
            RecordCommand::Usage(command) => command.run(store, config, output).await,
            RecordCommand::Analytics(command) => command.run(store, output).await,
            RecordCommand::Retention(command) => command.run(store, output).await,
            RecordCommand::Ledger(command) => command.run(store, output).await,
            RecordCommand::Secrets(command) => command.run(store, output).await,
            RecordCommand::Key(command) => command.run(store, output).await,
            RecordCommand::Audit(command) => command.run(store, output).await,
        }
    }
}
