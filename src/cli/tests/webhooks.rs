//! `vca webhook`.

use super::*;

#[tokio::test]
async fn a_webhook_shows_its_secret_once() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let create =
        |url| ["webhook", "create", "--tenant", "Acme", "--url", url, "--event", "call.ended,call.started"];
    for url in ["http://example.com/", "https://127.0.0.1/", "example.com"] {
        assert_eq!(vca.code(&create(url)).await, 65, "{url}");
    }
    let made = vca.json(&create("https://example.com/hooks")).await;
    let secret = made["secret"].as_str().expect("a secret");
    let id = made["id"].as_str().expect("an id");
    let list = vca.text(&["webhook", "list", "--tenant", "Acme"]).await;
    assert!(list.contains("call.started,call.ended") && !list.contains(secret), "{list}");
    assert_eq!(vca.json(&["webhook", "show", id]).await["secret"], Value::Null);
    assert_ne!(vca.json(&["webhook", "rotate-secret", id]).await["secret"], secret);
    assert_eq!(vca.code(&["webhook", "ping", id, "--wait", "0"]).await, 1, "no daemon runs");
    let log = vca.json(&["webhook", "deliveries", id, "--status", "pending"]).await;
    assert_eq!((&log[0]["event_type"], &log[0]["attempts"]), (&"ping".into(), &0.into()));
    let delivery = log[0]["id"].as_str().expect("an id");
    assert_eq!(vca.json(&["webhook", "retry", id, delivery]).await["status"], "pending");
    assert_eq!(vca.json(&["webhook", "update", id, "--active", "false"]).await["is_active"], false);
    let trial = vca.text(&["webhook", "delete", id, "--dry-run"]).await;
    assert!(trial.contains("would be deleted"), "{trial}");
    vca.json(&["webhook", "show", id]).await;
    vca.text(&["webhook", "delete", id]).await;
    assert_eq!(vca.code(&["webhook", "show", id]).await, 66);
}
