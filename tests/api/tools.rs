//! HTTP tools over the API: declarations in profiles, secrets, trials.

use serde_json::{Value, json};
use vca::store::{AuditFilter, Window};
use vca::tenancy::{Role, TenantId};

use super::api_server::ApiServer;
use super::on_both;
use crate::support::mcp_bakery::McpBakery;
use crate::support::mcp_everything::McpEverything;
use crate::support::receiver::Receiver;

on_both!(
    tools_are_checked_and_versioned_with_the_profile,
    a_secret_is_stored_and_never_shown,
    a_tool_is_tried,
    a_server_on_the_published_sdk_is_listed_and_called,
    a_published_mcp_server_is_listed_and_called
);

fn stock(url: &str) -> Value {
    json!({
        "name": "check_stock", "description": "Looks up how much bread is left.", "method": "POST", "url": url,
        "parameters": { "type": "object", "properties": { "bread": { "type": "string" } }, "required": ["bread"] },
    })
}

async fn tools_are_checked_and_versioned_with_the_profile(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let profiles = format!("/api/tenants/{tenant}/ai-profiles");
    let new = |tools: Value| {
        json!({
            "name": "Front desk", "role": "receptionist", "system_prompt": "Sell bread.", "is_default": true,
            "settings": { "http_tools": tools, "tools": ["remember", "send_dtmf", "collect_digits"] },
        })
    };
    let mut wrong = stock("https://{{host}}/stock");
    wrong["parameters"] = json!({ "type": "loaf" });
    let refused = admin.post(&profiles, new(json!([wrong]))).await;
    let fields: Vec<String> = refused.body["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|error| error["field"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        fields,
        ["settings.http_tools.0.parameters", "settings.http_tools.0.url"],
        "{:#}",
        refused.body
    );
    refused.problem(400);
    let made = admin.post(&profiles, new(json!([stock("https://example.com/stock")]))).await.expect(201);
    let of = format!("{profiles}/{}", made["id"].as_str().expect("an id"));
    let changed = json!({ "http_tools": [stock("https://example.com/v2/stock")] });
    admin.put(&format!("{of}/settings"), changed).await.expect(200);
    let first = admin.get(&format!("{of}/versions/1")).await.expect(200);
    assert_eq!(first["settings"]["http_tools"][0]["url"], "https://example.com/stock");
}

async fn a_secret_is_stored_and_never_shown(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let secrets = format!("/api/tenants/{tenant}/tool-secrets");
    let made = admin.post(&secrets, json!({ "name": "shop", "secret": "Bearer s3cret" })).await.expect(201);
    let one = format!("{secrets}/{}", made["id"].as_str().expect("an id"));
    for body in [
        json!({ "name": "shop", "secret": "Bearer other" }),
        json!({ "name": "a b", "secret": "x" }),
        json!({ "name": "x", "secret": "a\r\nb: c" }),
        json!({ "name": "x", "secret": "" }),
    ] {
        let refused = admin.post(&secrets, body).await;
        assert!(refused.status.is_client_error(), "{:#}", refused.body);
    }
    admin.put(&one, json!({ "secret": "Bearer new" })).await.expect(200);
    let listed = admin.get(&secrets).await.expect(200);
    assert_eq!(listed["items"][0]["name"], "shop");
    let scope = api.store.scope(TenantId(tenant));
    let audit = scope.audit(&AuditFilter::default(), Window::first(50)).await.expect("the audit log");
    let shown = format!("{made} {listed} {}", serde_json::to_string(&audit.items).expect("JSON"));
    assert!(!shown.contains("Bearer"), "{shown}");
    assert!(audit.items.iter().filter(|entry| entry.resource == "tool_secret").count() >= 2);
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    assert_eq!(viewer.put(&one, json!({ "secret": "x" })).await.problem(403), "read_only_key");
    admin.delete(&one).await.expect(204);
    admin.put(&one, json!({ "secret": "Bearer new" })).await.problem(404);
}

async fn a_tool_is_tried(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let (other, stranger) = api.tenant("Stranger").await;
    let receiver = Receiver::start();
    let test = format!("/api/tenants/{tenant}/tools/test");
    let secret = json!({ "name": "shop", "secret": "Bearer s3cret" });
    admin.post(&format!("/api/tenants/{tenant}/tool-secrets"), secret).await.expect(201);
    let mut tool = stock(&receiver.url("/stock"));
    tool["secret_headers"] = json!({ "authorization": "shop" });
    let body = json!({ "tool": tool, "arguments": { "bread": "rye" } });
    let done = admin.post(&test, body.clone()).await.expect(200);
    assert_eq!(done["outcome"], "succeeded", "{done}");
    assert_eq!(receiver.requests()[0].json(), json!({ "bread": "rye" }));
    let done = admin.post(&test, json!({ "tool": tool, "arguments": {} })).await.expect(200);
    assert_eq!(done["outcome"], "refused", "{done}");
    stranger.post(&test, body.clone()).await.problem(404);
    let failed = stranger.post(&format!("/api/tenants/{other}/tools/test"), body).await.expect(200);
    assert_eq!(failed["outcome"], "failed", "the secret is another tenant's: {failed}");
    assert_eq!(receiver.requests().len(), 1);
}

async fn a_server_on_the_published_sdk_is_listed_and_called(api: ApiServer) {
    let Some(bakery) = McpBakery::start() else { return };
    let (tenant, admin) = api.tenant("Bakery").await;
    let (_, stranger) = api.tenant("Stranger").await;
    let of = |path: &str| format!("/api/tenants/{tenant}/mcp-servers/{path}");
    let mut server = json!({ "name": "bakery", "url": bakery.url, "tools": [] });
    let listing = admin.post(&of("list-tools"), json!({ "server": server })).await.expect(200);
    let tools = listing["tools"].as_array().expect("tools");
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool["offered_name"].as_str()).collect();
    assert_eq!(names, ["bakery_check_stock", "bakery_opening_hours", "bakery_reserve"], "{listing:#}");
    server["tools"] = json!([
        { "name": "check_stock", "fingerprint": tools[0]["fingerprint"] },
        { "name": "reserve", "fingerprint": tools[2]["fingerprint"], "static_values": { "shop": 12 } },
    ]);
    let call =
        |tool: &str, arguments: Value| json!({ "server": server, "tool": tool, "arguments": arguments });
    let done = admin.post(&of("test"), call("check_stock", json!({ "bread": "rye" }))).await.expect(200);
    assert_eq!((&done["outcome"], &done["result"]), (&json!("succeeded"), &json!(r#"{"left":3}"#)), "{done}");
    for (tool, arguments, outcome) in [
        ("check_stock", json!({ "bread": "oak" }), "failed"),
        ("check_stock", json!({ "bread": 7 }), "refused"),
        ("opening_hours", json!({}), "refused"),
        ("reserve", json!({ "shop": 12 }), "refused"),
    ] {
        let done = admin.post(&of("test"), call(tool, arguments)).await.expect(200);
        assert_eq!(done["outcome"], outcome, "{done}");
    }
    // The tenant's static value takes precedence over an argument of the model's.
    for arguments in [json!({ "bread": "rye" }), json!({ "bread": "rye", "shop": 13 })] {
        let done = admin.post(&of("test"), call("reserve", arguments)).await.expect(200);
        assert_eq!(done["outcome"], "succeeded", "{done}");
        let result: Value = serde_json::from_str(done["result"].as_str().expect("a text")).expect("JSON");
        assert_eq!(result, json!({ "bread": "rye", "shop": 12 }));
    }
    stranger.post(&of("list-tools"), json!({ "server": server })).await.problem(404);
    stranger.post(&of("test"), call("check_stock", json!({ "bread": "rye" }))).await.problem(404);
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    assert_eq!(
        viewer.post(&of("list-tools"), json!({ "server": server })).await.problem(403),
        "read_only_key"
    );
    let mut wrong = server.clone();
    wrong["tools"][1]["static_values"] = json!({ "shop": "{{a b}}" });
    let refused = admin.post(&of("list-tools"), json!({ "server": wrong })).await;
    assert_eq!(refused.body["errors"][0]["field"], "server.tools.1.static_values", "{:#}", refused.body);
    let mut wrong = server.clone();
    wrong["headers"] = json!({ "Mcp-Session-Id": "x" });
    let refused = admin.post(&of("list-tools"), json!({ "server": wrong })).await;
    assert_eq!(refused.body["errors"][0]["field"], "server.headers", "{:#}", refused.body);
    refused.problem(400);
}

async fn a_published_mcp_server_is_listed_and_called(api: ApiServer) {
    let Some(everything) = McpEverything::start() else { return };
    let (tenant, admin) = api.tenant("Bakery").await;
    let of = |path: &str| format!("/api/tenants/{tenant}/mcp-servers/{path}");
    let allowed = ["echo", "get-sum", "get-resource-reference", "trigger-long-running-operation"];
    let tools: Vec<Value> = allowed.iter().map(|name| json!({ "name": name })).collect();
    let server = json!({ "name": "everything", "url": everything.url, "timeout_ms": 1_000, "tools": tools });
    let listing = admin.post(&of("list-tools"), json!({ "server": server })).await.expect(200);
    let listed = listing["tools"].as_array().expect("tools");
    for name in allowed {
        let tool = listed.iter().find(|tool| tool["name"] == name).expect("it is listed");
        assert_eq!((&tool["is_allowed"], &tool["problem"]), (&json!(true), &Value::Null), "{tool:#}");
    }
    let environment = listed.iter().find(|tool| tool["name"] == "get-env").expect("it is listed");
    assert_eq!(environment["is_allowed"], false, "{environment:#}");
    let pause = json!({ "duration": 20, "steps": 1 });
    for (tool, arguments, outcome, result) in [
        ("echo", json!({ "message": "rye" }), "succeeded", "Echo: rye"),
        ("get-sum", json!({ "a": 4, "b": 5 }), "succeeded", "The sum of 4 and 5 is 9."),
        ("get-sum", json!({ "a": "4" }), "refused", ""),
        ("get-resource-reference", json!({ "resourceId": 0.5 }), "failed", "Invalid resourceId"),
        ("trigger-long-running-operation", pause, "timed_out", "1000 ms"),
        ("get-env", json!({}), "refused", ""),
    ] {
        let call = json!({ "server": server, "tool": tool, "arguments": arguments });
        let done = admin.post(&of("test"), call).await.expect(200);
        assert_eq!(done["outcome"], outcome, "{tool}: {done}");
        assert!(done["result"].as_str().is_some_and(|text| text.contains(result)), "{tool}: {done}");
    }
}
