//! `vca ledger`: records of calls that the database refused.

use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::failure::Failure;
use super::output::Output;
use super::table::Table;
use super::tenant;
use crate::store::{DeadLetter, Store, StoreError, Window};
use crate::tenancy::TenantId;

/// How many are read at once.
const PAGE: u32 = 500;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the records of calls that the database refused, oldest first, with the reason.
    List {
        /// Id or name; default: all tenants.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Write refused records again, oldest first, after their cause is repaired.
    Retry {
        /// Ids as `vca ledger list` shows them; default: all.
        ids: Vec<Uuid>,
        /// Only these of one tenant: id or name.
        #[arg(long, conflicts_with = "ids")]
        tenant: Option<String>,
        /// Say which would be written, and write none.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete refused records.
    Discard {
        /// Ids as `vca ledger list` shows them.
        #[arg(required = true)]
        ids: Vec<Uuid>,
        /// Say which would be deleted, and delete none.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Command {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Command::List { tenant } => {
                let letters = letters(store, tenant.as_deref(), &[]).await?;
                output.print(&letters, || table(&letters))
            }
            Command::Retry { ids, tenant, dry_run } => {
                let letters = letters(store, tenant.as_deref(), &ids).await?;
                if dry_run {
                    return output.print(&letters, || format!("would write again:\n{}", table(&letters)));
                }
                retry(store, &letters, output).await
            }
            Command::Discard { ids, dry_run } => {
                let letters = letters(store, None, &ids).await?;
                if dry_run {
                    return output.print(&letters, || format!("would delete:\n{}", table(&letters)));
                }
                for letter in &letters {
                    store.discard_dead_letter(letter.id).await?;
                }
                output.print(&letters, || format!("deleted {} records", letters.len()))
            }
        }
    }
}

/// The records of these ids, or all of them.
async fn letters(store: &Store, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<DeadLetter>, Failure> {
    let tenant: Option<TenantId> = match tenant {
        Some(name) => Some(tenant::find(store, name).await?.id),
        None => None,
    };
    let (mut letters, mut window) = (Vec::new(), Window::first(PAGE));
    loop {
        let page = store.dead_letters(tenant, window).await?;
        letters.extend(page.items);
        window.after = page.next;
        if window.after.is_none() {
            break;
        }
    }
    if ids.is_empty() {
        return Ok(letters);
    }
    letters.retain(|letter| ids.contains(&letter.id));
    if letters.len() < ids.len() {
        return Err(StoreError::NotFound.into());
    }
    Ok(letters)
}

/// A record that is refused again stays where it is; the others are written all the same.
async fn retry(store: &Store, letters: &[DeadLetter], output: &mut Output<'_>) -> Result<(), Failure> {
    let (mut written, mut refused) = (0, Vec::new());
    for letter in letters {
        match store.retry_dead_letter(letter.id).await {
            Ok(()) => written += 1,
            Err(error) if error.is_away() => return Err(error.into()),
            Err(error) => refused.push((letter.id, error.to_string())),
        }
    }
    let result = json!({ "written": written, "refused": refused });
    output.print(&result, || {
        let refused = refused.iter().map(|(id, problem)| format!("\n{id}: refused again: {problem}"));
        format!("wrote {written} records{}", refused.collect::<String>())
    })?;
    if refused.is_empty() { Ok(()) } else { Err(Failure::said()) }
}

fn table(letters: &[DeadLetter]) -> String {
    let mut table = Table::new(["id", "at", "tenant", "call", "kind", "problem"]);
    for it in letters {
        table.row([
            it.id.to_string(),
            it.created_at.format("%F %T").to_string(),
            it.tenant_id.to_string(),
            it.call_id.to_string(),
            it.kind.clone(),
            it.problem.clone(),
        ]);
    }
    table.to_string()
}
