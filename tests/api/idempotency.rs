//! POST with an `Idempotency-Key`: carried out once, however often it is sent.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;
use vca::tenancy::Role;

use super::api_server::{Answer, ApiServer, Client};
use super::on_both;

on_both!(
    a_repeated_post_is_carried_out_once,
    of_posts_at_once_one_is_carried_out,
    responses_with_secrets_are_not_sent_again,
    a_key_belongs_to_its_api_key_and_tenant,
    a_refused_request_leaves_its_key_unused,
    a_request_that_was_cut_off_is_repeated_unless_it_changed_something,
    a_purge_can_be_repeated,
);

/// Operations whose response holds a secret.
const WITH_SECRET: [&str; 8] = [
    "createTenantKey",
    "rotateTenantKey",
    "createOperatorKey",
    "rotateKey",
    "createWebhook",
    "rotateWebhookSecret",
    "rotatePreCallWebhookSecret",
    "rotateTenantPreCallWebhookSecret",
];

fn profile(name: &str) -> Value {
    json!({ "name": name, "role": "sales", "system_prompt": "Be brief." })
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().expect("text"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value:#}"))
}

async fn count(client: &Client, path: &str) -> usize {
    client.get(path).await.expect(200)["items"].as_array().expect("items").len()
}

async fn a_repeated_post_is_carried_out_once(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = format!("/api/tenants/{tenant}/ai-profiles");
    let first = admin.post_once("\"7f1c\"", &path, profile("Front desk")).await;
    assert_eq!(header(&first, "idempotency-replayed"), None);
    for key in ["\"7f1c\"", "7f1c"] {
        let again = admin.post_once(key, &path, profile("Front desk")).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(header(&again, "etag"), header(&first, "etag"));
        assert_eq!(header(&again, "content-type"), header(&first, "content-type"));
        assert_eq!(header(&again, "idempotency-replayed"), Some("true"));
    }
    assert_eq!(count(&admin, &path).await, 1);
    let id = first.expect(201)["id"].clone();
    let other = admin.post_once("7f1c", &path, profile("Night desk")).await;
    assert_eq!(other.problem(422), "idempotency_key_reused");
    let other = format!("{path}/{}/rollback", id.as_str().expect("an id"));
    let other = admin.post_once("7f1c", &other, json!({ "version": 1 })).await;
    assert_eq!(other.problem(422), "idempotency_key_reused", "a key is for one path");
    let second = admin.post_once("7f1d", &path, profile("Front desk")).await.expect(201);
    assert_ne!(second["id"], id);
    assert_eq!(count(&admin, &path).await, 2);
}

async fn of_posts_at_once_one_is_carried_out(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = format!("/api/tenants/{tenant}/ai-profiles");
    let answers = join_all((0..8).map(|_| admin.post_once("7f1c", &path, profile("Front desk")))).await;
    let mut made = BTreeSet::new();
    for answer in answers {
        if answer.status == 201 {
            made.insert(text(&answer.body, "id").to_owned());
        } else {
            assert_eq!(header(&answer, "retry-after"), Some("1"));
            assert_eq!(answer.problem(409), "request_in_progress");
        }
    }
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(count(&admin, &path).await, 1);
}

async fn responses_with_secrets_are_not_sent_again(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let base = format!("/api/tenants/{tenant}");
    let key = json!({ "name": "Spare", "role": "tenant_viewer" });
    let webhook = json!({ "url": "https://example.com/hooks", "events": ["call.ended"] });
    let key_id = text(&admin.post(&format!("{base}/keys"), key.clone()).await.expect(201), "id").to_owned();
    let other = admin.post(&format!("{base}/keys"), key.clone()).await.expect(201);
    let other = text(&other, "id");
    let hook = admin.post(&format!("{base}/webhooks"), webhook.clone()).await.expect(201);
    let hook = text(&hook, "id");
    api.assign(tenant, "+493055500100").await;
    let number = json!({ "did_number": "+493055500100" });
    let number = admin.post(&format!("{base}/phone-numbers"), number).await.expect(201);
    let number = format!("{base}/phone-numbers/{}/pre-call-webhook", text(&number, "id"));
    let tenants = format!("{base}/pre-call-webhook");
    for asked in [&number, &tenants] {
        admin.put(asked, json!({ "url": "https://example.com/calls" })).await.expect(201);
    }
    let requests = [
        (&admin, format!("{base}/keys"), key),
        (&admin, format!("{base}/keys/{key_id}/rotate"), json!({})),
        (&api.operator, "/api/keys".to_owned(), json!({ "name": "deployment" })),
        (&api.operator, format!("/api/keys/{other}/rotate"), json!({})),
        (&admin, format!("{base}/webhooks"), webhook),
        (&admin, format!("{base}/webhooks/{hook}/rotate-secret"), json!({})),
        (&admin, format!("{number}/rotate-secret"), json!({})),
        (&admin, format!("{tenants}/rotate-secret"), json!({})),
    ];
    assert_eq!(requests.len(), WITH_SECRET.len());
    for (client, path, body) in requests {
        let first = client.post_once(&path, &path, body.clone()).await;
        assert!(first.status.is_success(), "{path}: {:#}", first.body);
        let secret = text(&first.body, "secret").to_owned();
        let again = client.post_once(&path, &path, body).await;
        assert_eq!(again.body["resource_id"], first.body["id"], "{path}");
        assert!(!again.body.to_string().contains(&secret), "{path}");
        assert_eq!(again.problem(409), "already_applied", "{path}");
    }
}

async fn a_key_belongs_to_its_api_key_and_tenant(api: ApiServer) {
    let (one, admin) = api.tenant("Bakery").await;
    let (other, others) = api.tenant("Butcher").await;
    let colleague = api.client_of(one, Role::TenantAdmin).await;
    let path = |tenant: Uuid| format!("/api/tenants/{tenant}/ai-profiles");
    let mut made = BTreeSet::new();
    for (client, tenant) in
        [(&admin, one), (&colleague, one), (&others, other), (&api.operator, one), (&api.operator, other)]
    {
        let created = client.post_once("7f1c", &path(tenant), profile("Front desk")).await.expect(201);
        assert_eq!(created["tenant_id"], json!(tenant));
        made.insert(text(&created, "id").to_owned());
    }
    assert_eq!(made.len(), 5);
    // A stored response of another tenant's is not there for a stranger.
    let strayed = others.post_once("7f1c", &path(one), profile("Front desk")).await;
    assert_eq!(strayed.problem(404), "not_found");
}

async fn a_refused_request_leaves_its_key_unused(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    let path = format!("/api/tenants/{tenant}/ai-profiles");
    assert_eq!(admin.post_once("7f1c", &path, json!({ "name": "x" })).await.problem(400), "invalid_value");
    admin.post_once("7f1c", &path, profile("Front desk")).await.expect(201);
    assert_eq!(viewer.post_once("7f1c", &path, profile("x")).await.problem(403), "read_only_key");
    assert_eq!(api.nobody().post_once("7f1c", &path, profile("x")).await.problem(401), "unauthorized");
    let nowhere = format!("/api/tenants/{}/ai-profiles", Uuid::now_v7());
    assert_eq!(api.operator.post_once("7f1c", &nowhere, profile("x")).await.problem(404), "not_found");
    for key in [" ", &"x".repeat(256)] {
        let refused = admin.post_once(key, &path, profile("x")).await;
        assert_eq!(refused.problem(400), "invalid_idempotency_key", "{key:?}");
    }
    assert_eq!(count(&admin, &path).await, 1);
}

/// A daemon that is killed has stored no response.
async fn a_request_that_was_cut_off_is_repeated_unless_it_changed_something(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = format!("/api/tenants/{tenant}/ai-profiles");
    let made = admin.post_once("7f1c", &path, profile("Front desk")).await.expect(201);
    api.raw("UPDATE idempotency_keys SET status = NULL, etag = NULL, body = NULL".to_owned()).await;
    let again = admin.post_once("7f1c", &path, profile("Front desk")).await;
    assert_eq!(again.problem(409), "request_in_progress", "its lease lasts");
    api.raw("UPDATE idempotency_keys SET leased_until = '2020-01-01T00:00:00Z'".to_owned()).await;
    let again = admin.post_once("7f1c", &path, profile("Front desk")).await;
    assert_eq!(again.body["resource_id"], made["id"]);
    assert_eq!(again.problem(409), "already_applied");
    api.raw("UPDATE idempotency_keys SET resource = NULL, resource_id = NULL".to_owned()).await;
    let again = admin.post_once("7f1c", &path, profile("Front desk")).await.expect(201);
    assert_ne!(again["id"], made["id"]);
}

async fn a_purge_can_be_repeated(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = format!("/api/tenants/{tenant}");
    admin.post_once("7f1c", &format!("{path}/ai-profiles"), profile("Front desk")).await.expect(201);
    api.operator.delete(&path).await.expect(200);
    let purge = format!("{path}/purge");
    let purged = api.operator.post_once("7f1c", &purge, json!({ "with_statements": true })).await;
    assert_eq!(purged.body["rows"]["idempotency_keys"], 1, "{:#}", purged.body);
    let again = api.operator.post_once("7f1c", &purge, json!({ "with_statements": true })).await;
    assert_eq!((again.status, &again.body), (purged.status, &purged.body));
    assert_eq!(api.operator.get(&path).await.problem(404), "not_found");
}

#[test]
fn each_post_describes_the_header() {
    let document = serde_json::to_value(vca::admin::api::document()).expect("JSON");
    let mut with_secret = BTreeSet::new();
    let mut posts = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let post = &item["post"];
        let parameters = post["parameters"].as_array().into_iter().flatten();
        let is_described = parameters.filter(|it| it["name"] == "Idempotency-Key").count() == 1;
        assert_eq!(is_described, post.is_object() && post["security"].is_null(), "{path}");
        if !is_described {
            continue;
        }
        posts += 1;
        assert!(
            post["responses"]["409"]["description"].to_string().contains("request_in_progress"),
            "{path}"
        );
        assert!(post["responses"]["409"]["headers"]["Retry-After"].is_object(), "{path}");
        assert!(post["responses"]["422"].is_object(), "{path}");
        let success =
            post["responses"].as_object().expect("responses").iter().find(|it| it.0.starts_with('2'));
        let schema = success.expect("a success").1["content"]["application/json"]["schema"]["$ref"].as_str();
        let schema = schema.and_then(|name| document.pointer(name.trim_start_matches('#')));
        if schema.is_some_and(|schema| schema.to_string().contains("\"secret\"")) {
            with_secret.insert(text(post, "operationId"));
        }
    }
    assert!(posts >= 19, "{posts}");
    assert_eq!(with_secret, WITH_SECRET.into(), "test that their responses are not stored");
}
