//! `vca tool`

use std::io::Read;

use anyhow::Context;
use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::Value;

use super::actor;
use super::failure::Failure;
use super::output::Output;
use super::profile::ProfileSelector;
use super::table::{Sheet, Table};
use super::tenant;
use crate::config::Config;
use crate::control;
use crate::store::{Store, Window};
use crate::tenancy::{ToolSecret, ToolSecretId};
use crate::tools::{ToolServices, ToolTrial};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send the request of a profile's HTTP tool, as a call would.
    Test(TestTool),
    /// Store a secret for the headers of a tenant's HTTP tools. Its value is read from standard input.
    CreateSecret {
        /// Id or name.
        #[arg(long)]
        tenant: String,
        name: String,
    },
    /// List the secrets of a tenant's HTTP tools, without their values.
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
    /// The tool's name.
    #[arg(long)]
    tool: String,
    /// The arguments, a JSON object.
    #[arg(long, default_value = "{}", value_name = "JSON")]
    arguments: String,
}

impl Command {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Command::Test(wanted) => wanted.run(store, config, output).await,
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
        let mut tools = profile.settings.http_tools.into_iter();
        let Some(tool) = tools.find(|tool| tool.name == self.tool) else {
            return Err(Failure::not_found(format!("the profile has no HTTP tool {:?}", self.tool)));
        };
        let arguments: Value = serde_json::from_str(&self.arguments)
            .map_err(|error| Failure::unacceptable(format!("--arguments is not JSON: {error}")))?;
        let services = ToolServices::new(&config.tools, store.clone()).context("tools cannot be run")?;
        let scope = store.scope(profile.tenant_id);
        let trial = control::test_tool(&scope, &actor(), &services, tool, &arguments).await?;
        output.print(&trial, || trial_text(&trial))?;
        if trial.outcome == "succeeded" { Ok(()) } else { Err(Failure::said()) }
    }
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

/// The value of a secret, which no argument of a program may have: every user of the machine can list those.
fn entered() -> Result<SecretString, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("the secret cannot be read from standard input")?;
    Ok(SecretString::from(text.trim().to_owned()))
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
