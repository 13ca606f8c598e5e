//! `vca number` and `vca inventory`.

use super::*;

#[tokio::test]
async fn a_numbers_provider_is_asked() {
    let mut vca = CommandLine::new().await;
    vca.config.telephony.fake = true;
    vca.acme().await;
    vca.text(&["number", "create", "--tenant", "Acme", "--did", "+15550199", "--provider-type", "fake"])
        .await;
    let answer = vca.json(&["number", "register", "+15550199"]).await;
    assert_eq!(answer["provider_state"], "registered", "{answer:#}");
    let text = vca.text(&["number", "unregister", "+15550199"]).await;
    assert!(text.contains("unregistered"), "{text}");
    vca.config.telephony.fake = false;
    assert_eq!(vca.code(&["number", "register", "+15550199"]).await, 1, "it is on record as failed");
    assert_eq!(vca.code(&["number", "register", "+15550111"]).await, 66);
    let id = vca.json(&["number", "show", "+15550199"]).await["id"].as_str().expect("an id").to_owned();
    let gone = vca.text(&["number", "delete", "+15550199"]).await;
    assert!(gone.contains(&format!("`vca number unregister {id}` asks again")), "{gone}");
    vca.config.telephony.fake = true;
    assert_eq!(vca.json(&["number", "unregister", &id]).await["provider_state"], "unregistered");
}

#[tokio::test]
async fn a_number_is_shown_in_full_and_switched_off() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let shown = vca.json(&["number", "show", "+15550100"]).await;
    assert_eq!((&shown["did_number"], &shown["is_active"]), (&"+15550100".into(), &true.into()));
    assert_eq!(shown["tenant_name"], "Acme");
    let off = vca.json(&["number", "update", "15550100", "--active", "false"]).await;
    assert_eq!(off["is_active"], false);
    let list = vca.text(&["number", "list", "--tenant", "Acme"]).await;
    assert!(list.contains("+15550100  no      Acme"), "{list}");
}

#[tokio::test]
async fn numbers_are_filtered_and_given_up() {
    let mut vca = CommandLine::new().await;
    vca.acme().await;
    let other = ["number", "create", "--tenant", "Acme", "--did", "+493055500100", "--provider-type", "tata"];
    // Control-plane finding 27: Asterisk is not there, so the trunk cannot be checked.
    let failure = vca.run(&other).await.expect_err("its provider did not follow");
    assert_eq!(failure.code, 1);
    assert!(
        failure.text.contains("its provider did not follow") && failure.text.contains("register"),
        "{failure:?}"
    );
    let shown = vca.json(&["number", "show", "+493055500100"]).await;
    assert_eq!(
        (&shown["provider_state"], &shown["call_delivery"]),
        (&"failed".into(), &"not_delivered".into())
    );
    let filtered = vca.text(&["number", "list", "--provider-type", "tata", "--active", "true"]).await;
    assert!(filtered.contains("+493055500100") && !filtered.contains("+15550100"), "{filtered}");
    assert_eq!(vca.json(&["number", "list", "--active", "false"]).await, serde_json::json!([]));
    assert_eq!(vca.code(&["number", "delete", "030 55500100"]).await, 66, "no region, no national number");
    vca.config.numbers.default_region = "DE".to_owned().try_into().ok();
    let trial = vca.text(&["number", "delete", "030 55500100", "--dry-run"]).await;
    assert!(trial.contains("+493055500100 of \"Acme\" would be released"), "{trial}");
    vca.text(&["number", "delete", "030 55500100"]).await;
    assert_eq!(vca.code(&["number", "show", "+493055500100"]).await, 66);
    vca.text(&["number", "create", "--tenant", "Acme", "--did", "030 55500100"]).await;
    for wrong in ["", "x", "12", "+999123456789"] {
        assert_eq!(
            vca.code(&["number", "create", "--tenant", "Acme", "--did", wrong]).await,
            65,
            "{wrong:?}"
        );
    }
}

#[tokio::test]
async fn the_inventory_assigns_numbers() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let list = vca.json(&["inventory", "list"]).await;
    assert_eq!((&list[0]["did_number"], list.as_array().map(Vec::len)), (&"+15550100".into(), Some(1)));
    let added = vca.text(&["inventory", "add", "+493055500100", "--note", "block A"]).await;
    assert!(added.contains("+493055500100  -       no     operator  block A"), "{added}");
    assert_eq!(vca.code(&["inventory", "add", "+493055500100"]).await, 73);
    let assigned = vca.text(&["inventory", "assign", "+493055500100", "--tenant", "Acme"]).await;
    assert!(assigned.contains("+493055500100  Acme"), "{assigned}");
    vca.text(&["inventory", "unassign", "+493055500100"]).await;
    let free = vca.json(&["inventory", "list", "--assigned", "false"]).await;
    assert_eq!(free[0]["tenant_id"], Value::Null);
    let trial = vca.text(&["inventory", "remove", "+493055500100", "--dry-run"]).await;
    assert!(trial.contains("would be removed"), "{trial}");
    vca.text(&["inventory", "remove", "+493055500100"]).await;
    assert_eq!(vca.code(&["inventory", "remove", "+493055500100"]).await, 66);
    assert_eq!(vca.code(&["inventory", "remove", "+15550100"]).await, 73, "a tenant has it");
    assert_eq!(vca.code(&["inventory", "unassign", "+15550100"]).await, 73, "a tenant has it");
}

#[tokio::test]
async fn the_inventory_is_imported_from_a_file() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let file = vca.folder.join("numbers.csv");
    let lines = "# our block\n+493055500100\n+493055500101, Acme, front desk, ground floor\n+15550100\nnonsense\n+493055500102,Nobody\n";
    std::fs::write(&file, lines).expect("a file");
    let file = file.to_str().expect("text");
    let refused = vca.run(&["inventory", "import", file]).await.expect_err("two lines are wrong");
    assert_eq!(refused.code, 1);
    let list = vca.text(&["inventory", "list"]).await;
    assert!(list.contains("+493055500101  Acme    no     operator  front desk, ground floor"), "{list}");
    assert!(!list.contains("+493055500102"), "{list}");
    std::fs::write(file, "+493055500100,Acme\n+493055500101\n+493055500103\n").expect("a file");
    let trial = vca.json(&["inventory", "import", file, "--dry-run"]).await;
    let counts = ["added", "changed", "unchanged"].map(|key| trial[key].as_array().map(Vec::len));
    assert_eq!(counts, [Some(1); 3], "{trial:#}");
    let done = vca.json(&["inventory", "import", file]).await;
    assert_eq!((&done["added"], &done["changed"]), (&trial["added"], &trial["changed"]));
    assert_eq!(
        vca.json(&["inventory", "list", "--assigned", "false"]).await[0]["did_number"],
        "+493055500103"
    );
}

#[tokio::test]
async fn a_number_is_shared_by_profiles() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    for name in ["New", "Night"] {
        let create =
            ["profile", "create", "--tenant", "Acme", "--name", name, "--system-prompt", "Be brief."];
        vca.text(&create).await;
    }
    let shown = vca.text(&["number", "routing", "+15550100"]).await;
    assert!(shown.contains("the tenant's default"), "{shown}");
    let set = [
        "number",
        "routing",
        "+15550100",
        "--profile",
        "New=30",
        "--profile",
        "Night",
        "--closed-profile",
        "Night",
    ];
    let set = vca.text(&set).await;
    assert!(set.contains("New (30), Night (1)") && set.contains("closed profile  Night"), "{set}");
    let kept = vca.json(&["number", "routing", "+15550100", "--no-closed-profile"]).await;
    assert_eq!(
        (&kept["profiles"][0]["weight"], &kept["closed_profile_id"]),
        (&30.into(), &serde_json::Value::Null)
    );
    let default = vca.json(&["number", "routing", "+15550100", "--default-profile"]).await;
    assert_eq!(default["profiles"], serde_json::json!([]));
    assert_eq!(vca.code(&["number", "routing", "+15550100", "--profile", "Nobody"]).await, 66);
    let refused = vca.run(&["number", "routing", "+15550100", "--profile", "New=0"]).await;
    assert!(refused.expect_err("no weight").text.contains("1 to 100"));
}

#[tokio::test]
async fn a_numbers_routing_goes_back_to_what_it_was() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    vca.text(&PROFILE).await;
    let versions = ["number", "routing-versions", "+15550100"];
    assert_eq!(vca.json(&versions).await.as_array().map(Vec::len), Some(1));
    vca.text(&["number", "routing", "+15550100", "--profile", "Front desk=30"]).await;
    let failover = r#"{"default":{"action":"dialplan","label":"night"},"full":{"action":"message","say":"Call later."}}"#;
    vca.text(&["number", "update", "+15550100", "--failover", failover]).await;
    let shown = vca.text(&[&versions[..], &["--version", "3"]].concat()).await;
    assert!(shown.contains("(30)") && shown.contains("busy: dialplan (night)"), "{shown}");
    assert!(shown.contains(r#"full: message "Call later.", then hang up"#), "{shown}");
    let compared = vca.json(&[&versions[..], &["--version", "3", "--diff"]].concat()).await;
    assert_eq!(
        (&compared["earlier"], &compared["differences"][0]["field"]),
        (&2.into(), &"failover.default".into())
    );
    let compared = vca.text(&[&versions[..], &["--version", "3", "--diff", "1"]].concat()).await;
    assert!(compared.contains("VERSION 1") && compared.contains("profiles."), "{compared}");
    let back = vca.json(&["number", "rollback-routing", "+15550100", "--version", "1"]).await;
    assert_eq!((&back["version"], &back["failover"]), (&4.into(), &serde_json::json!({})));
    assert_eq!(vca.json(&["number", "routing", "+15550100"]).await["profiles"], serde_json::json!([]));
    assert_eq!(vca.code(&["number", "rollback-routing", "+15550100", "--version", "9"]).await, 66);
}

#[tokio::test]
async fn a_number_has_a_pre_call_webhook() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut vca = CommandLine::new().await;
    vca.acme().await;
    assert_eq!(vca.code(&["number", "webhook", "+15550100"]).await, 66, "there is none");
    let refused = vca.run(&["number", "webhook", "+15550100", "--url", "http://127.0.0.1:9/calls"]).await;
    assert!(refused.expect_err("a private address").text.contains("url"));
    vca.config.webhooks.allow_private_targets = true;
    vca.config.webhooks.allow_http = true;
    let set = ["number", "webhook", "+15550100", "--url", "http://127.0.0.1:9/calls", "--timeout-ms", "300"];
    assert!(vca.text(&set).await.contains("whsec_"));
    let shown = vca.json(&["number", "webhook", "+15550100"]).await;
    assert_eq!((&shown["timeout_ms"], shown.get("secret")), (&300.into(), None));
    let failure = vca.run(&["number", "test-webhook", "+15550100"]).await.expect_err("the port is closed");
    assert!(failure.text.contains("calls are answered as without it"), "{failure:?}");
    vca.text(&["number", "remove-webhook", "+15550100"]).await;
    assert_eq!(vca.code(&["number", "test-webhook", "+15550100"]).await, 66);
}

#[tokio::test]
async fn a_tenant_has_a_pre_call_webhook_for_its_numbers() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut vca = CommandLine::new().await;
    vca.acme().await;
    vca.config.webhooks.allow_private_targets = true;
    vca.config.webhooks.allow_http = true;
    assert_eq!(vca.code(&["tenant", "pre-call-webhook", "Acme"]).await, 66, "there is none");
    assert_eq!(vca.code(&["tenant", "rotate-pre-call-secret", "Acme"]).await, 66);
    let set = vca.json(&["tenant", "pre-call-webhook", "Acme", "--url", "http://127.0.0.1:9/calls"]).await;
    assert_eq!((&set["phone_number_id"], &set["timeout_ms"]), (&Value::Null, &2_000.into()));
    let rotated = vca.json(&["tenant", "rotate-pre-call-secret", "Acme"]).await;
    assert!(rotated["secret"].as_str().is_some_and(|secret| secret != set["secret"]), "{rotated:#}");
    let test = ["number", "test-webhook", "+15550100"];
    assert!(vca.run(&test).await.expect_err("the port is closed").text.contains("answered as without it"));
    let update = ["number", "update", "+15550100", "--uses-tenant-webhook", "false"];
    assert_eq!(vca.json(&update).await["uses_tenant_webhook"], false);
    assert_eq!(vca.code(&test).await, 66, "it uses none");
    vca.text(&["number", "webhook", "+15550100", "--url", "http://127.0.0.1:9/own"]).await;
    assert!(vca.text(&["number", "rotate-webhook-secret", "+15550100"]).await.contains("whsec_"));
    vca.text(&["tenant", "remove-pre-call-webhook", "Acme"]).await;
    assert_eq!(vca.code(&["tenant", "remove-pre-call-webhook", "Acme"]).await, 66);
}
