//! The operator's number inventory over HTTP, and what tenants see of it.

use serde_json::{Value, json};
use uuid::Uuid;
use vca::tenancy::Role;

use super::api_server::ApiServer;
use super::on_both;

on_both!(
    a_refusal_does_not_tell_which_numbers_others_have,
    a_tenant_takes_what_is_assigned_to_it,
    the_operator_keeps_the_inventory,
    faults_are_named,
    tenants_do_not_reach_the_inventory,
);

const INVENTORY: &str = "/api/number-inventory";

fn numbers(tenant: Uuid) -> String {
    format!("/api/tenants/{tenant}/phone-numbers")
}

fn available(tenant: Uuid) -> String {
    format!("/api/tenants/{tenant}/available-numbers")
}

fn dids(page: &Value) -> Vec<&str> {
    page["items"].as_array().expect("items").iter().filter_map(|it| it["did_number"].as_str()).collect()
}

/// Control-plane finding 5 b.
async fn a_refusal_does_not_tell_which_numbers_others_have(api: ApiServer) {
    let (one, _) = api.tenant("Bakery").await;
    let (two, brewery) = api.tenant("Brewery").await;
    api.operator.post(&numbers(one), json!({ "did_number": "+493055500100" })).await.expect(201);
    api.assign(one, "+493055500101").await;
    api.operator.post(INVENTORY, json!({ "did_number": "+493055500102" })).await.expect(201);
    let mut answers = Vec::new();
    for did in ["+493055500100", "+493055500101", "+493055500102", "+493055500103"] {
        let answer = brewery.post(&numbers(two), json!({ "did_number": did })).await;
        assert_eq!(answer.status, 403, "{did}: {:#}", answer.body);
        let mut body = answer.body;
        body["request_id"].take();
        answers.push(body);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(answers[0]["code"], "number_not_assigned");
}

async fn a_tenant_takes_what_is_assigned_to_it(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    for did in ["+493055500100", "+493055500101"] {
        api.assign(tenant, did).await;
    }
    let page = viewer.get(&format!("{}?limit=1", available(tenant))).await.expect(200);
    assert_eq!(dids(&page), ["+493055500100"]);
    assert_eq!(
        page["items"][0].as_object().map(|item| item.len()),
        Some(3),
        "no remark of the operator's: {page:#}"
    );
    let next = page["next_cursor"].as_str().expect("another page");
    let page = viewer.get(&format!("{}?limit=1&cursor={next}", available(tenant))).await.expect(200);
    assert_eq!((dids(&page), &page["next_cursor"]), (vec!["+493055500101"], &Value::Null));
    admin.post(&numbers(tenant), json!({ "did_number": "+493055500100" })).await.expect(201);
    assert_eq!(dids(&admin.get(&available(tenant)).await.expect(200)), ["+493055500101"]);
}

async fn the_operator_keeps_the_inventory(api: ApiServer) {
    let (tenant, _) = api.tenant("Bakery").await;
    let operator = &api.operator;
    let body = json!({ "did_number": "49 30 55500100", "note": "Block A" });
    let made = operator.post(INVENTORY, body.clone()).await.expect(201);
    let expected = json!({
        "id": made["id"], "did_number": "+493055500100", "tenant_id": null, "source": "operator", "note": "Block A",
        "phone_number_id": null, "created_at": made["created_at"],
    });
    assert_eq!(made, expected);
    assert_eq!(operator.post(INVENTORY, body).await.problem(409), "number_in_inventory");
    let one = format!("{INVENTORY}/{}", made["id"].as_str().expect("an id"));
    assert_eq!(operator.get(&one).await.expect(200), made);
    let assigned = operator.patch(&one, json!({ "tenant_id": tenant })).await.expect(200);
    assert_eq!((&assigned["tenant_id"], &assigned["note"]), (&json!(tenant), &json!("Block A")));
    assert_eq!(operator.patch(&one, json!({})).await.expect(200), assigned);
    for (query, found) in [
        (format!("tenant_id={tenant}"), 1),
        ("is_assigned=true".to_owned(), 1),
        ("is_assigned=false".to_owned(), 0),
        ("source=twilio".to_owned(), 0),
    ] {
        let page = operator.get(&format!("{INVENTORY}?{query}")).await.expect(200);
        assert_eq!(dids(&page).len(), found, "{query}");
    }
    let number = operator.post(&numbers(tenant), json!({ "did_number": "+493055500100" })).await.expect(201);
    assert_eq!(operator.get(&one).await.expect(200)["phone_number_id"], number["id"]);
    assert_eq!(operator.patch(&one, json!({ "tenant_id": null })).await.problem(409), "number_in_use");
    assert_eq!(operator.delete(&one).await.problem(409), "number_in_use");
    let number = format!("{}/{}", numbers(tenant), number["id"].as_str().expect("an id"));
    operator.delete(&number).await.expect(204);
    let cleared = operator.patch(&one, json!({ "tenant_id": null, "note": null })).await.expect(200);
    assert_eq!((&cleared["tenant_id"], &cleared["note"]), (&Value::Null, &Value::Null));
    operator.delete(&one).await.expect(204);
    assert_eq!(operator.get(&one).await.problem(404), "not_found");
}

async fn faults_are_named(api: ApiServer) {
    let operator = &api.operator;
    for (body, field) in [
        (json!({}), "did_number"),
        (json!({ "did_number": "bakery" }), "did_number"),
        (json!({ "did_number": "+493055500100", "tenant_id": Uuid::now_v7() }), "tenant_id"),
        (json!({ "did_number": "+493055500100", "source": "pigeon" }), "source"),
        (json!({ "did_number": "+493055500100", "note": "x".repeat(201) }), "note"),
    ] {
        let answer = operator.post(INVENTORY, body.clone()).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(dids(&operator.get(INVENTORY).await.expect(200)), [] as [&str; 0]);
}

async fn tenants_do_not_reach_the_inventory(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    api.assign(tenant, "+493055500100").await;
    let (other, stranger) = api.tenant("Stranger").await;
    assert_eq!(admin.get(INVENTORY).await.problem(403), "operator_only");
    let body = json!({ "did_number": "+493055500101", "tenant_id": tenant });
    assert_eq!(admin.post(INVENTORY, body).await.problem(403), "operator_only");
    assert_eq!(stranger.get(&available(tenant)).await.problem(404), "not_found");
    assert_eq!(dids(&stranger.get(&available(other)).await.expect(200)), [] as [&str; 0]);
}
