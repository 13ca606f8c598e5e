//! `POST /internal/telephony/inbound`: who may tell of a call, what is understood, and that a call has one record.

use chrono::{TimeDelta, Utc};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use vca::store::{
    Announcements, CallFilter, Ledger, NEVER_ARRIVED, NewNumber, NewProfile, Scope, TenantChanges, Window,
};
use vca::telephony::Settings;
use vca::tenancy::{
    Actor, AgentRole, Call, CallId, CallStatus, EndedBy, ProviderType, TenantId, TenantStatus,
};

use super::api_server::{Answer, ApiServer};
use super::on_both;

on_both!(
    a_call_is_put_on_record,
    a_call_has_one_record_however_often_it_is_told_of,
    a_call_that_will_not_be_answered_is_an_error_of_status_200,
    only_the_dialplan_may_tell_of_calls,
    bad_bodies_are_refused_in_peace,
    no_body_makes_it_fail,
    a_channel_joins_the_record,
    a_call_that_never_comes_is_closed,
    a_restart_forgets_nothing,
);

const SECRET: &str = "a-shared-secret-of-the-dialplan";
const DID: &str = "+15559876543";
const PATH: &str = "/internal/telephony/inbound";

fn settings() -> Settings {
    let mut settings = Settings { fake: true, ..Settings::default() };
    settings.inbound.secret = Some(SECRET.into());
    settings
}

/// An API that hears of calls, and a tenant that takes them.
async fn open(api: &ApiServer) -> (ApiServer, Scope) {
    let api = api.with_telephony(&settings(), "http://127.0.0.1:9").await;
    let scope = tenant(&api, "Bakery", DID).await;
    (api, scope)
}

async fn tenant(api: &ApiServer, name: &str, did: &str) -> Scope {
    let (tenant, _) = api.tenant(name).await;
    let (scope, actor) = (api.store.scope(TenantId(tenant)), Actor::system());
    let new = NewNumber { did: did.parse().expect("a DID"), provider_type: ProviderType::Generic };
    scope.create_number(&actor, new).await.expect("a number");
    let profile = NewProfile {
        name: "front desk".into(),
        role: AgentRole::Receptionist,
        system_prompt: "Be brief.".into(),
        is_default: true,
        settings: Default::default(),
    };
    scope.create_profile(&actor, profile).await.expect("a profile");
    scope
}

fn call(channel: &str) -> Value {
    json!({ "caller_number": "+15551234567", "called_number": DID, "call_id": channel, "timestamp": "1706556789" })
}

async fn post(api: &ApiServer, headers: &[(&'static str, &str)], body: String) -> Answer {
    let mut request = reqwest::Client::new().post(format!("http://{}{PATH}", api.address)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("the API answers");
    let (status, headers): (_, HeaderMap) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("a whole answer");
    Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}

async fn tell(api: &ApiServer, body: &Value) -> Answer {
    post(api, &[("x-vca-secret", SECRET)], body.to_string()).await
}

fn record_id(receipt: &Value) -> CallId {
    assert_eq!(receipt["status"], "success", "{receipt:#}");
    receipt["call_record_id"].as_str().expect("an id").parse().expect("a UUID")
}

async fn calls(scope: &Scope) -> Vec<Call> {
    scope.calls(&CallFilter::default(), Window::first(100)).await.expect("calls").items
}

async fn a_call_is_put_on_record(api: ApiServer) {
    let (api, scope) = open(&api).await;
    let receipt = tell(&api, &call("1706556789.123")).await.expect(200);
    let id = record_id(&receipt);
    let tenant = scope.tenant_id().to_string();
    let expected = json!({
        "status": "success", "call_record_id": id, "tenant_id": tenant, "message": "Call initiated successfully",
    });
    assert_eq!(receipt, expected);
    let [record] = &calls(&scope).await[..] else { panic!("not one record") };
    assert_eq!((record.id, record.status), (id, CallStatus::Ringing));
    assert_eq!(
        (&*record.asterisk_channel_id, record.caller_number.as_deref()),
        ("1706556789.123", Some("+15551234567"))
    );
    assert_eq!(record.called_number, DID.parse().expect("a DID"));
    for body in [
        json!({ "caller_number": "", "called_number": "15559876543", "call_id": "2", "timestamp": 1_706_556_789 }),
        json!({ "called_number": "+1 (555) 987-6543", "call_id": "3", "timestamp": " 0 ", "more": [] }),
    ] {
        record_id(&tell(&api, &body).await.expect(200));
    }
    assert!(calls(&scope).await[..2].iter().all(|call| call.caller_number.is_none()), "withheld");
}

async fn a_call_has_one_record_however_often_it_is_told_of(api: ApiServer) {
    let (api, scope) = open(&api).await;
    let other = api.with_telephony(&settings(), "http://127.0.0.1:9").await;
    let body = call("1706556789.124");
    // Half of them through another daemon, which knows nothing but the database.
    let tellings = (0..16).map(|n| tell(if n % 2 == 0 { &api } else { &other }, &body));
    let ids: Vec<CallId> = futures_util::future::join_all(tellings)
        .await
        .into_iter()
        .map(|it| record_id(&it.expect(200)))
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(calls(&scope).await.len(), 1);
    let second = record_id(&tell(&api, &call("1706556789.125")).await.expect(200));
    assert_ne!(second, ids[0]);
    // The same UNIQUEID under another tenant's number is another tenant's call.
    let florist = tenant(&api, "Florist", "+15559876544").await;
    let foreign = json!({ "called_number": "+15559876544", "call_id": "1706556789.124", "timestamp": "1" });
    assert_ne!(record_id(&tell(&api, &foreign).await.expect(200)), ids[0]);
    assert_eq!((calls(&scope).await.len(), calls(&florist).await.len()), (2, 1));
}

async fn a_call_that_will_not_be_answered_is_an_error_of_status_200(api: ApiServer) {
    let (api, scope) = open(&api).await;
    let refused = async |word: &str| {
        let answer = tell(&api, &call("1.1")).await.expect(200);
        assert_eq!(
            (&answer["status"], &answer["call_record_id"], &answer["tenant_id"]),
            (&json!("error"), &Value::Null, &Value::Null)
        );
        assert!(answer["message"].as_str().is_some_and(|text| text.contains(word)), "{word}: {answer:#}");
    };
    let unknown = json!({ "called_number": "+15550000000", "call_id": "1.1", "timestamp": "1" });
    assert_eq!(tell(&api, &unknown).await.expect(200)["message"], "no tenant has the called number");
    let (actor, tenant) = (Actor::system(), scope.tenant_id());
    let number = scope.numbers().await.expect("numbers")[0].id;
    scope.set_number_active(&actor, number, false).await.expect("a number");
    refused("not active").await;
    scope.set_number_active(&actor, number, true).await.expect("a number");
    let changes = TenantChanges { status: Some(TenantStatus::Suspended), ..TenantChanges::default() };
    api.store.update_tenant(&actor, tenant, changes).await.expect("a tenant");
    refused("suspended").await;
    api.store.delete_tenant(&actor, tenant, false).await.expect("a tenant");
    refused("no tenant has").await;
    assert!(calls(&scope).await.is_empty());
}

async fn only_the_dialplan_may_tell_of_calls(api: ApiServer) {
    assert_eq!(
        post(&api, &[("x-vca-secret", SECRET)], call("1").to_string()).await.problem(404),
        "not_found"
    );
    let (api, scope) = open(&api).await;
    let bearer = format!("Bearer {SECRET}");
    let half = &SECRET[..10];
    for headers in
        [&[][..], &[("x-vca-secret", half)], &[("x-vca-secret", "")], &[("authorization", "Bearer x")]]
    {
        // Nothing is said of the body before the secret is right.
        assert_eq!(post(&api, headers, "{".into()).await.problem(401), "unauthorized", "{headers:?}");
    }
    record_id(&post(&api, &[("authorization", &bearer)], call("1").to_string()).await.expect(200));
    let mut elsewhere = settings();
    elsewhere.inbound.allowed_addresses = vec!["10.0.0.0/8".parse().expect("a network")];
    let elsewhere = api.with_telephony(&elsewhere, "http://127.0.0.1:9").await;
    assert_eq!(tell(&elsewhere, &call("2")).await.problem(403), "address_not_allowed");
    let mut slow = settings();
    slow.inbound.per_minute = 3.try_into().expect("more than none");
    let slow = api.with_telephony(&slow, "http://127.0.0.1:9").await;
    for n in 0..3 {
        tell(&slow, &call(&format!("3.{n}"))).await.expect(200);
    }
    let answer = tell(&slow, &call("3.9")).await;
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.problem(429), "too_many_requests");
    assert_eq!(calls(&scope).await.len(), 4);
}

async fn bad_bodies_are_refused_in_peace(api: ApiServer) {
    let (api, scope) = open(&api).await;
    let with = |field: &str, value: Value| {
        let mut body = call("1.1");
        body[field] = value;
        body
    };
    for (body, field) in [
        (with("called_number", json!("s")), "called_number"),
        (with("called_number", json!("")), "called_number"),
        (with("called_number", json!(5)), "called_number"),
        (with("call_id", json!("")), "call_id"),
        (with("call_id", json!("a\u{0}b")), "call_id"),
        (with("call_id", json!("x".repeat(150))), "call_id"),
        (with("timestamp", json!("soon")), "timestamp"),
        (with("timestamp", json!(-1)), "timestamp"),
        (with("timestamp", json!("99999999999999")), "timestamp"),
        (with("caller_number", json!("\u{0}")), "caller_number"),
        (with("caller_number", json!("9".repeat(81))), "caller_number"),
    ] {
        let answer = tell(&api, &body).await;
        let named = answer.body["errors"][0]["field"].clone();
        answer.problem(400);
        assert_eq!(named, field, "{body}");
    }
    for text in ["", "{", "null", "[]", "{}", "\"x\"", "{\"called_number\":\"+15559876543\"}", "\u{feff}{}"] {
        post(&api, &[("x-vca-secret", SECRET)], text.into()).await.problem(400);
    }
    let large = post(&api, &[("x-vca-secret", SECRET)], "x".repeat(300 * 1024)).await;
    assert_eq!(large.problem(413), "body_too_large");
    assert!(calls(&scope).await.is_empty());
}

/// Bodies that are nearly right, and bodies that are not.
fn bodies() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[+0-9 ()-]{0,20}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({ "a": [{}] })),
    ];
    let field = |good: Value| prop_oneof![3 => Just(good), 1 => leaf.clone()];
    let near = (
        field(json!("+15551234567")),
        field(json!(DID)),
        field(json!("1706556789.123")),
        field(json!("1706556789")),
    );
    let near = near.prop_map(|(caller, called, id, at)| {
        json!({ "caller_number": caller, "called_number": called, "call_id": id, "timestamp": at })
            .to_string()
    });
    prop_oneof![4 => near, 1 => any::<String>(), 1 => "[\\[{\"a:,0-9}\\]]{0,60}"]
}

async fn no_body_makes_it_fail(api: ApiServer) {
    let (api, _) = open(&api).await;
    let (mut runner, bodies) = (TestRunner::deterministic(), bodies());
    for _ in 0..60 {
        let body = bodies.new_tree(&mut runner).expect("a body").current();
        let answer = post(&api, &[("x-vca-secret", SECRET)], body.clone()).await;
        assert!(
            matches!(answer.status.as_u16(), 200 | 400),
            "{} for {body:?}: {:#}",
            answer.status,
            answer.body
        );
    }
}

async fn a_channel_joins_the_record(api: ApiServer) {
    let (api, scope) = open(&api).await;
    let told = record_id(&tell(&api, &call("5.1")).await.expect(200));
    assert_eq!(api.announcements.arrive("5.1", "15559876543", Utc::now()), told);
    // What the call's own task writes then: begun once more, and how it stands.
    let record = calls(&scope).await.remove(0);
    scope.begin_call(&record).await.expect("a record");
    scope.update_call(&Call { status: CallStatus::Answered, ..record }).await.expect("a record");
    assert_eq!(record_id(&tell(&api, &call("5.1")).await.expect(200)), told, "told again");
    let [record] = &calls(&scope).await[..] else { panic!("not one record") };
    assert_eq!((record.id, record.status), (told, CallStatus::Answered));
    // The channel was there before it was told of.
    let arrived = api.announcements.arrive("5.2", DID, Utc::now());
    assert_eq!(record_id(&tell(&api, &call("5.2")).await.expect(200)), arrived);
    scope.begin_call(&Call { id: arrived, ..calls(&scope).await.remove(0) }).await.expect("it is there");
    assert_eq!(calls(&scope).await.len(), 2);
    // And of one that only the database knows.
    let known = Call { id: CallId::new(), asterisk_channel_id: "5.3".into(), ..record.clone() };
    scope.begin_call(&known).await.expect("a record");
    assert_eq!(record_id(&tell(&api, &call("5.3")).await.expect(200)), known.id);
}

async fn a_call_that_never_comes_is_closed(api: ApiServer) {
    let (api, scope) = open(&api).await;
    let told = record_id(&tell(&api, &call("6.1")).await.expect(200));
    let came = record_id(&tell(&api, &call("6.2")).await.expect(200));
    api.announcements.arrive("6.2", DID, Utc::now());
    let ledger = Ledger::new(api.store.clone(), 100);
    let now = Utc::now();
    api.announcements.close_missing(&api.store, &ledger, now + TimeDelta::seconds(50)).await;
    api.announcements.close_missing(&api.store, &ledger, now + TimeDelta::seconds(70)).await;
    assert_eq!(ledger.close(std::time::Duration::from_secs(5)).await, 0);
    let (closed, _) = scope.call(told).await.expect("calls").expect("a record");
    assert_eq!((closed.status, closed.ended_by), (CallStatus::Failed, Some(EndedBy::System)));
    assert_eq!(closed.disposition.as_deref(), Some(NEVER_ARRIVED));
    assert!(closed.ended_at.is_some());
    let again = record_id(&tell(&api, &call("6.1")).await.expect(200));
    assert_ne!(
        again, told,
        "what is closed stays closed: a channel that comes after all gets a record of its own"
    );
    assert_eq!(record_id(&tell(&api, &call("6.1")).await.expect(200)), again);
    assert_eq!(api.announcements.arrive("6.1", DID, Utc::now()), again);
    let (open, _) = scope.call(came).await.expect("calls").expect("a record");
    assert_eq!(open.status, CallStatus::Ringing);
}

async fn a_restart_forgets_nothing(api: ApiServer) {
    let (api, scope) = open(&api).await;
    let waited_for = record_id(&tell(&api, &call("7.1")).await.expect(200));
    let lost = record_id(&tell(&api, &call("7.2")).await.expect(200));
    let now = Utc::now() + TimeDelta::seconds(1);
    assert_eq!(
        api.store.close_unfinished(now, now).await.expect("a database"),
        0,
        "their channels may yet come"
    );
    let again = Announcements::new(100);
    assert_eq!(again.refill(&api.store).await.expect("a database"), 2);
    assert_eq!(again.arrive("7.1", DID, now), waited_for);
    let ledger = Ledger::new(api.store.clone(), 100);
    again.close_missing(&api.store, &ledger, now + TimeDelta::seconds(70)).await;
    assert_eq!(ledger.close(std::time::Duration::from_secs(5)).await, 0);
    let (closed, _) = scope.call(lost).await.expect("calls").expect("a record");
    assert_eq!(closed.disposition.as_deref(), Some(NEVER_ARRIVED));
    let (answered, _) = scope.call(waited_for).await.expect("calls").expect("a record");
    scope.update_call(&Call { status: CallStatus::Answered, ..answered }).await.expect("a record");
    assert_eq!(
        api.store.close_unfinished(now, now).await.expect("a database"),
        1,
        "in progress when it died"
    );
}
