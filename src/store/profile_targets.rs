//! The transfer targets of a profile's version: each version has the definitions with which it was published. A change of a
//! target publishes a new version of every profile that can lead callers to targets.

use super::profiles::{self, Row};
use super::tx::Tx;
use super::versions::VersionOrigin;
use super::{StoreError, targets};
use crate::tenancy::{Actor, ProfileSettings, TenantId, TransferTarget};

impl Tx {
    /// The tenant's present targets, for a version with these settings; `None` where its agent leads no caller to one.
    /// The caller holds the tenant's lock.
    pub(super) async fn targets_for(
        &mut self,
        tenant: TenantId,
        settings: &str,
    ) -> Result<Option<String>, StoreError> {
        match uses_targets(settings)? {
            true => written(&self.targets(tenant).await?).map(Some),
            false => Ok(None),
        }
    }

    /// Publishes a target that was created or changed: a new version of each profile that can lead callers to targets and has
    /// another definition of this one. The caller holds the tenant's lock.
    pub(super) async fn publish_target(
        &mut self,
        actor: &Actor,
        tenant: TenantId,
        target: &TransferTarget,
    ) -> Result<(), StoreError> {
        let present = self.targets(tenant).await?;
        for before in self.all::<Row>(profiles::all(tenant)).await? {
            if uses_targets(&before.settings)? {
                let own = read(before.targets.as_deref(), tenant)?;
                let own = own.map_or_else(|| present.clone(), |own| with_changed(own, target, &present));
                self.publish(actor, before, written(&own)?).await?;
            }
        }
        Ok(())
    }

    async fn publish(&mut self, actor: &Actor, before: Row, targets: String) -> Result<(), StoreError> {
        if before.targets.as_ref() == Some(&targets) {
            return Ok(());
        }
        let after = Row { targets: Some(targets), version: before.version + 1, ..before };
        self.execute(after.update()).await?;
        self.record_version(actor, &after, VersionOrigin::Target).await
    }

    async fn targets(&mut self, tenant: TenantId) -> Result<Vec<TransferTarget>, StoreError> {
        let rows = self.all::<targets::Row>(targets::all(tenant)).await?;
        rows.into_iter().map(TransferTarget::try_from).collect()
    }
}

/// The targets of a version, as its column has them. They are the tenant's, also in a document that was imported.
pub(super) fn read(
    column: Option<&str>,
    tenant: TenantId,
) -> Result<Option<Vec<TransferTarget>>, StoreError> {
    let Some(text) = column else { return Ok(None) };
    let targets: Vec<TransferTarget> = serde_json::from_str(text).map_err(StoreError::corrupt)?;
    let own = |target| TransferTarget { tenant_id: tenant, ..target };
    Ok(Some(targets.into_iter().map(own).collect()))
}

fn written(targets: &[TransferTarget]) -> Result<String, StoreError> {
    serde_json::to_string(targets).map_err(StoreError::invalid)
}

fn uses_targets(settings: &str) -> Result<bool, StoreError> {
    let settings: ProfileSettings = serde_json::from_str(settings).map_err(StoreError::corrupt)?;
    Ok(settings.uses_targets())
}

/// A version's targets after the change of one, without those that the tenant has deleted, or that have its name.
fn with_changed(
    own: Vec<TransferTarget>,
    changed: &TransferTarget,
    present: &[TransferTarget],
) -> Vec<TransferTarget> {
    let is_kept = |it: &TransferTarget| it.name != changed.name && present.iter().any(|now| now.id == it.id);
    let (mut after, mut is_new) = (Vec::new(), true);
    for target in own {
        if target.id == changed.id {
            is_new = false;
            after.push(changed.clone());
        } else if is_kept(&target) {
            after.push(target);
        }
    }
    after.extend(is_new.then(|| changed.clone()));
    after
}
