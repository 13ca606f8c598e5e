//! A database that goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Database, on_both, values};
use crate::store::pool::Pool;
use crate::store::*;
use crate::tenancy::*;

on_both!(
    the_ledger_writes_in_order_once_the_database_is_back,
    the_ledger_goes_on_after_a_refusal,
    the_ledger_does_not_wait_for_ever_at_the_end,
    routing_goes_on_by_the_last_answers,
    a_number_as_it_is_dialled_in_the_country_is_routed_by_the_last_answer,
    an_unfinished_write_does_not_hold_up_others,
);

/// While it lives, the store's one connection is taken, and whoever wants it waits in vain.
#[expect(dead_code, reason = "what it holds is its whole use")]
pub enum Outage {
    Sqlite(sqlx::pool::PoolConnection<sqlx::Sqlite>),
    Postgres(sqlx::pool::PoolConnection<sqlx::Postgres>),
}

pub async fn take_away(store: &Store) -> Outage {
    loop {
        let taken = match &store.pool {
            Pool::Sqlite(pool) => pool.acquire().await.map(Outage::Sqlite),
            Pool::Postgres(pool) => pool.acquire().await.map(Outage::Postgres),
        };
        if let Ok(outage) = taken {
            return outage;
        }
    }
}

pub async fn written(ledger: &Ledger) {
    let all = async {
        while ledger.pending() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the ledger has caught up");
}

/// A call from ring to end.
pub fn record_all(ledger: &Ledger, ringing: &Call) -> (Call, Vec<CallTurn>) {
    let completed = values::completed(ringing);
    let turns: Vec<CallTurn> = (0..5).map(|n| values::turn(ringing, n)).collect();
    ledger.record(Entry::Begin(ringing.clone()));
    turns.iter().for_each(|turn| ledger.record(Entry::Turn(turn.clone())));
    ledger.record(Entry::Update(completed.clone()));
    (completed, turns)
}

async fn the_ledger_writes_in_order_once_the_database_is_back(db: Database) {
    let route = db.tenant(1).await;
    let store = db.impatient().await;
    let ledger = Ledger::new(store.clone(), 100);
    let outage = take_away(&store).await;
    let ringing = values::call_to(&route);
    let expected = record_all(&ledger, &ringing);
    // The writer has tried and failed at least once, and nothing has been lost.
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!((ledger.pending(), ledger.dropped()), (7, 0));
    drop(outage);
    written(&ledger).await;
    // A turn before its call, or an end before its beginning, would have been refused or undone.
    let found = db.store.scope(route.tenant.id).call(ringing.id).await.expect("an answer");
    assert_eq!((found, ledger.dropped()), (Some(expected), 0));
}

async fn the_ledger_goes_on_after_a_refusal(db: Database) {
    let route = db.tenant(1).await;
    let ledger = Ledger::new(db.store.clone(), 100);
    let unknown = values::call();
    ledger.record(Entry::Begin(unknown.clone()));
    ledger.record(Entry::Turn(values::turn(&unknown, 1)));
    let ringing = values::call_to(&route);
    let expected = record_all(&ledger, &ringing);
    assert_eq!(ledger.close(Duration::from_secs(20)).await, 0);
    let found = db.store.scope(route.tenant.id).call(ringing.id).await.expect("an answer");
    assert_eq!((found, ledger.dropped()), (Some(expected), 2));
    ledger.record(Entry::Begin(ringing));
    assert_eq!((ledger.pending(), ledger.dropped()), (0, 3), "what comes after the end is dropped");
}

async fn the_ledger_does_not_wait_for_ever_at_the_end(db: Database) {
    let route = db.tenant(1).await;
    let store = db.impatient().await;
    let ledger = Ledger::new(store.clone(), 100);
    let _outage = take_away(&store).await;
    record_all(&ledger, &values::call_to(&route));
    assert_eq!(ledger.close(Duration::from_millis(200)).await, 7);
}

async fn routing_goes_on_by_the_last_answers(db: Database) {
    let route = db.tenant(1).await;
    let store = db.impatient().await;
    let routing = Routing::new(store.clone(), &RoutingSettings::default());
    let (known, unknown) = (values::did(1), values::did(9));
    assert_eq!(routing.resolve(&known).await.expect("an answer").as_deref(), Some(&route));

    let outage = take_away(&store).await;
    assert_eq!(routing.resolve(&known).await.expect("its last answer").as_deref(), Some(&route));
    let outcome = routing.resolve(&unknown).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
    drop(outage);

    let suspended = TenantChanges { status: Some(TenantStatus::Suspended), ..TenantChanges::default() };
    db.store.update_tenant(&Actor::system(), route.tenant.id, suspended).await.expect("suspended");
    let now = routing.resolve(&known).await.expect("an answer").expect("a route");
    assert_eq!(now.tenant.status, TenantStatus::Suspended, "a database that answers is believed");

    let moved = format!("UPDATE phone_numbers SET did = '{}'", values::did(2).digits());
    db.raw(moved).await.expect("the number is somebody else's");
    assert_eq!(routing.resolve(&known).await.expect("an answer"), None);
    let _outage = take_away(&store).await;
    let outcome = routing.resolve(&known).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "a number that is gone is forgotten");
}

async fn a_number_as_it_is_dialled_in_the_country_is_routed_by_the_last_answer(db: Database) {
    let tenant = db.tenant(1).await.tenant.id;
    let did: Did = "+493055500100".parse().expect("a DID");
    let new = NewNumber { did: did.clone(), provider_type: ProviderType::Generic };
    db.store.scope(tenant).create_number(&Actor::system(), new).await.expect("a number");
    let store = db.impatient().await;
    let german: Numbering =
        serde_json::from_value(serde_json::json!({ "default_region": "DE" })).expect("settings");
    let routing = Routing::new(store.clone(), &RoutingSettings::default()).with_numbering(german);
    for (what, text) in [("at home", "03055500100"), ("abroad", "+493055500100")] {
        let found = routing.dialled(text).await.expect("an answer").expect("a route");
        assert_eq!(found.0, did, "{what}");
    }
    let _outage = take_away(&store).await;
    let found = routing.dialled("03055500100").await.expect("its last answer").expect("a route");
    assert_eq!((found.0, found.1.tenant.id), (did, tenant));
    let outcome = routing.dialled("03055500101").await;
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
}

async fn an_unfinished_write_does_not_hold_up_others(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    for _ in 0..20 {
        let profile = route.profile.as_ref().expect("one").id;
        let change = ProfileChanges { is_default: Some(true), ..ProfileChanges::default() };
        // Whoever waited for it has gone: the transaction is rolled back, not left open.
        let _ = tokio::time::timeout(
            Duration::from_micros(300),
            scope.update_profile(&Actor::system(), profile, change),
        )
        .await;
        let change = ProfileChanges { name: Some("Day".to_owned()), ..ProfileChanges::default() };
        scope.update_profile(&Actor::system(), profile, change).await.expect("the next write");
    }
}

/// A way to a server that can be cut and mended.
struct Wire {
    port: u16,
    server: String,
    connections: Option<tokio::task::JoinHandle<()>>,
}

impl Wire {
    async fn mend(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.expect("the port is free");
        self.port = listener.local_addr().expect("bound").port();
        let server = Arc::new(self.server.clone());
        self.connections = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(server.as_str()).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        }));
    }

    async fn cut(&mut self) {
        if let Some(connections) = self.connections.take() {
            connections.abort();
            let _ = connections.await;
        }
    }
}

async fn the_ledger_survives_a_cut_wire(db: Database) {
    let route = db.tenant(1).await;
    let direct = super::url(&db.settings);
    let (_, rest) = direct.split_once("://").expect("VCA_TEST_DATABASE_URL is a URL");
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let server = rest.split(['/', '?']).next().expect("VCA_TEST_DATABASE_URL names host and port").to_owned();
    let mut wire = Wire { port: 0, server: server.clone(), connections: None };
    wire.mend().await;
    let url = direct.replace(&server, &format!("127.0.0.1:{}", wire.port));
    let settings = Settings { url: url.into(), query_timeout_ms: 500, ..db.settings.clone() };
    let store = Store::open(&settings).await.expect("the wire is whole");
    let ledger = Ledger::new(store.clone(), 100);
    let (before, after) = (values::call_to(&route), values::call_to(&route));
    let first = record_all(&ledger, &before);
    written(&ledger).await;
    wire.cut().await;
    let outcome = store.ping().await;
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
    let second = record_all(&ledger, &after);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(ledger.pending(), 7);
    wire.mend().await;
    written(&ledger).await;
    let scope = db.store.scope(route.tenant.id);
    assert_eq!(scope.call(before.id).await.expect("an answer"), Some(first));
    assert_eq!(scope.call(after.id).await.expect("an answer"), Some(second));
    assert_eq!(ledger.dropped(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_survives_a_cut_wire_to_postgres() {
    super::on_postgres(the_ledger_survives_a_cut_wire).await;
}
