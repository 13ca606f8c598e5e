//! Phone numbers over HTTP.

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use uuid::Uuid;
use vca::store::UnmatchedCounter;
use vca::tenancy::Role;

use super::api_server::ApiServer;
use super::on_both;

on_both!(
    a_tenant_has_numbers,
    what_is_no_number_is_refused,
    a_number_is_one_tenants_alone,
    many_ask_for_one_number_and_one_gets_it,
    a_released_number_stays_assigned,
    numbers_are_filtered_and_paged,
    another_tenants_numbers_are_not_there,
    a_viewer_looks_and_changes_nothing,
    unmatched_numbers_are_the_operators,
    a_number_has_failover_routes,
);

const DID: &str = "+493055500100";

fn path(tenant: Uuid) -> String {
    format!("/api/tenants/{tenant}/phone-numbers")
}

fn id(body: &Value) -> &str {
    body["id"].as_str().expect("an id")
}

async fn a_tenant_has_numbers(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    api.assign(tenant, DID).await;
    let body = json!({ "did_number": "49 (30) 555-00100", "provider_type": "generic" });
    let made = admin.post(&path(tenant), body).await.expect(201);
    let expected = json!({
        "id": made["id"], "tenant_id": tenant, "did_number": DID, "provider_type": "generic", "is_active": true,
        "provider_state": "registered", "provider_detail": null, "provider_reference": null,
        "call_delivery": "delivered", "failover": {}, "uses_tenant_webhook": true, "routing_version": 1,
        "created_at": made["created_at"],
    });
    assert_eq!(made, expected);
    let one = format!("{}/{}", path(tenant), id(&made));
    assert_eq!(admin.get(&one).await.expect(200), made);
    for active in [false, false, true] {
        let changed = admin.patch(&one, json!({ "is_active": active })).await.expect(200);
        assert_eq!((&changed["is_active"], &changed["did_number"]), (&json!(active), &json!(DID)));
        let delivery = if active { "delivered" } else { "refused" };
        assert_eq!(changed["call_delivery"], delivery, "{changed:#}");
        assert_eq!(admin.get(&one).await.expect(200), changed);
    }
    assert_eq!(admin.patch(&one, json!({})).await.expect(200), made);
    let list = admin.get(&path(tenant)).await.expect(200);
    assert_eq!(list, json!({ "items": [made], "next_cursor": null }));
    let other = json!({ "did_number": "+12025550100", "provider_type": "twilio" });
    let other = api.operator.post(&path(tenant), other).await.expect(201);
    assert_eq!(other["provider_state"], "failed", "there is no account with the provider here");
    assert!(other["provider_detail"].is_string(), "{other:#}");
    // Control-plane finding 31: it is wanted, and its calls do not arrive.
    assert_eq!((&other["is_active"], &other["call_delivery"]), (&json!(true), &json!("not_delivered")));
}

async fn a_number_has_failover_routes(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    api.assign(tenant, DID).await;
    let made = admin.post(&path(tenant), json!({ "did_number": DID })).await.expect(201);
    let one = format!("{}/{}", path(tenant), id(&made));
    let routes = json!({
        "default": { "action": "dialplan" }, "closed": { "action": "dialplan", "label": "night" },
        "limit": { "action": "hang_up" },
        "busy": { "action": "message", "say": "All lines are busy.", "then": { "action": "target", "target": "shop" } },
    });
    let changed = admin.patch(&one, json!({ "failover": routes })).await.expect(200);
    assert_eq!((&changed["failover"], &changed["is_active"]), (&routes, &json!(true)));
    let off = admin.patch(&one, json!({ "is_active": false })).await.expect(200);
    assert_eq!(off["failover"], routes, "they stay as they are");
    for wrong in [
        json!({ "default": { "action": "fly" } }),
        json!({ "default": { "action": "dialplan", "label": "a,b" } }),
        json!({ "default": { "action": "dialplan", "label": "${EXTEN}" } }),
        json!({ "lunch": { "action": "dialplan" } }),
        json!({ "busy": { "action": "message", "say": "" } }),
        json!({ "busy": { "action": "message", "say": "Hello {{caller}}" } }),
        json!(null),
    ] {
        admin.patch(&one, json!({ "failover": wrong })).await.expect(400);
    }
    assert_eq!(admin.get(&one).await.expect(200), off);
    let (_, other) = api.tenant("Butcher").await;
    other.patch(&one, json!({ "failover": {} })).await.expect(404);
    let none = admin.patch(&one, json!({ "failover": {} })).await.expect(200);
    assert_eq!(none["failover"], json!({}));
}

async fn what_is_no_number_is_refused(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let at = path(tenant);
    for (body, field) in [
        (json!({ "did_number": "bakery" }), "did_number"),
        (json!({ "did_number": "" }), "did_number"),
        (json!({}), "did_number"),
        (json!({ "did_number": "+999123456789" }), "did_number"),
        (json!({ "did_number": "030 55500100" }), "did_number"),
        (json!({ "did_number": "100" }), "did_number"),
        (json!({ "did_number": 4930 }), "did_number"),
        (json!({ "did_number": DID, "provider_type": "carrier-pigeon" }), "provider_type"),
        (json!({ "did_number": DID, "tenant_id": Uuid::now_v7() }), "tenant_id"),
    ] {
        let answer = admin.post(&at, body.clone()).await.expect(400);
        assert_eq!(
            (&answer["code"], &answer["errors"][0]["field"]),
            (&json!("invalid_value"), &json!(field)),
            "{body}"
        );
    }
    let national = admin.post(&at, json!({ "did_number": "030 55500100" })).await.expect(400);
    let problem = national["errors"][0]["problem"].as_str().expect("a problem");
    assert!(problem.contains("numbers.default_region"), "{problem}");
    for body in ["", "[]", "{", "null", "{\"did_number\":\"+493055500100\"} x"] {
        admin.send(reqwest::Method::POST, &at, Some(body.to_owned())).await.problem(400);
    }
    let made = api.operator.post(&at, json!({ "did_number": DID })).await.expect(201);
    let one = format!("{at}/{}", id(&made));
    for body in [json!({ "is_active": "no" }), json!({ "did_number": "+493055500101" }), json!("off")] {
        admin.patch(&one, body).await.problem(400);
    }
    assert_eq!(admin.get(&one).await.expect(200), made, "nothing has changed");
    for missing in [Uuid::now_v7().to_string(), "none".to_owned()] {
        let missing = format!("{at}/{missing}");
        assert_eq!(admin.get(&missing).await.problem(404), "not_found");
        assert_eq!(admin.patch(&missing, json!({ "is_active": true })).await.problem(404), "not_found");
        assert_eq!(admin.delete(&missing).await.problem(404), "not_found");
    }
    let nowhere = path(Uuid::now_v7());
    assert_eq!(api.operator.get(&nowhere).await.problem(404), "not_found");
    assert_eq!(api.operator.post(&nowhere, json!({ "did_number": DID })).await.problem(404), "not_found");
}

async fn a_number_is_one_tenants_alone(api: ApiServer) {
    let (one, bakery) = api.tenant("Bakery").await;
    let (two, brewery) = api.tenant("Brewery").await;
    api.assign(one, DID).await;
    bakery.post(&path(one), json!({ "did_number": DID })).await.expect(201);
    for text in [DID, "493055500100", "+49 30 555 00100"] {
        let body = json!({ "did_number": text });
        assert_eq!(bakery.post(&path(one), body.clone()).await.problem(409), "number_in_use");
        assert_eq!(api.operator.post(&path(two), body.clone()).await.problem(409), "number_in_use");
        assert_eq!(brewery.post(&path(two), body).await.problem(403), "number_not_assigned");
    }
}

async fn many_ask_for_one_number_and_one_gets_it(api: ApiServer) {
    let mut clients = Vec::new();
    for n in 0..4 {
        clients.push(api.tenant(&format!("Tenant {n}")).await);
    }
    let attempts = (0..16).map(|n| {
        let (tenant, client) = (clients[n % clients.len()].0, api.operator.clone());
        tokio::spawn(async move {
            let ask = async || client.post(&path(tenant), json!({ "did_number": DID })).await.status.as_u16();
            // A busy machine may have no connection to the database in time: such a request is made again.
            let mut status = ask().await;
            for _ in 0..5 {
                status = if status == 503 { ask().await } else { status };
            }
            status
        })
    });
    let mut answers = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        answers.push(attempt.await.expect("an answer"));
    }
    answers.sort_unstable();
    assert_eq!(answers, [&[201][..], &[409; 15]].concat());
}

async fn a_released_number_stays_assigned(api: ApiServer) {
    let (one, bakery) = api.tenant("Bakery").await;
    let (two, brewery) = api.tenant("Brewery").await;
    api.assign(one, DID).await;
    let made = bakery.post(&path(one), json!({ "did_number": DID })).await.expect(201);
    let at = format!("{}/{}", path(one), id(&made));
    let did = DID.parse().expect("a DID");
    assert!(api.store.route(&did).await.expect("an answer").is_some());
    bakery.delete(&at).await.expect(204);
    assert_eq!(api.store.route(&did).await.expect("an answer"), None, "it leads nowhere");
    assert_eq!(bakery.get(&path(one)).await.expect(200)["items"], json!([]));
    for answer in [
        bakery.get(&at).await,
        bakery.delete(&at).await,
        bakery.patch(&at, json!({ "is_active": true })).await,
    ] {
        assert_eq!(answer.problem(404), "not_found");
    }
    assert_eq!(
        brewery.post(&path(two), json!({ "did_number": DID })).await.problem(403),
        "number_not_assigned"
    );
    let again = bakery.post(&path(one), json!({ "did_number": DID })).await.expect(201);
    bakery.delete(&format!("{}/{}", path(one), id(&again))).await.expect(204);
    // The operator says otherwise.
    let again = api.operator.post(&path(two), json!({ "did_number": DID })).await.expect(201);
    let route = api.store.route(&did).await.expect("an answer").expect("a route");
    assert_eq!(route.number.id.to_string(), id(&again));
    assert_eq!(
        bakery.post(&path(one), json!({ "did_number": DID })).await.problem(403),
        "number_not_assigned"
    );
}

async fn numbers_are_filtered_and_paged(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    for n in 0..5 {
        let kind = if n == 4 { "telnyx" } else { "generic" };
        let body = json!({ "did_number": format!("+49305550010{n}"), "provider_type": kind });
        let made = api.operator.post(&path(tenant), body).await.expect(201);
        if n % 2 == 1 {
            let one = format!("{}/{}", path(tenant), id(&made));
            admin.patch(&one, json!({ "is_active": false })).await.expect(200);
        }
    }
    for (query, expected) in [
        ("", "01234"),
        ("&is_active=true", "024"),
        ("&is_active=false", "13"),
        ("&provider_type=telnyx", "4"),
        ("&provider_type=generic&is_active=true", "02"),
        ("&provider_type=tata", ""),
    ] {
        let (mut seen, mut cursor) = (String::new(), String::new());
        loop {
            let page = admin.get(&format!("{}?limit=2{query}{cursor}", path(tenant))).await.expect(200);
            for number in page["items"].as_array().expect("items") {
                seen.extend(number["did_number"].as_str().expect("a number").chars().last());
            }
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, expected, "{query}");
    }
    for query in ["is_active=perhaps", "provider_type=pigeon", "limit=0", "cursor=1"] {
        admin.get(&format!("{}?{query}", path(tenant))).await.problem(400);
    }
}

async fn another_tenants_numbers_are_not_there(api: ApiServer) {
    let (mine, me) = api.tenant("Mine").await;
    let (theirs, them) = api.tenant("Theirs").await;
    let made = api.operator.post(&path(mine), json!({ "did_number": DID })).await.expect(201);
    // My number below their own tenant, and below mine.
    for at in [format!("{}/{}", path(theirs), id(&made)), format!("{}/{}", path(mine), id(&made))] {
        for answer in [
            them.get(&at).await,
            them.patch(&at, json!({ "is_active": false })).await,
            them.delete(&at).await,
        ] {
            assert_eq!(answer.problem(404), "not_found");
        }
    }
    assert_eq!(them.get(&path(theirs)).await.expect(200)["items"], json!([]));
    assert_eq!(me.get(&format!("{}/{}", path(mine), id(&made))).await.expect(200), made);
}

async fn a_viewer_looks_and_changes_nothing(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    api.assign(tenant, DID).await;
    let made = admin.post(&path(tenant), json!({ "did_number": DID })).await.expect(201);
    let one = format!("{}/{}", path(tenant), id(&made));
    assert_eq!(viewer.get(&one).await.expect(200), made);
    for answer in [
        viewer.post(&path(tenant), json!({ "did_number": "+493055500101" })).await,
        viewer.patch(&one, json!({ "is_active": false })).await,
        viewer.delete(&one).await,
    ] {
        assert_eq!(answer.problem(403), "read_only_key");
    }
    for answer in [api.nobody().get(&one).await, api.nobody().delete(&one).await] {
        assert_eq!(answer.problem(401), "unauthorized");
    }
}

async fn unmatched_numbers_are_the_operators(api: ApiServer) {
    let (_, admin) = api.tenant("Bakery").await;
    let calls = UnmatchedCounter::default();
    let at = DateTime::UNIX_EPOCH;
    calls.add("+493099", at);
    calls.add("+493099", at + TimeDelta::seconds(5));
    calls.write(&api.store).await.expect("written");
    let list = api.operator.get("/api/unmatched-numbers").await.expect(200);
    let number = &list["items"][0];
    assert_eq!((&number["called"], &number["calls"]), (&json!("+493099"), &json!(2)), "{list:#}");
    admin.get("/api/unmatched-numbers").await.expect(403);
}
