//! A statement is a draft until it is issued, and stays as it was issued.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Database, on_both, values};
use crate::billing::{Billing, Prices};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_statement_is_issued_an_hour_after_the_month_and_does_not_change,
    only_tenants_of_the_month_get_a_statement,
    what_is_recorded_late_counts_in_the_present_month,
);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a moment")
}

fn prices(call_minute: u64) -> Billing {
    Billing { prices: Prices { call_minute, ..Prices::default() }, ..Billing::default() }
}

/// A tenant that talked a minute in October.
async fn talked(db: &Database, n: u32) -> Tenant {
    let route = db.tenant(n).await;
    db.began(route.tenant.id, "2026-10-01T00:00:00+00:00").await;
    let answered_at = at("2026-10-05T10:00:00Z");
    let call = Call {
        started_at: answered_at,
        answered_at: Some(answered_at),
        ended_at: Some(answered_at + TimeDelta::seconds(60)),
        ..values::completed(&values::call_to(&route))
    };
    let engine = EngineUse {
        kind: EngineKind::Tts,
        engine: "espeak".into(),
        model: "local".into(),
        unit: UsageUnit::Characters,
        quantity: u64::from(n),
    };
    db.store.scope(route.tenant.id).end_call(&call, &[engine]).await.expect("it ends");
    route.tenant
}

async fn a_statement_is_issued_an_hour_after_the_month_and_does_not_change(db: Database) {
    let (tenant, other) = (talked(&db, 1).await, talked(&db, 2).await);
    let scope = db.store.scope(tenant.id);
    let october: Month = "2026-10".parse().expect("a month");
    let of = async |billing: &Billing| {
        let statement = scope.statement(billing, &tenant, october).await.expect("a statement");
        (statement.is_final, statement.bill.total_micros, statement.bill.lines.len())
    };
    let (cheap, dear) = (prices(10), prices(99));
    assert_eq!((of(&cheap).await, of(&dear).await), ((false, 10, 2), (false, 99, 2)));
    for (now, issued) in
        [("2026-11-01T00:59:59Z", 0), ("2026-11-01T01:00:00Z", 2), ("2026-11-01T02:00:00Z", 0)]
    {
        assert_eq!(db.store.issue_statements(&cheap, at(now)).await.expect("an answer"), issued, "{now}");
    }
    assert_eq!(of(&dear).await, (true, 10, 2), "tomorrow's prices are not yesterday's");
    let theirs = db.store.scope(other.id).statement(&dear, &other, october).await.expect("a statement");
    assert_eq!((theirs.tenant_id, theirs.bill.lines[1].quantity), (other.id, 2));
    let again = db.store.issue_statements(&dear, at("2026-12-01T01:00:00Z")).await.expect("an answer");
    assert_eq!((again, of(&dear).await.1), (2, 10), "November's, and October's stays");
}

async fn only_tenants_of_the_month_get_a_statement(db: Database) {
    let (here, gone) = (db.tenant(1).await.tenant, talked(&db, 2).await);
    let late = db.tenant(3).await.tenant;
    db.began(here.id, "2026-10-31T23:00:00+00:00").await;
    db.began(late.id, "2026-11-01T00:00:00+00:00").await;
    let deleted = TenantChanges { status: Some(TenantStatus::Deleted), ..TenantChanges::default() };
    for tenant in [&gone, &late] {
        db.store.update_tenant(&Actor::system(), tenant.id, deleted.clone()).await.expect("it is gone");
    }
    assert_eq!(
        db.store.issue_statements(&prices(1), at("2026-11-01T05:00:00Z")).await.expect("an answer"),
        2
    );
    assert_eq!(
        db.store.issue_statements(&prices(1), at("2026-12-01T05:00:00Z")).await.expect("an answer"),
        1
    );
}

async fn what_is_recorded_late_counts_in_the_present_month(db: Database) {
    let tenant = talked(&db, 1).await;
    let scope = db.store.scope(tenant.id);
    let (october, present) = ("2026-10".parse().expect("a month"), Month::of(Utc::now()));
    db.store.issue_statements(&prices(1), at("2026-11-01T01:00:00Z")).await.expect("an answer");
    let number = scope.numbers().await.expect("numbers").remove(0);
    let late = Call {
        phone_number_id: number.id,
        tenant_id: tenant.id,
        started_at: at("2026-10-31T23:00:00Z"),
        answered_at: Some(at("2026-10-31T23:00:00Z")),
        ended_at: Some(at("2026-10-31T23:02:00Z")),
        ai_profile_id: None,
        ai_profile_version: None,
        ..values::completed(&values::call())
    };
    scope.end_call(&late, &[]).await.expect("it ends");
    let seconds = async |month| scope.usage_of_month(month).await.expect("an answer").sums.seconds;
    assert_eq!((seconds(october).await, seconds(present).await), (60, 120));
}
