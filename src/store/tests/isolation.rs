//! Nothing crosses tenants: not through a scope, and not past it.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};

use super::{Database, on_both, values};
use crate::billing::Billing;
use crate::store::*;
use crate::tenancy::*;

on_both!(
    another_tenants_scope_reaches_nothing,
    another_tenants_scope_changes_nothing,
    another_tenants_things_are_not_found,
    another_tenants_lists_and_settings_are_its_own,
    another_tenants_deliveries_are_neither_taken_nor_settled,
    another_tenants_month_is_neither_seen_nor_billed,
    an_announced_call_is_its_tenants_alone,
    the_database_refuses_references_across,
);

struct Two {
    mine: Route,
    call: Call,
    turn: CallTurn,
    theirs: Route,
    scope: Scope,
}

/// A tenant with everything, and the scope of another.
async fn two(db: &Database) -> Two {
    let (mine, theirs) = (db.tenant(1).await, db.tenant(2).await);
    let (call, scope) = (values::call_to(&mine), db.store.scope(mine.tenant.id));
    let turn = values::turn(&call, 1);
    scope.begin_call(&call).await.expect("a call");
    scope.add_turn(&turn).await.expect("a turn");
    Two { scope: db.store.scope(theirs.tenant.id), mine, call, turn, theirs }
}

/// What else a tenant has, besides a call that is over; and the scope of another.
struct Things {
    own: Scope,
    theirs: Scope,
    number: NumberId,
    call: CallId,
    key: KeyId,
    webhook: WebhookId,
    secret: SecretString,
    delivery: DeliveryId,
}

async fn things(db: &Database) -> Things {
    let Two { mine, call, scope: theirs, .. } = two(db).await;
    let (own, actor) = (db.store.scope(mine.tenant.id), Actor::system());
    own.end_call(&values::completed(&call), &[engine()]).await.expect("it ends");
    own.create_feedback(&actor, call.id, opinion()).await.expect("feedback");
    let new = NewKey { name: "Front office".to_owned(), role: Role::TenantAdmin, expires_at: None };
    let key = own.create_key(&actor, new).await.expect("a key").key.id;
    let issued = own.create_webhook(&actor, new_webhook()).await.expect("a webhook");
    let webhook = issued.webhook.id;
    let delivery = own.ping_webhook(&actor, webhook).await.expect("a delivery").id;
    let year = Retention { audit_days: Some(365), ..Retention::default() };
    own.set_retention(&actor, year).await.expect("a setting");
    let (number, call) = (mine.number.id, call.id);
    Things { own, theirs, number, call, key, webhook, secret: issued.secret, delivery }
}

fn new_webhook() -> NewWebhook {
    NewWebhook { url: "https://example.com/hooks".to_owned(), events: vec![EventType::CallEnded] }
}

fn opinion() -> NewFeedback {
    NewFeedback { rating: 4, comment: Some("Well done.".to_owned()), source: "caller".to_owned() }
}

fn engine() -> EngineUse {
    EngineUse {
        kind: EngineKind::Llm,
        engine: "openai".to_owned(),
        model: "m".to_owned(),
        unit: UsageUnit::Requests,
        quantity: 7,
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a moment")
}

/// All that a tenant has, as its own scope shows it.
async fn seen(Things { own, webhook, .. }: &Things) -> String {
    let all = Window::first(99);
    let rows = own.export(&Actor::system(), true).await.expect("a document").tables;
    let keys = own.keys(&KeyFilter::default(), all).await.expect("keys").items;
    let log = own.deliveries(*webhook, DeliveryFilter::default(), all).await.expect("a log").items;
    let audit = own.audit(&AuditFilter::default(), all).await.expect("the audit log").items;
    // The export above is in the log itself.
    let audit: Vec<AuditEntry> = audit.into_iter().filter(|entry| entry.action != "export").collect();
    format!("{rows:#?}\n{keys:#?}\n{log:#?}\n{audit:#?}")
}

async fn another_tenants_scope_reaches_nothing(db: Database) {
    let Two { mine, call, theirs, scope, .. } = two(&db).await;
    let number = scope.number(mine.number.id).await;
    assert!(matches!(number, Err(StoreError::NotFound)), "{number:?}");
    assert_eq!(scope.numbers().await.expect("its own"), [theirs.number]);
    let (mine, theirs) = (mine.profile.expect("one"), theirs.profile.expect("one"));
    let profile = scope.profile(mine.id).await;
    assert!(matches!(profile, Err(StoreError::NotFound)), "{profile:?}");
    let versions = scope.profile_versions(mine.id, Window::first(9)).await;
    assert!(matches!(versions, Err(StoreError::NotFound)), "{versions:?}");
    let version = scope.profile_version(mine.id, 1).await;
    assert!(matches!(version, Err(StoreError::NotFound)), "{version:?}");
    assert_eq!(scope.profiles().await.expect("its own"), std::slice::from_ref(&theirs));
    let by_name = scope.profile_named(&mine.name).await.expect("none");
    assert_eq!(by_name.map(|found| found.id), (mine.name == theirs.name).then_some(theirs.id));
    assert_eq!(scope.default_profile().await.expect("its own"), Some(theirs));
    assert_eq!(scope.call(call.id).await.expect("an answer"), None);
    let calls = scope.calls(&CallFilter::default(), Window::first(9)).await.expect("an answer");
    assert_eq!(calls.items, []);
}

async fn another_tenants_scope_changes_nothing(db: Database) {
    let Two { mine, call, turn, theirs, scope } = two(&db).await;
    let foreign = theirs.tenant.id;
    let profile = mine.profile.as_ref().expect("one").id;
    let number = scope.set_number_active(&Actor::system(), mine.number.id, false).await;
    assert!(matches!(number, Err(StoreError::NotFound)), "{number:?}");
    let number = scope.delete_number(&Actor::system(), mine.number.id).await;
    assert!(matches!(number, Err(StoreError::NotFound)), "{number:?}");
    let back = scope.roll_back_profile(&Actor::system(), profile, 1).await;
    assert!(matches!(back, Err(StoreError::NotFound)), "{back:?}");
    let takeover = ProfileChanges { is_default: Some(true), ..ProfileChanges::default() };
    let changed = scope.update_profile(&Actor::system(), profile, takeover).await;
    assert!(matches!(changed, Err(StoreError::NotFound)), "{changed:?}");

    let routing = scope.number_routing(mine.number.id).await;
    assert!(matches!(routing, Err(StoreError::NotFound)), "{routing:?}");
    let any = |_: &NumberRouting| Ok::<(), StoreError>(());
    let to = |profile| NumberRouting { closed_profile_id: Some(profile), ..NumberRouting::default() };
    let own = theirs.profile.as_ref().expect("one").id;
    let routing = scope.set_number_routing_if(&Actor::system(), mine.number.id, &to(own), any).await;
    assert!(matches!(routing, Err(StoreError::NotFound)), "{routing:?}");
    let routing = scope.set_number_routing_if(&Actor::system(), theirs.number.id, &to(profile), any).await;
    assert!(matches!(routing, Err(StoreError::Invalid { .. })), "{routing:?}");

    let any = |_: Option<&PreCallWebhook>| Ok::<(), StoreError>(());
    let (actor, url) = (Actor::system(), "https://example.com/calls");
    let owner = PreCallOwner::Number(mine.number.id);
    let webhook = scope.set_pre_call_webhook_if(&actor, owner, url, 2_000, any).await.map(drop);
    assert!(matches!(webhook, Err(StoreError::NotFound)), "{webhook:?}");
    let webhook = scope.rotate_pre_call_secret(&actor, owner).await.map(drop);
    assert!(matches!(webhook, Err(StoreError::NotFound)), "{webhook:?}");
    for name in [profile.to_string(), "Nobody".to_owned()] {
        let named = scope.named_profile(&NamedProfile { name, version: None }).await.expect("an answer");
        assert_eq!(named, None);
    }

    let completed = values::completed(&call);
    let heard = CallTurn { agent_text: "overwritten".to_owned(), ..turn.clone() };
    let attempts = [
        ("their call as it is", scope.update_call(&completed).await),
        ("their call as ours", scope.update_call(&Call { tenant_id: foreign, ..completed.clone() }).await),
        ("their turn as it is", scope.add_turn(&heard).await),
        ("their turn as ours", scope.add_turn(&CallTurn { tenant_id: foreign, ..heard.clone() }).await),
        ("a new turn", scope.add_turn(&CallTurn { tenant_id: foreign, turn: 7, ..heard.clone() }).await),
    ];
    for (what, outcome) in attempts {
        assert!(matches!(outcome, Err(StoreError::Invalid { .. })), "{what}: {outcome:?}");
    }
    let with_number = Call { tenant_id: foreign, ..values::call_to(&mine) };
    let with_profile = Call { ai_profile_id: Some(profile), ..values::call_to(&theirs) };
    for call in [with_number, with_profile] {
        for outcome in [scope.begin_call(&call).await, scope.update_call(&call).await] {
            assert!(matches!(outcome, Err(StoreError::Invalid { .. })), "{outcome:?}");
        }
    }
    let unharmed = db.store.scope(mine.tenant.id).call(call.id).await.expect("an answer");
    assert_eq!(unharmed, Some((call, vec![turn])));
    assert_eq!(db.store.route(&mine.number.did).await.expect("an answer"), Some(mine));
}

async fn another_tenants_things_are_not_found(db: Database) {
    let things = things(&db).await;
    let Things { ref theirs, number, call, key, webhook, delivery, .. } = things;
    let (before, actor, all) = (seen(&things).await, Actor::system(), Window::first(9));
    let elsewhere = theirs.create_webhook(&actor, new_webhook()).await.expect("one of its own").webhook.id;
    let off = WebhookChanges { is_active: Some(false), ..WebhookChanges::default() };
    let any = DeliveryFilter::default();
    let taken = RegistrationStep {
        action: "register",
        state: ProviderState::Failed,
        detail: "taken",
        reference: None,
        registered_by: RegisteredByChange::Take,
        attempt: RegistrationAttempt::Requested,
    };
    let attempts = [
        ("a key", theirs.key(key).await.map(drop)),
        ("a key revoked", theirs.revoke_key(&actor, key).await.map(drop)),
        ("a key rotated", theirs.rotate_key(&actor, key, Rotation::default()).await.map(drop)),
        ("a webhook", theirs.webhook(webhook).await.map(drop)),
        ("a webhook switched off", theirs.update_webhook(&actor, webhook, off).await.map(drop)),
        ("a webhook's new secret", theirs.rotate_webhook_secret(&actor, webhook).await.map(drop)),
        ("a webhook tested", theirs.ping_webhook(&actor, webhook).await.map(drop)),
        ("a webhook deleted", theirs.delete_webhook(&actor, webhook).await),
        ("a webhook's log", theirs.deliveries(webhook, any, all).await.map(drop)),
        ("a delivery", theirs.delivery(webhook, delivery).await.map(drop)),
        ("a delivery of its own webhook", theirs.delivery(elsewhere, delivery).await.map(drop)),
        ("a retry", theirs.retry_delivery(&actor, webhook, delivery).await.map(drop)),
        ("a retry by its own webhook", theirs.retry_delivery(&actor, elsewhere, delivery).await.map(drop)),
        ("whether there is a call", theirs.has_call(call).await),
        ("feedback", theirs.create_feedback(&actor, call, opinion()).await.map(drop)),
        ("a registration", theirs.registration(number).await.map(drop)),
        ("a registration recorded", theirs.record_registration(&actor, number, &taken).await.map(drop)),
    ];
    for (what, outcome) in attempts {
        assert!(matches!(outcome, Err(StoreError::NotFound)), "{what}: {outcome:?}");
    }
    assert_eq!(seen(&things).await, before);
}

async fn another_tenants_lists_and_settings_are_its_own(db: Database) {
    let things = things(&db).await;
    let Things { ref theirs, call, webhook, .. } = things;
    let (before, all) = (seen(&things).await, Window::first(99));
    assert_eq!(theirs.keys(&KeyFilter::default(), all).await.expect("keys").items, []);
    assert_eq!(theirs.webhooks(all).await.expect("webhooks").items, []);
    let of_call = FeedbackFilter { call: Some(call), ..FeedbackFilter::default() };
    for filter in [of_call, FeedbackFilter::default()] {
        assert_eq!(theirs.feedback(&filter, all).await.expect("feedback").items, []);
    }
    let about = AuditFilter { resource_id: Some(webhook.to_string()), ..AuditFilter::default() };
    assert_eq!(theirs.audit(&about, all).await.expect("the audit log").items, []);
    let audit = theirs.audit(&AuditFilter::default(), all).await.expect("the audit log").items;
    let is_its_own = |entry: &AuditEntry| entry.tenant_id == Some(theirs.tenant_id());
    assert!(!audit.is_empty() && audit.iter().all(is_its_own), "{audit:#?}");
    let rows = theirs.export(&Actor::system(), true).await.expect("a document").tables;
    for table in [
        "webhooks",
        "retention",
        "calls",
        "call_turns",
        "call_usage",
        "call_feedback",
        "analysis_labels",
        "usage_months",
    ] {
        assert!(rows[table].is_empty(), "{table}: {:?}", rows[table]);
    }
    assert_eq!(theirs.retention().await.expect("a setting"), Retention::default());
    let day = Retention { audit_days: Some(1), ..Retention::default() };
    theirs.set_retention(&Actor::system(), day).await.expect("its own setting");
    assert_eq!(seen(&things).await, before);
}

async fn another_tenants_deliveries_are_neither_taken_nor_settled(db: Database) {
    let things = things(&db).await;
    let Things { ref own, ref theirs, webhook, .. } = things;
    let now = Utc::now() + TimeDelta::seconds(1);
    let lease = now + TimeDelta::seconds(60);
    let taken = theirs.claim_deliveries(webhook, now, lease, 9).await;
    assert!(matches!(taken, Err(StoreError::NotFound)), "{taken:?}");
    let rotated = theirs.rotate_webhook_secret(&Actor::system(), webhook).await;
    assert!(matches!(rotated, Err(StoreError::NotFound)), "{rotated:?}");
    let claimed = own.claim_deliveries(webhook, now, lease, 9).await.expect("its own").remove(0);
    let secrets: Vec<&str> =
        claimed.secrets.as_ref().expect("they open").iter().map(|secret| secret.expose_secret()).collect();
    assert_eq!(secrets, [things.secret.expose_secret()]);
    let before = seen(&things).await;
    let gone = DeliveryAttempt {
        at: now,
        response_status: Some(410),
        response_ms: Some(1),
        problem: Some("HTTP 410".to_owned()),
        outcome: DeliveryOutcome::Unsubscribed,
    };
    let is_switched_off = theirs.settle_delivery(&claimed, &gone, now).await.expect("an answer");
    assert!(!is_switched_off);
    assert_eq!(seen(&things).await, before);
}

async fn another_tenants_month_is_neither_seen_nor_billed(db: Database) {
    let Two { mine, call, theirs, scope, .. } = two(&db).await;
    let own = db.store.scope(mine.tenant.id);
    db.began(mine.tenant.id, "2020-11-01T00:00:00+00:00").await;
    own.keep_taken(call.id, &[engine()]).await.expect("what it took so far");
    scope.keep_taken(call.id, &[]).await.expect("another's call is none");
    let untouched = own.usage_of_call(call.id).await.expect("an answer").expect("the call");
    assert_eq!(untouched.engines, [engine()]);
    let begun = Call { started_at: at("2020-11-03T10:00:00Z"), ..values::call_to(&mine) };
    let past = values::completed(&begun);
    own.end_call(&past, &[engine()]).await.expect("it ends");
    for id in [call.id, past.id] {
        assert_eq!(scope.usage_of_call(id).await.expect("an answer"), None);
    }
    let (month, nothing): (Month, _) = ("2020-11".parse().expect("a month"), Usage::default());
    assert_eq!(scope.usage_of_month(month).await.expect("an answer"), nothing);
    let (first, last) = (month.first_day(), month.last_day());
    assert_eq!(scope.usage_of_days(first, last).await.expect("an answer"), nothing);
    let billing = Billing::default();
    db.began(mine.tenant.id, "2020-11-01T00:00:00+00:00").await;
    let due = IssueRequest { month: None, tenant: None, accept_unpriced: false, dry_run: false };
    for is_final in [false, true] {
        let owners = own.statement(&billing, month).await.expect("a statement");
        assert_eq!((owners.is_final, owners.sums.seconds), (is_final, 60));
        let empty = scope.statement(&billing, month).await.expect("a statement");
        assert_eq!((empty.tenant_id, empty.is_final), (theirs.tenant.id, false));
        assert_eq!((empty.sums, empty.bill.total_micros), (nothing.sums, 0));
        let now = at("2020-12-05T00:00:00Z");
        db.store.issue_statements(&billing, &due, &Actor::system(), now).await.expect("an answer");
    }
}

async fn an_announced_call_is_its_tenants_alone(db: Database) {
    let Two { mine, theirs, scope, .. } = two(&db).await;
    let own = db.store.scope(mine.tenant.id);
    let told = |call: CallId, route: &Route, channel: &str| NewAnnouncement {
        call,
        number: route.number.id,
        channel: channel.to_owned(),
        caller: None,
        called: route.number.did.clone(),
        at: Utc::now(),
    };
    let (call, other) = (CallId::new(), CallId::new());
    assert_eq!(own.announce(&told(call, &mine, "1.1")).await.expect("a record"), call);
    let before = own.call(call).await.expect("an answer");
    assert!(before.is_some());
    let same = scope.announce(&told(other, &theirs, "1.1")).await;
    assert_eq!(same.expect("a record of its own"), other, "the same channel");
    for (what, attempt) in [
        ("another's number", told(CallId::new(), &mine, "1.2")),
        ("another's record", told(call, &theirs, "1.3")),
    ] {
        let outcome = scope.announce(&attempt).await;
        assert!(matches!(outcome, Err(StoreError::Invalid { .. })), "{what}: {outcome:?}");
    }
    assert_eq!(scope.call(call).await.expect("an answer"), None);
    assert_eq!(own.call(call).await.expect("an answer"), before);
    assert_eq!(own.announce(&told(CallId::new(), &mine, "1.1")).await.expect("it is known"), call);
}

async fn the_database_refuses_references_across(db: Database) {
    let Two { mine, call, theirs, .. } = two(&db).await;
    let theirs_id = db.literal(theirs.tenant.id.0);
    let (number, profile) = (mine.number.id, mine.profile.expect("one").id);
    let statements = [
        format!("UPDATE phone_numbers SET tenant_id = {theirs_id} WHERE id = {}", db.literal(number.0)),
        format!(
            "UPDATE ai_profiles SET is_default = FALSE, tenant_id = {theirs_id} WHERE id = {}",
            db.literal(profile.0)
        ),
        format!("UPDATE calls SET tenant_id = {theirs_id} WHERE id = {}", db.literal(call.id.0)),
        format!("UPDATE calls SET phone_number_id = {}", db.literal(theirs.number.id.0)),
        format!("UPDATE calls SET ai_profile_id = {}", db.literal(theirs.profile.expect("one").id.0)),
        format!("UPDATE call_turns SET tenant_id = {theirs_id}"),
    ];
    for statement in statements {
        let outcome = db.raw(statement.clone()).await;
        let refused = outcome.as_ref().is_err_and(|error| {
            error.as_database_error().is_some_and(|reported| reported.is_foreign_key_violation())
        });
        assert!(refused, "{statement}: {outcome:?}");
    }
}
