//! Transfer targets, checked against the operator's ceilings before they are saved.

use super::ControlError;
use crate::store::{NewTarget, Scope, StoreError, TargetChanges};
use crate::tenancy::{
    Actor, TargetId, TargetRefusal, TransferRules, TransferTarget, check_name, check_resolver,
};
use crate::violation::Violation;

/// The most characters of a description.
const LONGEST_DESCRIPTION: usize = 500;

/// Creates a target.
///
/// # Errors
/// `Invalid` with all violations; `LimitReached`; `Conflict` for a name that is in use; those of the database.
pub async fn create_target(
    scope: &Scope,
    actor: &Actor,
    rules: &TransferRules,
    new: NewTarget,
) -> Result<TransferTarget, ControlError> {
    let target = new.of(scope.tenant_id());
    ControlError::unless_none(violations(rules, &target))?;
    Ok(scope.create_target(actor, target).await?)
}

/// Changes a target. `precondition` gets it as it is, in the transaction that changes it.
///
/// # Errors
/// As of [`create_target`]; those of `precondition`; `NotFound` when there is no such target.
pub async fn update_target<E: From<StoreError> + From<ControlError>>(
    scope: &Scope,
    actor: &Actor,
    rules: &TransferRules,
    id: TargetId,
    changes: TargetChanges,
    precondition: impl FnOnce(&TransferTarget) -> Result<(), E>,
) -> Result<TransferTarget, E> {
    let decide = |current: &TransferTarget| -> Result<TransferTarget, E> {
        precondition(current)?;
        let after = changes.apply(current);
        ControlError::unless_none(violations(rules, &after))?;
        Ok(after)
    };
    scope.update_target_if(actor, id, decide).await
}

fn violations(rules: &TransferRules, target: &TransferTarget) -> Vec<Violation> {
    let mut found = Vec::from_iter(check_name("description", &target.description, LONGEST_DESCRIPTION));
    if let Err(refusal) = rules.route(target) {
        let field = match refusal {
            TargetRefusal::Method { .. } | TargetRefusal::NotSetUp(_) => "method",
            TargetRefusal::Style(_) => "style",
            TargetRefusal::AfterBridge(_) => "after_bridge",
            _ => "address",
        };
        found.push(Violation::new(field, refusal.to_string()));
    }
    found.extend(check_resolver(target));
    let hours = target.hours.as_ref().and_then(|hours| hours.schedule().err()).unwrap_or_default();
    found.extend(hours.into_iter().map(|it| Violation::new(format!("hours.{}", it.field), it.problem)));
    found
}
