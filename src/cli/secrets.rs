//! `vca secrets`

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::table::Table;
use crate::store::{Resealing, Store};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Seal the secrets in the database with seal.key: those in clear, and those sealed with a former key.
    Reseal {
        /// Count only, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Command {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let Command::Reseal { dry_run } = self;
        let done = store.reseal(dry_run).await?;
        output.print(&done, || text(&done, dry_run))?;
        if done.unopened.is_empty() { Ok(()) } else { Err(Failure::said()) }
    }
}

fn text(Resealing { secrets, resealed, unopened }: &Resealing, dry_run: bool) -> String {
    let verb = if dry_run { "would be" } else { "were" };
    let mut text = format!("{secrets} secrets; {resealed} {verb} sealed with seal.key");
    if !unopened.is_empty() {
        let mut table = Table::new(["tenant", "secret of", "id", "problem"]);
        for it in unopened {
            table.row([it.tenant_id.to_string(), it.kind.to_owned(), it.id.to_string(), it.problem.clone()]);
        }
        let remedy = "add the key to seal.former_keys (VCA_SEAL_FORMER_KEYS), or set a new secret with \
            `vca webhook rotate-secret` or `vca tool replace-secret`";
        text += &format!("\n\n{} cannot be opened: {remedy}\n\n{table}", unopened.len());
    }
    text
}
