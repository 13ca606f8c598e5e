//! Webhooks over HTTP, and what their receivers get: everything, signed, at least once, whatever happens.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vca::store::{
    AuditFilter, NewNumber, RegisteredByChange, RegistrationAttempt, RegistrationStep, Scope, Window,
};
use vca::tenancy::*;
use vca::webhooks::Deliverer;

use super::api_server::{ApiServer, Client, receivers};
use super::{documented, on_both};
use crate::support::receiver::{Answer, Receiver, Request};

on_both!(
    a_webhook_is_made_changed_and_deleted,
    what_cannot_be_a_webhook_is_refused,
    what_befalls_a_call_is_told_once,
    opinions_and_failed_registrations_are_told_of,
    calls_of_a_killed_daemon_are_told_of,
    a_failing_receiver_is_tried_for_three_days_and_switched_off_after_five,
    a_receiver_that_is_gone_is_asked_no_more,
    two_daemons_send_everything_once,
    a_lease_that_ends_brings_an_event_up_again,
    a_slow_receiver_holds_nobody_up,
    slow_receivers_of_two_tenants_do_not_delay_a_third,
    after_a_rotation_both_secrets_sign,
    an_event_is_sent_once_more,
    what_is_over_is_forgotten_in_time,
    an_address_that_is_not_public_is_not_reached,
);

fn deliverer(api: &ApiServer) -> Deliverer {
    Deliverer::new(api.store.clone(), receivers()).expect("a deliverer")
}

/// A request's payload, which is as the document describes it.
fn payload(request: &Request) -> Value {
    let payload = request.json();
    documented::check_event(&payload);
    payload
}

/// A tenant with a webhook.
struct Subscriber {
    id: Uuid,
    scope: Scope,
    admin: Client,
    webhook: WebhookId,
    secret: String,
    /// The webhook's path.
    path: String,
}

impl Subscriber {
    async fn new(api: &ApiServer, url: &str, events: &[&str]) -> Subscriber {
        let (id, admin) = api.tenant("Bakery").await;
        let path = format!("/api/tenants/{id}/webhooks");
        let made = admin.post(&path, json!({ "url": url, "events": events })).await.expect(201);
        let secret = made["secret"].as_str().expect("a secret").to_owned();
        let webhook = made["id"].as_str().expect("an id");
        Subscriber {
            id,
            scope: api.store.scope(TenantId(id)),
            admin,
            secret,
            path: format!("{path}/{webhook}"),
            webhook: webhook.parse().expect("an id"),
        }
    }

    async fn ping(&self) -> Value {
        self.admin.post(&format!("{}/ping", self.path), json!({})).await.expect(202)
    }

    async fn log(&self, query: &str) -> Vec<Value> {
        let page = self.admin.get(&format!("{}/deliveries{query}", self.path)).await.expect(200);
        page["items"].as_array().expect("items").clone()
    }

    async fn shown(&self) -> Value {
        self.admin.get(&self.path).await.expect(200)
    }

    /// The audit log as text.
    async fn audit(&self) -> String {
        let page = self.scope.audit(&AuditFilter::default(), Window::first(100)).await.expect("a log");
        serde_json::to_string(&page.items).expect("JSON")
    }

    /// A call that comes in, is answered, and ends; each record is written twice, as a ledger in doubt does.
    async fn call(&self, did: &str) -> Call {
        let mut call = ringing(&self.scope, did).await;
        for _ in 0..2 {
            self.scope.begin_call(&call).await.expect("a call");
        }
        call.status = CallStatus::Answered;
        call.answered_at = Some(call.started_at + TimeDelta::seconds(1));
        for _ in 0..2 {
            self.scope.update_call(&call).await.expect("a call");
            self.scope.add_turn(&turn(&call)).await.expect("a turn");
        }
        call.status = CallStatus::Completed;
        call.ended_by = Some(EndedBy::Caller);
        call.disposition = Some("caller_hung_up".to_owned());
        call.ended_at = Some(call.started_at + TimeDelta::seconds(31));
        for _ in 0..2 {
            self.scope.update_call(&call).await.expect("a call");
        }
        call
    }
}

async fn ringing(scope: &Scope, did: &str) -> Call {
    let new = NewNumber { did: did.parse().expect("a DID"), provider_type: ProviderType::Generic };
    let number = scope.create_number(&Actor::system(), new).await.expect("a number");
    Call {
        id: CallId::new(),
        tenant_id: scope.tenant_id(),
        phone_number_id: number.id,
        ai_profile_id: None,
        ai_profile_version: None,
        routing_version: None,
        asterisk_channel_id: "1700000000.42".to_owned(),
        direction: Direction::Inbound,
        caller_number: Some("+49301234".to_owned()),
        called_number: number.did,
        status: CallStatus::Ringing,
        ended_by: None,
        disposition: None,
        hangup_cause: None,
        sip_status: None,
        provider_call_id: None,
        started_at: Utc::now(),
        answered_at: None,
        ended_at: None,
        codec: None,
        media: None,
        failure_reason: None,
        notice_heard_at: None,
        emergency_at: None,
        engine_failures: Vec::new(),
        fields: Default::default(),
        transfers: Vec::new(),
        analysis: None,
        pre_call: None,
        agent_changes: Vec::new(),
    }
}

fn turn(call: &Call) -> CallTurn {
    CallTurn {
        call_id: call.id,
        tenant_id: call.tenant_id,
        turn: 1,
        caller_text: "Do you have rye bread?".to_owned(),
        agent_text: "We do.".to_owned(),
        interrupted: false,
        spoken_by: Default::default(),
        target_text: None,
        pause_ms: None,
        transcript_ms: None,
        clause_ms: None,
        speech_ms: None,
        reply_ms: None,
        commit_ms: None,
        audio_ms: None,
        tools: Vec::new(),
        at: call.started_at,
    }
}

/// The types that were told of, in the order of the words.
fn types(requests: &[Request]) -> Vec<String> {
    let mut types: Vec<_> =
        requests.iter().map(|request| request.json()["type"].as_str().expect("a type").to_owned()).collect();
    types.sort();
    types
}

fn moment(value: &Value) -> DateTime<Utc> {
    value.as_str().expect("a time").parse().expect("a time")
}

async fn a_webhook_is_made_changed_and_deleted(api: ApiServer) {
    let hook = Subscriber::new(&api, "https://example.com/a", &["call.ended", "call.started"]).await;
    assert!(hook.secret.starts_with("whsec_"));
    let shown = hook.shown().await;
    assert_eq!(shown["events"], json!(["call.started", "call.ended"]));
    assert_eq!((&shown["is_active"], &shown["secret"]), (&json!(true), &Value::Null));
    let list = hook.admin.get(&format!("/api/tenants/{}/webhooks", hook.id)).await.expect(200);
    assert_eq!(list, json!({ "items": [shown], "next_cursor": null }));

    let changes = json!({ "url": "https://example.com/b", "events": ["quota.reached"], "is_active": false });
    let changed = hook.admin.patch(&hook.path, changes).await.expect(200);
    assert_eq!(changed["url"], "https://example.com/b");
    assert_eq!((&changed["events"], &changed["is_active"]), (&json!(["quota.reached"]), &json!(false)));
    let rotated = hook.admin.post(&format!("{}/rotate-secret", hook.path), json!({})).await.expect(200);
    let newer = rotated["secret"].as_str().expect("a secret");
    assert_ne!(newer, hook.secret);

    let viewer = api.client_of(hook.id, Role::TenantViewer).await;
    viewer.get(&hook.path).await.expect(200);
    viewer.get(&format!("{}/deliveries", hook.path)).await.expect(200);
    assert_eq!(viewer.post(&format!("{}/ping", hook.path), json!({})).await.problem(403), "read_only_key");
    assert_eq!(viewer.delete(&hook.path).await.problem(403), "read_only_key");

    hook.admin.delete(&hook.path).await.expect(204);
    for path in [hook.path.clone(), format!("{}/deliveries", hook.path)] {
        assert_eq!(hook.admin.get(&path).await.problem(404), "not_found");
    }
    assert_eq!(hook.admin.delete(&hook.path).await.problem(404), "not_found");
    let audit = hook.audit().await;
    for action in ["create", "update", "rotate_secret", "delete"] {
        assert!(audit.contains(&format!("\"action\":\"{action}\"")), "{action}: {audit}");
    }
    assert!(!audit.contains("whsec_") && !audit.contains(newer), "{audit}");
}

async fn what_cannot_be_a_webhook_is_refused(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let path = format!("/api/tenants/{id}/webhooks");
    let good = "https://example.com/";
    for body in [
        json!({ "url": good, "events": [] }),
        json!({ "url": good, "events": ["ping"] }),
        json!({ "url": good, "events": ["call.eaten"] }),
        json!({ "url": good, "events": ["call.ended"], "secret": "mine" }),
        json!({ "url": "example.com", "events": ["call.ended"] }),
        json!({ "url": "ftp://example.com/", "events": ["call.ended"] }),
        json!({ "url": "https://me:you@example.com/", "events": ["call.ended"] }),
    ] {
        assert_eq!(admin.post(&path, body).await.problem(400), "invalid_value");
    }
    assert_eq!(admin.post(&path, json!({ "url": good })).await.problem(400), "invalid_value");
    for n in 0..20 {
        let body = json!({ "url": format!("{good}{n}"), "events": ["call.ended"] });
        admin.post(&path, body).await.expect(201);
    }
    let body = json!({ "url": good, "events": ["call.ended"] });
    assert_eq!(admin.post(&path, body).await.problem(409), "limit_reached");
}

async fn what_befalls_a_call_is_told_once(api: ApiServer) {
    let receiver = Receiver::start();
    let every = ["call.started", "call.answered", "call.ended", "transcript.ready"];
    let hook = Subscriber::new(&api, &receiver.url("/all"), &every).await;
    let other = Subscriber::new(&api, &receiver.url("/other"), &every).await;
    let started = json!({ "url": receiver.url("/started"), "events": ["call.started"] });
    hook.admin.post(&format!("/api/tenants/{}/webhooks", hook.id), started).await.expect(201);
    let call = hook.call("+49301000").await;
    let mut deliverer = deliverer(&api);
    deliverer.round(Utc::now()).await.expect("a round");
    deliverer.round(Utc::now()).await.expect("another");

    let all = receiver.requests_to("/all");
    assert_eq!(types(&all), ["call.answered", "call.ended", "call.started", "transcript.ready"]);
    assert_eq!(types(&receiver.requests_to("/started")), ["call.started"]);
    assert_eq!(receiver.requests_to("/other").len(), 0, "another tenant hears nothing");
    assert!(all.iter().all(|request| request.is_signed_with(&hook.secret)));
    assert!(!all.iter().any(|request| request.is_signed_with(&other.secret)));

    let body = |kind: &str| all.iter().map(payload).find(|body| body["type"] == kind).expect(kind);
    let ended = body("call.ended");
    assert!(moment(&ended["timestamp"]) > call.started_at);
    let data = &ended["data"];
    assert_eq!(data["call_id"], call.id.to_string());
    assert_eq!((&data["caller_number"], &data["called_number"]), (&json!("+49301234"), &json!("+49301000")));
    assert_eq!((&data["status"], &data["disposition"]), (&json!("completed"), &json!("caller_hung_up")));
    assert_eq!((&data["duration_ms"], &data["talk_ms"]), (&json!(31_000), &json!(30_000)));
    let turns = &body("transcript.ready")["data"]["turns"];
    assert_eq!(turns.as_array().map(Vec::len), Some(1));
    assert_eq!(turns[0]["caller_text"], "Do you have rye bread?");

    let log = hook.log("?status=delivered").await;
    assert_eq!(log.len(), 4);
    for delivery in &log {
        assert_eq!((&delivery["attempts"], &delivery["response_status"]), (&json!(1), &json!(200)));
        assert_eq!((&delivery["next_attempt_at"], &delivery["problem"]), (&Value::Null, &Value::Null));
        assert!(all.iter().any(|request| delivery["event_id"] == request.id), "{delivery}");
    }
    assert_eq!(hook.log("?event_type=call.ended").await.len(), 1);
    assert_eq!(hook.log("?status=pending").await.len(), 0);
}

async fn opinions_and_failed_registrations_are_told_of(api: ApiServer) {
    let receiver = Receiver::start();
    let events = ["feedback.received", "number.registration_failed"];
    let hook = Subscriber::new(&api, &receiver.url("/all"), &events).await;
    Subscriber::new(&api, &receiver.url("/other"), &events).await;
    let call = hook.call("+49301000").await;
    let feedback = format!("/api/tenants/{}/calls/{}/feedback", hook.id, call.id);
    let given = hook.admin.post(&feedback, json!({ "rating": 2, "comment": "Too fast" })).await.expect(201);
    let (actor, number) = (Actor::system(), call.phone_number_id);
    for (state, detail) in [
        (ProviderState::Pending, "asked for"),
        (ProviderState::Failed, "the provider refuses our credentials"),
        (ProviderState::Failed, "the provider refuses our credentials"),
        (ProviderState::Registered, "on the trunk"),
    ] {
        let (registered_by, attempt) = (RegisteredByChange::Keep, RegistrationAttempt::Requested);
        let step =
            RegistrationStep { action: "register", state, detail, reference: None, registered_by, attempt };
        let recorded = hook.scope.record_registration(&actor, number, &step).await;
        recorded.expect("a number");
    }
    let mut deliverer = deliverer(&api);
    deliverer.round(Utc::now()).await.expect("a round");

    let told = receiver.requests_to("/all");
    let failed = "number.registration_failed";
    assert_eq!(types(&told), ["feedback.received", failed, failed], "each failed attempt is told of");
    assert_eq!(receiver.requests_to("/other").len(), 0, "another tenant hears nothing");
    let body = |kind: &str| told.iter().map(payload).find(|body| body["type"] == kind).expect(kind);
    assert_eq!(body("feedback.received")["data"], given);
    let data = &body(failed)["data"];
    assert_eq!((&data["phone_number_id"], &data["tenant_id"]), (&json!(number), &json!(hook.id)));
    assert_eq!((&data["action"], &data["did"]), (&json!("register"), &json!("+49301000")));
    assert_eq!(data["provider_detail"], "the provider refuses our credentials");
}

async fn calls_of_a_killed_daemon_are_told_of(api: ApiServer) {
    let receiver = Receiver::start();
    let hook = Subscriber::new(&api, &receiver.url("/"), &["call.ended"]).await;
    let call = ringing(&hook.scope, "+49301001").await;
    hook.scope.begin_call(&call).await.expect("a call");
    let later = Utc::now() + TimeDelta::seconds(1);
    for closed in [1, 0] {
        assert_eq!(api.store.close_unfinished(later, later).await.expect("an answer"), closed);
    }
    deliverer(&api).round(Utc::now()).await.expect("a round");
    let requests = receiver.requests();
    assert_eq!(types(&requests), ["call.ended"]);
    let data = &requests[0].json()["data"];
    assert_eq!((&data["status"], &data["disposition"]), (&json!("failed"), &json!("interrupted")));
}

async fn a_failing_receiver_is_tried_for_three_days_and_switched_off_after_five(api: ApiServer) {
    let receiver = Receiver::start();
    receiver.answers(Answer::Status(500));
    let hook = Subscriber::new(&api, &receiver.url("/"), &["call.ended"]).await;
    let sent = hook.ping().await;
    let mut deliverer = deliverer(&api);
    let began = Utc::now();
    let mut now = began;
    let mut pauses = Vec::new();
    loop {
        deliverer.round(now).await.expect("a round");
        let delivery = hook.log("").await.remove(0);
        let Some(next) = delivery["next_attempt_at"].as_str() else { break };
        assert_eq!((&delivery["status"], &delivery["problem"]), (&json!("pending"), &json!("HTTP 500")));
        let next: DateTime<Utc> = next.parse().expect("a time");
        deliverer.round(next - TimeDelta::milliseconds(1)).await.expect("a round too early");
        pauses.push((next - now).as_seconds_f64());
        now = next;
    }
    let nominal = [5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0];
    assert_eq!(pauses.len(), nominal.len(), "{pauses:?}");
    for (pause, nominal) in pauses.iter().zip(nominal) {
        assert!((nominal * 0.9 - 0.01..=nominal * 1.1 + 0.01).contains(pause), "{pauses:?}");
    }
    let requests = receiver.requests();
    assert_eq!(requests.len(), 10);
    assert!(requests.iter().all(|request| sent["event_id"] == request.id), "each attempt has the same id");
    let failed = hook.log("?status=failed").await.remove(0);
    assert_eq!((&failed["attempts"], &failed["response_status"]), (&json!(10), &json!(500)));
    assert_eq!(hook.shown().await["is_active"], true, "three days are not enough");

    hook.ping().await;
    hook.ping().await;
    deliverer.round(began + TimeDelta::days(5) + TimeDelta::minutes(1)).await.expect("a round");
    assert_eq!(hook.shown().await["is_active"], false);
    assert_eq!(receiver.requests().len(), 11, "a failing receiver gets one request at a time");
    assert_eq!(hook.log("?status=pending").await.len(), 0);
    let audit = hook.audit().await;
    assert!(audit.contains("\"action\":\"disable\"") && audit.contains("for days"), "{audit}");

    receiver.answers(Answer::Status(200));
    let on = hook.admin.patch(&hook.path, json!({ "is_active": true })).await.expect(200);
    assert_eq!((&on["is_active"], &on["failing_since"]), (&json!(true), &Value::Null));
}

async fn a_receiver_that_is_gone_is_asked_no_more(api: ApiServer) {
    let receiver = Receiver::start();
    receiver.answers(Answer::Status(410));
    let hook = Subscriber::new(&api, &receiver.url("/"), &["call.ended"]).await;
    hook.ping().await;
    let mut deliverer = deliverer(&api);
    deliverer.round(Utc::now()).await.expect("a round");
    deliverer.round(Utc::now() + TimeDelta::days(1)).await.expect("a round");
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(hook.shown().await["is_active"], false);
    assert_eq!(hook.log("").await[0]["status"], "failed");
    assert!(hook.audit().await.contains("410 Gone"));
    hook.call("+49301002").await;
    assert_eq!(hook.log("").await.len(), 1, "nothing is kept for a webhook that is off");
    assert_eq!(
        hook.admin.post(&format!("{}/ping", hook.path), json!({})).await.problem(400),
        "invalid_value"
    );
}

async fn two_daemons_send_everything_once(api: ApiServer) {
    let receiver = Receiver::start();
    receiver.answers(Answer::Late(Duration::from_millis(5)));
    let hook = Subscriber::new(&api, &receiver.url("/"), &["call.ended"]).await;
    for _ in 0..40 {
        hook.ping().await;
    }
    let now = Utc::now();
    let (mut one, mut other) = (deliverer(&api), deliverer(&api));
    let (one, other) = tokio::join!(one.round(now), other.round(now));
    one.and(other).expect("two rounds");
    let ids: BTreeSet<String> = receiver.requests().into_iter().map(|request| request.id).collect();
    assert_eq!((ids.len(), receiver.requests().len()), (40, 40));
    assert_eq!(hook.log("?status=delivered").await.len(), 40);
}

async fn a_lease_that_ends_brings_an_event_up_again(api: ApiServer) {
    let receiver = Receiver::start();
    let hook = Subscriber::new(&api, &receiver.url("/"), &["call.ended"]).await;
    hook.ping().await;
    let now = Utc::now();
    let lease = now + TimeDelta::seconds(20);
    let claimed = hook.scope.claim_deliveries(hook.webhook, now, lease, 5).await.expect("a claim");
    assert_eq!(claimed.len(), 1, "and then the daemon is killed");
    let mut deliverer = deliverer(&api);
    deliverer.round(now + TimeDelta::seconds(19)).await.expect("a round");
    assert_eq!(receiver.requests().len(), 0);
    deliverer.round(lease).await.expect("a round");
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(hook.log("").await[0]["status"], "delivered");
}

async fn a_slow_receiver_holds_nobody_up(api: ApiServer) {
    let (slow, quick) = (Receiver::start(), Receiver::start());
    slow.answers(Answer::Never);
    let hooks = [
        Subscriber::new(&api, &slow.url("/"), &["call.ended"]).await,
        Subscriber::new(&api, &quick.url("/"), &["call.ended"]).await,
    ];
    for hook in &hooks {
        for _ in 0..12 {
            hook.ping().await;
        }
    }
    let stop = CancellationToken::new();
    let running = tokio::spawn(deliverer(&api).run(stop.clone()));
    let all = async {
        while quick.requests().len() < 12 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("nobody waits for the slow one");
    // It takes a second to be given up: the quick one has not waited for a second round.
    assert!(slow.requests().len() <= 8, "{} requests at once", slow.requests().len());
    stop.cancel();
    running.await.expect("it stops");
}

/// Two tenants with more to deliver than there are slots, to receivers that answer after 14 seconds.
async fn slow_receivers_of_two_tenants_do_not_delay_a_third(api: ApiServer) {
    let (slow, quick) = (Receiver::start(), Receiver::start());
    slow.answers(Answer::Late(Duration::from_secs(14)));
    for _ in 0..2 {
        let hook = Subscriber::new(&api, &slow.url("/"), &["call.ended"]).await;
        for _ in 0..20 {
            hook.ping().await;
        }
    }
    let settings = vca::webhooks::Settings {
        timeout_ms: 15_000,
        max_concurrent: 12,
        max_concurrent_per_webhook: 12,
        ..receivers()
    };
    let stop = CancellationToken::new();
    let deliverer = Deliverer::new(api.store.clone(), settings).expect("a deliverer");
    let running = tokio::spawn(deliverer.run(stop.clone()));
    until(|| slow.requests().len() >= 8).await;
    let third = Subscriber::new(&api, &quick.url("/"), &["call.ended"]).await;
    let asked = std::time::Instant::now();
    third.ping().await;
    until(|| quick.requests().len() == 1).await;
    let waited = asked.elapsed();
    assert!(waited < Duration::from_millis(1_500), "{waited:?} beside {} slow ones", slow.requests().len());
    stop.cancel();
    running.await.expect("it stops");
}

/// Waits for a condition, at most ten seconds.
async fn until(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "it did not happen within 10 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn after_a_rotation_both_secrets_sign(api: ApiServer) {
    let receiver = Receiver::start();
    let hook = Subscriber::new(&api, &receiver.url("/"), &["call.ended"]).await;
    let rotated = hook.admin.post(&format!("{}/rotate-secret", hook.path), json!({})).await.expect(200);
    let newer = rotated["secret"].as_str().expect("a secret");
    hook.ping().await;
    hook.ping().await;
    let mut deliverer = deliverer(&api);
    receiver.answers(Answer::Status(503));
    deliverer.round(Utc::now()).await.expect("a round");
    receiver.answers(Answer::Status(200));
    deliverer.round(Utc::now() + TimeDelta::days(2)).await.expect("a round");
    let requests = receiver.requests();
    let (overlapping, later) = requests.split_at(2);
    assert!(overlapping.iter().all(|it| it.is_signed_with(newer) && it.is_signed_with(&hook.secret)));
    assert_eq!(later.len(), 2);
    assert!(later.iter().all(|it| it.is_signed_with(newer) && !it.is_signed_with(&hook.secret)));
}

async fn an_event_is_sent_once_more(api: ApiServer) {
    let receiver = Receiver::start();
    let hook = Subscriber::new(&api, &receiver.url("/"), &["call.ended"]).await;
    let delivery = hook.ping().await;
    assert_eq!((&delivery["status"], &delivery["event_type"]), (&json!("pending"), &json!("ping")));
    let retry = format!("{}/deliveries/{}/retry", hook.path, delivery["id"].as_str().expect("an id"));
    hook.admin.patch(&hook.path, json!({ "is_active": false })).await.expect(200);
    let given_up = hook.log("").await.remove(0);
    assert_eq!(given_up["status"], "failed");
    assert_eq!(given_up["problem"], "the webhook was switched off");
    assert_eq!(hook.admin.post(&retry, json!({})).await.problem(400), "invalid_value");
    hook.admin.patch(&hook.path, json!({ "is_active": true })).await.expect(200);
    let mut deliverer = deliverer(&api);
    deliverer.round(Utc::now()).await.expect("a round");
    assert_eq!(receiver.requests().len(), 0);
    for sent in 1..=2 {
        assert_eq!(hook.admin.post(&retry, json!({})).await.expect(202)["status"], "pending");
        deliverer.round(Utc::now()).await.expect("a round");
        assert_eq!(receiver.requests().len(), sent);
    }
    assert_eq!(receiver.requests()[0].id, receiver.requests()[1].id);
    let missing = format!("{}/deliveries/{}/retry", hook.path, Uuid::now_v7());
    assert_eq!(hook.admin.post(&missing, json!({})).await.problem(404), "not_found");
}

async fn what_is_over_is_forgotten_in_time(api: ApiServer) {
    let receiver = Receiver::start();
    let hook = Subscriber::new(&api, &receiver.url("/"), &["call.ended"]).await;
    hook.ping().await;
    let mut deliverer = deliverer(&api);
    deliverer.round(Utc::now()).await.expect("a round");
    hook.ping().await;
    deliverer.clear(Utc::now() + TimeDelta::days(29)).await.expect("a clearing");
    assert_eq!(hook.log("").await.len(), 2);
    deliverer.clear(Utc::now() + TimeDelta::days(31)).await.expect("a clearing");
    let log = hook.log("").await;
    assert_eq!((log.len(), &log[0]["status"]), (1, &json!("pending")), "what is not over stays");
    deliverer.round(Utc::now()).await.expect("a round");
    assert_eq!(receiver.requests().len(), 2);
}

async fn an_address_that_is_not_public_is_not_reached(api: ApiServer) {
    let receiver = Receiver::start();
    let hook = Subscriber::new(&api, &receiver.url("/"), &["call.ended"]).await;
    let named = receiver.url("/").replace("127.0.0.1", "localhost");
    let mut problems = Vec::new();
    for url in [receiver.url("/"), named] {
        hook.admin.patch(&hook.path, json!({ "url": url })).await.expect(200);
        let settings = vca::webhooks::Settings { allow_private_targets: false, ..receivers() };
        hook.ping().await;
        let mut strict = Deliverer::new(api.store.clone(), settings).expect("a deliverer");
        strict.round(Utc::now()).await.expect("a round");
        problems.push(hook.log("").await[0]["problem"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(receiver.requests().len(), 0);
    assert!(problems.iter().all(|problem| problem.contains("not public")), "{problems:?}");
}
