//! Phone numbers of tenants. Each change is followed by a request to the number's provider; the number has the
//! outcome.

use std::sync::Arc;

use super::ControlError;
use crate::store::{NewNumber, NumberChanges, Scope, StoreError};
use crate::telephony::Registrar;
use crate::tenancy::{Actor, Did, NumberId, Numbering, PhoneNumber, ProviderType};

/// Who assigns a number to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenBy {
    /// Gives any number, and so assigns it to the tenant.
    Operator,
    /// Takes a number that is assigned to it.
    Tenant,
}

/// A number as a person writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberRequest<'a> {
    pub did_number: &'a str,
    pub provider_type: ProviderType,
    pub given_by: GivenBy,
}

/// Reads a number that a person has written.
///
/// # Errors
/// `Invalid` for a text that is no number of a country.
pub fn read_number(numbering: &Numbering, text: &str) -> Result<Did, ControlError> {
    numbering.read(text).map_err(|error| ControlError::field("did_number", error.to_string()))
}

/// Creates a number of a tenant. It is active at once.
///
/// # Errors
/// `Invalid` for a text that is no number; `Number` when the tenant may not have it; `Conflict` when it is in use;
/// `LimitReached`; those of the database.
pub async fn create_number(
    registrar: &Arc<Registrar>,
    scope: &Scope,
    actor: &Actor,
    numbering: &Numbering,
    request: NumberRequest<'_>,
) -> Result<PhoneNumber, ControlError> {
    let did = read_number(numbering, request.did_number)?;
    let new = NewNumber { did, provider_type: request.provider_type };
    let number = match request.given_by {
        GivenBy::Operator => scope.create_number(actor, new).await?,
        GivenBy::Tenant => scope.claim_number(actor, new).await?,
    };
    Ok(registrar.follow(scope, actor, number).await?)
}

/// Changes a number; its provider is asked where the number is activated or deactivated. `precondition` gets it as it is, in the
/// transaction that changes it.
///
/// # Errors
/// `NotFound` when the tenant does not have the number; those of `precondition` and of the database.
pub async fn update_number<E: From<StoreError>>(
    registrar: &Arc<Registrar>,
    scope: &Scope,
    actor: &Actor,
    id: NumberId,
    changes: &NumberChanges,
    precondition: impl FnOnce(&PhoneNumber) -> Result<(), E>,
) -> Result<PhoneNumber, E> {
    let number = scope.update_number_if(actor, id, changes, precondition).await?;
    match changes.is_active {
        Some(_) => Ok(registrar.follow(scope, actor, number).await?),
        None => Ok(number),
    }
}

/// Releases a number and returns it as it was, with the provider's outcome.
///
/// # Errors
/// `NotFound` when the tenant does not have the number; those of `precondition` and of the database.
pub async fn release_number<E: From<StoreError>>(
    registrar: &Arc<Registrar>,
    scope: &Scope,
    actor: &Actor,
    id: NumberId,
    precondition: impl FnOnce(&PhoneNumber) -> Result<(), E>,
) -> Result<PhoneNumber, E> {
    let number = scope.delete_number_if(actor, id, precondition).await?;
    Ok(registrar.follow(scope, actor, number).await?)
}
