//! Feedback and retention over HTTP.

use serde_json::json;
use vca::store::{AuditFilter, Window};
use vca::tenancy::Role;

use super::api_server::ApiServer;
use super::calls::Line;
use super::on_both;

on_both!(feedback_is_given_and_found, retention_is_set_as_a_whole);

async fn feedback_is_given_and_found(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let (one, two) = (line.record(json!({})).await, line.record(json!({})).await);
    let of = |call: &vca::tenancy::Call| format!("/api/tenants/{tenant}/calls/{}/feedback", call.id);
    let comment = "She knew our hours \u{1F600}";
    let body = json!({ "rating": 5, "comment": comment, "source": "caller" });
    let given = admin.post(&of(&one), body).await.expect(201);
    assert_eq!((&given["comment"], &given["call_id"]), (&json!(comment), &json!(one.id)));
    admin.post(&of(&one), json!({ "rating": 1 })).await.expect(201);
    admin.post(&of(&two), json!({ "rating": 3, "source": "review" })).await.expect(201);
    let ratings = |page: serde_json::Value| -> Vec<i64> {
        page["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|it| it["rating"].as_i64().expect("a rating"))
            .collect()
    };
    assert_eq!(ratings(admin.get(&of(&one)).await.expect(200)), [1, 5]);
    let list = format!("/api/tenants/{tenant}/feedback");
    assert_eq!(ratings(admin.get(&list).await.expect(200)), [3, 1, 5]);
    assert_eq!(ratings(admin.get(&format!("{list}?rating=3")).await.expect(200)), [3]);
    assert_eq!(ratings(admin.get(&format!("{list}?source=caller")).await.expect(200)), [5]);
    assert_eq!(ratings(admin.get(&format!("{list}?to=2020-01-01T00:00:00Z")).await.expect(200)), [0i64; 0]);
    let page = admin.get(&format!("{list}?limit=2")).await.expect(200);
    let next = page["next_cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(ratings(admin.get(&format!("{list}?limit=2&cursor={next}")).await.expect(200)), [5]);

    let (other, stranger) = api.tenant("Florist").await;
    for (client, tenant, filter, count) in [
        (&admin, tenant, "rating=5", 1),
        (&admin, tenant, "rating=4", 0),
        (&admin, tenant, "rating=3", 0),
        (&stranger, other, "rating=5", 0),
    ] {
        let found = client.get(&format!("/api/tenants/{tenant}/calls?{filter}")).await.expect(200);
        assert_eq!(found["items"].as_array().map(Vec::len), Some(count), "{filter}: those of callers count");
    }
    for filter in ["rating=0", "rating=6", "rating=five"] {
        admin.get(&format!("/api/tenants/{tenant}/calls?{filter}")).await.problem(400);
    }

    for body in [
        json!({ "rating": 0 }),
        json!({ "rating": 6 }),
        json!({ "rating": "5" }),
        json!({ "comment": "none" }),
        json!({ "rating": 3, "source": " " }),
        json!({ "rating": 3, "comment": "x".repeat(4_001) }),
        json!({ "rating": 3, "stars": 3 }),
    ] {
        admin.post(&of(&one), body).await.problem(400);
    }
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    assert_eq!(viewer.post(&of(&one), json!({ "rating": 5 })).await.problem(403), "read_only_key");
    let filter = AuditFilter { resource: Some("feedback".into()), ..AuditFilter::default() };
    let audit = line.scope.audit(&filter, Window::first(9)).await.expect("the audit log");
    assert_eq!(audit.items.len(), 3);
    assert!(
        !serde_json::to_string(&audit.items).expect("JSON").contains("hours"),
        "a comment stays where it is"
    );
}

async fn retention_is_set_as_a_whole(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = format!("/api/tenants/{tenant}/retention");
    let for_ever =
        json!({ "call_days": null, "transcript_days": null, "recording_days": null, "audit_days": null });
    assert_eq!(admin.get(&path).await.expect(200), for_ever);
    let set = json!({ "call_days": 365, "transcript_days": 90, "recording_days": 30, "audit_days": null });
    assert_eq!(admin.put(&path, set.clone()).await.expect(200), set);
    assert_eq!(admin.get(&path).await.expect(200), set);
    let refused = admin.put(&path, json!({ "call_days": 30, "transcript_days": 31 })).await.expect(400);
    let fields: Vec<&str> = refused["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .filter_map(|error| error["field"].as_str())
        .collect();
    assert_eq!(fields, ["transcript_days", "recording_days"]);
    for body in [
        json!({ "call_days": 0 }),
        json!({ "call_days": -1 }),
        json!({ "days": 1 }),
        json!({ "audit_days": 40_000 }),
    ] {
        admin.put(&path, body).await.problem(400);
    }
    assert_eq!(admin.get(&path).await.expect(200), set, "what is refused changes nothing");
    assert_eq!(admin.put(&path, json!({})).await.expect(200), for_ever);
    let scope = api.store.scope(vca::tenancy::TenantId(tenant));
    let filter = AuditFilter { resource: Some("retention".into()), ..AuditFilter::default() };
    let audit = scope.audit(&filter, Window::first(9)).await.expect("the audit log");
    assert_eq!(audit.items.len(), 2);
    assert_eq!(audit.items[0].before.as_ref().map(|before| &before["call_days"]), Some(&json!(365)));
}
