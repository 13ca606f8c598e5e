//! Putting a tenant's document into a database: all of it or nothing.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::TenantFile;
use super::cell::{Cell, bind_cells};
use super::tables::{CALLS, Kind, OWNED, Table};
use crate::billing::Statement;
use crate::sealing::{Keyring, Owner};
use crate::store::audit::{Change, audit};
use crate::store::pool::{Everywhere, transact};
use crate::store::{Store, StoreError, kept};
use crate::tenancy::{Actor, Did, ProfileSettings, TenantId};

/// How a document is put in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportSettings {
    /// Everything gets a new id, so that it can stand beside the tenant that it was taken from.
    pub new_ids: bool,
    /// Numbers stay behind, and with them the calls, which refer to them: a number can be one tenant's only.
    pub without_numbers: bool,
    /// Go all the way, and then undo it.
    pub dry_run: bool,
}

/// What was put in, or would be; or what is in the way, and then nothing was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    pub tenant_id: TenantId,
    pub tenant_name: String,
    pub written: bool,
    /// How many rows, by table.
    pub rows: BTreeMap<&'static str, usize>,
    /// What is in the way.
    pub conflicts: Vec<String>,
    /// The new secrets of webhooks.
    pub webhooks: Vec<WebhookSecret>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookSecret {
    pub webhook_id: Uuid,
    pub url: String,
    pub secret: String,
}

/// A statement and the cells of one row.
struct Insertion {
    sql: String,
    cells: Vec<Cell>,
}

impl Store {
    /// Puts a tenant in, in one transaction.
    ///
    /// # Errors
    /// `Invalid` when the document breaks a rule of the data; `Conflict` when somebody else came between.
    pub async fn import_tenant(
        &self,
        actor: &Actor,
        file: &TenantFile,
        settings: ImportSettings,
    ) -> Result<Imported, StoreError> {
        let mut plan = Plan::new(file, settings, self.sealing.clone())?;
        let patient = self.patient();
        plan.imported.conflicts = patient.in_the_way(&plan).await?;
        if !plan.imported.conflicts.is_empty() {
            return Ok(plan.imported);
        }
        let (tenant, imported) = (&file.tenant, &plan.imported);
        const TENANT: &str = "INSERT INTO tenants (id, name, status, plan, max_concurrent_calls, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6)";
        // A copy is a new tenant: what was before it is the other's.
        let created_at = if settings.new_ids { Utc::now() } else { tenant.created_at };
        let mut went_all_the_way = false;
        let done: Result<(), StoreError> = transact!(Everywhere(&patient), tx => {
            sqlx::query(TENANT)
                .bind(imported.tenant_id.0)
                .bind(tenant.name.as_str())
                .bind(tenant.status.word())
                .bind(tenant.plan.word())
                .bind(tenant.max_concurrent_calls.map(i64::from))
                .bind(kept(created_at))
                .execute(&mut *tx)
                .await?;
            for Insertion { sql, cells } in &plan.insertions {
                let query = sqlx::query(AssertSqlSafe(sql.as_str()));
                bind_cells!(query, cells).execute(&mut *tx).await?;
            }
            let change = Change::new(actor, imported.tenant_id, "import", "tenant", imported.tenant_id);
            audit!(tx, change.after(&imported.rows));
            if settings.dry_run {
                went_all_the_way = true;
                // Whatever fails here undoes the transaction.
                Err(sqlx::Error::RowNotFound)?;
            }
        });
        if !went_all_the_way {
            done?;
        }
        Ok(Imported { written: !settings.dry_run, ..plan.imported })
    }

    /// What is there already that can be there once.
    async fn in_the_way(&self, plan: &Plan) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        match self.tenant(plan.imported.tenant_id).await {
            Ok(tenant) => found.push(format!(
                "a tenant with the id {} is there already: {:?}; new ids would let both stand",
                tenant.id, tenant.name
            )),
            Err(StoreError::NotFound) => {}
            Err(error) => return Err(error),
        }
        for did in &plan.dids {
            if let Some(route) = self.route(did).await? {
                found.push(format!("the number {did} is {:?}'s", route.tenant.name));
            }
        }
        Ok(found)
    }
}

/// All that is going to be written, examined as far as that goes without the database.
struct Plan {
    imported: Imported,
    insertions: Vec<Insertion>,
    /// The numbers that are in use.
    dids: Vec<Did>,
    /// New ids by old ones; empty when ids stay.
    ids: HashMap<Uuid, Uuid>,
    /// Seals the new secrets of webhooks.
    sealing: Keyring,
}

impl Plan {
    fn new(file: &TenantFile, settings: ImportSettings, sealing: Keyring) -> Result<Plan, StoreError> {
        if let Some(name) = file.tables.keys().find(|name| Table::named(name).is_none()) {
            return Err(StoreError::invalid(format_args!("tables.{name}: there is no such table")));
        }
        let id = if settings.new_ids { TenantId::new() } else { file.tenant.id };
        let imported =
            Imported { tenant_id: id, tenant_name: file.tenant.name.clone(), ..Imported::default() };
        let mut plan =
            Plan { imported, insertions: Vec::new(), dids: Vec::new(), ids: HashMap::new(), sealing };
        let stays = |table: &Table| {
            (settings.without_numbers && (table.name == "phone_numbers" || table.is_of_calls()))
                || (settings.new_ids && table.name == "statements")
        };
        for table in OWNED.iter().chain(&CALLS).filter(|table| !stays(table)) {
            let rows = file.tables.get(table.name).map(Vec::as_slice).unwrap_or_default();
            if settings.new_ids {
                plan.rename(rows);
            }
            for (at, row) in rows.iter().enumerate() {
                let place = |problem: String| {
                    StoreError::invalid(format_args!("tables.{}[{at}].{problem}", table.name))
                };
                plan.add(table, row).map_err(place)?;
            }
            if !rows.is_empty() {
                plan.imported.rows.insert(table.name, rows.len());
            }
        }
        Ok(plan)
    }

    /// Finds a new id for each row that has one.
    fn rename(&mut self, rows: &[Map<String, Value>]) {
        let ids = rows.iter().filter_map(|row| row.get("id")?.as_str()?.parse::<Uuid>().ok());
        self.ids.extend(ids.map(|id| (id, Uuid::now_v7())));
    }

    fn add(&mut self, table: &Table, row: &Map<String, Value>) -> Result<(), String> {
        let mut columns = vec!["tenant_id"];
        let mut cells = vec![Cell::Id(Some(self.imported.tenant_id.0))];
        for (column, value) in row {
            let kind = table.kind(column).filter(|kind| *kind != Kind::Secret);
            let kind = kind.ok_or_else(|| format!("{column}: there is no such column"))?;
            check(table, column, value).map_err(|problem| format!("{column}: {problem}"))?;
            let cell = Cell::of_json(kind, value).ok_or_else(|| format!("{column}: this does not fit"))?;
            columns.push(column);
            cells.push(match number(table, column, value) {
                Some(did) => Cell::Text(Some(did.digits().to_owned())),
                None => self.renamed(cell),
            });
        }
        if row.get("deleted_at").is_none_or(Value::is_null) {
            self.dids.extend(row.get("did").and_then(|value| number(table, "did", value)));
        }
        if table.kind("secret") == Some(Kind::Secret) {
            columns.push("secret");
            cells.push(Cell::Text(Some(self.new_secret(&cells, &columns)?)));
        }
        let places: Vec<String> = (1..=columns.len()).map(|at| format!("${at}")).collect();
        // The names are those of the lists in `tables`: a document's own were compared with them.
        let sql =
            format!("INSERT INTO {} ({}) VALUES ({})", table.name, columns.join(", "), places.join(", "));
        self.insertions.push(Insertion { sql, cells });
        Ok(())
    }

    fn renamed(&self, cell: Cell) -> Cell {
        match cell {
            Cell::Id(Some(id)) => Cell::Id(Some(self.ids.get(&id).copied().unwrap_or(id))),
            other => other,
        }
    }

    /// A webhook's new secret, as Standard Webhooks writes it: `whsec_` and base64 of 24 to 64 bytes. Returns the text
    /// to store.
    fn new_secret(&mut self, cells: &[Cell], columns: &[&str]) -> Result<String, String> {
        let mut random = [0; 32];
        OsRng.try_fill_bytes(&mut random).map_err(|error| format!("secret: no randomness: {error}"))?;
        let secret = format!("whsec_{}", STANDARD.encode(random));
        let cell =
            |name: &str| columns.iter().position(|column| *column == name).and_then(|at| cells.get(at));
        if let (Some(Cell::Id(Some(webhook_id))), Some(Cell::Text(Some(url)))) = (cell("id"), cell("url")) {
            let (webhook_id, url) = (*webhook_id, url.clone());
            let owner = Owner::webhook(self.imported.tenant_id.0, webhook_id);
            let sealed = self.sealing.seal(&SecretString::from(secret.as_str()), &owner);
            self.imported.webhooks.push(WebhookSecret { webhook_id, url, secret });
            return sealed.map_err(|error| format!("secret: {error}"));
        }
        Err("id and url: a webhook has both".to_owned())
    }
}

/// What the database would take, and this program could not read.
fn check(table: &Table, column: &str, value: &Value) -> Result<(), String> {
    match (table.name, column) {
        ("ai_profiles" | "ai_profile_versions", "settings") => {
            serde_json::from_value::<ProfileSettings>(value.clone())
                .map(drop)
                .map_err(|error| error.to_string())
        }
        ("statements", "statement") => {
            serde_json::from_value::<Statement>(value.clone()).map(drop).map_err(|error| error.to_string())
        }
        ("phone_numbers", "did") => {
            number(table, column, value).map(drop).ok_or_else(|| "this is no number".to_owned())
        }
        _ => Ok(()),
    }
}

/// The number of a row, in whichever way it is written.
fn number(table: &Table, column: &str, value: &Value) -> Option<Did> {
    (table.name == "phone_numbers" && column == "did").then(|| value.as_str()?.parse().ok()).flatten()
}
