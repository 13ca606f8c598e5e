//! A call counts once, in its month, and crosses each threshold once.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Database, on_both, values};
use crate::billing::{Billing, Plans, Terms};
use crate::store::statement::sql;
use crate::store::tx::{AllTenants, RowScope};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_call_counts_once_however_often_it_is_told,
    a_call_that_nobody_answered_counts_nothing,
    calls_of_a_killed_daemon_count_as_far_as_they_are_known,
    a_quota_is_told_once_at_each_threshold,
    admission_learns_of_the_month_with_the_route,
    another_tenants_usage_is_not_to_be_had,
    ends_at_once_are_all_counted,
);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a moment")
}

/// A call that talked so many milliseconds.
fn talked(route: &Route, answered_at: DateTime<Utc>, milliseconds: i64) -> Call {
    Call {
        started_at: answered_at,
        answered_at: Some(answered_at),
        ended_at: Some(answered_at + TimeDelta::milliseconds(milliseconds)),
        ..values::completed(&values::call_to(route))
    }
}

fn taken(kind: EngineKind, unit: UsageUnit, quantity: u64) -> EngineUse {
    EngineUse { kind, engine: "openai".into(), model: "m".into(), unit, quantity }
}

fn month(text: &str) -> Month {
    text.parse().expect("a month")
}

async fn a_call_counts_once_however_often_it_is_told(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let call = talked(&route, at("2026-11-30T23:59:58Z"), 2_001);
    let ringing = Call { answered_at: None, ended_at: None, status: CallStatus::Ringing, ..call.clone() };
    scope.begin_call(&ringing).await.expect("it rings");
    for n in 0..3 {
        scope.add_turn(&values::turn(&call, n)).await.expect("a turn");
    }
    let silent = CallTurn { caller_text: String::new(), ..values::turn(&call, 9) };
    scope.add_turn(&silent).await.expect("a turn of silence");
    let with_person = CallTurn { target_text: Some(String::new()), ..values::turn(&call, 10) };
    scope.add_turn(&with_person).await.expect("a turn after the transfer to a person");
    let engines =
        [taken(EngineKind::Llm, UsageUnit::InputTokens, 70), taken(EngineKind::Stt, UsageUnit::AudioMs, 900)];
    for _ in 0..3 {
        scope.end_call(&call, &engines).await.expect("it ends");
    }
    scope.update_call(&call).await.expect("a repetition without its use");
    let expected = Usage {
        sums: CallSums { calls: 1, seconds: 3, turns: 3 },
        engines: vec![engines[1].clone(), engines[0].clone()],
    };
    assert_eq!(scope.usage_of_month(month("2026-12")).await.expect("an answer"), expected, "by its end");
    assert_eq!(scope.usage_of_month(month("2026-11")).await.expect("an answer"), Usage::default());
    assert_eq!(scope.usage_of_call(call.id).await.expect("an answer"), Some(expected.clone()));
    let day = at("2026-12-01T00:00:00Z").date_naive();
    assert_eq!(scope.usage_of_days(day, day).await.expect("an answer"), expected);
    assert_eq!(scope.usage_of_call(CallId::new()).await.expect("an answer"), None);
}

async fn a_call_that_nobody_answered_counts_nothing(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let refused = Call { answered_at: None, ..talked(&route, at("2026-11-03T00:00:00Z"), 9_000) };
    scope.end_call(&refused, &[]).await.expect("it ends");
    assert_eq!(scope.usage_of_month(month("2026-11")).await.expect("an answer"), Usage::default());
    let day = at("2026-11-03T00:00:00Z").date_naive();
    assert_eq!(scope.usage_of_days(day, day).await.expect("an answer"), Usage::default());
}

async fn calls_of_a_killed_daemon_count_as_far_as_they_are_known(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let begun = at("2026-10-31T22:00:00Z");
    let answered = Call {
        started_at: begun,
        answered_at: Some(begun),
        status: CallStatus::Answered,
        ..values::call_to(&route)
    };
    let silent = Call { id: CallId::new(), ..answered.clone() };
    for call in [&answered, &silent] {
        scope.begin_call(call).await.expect("a call");
    }
    let turn = CallTurn { at: begun + TimeDelta::seconds(40), ..values::turn(&answered, 1) };
    scope.add_turn(&turn).await.expect("a turn");
    let earlier =
        [taken(EngineKind::Llm, UsageUnit::Requests, 1), taken(EngineKind::Stt, UsageUnit::Requests, 1)];
    scope.keep_taken(answered.id, &earlier).await.expect("a first turn's use");
    // The recogniser's vendor has refused since: what was charged for it is waived.
    let latest = [taken(EngineKind::Llm, UsageUnit::Requests, 2)];
    scope.keep_taken(answered.id, &latest).await.expect("a second turn's");
    let morning = at("2026-11-01T08:00:00Z");
    for _ in 0..2 {
        db.store.close_unfinished(morning, morning).await.expect("they are closed");
    }
    scope.keep_taken(answered.id, &earlier).await.expect("too late to change anything");
    let usage = scope.usage_of_month(month("2026-11")).await.expect("an answer");
    let expected = CallSums { calls: 2, seconds: 40, turns: 1 };
    assert_eq!(usage.sums, expected, "nobody pays for the daemon's night");
    assert_eq!(usage.engines, latest);
    let kept = scope.usage_of_call(answered.id).await.expect("an answer").expect("the call");
    assert_eq!(kept.engines, latest);
}

async fn a_quota_is_told_once_at_each_threshold(db: Database) {
    let terms = Terms { minutes_per_month: Some(10), ..Terms::default() };
    let store = db.store.clone().with_plans(Plans { growth: terms, ..Plans::default() });
    let (route, other) = (db.tenant(1).await, db.tenant(2).await);
    for tenant in [route.tenant.id, other.tenant.id] {
        db.subscribe(tenant, EventType::QuotaReached).await;
    }
    let scope = store.scope(route.tenant.id);
    let start = at("2026-11-03T00:00:00Z");
    let mut told = Vec::new();
    for minutes in [7, 1, 1, 1, 5] {
        let call = talked(&route, start, minutes * 60_000);
        for _ in 0..2 {
            scope.end_call(&call, &[]).await.expect("it ends");
        }
        told.push(events(&db).await.len());
    }
    assert_eq!(told, [0, 1, 1, 2, 2]);
    scope.end_call(&talked(&route, at("2026-12-03T00:00:00Z"), 600_000), &[]).await.expect("another month");
    let events = events(&db).await;
    let told: Vec<_> =
        events.iter().map(|event| (&event["data"]["month"], &event["data"]["percent"])).collect();
    let told: Vec<String> = told.iter().map(|(month, percent)| format!("{month} {percent}")).collect();
    assert_eq!(told, ["\"2026-11\" 80", "\"2026-11\" 100", "\"2026-12\" 80", "\"2026-12\" 100"]);
    assert!(events.iter().all(|event| event["data"]["tenant_id"] == route.tenant.id.to_string()));
}

/// The payloads of the outbox, oldest first.
async fn events(db: &Database) -> Vec<serde_json::Value> {
    const SQL: &str =
        "SELECT payload FROM webhook_events WHERE type = 'quota.reached' ORDER BY created_at, payload DESC";
    let payloads = AllTenants(&db.store).all::<(String,)>(sql(SQL)).await.expect("the outbox");
    payloads.iter().map(|(payload,)| serde_json::from_str(payload).expect("JSON")).collect()
}

async fn admission_learns_of_the_month_with_the_route(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let now = Utc::now();
    scope.end_call(&talked(&route, now - TimeDelta::seconds(90), 90_000), &[]).await.expect("it ends");
    let found = db.store.route(&values::did(1)).await.expect("an answer").expect("a route");
    assert_eq!(found.usage, MonthUse { month: Month::of(now), seconds: 90 });
}

async fn another_tenants_usage_is_not_to_be_had(db: Database) {
    let (mine, theirs) = (db.tenant(1).await, db.tenant(2).await);
    let call = talked(&mine, at("2026-11-03T00:00:00Z"), 9_000);
    let engines = [taken(EngineKind::Tts, UsageUnit::Characters, 5)];
    let lasting = values::call_to(&mine);
    db.store.scope(mine.tenant.id).begin_call(&lasting).await.expect("a call");
    db.store.scope(theirs.tenant.id).keep_taken(lasting.id, &engines).await.expect("another's call is none");
    let untouched = db.store.scope(mine.tenant.id).usage_of_call(lasting.id).await.expect("an answer");
    assert_eq!(untouched.map(|usage| usage.engines), Some(Vec::new()));
    db.store.scope(mine.tenant.id).end_call(&call, &engines).await.expect("it ends");
    let scope = db.store.scope(theirs.tenant.id);
    assert_eq!(scope.usage_of_month(month("2026-11")).await.expect("an answer"), Usage::default());
    assert_eq!(scope.usage_of_call(call.id).await.expect("an answer"), None);
    let day = at("2026-11-03T00:00:00Z").date_naive();
    assert_eq!(scope.usage_of_days(day, day).await.expect("an answer"), Usage::default());
    let read = db.store.month_reports(&Billing::default(), month("2026-11"), Window::first(10)).await;
    let reports = read.expect("a page").page.items;
    let seconds: Vec<_> = reports.iter().map(|report| (report.tenant_id, report.sums.seconds)).collect();
    assert_eq!(seconds, [(mine.tenant.id, 9), (theirs.tenant.id, 0)]);
    assert_eq!((reports[0].bill.lines.len(), reports[1].bill.lines.len()), (2, 1));
}

async fn ends_at_once_are_all_counted(db: Database) {
    let route = db.tenant(1).await;
    let ends = (0..16).map(|n| {
        // Two writers tell of each call.
        let call = Call {
            id: CallId(uuid::Uuid::from_u128(1 + n / 2)),
            ..talked(&route, at("2026-11-03T00:00:00Z"), 1_000)
        };
        let scope = db.store.scope(route.tenant.id);
        tokio::spawn(
            async move { scope.end_call(&call, &[taken(EngineKind::Llm, UsageUnit::Requests, 1)]).await },
        )
    });
    for end in ends.collect::<Vec<_>>() {
        end.await.expect("no panic").expect("it is counted");
    }
    let usage = db.store.scope(route.tenant.id).usage_of_month(month("2026-11")).await.expect("an answer");
    assert_eq!((usage.sums.calls, usage.sums.seconds, usage.engines[0].quantity), (8, 8, 8));
}
