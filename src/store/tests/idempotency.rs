//! Requests with an `Idempotency-Key`: carried out once, whatever happens in between.

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use uuid::Uuid;

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_response_is_kept_for_a_day,
    of_requests_at_once_one_is_carried_out,
    a_killed_attempt_is_repeated_after_its_lease_unless_it_changed_something,
    an_attempt_that_was_taken_over_changes_nothing,
    a_refused_attempt_leaves_its_key_unused,
    records_are_limited_and_deleted_after_a_day,
);

/// A request of a tenant's administrator.
async fn request(db: &Database, scope: &Scope) -> IdempotentRequest {
    let new = NewKey { name: "key".into(), role: Role::TenantAdmin, expires_at: None };
    let key = scope.create_key(&Actor::system(), new).await.expect("a key").key.id;
    assert!(db.store.key(key).await.is_ok());
    IdempotentRequest { id: Uuid::now_v7(), api_key: key, fingerprint: [7; 32] }
}

fn granted(claim: ClaimOutcome) -> RequestAttempt {
    match claim {
        ClaimOutcome::Granted(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

fn actor(attempt: RequestAttempt) -> Actor {
    Actor { attempt: Some(attempt), ..Actor::system() }
}

fn response(body: Option<&str>) -> StoredResponse {
    StoredResponse { status: 201, etag: Some("\"tag\"".into()), body: body.map(str::to_owned) }
}

async fn a_response_is_kept_for_a_day(db: Database) {
    let scope = db.store.scope(db.tenant(1).await.tenant.id);
    let (request, requests, now) = (request(&db, &scope).await, scope.idempotent_requests(), Utc::now());
    let claim = async |request: &IdempotentRequest, at| requests.claim(request, at).await.expect("a claim");
    let attempt = granted(claim(&request, now).await);
    assert_eq!(claim(&request, now).await, ClaimOutcome::InProgress);
    requests.finish(attempt, response(Some("{}"))).await.expect("it is stored");
    for at in [now, now + TimeDelta::hours(23)] {
        assert_eq!(claim(&request, at).await, ClaimOutcome::Finished(response(Some("{}"))));
    }
    let other = IdempotentRequest { fingerprint: [8; 32], ..request };
    assert_eq!(claim(&other, now).await, ClaimOutcome::OtherRequest);
    granted(claim(&other, now + TimeDelta::hours(25)).await);
}

async fn of_requests_at_once_one_is_carried_out(db: Database) {
    let scope = db.store.scope(db.tenant(1).await.tenant.id);
    let (request, requests, now) = (request(&db, &scope).await, scope.idempotent_requests(), Utc::now());
    let claims = join_all((0..8).map(|_| requests.claim(&request, now))).await;
    let claims: Vec<ClaimOutcome> = claims.into_iter().map(|claim| claim.expect("a claim")).collect();
    assert_eq!(
        claims.iter().filter(|claim| matches!(claim, ClaimOutcome::Granted(_))).count(),
        1,
        "{claims:?}"
    );
    assert_eq!(claims.iter().filter(|claim| **claim == ClaimOutcome::InProgress).count(), 7, "{claims:?}");
}

async fn a_killed_attempt_is_repeated_after_its_lease_unless_it_changed_something(db: Database) {
    let scope = db.store.scope(db.tenant(1).await.tenant.id);
    let (request, requests, now) = (request(&db, &scope).await, scope.idempotent_requests(), Utc::now());
    let claim = async |at| requests.claim(&request, at).await.expect("a claim");
    let later = now + TimeDelta::seconds(61);
    granted(claim(now).await);
    assert_eq!(claim(now + TimeDelta::seconds(59)).await, ClaimOutcome::InProgress);
    let attempt = granted(claim(later).await);
    let profile = values::profile("Front desk", false);
    let profile = scope.create_profile(&actor(attempt), profile).await.expect("a profile");
    let resource = ChangedResource { kind: "ai_profile".into(), id: profile.id.to_string() };
    assert_eq!(claim(later + TimeDelta::hours(1)).await, ClaimOutcome::Changed(Some(resource.clone())));
    requests.release(attempt).await.expect("it is left");
    requests.finish(attempt, response(None)).await.expect("it is stored");
    assert_eq!(claim(later).await, ClaimOutcome::Changed(Some(resource)), "the response is not kept");
}

async fn an_attempt_that_was_taken_over_changes_nothing(db: Database) {
    let scope = db.store.scope(db.tenant(1).await.tenant.id);
    let (request, requests, now) = (request(&db, &scope).await, scope.idempotent_requests(), Utc::now());
    let slow = granted(requests.claim(&request, now).await.expect("a claim"));
    let next = requests.claim(&request, now + TimeDelta::seconds(61)).await.expect("a claim");
    let refused = scope.create_profile(&actor(slow), values::profile("Late", false)).await;
    assert!(matches!(refused, Err(StoreError::Refused { code: "request_taken_over", .. })), "{refused:?}");
    requests.finish(slow, response(Some("late"))).await.expect("it stores nothing");
    requests.release(slow).await.expect("it deletes nothing");
    assert_eq!(requests.claim(&request, now).await.expect("a claim"), ClaimOutcome::InProgress);
    let profiles = scope.profiles().await.expect("profiles");
    assert!(profiles.iter().all(|profile| profile.name != "Late"), "{profiles:?}");
    scope
        .create_profile(&actor(granted(next)), values::profile("Timely", false))
        .await
        .expect("the other attempt may");
}

async fn a_refused_attempt_leaves_its_key_unused(db: Database) {
    let scope = db.store.scope(db.tenant(1).await.tenant.id);
    let (request, requests, now) = (request(&db, &scope).await, scope.idempotent_requests(), Utc::now());
    let attempt = granted(requests.claim(&request, now).await.expect("a claim"));
    requests.release(attempt).await.expect("it is released");
    let other = IdempotentRequest { fingerprint: [8; 32], ..request };
    granted(requests.claim(&other, now).await.expect("a claim"));
}

async fn records_are_limited_and_deleted_after_a_day(db: Database) {
    let limits = TenantLimits { idempotency_keys: 3, ..TenantLimits::default() };
    let store = db.store.clone().with_limits(limits);
    let (one, other) = (db.tenant(1).await.tenant.id, db.tenant(2).await.tenant.id);
    let (one, other) = (store.scope(one), store.scope(other));
    let (request, now) = (request(&db, &one).await, Utc::now());
    let fresh = || IdempotentRequest { id: Uuid::now_v7(), ..request };
    let requests = one.idempotent_requests();
    requests.claim(&request, now).await.expect("a claim");
    for _ in 0..2 {
        requests.claim(&fresh(), now).await.expect("a claim");
    }
    let refused = requests.claim(&fresh(), now).await;
    let reached = LimitReached { limit: "idempotency_keys", at_most: 3 };
    assert!(matches!(refused, Err(StoreError::LimitReached(it)) if it == reached), "{refused:?}");
    assert_eq!(requests.claim(&request, now).await.expect("a claim"), ClaimOutcome::InProgress);
    other.idempotent_requests().claim(&fresh(), now).await.expect("another tenant has its own limit");
    store.idempotent_requests().claim(&fresh(), now).await.expect("the operator has its own limit");
    assert_eq!(store.delete_old_idempotency_keys(now).await.expect("none is old"), 0);
    let later = now + TimeDelta::hours(24);
    assert_eq!(store.delete_old_idempotency_keys(later).await.expect("all are old"), 5);
    granted(requests.claim(&fresh(), later).await.expect("there is room"));
}
