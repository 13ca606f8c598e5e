//! `vca tool`

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::actor;
use super::failure::Failure;
use super::output::Output;
use super::profile::ProfileSelector;
use super::secret_input::entered;
use super::table::{Sheet, Table};
use super::tenant;
use crate::config::Config;
use crate::control;
use crate::store::{Store, Window};
use crate::tenancy::{McpServer, ToolSecret, ToolSecretId};
use crate::tools::{McpServerListing, ToolServices, ToolTrial};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Call an HTTP tool or a tool of an MCP server of a profile, as a call would.
    Test(TestTool),
    /// List the tools of a profile's MCP server, with their fingerprints.
    ListMcp(ListMcp),
    /// Store a secret for the headers of a tenant's HTTP tools and MCP servers. Its value is read from standard input.
    CreateSecret {
        /// Id or name.
        #[arg(long)]
        tenant: String,
        name: String,
    },
    /// List the secrets of a tenant's HTTP tools and MCP servers, without their values.
    ListSecrets {
        /// Id or name.
        #[arg(long)]
        tenant: String,
    },
    /// Replace the value of a secret. The new value is read from standard input.
    ReplaceSecret {
        /// Id or name.
        #[arg(long)]
        tenant: String,
        secret: ToolSecretId,
    },
    /// Delete a secret. Tools that refer to it fail.
    DeleteSecret {
        /// Id or name.
        #[arg(long)]
        tenant: String,
        secret: ToolSecretId,
    },
}

#[derive(Debug, Args)]
pub struct TestTool {
    #[command(flatten)]
    profile: ProfileSelector,
    /// The name by which the model calls the tool.
    #[arg(long)]
    tool: String,
    /// The arguments, a JSON object.
    #[arg(long, default_value = "{}", value_name = "JSON")]
    arguments: String,
}

#[derive(Debug, Args)]
pub struct ListMcp {
    #[command(flatten)]
    profile: ProfileSelector,
    /// The server's name.
    #[arg(long)]
    server: String,
}

impl Command {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Command::Test(wanted) => wanted.run(store, config, output).await,
            Command::ListMcp(wanted) => wanted.run(store, config, output).await,
            Command::CreateSecret { tenant, name } => {
                let scope = store.scope(tenant::find(store, &tenant).await?.id);
                let created = control::create_tool_secret(&scope, &actor(), &name, &entered()?).await?;
                output.print(&created, || sheet(&created))
            }
            Command::ListSecrets { tenant } => {
                let scope = store.scope(tenant::find(store, &tenant).await?.id);
                // A tenant has a few.
                let secrets = scope.tool_secrets(Window::first(500)).await?.items;
                output.print(&secrets, || table(&secrets))
            }
            Command::ReplaceSecret { tenant, secret } => {
                let scope = store.scope(tenant::find(store, &tenant).await?.id);
                let changed = control::replace_tool_secret(&scope, &actor(), secret, &entered()?).await?;
                output.print(&changed, || sheet(&changed))
            }
            Command::DeleteSecret { tenant, secret } => {
                let scope = store.scope(tenant::find(store, &tenant).await?.id);
                let deleted = scope.delete_tool_secret(&actor(), secret).await?;
                output.print(&deleted, || format!("deleted {}", deleted.name))
            }
        }
    }
}

impl TestTool {
    async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let profile = self.profile.find_profile(store).await?;
        let arguments: Value = serde_json::from_str(&self.arguments)
            .map_err(|error| Failure::unacceptable(format!("--arguments is not JSON: {error}")))?;
        let services = ToolServices::new(&config.tools, store.clone()).context("tools cannot be run")?;
        let (scope, settings) = (store.scope(profile.tenant_id), profile.settings);
        let http = settings.http_tools.into_iter().find(|tool| tool.name == self.tool);
        let trial = match (http, mcp_tool(settings.mcp_servers, &self.tool)) {
            (Some(tool), _) => control::test_tool(&scope, &actor(), &services, tool, &arguments).await?,
            (None, Some((server, tool))) => {
                control::test_mcp_tool(&scope, &actor(), &services, server, &tool, &arguments).await?
            }
            (None, None) => {
                return Err(Failure::not_found(format!(
                    "the profile has no HTTP or MCP tool {:?}",
                    self.tool
                )));
            }
        };
        output.print(&trial, || trial_text(&trial))?;
        if trial.outcome == "succeeded" { Ok(()) } else { Err(Failure::said()) }
    }
}

/// The server, and its own name, of the tool that a model calls by this name.
fn mcp_tool(servers: Vec<McpServer>, offered: &str) -> Option<(McpServer, String)> {
    servers.into_iter().find_map(|server| {
        let tool = server.tools.iter().find(|tool| server.offered_name(&tool.name) == offered)?.name.clone();
        Some((server, tool))
    })
}

impl ListMcp {
    async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let profile = self.profile.find_profile(store).await?;
        let mut servers = profile.settings.mcp_servers.into_iter();
        let server = servers.find(|server| server.name == self.server);
        let server = server
            .ok_or_else(|| Failure::not_found(format!("the profile has no MCP server {:?}", self.server)))?;
        let services = ToolServices::new(&config.tools, store.clone()).context("tools cannot be run")?;
        let scope = store.scope(profile.tenant_id);
        let listing = control::list_mcp_tools(&scope, &actor(), &services, server).await?;
        output.print(&listing, || listing_text(&listing))?;
        if listing.problem.is_none() { Ok(()) } else { Err(Failure::said()) }
    }
}

fn listing_text(listing: &McpServerListing) -> String {
    let mut table = Table::new(["tool", "allowed", "fingerprint", "description"]);
    for tool in &listing.tools {
        let first_line = tool.description.lines().next().unwrap_or_default();
        let allowed = if tool.is_allowed { "yes" } else { "no" };
        table.row([tool.name.clone(), allowed.to_owned(), tool.fingerprint.clone(), first_line.to_owned()]);
    }
    let problem = listing.problem.iter().map(|problem| format!("problem: {problem}\n"));
    format!("{table}{}", problem.collect::<String>())
}

fn trial_text(trial: &ToolTrial) -> String {
    let mut sheet = Sheet::new()
        .line("outcome", trial.outcome)
        .line("duration", format!("{} ms", trial.duration_ms))
        .line("result", &trial.result);
    for (name, value) in &trial.variables {
        sheet = sheet.line(name, value);
    }
    sheet.to_string()
}

fn sheet(secret: &ToolSecret) -> String {
    Sheet::new()
        .line("id", secret.id)
        .line("name", &secret.name)
        .line("changed", secret.updated_at.format("%F %T UTC"))
        .to_string()
}

fn table(secrets: &[ToolSecret]) -> String {
    let mut table = Table::new(["id", "name", "changed"]);
    for secret in secrets {
        table.row([
            secret.id.to_string(),
            secret.name.clone(),
            secret.updated_at.format("%F %T UTC").to_string(),
        ]);
    }
    table.to_string()
}
