//! Which profiles answer a number's calls, and the versions of it.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::ControlError;
use crate::store::{Scope, StoreError, Window};
use crate::tenancy::{
    Actor, MAX_SHARES, MAX_WEIGHT, NumberId, NumberRouting, ProfileId, RoutingComparison, RoutingVersion,
};
use crate::violation::Violation;

/// Replaces the routing of a number. `precondition` gets it as it is, in the transaction that changes it.
///
/// # Errors
/// `Invalid` with all violations, such as a profile that the tenant does not have; `NotFound` when the tenant does not have the
/// number; those of `precondition` and of the database.
pub async fn set_number_routing<E: From<StoreError> + From<ControlError>>(
    scope: &Scope,
    actor: &Actor,
    id: NumberId,
    routing: &NumberRouting,
    precondition: impl FnOnce(&NumberRouting) -> Result<(), E>,
) -> Result<NumberRouting, E> {
    scope.number(id).await?;
    let mut violations = violations(routing);
    if violations.is_empty() {
        violations = unknown_profiles(scope, routing).await?;
    }
    ControlError::unless_none(violations)?;
    scope.set_number_routing_if(actor, id, routing, precondition).await
}

/// Returns the routing and the failover routes of a number to an earlier version.
///
/// # Errors
/// `NotFound` when the tenant does not have the number, or its routing no such version; `Invalid` when the tenant does not have a
/// profile of it any more; those of the database.
pub async fn roll_back_routing(
    scope: &Scope,
    actor: &Actor,
    id: NumberId,
    version: u32,
) -> Result<RoutingVersion, ControlError> {
    let former = scope.routing_version(id, version).await?;
    ControlError::unless_none(unknown_profiles(scope, &former.routing).await?)?;
    Ok(scope.roll_back_routing(actor, id, version).await?)
}

/// How a version of a number's routing differs from another one: where none is named, from the latest one before that is kept.
/// The first version differs from none.
///
/// # Errors
/// `NotFound` when the tenant does not have the number, or its routing no such version; those of the database.
pub async fn compare_routing(
    scope: &Scope,
    id: NumberId,
    version: u32,
    earlier: Option<u32>,
) -> Result<RoutingComparison, StoreError> {
    let later = scope.routing_version(id, version).await?;
    let earlier = match earlier {
        Some(earlier) => scope.routing_version(id, earlier).await?,
        None => {
            let before = Window { after: Some(Uuid::from_u128(version.into())), limit: 1 };
            let mut kept = scope.routing_versions(id, before).await?.items;
            kept.pop().unwrap_or_else(|| later.clone())
        }
    };
    Ok(later.compared_with(&earlier))
}

fn violations(routing: &NumberRouting) -> Vec<Violation> {
    let mut found = Vec::new();
    if routing.profiles.len() > MAX_SHARES {
        found.push(Violation::new("profiles", format!("{MAX_SHARES} at most")));
    }
    let mut seen = BTreeSet::<ProfileId>::new();
    for (at, share) in routing.profiles.iter().enumerate().take(MAX_SHARES) {
        if !(1..=MAX_WEIGHT).contains(&share.weight) {
            found.push(Violation::new(format!("profiles.{at}.weight"), format!("1 to {MAX_WEIGHT}")));
        }
        if !seen.insert(share.ai_profile_id) {
            found.push(Violation::new(format!("profiles.{at}.ai_profile_id"), "the profile is listed twice"));
        }
    }
    found
}

async fn unknown_profiles(scope: &Scope, routing: &NumberRouting) -> Result<Vec<Violation>, StoreError> {
    let mut found = Vec::new();
    for (field, id) in routing.named() {
        match scope.profile(id).await {
            Ok(_) => {}
            Err(StoreError::NotFound) => {
                found.push(Violation::new(field, "the tenant has no profile of this id"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
