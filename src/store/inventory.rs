//! The operator's numbers: which tenant may take which. A number that a tenant has is assigned to it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::audit::Change;
use super::number_rules::NumberRefusal;
use super::statement::{Statement, composed, sql};
use super::tx::{Access, AllTenants, RowScope, Tx};
use super::{Duplicate, Page, Scope, Store, StoreError, Window, now};
use crate::tenancy::{
    Actor, AvailableNumber, Did, InventoryNumber, InventoryNumberId, NumberId, NumberSource, TenantId,
};

/// A number to enter into the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInventoryNumber {
    pub did: Did,
    /// The tenant that may take it.
    pub tenant: Option<TenantId>,
    pub source: NumberSource,
    pub note: Option<String>,
}

/// A change of an entry. A field that is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InventoryChanges {
    pub tenant: Option<Option<TenantId>>,
    pub note: Option<Option<String>>,
}

/// Which entries to list. A field that is absent does not filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InventoryFilter {
    pub tenant: Option<TenantId>,
    pub is_assigned: Option<bool>,
    pub source: Option<NumberSource>,
}

/// The outcome of [`Store::put_inventory_number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PutOutcome {
    Added,
    Changed,
    Unchanged,
}

const SELECT: &str = "SELECT i.id, i.did, i.tenant_id, i.source, i.note, i.created_at, p.id AS phone_number_id \
    FROM number_inventory i LEFT JOIN phone_numbers p ON p.did = i.did AND p.deleted_at IS NULL";

const INSERT: &str = "INSERT INTO number_inventory (id, did, tenant_id, source, note, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6)";

const ASSIGN: &str = "UPDATE number_inventory SET tenant_id = $2 WHERE id = $1";

impl Store {
    /// Enters a number. One that a tenant has already is assigned to that tenant.
    ///
    /// # Errors
    /// `Conflict` when it is there already, `Number` when a tenant has it other than the one it is to be assigned to,
    /// `NotFound` when there is no such tenant, `Refused` (`tenant_deleted`) when the tenant is deleted.
    pub async fn add_inventory_number(
        &self,
        actor: &Actor,
        new: NewInventoryNumber,
    ) -> Result<InventoryNumber, StoreError> {
        let mut tx = self.begin_on_inventory(new.tenant).await?;
        let entry = tx.enter(actor, new).await?;
        tx.commit().await?;
        entry.try_into()
    }

    /// Enters a number, or assigns one that is there already to the tenant that is named. A dry run rolls it back.
    ///
    /// # Errors
    /// As of [`Store::add_inventory_number`], without `Conflict`.
    pub async fn put_inventory_number(
        &self,
        actor: &Actor,
        new: NewInventoryNumber,
        dry_run: bool,
    ) -> Result<PutOutcome, StoreError> {
        let mut tx = self.begin_on_inventory(new.tenant).await?;
        let put = match tx.inventory_number(&new.did).await? {
            None => {
                tx.enter(actor, new).await?;
                PutOutcome::Added
            }
            Some(entry) if new.tenant.is_none_or(|tenant| entry.is_of(tenant)) => PutOutcome::Unchanged,
            Some(entry) => {
                let changes = InventoryChanges { tenant: Some(new.tenant), note: None };
                tx.change_entry(actor, entry, changes).await?;
                PutOutcome::Changed
            }
        };
        if !dry_run {
            tx.commit().await?;
        }
        Ok(put)
    }

    /// A page of the inventory, oldest first.
    pub async fn inventory(
        &self,
        filter: InventoryFilter,
        window: Window,
    ) -> Result<Page<InventoryNumber>, StoreError> {
        let list = composed(format!(
            "{SELECT} WHERE i.id > $1 AND (i.tenant_id = $2 OR $2 IS NULL) \
             AND ((i.tenant_id IS NOT NULL) = $3 OR $3 IS NULL) AND (i.source = $4 OR $4 IS NULL) \
             ORDER BY i.id LIMIT $5"
        ));
        let list = list
            .bind(window.above())
            .bind(filter.tenant.map(|tenant| tenant.0))
            .bind(filter.is_assigned)
            .bind(filter.source.map(NumberSource::as_str))
            .bind(window.rows());
        let rows = AllTenants(self).all::<Row>(list).await?;
        let entries: Result<Vec<InventoryNumber>, StoreError> =
            rows.into_iter().map(InventoryNumber::try_from).collect();
        Ok(window.page(entries?, |entry| entry.id.0))
    }

    /// # Errors
    /// `NotFound` when there is no such entry.
    pub async fn inventory_number(&self, id: InventoryNumberId) -> Result<InventoryNumber, StoreError> {
        AllTenants(self).one::<Row>(by_id(id)).await?.try_into()
    }

    /// The entry of a number.
    ///
    /// # Errors
    /// `NotFound` when the number is not in the inventory.
    pub async fn inventory_number_of(&self, did: &Did) -> Result<InventoryNumber, StoreError> {
        AllTenants(self).one::<Row>(by_did(did)).await?.try_into()
    }

    /// Assigns an entry to another tenant or to none, or changes its note.
    ///
    /// # Errors
    /// `NotFound` when there is no such entry or no such tenant, `Number` when another tenant has the number, `Refused`
    /// (`tenant_deleted`) when the tenant is deleted.
    pub async fn update_inventory_number(
        &self,
        actor: &Actor,
        id: InventoryNumberId,
        changes: InventoryChanges,
    ) -> Result<InventoryNumber, StoreError> {
        let mut tx = self.begin_on_inventory(changes.tenant.flatten()).await?;
        let before = tx.one::<Row>(by_id(id)).await?;
        let after = tx.change_entry(actor, before, changes).await?;
        tx.commit().await?;
        after.try_into()
    }

    /// Removes an entry and returns it.
    ///
    /// # Errors
    /// `NotFound` when there is no such entry, `Number` when a tenant has the number.
    pub async fn remove_inventory_number(
        &self,
        actor: &Actor,
        id: InventoryNumberId,
    ) -> Result<InventoryNumber, StoreError> {
        const SQL: &str = "DELETE FROM number_inventory WHERE id = $1";
        let mut tx = self.begin_on_inventory(None).await?;
        let before = tx.one::<Row>(by_id(id)).await?;
        if before.phone_number_id.is_some() {
            return Err(NumberRefusal::Held(before.did()?).into());
        }
        tx.execute(sql(SQL).bind(id.0)).await?;
        tx.audit(before.change(actor, "delete").before(&before)).await?;
        tx.commit().await?;
        before.try_into()
    }

    /// Begins a change of the inventory in favour of a tenant, which must not be deleted before its end.
    async fn begin_on_inventory(&self, tenant: Option<TenantId>) -> Result<Tx, StoreError> {
        let mut tx = AllTenants(self).begin(Access::Write).await?;
        tx.lock_numbers().await?;
        if let Some(tenant) = tenant {
            tx.lock_tenant(tenant).await?;
        }
        Ok(tx)
    }
}

impl Scope {
    /// A page of the numbers that the tenant may take and has not taken, oldest first.
    pub async fn available_numbers(&self, window: Window) -> Result<Page<AvailableNumber>, StoreError> {
        let list = composed(format!(
            "{SELECT} WHERE i.tenant_id = $1 AND i.id > $2 AND p.id IS NULL ORDER BY i.id LIMIT $3"
        ));
        let rows = self.all::<Row>(list.bind(self.tenant.0).bind(window.above()).bind(window.rows())).await?;
        let numbers: Result<Vec<AvailableNumber>, StoreError> =
            rows.into_iter().map(|row| InventoryNumber::try_from(row).map(AvailableNumber::from)).collect();
        Ok(window.page(numbers?, |number| number.id.0))
    }

    /// Whether a number is assigned to the tenant.
    pub async fn is_assigned(&self, did: &Did) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT id FROM number_inventory WHERE tenant_id = $1 AND did = $2";
        let found = self.optional::<(Uuid,)>(sql(SQL).bind(self.tenant.0).bind(did.digits())).await?;
        Ok(found.is_some())
    }
}

impl Tx {
    pub async fn inventory_number(&mut self, did: &Did) -> Result<Option<Row>, StoreError> {
        self.optional(by_did(did)).await
    }

    /// Assigns a number to a tenant, and enters it where it is not in the inventory.
    pub async fn assign(&mut self, actor: &Actor, did: &Did, tenant: TenantId) -> Result<(), StoreError> {
        match self.inventory_number(did).await? {
            Some(entry) if entry.is_of(tenant) => Ok(()),
            Some(before) => {
                self.execute(sql(ASSIGN).bind(before.id).bind(tenant.0)).await?;
                let after = Row { tenant_id: Some(tenant.0), ..before.clone() };
                self.audit(after.change(actor, "update").before(&before).after(&after)).await
            }
            None => {
                let source = NumberSource::Operator;
                let new = NewInventoryNumber { did: did.clone(), tenant: Some(tenant), source, note: None };
                self.enter(actor, new).await.map(drop)
            }
        }
    }

    async fn enter(&mut self, actor: &Actor, new: NewInventoryNumber) -> Result<Row, StoreError> {
        let holder = self.holder(&new.did).await?;
        if holder.is_some() && new.tenant.is_some() && holder != new.tenant {
            return Err(NumberRefusal::HeldByAnother(new.did).into());
        }
        let id = InventoryNumberId::new().0;
        let tenant = new.tenant.or(holder).map(|tenant| tenant.0);
        let entry = sql(INSERT)
            .bind(id)
            .bind(new.did.digits())
            .bind(tenant)
            .bind(new.source.as_str())
            .bind(new.note)
            .bind(now());
        self.execute(entry).await.map_err(|error| error.duplicate(Duplicate::InventoryNumber))?;
        let after = self.one::<Row>(by_did(&new.did)).await?;
        self.audit(after.change(actor, "create").after(&after)).await?;
        Ok(after)
    }

    async fn change_entry(
        &mut self,
        actor: &Actor,
        before: Row,
        changes: InventoryChanges,
    ) -> Result<Row, StoreError> {
        const SQL: &str = "UPDATE number_inventory SET tenant_id = $2, note = $3 WHERE id = $1";
        let did = before.did()?;
        let tenant = changes.tenant.unwrap_or(before.tenant_id.map(TenantId));
        let holder = self.holder(&did).await?;
        if holder.is_some() && holder != tenant {
            return Err(NumberRefusal::HeldByAnother(did).into());
        }
        let note = changes.note.unwrap_or_else(|| before.note.clone());
        let after = Row { tenant_id: tenant.map(|tenant| tenant.0), note, ..before.clone() };
        if after != before {
            let update = sql(SQL).bind(after.id).bind(after.tenant_id).bind(after.note.as_deref());
            self.execute(update).await?;
            self.audit(after.change(actor, "update").before(&before).after(&after)).await?;
        }
        Ok(after)
    }
}

fn by_id(id: InventoryNumberId) -> Statement {
    composed(format!("{SELECT} WHERE i.id = $1")).bind(id.0)
}

fn by_did(did: &Did) -> Statement {
    composed(format!("{SELECT} WHERE i.did = $1")).bind(did.digits())
}

/// Serialised for the audit log with the API's field names.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow, Serialize)]
pub(super) struct Row {
    id: Uuid,
    #[serde(rename = "did_number")]
    did: String,
    tenant_id: Option<Uuid>,
    source: String,
    note: Option<String>,
    phone_number_id: Option<Uuid>,
    created_at: DateTime<Utc>,
}

impl Row {
    pub fn is_of(&self, tenant: TenantId) -> bool {
        self.tenant_id == Some(tenant.0)
    }

    fn did(&self) -> Result<Did, StoreError> {
        self.did.parse().map_err(|_| StoreError::corrupt("number_inventory.did is not a number"))
    }

    fn change(&self, actor: &Actor, action: &'static str) -> Change {
        Change::new(actor, self.tenant_id.map(TenantId), action, "inventory_number", self.id)
    }
}

impl TryFrom<Row> for InventoryNumber {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<InventoryNumber, StoreError> {
        Ok(InventoryNumber {
            id: InventoryNumberId(row.id),
            did: row.did()?,
            tenant_id: row.tenant_id.map(TenantId),
            source: row.source.parse().map_err(StoreError::corrupt)?,
            note: row.note,
            phone_number_id: row.phone_number_id.map(NumberId),
            created_at: row.created_at,
        })
    }
}

impl From<InventoryNumber> for AvailableNumber {
    fn from(entry: InventoryNumber) -> AvailableNumber {
        AvailableNumber { id: entry.id, did: entry.did, source: entry.source }
    }
}
