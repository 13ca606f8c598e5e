//! Pre-call webhooks over HTTP: settings, and trials against a server with faults.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;
use vca::tenancy::Role;

use super::api_server::{ApiServer, Client};
use super::on_both;
use crate::support::receiver::{Answer, Receiver};

on_both!(
    a_number_has_a_pre_call_webhook,
    a_webhook_that_cannot_be_is_refused,
    a_webhook_is_tried,
    a_trial_forwards_as_a_call_would_be_at_present,
    a_faulty_response_has_no_effect,
    another_tenants_webhook_is_not_there,
    a_tenants_webhook_applies_to_numbers_without_their_own,
    a_replaced_secret_signs_for_a_day,
);

const DID: &str = "+493055500100";

/// The path of the webhook of a new number.
async fn path(api: &ApiServer, tenant: Uuid, admin: &Client) -> String {
    api.assign(tenant, DID).await;
    let numbers = format!("/api/tenants/{tenant}/phone-numbers");
    let made = admin.post(&numbers, json!({ "did_number": DID })).await.expect(201);
    format!("{numbers}/{}/pre-call-webhook", made["id"].as_str().expect("an id"))
}

async fn a_number_has_a_pre_call_webhook(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = path(&api, tenant, &admin).await;
    assert_eq!(admin.get(&path).await.problem(404), "not_found");
    let new = json!({ "url": "https://example.com/calls" });
    assert_eq!(admin.put_if("\"another\"", &path, new.clone()).await.problem(412), "changed_meanwhile");
    let answer = admin.put(&path, new).await;
    let tag = answer.headers["etag"].to_str().expect("text").to_owned();
    let made = answer.expect(201);
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{made:#}");
    assert_eq!((&made["timeout_ms"], &made["tenant_id"]), (&json!(2_000), &json!(tenant)));
    let other = json!({ "url": "https://example.com/other", "timeout_ms": 500 });
    let changed = admin.put_if(&tag, &path, other.clone()).await.expect(200);
    let expected = json!({
        "id": made["id"], "tenant_id": tenant, "phone_number_id": made["phone_number_id"],
        "url": "https://example.com/other", "timeout_ms": 500, "created_at": made["created_at"],
    });
    assert_eq!(changed, expected, "the secret is shown once");
    assert_eq!(admin.get(&path).await.expect(200), expected);
    assert_eq!(admin.put_if(&tag, &path, other).await.problem(412), "changed_meanwhile");
    admin.delete(&path).await.expect(204);
    assert_eq!(admin.delete(&path).await.problem(404), "not_found");
    let audit = api.operator.get(&format!("/api/tenants/{tenant}/audit")).await.expect(200);
    let entries = audit["items"].as_array().expect("entries").iter();
    assert_eq!(entries.filter(|entry| entry["resource"] == "pre_call_webhook").count(), 3, "{audit:#}");
    assert!(!audit.to_string().contains("whsec_"), "no secret is in the audit log");
}

async fn a_webhook_that_cannot_be_is_refused(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = path(&api, tenant, &admin).await;
    for (wrong, field) in [
        (json!({ "url": "ftp://example.com/" }), "url"),
        (json!({ "url": "https://user:secret@example.com/" }), "url"),
        (json!({ "url": "https://example.com/", "timeout_ms": 99 }), "timeout_ms"),
        (json!({ "url": "https://example.com/", "timeout_ms": 5_001 }), "timeout_ms"),
    ] {
        let answer = admin.put(&path, wrong.clone()).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], field, "{wrong}: {answer:#}");
    }
    for wrong in [json!({}), json!({ "url": "https://example.com/", "secret": "mine" })] {
        admin.put(&path, wrong).await.expect(400);
    }
    admin.post(&format!("{path}/test"), json!({ "caller_number": "a" })).await.expect(400);
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    viewer.put(&path, json!({ "url": "https://example.com/calls" })).await.expect(403);
    assert_eq!(admin.get(&path).await.problem(404), "not_found");
}

async fn a_webhook_is_tried(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (path, receiver) = (path(&api, tenant, &admin).await, Receiver::start());
    let made = admin.put(&path, json!({ "url": receiver.url("/calls") })).await.expect(201);
    let profile = json!({ "name": "Regulars", "system_prompt": "Be brief." });
    admin.post(&format!("/api/tenants/{tenant}/ai-profiles"), profile).await.expect(201);
    receiver
        .answers(Answer::Json(200, r#"{"profile":"Regulars","version":1,"variables":{"customer":"Ann"}}"#));
    let trial = admin.post(&format!("{path}/test"), json!({ "caller_number": "+493055500199" })).await;
    let trial = trial.expect(200);
    assert_eq!((&trial["outcome"], &trial["problem"]), (&json!("applied"), &json!(null)), "{trial:#}");
    assert_eq!(trial["agent"]["variables"]["customer"], "Ann", "{trial:#}");
    let [request] = &receiver.requests()[..] else { panic!("one request") };
    assert!(request.is_signed_with(made["secret"].as_str().expect("a secret")));
    assert!(
        !request.is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "another secret proves nothing"
    );
    let body = request.json();
    assert_eq!((&body["type"], &body["called_number"]), (&json!("call.test"), &json!(DID)));
    assert_eq!(body["caller_number"], "+493055500199");
    receiver.answers(Answer::Status(204));
    let trial = admin.post(&format!("{path}/test"), json!({})).await.expect(200);
    assert_eq!(trial["outcome"], "unchanged", "{trial:#}");
}

async fn a_trial_forwards_as_a_call_would_be_at_present(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (path, receiver) = (path(&api, tenant, &admin).await, Receiver::start());
    admin.put(&path, json!({ "url": receiver.url("/calls") })).await.expect(201);
    let targets = format!("/api/tenants/{tenant}/transfer-targets");
    let shop = json!({ "name": "shop", "description": "Orders.", "kind": "queue", "address": "shop" });
    let shop = admin.post(&targets, shop).await.expect(201);
    receiver.answers(Answer::Json(200, r#"{"forward":"shop"}"#));
    let trial = admin.post(&format!("{path}/test"), json!({})).await.expect(200);
    assert_eq!((&trial["outcome"], &trial["forward"]), (&json!("forwarded"), &json!("shop")), "{trial:#}");
    let closed = json!({ "hours": { "timezone": "Europe/Berlin", "weekly": {}, "closed_on": [] } });
    let one = format!("{targets}/{}", shop["id"].as_str().expect("an id"));
    admin.patch(&one, closed).await.expect(200);
    let trial = admin.post(&format!("{path}/test"), json!({})).await.expect(200);
    assert_eq!((&trial["outcome"], &trial["forward"]), (&json!("invalid"), &json!(null)), "{trial:#}");
    assert!(trial["problem"].as_str().is_some_and(|problem| problem.contains("closed")), "{trial:#}");
}

async fn a_faulty_response_has_no_effect(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (other, stranger) = api.tenant("Butcher").await;
    let (path, receiver) = (path(&api, tenant, &admin).await, Receiver::start());
    let theirs = json!({ "name": "Theirs", "system_prompt": "Be rude." });
    let theirs = stranger.post(&format!("/api/tenants/{other}/ai-profiles"), theirs).await.expect(201);
    admin.put(&path, json!({ "url": receiver.url("/calls"), "timeout_ms": 300 })).await.expect(201);
    let foreign: &'static str = json!({ "profile": theirs["id"] }).to_string().leak();
    let long: &'static str = format!(r#"{{"profile":"{}"}}"#, "x".repeat(17 * 1024)).leak();
    for (answer, outcome, part) in [
        (Answer::Late(Duration::from_secs(2)), "timed_out", "300 ms"),
        (Answer::Never, "timed_out", "300 ms"),
        (Answer::Json(200, "<html>"), "invalid", "expected value"),
        (Answer::Json(200, r#"{"profil":"x"}"#), "invalid", "profil"),
        (Answer::Json(200, long), "invalid", "16384 bytes"),
        (Answer::Json(200, foreign), "invalid", "no such profile"),
        (Answer::Json(200, r#"{"profile":"Nobody"}"#), "invalid", "no such profile"),
        (Answer::Json(200, r#"{"forward":"shop"}"#), "invalid", "no such transfer target"),
        (Answer::Status(302), "bad_status", "HTTP 302"),
        (Answer::Json(500, "{}"), "bad_status", "HTTP 500"),
    ] {
        receiver.answers(answer);
        let trial: Value = admin.post(&format!("{path}/test"), json!({})).await.expect(200);
        assert_eq!((&trial["outcome"], &trial["agent"]), (&json!(outcome), &json!(null)), "{trial:#}");
        let problem = trial["problem"].as_str().expect("a problem");
        assert!(problem.contains(part), "{answer:?}: {problem}");
    }
    // Port 9 is closed.
    admin.put(&path, json!({ "url": "http://127.0.0.1:9/calls", "timeout_ms": 300 })).await.expect(200);
    let trial = admin.post(&format!("{path}/test"), json!({})).await.expect(200);
    assert_eq!(trial["outcome"], "unreachable", "{trial:#}");
}

async fn another_tenants_webhook_is_not_there(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = path(&api, tenant, &admin).await;
    let made = admin.put(&path, json!({ "url": "https://example.com/calls" })).await.expect(201);
    let (other, stranger) = api.tenant("Butcher").await;
    for at in [path.clone(), path.replace(&tenant.to_string(), &other.to_string())] {
        let taken = json!({ "url": "https://example.com/taken" });
        assert_eq!(stranger.get(&at).await.problem(404), "not_found");
        assert_eq!(stranger.put(&at, taken).await.problem(404), "not_found");
        assert_eq!(stranger.delete(&at).await.problem(404), "not_found");
        assert_eq!(stranger.post(&format!("{at}/test"), json!({})).await.problem(404), "not_found");
    }
    assert_eq!(admin.get(&path).await.expect(200)["url"], made["url"]);
}

async fn a_tenants_webhook_applies_to_numbers_without_their_own(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let own = path(&api, tenant, &admin).await;
    let (number, test) = (own.trim_end_matches("/pre-call-webhook"), format!("{own}/test"));
    let (path, receiver) = (format!("/api/tenants/{tenant}/pre-call-webhook"), Receiver::start());
    assert_eq!(admin.get(&path).await.problem(404), "not_found");
    assert_eq!(admin.post(&test, json!({})).await.problem(404), "not_found");
    let made = admin.put(&path, json!({ "url": receiver.url("/tenants") })).await.expect(201);
    assert_eq!((&made["phone_number_id"], &made["timeout_ms"]), (&json!(null), &json!(2_000)));
    let refused = admin.put(&path, json!({ "url": "ftp://example.com/" })).await.expect(400);
    assert_eq!(refused["errors"][0]["field"], "url", "{refused:#}");
    assert_eq!(admin.get(&own).await.problem(404), "not_found", "it is not the number's");

    receiver.answers(Answer::Json(200, r#"{"reject":"busy"}"#));
    assert_eq!(admin.post(&test, json!({})).await.expect(200)["outcome"], "rejected");
    let [request] = &receiver.requests()[..] else { panic!("one request") };
    assert!(request.is_signed_with(made["secret"].as_str().expect("a secret")));
    assert_eq!(request.json()["called_number"], DID);
    let off = admin.patch(number, json!({ "uses_tenant_webhook": false })).await.expect(200);
    assert_eq!(off["uses_tenant_webhook"], json!(false));
    assert_eq!(admin.post(&test, json!({})).await.problem(404), "not_found");
    let own_receiver = Receiver::start();
    own_receiver.answers(Answer::Status(204));
    admin.put(&own, json!({ "url": own_receiver.url("/own") })).await.expect(201);
    for uses in [false, true] {
        admin.patch(number, json!({ "uses_tenant_webhook": uses })).await.expect(200);
        assert_eq!(admin.post(&test, json!({})).await.expect(200)["outcome"], "unchanged");
    }
    assert_eq!((receiver.requests().len(), own_receiver.requests().len()), (1, 2));

    let (_, stranger) = api.tenant("Butcher").await;
    assert_eq!(stranger.get(&path).await.problem(404), "not_found");
    let taken = json!({ "url": "https://example.com/taken" });
    assert_eq!(stranger.put(&path, taken).await.problem(404), "not_found");
    admin.delete(&path).await.expect(204);
    assert_eq!(admin.delete(&path).await.problem(404), "not_found");
}

async fn a_replaced_secret_signs_for_a_day(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let own = path(&api, tenant, &admin).await;
    let test = format!("{own}/test");
    for path in [format!("/api/tenants/{tenant}/pre-call-webhook"), own] {
        let receiver = Receiver::start();
        receiver.answers(Answer::Status(204));
        let rotate = format!("{path}/rotate-secret");
        assert_eq!(admin.post(&rotate, json!({})).await.problem(404), "not_found");
        let secret = |issued: &Value| issued["secret"].as_str().expect("a secret").to_owned();
        let first = secret(&admin.put(&path, json!({ "url": receiver.url("/calls") })).await.expect(201));
        let rotated = admin.post(&rotate, json!({})).await.expect(200);
        let second = secret(&rotated);
        assert_ne!(first, second);
        admin.post(&test, json!({})).await.expect(200);
        let day_ago = "2026-01-01T00:00:00.000000+00:00";
        api.raw(format!("UPDATE pre_call_webhooks SET former_secret_until = '{day_ago}'")).await;
        admin.post(&test, json!({})).await.expect(200);
        let [both, one] = &receiver.requests()[..] else { panic!("two requests") };
        assert!(both.is_signed_with(&first) && both.is_signed_with(&second));
        assert!(!one.is_signed_with(&first) && one.is_signed_with(&second));
        assert_eq!(admin.get(&path).await.expect(200).get("secret"), None);
    }
    let audit =
        api.operator.get(&format!("/api/tenants/{tenant}/audit?action=rotate_secret")).await.expect(200);
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(2), "{audit:#}");
    let (_, stranger) = api.tenant("Butcher").await;
    let rotate = format!("/api/tenants/{tenant}/pre-call-webhook/rotate-secret");
    assert_eq!(stranger.post(&rotate, json!({})).await.problem(404), "not_found");
}
