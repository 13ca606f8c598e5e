//! Keys over HTTP: made, used, replaced, revoked, and never shown twice.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use vca::store::NewKey;
use vca::tenancy::{Actor, Role, TenantId};

use super::api_server::{ApiServer, Client};
use super::on_both;

on_both!(
    a_key_is_made_used_and_revoked,
    a_key_is_replaced_with_or_without_grace,
    a_key_is_rotated_once,
    roles_decide_who_makes_which_keys,
    an_expired_key_opens_nothing,
    keys_are_listed_and_found_by_their_beginning,
);

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value:#}"))
}

async fn make(client: &Client, path: &str, body: Value) -> (Value, Client) {
    let made = client.post(path, body).await.expect(201);
    let holder = client.with_key(text(&made, "secret"));
    (made, holder)
}

async fn a_key_is_made_used_and_revoked(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let keys = format!("/api/tenants/{id}/keys");
    let (made, viewer) = make(&admin, &keys, json!({ "name": "wallboard", "role": "tenant_viewer" })).await;
    assert!(text(&made, "secret").starts_with(text(&made, "prefix")), "{made:#}");
    let who = viewer.get("/api/whoami").await.expect(200);
    assert_eq!((&who["key"]["name"], &who["tenant"]["name"]), (&json!("wallboard"), &json!("Bakery")));

    let path = format!("{keys}/{}", text(&made, "id"));
    let shown = admin.get(&path).await.expect(200);
    assert!(shown.get("secret").is_none() && shown.get("hash").is_none(), "{shown:#}");
    let written = async {
        while !admin.get(&path).await.expect(200)["last_used_at"].is_string() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), written).await.expect("its last use is written");
    assert!(!admin.get(&keys).await.expect(200).to_string().contains(text(&made, "secret")));

    let revoked = admin.delete(&path).await.expect(200);
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(viewer.get("/api/whoami").await.problem(401), "unauthorized");
    assert_eq!(admin.delete(&path).await.expect(200), revoked, "again changes nothing");
    assert_eq!(admin.post(&format!("{path}/rotate"), json!({})).await.problem(400), "invalid_value");

    let audit = admin.get(&format!("/api/tenants/{id}/audit?resource=api_key")).await.expect(200);
    let actions: Vec<_> = audit["items"].as_array().expect("items").iter().map(|e| &e["action"]).collect();
    assert_eq!(actions, ["revoke", "create", "create"], "{audit:#}");
    assert!(!audit.to_string().contains(text(&made, "secret")));
}

async fn a_key_is_replaced_with_or_without_grace(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let keys = format!("/api/tenants/{id}/keys");
    let end = Utc::now() + TimeDelta::days(30);
    let body = json!({ "name": "shop", "role": "tenant_admin", "expires_at": end });
    let (first, first_holder) = make(&admin, &keys, body).await;

    let rotate = |key: &Value| format!("{keys}/{}/rotate", text(key, "id"));
    let (second, second_holder) = make(&admin, &rotate(&first), json!({ "grace_minutes": 10 })).await;
    assert_eq!((&second["name"], &second["role"]), (&first["name"], &first["role"]));
    assert_ne!(second["id"], first["id"]);
    let lives_as_long: chrono::DateTime<Utc> = text(&second, "expires_at").parse().expect("a time");
    assert!((lives_as_long - end).abs() < TimeDelta::minutes(1), "{second:#}");
    for holder in [&first_holder, &second_holder] {
        holder.get("/api/whoami").await.expect(200);
    }
    let old = admin.get(&format!("{keys}/{}", text(&first, "id"))).await.expect(200);
    let until: chrono::DateTime<Utc> = text(&old, "expires_at").parse().expect("a time");
    assert!(until <= Utc::now() + TimeDelta::minutes(10) && old["revoked_at"].is_null(), "{old:#}");

    // A key may replace itself.
    let (_, third_holder) = make(&second_holder, &rotate(&second), json!({})).await;
    assert_eq!(second_holder.get("/api/whoami").await.problem(401), "unauthorized");
    third_holder.get("/api/whoami").await.expect(200);

    for body in [json!({ "grace_minutes": 10_081 }), json!({ "grace_minutes": -1 }), json!({ "grace": 1 })] {
        third_holder.post(&rotate(&first), body).await.problem(400);
    }
}

/// Its end is that of its grace from then on: a second successor would live as long, which nobody has asked for.
async fn a_key_is_rotated_once(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let keys = format!("/api/tenants/{id}/keys");
    let end = Utc::now() + TimeDelta::days(30);
    let body = json!({ "name": "shop", "role": "tenant_admin", "expires_at": end });
    let rotate = |key: &Value| format!("{keys}/{}/rotate", text(key, "id"));
    let grace = json!({ "grace_minutes": 10 });
    let (first, _) = make(&admin, &keys, body.clone()).await;
    let (second, _) = make(&admin, &rotate(&first), grace.clone()).await;
    let path = format!("{keys}/{}", text(&first, "id"));
    let in_grace = admin.get(&path).await.expect(200);
    for how in [grace.clone(), json!({}), json!({ "expires_at": end })] {
        let refused = admin.post(&rotate(&first), how).await.expect(409);
        let detail = text(&refused, "detail");
        assert!(detail.contains("rotated already") && detail.contains(text(&second, "id")), "{refused:#}");
    }
    assert_eq!(admin.get(&path).await.expect(200), in_grace, "the grace is what it was");
    let (third, _) = make(&admin, &rotate(&second), grace.clone()).await;
    let lives_as_long: chrono::DateTime<Utc> = text(&third, "expires_at").parse().expect("a time");
    assert!((lives_as_long - end).abs() < TimeDelta::minutes(1), "{third:#}");

    let (other, _) = make(&admin, &keys, body).await;
    let path = rotate(&other);
    let attempts = (0..8).map(|_| admin.post(&path, grace.clone()));
    let answers = futures_util::future::join_all(attempts).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1, "of those who rotate it at once: {answers:?}");
}

async fn roles_decide_who_makes_which_keys(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let keys = format!("/api/tenants/{id}/keys");
    let viewer = api.client_of(id, Role::TenantViewer).await;
    viewer.get(&keys).await.expect(200);
    let new = json!({ "name": "x", "role": "tenant_viewer" });
    assert_eq!(viewer.post(&keys, new.clone()).await.problem(403), "read_only_key");
    admin.post(&keys, json!({ "name": "x", "role": "operator" })).await.problem(400);
    for body in [
        json!({ "role": "tenant_admin" }),
        json!({ "name": " ", "role": "tenant_admin" }),
        json!({ "name": "x", "role": "root" }),
        json!({ "name": "x", "role": "tenant_admin", "expires_at": "2020-01-01T00:00:00Z" }),
        json!({ "name": "x", "role": "tenant_admin", "expires_at": "9999-01-01T00:00:00Z" }),
        json!({ "name": "x", "role": "tenant_admin", "tenant_id": Uuid::now_v7() }),
    ] {
        admin.post(&keys, body).await.problem(400);
    }
    assert_eq!(admin.post("/api/keys", json!({ "name": "mine" })).await.problem(403), "operator_only");

    // An operator's key is not there for a tenant, by whichever way.
    let (operators, second) = make(&api.operator, "/api/keys", json!({ "name": "second" })).await;
    let operators = text(&operators, "id");
    assert_eq!(admin.delete(&format!("{keys}/{operators}")).await.problem(404), "not_found");
    assert_eq!(admin.get(&format!("{keys}/{operators}")).await.problem(404), "not_found");
    assert_eq!(admin.delete(&format!("/api/keys/{operators}")).await.problem(403), "operator_only");
    second.get("/api/keys").await.expect(200);

    // The operator may all of it, and a suspended tenant only looks.
    let (made, _) = make(&api.operator, &keys, new.clone()).await;
    api.operator.delete(&format!("/api/keys/{}", text(&made, "id"))).await.expect(200);
    api.operator.patch(&format!("/api/tenants/{id}"), json!({ "status": "suspended" })).await.expect(200);
    admin.get(&keys).await.expect(200);
    assert_eq!(admin.post(&keys, new).await.problem(403), "tenant_suspended");
}

async fn an_expired_key_opens_nothing(api: ApiServer) {
    let (id, _) = api.tenant("Bakery").await;
    let new = NewKey {
        name: "old".into(),
        role: Role::TenantAdmin,
        expires_at: Some(Utc::now() - TimeDelta::seconds(1)),
    };
    let minted = api.store.scope(TenantId(id)).create_key(&Actor::system(), new).await.expect("a key");
    let holder = api.nobody().with_key(secrecy::ExposeSecret::expose_secret(&minted.secret));
    let answer = holder.get("/api/whoami").await;
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    assert_eq!(answer.problem(401), "unauthorized");
}

async fn keys_are_listed_and_found_by_their_beginning(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let keys = format!("/api/tenants/{id}/keys");
    let mut made = Vec::new();
    for n in 0..3 {
        let body = json!({ "name": format!("key {n}"), "role": "tenant_viewer" });
        made.push(make(&admin, &keys, body).await.0);
    }
    let page = admin.get(&format!("{keys}?role=tenant_viewer&limit=2")).await.expect(200);
    let cursor = text(&page, "next_cursor");
    let rest = admin.get(&format!("{keys}?role=tenant_viewer&limit=2&cursor={cursor}")).await.expect(200);
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().expect("items").iter().map(|key| text(key, "name").to_owned()).collect()
    };
    assert_eq!([names(&page), names(&rest)].concat(), ["key 0", "key 1", "key 2"]);
    let found = api.operator.get(&format!("/api/keys?prefix={}", text(&made[1], "prefix"))).await;
    assert_eq!(names(&found.expect(200)), ["key 1"]);
    admin.get(&format!("{keys}?role=root")).await.problem(400);
}
