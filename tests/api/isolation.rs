//! Every route of the OpenAPI document, walked with another tenant's key and another tenant's ids.
//!
//! A route that is new and not provided for here fails the test.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use vca::store::{KeyFilter, Window};
use vca::tenancy::TenantId;

use super::bureau::{Bureau, Client};
use super::{calls, on_both};

on_both!(another_tenant_reaches_nothing);

/// Routes that are the operator's alone: 403 for every key of a tenant's.
const OPERATORS: &[&str] = &[
    "/api/tenants",
    "/api/keys",
    "/api/keys/{key_id}",
    "/api/keys/{key_id}/rotate",
    "/api/audit",
    "/api/usage",
    "/api/calls/live",
    "/api/analytics",
];

/// Routes that need no key, or one of another kind.
const OPEN: &[&str] = &["/api/whoami", "/internal/telephony/inbound"];

async fn another_tenant_reaches_nothing(bureau: Bureau) {
    let (mine, owner) = bureau.tenant("Mine").await;
    let (_, stranger) = bureau.tenant("Stranger").await;
    let scope = bureau.store.scope(TenantId(mine));
    let key = scope.keys(&KeyFilter::default(), Window::first(1)).await.expect("keys").items.remove(0);
    let call = calls::Line::of(&bureau, mine).await.record(json!({})).await;
    bureau.lines.ring(&call);
    let profile = json!({ "name": "Mine", "system_prompt": "Be kind." });
    let webhook = json!({ "url": "https://example.com/hooks", "events": ["call.ended"] });
    let webhook = made(&owner, mine, "webhooks", webhook).await;
    let ping = format!("/api/tenants/{mine}/webhooks/{webhook}/ping");
    let delivery = owner.post(&ping, json!({})).await.expect(202)["id"].as_str().expect("an id").to_owned();
    let ids = BTreeMap::from([
        ("tenant_id", mine.to_string()),
        ("call_id", call.id.to_string()),
        ("month", "2026-11".to_owned()),
        ("webhook_id", webhook),
        ("delivery_id", delivery),
        ("key_id", key.id.to_string()),
        ("phone_number_id", call.phone_number_id.to_string()),
        ("ai_profile_id", made(&owner, mine, "ai-profiles", profile).await),
        ("version", "1".to_owned()),
    ]);
    let document = bureau.nobody().get("/openapi.json").await.expect(200);
    let mut walked = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("methods").keys() {
            let filled = fill(path, &ids);
            let method: Method = method.to_uppercase().parse().expect("a method");
            let body = (method != Method::GET).then(|| Value::to_string(&json!({})));
            let answer = stranger.send(method.clone(), &filled, body).await;
            let expected = match path.as_str() {
                path if OPEN.contains(&path) => continue,
                path if OPERATORS.contains(&path) => 403,
                // What only the operator may do with a tenant tells a tenant's key so, whichever tenant it is.
                "/api/tenants/{tenant_id}" if method == Method::PATCH => 403,
                path if path.contains("{tenant_id}") => 404,
                path => panic!("{method} {path} is new: say in this test who may reach it"),
            };
            assert_eq!(answer.status.as_u16(), expected, "{method} {path}: {:#}", answer.body);
            walked += 1;
        }
    }
    assert!(walked >= 40, "only {walked} operations were walked");
}

/// The id of something new of a tenant's.
async fn made(owner: &Client, tenant: Uuid, what: &str, body: Value) -> String {
    let made = owner.post(&format!("/api/tenants/{tenant}/{what}"), body).await.expect(201);
    made["id"].as_str().expect("an id").to_owned()
}

/// The path with another tenant's ids in the place of its parameters.
fn fill(path: &str, ids: &BTreeMap<&str, String>) -> String {
    let segments = path.split('/').map(|segment| {
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return segment.to_owned();
        };
        let id = ids.get(name);
        id.unwrap_or_else(|| panic!("{path}: make a {name} of the other tenant's in this test")).clone()
    });
    segments.collect::<Vec<_>>().join("/")
}
