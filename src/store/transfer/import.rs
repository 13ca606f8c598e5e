//! Importing a tenant's document into a database: all of it or nothing.
//!
//! Every value is read into the type that reads it later, so that a document with values which the program could not
//! read is refused with their place.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::call_tables::CALLS;
use super::tables::{Kind, OWNED, Table};
use super::{TIMEOUT, TenantFile, cell};
use crate::sealing::{Keyring, Owner};
use crate::store::audit::Change;
use crate::store::number_rules::Authority;
use crate::store::statement::{Statement, Value, composed, sql};
use crate::store::tx::{Access, AllTenants, RowScope, Tx};
use crate::store::{NumberRefusal, Store, StoreError};
use crate::tenancy::{Actor, Did, LONGEST_TENANT_NAME, Numbering, Tenant, TenantId, check_name};
use crate::violation::Violation;

/// How a document is imported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportSettings {
    /// Everything gets a new id, so that it can stand beside the tenant that it was taken from.
    pub new_ids: bool,
    /// Leave numbers out, and with them the calls, which refer to them: a number belongs to one tenant only.
    pub without_numbers: bool,
    /// Write everything, and roll it back.
    pub dry_run: bool,
}

/// The imported data; or the conflicts, and then nothing was imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    pub tenant_id: TenantId,
    pub tenant_name: String,
    pub written: bool,
    /// How many rows, by table.
    pub rows: BTreeMap<&'static str, usize>,
    /// Conflicts that prevent the import.
    pub conflicts: Vec<String>,
    /// The new secrets of webhooks, pre-call webhooks included.
    pub webhooks: Vec<WebhookSecret>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookSecret {
    pub webhook_id: Uuid,
    pub url: String,
    pub secret: String,
}

/// The row of a document, ready to be written.
struct Insertion {
    /// Where it is in the document.
    place: String,
    statement: Statement,
}

impl Store {
    /// Imports a tenant in one transaction.
    ///
    /// # Errors
    /// `Invalid`, with the place, when a value cannot be read or breaks a rule of the data.
    pub async fn import_tenant(
        &self,
        actor: &Actor,
        file: &TenantFile,
        settings: ImportSettings,
    ) -> Result<Imported, StoreError> {
        let store = self.with_timeout(TIMEOUT);
        let Plan { mut imported, insertions, dids, has_terms, .. } =
            Plan::new(file, settings, self.sealing.clone())?;
        let mut tx = AllTenants(&store).begin(Access::Write).await?;
        tx.lock_numbers().await?;
        imported.conflicts = tx.import_conflicts(&self.numbering, imported.tenant_id, &dids).await?;
        if !imported.conflicts.is_empty() {
            return Ok(imported);
        }
        tx.import_tenant(&file.tenant, imported.tenant_id, settings.new_ids).await?;
        if has_terms {
            // The database has begun a history of its own with the row.
            let begun = sql("DELETE FROM tenant_terms WHERE tenant_id = $1").bind(imported.tenant_id.0);
            tx.execute(begun).await?;
        }
        for Insertion { place, statement } in insertions {
            tx.execute(statement).await.map_err(|error| placed(error, &place))?;
        }
        for did in &dids {
            tx.assign(actor, did, imported.tenant_id).await?;
        }
        let change = Change::new(actor, imported.tenant_id, "import", "tenant", imported.tenant_id);
        tx.audit(change.after(&imported.rows)).await?;
        if settings.dry_run {
            // Dropping the transaction rolls it back.
            return Ok(imported);
        }
        tx.commit().await?;
        Ok(Imported { written: true, ..imported })
    }
}

/// Two numbers of one document that callers could not tell apart.
fn collision_within(numbering: &Numbering, dids: &[Did]) -> Option<String> {
    let mut pairs =
        dids.iter().enumerate().flat_map(|(at, did)| dids[at + 1..].iter().map(move |it| (did, it)));
    let (did, other) = pairs.find(|(did, other)| numbering.collide(did, other))?;
    Some(NumberRefusal::Collides { did: did.clone(), other: Some(other.clone()) }.to_string())
}

impl Tx {
    /// The rows of other tenants that rule the import out: the same tenant, and numbers that are in use or that callers could
    /// not tell from numbers in use. None can be added before the transaction ends, because the numbers are locked.
    async fn import_conflicts(
        &mut self,
        numbering: &Numbering,
        tenant: TenantId,
        dids: &[Did],
    ) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        match self.tenant(tenant).await {
            Ok(tenant) => found.push(format!(
                "a tenant with the id {} exists: {:?}; import with new ids to keep both",
                tenant.id, tenant.name
            )),
            Err(StoreError::NotFound) => {}
            Err(error) => return Err(error),
        }
        for did in dids {
            if let Some(holder) = self.holder(did).await? {
                found.push(format!("the number {did} belongs to {:?}", self.tenant(holder).await?.name));
            }
            match self.check_collisions(numbering, did, Authority::Operator).await {
                Err(StoreError::Number(refusal)) => found.push(refusal.to_string()),
                outcome => outcome?,
            }
        }
        if numbering.default_region.is_some() {
            found.extend(collision_within(numbering, dids));
        }
        Ok(found)
    }

    async fn import_tenant(
        &mut self,
        tenant: &Tenant,
        id: TenantId,
        is_copy: bool,
    ) -> Result<(), StoreError> {
        const TENANT: &str = "INSERT INTO tenants (id, name, status, plan, max_concurrent_calls, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6)";
        let problem = |problem| StoreError::invalid(format_args!("tenant.{problem}"));
        if let Some(Violation { problem: reason, .. }) = check_name("name", &tenant.name, LONGEST_TENANT_NAME)
        {
            return Err(problem(format!("name: {reason}")));
        }
        let created_at = cell::from_json(Kind::Moment, &json!(tenant.created_at))
            .map_err(|error| problem(format!("created_at: {error}")))?;
        let insert = sql(TENANT)
            .bind(id.0)
            .bind(tenant.name.as_str())
            .bind(tenant.status.as_str())
            .bind(tenant.plan.as_str())
            .bind(tenant.max_concurrent_calls.map(i64::from))
            // A copy is a new tenant: the months before it belong to the other one.
            .bind(if is_copy { Value::from(Utc::now()) } else { created_at });
        self.execute(insert).await.map(drop).map_err(|error| placed(error, "tenant"))
    }
}

/// Says where in the document the value is that the database refuses.
fn placed(error: StoreError, place: &str) -> StoreError {
    match error {
        StoreError::Invalid { what } => StoreError::invalid(format_args!("{place}: {what}")),
        StoreError::Conflict { .. } => {
            StoreError::invalid(format_args!("{place}: there is such a row already"))
        }
        other => other,
    }
}

/// All rows to write, checked as far as possible without the database.
struct Plan {
    imported: Imported,
    insertions: Vec<Insertion>,
    /// The numbers that are in use.
    dids: Vec<Did>,
    /// New ids by old ones; empty when ids stay.
    ids: HashMap<Uuid, Uuid>,
    /// The document has the history of the tenant's plan.
    has_terms: bool,
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
        let mut plan = Plan {
            imported,
            insertions: Vec::new(),
            dids: Vec::new(),
            ids: HashMap::new(),
            has_terms: false,
            sealing,
        };
        let stays = |table: &Table| {
            (settings.without_numbers && table.is_of_calls()) || (settings.new_ids && table.is_of_billing())
        };
        for table in OWNED.iter().chain(&CALLS).filter(|table| !stays(table)) {
            let rows = file.tables.get(table.name).map(Vec::as_slice).unwrap_or_default();
            let travels = |row: &&Map<String, Json>| !settings.without_numbers || !table.is_of_number(row);
            let rows: Vec<(usize, &Map<String, Json>)> =
                rows.iter().enumerate().filter(|(_, row)| travels(row)).collect();
            plan.add_rows(table, &rows, settings.new_ids)?;
        }
        Ok(plan)
    }

    fn add_rows(
        &mut self,
        table: &Table,
        rows: &[(usize, &Map<String, Json>)],
        new_ids: bool,
    ) -> Result<(), StoreError> {
        if new_ids {
            self.rename(rows);
        }
        for (at, row) in rows {
            let place = format!("tables.{}[{at}]", table.name);
            let fault = |problem: String| StoreError::invalid(format_args!("{place}.{problem}"));
            let statement = self.insertion(table, row).map_err(fault)?;
            self.insertions.push(Insertion { place, statement });
        }
        if !rows.is_empty() {
            self.imported.rows.insert(table.name, rows.len());
            self.has_terms |= table.name == "tenant_terms";
        }
        Ok(())
    }

    /// Finds a new id for each row that has one.
    fn rename(&mut self, rows: &[(usize, &Map<String, Json>)]) {
        let ids = rows.iter().filter_map(|(_, row)| row.get("id")?.as_str()?.parse::<Uuid>().ok());
        self.ids.extend(ids.map(|id| (id, Uuid::now_v7())));
    }

    fn insertion(&mut self, table: &Table, row: &Map<String, Json>) -> Result<Statement, String> {
        table.check(row)?;
        let mut cells = vec![("tenant_id", Value::from(self.imported.tenant_id.0))];
        for (column, json) in row {
            let (name, kind) =
                table.column(column).ok_or_else(|| format!("{column}: there is no such column"))?;
            let json = if matches!(kind, Kind::Json(_)) { &self.renamed_within(json) } else { json };
            let value = cell::from_json(kind, json).map_err(|problem| format!("{column}: {problem}"))?;
            cells.push((name, self.renamed(value)));
        }
        if table.name == "phone_numbers" {
            self.note_number(row, &mut cells);
        }
        if table.has_secret() {
            let sealed = self.new_secret(table, &cells)?;
            cells.push(("secret", Value::from(sealed)));
        }
        Ok(insert(table, cells))
    }

    fn renamed(&self, value: Value) -> Value {
        match value {
            Value::Id(Some(id)) => Value::from(self.ids.get(&id).copied().unwrap_or(id)),
            other => other,
        }
    }

    /// A document with new ids in place of the old ones, such as those of profiles in `agent_changes`.
    fn renamed_within(&self, json: &Json) -> Json {
        match json {
            Json::String(text) => {
                let new = text.parse::<Uuid>().ok().and_then(|id| self.ids.get(&id));
                new.map_or_else(|| json.clone(), |id| json!(id))
            }
            Json::Array(items) => items.iter().map(|item| self.renamed_within(item)).collect(),
            Json::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), self.renamed_within(value))).collect()
            }
            other => other.clone(),
        }
    }

    /// A number is stored as digits, in any form in the document. It must not be in use by another tenant.
    fn note_number(&mut self, row: &Map<String, Json>, cells: &mut [(&str, Value)]) {
        let did = row.get("did").and_then(|did| did.as_str()?.parse::<Did>().ok());
        let (Some(did), Some((_, cell))) = (did, cells.iter_mut().find(|(name, _)| *name == "did")) else {
            return;
        };
        *cell = Value::from(did.digits());
        if row.get("deleted_at").is_none_or(Json::is_null) {
            self.dids.push(did);
        }
    }

    /// A new secret for a webhook, which is shown once. Returns the text to store.
    fn new_secret(&mut self, table: &Table, cells: &[(&str, Value)]) -> Result<String, String> {
        let cell = |name: &str| cells.iter().find(|(column, _)| *column == name).map(|(_, value)| value);
        let (Some(Value::Id(Some(webhook_id))), Some(Value::Text(Some(url)))) = (cell("id"), cell("url"))
        else {
            return Err("id and url: a webhook has both".to_owned());
        };
        let (webhook_id, url, secret) = (*webhook_id, url.clone(), new_secret()?);
        let owner = match table.name {
            "pre_call_webhooks" => Owner::pre_call_webhook(self.imported.tenant_id.0, webhook_id),
            _ => Owner::webhook(self.imported.tenant_id.0, webhook_id),
        };
        let sealed = self.sealing.seal(&SecretString::from(secret.as_str()), &owner);
        self.imported.webhooks.push(WebhookSecret { webhook_id, url, secret });
        sealed.map_err(|error| format!("secret: {error}"))
    }
}

/// The names of columns are those of the lists in `tables`: a document's own were compared with them.
fn insert(table: &Table, cells: Vec<(&str, Value)>) -> Statement {
    let columns: Vec<&str> = cells.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=cells.len()).map(|at| format!("${at}")).collect();
    let (columns, places) = (columns.join(", "), places.join(", "));
    composed(format!("INSERT INTO {} ({columns}) VALUES ({places})", table.name))
        .bind_all(cells.into_iter().map(|(_, value)| value))
}

/// As Standard Webhooks writes it: `whsec_` and base64 of 24 to 64 bytes.
fn new_secret() -> Result<String, String> {
    let mut random = [0; 32];
    OsRng.try_fill_bytes(&mut random).map_err(|error| format!("secret: no randomness: {error}"))?;
    Ok(format!("whsec_{}", STANDARD.encode(random)))
}
