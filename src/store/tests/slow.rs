//! The database itself ends a statement that takes too long, and what SQLite has rolled back holds nothing up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::{FutureExt, TryFutureExt};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{Database, on_both, on_sqlite, values};
use crate::store::pool::{Pool, sqlite_pool_options};
use crate::store::statement::sql;
use crate::store::tx::{AllTenants, RowScope};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    a_statement_that_takes_too_long_is_ended_by_the_database,
    a_statement_whose_caller_has_gone_is_ended_by_the_database,
    slow_readers_do_not_hold_up_calls,
);

/// A count without an end.
const ENDLESS: &str = "WITH RECURSIVE s(n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM s) \
    SELECT COUNT(*) FROM s";

async fn a_statement_that_takes_too_long_is_ended_by_the_database(db: Database) {
    let store = db.impatient().await;
    for _ in 0..3 {
        let outcome = AllTenants(&store).all::<(i64,)>(sql(ENDLESS)).await;
        assert!(matches!(outcome, Err(StoreError::TooSlow { .. })), "{outcome:?}");
        // The one connection there is.
        answers(&store).await;
    }
}

async fn a_statement_whose_caller_has_gone_is_ended_by_the_database(db: Database) {
    let store = db.impatient().await;
    let count = store.clone();
    let task = tokio::spawn(async move { AllTenants(&count).all::<(i64,)>(sql(ENDLESS)).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    task.abort();
    answers(&store).await;
}

async fn answers(store: &Store) {
    let deadline = Instant::now() + Duration::from_secs(3);
    while let Err(error) = store.ping().await {
        assert!(Instant::now() < deadline, "the connection is not free: {error}");
    }
}

async fn slow_readers_do_not_hold_up_calls(db: Database) {
    let route = db.tenant(1).await;
    let calls = db.store.for_calls(&db.settings);
    calls.ping().await.expect("its connections are open");
    // Shorter than the readers' statements last, and longer than a machine takes that they keep busy.
    let settings = RoutingSettings { timeout_ms: 4_000, ..RoutingSettings::default() };
    let routing = Routing::new(calls.clone(), &settings);
    let readers: Vec<_> = (0..24)
        .map(|_| {
            let store = db.store.clone();
            tokio::spawn(async move { AllTenants(&store).all::<(i64,)>(sql(ENDLESS)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Not cached: the database has to say.
    let found = routing.resolve(&values::did(1)).await.expect("an answer").expect("a route");
    assert_eq!(found.tenant.id, route.tenant.id);
    let scope = calls.scope(route.tenant.id);
    scope.begin_call(&values::call_to(&route)).await.expect("it is recorded");
    readers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_spoils_no_connection() {
    on_sqlite(async |db: Database| {
        let route = db.tenant(1).await;
        let store = db.impatient().await;
        let scope = store.scope(route.tenant.id);
        let call = values::call_to(&route);
        scope.begin_call(&call).await.expect("there is room");
        let pages = |limit: &str| format!("PRAGMA max_page_count = {limit}");
        // It is a setting of the connection, of which this store has one.
        let full = Database { settings: db.settings.clone(), store: store.clone() };
        full.raw(pages("1")).await.expect("no more pages");
        let long = CallTurn { caller_text: "a".repeat(1_000_000), ..values::turn(&call, 1) };
        let refused = scope.add_turn(&long).await.expect_err("there is no room");
        assert!(refused.is_away(), "{refused:?}");
        // The connection was closed: the next one has no such limit, and no transaction that is half open.
        scope.add_turn(&long).await.expect("there is room again");
    })
    .await;
}

async fn limit(connection: &mut SqliteConnection, pages: u32) -> Result<(), sqlx::Error> {
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::raw_sql(AssertSqlSafe(limit)).execute(connection).await.map(drop)
}

/// A store on a disk with only as much room as the test allows: beyond `max_page_count` pages SQLite fails and rolls back as
/// it does on a full disk. A new connection has the present limit, and one that is used again gets it.
fn on_small_disk(db: &Database, pages: &Arc<AtomicU32>) -> Store {
    let Pool::Sqlite(pool) = &db.store.pool else { panic!("not SQLite") };
    let (on_connect, on_reuse) = (pages.clone(), pages.clone());
    let options = sqlite_pool_options(&db.settings, 0..=2)
        .after_connect(move |connection, _| limit(connection, on_connect.load(Ordering::SeqCst)).boxed())
        .before_acquire(move |connection, _| {
            limit(connection, on_reuse.load(Ordering::SeqCst)).map_ok(|()| true).boxed()
        });
    let pool = options.connect_lazy_with((*pool.connect_options()).clone());
    Store { pool: Pool::Sqlite(pool), ..db.store.clone() }
}

/// Operator finding A1: the records of calls wait for room, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_wait_until_a_full_disk_has_room_again() {
    on_sqlite(async |db: Database| {
        let route = db.tenant(1).await;
        let pages = Arc::new(AtomicU32::new(1));
        let store = on_small_disk(&db, &pages);
        let ledger = Ledger::new(store.clone(), 1_000);
        let calls: Vec<Call> = (0..3).map(|_| values::call_to(&route)).collect();
        for call in &calls {
            ledger.record(Entry::Begin(call.clone()));
            let long = CallTurn { caller_text: "a".repeat(100_000), ..values::turn(call, 1) };
            ledger.record(Entry::Turn(long));
            ledger.record(Entry::End(values::completed(call), Vec::new()));
        }
        let scope = store.scope(route.tenant.id);
        // Each of these fails on its own connection, after the ledger has failed on another.
        for _ in 0..4 {
            let long = CallTurn { caller_text: "a".repeat(100_000), ..values::turn(&calls[0], 2) };
            scope.add_turn(&long).await.expect_err("there is no room");
        }
        assert_eq!(ledger.pending(), 9, "all of them wait");
        pages.store(u32::MAX / 2, Ordering::SeqCst);
        super::outage::written(&ledger).await;
        for call in &calls {
            let (record, turns) = scope.call(call.id).await.expect("an answer").expect("it is recorded");
            assert!(record.ended_at.is_some() && turns.len() == 1, "{record:?}");
        }
        assert_eq!(store.dead_letters(None, Window::first(9)).await.expect("a page").items.len(), 0);
        assert_eq!(ledger.close(Duration::from_secs(5)).await, 0, "nothing was dropped");
    })
    .await;
}
