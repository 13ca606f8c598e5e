//! The operator's number inventory.

use super::ControlError;
use crate::store::{InventoryChanges, NewInventoryNumber, PutOutcome, Store, StoreError};
use crate::tenancy::{Actor, InventoryNumber, InventoryNumberId, check_remark};

/// The most characters of a note.
const LONGEST_NOTE: usize = 200;

/// Enters a number.
///
/// # Errors
/// `Invalid` for a note that is too long and for an unknown tenant; otherwise as of
/// [`Store::add_inventory_number`].
pub async fn add_inventory_number(
    store: &Store,
    actor: &Actor,
    new: NewInventoryNumber,
) -> Result<InventoryNumber, ControlError> {
    check_note(new.note.as_deref())?;
    store.add_inventory_number(actor, new).await.map_err(no_such_tenant)
}

/// Enters a number, or assigns one that is there already. A dry run returns the outcome and changes nothing.
///
/// # Errors
/// As of [`add_inventory_number`], without `Conflict`.
pub async fn put_inventory_number(
    store: &Store,
    actor: &Actor,
    new: NewInventoryNumber,
    dry_run: bool,
) -> Result<PutOutcome, ControlError> {
    check_note(new.note.as_deref())?;
    store.put_inventory_number(actor, new, dry_run).await.map_err(no_such_tenant)
}

/// Assigns an entry to another tenant or to none, or changes its note.
///
/// # Errors
/// `NotFound` when there is no such entry; otherwise as of [`add_inventory_number`].
pub async fn update_inventory_number(
    store: &Store,
    actor: &Actor,
    id: InventoryNumberId,
    changes: InventoryChanges,
) -> Result<InventoryNumber, ControlError> {
    check_note(changes.note.as_ref().and_then(Option::as_deref))?;
    store.inventory_number(id).await?;
    store.update_inventory_number(actor, id, changes).await.map_err(no_such_tenant)
}

fn check_note(note: Option<&str>) -> Result<(), ControlError> {
    ControlError::unless_none(note.and_then(|note| check_remark("note", note, LONGEST_NOTE)))
}

/// Only the tenant of a request can be missing.
fn no_such_tenant(error: StoreError) -> ControlError {
    match error {
        StoreError::NotFound => ControlError::field("tenant_id", "there is no such tenant"),
        error => error.into(),
    }
}
