//! Calls that are told of before their channel comes.

use chrono::Utc;

use super::{Database, on_both, values};
use crate::store::statement::sql;
use crate::store::tx::{AllTenants, RowScope};
use crate::store::*;
use crate::tenancy::*;

on_both!(an_announced_call_is_told_of_as_started_once,);

async fn an_announced_call_is_told_of_as_started_once(db: Database) {
    let route = db.tenant(1).await;
    for kind in [EventType::CallStarted, EventType::CallEnded] {
        db.subscribe(route.tenant.id, kind).await;
    }
    let scope = db.store.scope(route.tenant.id);
    let ringing = values::call_to(&route);
    let new = NewAnnouncement {
        call: ringing.id,
        number: route.number.id,
        channel: ringing.asterisk_channel_id.clone(),
        caller: ringing.caller_number.clone(),
        called: route.number.did.clone(),
        at: Utc::now(),
    };
    for _ in 0..2 {
        assert_eq!(scope.announce(&new).await.expect("a record"), ringing.id);
    }
    // Its channel comes, and its task puts it on record once more.
    scope.begin_call(&ringing).await.expect("it is there");
    assert_eq!(events(&db).await, ["call.started"]);
    scope.update_call(&values::completed(&ringing)).await.expect("it ends");
    assert_eq!(events(&db).await, ["call.ended", "call.started"]);
}

async fn events(db: &Database) -> Vec<String> {
    let select = sql("SELECT type FROM webhook_events ORDER BY type");
    let rows = AllTenants(&db.store).all::<(String,)>(select).await.expect("the outbox");
    rows.into_iter().map(|(kind,)| kind).collect()
}
