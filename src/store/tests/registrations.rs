//! Numbers of deleted tenants that have to be unregistered at their providers.

use std::collections::HashSet;

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    numbers_that_keep_failing_do_not_hold_up_the_others,
    a_repeated_failure_is_recorded_once,
    an_attempt_that_someone_asks_for_is_always_recorded,
);

fn step(state: ProviderState, attempt: RegistrationAttempt) -> RegistrationStep<'static> {
    RegistrationStep {
        action: "unregister",
        state,
        detail: "the provider refuses",
        reference: None,
        registered_by: RegisteredByChange::Keep,
        attempt,
    }
}

async fn entries(scope: &Scope) -> usize {
    let filter = AuditFilter { action: Some("unregister".into()), ..AuditFilter::default() };
    scope.audit(&filter, Window::first(500)).await.expect("entries").items.len()
}

/// As the hourly job repeats it.
async fn fail_again(scope: &Scope, number: NumberId) {
    let actor = Actor::system();
    let before = scope.registration(number).await.expect("a number").provider_state;
    for state in [ProviderState::Pending, ProviderState::Failed] {
        let step = step(state, RegistrationAttempt::by(&actor, before));
        scope.record_registration(&actor, number, &step).await.expect("recorded");
    }
}

async fn numbers_that_keep_failing_do_not_hold_up_the_others(db: Database) {
    let (route, actor) = (db.tenant(0).await, Actor::system());
    let scope = db.store.scope(route.tenant.id);
    for n in 1..=101 {
        let new = NewNumber { did: values::did(n), provider_type: ProviderType::Fake };
        scope.create_number(&actor, new).await.expect("a number");
    }
    db.store.delete_tenant(&actor, route.tenant.id, false).await.expect("deleted");
    let mut asked = HashSet::new();
    for _ in 0..2 {
        let due = db.store.numbers_to_unregister().await.expect("numbers");
        assert_eq!(due.len(), 100);
        for (_, number) in due {
            fail_again(&scope, number).await;
            asked.insert(number);
        }
    }
    assert_eq!(asked.len(), 101, "each of them has been asked for");
}

async fn a_repeated_failure_is_recorded_once(db: Database) {
    let route = db.tenant(1).await;
    let (scope, number) = (db.store.scope(route.tenant.id), route.number.id);
    db.subscribe(route.tenant.id, EventType::NumberRegistrationFailed).await;
    for _ in 0..5 {
        fail_again(&scope, number).await;
    }
    assert_eq!(entries(&scope).await, 1);
    assert_eq!(db.store.deliveries_pending().await.expect("a count"), 1);
    let actor = Actor::system();
    let unregistered =
        step(ProviderState::Unregistered, RegistrationAttempt::by(&actor, ProviderState::Failed));
    scope.record_registration(&actor, number, &unregistered).await.expect("recorded");
    assert_eq!(entries(&scope).await, 2, "a new outcome is on record");
}

async fn an_attempt_that_someone_asks_for_is_always_recorded(db: Database) {
    let route = db.tenant(1).await;
    let (scope, ann) = (db.store.scope(route.tenant.id), Actor::cli("ann"));
    for _ in 0..2 {
        let step = step(ProviderState::Failed, RegistrationAttempt::by(&ann, ProviderState::Failed));
        scope.record_registration(&ann, route.number.id, &step).await.expect("recorded");
    }
    assert_eq!(entries(&scope).await, 2);
}
