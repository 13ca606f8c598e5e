//! A tenant as one document: exported from one database, imported into another or the same.
//!
//! Rows travel as they are, by the lists in `tables`; columns that a document of an older program lacks take the
//! database's defaults. Secrets stay behind: API keys are not exported, and webhooks get new secrets.

mod call_tables;
mod cell;
mod import;
mod tables;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::audit::Change;
use super::statement::composed;
use super::tx::{Access, AnyRow, RowScope};
use super::{Scope, Store, StoreError, now};
use crate::tenancy::{Actor, Tenant};
use call_tables::CALLS;
pub use import::{ImportSettings, Imported, WebhookSecret};
use tables::{OWNED, Table};
#[cfg(test)]
pub use tables::{is_known, lists};

const FORMAT: &str = "vca-tenant";
const VERSION: u32 = 1;
/// The time limit of an export or import: a tenant may have years of calls.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A tenant and its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantFile {
    /// Always `vca-tenant`.
    pub format: String,
    /// Goes up when an older program can no longer read the document.
    pub version: u32,
    /// The program that wrote it.
    pub program: String,
    pub exported_at: DateTime<Utc>,
    pub tenant: Tenant,
    /// Rows by table: `phone_numbers`, `ai_profiles` and so on.
    pub tables: BTreeMap<String, Vec<Map<String, Value>>>,
}

impl TenantFile {
    /// # Errors
    /// `Invalid`, with the place, for a text that is no such document or one of a newer program.
    pub fn parse(text: &str) -> Result<TenantFile, StoreError> {
        let document: Value = serde_json::from_str(text)
            .map_err(|error| StoreError::invalid(format_args!("this is no JSON: {error}")))?;
        if document["format"] != FORMAT {
            return Err(StoreError::invalid("this is no exported tenant: `vca tenant export` makes one"));
        }
        if document["version"].as_u64() != Some(VERSION.into()) {
            let version = &document["version"];
            return Err(StoreError::invalid(format_args!(
                "this document has format version {version}, and this program reads {VERSION}: use the program that made it"
            )));
        }
        serde_json::from_value(document).map_err(StoreError::invalid)
    }
}

impl Scope {
    /// The tenant as a document, with or without its calls, as of one moment. calls in progress stay behind: their
    /// daemon will still write their records. The audit log says who exported it, before anything is read.
    ///
    /// # Errors
    /// `NotFound` when the tenant does not exist.
    pub async fn export(&self, actor: &Actor, with_calls: bool) -> Result<TenantFile, StoreError> {
        let scope = Scope { store: self.store.with_timeout(TIMEOUT), tenant: self.tenant };
        let tenant = scope.store.tenant(self.tenant).await?;
        let mut tx = scope.begin(Access::Write).await?;
        let change = Change::new(actor, self.tenant, "export", "tenant", self.tenant);
        tx.audit(change.after(&serde_json::json!({ "with_calls": with_calls }))).await?;
        tx.commit().await?;
        let mut tx = scope.begin(Access::Snapshot).await?;
        let mut tables = BTreeMap::new();
        for table in OWNED.iter().chain(CALLS.iter().filter(|_| with_calls)) {
            let rows = tx.any(composed(table.select()).bind(self.tenant.0)).await?;
            let rows: Result<Vec<_>, StoreError> = rows.iter().map(|row| object(table, row)).collect();
            tables.insert(table.name.to_owned(), rows?);
        }
        tx.commit().await?;
        Ok(TenantFile {
            format: FORMAT.to_owned(),
            version: VERSION,
            program: format!("vca {}", env!("CARGO_PKG_VERSION")),
            exported_at: now(),
            tenant,
            tables,
        })
    }
}

/// A row as a JSON object.
fn object(table: &Table, row: &AnyRow) -> Result<Map<String, Value>, StoreError> {
    let columns = table.travelling().enumerate();
    columns.map(|(at, (name, kind))| Ok((name.to_owned(), cell::to_json(kind, row, at)?))).collect()
}

impl Store {
    /// The store with a time limit of at least so much.
    pub(super) fn with_timeout(&self, timeout: Duration) -> Store {
        Store { timeout: timeout.max(self.timeout), ..self.clone() }
    }
}
