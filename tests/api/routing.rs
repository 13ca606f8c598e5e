//! Which profiles answer a number's calls, over HTTP.

use serde_json::{Value, json};
use uuid::Uuid;
use vca::tenancy::Role;

use super::api_server::{ApiServer, Client};
use super::on_both;

on_both!(
    a_number_names_its_profiles,
    a_routing_that_cannot_be_is_refused,
    another_tenants_profiles_answer_nothing,
    a_routing_changes_as_it_was_read,
    a_routing_has_versions,
    another_tenants_versions_are_not_there,
);

const DID: &str = "+493055500100";

/// The path of the routing of a new number.
async fn number(api: &ApiServer, tenant: Uuid, admin: &Client) -> String {
    api.assign(tenant, DID).await;
    let numbers = format!("/api/tenants/{tenant}/phone-numbers");
    let made = admin.post(&numbers, json!({ "did_number": DID })).await.expect(201);
    format!("{numbers}/{}/routing", made["id"].as_str().expect("an id"))
}

async fn profile(tenant: Uuid, admin: &Client, name: &str) -> Value {
    let new = json!({ "name": name, "system_prompt": "Be brief." });
    let made = admin.post(&format!("/api/tenants/{tenant}/ai-profiles"), new).await.expect(201);
    made["id"].clone()
}

async fn a_number_names_its_profiles(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = number(&api, tenant, &admin).await;
    let none = json!({ "profiles": [], "closed_profile_id": null });
    assert_eq!(admin.get(&path).await.expect(200), none);
    let (one, two) = (profile(tenant, &admin, "One").await, profile(tenant, &admin, "Two").await);
    let both = json!({ "profiles": [{ "ai_profile_id": one }, { "ai_profile_id": two, "weight": 3 }] });
    let changed = admin.put(&path, both).await.expect(200);
    let shares = json!([{ "ai_profile_id": one, "weight": 1 }, { "ai_profile_id": two, "weight": 3 }]);
    assert_eq!(changed, json!({ "profiles": shares, "closed_profile_id": null }));
    let night = json!({ "profiles": [{ "ai_profile_id": one, "weight": 100 }], "closed_profile_id": two });
    assert_eq!(admin.put(&path, night.clone()).await.expect(200), night);
    assert_eq!(admin.get(&path).await.expect(200), night);
    assert_eq!(admin.put(&path, json!({})).await.expect(200), none);
    let audit = api.operator.get(&format!("/api/tenants/{tenant}/audit")).await.expect(200);
    let entries = audit["items"].as_array().expect("entries").iter();
    assert_eq!(entries.filter(|entry| entry["resource"] == "number_routing").count(), 3, "{audit:#}");
}

async fn a_routing_that_cannot_be_is_refused(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = number(&api, tenant, &admin).await;
    let one = profile(tenant, &admin, "One").await;
    let share = |weight: i64| json!({ "ai_profile_id": one, "weight": weight });
    for (wrong, field) in [
        (json!({ "profiles": [share(0)] }), "profiles.0.weight"),
        (json!({ "profiles": [share(101)] }), "profiles.0.weight"),
        (json!({ "profiles": [share(1), share(2)] }), "profiles.1.ai_profile_id"),
        (json!({ "profiles": vec![share(1); 11] }), "profiles"),
        (json!({ "profiles": [{ "ai_profile_id": Uuid::now_v7() }] }), "profiles.0.ai_profile_id"),
        (json!({ "closed_profile_id": Uuid::now_v7() }), "closed_profile_id"),
    ] {
        let answer = admin.put(&path, wrong.clone()).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], field, "{wrong}: {answer:#}");
    }
    for wrong in [
        json!({ "profile": one }),
        json!({ "profiles": null }),
        json!({ "profiles": [share(-1)] }),
        json!({ "profiles": [{ "weight": 1 }] }),
    ] {
        admin.put(&path, wrong).await.expect(400);
    }
}

async fn another_tenants_profiles_answer_nothing(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = number(&api, tenant, &admin).await;
    let (other, stranger) = api.tenant("Butcher").await;
    let theirs = profile(other, &stranger, "Theirs").await;
    for wrong in
        [json!({ "profiles": [{ "ai_profile_id": theirs }] }), json!({ "closed_profile_id": theirs })]
    {
        admin.put(&path, wrong).await.expect(400);
    }
    let elsewhere = path.replace(&tenant.to_string(), &other.to_string());
    assert_eq!(stranger.get(&elsewhere).await.problem(404), "not_found");
    let own = json!({ "closed_profile_id": theirs });
    assert_eq!(stranger.put(&elsewhere, own).await.problem(404), "not_found");
    assert_eq!(admin.get(&path).await.expect(200)["closed_profile_id"], json!(null));
}

async fn a_routing_changes_as_it_was_read(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = number(&api, tenant, &admin).await;
    let one = profile(tenant, &admin, "One").await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    viewer.get(&path).await.expect(200);
    viewer.put(&path, json!({})).await.expect(403);
    let closed = json!({ "closed_profile_id": one });
    let answer = admin.put_if("\"another\"", &path, closed).await;
    assert_eq!(answer.problem(412), "changed_meanwhile");
    assert_eq!(admin.get(&path).await.expect(200)["closed_profile_id"], json!(null));
}

async fn a_routing_has_versions(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = number(&api, tenant, &admin).await;
    let number = path.trim_end_matches("/routing");
    let one = profile(tenant, &admin, "One").await;
    let share = json!({ "ai_profile_id": one, "weight": 1 });
    admin.put(&path, json!({ "profiles": [share] })).await.expect(200);
    let failover = json!({ "busy": { "action": "dialplan", "label": "queue" } });
    admin.patch(number, json!({ "failover": failover })).await.expect(200);
    assert_eq!(admin.get(number).await.expect(200)["routing_version"], 3);
    let list = admin.get(&format!("{path}/versions")).await.expect(200);
    let versions: Vec<_> =
        list["items"].as_array().expect("versions").iter().map(|it| it["version"].as_u64()).collect();
    assert_eq!(versions, [Some(3), Some(2), Some(1)], "{list:#}");
    let shown = admin.get(&format!("{path}/versions/3")).await.expect(200);
    let routing = json!({ "profiles": [share], "closed_profile_id": null });
    assert_eq!((&shown["routing"], &shown["failover"]), (&routing, &failover));
    let compared = admin.get(&format!("{path}/versions/3/differences?earlier=1")).await.expect(200);
    let expected = json!({ "earlier": 1, "later": 3, "differences": [
        { "field": "failover.busy", "before": null, "after": failover["busy"] },
        { "field": format!("profiles.{}", one.as_str().expect("an id")), "before": null, "after": 1 },
    ] });
    assert_eq!(compared, expected);
    let before = admin.get(&format!("{path}/versions/3/differences")).await.expect(200);
    assert_eq!((&before["earlier"], before["differences"].as_array().map(Vec::len)), (&json!(2), Some(1)));
    let back = admin.post(&format!("{path}/rollback"), json!({ "version": 2 })).await.expect(200);
    assert_eq!((&back["version"], &back["failover"], &back["routing"]), (&json!(4), &json!({}), &routing));
    for missing in ["versions/9", "versions/9/differences", "versions/4/differences?earlier=9"] {
        assert_eq!(admin.get(&format!("{path}/{missing}")).await.problem(404), "not_found");
    }
    let missing = admin.post(&format!("{path}/rollback"), json!({ "version": 9 })).await;
    assert_eq!(missing.problem(404), "not_found");
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    viewer.get(&format!("{path}/versions")).await.expect(200);
    viewer.post(&format!("{path}/rollback"), json!({ "version": 1 })).await.expect(403);
}

async fn another_tenants_versions_are_not_there(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let path = number(&api, tenant, &admin).await;
    let (other, stranger) = api.tenant("Butcher").await;
    for path in [path.replace(&tenant.to_string(), &other.to_string()), path] {
        for answer in [
            stranger.get(&format!("{path}/versions")).await,
            stranger.get(&format!("{path}/versions/1")).await,
            stranger.get(&format!("{path}/versions/1/differences")).await,
            stranger.post(&format!("{path}/rollback"), json!({ "version": 1 })).await,
        ] {
            assert_eq!(answer.problem(404), "not_found");
        }
    }
}
