//! No tenant stores more than it may.

use futures_util::future::join_all;
use serde_json::json;

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    numbers_are_limited_however_many_are_created_at_once,
    keys_are_limited_however_many_are_created_at_once,
    profiles_are_limited_in_number_and_in_bytes,
    old_versions_are_deleted_unless_a_call_refers_to_them,
    feedback_on_a_call_is_limited,
    trials_of_analyses_are_limited_by_the_day,
    changes_by_a_tenants_keys_are_limited_by_the_day,
    long_texts_are_not_repeated_in_the_audit_log,
);

fn new_key() -> NewKey {
    NewKey { name: "key".into(), role: Role::TenantAdmin, expires_at: None }
}

/// The limit that was reached.
fn reached<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> (&'static str, u64) {
    match outcome {
        Err(StoreError::LimitReached(LimitReached { limit, at_most })) => (limit, at_most),
        other => panic!("{other:?}"),
    }
}

async fn keys_are_limited_however_many_are_created_at_once(db: Database) {
    let route = db.tenant(1).await;
    let (scope, actor) = (db.store.scope(route.tenant.id), Actor::system());
    for _ in 0..45 {
        scope.create_key(&actor, new_key()).await.expect("a key");
    }
    let outcomes = join_all((0..10).map(|_| scope.create_key(&actor, new_key()))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    for refused in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(reached(refused), ("keys", 50));
    }
    // A key that is revoked makes room, and rotations have room of their own.
    let key = scope.keys(&KeyFilter::default(), Window::first(1)).await.expect("keys").items[0].id;
    let grace = Rotation { grace: chrono::TimeDelta::hours(1), expires_at: None };
    let rotated = scope.rotate_key(&actor, key, grace).await.expect("a successor").key.id;
    scope.revoke_key(&actor, rotated).await.expect("revoked");
    scope.revoke_key(&actor, key).await.expect("revoked");
    scope.create_key(&actor, new_key()).await.expect("there is room");
    // Another tenant has its own.
    db.store.scope(db.tenant(2).await.tenant.id).create_key(&actor, new_key()).await.expect("a key");
}

async fn profiles_are_limited_in_number_and_in_bytes(db: Database) {
    let route = db.tenant(1).await;
    let limits = TenantLimits { profiles: 3, profile_bytes: 12_000, ..TenantLimits::default() };
    let (scope, actor) = (db.store.clone().with_limits(limits).scope(route.tenant.id), Actor::system());
    let second = scope.create_profile(&actor, values::profile("Second", false)).await.expect("a profile");
    // Bytes, not characters: each of these has three.
    let long = |count: usize| ProfileChanges {
        system_prompt: Some("€".repeat(count)),
        ..ProfileChanges::default()
    };
    scope.update_profile(&actor, second.id, long(3_000)).await.expect("9 kB");
    assert_eq!(
        reached(scope.update_profile(&actor, second.id, long(3_001)).await),
        ("profile_bytes", 12_000)
    );
    let kept = scope.profile(second.id).await.expect("a profile");
    assert_eq!((kept.version, kept.system_prompt.chars().count()), (2, 3_000), "nothing was changed");
    scope.create_profile(&actor, values::profile("Third", false)).await.expect("a profile");
    let refused = scope.create_profile(&actor, values::profile("Fourth", false)).await;
    assert_eq!(reached(refused), ("profiles", 3));
}

async fn old_versions_are_deleted_unless_a_call_refers_to_them(db: Database) {
    let route = db.tenant(1).await;
    let limits = TenantLimits { profile_versions: 3, ..TenantLimits::default() };
    let (scope, actor) = (db.store.clone().with_limits(limits).scope(route.tenant.id), Actor::system());
    let id = route.profile.clone().expect("a profile").id;
    let call = Call { ai_profile_version: Some(1), ..values::completed(&values::call_to(&route)) };
    scope.begin_call(&call).await.expect("a call");
    for n in 2..=8 {
        let changes = ProfileChanges { name: Some(format!("Name {n}")), ..ProfileChanges::default() };
        scope.update_profile(&actor, id, changes).await.expect("a version");
    }
    let versions = scope.profile_versions(id, Window::first(99)).await.expect("versions").items;
    let versions: Vec<u32> = versions.iter().map(|version| version.version).collect();
    assert_eq!(versions, [8, 7, 6, 1]);
}

async fn feedback_on_a_call_is_limited(db: Database) {
    let route = db.tenant(1).await;
    let (scope, actor) = (db.store.scope(route.tenant.id), Actor::system());
    let call = values::completed(&values::call_to(&route));
    scope.begin_call(&call).await.expect("a call");
    let opinion = || NewFeedback { rating: 4, comment: None, source: "caller".into() };
    for _ in 0..10 {
        scope.create_feedback(&actor, call.id, opinion()).await.expect("feedback");
    }
    assert_eq!(reached(scope.create_feedback(&actor, call.id, opinion()).await), ("feedback_per_call", 10));
}

async fn trials_of_analyses_are_limited_by_the_day(db: Database) {
    let (route, other) = (db.tenant(1).await, db.tenant(2).await);
    let store =
        db.store.clone().with_limits(TenantLimits { analysis_trials_per_day: 2, ..TenantLimits::default() });
    let (scope, actor, call) = (store.scope(route.tenant.id), Actor::system(), CallId::new());
    for _ in 0..2 {
        scope.begin_analysis_trial(&actor, call).await.expect("a trial");
    }
    assert_eq!(reached(scope.begin_analysis_trial(&actor, call).await), ("analysis_trials_per_day", 2));
    store.scope(other.tenant.id).begin_analysis_trial(&actor, call).await.expect("another tenant's");
    let filter = AuditFilter { action: Some("try_analysis".into()), ..AuditFilter::default() };
    assert_eq!(scope.audit(&filter, Window::first(9)).await.expect("entries").items.len(), 2);
}

async fn changes_by_a_tenants_keys_are_limited_by_the_day(db: Database) {
    let route = db.tenant(1).await;
    let limits = TenantLimits { changes_per_day: 3, ..TenantLimits::default() };
    let scope = db.store.clone().with_limits(limits).scope(route.tenant.id);
    let key = scope.create_key(&Actor::system(), new_key()).await.expect("a key").key;
    let (own, id) = (Actor::key(&key), route.profile.clone().expect("a profile").id);
    let rename = |n: u32| ProfileChanges { name: Some(format!("Name {n}")), ..ProfileChanges::default() };
    for n in 0..3 {
        scope.update_profile(&own, id, rename(n)).await.expect("a change");
    }
    assert_eq!(reached(scope.update_profile(&own, id, rename(3)).await), ("changes_per_day", 3));
    assert_eq!(scope.profile(id).await.expect("a profile").name, "Name 2");
    scope.update_profile(&Actor::system(), id, rename(4)).await.expect("the operator's are not limited");
}

async fn long_texts_are_not_repeated_in_the_audit_log(db: Database) {
    let route = db.tenant(1).await;
    let (scope, actor) = (db.store.scope(route.tenant.id), Actor::system());
    let id = route.profile.clone().expect("a profile").id;
    let changes =
        ProfileChanges { system_prompt: Some("Be kind. ".repeat(5_000)), ..ProfileChanges::default() };
    scope.update_profile(&actor, id, changes).await.expect("a change");
    let filter = AuditFilter { action: Some("update".into()), ..AuditFilter::default() };
    let entry = scope.audit(&filter, Window::first(1)).await.expect("entries").items.remove(0);
    let (before, after) = (entry.before.expect("before"), entry.after.expect("after"));
    assert_eq!(before, json!({ "system_prompt": "You answer the phone.", "version": 1 }), "what differs");
    assert_eq!(after["system_prompt"]["bytes"], 45_000);
    assert_eq!(after["system_prompt"]["sha256"].as_str().map(str::len), Some(64));
    assert!(after.to_string().len() < 200, "{after:#}");
}

async fn numbers_are_limited_however_many_are_created_at_once(db: Database) {
    let (route, actor) = (db.tenant(1).await, Actor::system());
    let limits = TenantLimits { numbers: 4, ..TenantLimits::default() };
    let store = db.store.clone().with_limits(limits);
    let scope = store.scope(route.tenant.id);
    let new = |n| NewNumber { did: values::did(n), provider_type: ProviderType::Generic };
    let outcomes = join_all((10..18).map(|n| scope.create_number(&actor, new(n)))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    for refused in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(reached(refused), ("numbers", 4));
    }
    // A number that is released makes room, also for one that the tenant takes itself.
    let did = values::did(20);
    let entry = NewInventoryNumber {
        did: did.clone(),
        tenant: Some(route.tenant.id),
        source: NumberSource::Operator,
        note: None,
    };
    store.add_inventory_number(&actor, entry).await.expect("an entry");
    let claim = NewNumber { did, provider_type: ProviderType::Generic };
    assert_eq!(reached(scope.claim_number(&actor, claim.clone()).await), ("numbers", 4));
    scope.delete_number(&actor, route.number.id).await.expect("released");
    scope.claim_number(&actor, claim).await.expect("there is room");
    // Another tenant has its own.
    let other = store.create_tenant(
        &actor,
        NewTenant { name: "Other".into(), plan: Plan::Starter, max_concurrent_calls: None },
    );
    let other = other.await.expect("a tenant");
    store.scope(other.id).create_number(&actor, new(30)).await.expect("a number");
}
