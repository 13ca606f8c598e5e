//! AI profiles, checked against what the operator permits before they are saved.

use super::ControlError;
use crate::store::{NewProfile, ProfileChanges, Scope, StoreError};
use crate::tenancy::{Actor, AiProfile, Draft, Permitted, ProfileId, check_profile};

/// Creates a profile.
///
/// # Errors
/// `Invalid` with all violations; `LimitReached`; those of the database.
pub async fn create_profile(
    scope: &Scope,
    actor: &Actor,
    permitted: &Permitted,
    new: NewProfile,
) -> Result<AiProfile, ControlError> {
    let NewProfile { name, system_prompt, settings, .. } = &new;
    check(
        Draft { name: Some(name), system_prompt: Some(system_prompt), settings: Some(settings) },
        permitted,
    )?;
    Ok(scope.create_profile(actor, new).await?)
}

/// Changes a profile. `decide` gets the profile as it is, in the transaction that changes it.
///
/// # Errors
/// Those of `decide`; `Invalid` with all violations of the changes; otherwise as of [`Scope::update_profile_if`].
pub async fn update_profile<E: From<StoreError> + From<ControlError>>(
    scope: &Scope,
    actor: &Actor,
    permitted: &Permitted,
    id: ProfileId,
    decide: impl FnOnce(&AiProfile) -> Result<ProfileChanges, E>,
) -> Result<AiProfile, E> {
    let checked = |current: &AiProfile| -> Result<ProfileChanges, E> {
        let changes = decide(current)?;
        let ProfileChanges { name, system_prompt, settings, .. } = &changes;
        let (name, system_prompt) = (name.as_deref(), system_prompt.as_deref());
        check(Draft { name, system_prompt, settings: settings.as_ref() }, permitted)?;
        Ok(changes)
    };
    scope.update_profile_if(actor, id, checked).await
}

/// Returns a profile to an earlier version, which has to be acceptable still.
///
/// # Errors
/// `NotFound` when there is no such profile or version; `Invalid` when the version does not work any more.
pub async fn roll_back_profile(
    scope: &Scope,
    actor: &Actor,
    permitted: &Permitted,
    id: ProfileId,
    version: u32,
) -> Result<AiProfile, ControlError> {
    let former = scope.profile_version(id, version).await?;
    let (name, system_prompt) = (Some(&*former.name), Some(&*former.system_prompt));
    check(Draft { name, system_prompt, settings: Some(&former.settings) }, permitted)?;
    Ok(scope.roll_back_profile(actor, id, version).await?)
}

fn check(draft: Draft<'_>, permitted: &Permitted) -> Result<(), ControlError> {
    ControlError::unless_none(check_profile(draft, permitted))
}
