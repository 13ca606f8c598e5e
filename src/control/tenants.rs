//! The life of a tenant: created, changed, deleted, purged.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::iter;
use tokio::task::JoinHandle;
use tracing::{Instrument, info, warn};

use super::{ControlError, check_tenant_name};
use crate::store::{Deleted, NewTenant, PurgeSettings, Purged, Store, StoreError, TenantChanges};
use crate::telephony::Registrar;
use crate::tenancy::{Actor, NumberId, ProviderState, Tenant, TenantId};

/// Providers asked at once.
const AT_ONCE: usize = 4;

/// Requests to providers to unregister the numbers of a deleted tenant. Failed ones are repeated by
/// [`super::keep_up`].
pub struct Unregistering(JoinHandle<u64>);

impl Unregistering {
    /// Waits for all answers and returns how many numbers may still be registered.
    pub async fn failures(self) -> u64 {
        self.0.await.unwrap_or(u64::MAX)
    }
}

/// Creates a tenant. It is active at once.
///
/// # Errors
/// `Invalid` for a name that is empty or too long; those of the database.
pub async fn create_tenant(store: &Store, actor: &Actor, new: NewTenant) -> Result<Tenant, ControlError> {
    match check_tenant_name(&new.name) {
        Some(violation) => Err(ControlError::Invalid(vec![violation])),
        None => Ok(store.create_tenant(actor, new).await?),
    }
}

/// Changes a tenant, but does not delete it.
///
/// # Errors
/// `Invalid` for a name that is empty or too long, and for the status `deleted`; `Refused` when it is deleted; those of the
/// database.
pub async fn change_tenant(
    store: &Store,
    actor: &Actor,
    id: TenantId,
    changes: TenantChanges,
) -> Result<Tenant, ControlError> {
    match changes.name.as_deref().and_then(check_tenant_name) {
        Some(violation) => Err(ControlError::Invalid(vec![violation])),
        None => Ok(store.update_tenant(actor, id, changes).await?),
    }
}

/// Deletes a tenant for good and has its numbers unregistered at their providers. A dry run changes nothing.
///
/// # Errors
/// `NotFound` when there is no such tenant; those of the database.
pub async fn delete_tenant(
    store: &Store,
    registrar: &Arc<Registrar>,
    actor: &Actor,
    id: TenantId,
    dry_run: bool,
) -> Result<(Deleted, Unregistering), ControlError> {
    delete_tenant_if(store, registrar, actor, id, dry_run, |_| Ok(())).await
}

/// Deletes a tenant that `check` accepts, as [`delete_tenant`] does.
///
/// # Errors
/// `NotFound` when there is no such tenant; the error of `check`; those of the database.
pub async fn delete_tenant_if<E: From<StoreError>>(
    store: &Store,
    registrar: &Arc<Registrar>,
    actor: &Actor,
    id: TenantId,
    dry_run: bool,
    check: impl FnOnce(&Tenant) -> Result<(), E>,
) -> Result<(Deleted, Unregistering), E> {
    let deleted = store.delete_tenant_if(actor, id, dry_run, check).await?;
    let numbers = if dry_run { Vec::new() } else { deleted.released.clone() };
    if !dry_run {
        let (numbers, keys) = (deleted.numbers, deleted.keys);
        info!(tenant_id = %id, numbers, keys, "tenant deleted");
    }
    let numbers = numbers.into_iter().map(|number| (id, number)).collect();
    let work = unregister(store.clone(), Arc::clone(registrar), actor.clone(), numbers);
    Ok((deleted, Unregistering(tokio::spawn(work.in_current_span()))))
}

/// Asks the providers of these numbers to unregister them and returns how many may still be registered.
pub(super) async fn unregister(
    store: Store,
    registrar: Arc<Registrar>,
    actor: Actor,
    numbers: Vec<(TenantId, NumberId)>,
) -> u64 {
    let asked = iter(numbers).map(|(tenant, number)| {
        let (scope, registrar, actor) = (store.scope(tenant), Arc::clone(&registrar), actor.clone());
        async move {
            match registrar.unregister(&scope, &actor, number).await {
                Ok(answer) => {
                    let state = answer.provider_state;
                    u64::from(matches!(state, ProviderState::Failed | ProviderState::Pending))
                }
                Err(error) => {
                    warn!(tenant_id = %tenant, phone_number_id = %number, %error, "number not unregistered");
                    1
                }
            }
        }
    });
    asked.buffer_unordered(AT_ONCE).fold(0, |failed, one| async move { failed + one }).await
}

/// Erases the rows of a deleted tenant, or counts them in a dry run.
///
/// # Errors
/// `Refused` when it is not deleted, has calls in progress, or numbers that a provider may still have.
pub async fn purge_tenant(
    store: &Store,
    actor: &Actor,
    id: TenantId,
    settings: PurgeSettings,
) -> Result<Purged, ControlError> {
    let purged = store.purge_tenant(actor, id, settings).await?;
    if !settings.dry_run {
        info!(tenant_id = %id, rows = purged.rows.values().sum::<u64>(), "tenant purged");
    }
    Ok(purged)
}
