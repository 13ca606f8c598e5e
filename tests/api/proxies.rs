//! The port behind a reverse proxy: the client's own address is the one that counts, and only where it is proven.

use std::net::IpAddr;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use vca::admin::Settings;
use vca::store::{AuditFilter, Window};

use super::api_server::{on_sqlite, plain_api_state};
use super::port::Port;

fn trusting(settings: &mut Settings) {
    settings.trusted_proxies = vec![IpAddr::from([127, 0, 0, 1]).into()];
}

/// A request with headers of a proxy.
async fn get(
    port: &Port,
    path: &str,
    key: Option<&str>,
    headers: &[(&'static str, &str)],
) -> reqwest::Response {
    let mut request = reqwest::Client::new().get(format!("http://{}{path}", port.address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    request.send().await.expect("a response")
}

async fn status(port: &Port, path: &str, key: Option<&str>, headers: &[(&'static str, &str)]) -> u16 {
    get(port, path, key, headers).await.status().as_u16()
}

#[tokio::test]
async fn requests_without_a_key_use_up_their_own_clients_limit() {
    let port = Port::open(|settings| {
        trusting(settings);
        settings.limits.per_address = 3.try_into().expect("some");
    })
    .await;
    let asked = async |client: &str| status(&port, "/api/whoami", None, &[("x-forwarded-for", client)]).await;
    for _ in 0..3 {
        assert_eq!(asked("192.0.2.1").await, 401);
    }
    assert_eq!(asked("192.0.2.1").await, 429);
    assert_eq!(asked("203.0.113.1, 192.0.2.1").await, 429, "an address of the client's own making");
    assert_eq!(asked("192.0.2.2").await, 401, "another client of the same proxy");
}

#[tokio::test]
async fn requests_without_a_valid_key_never_stop_one_with_a_key() {
    let port = Port::open(|settings| settings.limits.per_address = 4.try_into().expect("some")).await;
    // Until its first use a key counts like an unknown one.
    assert_eq!(port.get("/api/whoami", Some(&port.operator)).await.status(), 200);
    let invented = format!("vca_12345678_{}", "x".repeat(43));
    for n in 0..40 {
        let key = [None, Some("nonsense"), Some(invented.as_str())][n % 3];
        let expected = if n < 3 { 401 } else { 429 };
        assert_eq!(port.get("/api/whoami", key).await.status(), expected, "{n}: {key:?}");
        assert_eq!(port.get("/api/whoami", Some(&port.operator)).await.status(), 200, "{n}");
    }
    assert_eq!(
        port.get("/docs/", None).await.status(),
        429,
        "the documentation counts with the address, too"
    );
    assert_eq!(port.get("/openapi.json", Some("nonsense")).await.status(), 429);
}

#[tokio::test]
async fn metrics_are_for_clients_on_this_machine_and_for_operators() {
    let through = [("x-forwarded-for", "192.0.2.1")];
    let port = Port::open(|_| {}).await;
    assert_eq!(status(&port, "/metrics", None, &[]).await, 200);
    assert_eq!(status(&port, "/metrics", None, &through).await, 401, "through a proxy that is not trusted");
    assert_eq!(status(&port, "/metrics", None, &[("via", "1.1 proxy")]).await, 401);
    assert_eq!(status(&port, "/metrics", Some(&port.operator), &through).await, 200);
    let port = Port::open(trusting).await;
    assert_eq!(status(&port, "/metrics", None, &through).await, 401);
    assert_eq!(status(&port, "/metrics", None, &[("forwarded", "for=127.0.0.1")]).await, 200);
    assert_eq!(status(&port, "/metrics", None, &[]).await, 200);
}

#[tokio::test]
async fn health_tells_the_configuration_on_this_machine_alone() {
    let port = Port::open(trusting).await;
    let local: Value = get(&port, "/healthz", None, &[]).await.json().await.expect("JSON");
    assert_eq!((&local["status"], &local["configuration"]["status"]), (&json!("ok"), &json!("valid")));
    let through = get(&port, "/healthz", None, &[("x-forwarded-for", "192.0.2.1")]).await;
    assert_eq!(through.json::<Value>().await.expect("JSON"), json!({ "status": "ok" }));
}

#[tokio::test]
async fn headers_that_disagree_are_refused() {
    let port = Port::open(trusting).await;
    let both = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=127.0.0.1")];
    let answer = get(&port, "/metrics", None, &both).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.json::<Value>().await.expect("a problem")["code"], "conflicting_headers");
}

#[tokio::test]
async fn the_audit_log_names_the_client() {
    let port = Port::open(trusting).await;
    let sent = reqwest::Client::new()
        .post(format!("http://{}/api/tenants", port.address))
        .header("x-forwarded-for", "198.51.100.7, 192.0.2.1")
        .bearer_auth(&port.operator)
        .body(json!({ "name": "Bakery", "plan": "growth" }).to_string());
    assert_eq!(sent.send().await.expect("a response").status(), 201);
    let filter = AuditFilter { resource: Some("tenant".into()), ..AuditFilter::default() };
    let entries = port.store.audit(&filter, Window::first(1)).await.expect("the audit log").items;
    assert_eq!(entries[0].address.as_deref(), Some("192.0.2.1"));
}

/// Loopback is allowed by default, and a proxy on this machine is not the dialplan.
#[tokio::test]
async fn a_proxy_on_this_machine_announces_no_calls() {
    on_sqlite(|api| async move {
        const SECRET: &str = "a-shared-secret-of-the-dialplan";
        let mut settings = vca::telephony::Settings { fake: true, ..Default::default() };
        settings.inbound.secret = Some(SECRET.into());
        let api = api.with_telephony(&settings, "http://127.0.0.1:9").await;
        let ask = async |name: &'static str, value: &str| {
            let url = format!("http://{}/internal/telephony/inbound", api.address);
            let headers: HeaderMap =
                [(name.parse().expect("a name"), value.parse().expect("a value"))].into_iter().collect();
            let request =
                reqwest::Client::new().post(url).headers(headers).header("x-vca-secret", SECRET).body("{}");
            request.send().await.expect("a response").status().as_u16()
        };
        assert_eq!(ask("x-asked-by", "the dialplan").await, 400, "it gets as far as its body");
        for (name, value) in
            [("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1"), ("via", "1.1 x")]
        {
            assert_eq!(ask(name, value).await, 403, "{name}");
        }
    })
    .await;
}

/// The key's last use is written in the background, so a database that takes no writes still answers reads.
#[tokio::test]
async fn a_database_that_takes_no_writes_answers_reads() {
    on_sqlite(|api| async move {
        let url = format!("{}?mode=ro", api.url);
        let settings = vca::store::Settings { url: url.into(), ..Default::default() };
        let store = vca::store::Store::open(&settings).await.expect("it opens");
        let (tenant, admin) = api.tenant("Bakery").await;
        let reader = api.served(plain_api_state(&store)).await;
        let admin = reader.holder_of(&admin);
        for path in ["/api/whoami".to_owned(), format!("/api/tenants/{tenant}/calls")] {
            admin.get(&path).await.expect(200);
        }
        let keys = format!("/api/tenants/{tenant}/keys");
        admin.post(&keys, json!({ "name": "x", "role": "tenant_viewer" })).await.problem(503);
    })
    .await;
}
