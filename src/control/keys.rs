//! API keys: created, rotated, revoked.

use chrono::{DateTime, TimeDelta, Utc};

use super::{ControlError, check_key_name};
use crate::store::{KeyWithSecret, NewKey, Rotation, Scope, Store, StoreError};
use crate::tenancy::{Actor, ApiKey, KeyId, Role};
use crate::violation::Violation;

/// The longest time for which a rotated secret still works.
const LONGEST_GRACE: TimeDelta = TimeDelta::days(7);
/// The longest lifetime of a key: a hundred years. PostgreSQL's calendar ends.
const LONGEST_LIFETIME: TimeDelta = TimeDelta::days(36_525);

/// The keys that a request may reach.
#[derive(Debug, Clone, Copy)]
pub enum Keys<'a> {
    /// Those of operators, to be created, and everyone's, to be changed.
    All(&'a Store),
    /// One tenant's.
    Of(&'a Scope),
}

impl Keys<'_> {
    /// Creates a key of an operator or of the tenant.
    ///
    /// # Errors
    /// `Invalid` for a name, role or time of expiry that is not acceptable; `LimitReached`; those of the database.
    pub async fn create(self, actor: &Actor, new: NewKey) -> Result<KeyWithSecret, ControlError> {
        let name = check_key_name(&new.name);
        ControlError::unless_none(name.into_iter().chain(self.role_violation(new.role)))?;
        check_expiry(new.expires_at)?;
        Ok(match self {
            Keys::All(store) => store.create_operator_key(actor, new).await?,
            Keys::Of(scope) => scope.create_key(actor, new).await?,
        })
    }

    /// Replaces a key by one of the same name and role, with a new secret.
    ///
    /// # Errors
    /// `Invalid` for a grace period or time of expiry that is not acceptable; otherwise as of [`Store::rotate_key`].
    pub async fn rotate(
        self,
        actor: &Actor,
        id: KeyId,
        how: Rotation,
    ) -> Result<KeyWithSecret, ControlError> {
        check_rotation(how)?;
        Ok(match self {
            Keys::All(store) => store.rotate_key(actor, id, how).await?,
            Keys::Of(scope) => scope.rotate_key(actor, id, how).await?,
        })
    }

    /// Revokes a key for good. `precondition` gets it as it is, in the transaction that changes it.
    ///
    /// # Errors
    /// `NotFound` when there is no such key; those of `precondition`.
    pub async fn revoke<E: From<StoreError>>(
        self,
        actor: &Actor,
        id: KeyId,
        precondition: impl FnOnce(&ApiKey) -> Result<(), E>,
    ) -> Result<ApiKey, E> {
        match self {
            Keys::All(store) => store.revoke_key_if(actor, id, precondition).await,
            Keys::Of(scope) => scope.revoke_key_if(actor, id, precondition).await,
        }
    }

    fn role_violation(self, role: Role) -> Option<Violation> {
        let problem = match (self, role) {
            (Keys::Of(_), Role::Operator) => "a tenant's key is tenant_admin or tenant_viewer",
            (Keys::All(_), Role::TenantAdmin | Role::TenantViewer) => {
                "an operator's key has the role operator"
            }
            _ => return None,
        };
        Some(Violation::new("role", problem))
    }
}

/// Whether a key can be rotated, without doing so.
///
/// # Errors
/// As of [`Keys::rotate`].
pub async fn try_rotation(
    store: &Store,
    actor: &Actor,
    id: KeyId,
    how: Rotation,
) -> Result<(), ControlError> {
    check_rotation(how)?;
    Ok(store.try_rotate_key(actor, id, how).await?)
}

fn check_rotation(how: Rotation) -> Result<(), ControlError> {
    if how.grace < TimeDelta::zero() || how.grace > LONGEST_GRACE {
        let problem = format!("0 to {} minutes, which is a week", LONGEST_GRACE.num_minutes());
        return Err(ControlError::field("grace_minutes", problem));
    }
    check_expiry(how.expires_at)
}

fn check_expiry(at: Option<DateTime<Utc>>) -> Result<(), ControlError> {
    let now = Utc::now();
    let problem = match at {
        Some(at) if at <= now => "this time has passed",
        Some(at) if at > now + LONGEST_LIFETIME => {
            "a hundred years at most: leave it out for a key that never expires"
        }
        _ => return Ok(()),
    };
    Err(ControlError::field("expires_at", problem))
}
