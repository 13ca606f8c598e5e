//! Ledger entries that are written together come to the same as entries that are written one by one, and one that the
//! database refuses does not stop the others.

use chrono::TimeDelta;

use super::outage::written;
use super::{Database, on_both, values};
use crate::store::statement::composed;
use crate::store::tx::{AllTenants, RowScope};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_batch_comes_to_the_same_as_its_entries,
    an_entry_at_fault_is_set_aside_and_the_others_are_written,
    a_refused_entry_is_written_once_its_cause_is_repaired,
    refused_entries_are_kept_in_bounds,
    a_call_that_has_ended_stays_ended,
);

fn engine(unit: UsageUnit, quantity: u64) -> EngineUse {
    EngineUse { kind: EngineKind::Llm, engine: "openai".into(), model: "m".into(), unit, quantity }
}

/// Twelve calls in the order in which a daemon records them: some go on, some are repeated, some are refused.
fn entries(route: &Route) -> (Vec<Call>, Vec<Entry>) {
    let (mut calls, mut entries) = (Vec::new(), Vec::new());
    for n in 0..12_u32 {
        let call = Call { asterisk_channel_id: format!("1700000000.{n}"), ..values::call_to(route) };
        entries.push(Entry::Begin(call.clone()));
        calls.push(call);
    }
    for (n, call) in (0_u64..).zip(&calls) {
        let answered =
            Call { answered_at: Some(call.started_at), status: CallStatus::Answered, ..call.clone() };
        if n % 4 != 3 {
            entries.push(Entry::Update(answered));
        }
    }
    for turn in 0..3 {
        for (n, call) in (0_u64..).zip(&calls) {
            let taken =
                vec![engine(UsageUnit::Requests, u64::from(turn) + 1), engine(UsageUnit::InputTokens, n)];
            entries.push(Entry::Taken(call.tenant_id, call.id, taken));
            entries.push(Entry::Turn(values::turn(call, turn)));
        }
    }
    for (n, call) in (0_u64..).zip(&calls) {
        let refused = Call { answered_at: None, status: CallStatus::Refused, ..values::completed(call) };
        let engines = vec![engine(UsageUnit::Requests, 7), engine(UsageUnit::OutputTokens, 5)];
        match n % 4 {
            0 => {}
            3 => entries.push(Entry::End(refused, Vec::new())),
            _ => {
                let ended_at = call.started_at + TimeDelta::seconds(30);
                let ended = Call { ended_at: Some(ended_at), ..values::completed(call) };
                entries.push(Entry::End(ended.clone(), engines.clone()));
                entries.push(Entry::End(ended, engines));
            }
        }
    }
    (calls, entries)
}

/// The outcome of a tenant's entries, without ids and times.
async fn outcome(db: &Database, tenant: TenantId, calls: &[Call]) -> Vec<String> {
    let scope = db.store.scope(tenant);
    let mut lines = Vec::new();
    for call in calls {
        let (found, turns) = scope.call(call.id).await.expect("an answer").expect("a call");
        let turns: Vec<_> = turns.iter().map(|it| (it.turn, &it.caller_text, it.audio_ms)).collect();
        let usage = scope.usage_of_call(call.id).await.expect("an answer").expect("a call");
        lines.push(format!("{:?} {:?} {turns:?} {usage:?}", found.status, found.disposition));
    }
    let month = Month::of(calls[0].started_at);
    lines.push(format!("{:?}", scope.usage_of_month(month).await.expect("an answer")));
    let id = db.literal(tenant.0);
    let events = format!(
        "SELECT e.type, COUNT(*) FROM webhook_events e \
         JOIN webhook_deliveries d ON d.event_id = e.id WHERE e.tenant_id = {id} GROUP BY e.type ORDER BY e.type"
    );
    let events = AllTenants(&db.store).all::<(String, i64)>(composed(events)).await.expect("the outbox");
    lines.extend(events.iter().map(|event| format!("{event:?}")));
    lines
}

async fn a_batch_comes_to_the_same_as_its_entries(db: Database) {
    let mut outcomes = Vec::new();
    for (n, size) in [(1, 1), (2, 7), (3, 1_000)] {
        let route = db.tenant(n).await;
        for kind in [EventType::CallStarted, EventType::CallEnded, EventType::TranscriptReady] {
            db.subscribe(route.tenant.id, kind).await;
        }
        let (calls, entries) = entries(&route);
        for part in entries.chunks(size) {
            db.store.write(part).await.expect("they are written");
        }
        // Whether the first answer arrived is unknown: all is written once more.
        db.store.write(&entries).await.expect("they are written again");
        outcomes.push(outcome(&db, route.tenant.id, &calls).await);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
    let month = outcomes[0].iter().rev().nth(3).expect("the month");
    assert!(month.contains("calls: 6, seconds: 180, turns: 18"), "{month}");
    let started = outcomes[0].iter().find(|line| line.contains("call.started")).expect("events");
    assert!(started.contains("12"), "{started}");
}

async fn an_entry_at_fault_is_set_aside_and_the_others_are_written(db: Database) {
    let (mine, theirs) = (db.tenant(1).await, db.tenant(2).await);
    let ledger = Ledger::with_batches(db.store.clone(), 1_000, 1_000);
    let (calls, entries) = entries(&mine);
    let foreign = Call { phone_number_id: theirs.number.id, ..values::call_to(&mine) };
    let unrecorded = values::turn(&values::call_to(&mine), 1);
    for (n, entry) in entries.iter().enumerate() {
        ledger.record(entry.clone());
        match n {
            20 => ledger.record(Entry::Begin(foreign.clone())),
            40 => ledger.record(Entry::Turn(unrecorded.clone())),
            _ => {}
        }
    }
    written(&ledger).await;
    assert_eq!((ledger.dropped(), ledger.dead_letters()), (0, 2));
    let scope = db.store.scope(mine.tenant.id);
    for call in &calls {
        let (_, turns) = scope.call(call.id).await.expect("an answer").expect("a call");
        assert_eq!(turns.len(), 3);
    }
    let letters = db.store.dead_letters(None, Window::first(9)).await.expect("an answer").items;
    let found: Vec<_> = letters.iter().map(|it| (it.tenant_id, it.call_id, it.kind.as_str())).collect();
    let tenant = mine.tenant.id;
    assert_eq!(found, [(tenant, foreign.id, "begin"), (tenant, unrecorded.call_id, "turn")]);
    let others = db.store.dead_letters(Some(theirs.tenant.id), Window::first(9)).await.expect("an answer");
    assert_eq!(others.items, []);
    assert_eq!(db.store.count_dead_letters().await.expect("an answer"), 2);
}

async fn a_refused_entry_is_written_once_its_cause_is_repaired(db: Database) {
    let route = db.tenant(1).await;
    let ledger = Ledger::new(db.store.clone(), 100);
    let call = values::call_to(&route);
    ledger.record(Entry::Turn(values::turn(&call, 1)));
    written(&ledger).await;
    let letters = db.store.dead_letters(None, Window::first(9)).await.expect("an answer").items;
    let again = db.store.retry_dead_letter(letters[0].id).await;
    assert!(matches!(again, Err(StoreError::Invalid { .. })), "{again:?}");
    let scope = db.store.scope(route.tenant.id);
    scope.begin_call(&call).await.expect("the call is recorded");
    db.store.retry_dead_letter(letters[0].id).await.expect("it is written");
    let (_, turns) = scope.call(call.id).await.expect("an answer").expect("a call");
    assert_eq!(turns, [values::turn(&call, 1)]);
    for outcome in
        [db.store.retry_dead_letter(letters[0].id).await, db.store.discard_dead_letter(letters[0].id).await]
    {
        assert!(matches!(outcome, Err(StoreError::NotFound)), "{outcome:?}");
    }
}

async fn refused_entries_are_kept_in_bounds(db: Database) {
    let route = db.tenant(1).await;
    let (tenant, id) = (db.literal(route.tenant.id.0), "CAST(n AS TEXT)");
    let id = match db.store.backend() {
        Backend::Sqlite => format!("CAST(substr('0000000000000000' || {id}, -16) AS BLOB)"),
        Backend::Postgres => format!("lpad({id}, 32, '0')::uuid"),
    };
    let fill = format!(
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 10000) \
         INSERT INTO ledger_dead_letters SELECT {id}, {tenant}, {id}, 'turn', '{{}}', '-', \
         '2026-11-01T00:00:00+00:00' FROM s"
    );
    db.raw(fill).await.expect("ten thousand");
    let ledger = Ledger::new(db.store.clone(), 100);
    ledger.record(Entry::Turn(values::turn(&values::call_to(&route), 1)));
    written(&ledger).await;
    assert_eq!((ledger.dropped(), ledger.dead_letters()), (1, 0));
}

async fn a_call_that_has_ended_stays_ended(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let ringing = values::call_to(&route);
    let ended = values::completed(&ringing);
    scope.end_call(&ended, &[]).await.expect("it ends");
    let answered = Call { answered_at: ended.answered_at, status: CallStatus::Answered, ..ringing.clone() };
    scope.update_call(&answered).await.expect("an old entry");
    scope.begin_call(&ringing).await.expect("an older one");
    let (found, _) = scope.call(ringing.id).await.expect("an answer").expect("a call");
    assert_eq!(found, ended);
}
