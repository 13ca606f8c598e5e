//! Tenants over HTTP.

use serde_json::json;
use uuid::Uuid;
use vca::tenancy::Role;

use super::api_server::ApiServer;
use super::on_both;

on_both!(
    the_operator_runs_tenants,
    lists_come_in_pages,
    roles_are_kept_apart,
    nobody_sees_anything,
    a_deletion_by_patch_is_one_change,
);

async fn the_operator_runs_tenants(api: ApiServer) {
    let operator = &api.operator;
    let made =
        operator.post("/api/tenants", json!({ "name": "Bakery", "plan": "starter" })).await.expect(201);
    assert_eq!(made["status"], "active");
    let path = format!("/api/tenants/{}", made["id"].as_str().expect("an id"));
    assert_eq!(operator.get(&path).await.expect(200), made);
    let changed = operator.patch(&path, json!({ "status": "suspended", "plan": "custom" })).await.expect(200);
    assert_eq!((&changed["status"], &changed["plan"]), (&json!("suspended"), &json!("custom")));
    for (body, code) in [
        (json!({ "name": "Other" }), "invalid_value"),
        (json!({ "status": "asleep" }), "invalid_value"),
        (json!({ "status": null }), "invalid_value"),
        (json!("active"), "invalid_body"),
    ] {
        assert_eq!(operator.patch(&path, body).await.problem(400), code);
    }
    for body in
        [json!({ "name": " ", "plan": "growth" }), json!({ "name": "x" }), json!({ "plan": "growth" })]
    {
        operator.post("/api/tenants", body).await.problem(400);
    }
    let missing = format!("/api/tenants/{}", Uuid::now_v7());
    assert_eq!(operator.get(&missing).await.problem(404), "not_found");
    assert_eq!(operator.patch(&missing, json!({ "plan": "growth" })).await.problem(404), "not_found");
    assert_eq!(operator.get("/api/tenants/none").await.problem(404), "not_found");
    assert_eq!(operator.put(&path, json!({})).await.problem(405), "method_not_allowed");
}

async fn lists_come_in_pages(api: ApiServer) {
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(api.tenant(&format!("Tenant {n}")).await.0.to_string());
    }
    let (mut seen, mut path) = (Vec::new(), "/api/tenants?limit=2".to_owned());
    loop {
        let page = api.operator.get(&path).await.expect(200);
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|tenant| tenant["id"].as_str().expect("an id").to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/tenants?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, made);
    for query in ["limit=0", "limit=501", "limit=x", "cursor=x", "status=asleep"] {
        api.operator.get(&format!("/api/tenants?{query}")).await.problem(400);
    }
}

async fn roles_are_kept_apart(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let viewer = api.client_of(id, Role::TenantViewer).await;
    let path = format!("/api/tenants/{id}");
    for client in [&admin, &viewer] {
        client.get(&path).await.expect(200);
        assert_eq!(client.get("/api/tenants").await.problem(403), "operator_only");
        assert_eq!(client.patch(&path, json!({ "plan": "custom" })).await.problem(403), "operator_only");
    }
    api.operator.patch(&path, json!({ "status": "deleted" })).await.expect(200);
    assert_eq!(admin.get(&path).await.problem(401), "unauthorized");
}

async fn nobody_sees_anything(api: ApiServer) {
    let nobody = api.nobody();
    assert_eq!(nobody.get("/api/tenants").await.problem(401), "unauthorized");
    let stranger = nobody.with_key("vca_00000000_0000000000000000000000000000000000000000000");
    assert_eq!(stranger.get("/api/tenants").await.problem(401), "unauthorized");
    assert_eq!(nobody.get("/nowhere").await.problem(404), "not_found");
}

/// Its precondition is checked in the transaction of the deletion.
async fn a_deletion_by_patch_is_one_change(api: ApiServer) {
    let (id, _) = api.tenant("Bakery").await;
    let (operator, path) = (&api.operator, format!("/api/tenants/{id}"));
    let deleted = json!({ "status": "deleted" });
    assert_eq!(
        operator.patch_if("\"other\"", &path, deleted.clone()).await.problem(412),
        "changed_meanwhile"
    );
    assert_eq!(operator.get(&path).await.expect(200)["status"], "active");
    let read = operator.get(&path).await.headers["etag"].to_str().expect("text").to_owned();
    let attempts = (0..4).map(|_| operator.patch_if(&read, &path, deleted.clone()));
    let answers = futures_util::future::join_all(attempts).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{answers:?}");
    let entries = operator.get(&format!("/api/audit?resource=tenant&resource_id={id}")).await.expect(200);
    let actions: Vec<&str> =
        entries["items"].as_array().expect("items").iter().filter_map(|it| it["action"].as_str()).collect();
    assert_eq!(actions, ["delete", "create"], "{entries:#}");
}
