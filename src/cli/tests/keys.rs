//! `vca key` and `vca audit`.

use super::*;

#[tokio::test]
async fn a_key_is_made_listed_replaced_and_revoked() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let made = vca.json(&["key", "create", "--operator", "--name", "laptop", "--expires", "90d"]).await;
    assert_eq!((&made["role"], &made["tenant_id"]), (&"operator".into(), &Value::Null));
    let secret = made["secret"].as_str().expect("a secret");
    let presented = vca.store.present(secret).await.expect("an answer").expect("a key");
    let left = presented.key.expires_at.expect("an end") - Utc::now();
    assert!((TimeDelta::days(89)..TimeDelta::days(91)).contains(&left), "{left}");
    let text = vca.text(&["key", "create", "--tenant", "Acme", "--role", "tenant_viewer"]).await;
    assert!(text.contains("role       tenant_viewer\n") && text.contains("secret     vca_"), "{text}");

    let prefix = made["prefix"].as_str().expect("a prefix");
    let trial = vca.text(&["key", "rotate", prefix, "--grace", "30m", "--dry-run"]).await;
    assert!(trial.contains("would be replaced, and its secret would work for 30 more minutes"), "{trial}");
    assert!(vca.store.present(secret).await.expect("an answer").is_some(), "nothing was changed");
    let replaced = vca.json(&["key", "rotate", prefix, "--grace", "30m"]).await;
    assert_eq!((&replaced["name"], &replaced["role"]), (&"laptop".into(), &"operator".into()));
    let id = made["id"].as_str().expect("an id");
    assert!(vca.json(&["key", "revoke", id, "--dry-run"]).await["revoked_at"].is_null());
    let revoked = vca.json(&["key", "revoke", id]).await;
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(vca.code(&["key", "rotate", prefix]).await, 73, "it opens nothing any more");
    assert_eq!(vca.code(&["key", "revoke", "vca_nothere0"]).await, 66);
    let list = vca.text(&["key", "list"]).await;
    assert!(list.contains("laptop") && list.contains("revoked") && !list.contains(secret), "{list}");
    assert_eq!(vca.json(&["key", "list", "--tenant", "Acme"]).await.as_array().map(Vec::len), Some(1));
    for wrong in [
        &["vca", "key", "create"][..],
        &["vca", "key", "create", "--operator", "--tenant", "Acme"],
        &["vca", "key", "create", "--tenant", "Acme", "--role", "operator"],
    ] {
        assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn changes_are_told() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    vca.text(&["tenant", "update", "Acme", "--status", "suspended"]).await;
    let text = vca.text(&["audit", "--resource", "tenant"]).await;
    assert!(text.contains("update  tenant") && text.contains("status active → suspended"), "{text}");
    let entries = vca.json(&["audit", "--tenant", "Acme", "--action", "create", "--from", "7d"]).await;
    let created =
        entries.as_array().expect("entries").iter().map(|it| it["resource"].as_str().unwrap_or_default());
    assert_eq!(created.collect::<Vec<_>>(), ["phone_number", "inventory_number", "tenant"], "{entries:#}");
    assert_eq!(vca.json(&["audit", "--to", "2020-01-01"]).await, serde_json::json!([]));
}
