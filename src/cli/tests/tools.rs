//! `vca tool`.

use super::*;

#[tokio::test]
async fn a_tool_of_a_profile_is_tried() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let vca = CommandLine::new().await;
    vca.acme().await;
    let settings = serde_json::json!({ "http_tools": [{
        "name": "check_stock", "description": "Looks up bread.", "method": "GET",
        "url": "https://127.0.0.1/stock/{{bread}}",
        "parameters": { "type": "object", "properties": { "bread": { "type": "string" } }, "required": ["bread"] },
    }] });
    vca.text(&[&PROFILE[..], &["--settings", &settings.to_string()]].concat()).await;
    let test = |tool, arguments| ["tool", "test", "Front desk", "--tool", tool, "--arguments", arguments];
    assert_eq!(vca.code(&test("bake", "{}")).await, 66, "no such tool");
    assert_eq!(vca.code(&test("check_stock", "rye")).await, 65, "no JSON");
    assert_eq!(vca.code(&test("check_stock", "{}")).await, 1, "it is refused");
    assert_eq!(vca.code(&test("check_stock", r#"{"bread":"rye"}"#)).await, 1, "the address is not public");
}

#[tokio::test]
async fn secrets_are_listed_and_deleted_without_their_values() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let tenant = vca.store.tenants().await.expect("tenants")[0].id;
    let secret = SecretString::from("Bearer s3cret");
    let made = vca.store.scope(tenant).create_tool_secret(&Actor::system(), "shop", &secret).await;
    let id = made.expect("a secret").id.to_string();
    let list = vca.text(&["tool", "list-secrets", "--tenant", "Acme"]).await;
    assert!(list.contains("shop") && list.contains(&id) && !list.contains("s3cret"), "{list}");
    vca.text(&["tool", "delete-secret", "--tenant", "Acme", &id]).await;
    assert_eq!(vca.code(&["tool", "delete-secret", "--tenant", "Acme", &id]).await, 66);
}

#[tokio::test]
async fn tools_of_an_mcp_server_are_listed_and_tried() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let vca = CommandLine::new().await;
    vca.acme().await;
    let settings = serde_json::json!({ "mcp_servers": [{
        "name": "shop", "url": "https://127.0.0.1/mcp", "tools": [{ "name": "stock/check" }],
    }] });
    vca.text(&[&PROFILE[..], &["--settings", &settings.to_string()]].concat()).await;
    let list = |server| ["tool", "list-mcp", "Front desk", "--server", server];
    assert_eq!(vca.code(&list("bank")).await, 66, "no such server");
    assert_eq!(vca.code(&list("shop")).await, 1, "the address is not public");
    let test = |tool| ["tool", "test", "Front desk", "--tool", tool];
    assert_eq!(vca.code(&test("stock/check")).await, 66, "the model calls it by another name");
    assert_eq!(vca.code(&test("shop_stock_check")).await, 1, "the address is not public");
}
