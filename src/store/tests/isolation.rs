//! Nothing crosses tenants: not through a scope, and not past it.

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    another_tenants_scope_reaches_nothing,
    another_tenants_scope_changes_nothing,
    the_database_refuses_references_across,
);

struct Two {
    mine: Route,
    call: Call,
    turn: CallTurn,
    theirs: Route,
    scope: Scope,
}

/// A tenant with everything, and the scope of another.
async fn two(db: &Database) -> Two {
    let (mine, theirs) = (db.tenant(1).await, db.tenant(2).await);
    let (call, scope) = (values::call_to(&mine), db.store.scope(mine.tenant.id));
    let turn = values::turn(&call, 1);
    scope.begin_call(&call).await.expect("a call");
    scope.add_turn(&turn).await.expect("a turn");
    Two { scope: db.store.scope(theirs.tenant.id), mine, call, turn, theirs }
}

async fn another_tenants_scope_reaches_nothing(db: Database) {
    let Two { mine, call, theirs, scope, .. } = two(&db).await;
    let number = scope.number(mine.number.id).await;
    assert!(matches!(number, Err(StoreError::NotFound)), "{number:?}");
    assert_eq!(scope.numbers().await.expect("its own"), [theirs.number]);
    let (mine, theirs) = (mine.profile.expect("one"), theirs.profile.expect("one"));
    let profile = scope.profile(mine.id).await;
    assert!(matches!(profile, Err(StoreError::NotFound)), "{profile:?}");
    let versions = scope.profile_versions(mine.id, Window::first(9)).await;
    assert!(matches!(versions, Err(StoreError::NotFound)), "{versions:?}");
    let version = scope.profile_version(mine.id, 1).await;
    assert!(matches!(version, Err(StoreError::NotFound)), "{version:?}");
    assert_eq!(scope.profiles().await.expect("its own"), std::slice::from_ref(&theirs));
    assert_eq!(scope.default_profile().await.expect("its own"), Some(theirs));
    assert_eq!(scope.call(call.id).await.expect("an answer"), None);
    let calls = scope.calls(&CallFilter::default(), Window::first(9)).await.expect("an answer");
    assert_eq!(calls.items, []);
}

async fn another_tenants_scope_changes_nothing(db: Database) {
    let Two { mine, call, turn, theirs, scope } = two(&db).await;
    let foreign = theirs.tenant.id;
    let profile = mine.profile.as_ref().expect("one").id;
    let number = scope.set_number_active(&Actor::system(), mine.number.id, false).await;
    assert!(matches!(number, Err(StoreError::NotFound)), "{number:?}");
    let number = scope.delete_number(&Actor::system(), mine.number.id).await;
    assert!(matches!(number, Err(StoreError::NotFound)), "{number:?}");
    let back = scope.roll_back_profile(&Actor::system(), profile, 1).await;
    assert!(matches!(back, Err(StoreError::NotFound)), "{back:?}");
    let takeover = ProfileChanges { is_default: Some(true), ..ProfileChanges::default() };
    let changed = scope.update_profile(&Actor::system(), profile, takeover).await;
    assert!(matches!(changed, Err(StoreError::NotFound)), "{changed:?}");

    let completed = values::completed(&call);
    let heard = CallTurn { agent_text: "overwritten".to_owned(), ..turn.clone() };
    let attempts = [
        ("their call as it is", scope.update_call(&completed).await),
        ("their call as ours", scope.update_call(&Call { tenant_id: foreign, ..completed.clone() }).await),
        ("their turn as it is", scope.add_turn(&heard).await),
        ("their turn as ours", scope.add_turn(&CallTurn { tenant_id: foreign, ..heard.clone() }).await),
        ("a new turn", scope.add_turn(&CallTurn { tenant_id: foreign, turn: 7, ..heard.clone() }).await),
    ];
    for (what, outcome) in attempts {
        assert!(matches!(outcome, Err(StoreError::Invalid { .. })), "{what}: {outcome:?}");
    }
    let with_number = Call { tenant_id: foreign, ..values::call_to(&mine) };
    let with_profile = Call { ai_profile_id: Some(profile), ..values::call_to(&theirs) };
    for call in [with_number, with_profile] {
        for outcome in [scope.begin_call(&call).await, scope.update_call(&call).await] {
            assert!(matches!(outcome, Err(StoreError::Invalid { .. })), "{outcome:?}");
        }
    }
    let unharmed = db.store.scope(mine.tenant.id).call(call.id).await.expect("an answer");
    assert_eq!(unharmed, Some((call, vec![turn])));
    assert_eq!(db.store.route(&mine.number.did).await.expect("an answer"), Some(mine));
}

async fn the_database_refuses_references_across(db: Database) {
    let Two { mine, call, theirs, .. } = two(&db).await;
    let theirs_id = db.literal(theirs.tenant.id.0);
    let (number, profile) = (mine.number.id, mine.profile.expect("one").id);
    let statements = [
        format!("UPDATE phone_numbers SET tenant_id = {theirs_id} WHERE id = {}", db.literal(number.0)),
        format!(
            "UPDATE ai_profiles SET is_default = FALSE, tenant_id = {theirs_id} WHERE id = {}",
            db.literal(profile.0)
        ),
        format!("UPDATE calls SET tenant_id = {theirs_id} WHERE id = {}", db.literal(call.id.0)),
        format!("UPDATE calls SET phone_number_id = {}", db.literal(theirs.number.id.0)),
        format!("UPDATE calls SET ai_profile_id = {}", db.literal(theirs.profile.expect("one").id.0)),
        format!("UPDATE call_turns SET tenant_id = {theirs_id}"),
    ];
    for statement in statements {
        let outcome = db.raw(statement.clone()).await;
        let refused = outcome.as_ref().is_err_and(|error| {
            error.as_database_error().is_some_and(|reported| reported.is_foreign_key_violation())
        });
        assert!(refused, "{statement}: {outcome:?}");
    }
}
