//! Deleting tenants, erasing callers and applying retention over HTTP.

use std::time::Duration;

use chrono::{SubsecRound, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use vca::tenancy::{ProviderState, Role, TenantId};

use super::api_server::{ApiServer, Client};
use super::calls::Line;
use super::on_both;

on_both!(
    deletion_is_final_and_releases_what_the_tenant_had,
    a_purge_erases_what_a_deletion_left,
    a_caller_is_erased_by_the_tenants_administrator,
    another_tenants_calls_are_not_erased,
    limits_are_named,
);

async fn deletion_is_final_and_releases_what_the_tenant_had(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let path = format!("/api/tenants/{id}");
    let number = json!({ "did_number": "+15550123456", "provider_type": "fake" });
    let number = api.operator.post(&format!("{path}/phone-numbers"), number).await.expect(201);
    assert_eq!(number["provider_state"], "registered");
    let hook = json!({ "url": "https://example.com/", "events": ["call.ended"] });
    admin.post(&format!("{path}/webhooks"), hook).await.expect(201);

    assert_eq!(admin.delete(&path).await.problem(403), "operator_only");
    let trial = api.operator.delete(&format!("{path}?dry_run=true")).await.expect(200);
    assert_eq!(
        (&trial["dry_run"], &trial["numbers"], &trial["webhooks"]),
        (&json!(true), &json!(1), &json!(1))
    );
    assert_eq!(api.operator.get(&path).await.expect(200)["status"], "active");

    let deleted = api.operator.delete(&path).await.expect(200);
    assert_eq!((&deleted["tenant"]["status"], &deleted["numbers"]), (&json!("deleted"), &json!(1)));
    admin.get(&path).await.problem(401);
    for status in ["active", "suspended"] {
        let refused = api.operator.patch(&path, json!({ "status": status })).await;
        assert_eq!(refused.problem(409), "tenant_deleted");
    }
    // Its provider is asked, and another tenant may have the number.
    let (scope, number) = (api.store.scope(TenantId(id)), number["id"].as_str().expect("an id").parse());
    let number = number.expect("an id");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while scope.registration(number).await.expect("on record").provider_state != ProviderState::Unregistered {
        assert!(tokio::time::Instant::now() < deadline, "the provider was not asked");
        tokio::task::yield_now().await;
    }
    let (other, _) = api.tenant("Brewery").await;
    let again = json!({ "did_number": "+15550123456", "provider_type": "generic" });
    api.operator.post(&format!("/api/tenants/{other}/phone-numbers"), again).await.expect(201);

    // A PATCH with the status does the same.
    let path = format!("/api/tenants/{other}");
    let changed = api.operator.patch(&path, json!({ "status": "deleted" })).await.expect(200);
    assert_eq!(changed["status"], "deleted");
    assert_eq!(api.store.scope(TenantId(other)).numbers().await.expect("numbers"), []);
    let missing = format!("/api/tenants/{}", Uuid::now_v7());
    assert_eq!(api.operator.delete(&missing).await.problem(404), "not_found");
}

async fn a_purge_erases_what_a_deletion_left(api: ApiServer) {
    let (id, _) = api.tenant("Bakery").await;
    let line = Line::of(&api, id).await;
    let call = line.record(line.lasted(Utc::now(), 60)).await;
    line.scope.end_call(&call, &[]).await.expect("it is counted");
    let path = format!("/api/tenants/{id}");
    let purge = format!("{path}/purge");
    assert_eq!(api.operator.post(&purge, json!({})).await.problem(409), "tenant_not_deleted");
    api.operator.delete(&path).await.expect(200);
    let trial = api.operator.post(&purge, json!({ "dry_run": true })).await.expect(200);
    assert_eq!((&trial["rows"]["calls"], &trial["kept"]["usage_months"]), (&json!(1), &json!(1)));
    assert!(line.scope.call(call.id).await.expect("an answer").is_some());
    api.operator.post(&purge, json!({})).await.expect(200);
    assert!(line.scope.call(call.id).await.expect("an answer").is_none());
    assert_eq!(api.operator.get(&path).await.expect(200)["status"], "deleted");
    api.operator.post(&purge, json!({ "with_statements": true })).await.expect(200);
    assert_eq!(api.operator.get(&path).await.problem(404), "not_found");
}

/// A tenant with a call from a number, in which something was said.
pub async fn called(api: &ApiServer, name: &str) -> (Uuid, Client, Line, vca::tenancy::Call) {
    let (id, admin) = api.tenant(name).await;
    let line = Line::of(api, id).await;
    let call = line.record(line.lasted(Utc::now(), 60)).await;
    line.turn(&call, 1, json!({ "caller_text": "My name is Ada." })).await;
    (id, admin, line, call)
}

async fn a_caller_is_erased_by_the_tenants_administrator(api: ApiServer) {
    let (id, admin, line, call) = called(&api, "Bakery").await;
    let path = format!("/api/tenants/{id}/erasures");
    for (body, field) in [
        (json!({}), "call_id"),
        (json!({ "call_id": call.id, "caller_number": "+15550123" }), "call_id"),
        (json!({ "caller_number": "anybody" }), "caller_number"),
    ] {
        let refused = admin.post(&path, body).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], field, "{refused:#}");
    }
    let viewer = api.client_of(id, Role::TenantViewer).await;
    assert_eq!(viewer.post(&path, json!({ "call_id": call.id })).await.problem(403), "read_only_key");

    let caller = json!({ "caller_number": "15550123", "dry_run": true });
    let trial = admin.post(&path, caller).await.expect(200);
    assert_eq!((&trial["calls"], &trial["turns"], &trial["dry_run"]), (&json!(1), &json!(1), &json!(true)));
    api.lines.ring(&vca::tenancy::Call { ended_at: None, ..call.clone() });
    let body = json!({ "caller_number": "15550123" });
    assert_eq!(admin.post(&path, body.clone()).await.problem(409), "call_live");
    api.lines.hang_up_all();
    let erased = admin.post(&path, body).await.expect(200);
    assert_eq!(erased["calls"], 1);
    assert!(erased["not_covered"].as_array().is_some_and(|copies| !copies.is_empty()), "{erased:#}");
    let shown = admin.get(&format!("/api/tenants/{id}/calls/{}", call.id)).await.expect(200);
    let ended_at = call.ended_at.map(|at| at.trunc_subsecs(6));
    assert_eq!((&shown["caller_number"], &shown["ended_at"]), (&Value::Null, &json!(ended_at)));
    let turns = line.scope.call(call.id).await.expect("an answer").expect("a call").1;
    assert_eq!(turns, []);
    let entries = admin.get(&format!("/api/tenants/{id}/audit?action=erase")).await.expect(200);
    assert_eq!(entries["items"][0]["resource_id"], json!(call.id));
    assert!(!entries.to_string().contains("15550123"), "{entries:#}");
}

async fn another_tenants_calls_are_not_erased(api: ApiServer) {
    let (_, _, line, call) = called(&api, "Mine").await;
    let (own, stranger) = api.tenant("Stranger").await;
    let path = format!("/api/tenants/{own}/erasures");
    assert_eq!(stranger.post(&path, json!({ "call_id": call.id })).await.problem(404), "not_found");
    let nothing = stranger.post(&path, json!({ "caller_number": "+15550123" })).await.expect(200);
    assert_eq!(nothing["calls"], 0);
    let (kept, turns) = line.scope.call(call.id).await.expect("an answer").expect("a call");
    assert_eq!((kept.caller_number.as_deref(), turns.len()), (Some("+15550123"), 1));
}

async fn limits_are_named(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let path = format!("/api/tenants/{id}/webhooks");
    for n in 0..20 {
        let hook = json!({ "url": format!("https://example.com/{n}"), "events": ["call.ended"] });
        admin.post(&path, hook).await.expect(201);
    }
    let hook = json!({ "url": "https://example.com/", "events": ["call.ended"] });
    let refused = admin.post(&path, hook).await.expect(409);
    assert_eq!(refused["code"], "limit_reached");
    assert_eq!(refused["errors"], json!([{ "field": "webhooks", "problem": "20 at most" }]));
}
