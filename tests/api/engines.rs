//! Engine credentials over HTTP.

use std::future::IntoFuture;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use uuid::Uuid;
use vca::current::Current;
use vca::tenancy::{Permitted, Role, TenantEngineRules};

use super::api_server::{ApiServer, plain_api_state};
use super::on_both;

on_both!(
    credentials_are_stored_and_their_key_is_never_shown,
    credentials_that_no_engine_fits_are_refused,
    a_profile_names_the_tenants_own_engine,
    a_profile_names_the_tenants_own_voice,
    an_engine_is_tried_with_its_own_key,
    the_operator_may_forbid_engines_of_tenants,
    a_tenant_reads_its_shares_of_the_engines,
);

const KEY: &str = "sk-0123456789abcdefghij";

fn path(tenant: Uuid) -> String {
    format!("/api/tenants/{tenant}/engine-credentials")
}

fn model(base_url: &str) -> Value {
    json!({ "name": "acme", "kind": "llm", "api": "openai", "key": KEY, "base_url": base_url, "model": "their-model" })
}

fn id(made: &Value) -> &str {
    made["id"].as_str().expect("an id")
}

async fn credentials_are_stored_and_their_key_is_never_shown(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let made = admin.post(&path(tenant), model("https://example.com/v1")).await.expect(201);
    let expected = json!({
        "id": made["id"], "tenant_id": tenant, "name": "acme", "kind": "llm", "api": "openai",
        "base_url": "https://example.com/v1", "model": "their-model", "fallback": "none", "key_hint": "…ghij",
        "version": 1, "created_at": made["created_at"], "updated_at": made["updated_at"],
    });
    assert_eq!(made, expected);
    let one = format!("{}/{}", path(tenant), id(&made));
    assert_eq!(admin.get(&one).await.expect(200), made);
    assert_eq!(admin.post(&path(tenant), model("https://example.com")).await.problem(409), "name_taken");
    let other = json!({ "key": "another-key-0123456789", "fallback": "operator" });
    let changed = admin.put(&one, other).await.expect(200);
    assert_eq!((&changed["version"], &changed["key_hint"]), (&json!(2), &json!("…6789")));
    assert_eq!((&changed["base_url"], &changed["model"]), (&Value::Null, &Value::Null), "all is replaced");
    admin.put(&one, json!({ "base_url": "https://attacker.example" })).await.problem(400);
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    assert_eq!(viewer.put(&one, json!({ "key": "x" })).await.problem(403), "read_only_key");
    let listed = viewer.get(&path(tenant)).await.expect(200);
    let audit = api.operator.get(&format!("/api/tenants/{tenant}/audit")).await.expect(200);
    let entries = audit["items"].as_array().expect("entries").iter();
    assert_eq!(entries.filter(|entry| entry["resource"] == "engine_credential").count(), 2, "{audit:#}");
    let shown = format!("{made} {changed} {listed} {audit}");
    assert!(!shown.contains(KEY) && !shown.contains("another-key"), "{shown}");
    admin.delete(&one).await.expect(204);
    admin.get(&one).await.problem(404);
}

async fn credentials_that_no_engine_fits_are_refused(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    for (change, field) in [
        (json!({ "name": "A b" }), "name"),
        (json!({ "api": "cartesia" }), "api"),
        (json!({ "base_url": "file:///etc/passwd" }), "base_url"),
        (json!({ "base_url": "https://user:pass@example.com" }), "base_url"),
        (json!({ "model": "../x" }), "model"),
        (json!({ "key": "a\r\nb: c" }), "key"),
        (json!({ "key": "" }), "key"),
    ] {
        let mut body = model("https://example.com/v1");
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let refused = admin.post(&path(tenant), body).await;
        assert_eq!(refused.body["errors"][0]["field"], field, "{:#}", refused.body);
        refused.problem(400);
    }
}

async fn a_profile_names_the_tenants_own_engine(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (strangers, stranger) = api.tenant("Stranger").await;
    let made = admin.post(&path(tenant), model("https://example.com/v1")).await.expect(201);
    let profile = json!({
        "name": "Front desk", "role": "receptionist", "system_prompt": "Sell bread.", "is_default": true,
        "settings": { "llm": "own:acme", "llm_model": "any/model" },
    });
    let profiles = |tenant: Uuid| format!("/api/tenants/{tenant}/ai-profiles");
    let refused = stranger.post(&profiles(strangers), profile.clone()).await;
    assert_eq!(
        refused.body["errors"][1]["field"], "settings.llm",
        "it is another tenant's: {:#}",
        refused.body
    );
    refused.problem(400);
    let answers = admin.post(&profiles(tenant), profile).await.expect(201);
    let one = format!("{}/{}", path(tenant), id(&made));
    let refused = admin.delete(&one).await;
    assert!(refused.body["detail"].as_str().expect("a text").contains("Front desk"), "{:#}", refused.body);
    assert_eq!(refused.problem(409), "engine_in_use");
    admin.put(&format!("{}/{}/settings", profiles(tenant), id(&answers)), json!({})).await.expect(200);
    admin.delete(&one).await.expect(204);
    let rollback = format!("{}/{}/rollback", profiles(tenant), id(&answers));
    admin.post(&rollback, json!({ "version": 1 })).await.problem(400);
}

async fn a_profile_names_the_tenants_own_voice(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (strangers, stranger) = api.tenant("Stranger").await;
    let voice = json!({ "name": "acme", "kind": "realtime", "api": "openai-realtime", "key": KEY });
    let made = admin.post(&path(tenant), voice).await.expect(201);
    let profile = json!({
        "name": "Front desk", "role": "receptionist", "system_prompt": "Sell bread.", "is_default": true,
        "settings": { "realtime": "own:acme", "realtime_model": "gpt-realtime-2.1", "realtime_voice": "cedar" },
    });
    let profiles = |tenant: Uuid| format!("/api/tenants/{tenant}/ai-profiles");
    let refused = stranger.post(&profiles(strangers), profile.clone()).await;
    let fields = refused.body["errors"].as_array().into_iter().flatten().map(|error| &error["field"]);
    assert!(fields.into_iter().any(|field| field == "settings.realtime"), "{:#}", refused.body);
    refused.problem(400);
    admin.post(&profiles(tenant), profile).await.expect(201);
    let one = format!("{}/{}", path(tenant), id(&made));
    assert_eq!(stranger.get(&one).await.problem(404), "not_found");
    assert_eq!(admin.delete(&one).await.problem(409), "engine_in_use");
}

/// A server with OpenAI's chat completions that accepts [`KEY`] alone; its address, and the models that it was asked for.
async fn chat_server() -> (String, Arc<Mutex<Vec<Value>>>) {
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let models = asked.clone();
    let reply = move |headers: HeaderMap, Json(body): Json<Value>| {
        let models = models.clone();
        async move {
            if headers["authorization"] != format!("Bearer {KEY}") {
                let error = json!({ "error": { "message": "Incorrect API key", "code": "invalid_api_key" } });
                return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
            }
            models.lock().expect("no panic").push(body["model"].clone());
            let piece = json!({ "choices": [{ "index": 0, "delta": { "content": "Yes." }, "finish_reason": "stop" }] });
            let events = format!("data: {piece}\n\ndata: [DONE]\n\n");
            ([("content-type", "text/event-stream")], events).into_response()
        }
    };
    let router = Router::new().route("/v1/chat/completions", post(reply));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    tokio::spawn(axum::serve(listener, router).into_future());
    (url, asked)
}

async fn an_engine_is_tried_with_its_own_key(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (url, asked) = chat_server().await;
    let made = admin.post(&path(tenant), model(&url)).await.expect(201);
    let one = format!("{}/{}", path(tenant), id(&made));
    let unused = admin.get(&format!("{one}/health")).await.expect(200);
    assert_eq!(unused, json!({ "success_share": null, "is_paused": false }));
    let done = admin.post(&format!("{one}/test"), json!({})).await.expect(200);
    assert_eq!((&done["outcome"], &done["problem"]), (&json!("succeeded"), &Value::Null), "{done}");
    assert_eq!(*asked.lock().expect("no panic"), ["their-model"]);
    admin.put(&one, json!({ "key": "wrong-key-0123456789", "base_url": url })).await.expect(200);
    let failed = admin.post(&format!("{one}/test"), json!({})).await.expect(200);
    assert_eq!(failed["outcome"], "auth", "{failed}");
    assert!(!failed.to_string().contains("wrong-key"), "{failed}");
}

async fn the_operator_may_forbid_engines_of_tenants(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let made = admin.post(&path(tenant), model("https://example.com/v1")).await.expect(201);
    let one = format!("{}/{}", path(tenant), id(&made));
    let mut state = plain_api_state(&api.store);
    state.permitted = Current::new(Permitted {
        tenant_engines: TenantEngineRules::default(),
        ..Permitted::clone(&state.permitted.get())
    });
    let strict = api.served(state).await;
    let admin = strict.holder_of(&admin);
    assert_eq!(
        admin.post(&path(tenant), model("https://x.example")).await.problem(409),
        "tenant_keys_forbidden"
    );
    assert_eq!(admin.post(&format!("{one}/test"), json!({})).await.problem(409), "tenant_keys_forbidden");
    assert_eq!(admin.put(&one, json!({ "key": "x" })).await.problem(409), "tenant_keys_forbidden");
    admin.delete(&one).await.expect(204);
}

async fn a_tenant_reads_its_shares_of_the_engines(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    let path = format!("/api/tenants/{tenant}/engine-shares");
    let shares = viewer.get(&path).await.expect(200);
    assert_eq!((&shares["calls"], &shares["percent"]), (&json!(20), &json!(100)), "{shares}");
    assert_eq!(shares["limits"][1], json!({ "stage": "llm", "per_minute": 1_200, "concurrent": 80 }));
    let analyses = json!({ "stage": "analysis", "per_minute": 120, "concurrent": null });
    assert_eq!((&shares["limits"][4], &shares["engines"]), (&analyses, &json!([])));
    let calls = |calls: Value| json!({ "max_concurrent_calls": calls });
    let tenants = format!("/api/tenants/{tenant}");
    assert_eq!(admin.patch(&tenants, calls(json!(100))).await.problem(403), "operator_only");
    api.operator.patch(&tenants, calls(json!(2))).await.expect(200);
    assert_eq!(viewer.get(&path).await.expect(200)["limits"][1]["per_minute"], 120);
    let reset = api.operator.patch(&tenants, calls(Value::Null)).await.expect(200);
    assert_eq!(reset["max_concurrent_calls"], Value::Null);
    let (_, stranger) = api.tenant("Stranger").await;
    assert_eq!(stranger.get(&path).await.problem(404), "not_found");
}
