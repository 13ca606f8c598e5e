//! The ceiling of a day's spend for dialled legs.

use chrono::NaiveDate;

use super::{Database, on_both};
use crate::store::{Scope, Store};

on_both!(
    a_day_has_room_up_to_its_limit,
    what_a_leg_has_cost_takes_the_place_of_its_reservation,
    a_days_spend_outlives_the_daemon,
    another_tenants_spend_is_its_own,
    legs_that_are_dialled_at_once_stay_within_the_limit,
);

fn day(number: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, number).expect("a day")
}

async fn scope(db: &Database) -> Scope {
    db.store.scope(db.tenant(1).await.tenant.id)
}

async fn is_reserved(scope: &Scope, cost: u64, limit: u64) -> bool {
    scope.reserve_leg(day(28), cost, limit).await.expect("an answer").is_some()
}

async fn spend(scope: &Scope) -> u64 {
    scope.leg_spend(day(28)).await.expect("a sum")
}

async fn a_day_has_room_up_to_its_limit(db: Database) {
    let scope = scope(&db).await;
    assert!(!is_reserved(&scope, 101, 100).await, "the first one alone exceeds it");
    assert!(is_reserved(&scope, 60, 100).await);
    assert!(!is_reserved(&scope, 41, 100).await);
    assert!(is_reserved(&scope, 40, 100).await);
    assert!(!is_reserved(&scope, u64::MAX, u64::MAX).await, "the sum would exceed 64 bits");
    assert_eq!(spend(&scope).await, 100);
    assert!(scope.reserve_leg(day(29), 100, 100).await.expect("an answer").is_some(), "another day");
    let later = NaiveDate::from_ymd_opt(2026, 12, 30).expect("a day");
    assert!(scope.reserve_leg(later, 1, 100).await.expect("an answer").is_some());
    assert_eq!((spend(&scope).await, scope.leg_spend(day(29)).await.expect("a sum")), (0, 100), "31 days");
}

async fn what_a_leg_has_cost_takes_the_place_of_its_reservation(db: Database) {
    let scope = scope(&db).await;
    let reserve = async |cost| scope.reserve_leg(day(28), cost, 100).await.expect("an answer").expect("room");
    let (unanswered, short) = (reserve(50).await, reserve(50).await);
    scope.settle_leg(unanswered, 0).await.expect("it is settled");
    scope.settle_leg(short, 7).await.expect("it is settled");
    assert_eq!(spend(&scope).await, 7);
    let long = reserve(50).await;
    scope.settle_leg(long, 55).await.expect("it is settled");
    assert_eq!(spend(&scope).await, 62, "a leg may have cost more");
}

async fn a_days_spend_outlives_the_daemon(db: Database) {
    let scope = scope(&db).await;
    assert!(is_reserved(&scope, 80, 100).await);
    let restarted = Store::open(&db.settings).await.expect("the database opens").scope(scope.tenant_id());
    assert!(!is_reserved(&restarted, 30, 100).await, "a leg without an end counts in full");
    assert_eq!(spend(&restarted).await, 80);
}

async fn another_tenants_spend_is_its_own(db: Database) {
    let (mine, theirs) = (scope(&db).await, db.store.scope(db.tenant(2).await.tenant.id));
    let reservation = mine.reserve_leg(day(28), 100, 100).await.expect("an answer").expect("room");
    assert_eq!(spend(&theirs).await, 0);
    theirs.settle_leg(reservation, 0).await.expect("nothing to settle");
    assert_eq!(spend(&mine).await, 100);
    assert!(is_reserved(&theirs, 100, 100).await);
}

async fn legs_that_are_dialled_at_once_stay_within_the_limit(db: Database) {
    let scope = scope(&db).await;
    let all = (0..8).map(|_| is_reserved(&scope, 30, 100));
    let reserved = futures_util::future::join_all(all).await;
    assert_eq!(reserved.iter().filter(|is| **is).count(), 3);
    assert_eq!(spend(&scope).await, 90);
}
