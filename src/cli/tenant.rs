//! `vca tenant`

use clap::{Args, Subcommand};

use super::actor;
use super::engine_shares::ShowEngineShares;
use super::failure::Failure;
use super::output::Output;
use super::pre_call::{self, TenantWebhook};
use super::registration;
use super::table::{Sheet, Table};
use super::transfer::{Export, ImportTenant};
use super::trial::Consent;
use crate::config::Config;
use crate::control;
use crate::store::{Deleted, NewTenant, PurgeSettings, Purged, Store, TenantChanges};
use crate::tenancy::{Plan, Tenant, TenantId, TenantStatus};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a tenant; it is active at once.
    Create(CreateTenant),
    /// List all tenants.
    List,
    /// Show one tenant.
    Show {
        /// Id, or name if only one has it.
        tenant: String,
    },
    /// Change a tenant.
    Update(UpdateTenant),
    /// Delete a tenant for good: its numbers are released, its keys revoked, its webhooks deleted. Its records stay until
    /// it is purged.
    Delete(DeleteTenant),
    /// Erase the records of a deleted tenant.
    Purge(PurgeTenant),
    /// Print a tenant as one JSON document: its numbers, profiles with their versions, webhooks and retention. API
    /// keys and webhooks' secrets stay behind.
    Export(Export),
    /// Put an exported tenant into this database: all of it or nothing.
    Import(ImportTenant),
    /// Show the tenant's shares of your engines, and how much of them it uses now. (Asks the running daemon.)
    EngineShares(ShowEngineShares),
    /// Show or set the tenant's pre-call webhook: a URL that is asked about calls to numbers without one of their own
    /// while they ring.
    PreCallWebhook(TenantWebhook),
    /// Remove the tenant's pre-call webhook.
    RemovePreCallWebhook {
        /// Id, or name if only one has it.
        tenant: String,
    },
    /// Replace the secret of the tenant's pre-call webhook. For 24 hours requests are signed with the former one, too.
    RotatePreCallSecret {
        /// Id, or name if only one has it.
        tenant: String,
    },
}

#[derive(Debug, Args)]
pub struct CreateTenant {
    #[arg(long)]
    name: String,
    #[arg(long, default_value = "starter")]
    plan: Plan,
    /// Calls at once. Default: the daemon's `calls.max_calls_per_tenant`.
    #[arg(long, value_name = "N")]
    max_calls: Option<u32>,
}

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct UpdateTenant {
    /// Id, or name if only one has it.
    tenant: String,
    #[arg(long)]
    name: Option<String>,
    /// `active` or `suspended`; calls are taken for active tenants only. `vca tenant delete` deletes a tenant.
    #[arg(long, value_parser = settable_status)]
    status: Option<TenantStatus>,
    #[arg(long)]
    plan: Option<Plan>,
    /// Calls at once; `default` goes back to the daemon's default.
    #[arg(long, value_name = "N|default", value_parser = limit)]
    max_calls: Option<Limit>,
}

#[derive(Debug, Args)]
pub struct DeleteTenant {
    /// Id, or name if only one has it.
    tenant: String,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
pub struct PurgeTenant {
    /// Id, or name if only one has it.
    tenant: String,
    /// Erase statements, sums of usage and the tenant's own row as well, which accounting may have to keep.
    #[arg(long)]
    with_statements: bool,
    /// Purge although a provider has not confirmed that it released a number.
    #[arg(long)]
    leave_registrations: bool,
    #[command(flatten)]
    consent: Consent,
}

fn settable_status(text: &str) -> Result<TenantStatus, String> {
    match text.parse() {
        Ok(TenantStatus::Deleted) => {
            Err("deletion is final: `vca tenant delete TENANT --dry-run` shows what it does".to_owned())
        }
        Ok(status) => Ok(status),
        Err(_) => Err("active or suspended".to_owned()),
    }
}

/// A limit of one's own, or none.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<u32>);

fn limit(text: &str) -> Result<Limit, std::num::ParseIntError> {
    if text == "default" { Ok(Limit(None)) } else { text.parse().map(|limit| Limit(Some(limit))) }
}

impl Command {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let tenant = match self {
            Command::Delete(command) => return command.run(store, config, output).await,
            Command::Purge(command) => return command.run(store, output).await,
            Command::List => return list(store, output).await,
            Command::Export(command) => return command.run(store, output).await,
            Command::Import(command) => return command.run(store, output).await,
            Command::EngineShares(command) => return command.run(store, config, output).await,
            Command::PreCallWebhook(webhook) => return webhook.run(store, config, output).await,
            Command::RemovePreCallWebhook { tenant } => {
                return pre_call::remove_of_tenant(&tenant, store, output).await;
            }
            Command::RotatePreCallSecret { tenant } => {
                return pre_call::rotate_of_tenant(&tenant, store, output).await;
            }
            Command::Create(CreateTenant { name, plan, max_calls }) => {
                let new = NewTenant { name, plan, max_concurrent_calls: max_calls };
                control::create_tenant(store, &actor(), new).await?
            }
            Command::Show { tenant } => find(store, &tenant).await?,
            Command::Update(UpdateTenant { tenant, name, status, plan, max_calls }) => {
                let id = find(store, &tenant).await?.id;
                let max_concurrent_calls = max_calls.map(|limit| limit.0);
                let changes = TenantChanges { name, status, plan, max_concurrent_calls };
                control::change_tenant(store, &actor(), id, changes).await?
            }
        };
        output.print(&tenant, || sheet(&tenant))
    }
}

impl DeleteTenant {
    async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let dry_run = self.consent.is_dry_run();
        let id = find(store, &self.tenant).await?.id;
        let registrar = registration::registrar(store, config)?;
        let (deleted, asked) = control::delete_tenant(store, &registrar, &actor(), id, dry_run).await?;
        let failures = asked.failures().await;
        output.print(&deleted, || deletion(&deleted, failures))
    }
}

fn deletion(deleted: &Deleted, failures: u64) -> String {
    let Deleted { tenant, numbers, keys, webhooks, deliveries, dry_run, .. } = deleted;
    let head = if *dry_run { "Would delete" } else { "Deleted" };
    let mut text = format!(
        "{head} tenant {:?}: {numbers} numbers released, {keys} keys revoked, {webhooks} webhooks deleted, \
         {deliveries} pending deliveries given up.",
        tenant.name
    );
    if failures > 0 {
        text += &format!(
            "\n{failures} numbers may still be registered: the daemon asks their providers every hour."
        );
    }
    if !dry_run {
        text += &format!("\nIts records stay until `vca tenant purge {}`.", tenant.id);
    }
    text
}

impl PurgeTenant {
    async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let settings = PurgeSettings {
            dry_run: self.consent.is_dry_run(),
            with_statements: self.with_statements,
            leave_registrations: self.leave_registrations,
        };
        let id = find(store, &self.tenant).await?.id;
        let purged = control::purge_tenant(store, &actor(), id, settings).await?;
        output.print(&purged, || purge(&purged))
    }
}

fn purge(purged: &Purged) -> String {
    let mut table = Table::new(["table", "rows", if purged.dry_run { "would be" } else { "is" }]);
    for (rows, fate) in [(&purged.rows, "erased"), (&purged.kept, "kept")] {
        for (name, count) in rows.iter().filter(|(_, count)| **count > 0) {
            table.row([name.clone(), count.to_string(), fate.to_owned()]);
        }
    }
    table.to_string()
}

/// The tenant of that id or name.
pub async fn find(store: &Store, named: &str) -> Result<Tenant, Failure> {
    let tenants = store.tenants().await?;
    let id: Option<TenantId> = named.parse().ok();
    if let Some(tenant) = tenants.iter().find(|tenant| Some(tenant.id) == id) {
        return Ok(tenant.clone());
    }
    let same: Vec<&Tenant> = tenants.iter().filter(|tenant| tenant.name == named).collect();
    match same.as_slice() {
        [tenant] => Ok((*tenant).clone()),
        [] => {
            Err(Failure::not_found(format!("there is no tenant {named:?}: `vca tenant list` shows them all")))
        }
        several => {
            let ids: Vec<String> = several.iter().map(|tenant| tenant.id.to_string()).collect();
            let ids = ids.join(", ");
            Err(Failure::unacceptable(format!(
                "several tenants are named {named:?}: choose one by its id, {ids}"
            )))
        }
    }
}

/// The tenant that is named, or all of them.
pub async fn find_or_all(store: &Store, named: Option<&str>) -> Result<Vec<Tenant>, Failure> {
    match named {
        Some(named) => Ok(vec![find(store, named).await?]),
        None => Ok(store.tenants().await?),
    }
}

async fn list(store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
    let tenants = store.tenants().await?;
    output.print(&tenants, || {
        let mut table = Table::new(["id", "name", "status", "plan", "max calls", "created"]);
        for tenant in &tenants {
            table.row([
                tenant.id.to_string(),
                tenant.name.clone(),
                tenant.status.to_string(),
                tenant.plan.to_string(),
                limit_text(tenant),
                tenant.created_at.format("%F").to_string(),
            ]);
        }
        table.to_string()
    })
}

fn sheet(tenant: &Tenant) -> String {
    Sheet::new()
        .line("id", tenant.id)
        .line("name", &tenant.name)
        .line("status", tenant.status)
        .line("plan", tenant.plan)
        .line("max calls", limit_text(tenant))
        .line("created", tenant.created_at.format("%F %T UTC"))
        .to_string()
}

fn limit_text(tenant: &Tenant) -> String {
    tenant.max_concurrent_calls.map_or_else(|| "default".into(), |limit| limit.to_string())
}
