//! The audit log over HTTP.

use serde_json::{Value, json};
use uuid::Uuid;
use vca::tenancy::Role;

use super::api_server::ApiServer;
use super::on_both;

on_both!(changes_are_told_to_those_whom_they_concern, entries_are_filtered_and_come_in_pages);

fn column<'a>(page: &'a Value, name: &str) -> Vec<&'a Value> {
    page["items"].as_array().expect("items").iter().map(|entry| &entry[name]).collect()
}

async fn changes_are_told_to_those_whom_they_concern(api: ApiServer) {
    let (id, admin) = api.tenant("Bakery").await;
    let (_, other) = api.tenant("Butcher").await;
    api.operator.patch(&format!("/api/tenants/{id}"), json!({ "plan": "custom" })).await.expect(200);
    let path = format!("/api/tenants/{id}/audit");
    let viewer = api.client_of(id, Role::TenantViewer).await;
    let page = viewer.get(&format!("{path}?resource=tenant")).await.expect(200);
    assert_eq!(column(&page, "action"), ["update", "create"]);
    let update = &page["items"][0];
    assert_eq!((&update["before"]["plan"], &update["after"]["plan"]), (&json!("growth"), &json!("custom")));
    assert!(update["actor"].as_str().is_some_and(|actor| actor.starts_with("key root (vca_")), "{update:#}");
    assert!(update["request_id"].is_string() && update["address"] == "127.0.0.1", "{update:#}");
    assert_eq!(other.get(&path).await.problem(404), "not_found");
    assert_eq!(admin.get("/api/audit").await.problem(403), "operator_only");
    let all = api.operator.get("/api/audit?resource=tenant").await.expect(200);
    assert_eq!(column(&all, "action"), ["update", "create", "create"]);
}

async fn entries_are_filtered_and_come_in_pages(api: ApiServer) {
    let (id, _) = api.tenant("Bakery").await;
    for plan in ["starter", "growth", "custom"] {
        api.operator.patch(&format!("/api/tenants/{id}"), json!({ "plan": plan })).await.expect(200);
    }
    let get = async |query: String| api.operator.get(&format!("/api/audit?{query}")).await;
    let first = get("action=update&limit=2".into()).await.expect(200);
    assert_eq!(
        column(&first, "after").iter().map(|it| &it["plan"]).collect::<Vec<_>>(),
        ["custom", "growth"]
    );
    let cursor = first["next_cursor"].as_str().expect("a cursor").to_owned();
    let rest = get(format!("action=update&limit=2&cursor={cursor}")).await.expect(200);
    assert_eq!((column(&rest, "action").len(), &rest["next_cursor"]), (1, &Value::Null));

    let at = first["items"][1]["at"].as_str().expect("a time");
    let count = async |query: String| column(&get(query).await.expect(200), "id").len();
    assert_eq!(count(format!("action=update&from={at}")).await, 2);
    assert_eq!(count(format!("action=update&to={at}")).await, 1);
    assert_eq!(count(format!("resource=tenant&resource_id={id}")).await, 4);
    assert_eq!(count(format!("resource=tenant&resource_id={}", Uuid::now_v7())).await, 0);
    assert_eq!(count("resource=tenant&actor=ROOT".into()).await, 4, "a part of a name, in any case");
    assert_eq!(count("resource=tenant&actor=r%25t".into()).await, 0, "no pattern of SQL's");
    for query in ["from=yesterday", "cursor=x", "limit=0"] {
        get(query.into()).await.problem(400);
    }
}
