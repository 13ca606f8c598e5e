//! A tenant as one document: taken out of one database, put into another or into the same.
//!
//! Rows travel as they are, by the lists in `tables`; a document of an older program lacks columns, and those take
//! the database's defaults. Secrets stay behind: keys are not taken along, and webhooks get new ones.

mod cell;
mod import;
mod tables;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;

use super::pool::read;
use super::{Scope, Store, StoreError, now};
use crate::tenancy::Tenant;
use cell::read_cells;
pub use import::{ImportSettings, Imported, WebhookSecret};
use tables::{CALLS, OWNED, Table};
#[cfg(test)]
pub use tables::{is_known, lists};

const FORMAT: &str = "vca-tenant";
const VERSION: u32 = 1;
/// A tenant with years of calls takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

/// A tenant and what is its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantFile {
    /// Always `vca-tenant`.
    pub format: String,
    /// It goes up when a document can no longer be read by an older program.
    pub version: u32,
    /// Which program made it.
    pub program: String,
    pub exported_at: DateTime<Utc>,
    pub tenant: Tenant,
    /// Rows by table: `phone_numbers`, `ai_profiles` and so on.
    pub tables: BTreeMap<String, Vec<Map<String, Value>>>,
}

impl TenantFile {
    /// # Errors
    /// `Invalid`, with the place, for what is no such document or one of a newer program.
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
    /// The tenant as a document, with or without its calls, as it is at one moment. Calls that last stay behind:
    /// whoever has them will still write of them.
    ///
    /// # Errors
    /// `NotFound` when the tenant is not there.
    pub async fn export(&self, with_calls: bool) -> Result<TenantFile, StoreError> {
        let patient = self.patient();
        let tenant = patient.store.tenant(self.tenant).await?;
        let wanted: Vec<(&Table, String)> = OWNED
            .iter()
            .chain(CALLS.iter().filter(|_| with_calls))
            .map(|table| (table, table.select()))
            .collect();
        let tables = read!(&patient, tx => {
            let mut tables = BTreeMap::new();
            for (table, sql) in &wanted {
                let rows = sqlx::query(AssertSqlSafe(sql.as_str())).bind(self.tenant.0).fetch_all(&mut *tx).await?;
                let rows: Result<Vec<Map<String, Value>>, sqlx::Error> =
                    rows.iter().map(|row| read_cells!(row, table)).collect();
                tables.insert(table.name.to_owned(), rows?);
            }
            tables
        })?;
        Ok(TenantFile {
            format: FORMAT.to_owned(),
            version: VERSION,
            program: format!("vca {}", env!("CARGO_PKG_VERSION")),
            exported_at: now(),
            tenant,
            tables,
        })
    }

    fn patient(&self) -> Scope {
        Scope { store: self.store.patient(), tenant: self.tenant }
    }
}

impl Store {
    fn patient(&self) -> Store {
        Store { timeout: PATIENCE.max(self.timeout), ..self.clone() }
    }
}
