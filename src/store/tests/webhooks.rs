//! Webhooks that are changed by several at once: by their owners, and by the deliverer.

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::*;

on_both!(
    changes_at_once_undo_nothing,
    what_the_deliverer_switches_off_stays_off,
    there_are_twenty_at_most_however_many_come_at_once,
    a_transfer_is_announced_with_the_agents_summary,
);

fn new(n: usize) -> NewWebhook {
    NewWebhook { url: format!("https://example.com/{n}"), events: vec![EventType::CallEnded] }
}

/// A webhook, and the scope of its tenant.
async fn webhook(db: &Database) -> (Scope, WebhookId) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let issued = scope.create_webhook(&Actor::system(), new(0)).await.expect("a webhook");
    (scope, issued.webhook.id)
}

async fn changes_at_once_undo_nothing(db: Database) {
    let (scope, id) = webhook(&db).await;
    let actor = Actor::system();
    for round in 0..10 {
        let url = format!("https://example.com/round/{round}");
        let events = vec![if round % 2 == 0 { EventType::CallStarted } else { EventType::CallEnded }];
        let moved = WebhookChanges { url: Some(url.clone()), ..WebhookChanges::default() };
        let subscribed = WebhookChanges { events: Some(events.clone()), ..WebhookChanges::default() };
        let (one, other) = tokio::join!(
            scope.update_webhook(&actor, id, moved),
            scope.update_webhook(&actor, id, subscribed),
        );
        one.and(other).expect("they wait for each other; none fails");
        let webhook = scope.webhook(id).await.expect("it is there");
        assert_eq!((webhook.url, webhook.events), (url, events));
    }
}

async fn what_the_deliverer_switches_off_stays_off(db: Database) {
    let (scope, id) = webhook(&db).await;
    let actor = Actor::system();
    for round in 0..10 {
        let on = WebhookChanges { is_active: Some(true), ..WebhookChanges::default() };
        scope.update_webhook(&actor, id, on).await.expect("it is on");
        scope.ping_webhook(&actor, id).await.expect("a delivery");
        let now = Utc::now();
        let lease = now + TimeDelta::seconds(20);
        let claimed = scope.claim_deliveries(id, now, lease, 1).await.expect("a claim").remove(0);
        let gone = DeliveryAttempt {
            at: now,
            response_status: Some(410),
            response_ms: Some(1),
            problem: Some("HTTP 410".to_owned()),
            outcome: DeliveryOutcome::Unsubscribed,
        };
        let url = format!("https://example.com/round/{round}");
        let moved = WebhookChanges { url: Some(url.clone()), ..WebhookChanges::default() };
        let (settled, moved) = tokio::join!(
            scope.settle_delivery(&claimed, &gone, now - TimeDelta::days(5)),
            scope.update_webhook(&actor, id, moved),
        );
        assert!(settled.expect("it is recorded"), "it was switched off");
        moved.expect("they wait for each other; none fails");
        let webhook = scope.webhook(id).await.expect("it is there");
        assert_eq!((webhook.is_active, webhook.url), (false, url), "round {round}");
    }
}

async fn there_are_twenty_at_most_however_many_come_at_once(db: Database) {
    let (scope, _) = webhook(&db).await;
    let actor = Actor::system();
    for n in 1..16 {
        scope.create_webhook(&actor, new(n)).await.expect("a webhook");
    }
    let outcomes = join_all((16..28).map(|n| scope.create_webhook(&actor, new(n)))).await;
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::LimitReached(_))));
    assert_eq!(refused.count(), 8, "{outcomes:?}");
    let webhooks = scope.webhooks(Window::first(99)).await.expect("a page").items;
    assert_eq!(webhooks.len(), 20);
}

async fn a_transfer_is_announced_with_the_agents_summary(db: Database) {
    let route = db.tenant(1).await;
    let scope = db.store.scope(route.tenant.id);
    let events = vec![EventType::CallTransferred];
    let new = NewWebhook { url: "https://example.com/desktop".into(), events };
    let webhook = scope.create_webhook(&Actor::system(), new).await.expect("a webhook").webhook.id;
    let call = values::call_to(&route);
    let mut transfer = values::transfer(&call, "Ada Quince. Her order is late.");
    scope.begin_call(&call).await.expect("a call");
    for outcome in [TransferOutcome::Ringing, TransferOutcome::Connected] {
        transfer.outcome = outcome;
        let call = Call { transfers: vec![transfer.clone()], ..call.clone() };
        scope.update_call(&call).await.expect("a change");
    }
    let now = Utc::now();
    let lease = now + TimeDelta::seconds(20);
    let claimed = scope.claim_deliveries(webhook, now, lease, 9).await.expect("a claim");
    let [delivery] = &claimed[..] else { panic!("{} deliveries", claimed.len()) };
    let payload: serde_json::Value = serde_json::from_str(&delivery.payload).expect("JSON");
    assert_eq!(payload["type"], "call.transferred");
    let transfer = &payload["data"]["transfers"][0];
    assert_eq!(transfer["summary"], "Ada Quince. Her order is late.", "{payload}");
    assert_eq!(transfer["outcome"], "connected");
}
