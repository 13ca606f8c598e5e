//! A statement is a draft until it is issued, and stays as it was issued.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Database, on_both, values};
use crate::billing::{Billing, Prices};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_statement_is_issued_an_hour_after_the_month_and_does_not_change,
    only_tenants_of_the_month_get_a_statement,
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
    let set = async |tenant: &Tenant, moment: &str| {
        let moment = match db.store.backend() {
            Backend::Sqlite => format!("'{}'", at(moment).to_rfc3339()),
            Backend::Postgres => format!("'{moment}'"),
        };
        let id = db.literal(tenant.id.0);
        db.raw(format!("UPDATE tenants SET created_at = {moment} WHERE id = {id}")).await.expect("a tenant");
    };
    set(&here, "2026-10-31T23:00:00Z").await;
    set(&gone, "2026-10-01T00:00:00Z").await;
    set(&late, "2026-11-01T00:00:00Z").await;
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
