//! `vca credential`

use clap::{Args, Subcommand};

use super::actor;
use super::failure::Failure;
use super::output::Output;
use super::secret_input::entered;
use super::table::{Sheet, Table};
use super::tenant;
use super::trial::Trial;
use crate::config::Config;
use crate::control::{self, TenantEngines};
use crate::current::Current;
use crate::daemon::AgentFactory;
use crate::store::{EngineAccount, NewEngineCredential, Scope, Store, Window};
use crate::tenancy::{
    EngineApi, EngineCredential, EngineCredentialId, EngineFallback, EngineKind, EngineTrial,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Store the credentials of a tenant's account at a vendor. The API key is read from standard input. Profiles name the
    /// engine `own:NAME`.
    Create(CreateCredential),
    /// List a tenant's engine credentials, without their keys.
    List {
        /// Id or name.
        #[arg(long)]
        tenant: String,
    },
    /// Replace key, address, model and fallback as a whole. The new key is read from standard input.
    Replace {
        #[command(flatten)]
        credential: CredentialSelector,
        #[command(flatten)]
        account: AccountArgs,
    },
    /// Send one small request to the engine. Its vendor may charge for it.
    Test(CredentialSelector),
    /// Delete engine credentials that no profile names.
    Delete {
        #[command(flatten)]
        which: CredentialSelector,
        #[command(flatten)]
        trial: Trial,
    },
}

#[derive(Debug, Args)]
pub struct CreateCredential {
    /// Id or name.
    #[arg(long)]
    tenant: String,
    name: String,
    #[arg(long)]
    kind: EngineKind,
    #[arg(long)]
    api: EngineApi,
    #[command(flatten)]
    account: AccountArgs,
}

#[derive(Debug, Args)]
pub struct AccountArgs {
    /// The base URL of the server, such as https://api.groq.com/openai/v1. Default: the vendor's own.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The model of profiles that name none.
    #[arg(long)]
    model: Option<String>,
    /// The engines that are asked when this one fails.
    #[arg(long, default_value = "none")]
    fallback: EngineFallback,
}

#[derive(Debug, Args)]
pub struct CredentialSelector {
    /// Id or name.
    #[arg(long)]
    tenant: String,
    credential: EngineCredentialId,
}

impl Command {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let rules = &config.tenant_engines;
        match self {
            Command::Create(wanted) => {
                let scope = scope(store, &wanted.tenant).await?;
                let CreateCredential { name, kind, api, account, .. } = wanted;
                let new = NewEngineCredential { name, kind, api, account: account.with_key()? };
                let created = control::create_engine_credential(&scope, &actor(), rules, new).await?;
                output.print(&created, || sheet(&created))
            }
            Command::List { tenant } => {
                let scope = scope(store, &tenant).await?;
                let all = scope.engine_credentials(Window::first(u32::MAX)).await?.items;
                output.print(&all, || table(&all))
            }
            Command::Replace { credential: CredentialSelector { tenant, credential }, account } => {
                let (scope, account) = (scope(store, &tenant).await?, account.with_key()?);
                let actor = actor();
                let changed = control::replace_engine_credential(
                    &scope,
                    &actor,
                    rules,
                    credential,
                    account,
                    control::in_any_state::<_, Failure>,
                );
                let changed = changed.await?;
                output.print(&changed, || sheet(&changed))
            }
            Command::Test(CredentialSelector { tenant, credential }) => {
                let scope = scope(store, &tenant).await?;
                let engines = Current::new(AgentFactory::without_model(config)?);
                let engines: &dyn TenantEngines = &engines;
                let trial =
                    control::test_engine_credential(&scope, &actor(), rules, engines, credential).await?;
                output.print(&trial, || trial_text(&trial))?;
                if trial.outcome == EngineTrial::SUCCEEDED { Ok(()) } else { Err(Failure::said()) }
            }
            Command::Delete { which: CredentialSelector { tenant, credential }, trial } => {
                let scope = scope(store, &tenant).await?;
                if trial.dry_run {
                    let found = scope.deletable_engine_credential(credential).await?;
                    return output.print(&found, || format!("{} would be deleted", found.name));
                }
                let deleted = scope.delete_engine_credential(&actor(), credential).await?;
                output.print(&deleted, || format!("deleted {}", deleted.name))
            }
        }
    }
}

impl AccountArgs {
    fn with_key(self) -> Result<EngineAccount, Failure> {
        let AccountArgs { base_url, model, fallback } = self;
        Ok(EngineAccount { key: entered()?, base_url, model, fallback })
    }
}

async fn scope(store: &Store, tenant: &str) -> Result<Scope, Failure> {
    Ok(store.scope(tenant::find(store, tenant).await?.id))
}

fn trial_text(trial: &EngineTrial) -> String {
    let sheet =
        Sheet::new().line("outcome", &trial.outcome).line("duration", format!("{} ms", trial.duration_ms));
    match &trial.problem {
        Some(problem) => sheet.line("problem", problem).to_string(),
        None => sheet.to_string(),
    }
}

fn sheet(credential: &EngineCredential) -> String {
    Sheet::new()
        .line("id", credential.id)
        .line("engine", credential.engine())
        .line("kind", credential.kind)
        .line("api", credential.api)
        .line("address", credential.base_url.as_deref().unwrap_or("the vendor's"))
        .line("model", credential.model.as_deref().unwrap_or("the API's default"))
        .line("fallback", credential.fallback)
        .line("key", &credential.key_hint)
        .line("version", credential.version)
        .line("changed", credential.updated_at.format("%F %T UTC"))
        .to_string()
}

fn table(credentials: &[EngineCredential]) -> String {
    let mut table = Table::new(["id", "engine", "kind", "api", "fallback", "key", "changed"]);
    for credential in credentials {
        table.row([
            credential.id.to_string(),
            credential.engine(),
            credential.kind.to_string(),
            credential.api.to_string(),
            credential.fallback.to_string(),
            credential.key_hint.clone(),
            credential.updated_at.format("%F %T UTC").to_string(),
        ]);
    }
    table.to_string()
}
