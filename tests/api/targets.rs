//! Transfer targets over HTTP.

use serde_json::{Value, json};
use uuid::Uuid;

use super::api_server::ApiServer;
use super::on_both;

on_both!(
    a_tenant_has_targets,
    targets_are_within_the_operators_limits,
    an_endpoint_resolves_a_target,
    another_tenants_targets_are_not_there,
    menus_lead_to_the_tenants_own_targets,
    a_version_of_a_profile_shows_its_targets,
);

fn path(tenant: Uuid) -> String {
    format!("/api/tenants/{tenant}/transfer-targets")
}

fn shop() -> Value {
    json!({ "name": "shop", "description": "Orders.", "kind": "extension", "address": "1001@sales" })
}

async fn a_tenant_has_targets(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let made = admin.post(&path(tenant), shop()).await.expect(201);
    let expected = json!({
        "id": made["id"], "tenant_id": tenant, "name": "shop", "description": "Orders.", "kind": "extension",
        "address": "1001@sales", "method": "dial", "style": "cold", "after_bridge": "leave", "resolver": null,
        "hours": null, "created_at": made["created_at"],
    });
    assert_eq!(made, expected);
    let one = format!("{}/{}", path(tenant), made["id"].as_str().expect("an id"));
    assert_eq!(admin.get(&one).await.expect(200), made);
    assert_eq!(admin.post(&path(tenant), shop()).await.problem(409), "name_in_use");
    let queue =
        json!({ "name": "reception", "description": "All else.", "kind": "queue", "address": "reception" });
    let queue = admin.post(&path(tenant), queue).await.expect(201);
    assert_eq!(queue["method"], "dialplan", "a queue is reached by the dialplan");
    assert_eq!(admin.patch(&one, json!({ "name": "reception" })).await.problem(409), "name_in_use");
    let hours = json!({ "timezone": "Europe/Berlin", "weekly": {}, "closed_on": [] });
    let changes = json!({ "method": "dialplan", "hours": hours });
    let changed = admin.patch(&one, changes).await.expect(200);
    assert_eq!((&changed["method"], &changed["hours"]), (&json!("dialplan"), &hours));
    let changed = admin.patch(&one, json!({ "hours": null })).await.expect(200);
    assert_eq!((&changed["method"], &changed["hours"]), (&json!("dialplan"), &json!(null)));
    let list = admin.get(&path(tenant)).await.expect(200);
    assert_eq!(list, json!({ "items": [changed, queue], "next_cursor": null }));
    admin.delete(&one).await.expect(204);
    assert_eq!(admin.get(&one).await.problem(404), "not_found");
    let audit = api.operator.get(&format!("/api/tenants/{tenant}/audit")).await.expect(200);
    let actions = audit["items"].as_array().expect("entries").iter();
    let about_targets = actions.filter(|entry| entry["resource"] == "transfer_target").count();
    assert_eq!(about_targets, 5, "{audit:#}");
}

async fn targets_are_within_the_operators_limits(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let made = admin.post(&path(tenant), shop()).await.expect(201);
    let one = format!("{}/{}", path(tenant), made["id"].as_str().expect("an id"));
    for (change, field) in [
        (json!({ "address": "1001@inside" }), "address"),
        (json!({ "address": "112@sales" }), "address"),
        (json!({ "address": "1001@sales&PJSIP/evil" }), "address"),
        (json!({ "kind": "number", "address": "+12025550100" }), "address"),
        (json!({ "kind": "number", "address": "+49112" }), "address"),
        (json!({ "kind": "sip", "address": "shop@evil.example.com" }), "address"),
        (json!({ "method": "refer" }), "method"),
        (json!({ "method": "dialplan", "style": "warm" }), "style"),
        (json!({ "method": "dialplan", "after_bridge": "stay" }), "after_bridge"),
        (json!({ "name": "The Shop" }), "name"),
        (json!({ "description": "" }), "description"),
        (json!({ "hours": { "timezone": "Mars" } }), "hours.timezone"),
    ] {
        let answer = admin.patch(&one, change.clone()).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], field, "{change}: {answer:#}");
        let mut new = shop();
        new["name"] = json!("other");
        for (name, value) in change.as_object().expect("fields") {
            new[name] = value.clone();
        }
        admin.post(&path(tenant), new).await.expect(400);
    }
    assert_eq!(admin.get(&one).await.expect(200), made);
    let changes = json!({ "kind": "number", "address": "+493055500100", "after_bridge": "stay" });
    let changed = admin.patch(&one, changes).await.expect(200);
    assert_eq!(changed["after_bridge"], "stay");
}

async fn an_endpoint_resolves_a_target(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let resolver = json!({
        "headers": { "x-shop": "7" }, "secret_headers": { "authorization": "duty" }, "timeout_ms": 2_000, "allow": ["+4930"],
    });
    let new = json!({
        "name": "on-call", "description": "On duty.", "kind": "http", "address": "https://example.com/on-call",
        "style": "warm", "resolver": resolver,
    });
    let made = admin.post(&path(tenant), new.clone()).await.expect(201);
    assert_eq!((&made["method"], &made["resolver"]), (&json!("dial"), &resolver));
    let one = format!("{}/{}", path(tenant), made["id"].as_str().expect("an id"));
    assert_eq!(admin.get(&one).await.expect(200), made);
    for (change, field) in [
        (json!({ "address": "example.com" }), "address"),
        (json!({ "address": "https://example.com/{{caller}}" }), "address"),
        (json!({ "resolver": { "headers": { "host": "x" } } }), "resolver.headers"),
        (json!({ "resolver": { "timeout_ms": 99 } }), "resolver.timeout_ms"),
        (json!({ "resolver": { "allow": ["everywhere"] } }), "resolver.allow"),
        (json!({ "kind": "extension", "address": "1001@sales" }), "resolver"),
    ] {
        let answer = admin.patch(&one, change.clone()).await.expect(400);
        assert_eq!(answer["errors"][0]["field"], field, "{change}: {answer:#}");
    }
    let changed = admin.patch(&one, json!({ "resolver": null })).await.expect(200);
    assert_eq!(changed["resolver"], Value::Null);
    let extension = json!({ "kind": "extension", "address": "1001@sales" });
    assert_eq!(admin.patch(&one, extension).await.expect(200)["kind"], "extension");
}

async fn another_tenants_targets_are_not_there(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (other, stranger) = api.tenant("Butcher").await;
    let made = admin.post(&path(tenant), shop()).await.expect(201);
    let id = made["id"].as_str().expect("an id");
    for at in [format!("{}/{id}", path(tenant)), format!("{}/{id}", path(other))] {
        assert_eq!(stranger.get(&at).await.problem(404), "not_found");
        assert_eq!(stranger.patch(&at, json!({ "name": "mine" })).await.problem(404), "not_found");
        assert_eq!(stranger.delete(&at).await.problem(404), "not_found");
    }
    stranger.post(&path(other), shop()).await.expect(201);
    assert_eq!(admin.get(&path(tenant)).await.expect(200)["items"], json!([made]));
}

/// A keypad menu of a profile leads to a target of the tenant's; each version of the profile has its menus.
async fn menus_lead_to_the_tenants_own_targets(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (other, stranger) = api.tenant("Butcher").await;
    stranger.post(&path(other), shop()).await.expect(201);
    let profiles = format!("/api/tenants/{tenant}/ai-profiles");
    let menus = |prompt: &str| {
        json!([{ "name": "main", "prompt": prompt, "choices": [
            { "key": "1", "words": ["the shop"], "say": "One moment.", "then": { "action": "transfer", "target": "shop" } },
            { "key": "9", "then": { "action": "agent" } },
        ] }])
    };
    let new = |menus: Value| json!({ "name": "Front desk", "system_prompt": "Sell bread.", "settings": { "keypad_menus": menus } });
    let refused = admin.post(&profiles, new(menus("Shop 1."))).await;
    assert_eq!(refused.body["errors"][0]["field"], "settings.keypad_menus.0.choices.0.then.target");
    refused.problem(400);
    admin.post(&path(tenant), shop()).await.expect(201);
    let made = admin.post(&profiles, new(menus("Shop 1."))).await.expect(201);
    assert_eq!(made["settings"]["keypad_menus"], menus("Shop 1."));
    let of = format!("{profiles}/{}", made["id"].as_str().expect("an id"));
    let changed =
        json!({ "settings": { "keypad_menus": menus("Shop 1, agent 9."), "keypad_menu_key": "*" } });
    admin.patch(&of, changed).await.expect(200);
    for wrong in [json!({ "keypad_menu_key": "10" }), json!({ "keypad_menus": [{ "name": "main" }] })] {
        admin.patch(&of, json!({ "settings": wrong })).await.problem(400);
    }
    let back = admin.post(&format!("{of}/rollback"), json!({ "version": 1 })).await.expect(200);
    assert_eq!(back["settings"]["keypad_menus"], menus("Shop 1."));
    assert_eq!(stranger.get(&of).await.problem(404), "not_found");
}

async fn a_version_of_a_profile_shows_its_targets(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let profiles = format!("/api/tenants/{tenant}/ai-profiles");
    let new =
        json!({ "name": "Front desk", "system_prompt": "Be brief.", "settings": { "tools": ["transfer"] } });
    let profile = admin.post(&profiles, new).await.expect(201);
    let at = format!("{profiles}/{}", profile["id"].as_str().expect("an id"));
    let made = admin.post(&path(tenant), shop()).await.expect(201);
    let one = format!("{}/{}", path(tenant), made["id"].as_str().expect("an id"));
    let moved = admin.patch(&one, json!({ "address": "1002@sales" })).await.expect(200);
    assert_eq!(admin.get(&at).await.expect(200)["version"], 3);
    for (version, targets) in [(1, json!([])), (2, json!([made])), (3, json!([moved]))] {
        let shown = admin.get(&format!("{at}/versions/{version}")).await.expect(200);
        assert_eq!((&shown["targets"], &shown["republished"]), (&targets, &json!(version > 1)), "{version}");
    }
    let back = admin.post(&format!("{at}/rollback"), json!({ "version": 2 })).await.expect(200);
    let shown = admin.get(&format!("{at}/versions/{}", back["version"])).await.expect(200);
    assert_eq!((&shown["targets"], &shown["republished"]), (&json!([made]), &json!(false)));
    // Its targets are of no use to another tenant.
    let (_, stranger) = api.tenant("Butcher").await;
    assert_eq!(stranger.get(&format!("{at}/versions/2")).await.problem(404), "not_found");
}
