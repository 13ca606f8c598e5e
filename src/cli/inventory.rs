//! `vca inventory`

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::failure::Failure;
use super::output::Output;
use super::table::{Table, or_dash};
use super::trial::Trial;
use super::{actor, registration, tenant};
use crate::config::Config;
use crate::control::{self, ControlError};
use crate::store::{
    InventoryChanges, InventoryFilter, NewInventoryNumber, PutOutcome, Store, StoreError, Window,
};
use crate::tenancy::{Did, InventoryNumber, NumberSource, Numbering, Tenant, TenantId};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Enter a number. One that a tenant has already is assigned to that tenant.
    Add(AddNumber),
    /// List the inventory.
    List(ListInventory),
    /// Assign a number to a tenant: its administrators may then take it.
    Assign {
        /// The number, or the entry's id.
        number: String,
        /// Id or name.
        #[arg(long)]
        tenant: String,
    },
    /// Assign a number to no tenant.
    Unassign {
        /// The number, or the entry's id.
        number: String,
    },
    /// Remove a number, unless a tenant has it.
    Remove(Remove),
    /// Enter numbers from a file: lines of NUMBER, NUMBER,TENANT or NUMBER,TENANT,NOTE. Lines that begin with # are ignored.
    Import(Import),
    /// Enter the numbers of the operator's account with a provider.
    Sync(Sync),
}

#[derive(Debug, Args)]
pub struct AddNumber {
    /// With its country code; in numbers.default_region that may be left out.
    #[arg(allow_hyphen_values = true)]
    number: String,
    /// The tenant that may take it. Id or name; default: none.
    #[arg(long)]
    tenant: Option<String>,
    #[arg(long, default_value = "operator")]
    source: NumberSource,
    #[arg(long)]
    note: Option<String>,
}

#[derive(Debug, Args)]
pub struct ListInventory {
    /// Only numbers that are assigned to this tenant. Id or name.
    #[arg(long)]
    tenant: Option<String>,
    /// Only numbers that are assigned to a tenant, or that are not.
    #[arg(long, value_name = "true|false")]
    assigned: Option<bool>,
    /// Only numbers from this source.
    #[arg(long)]
    source: Option<NumberSource>,
}

#[derive(Debug, Args)]
pub struct Remove {
    /// The number, or the entry's id.
    number: String,
    #[command(flatten)]
    trial: Trial,
}

#[derive(Debug, Args)]
pub struct Import {
    file: PathBuf,
    #[command(flatten)]
    trial: Trial,
}

#[derive(Debug, Args)]
pub struct Sync {
    #[arg(value_parser = ["twilio", "telnyx"])]
    provider: String,
    #[command(flatten)]
    trial: Trial,
}

impl Command {
    pub async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let numbering = &config.numbers;
        let entry = match self {
            Command::List(list) => return list.run(store, output).await,
            Command::Import(import) => return import.run(store, numbering, output).await,
            Command::Sync(sync) => return sync.run(store, config, output).await,
            Command::Remove(remove) => return remove.run(store, numbering, output).await,
            Command::Add(add) => {
                let new = add.read(store, numbering).await?;
                control::add_inventory_number(store, &actor(), new).await?
            }
            Command::Assign { number, tenant } => {
                let tenant = tenant::find(store, &tenant).await?.id;
                assign(store, numbering, &number, Some(tenant)).await?
            }
            Command::Unassign { number } => assign(store, numbering, &number, None).await?,
        };
        print(&[entry], store, output).await
    }
}

impl AddNumber {
    async fn read(self, store: &Store, numbering: &Numbering) -> Result<NewInventoryNumber, Failure> {
        let did = control::read_number(numbering, &self.number)?;
        let tenant = match self.tenant {
            Some(named) => Some(tenant::find(store, &named).await?.id),
            None => None,
        };
        Ok(NewInventoryNumber { did, tenant, source: self.source, note: self.note })
    }
}

async fn assign(
    store: &Store,
    numbering: &Numbering,
    number: &str,
    tenant: Option<TenantId>,
) -> Result<InventoryNumber, Failure> {
    let entry = find(store, numbering, number).await?;
    let changes = InventoryChanges { tenant: Some(tenant), note: None };
    Ok(control::update_inventory_number(store, &actor(), entry.id, changes).await?)
}

/// The entry of an id or a number.
async fn find(store: &Store, numbering: &Numbering, named: &str) -> Result<InventoryNumber, Failure> {
    let found = match named.parse() {
        Ok(id) => store.inventory_number(id).await,
        Err(_) => {
            let did = numbering.called(named).into_iter().next();
            match did {
                Some(did) => store.inventory_number_of(&did).await,
                None => Err(StoreError::NotFound),
            }
        }
    };
    found.map_err(|error| match error {
        StoreError::NotFound => {
            Failure::not_found(format!("{named:?} is not in the inventory: `vca inventory list` shows it"))
        }
        other => other.into(),
    })
}

impl ListInventory {
    async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let tenant = match &self.tenant {
            Some(named) => Some(tenant::find(store, named).await?.id),
            None => None,
        };
        let filter = InventoryFilter { tenant, is_assigned: self.assigned, source: self.source };
        let all = store.inventory(filter, Window::first(u32::MAX)).await?.items;
        print(&all, store, output).await
    }
}

async fn print(entries: &[InventoryNumber], store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
    let names: HashMap<TenantId, String> =
        store.tenants().await?.into_iter().map(|Tenant { id, name, .. }| (id, name)).collect();
    output.print(entries, || table(entries, &names))
}

fn table(entries: &[InventoryNumber], names: &HashMap<TenantId, String>) -> String {
    let mut table = Table::new(["number", "tenant", "taken", "source", "note", "id"]);
    for entry in entries {
        let name = entry.tenant_id.and_then(|id| names.get(&id).cloned());
        table.row([
            entry.did.to_string(),
            or_dash(name),
            super::number::yes_or_no(entry.phone_number_id.is_some()).into(),
            entry.source.to_string(),
            or_dash(entry.note.as_deref()),
            entry.id.to_string(),
        ]);
    }
    table.to_string()
}

impl Remove {
    async fn run(self, store: &Store, numbering: &Numbering, output: &mut Output<'_>) -> Result<(), Failure> {
        let entry = find(store, numbering, &self.number).await?;
        if self.trial.dry_run {
            return output.print(&entry, || format!("{} would be removed from the inventory", entry.did));
        }
        let entry = store.remove_inventory_number(&actor(), entry.id).await?;
        output.print(&entry, || format!("Removed {} from the inventory.", entry.did))
    }
}

/// The changes that an import or a sync makes to the inventory.
#[derive(Debug, Default, Serialize)]
struct Summary {
    dry_run: bool,
    added: Vec<Did>,
    changed: Vec<Did>,
    unchanged: Vec<Did>,
    /// Entries of the provider that its account does not have any more.
    gone: Vec<Did>,
    /// Lines or numbers that were left out, and why.
    refused: Vec<String>,
}

impl Summary {
    async fn put(&mut self, store: &Store, place: &str, new: NewInventoryNumber) -> Result<(), Failure> {
        let did = new.did.clone();
        match control::put_inventory_number(store, &actor(), new, self.dry_run).await {
            Ok(PutOutcome::Added) => self.added.push(did),
            Ok(PutOutcome::Changed) => self.changed.push(did),
            Ok(PutOutcome::Unchanged) => self.unchanged.push(did),
            Err(
                error @ (ControlError::Invalid(_)
                | ControlError::Store(StoreError::Number(_) | StoreError::Refused { .. })),
            ) => self.refused.push(format!("{place}: {error}")),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Fails when something was left out.
    fn print(self, output: &mut Output<'_>) -> Result<(), Failure> {
        output.print(&self, || self.text())?;
        if self.refused.is_empty() { Ok(()) } else { Err(Failure::said()) }
    }

    fn text(&self) -> String {
        let mut text = if self.dry_run { "Would be: ".to_owned() } else { String::new() };
        let (added, changed, unchanged) = (self.added.len(), self.changed.len(), self.unchanged.len());
        text.push_str(&format!("{added} added, {changed} assigned, {unchanged} unchanged.\n"));
        for did in &self.gone {
            text.push_str(&format!("{did} is not in the account any more: `vca inventory remove {did}`\n"));
        }
        for refused in &self.refused {
            text.push_str(&format!("left out: {refused}\n"));
        }
        text
    }
}

impl Import {
    async fn run(self, store: &Store, numbering: &Numbering, output: &mut Output<'_>) -> Result<(), Failure> {
        let text = read(&self.file).await?;
        let mut summary = Summary { dry_run: self.trial.dry_run, ..Summary::default() };
        let lines = text.lines().map(str::trim).enumerate();
        for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let place = format!("line {}", at + 1);
            match entry(store, numbering, line).await {
                Ok(new) => summary.put(store, &place, new).await?,
                Err(failure) => summary.refused.push(format!("{place}: {}", failure.text)),
            }
        }
        summary.print(output)
    }
}

/// An entry of a line of a file.
async fn entry(store: &Store, numbering: &Numbering, line: &str) -> Result<NewInventoryNumber, Failure> {
    let mut fields = line.splitn(3, ',').map(str::trim);
    let mut field = || fields.next().filter(|text| !text.is_empty()).map(str::to_owned);
    let number = field().unwrap_or_default();
    let (tenant, note) = (field(), field());
    AddNumber { number, tenant, source: NumberSource::Operator, note }.read(store, numbering).await
}

async fn read(file: &Path) -> Result<String, Failure> {
    tokio::fs::read_to_string(file)
        .await
        .map_err(|error| Failure::unacceptable(format_args!("{} cannot be read: {error}", file.display())))
}

impl Sync {
    async fn run(self, store: &Store, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let source: NumberSource = self.provider.parse().map_err(Failure::unacceptable)?;
        let asked = registration::adapters(config)?.account_numbers(source).await;
        let dids: BTreeSet<String> = asked
            .map_err(|error| Failure::unavailable(error.to_string()))?
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut summary = Summary { dry_run: self.trial.dry_run, ..Summary::default() };
        for text in &dids {
            match config.numbers.read(text) {
                Ok(did) => {
                    let new = NewInventoryNumber { did, tenant: None, source, note: None };
                    summary.put(store, text, new).await?;
                }
                Err(error) => summary.refused.push(error.to_string()),
            }
        }
        let filter = InventoryFilter { source: Some(source), ..InventoryFilter::default() };
        let known = store.inventory(filter, Window::first(u32::MAX)).await?.items;
        summary.gone =
            known.into_iter().map(|it| it.did).filter(|did| !dids.contains(&did.to_string())).collect();
        summary.print(output)
    }
}
