//! Analytics from sums are the same as from the calls one by one, whatever the period and however many calls are summed.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Database, on_both, on_postgres, values};
use crate::store::pool::Pool;
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_late_turn_is_in_the_sums,
    sums_and_calls_give_the_same_answers,
    a_call_is_summed_once,
    sums_are_their_tenants_alone,
);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a moment")
}

/// Calls over four days, most of them ended, of all kinds.
async fn calls(db: &Database, route: &Route) {
    let scope = db.store.scope(route.tenant.id);
    for n in 0..40_u32 {
        let started_at = at("2026-11-03T01:00:00Z") + TimeDelta::minutes(i64::from(n) * 143);
        let ringing = Call {
            started_at,
            ai_profile_id: route.profile.as_ref().map(|profile| profile.id).filter(|_| n % 3 > 0),
            ..values::call_to(route)
        };
        scope.begin_call(&ringing).await.expect("a call");
        for turn in 0..n % 5 {
            let millis = Some(100 + n % 7);
            let turn = CallTurn { audio_ms: millis, reply_ms: None, ..values::turn(&ringing, turn) };
            scope.add_turn(&turn).await.expect("a turn");
        }
        let ended_at = Some(started_at + TimeDelta::milliseconds(i64::from(n) * 700 + 1));
        let ended = Call { ended_at, ..values::completed(&ringing) };
        let ended = match n % 8 {
            0 => continue,
            1 => Call { answered_at: None, status: CallStatus::Refused, ..ended },
            2 => Call { disposition: None, ended_by: None, status: CallStatus::Failed, ..ended },
            _ => ended,
        };
        scope.end_call(&ended, &[]).await.expect("its end");
    }
}

async fn answers(db: &Database, route: &Route) -> Vec<String> {
    let scope = db.store.scope(route.tenant.id);
    let profile = route.profile.as_ref().map(|profile| profile.id);
    let mut answers = Vec::new();
    for (from, to) in [
        ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("2026-11-03T00:00:00Z", "2026-11-05T00:00:00Z"),
        ("2026-11-03T12:30:00Z", "2026-11-06T03:00:01Z"),
        ("2026-11-04T01:00:00Z", "2026-11-04T20:00:00Z"),
        ("2026-11-04T20:00:00Z", "2026-11-05T01:00:00Z"),
    ] {
        for (number, profile) in [(None, None), (Some(route.number.id), None), (None, profile)] {
            let of = OfPeriod { from: at(from), to: at(to), phone_number_id: number, ai_profile_id: profile };
            let quarters = scope.calls_by_quarter(&of).await.expect("an answer");
            let outcomes = scope.call_outcomes(&of).await.expect("an answer");
            let durations = scope.call_durations(&of).await.expect("an answer");
            let latencies = scope.turn_latencies(&of).await.expect("an answer");
            let talk = scope.talk_counts(&of).await.expect("an answer");
            answers.push(format!("{quarters:?} {outcomes:?} {durations:?} {latencies:?} {talk:?}"));
        }
        let tenants = db.store.calls_by_tenant(at(from), at(to)).await.expect("an answer");
        answers.push(format!("{:?}", tenants.iter().map(|it| it.counts).collect::<Vec<_>>()));
    }
    answers
}

/// As if the calls had been recorded before there were sums, or imported.
async fn forget_sums(db: &Database, which: &str) {
    for table in ["rollup_calls", "rollup_outcomes", "rollup_values"] {
        db.raw(format!("DELETE FROM {table}")).await.expect("no sums");
    }
    db.raw(format!("UPDATE calls SET is_rolled_up = FALSE {which}")).await.expect("no call is in a sum");
}

async fn sums_and_calls_give_the_same_answers(db: Database) {
    let route = db.tenant(1).await;
    calls(&db, &route).await;
    let from_sums = answers(&db, &route).await;
    assert!(from_sums[0].contains("turns: "), "{}", from_sums[0]);
    forget_sums(&db, "").await;
    let from_calls = answers(&db, &route).await;
    assert_eq!(from_sums, from_calls);
    assert_eq!(db.store.roll_up_calls(20).await.expect("some are added"), 20);
    assert_eq!(answers(&db, &route).await, from_calls, "some from sums, some from calls");
    assert_eq!(db.store.roll_up_calls(20).await.expect("the rest is added"), 15, "not the five that last");
    assert_eq!(db.store.roll_up_calls(20).await.expect("none is left"), 0);
    assert_eq!(answers(&db, &route).await, from_calls);
}

async fn a_call_is_summed_once(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let started_at = at("2026-11-03T12:00:00Z");
    let call = values::completed(&Call { started_at, ..values::call_to(&route) });
    for _ in 0..3 {
        scope.end_call(&call, &[]).await.expect("its end");
        db.store.roll_up_calls(9).await.expect("nothing to add");
    }
    let (from, to) = (at("2026-11-03T00:00:00Z"), at("2026-11-04T00:00:00Z"));
    let of = OfPeriod { from, to, phone_number_id: None, ai_profile_id: None };
    let quarters = scope.calls_by_quarter(&of).await.expect("an answer");
    assert_eq!(quarters.iter().map(|it| it.counts.calls).sum::<i64>(), 1);
}

async fn a_late_turn_is_in_the_sums(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let started_at = at("2026-11-03T12:00:00Z");
    let call = values::completed(&Call { started_at, ..values::call_to(&route) });
    scope.add_turn(&values::turn(&call, 1)).await.expect_err("its call is not recorded");
    scope.end_call(&call, &[]).await.expect("its end");
    for _ in 0..2 {
        scope.add_turn(&values::turn(&call, 1)).await.expect("a turn");
        scope.add_turn(&values::turn(&call, 2)).await.expect("another");
    }
    let (from, to) = (at("2026-11-03T00:00:00Z"), at("2026-11-04T00:00:00Z"));
    let of = OfPeriod { from, to, phone_number_id: None, ai_profile_id: None };
    let talk = scope.talk_counts(&of).await.expect("an answer");
    assert_eq!(talk, TalkCounts { turns: 2, interruptions: 1 });
    let durations = scope.call_durations(&of).await.expect("an answer");
    assert_eq!(durations, [Counted { value: 60, times: 1 }]);
}

async fn sums_are_their_tenants_alone(db: Database) {
    let (mine, theirs) = (db.tenant(1).await, db.tenant(2).await);
    calls(&db, &mine).await;
    let (from, to) = (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    for number in [None, Some(mine.number.id)] {
        let of = OfPeriod { from, to, phone_number_id: number, ai_profile_id: None };
        let scope = db.store.scope(theirs.tenant.id);
        assert_eq!(scope.calls_by_quarter(&of).await.expect("an answer"), []);
        assert_eq!(scope.call_outcomes(&of).await.expect("an answer"), []);
        assert_eq!(scope.turn_latencies(&of).await.expect("an answer"), []);
        assert_eq!(scope.talk_counts(&of).await.expect("an answer"), TalkCounts::default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_another_daemon_is_adding_are_left_to_it() {
    on_postgres(async |db: Database| {
        let route = db.tenant(1).await;
        calls(&db, &route).await;
        forget_sums(&db, "").await;
        let Pool::Postgres(pool) = &db.store.pool else { panic!("not PostgreSQL") };
        let mut other = pool.begin().await.expect("a transaction");
        let locked = "SELECT set_config('vca.reach', 'all', TRUE); \
            SELECT id FROM calls WHERE ended_at IS NOT NULL ORDER BY id LIMIT 10 FOR UPDATE";
        sqlx::raw_sql(locked).execute(&mut *other).await.expect("the other daemon has these");
        assert_eq!(db.store.roll_up_calls(20).await.expect("it does not wait"), 20);
        assert_eq!(db.store.roll_up_calls(20).await.expect("it does not wait"), 5);
        other.rollback().await.expect("the other daemon stops");
        assert_eq!(db.store.roll_up_calls(20).await.expect("the rest is added"), 10);
    })
    .await;
}
