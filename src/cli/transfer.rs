//! `vca tenant export` and `vca tenant import`

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::failure::Failure;
use super::output::Output;
use super::table::Sheet;
use super::{actor, tenant};
use crate::store::{ImportSettings, Imported, Store, TenantFile};

#[derive(Debug, Args)]
pub struct Export {
    /// Id, or name if only one has it.
    tenant: String,
    /// With its history: calls, transcripts, feedback and usage. A tenant that moves to another database needs it, for
    /// what it used this month is billed by it. The audit log records the export.
    #[arg(long, visible_alias = "history")]
    calls: bool,
}

#[derive(Debug, Args)]
pub struct ImportTenant {
    /// A file of `vca tenant export`; `-` for standard input.
    file: PathBuf,
    /// Show what would be imported, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Give everything a new id, so that it can stand beside the tenant that it was taken from.
    #[arg(long)]
    new_ids: bool,
    /// Leave numbers and calls behind: a number can be one tenant's only.
    #[arg(long)]
    without_numbers: bool,
}

impl Export {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let id = tenant::find(store, &self.tenant).await?.id;
        let file = store.scope(id).export(&actor(), self.calls).await?;
        let text = serde_json::to_string_pretty(&file).map_err(anyhow::Error::from)?;
        output.print(&file, || text)
    }
}

impl ImportTenant {
    pub async fn run(self, store: &Store, output: &mut Output<'_>) -> Result<(), Failure> {
        let file = TenantFile::parse(&self.text()?)?;
        let ImportTenant { dry_run, new_ids, without_numbers, .. } = self;
        let settings = ImportSettings { new_ids, without_numbers, dry_run };
        let imported = store.import_tenant(&actor(), &file, settings).await?;
        if !imported.conflicts.is_empty() {
            let listed = imported.conflicts.join("\n  ");
            return Err(Failure::conflict(format!("nothing was written:\n  {listed}")));
        }
        output.print(&imported, || summary(&imported))
    }

    fn text(&self) -> Result<String, Failure> {
        let mut text = String::new();
        let read = if self.file.as_os_str() == "-" {
            std::io::stdin().read_to_string(&mut text)
        } else {
            std::fs::File::open(&self.file).and_then(|mut file| file.read_to_string(&mut text))
        };
        read.with_context(|| format!("{} cannot be read", self.file.display()))?;
        Ok(text)
    }
}

fn summary(imported: &Imported) -> String {
    let mut sheet = Sheet::new().line("tenant", &imported.tenant_name).line("id", imported.tenant_id);
    for (table, rows) in &imported.rows {
        sheet = sheet.line(&table.replace('_', " "), rows);
    }
    if imported.written {
        for webhook in &imported.webhooks {
            sheet = sheet.line("new secret", format_args!("{} for {}", webhook.secret, webhook.url));
        }
    }
    let end = if imported.written {
        "Imported."
    } else {
        "A dry run: all of it can be imported, and nothing was changed."
    };
    format!("{sheet}{end}")
}
