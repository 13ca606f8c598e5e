use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Value, json};

use super::super::tests::{OneSecret, Server, local};
use super::*;
use crate::tenancy::CallId;
use crate::tools::Settings;

fn request(tenant: TenantId) -> ResolveRequest {
    ResolveRequest {
        call_id: Some(CallId::new()),
        tenant_id: tenant,
        target: "on-call".parse().expect("a label"),
        called_number: None,
        caller_number: Some("+493055500100".into()),
        summary: Some("A late order.".into()),
        at: DateTime::UNIX_EPOCH,
    }
}

/// The result of asking a URL, with a secret header.
async fn asked(settings: &Settings, url: &str, secret: &str) -> Result<ResolvedTarget, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tenant = TenantId::new();
    let services = ToolServices::new(settings, OneSecret(tenant)).expect("TLS can be set up");
    let secret_headers = BTreeMap::from([("authorization".to_owned(), secret.to_owned())]);
    let resolver = TargetResolver { secret_headers, timeout_ms: Some(300), ..TargetResolver::default() };
    resolve(&services, tenant, url, &resolver, &request(tenant)).await
}

#[tokio::test]
async fn an_endpoint_is_asked_with_the_tenants_secret() {
    let server = Server::json("200 OK", r#"{ "target": "shop" }"#).await;
    let resolved = asked(&local(), &server.url, "shop").await;
    assert_eq!(resolved, Ok(ResolvedTarget::Named("shop".parse().expect("a label"))));
    let requests = server.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").expect("a request with a body");
    assert!(head.starts_with("POST / ") && head.contains("authorization: Bearer s3cret"), "{head}");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((&body["target"], &body["summary"]), (&json!("on-call"), &json!("A late order.")));
}

#[tokio::test]
async fn an_endpoint_that_fails_names_no_place() {
    for (response, problem) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nshop", "not the JSON"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}", "neither a target"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "HTTP 404"),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "HTTP 302",
        ),
        ("", "no response within 300 ms"),
    ] {
        let server = Server::with(response).await;
        let problem_found = asked(&local(), &server.url, "shop").await.expect_err(problem);
        assert!(problem_found.contains(problem), "{problem_found}");
    }
    let long = "x".repeat(MAX_RESPONSE + 1);
    let server = Server::json("200 OK", &long).await;
    assert!(asked(&local(), &server.url, "shop").await.is_err_and(|problem| problem.contains("longer than")));
}

#[tokio::test]
async fn private_addresses_and_other_tenants_secrets_are_not_reached() {
    let server = Server::json("200 OK", r#"{ "target": "shop" }"#).await;
    let only_public = Settings { allow_http: true, ..Settings::default() };
    assert!(asked(&only_public, &server.url, "shop").await.is_err());
    assert!(asked(&local(), &server.url, "vault").await.is_err());
    assert_eq!(server.requests(), [] as [&str; 0]);
}
