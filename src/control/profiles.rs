//! AI profiles, checked against what the operator permits before they are saved.

use super::{ControlError, permitted_of};
use crate::store::{NewProfile, ProfileChanges, Scope, StoreError};
use crate::tenancy::variables::check_variables;
use crate::tenancy::{
    Actor, AiProfile, Draft, Permitted, ProfileId, ProfileSettings, TransferTarget, check_profile,
};
use crate::violation::Violation;

/// Creates a profile.
///
/// # Errors
/// `Invalid` with all violations; `LimitReached`; those of the database.
pub async fn create_profile(
    scope: &Scope,
    actor: &Actor,
    permitted: &Permitted,
    mut new: NewProfile,
) -> Result<AiProfile, ControlError> {
    // Profiles that were saved without this setting stay without a notice.
    new.settings.notice.get_or_insert(true);
    let NewProfile { name, system_prompt, settings, .. } = &new;
    let draft = Draft { name: Some(name), system_prompt: Some(system_prompt), settings: Some(settings) };
    let targets = scope.targets().await?;
    check(draft, (system_prompt, settings), &permitted_of(scope, permitted).await?, &targets)?;
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
    let (permitted, targets) = (&permitted_of(scope, permitted).await?, scope.targets().await?);
    let checked = |current: &AiProfile| -> Result<ProfileChanges, E> {
        let changes = decide(current)?;
        let ProfileChanges { name, system_prompt, settings, .. } = &changes;
        let (name, system_prompt) = (name.as_deref(), system_prompt.as_deref());
        let draft = Draft { name, system_prompt, settings: settings.as_ref() };
        let prompt = system_prompt.unwrap_or(&current.system_prompt);
        check(draft, (prompt, settings.as_ref().unwrap_or(&current.settings)), permitted, &targets)?;
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
    let draft = Draft { name, system_prompt, settings: Some(&former.settings) };
    let permitted = permitted_of(scope, permitted).await?;
    let targets = former.known_targets(&scope.targets().await?);
    check(draft, (&former.system_prompt, &former.settings), &permitted, &targets)?;
    Ok(scope.roll_back_profile(actor, id, version).await?)
}

/// Checks what a draft changes, and, where it changes one of them, that prompt and settings fit each other. `targets` are those
/// that its agent would have.
fn check(
    draft: Draft<'_>,
    (system_prompt, settings): (&str, &ProfileSettings),
    permitted: &Permitted,
    targets: &[TransferTarget],
) -> Result<(), ControlError> {
    let mut violations = check_profile(draft, permitted);
    if draft.system_prompt.is_some() || draft.settings.is_some() {
        violations.extend(check_variables(system_prompt, settings, &permitted.ceilings.sip_headers));
    }
    let named = draft.settings.into_iter().flat_map(ProfileSettings::menu_targets);
    let missing = named.filter(|(_, name)| targets.iter().all(|target| target.name != **name));
    let problem = "the tenant has no such transfer target";
    violations.extend(missing.map(|(field, _)| Violation::new(field, problem).below("settings")));
    ControlError::unless_none(violations)
}
