//! `vca tenant`.

use super::*;

#[tokio::test]
async fn a_tenant_is_created_shown_and_changed() {
    let vca = CommandLine::new().await;
    let created =
        vca.json(&["tenant", "create", "--name", "Acme", "--plan", "growth", "--max-calls", "3"]).await;
    assert_eq!(created["status"], "active");
    assert_eq!(created["max_concurrent_calls"], 3);
    let id = created["id"].as_str().expect("an id");
    assert_eq!(vca.json(&["tenant", "show", id]).await, created);
    assert_eq!(vca.json(&["tenant", "show", "Acme"]).await, created);
    let update = ["tenant", "update", "Acme", "--status", "suspended", "--max-calls", "default"];
    let changed = vca.json(&update).await;
    assert_eq!((&changed["status"], &changed["max_concurrent_calls"]), (&"suspended".into(), &Value::Null));
    let list = vca.text(&["tenant", "list"]).await;
    assert!(list.starts_with("ID ") && list.contains("Acme  suspended  growth  default"), "{list}");
}

#[tokio::test]
async fn a_tenant_is_taken_out_and_put_in() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    vca.text(&[&PROFILE[..], &["--default"]].concat()).await;
    let path = vca.folder.join("acme.json");
    std::fs::write(&path, vca.text(&["tenant", "export", "Acme", "--calls"]).await).expect("a file");
    let entries = vca.json(&["audit", "--tenant", "Acme", "--action", "export"]).await;
    assert_eq!(entries[0]["after"]["with_calls"], true, "{entries:#}");
    let file = path.to_str().expect("a path");
    let failure = vca.run(&["tenant", "import", file]).await.expect_err("it is there");
    assert!(failure.code == 73 && failure.text.contains("+15550100"), "{failure:?}");
    let beside = ["tenant", "import", file, "--new-ids", "--without-numbers"];
    let text = vca.text(&[&beside[..], &["--dry-run"]].concat()).await;
    assert!(text.contains("A dry run"), "{text}");
    let imported = vca.json(&beside).await;
    assert_eq!((&imported["written"], &imported["rows"]["ai_profiles"]), (&true.into(), &1.into()));
    let id = imported["tenant_id"].as_str().expect("an id");
    assert_eq!(vca.json(&["tenant", "show", id]).await["name"], "Acme");
    let elsewhere = CommandLine::new().await;
    elsewhere.text(&["tenant", "import", file]).await;
    let assigned = elsewhere.json(&["inventory", "list", "--tenant", "Acme"]).await;
    assert_eq!(assigned[0]["did_number"], "+15550100", "its numbers are assigned to it: {assigned:#}");
    std::fs::write(&path, "{}").expect("a file");
    assert_eq!(vca.code(&["tenant", "import", file]).await, 65);
    assert_eq!(vca.code(&["tenant", "import", "/no/such/file"]).await, 1);
}

#[tokio::test]
async fn a_tenant_is_deleted_and_purged_only_when_that_is_said() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let update = Cli::try_parse_from(["vca", "tenant", "update", "Acme", "--status", "deleted"]);
    let refused = update.expect_err("deletion is a command of its own").to_string();
    assert!(refused.contains("vca tenant delete"), "{refused}");
    for command in ["delete", "purge"] {
        Cli::try_parse_from(["vca", "tenant", command, "Acme"]).expect_err("--dry-run or --yes is needed");
    }
    let trial = vca.text(&["tenant", "delete", "Acme", "--dry-run"]).await;
    assert!(trial.starts_with("Would delete tenant \"Acme\": 1 numbers released"), "{trial}");
    assert_eq!(vca.json(&["tenant", "show", "Acme"]).await["status"], "active");
    assert_eq!(vca.code(&["tenant", "purge", "Acme", "--yes"]).await, 73, "it is not deleted");
    let deleted = vca.text(&["tenant", "delete", "Acme", "--yes"]).await;
    assert!(deleted.contains("vca tenant purge"), "{deleted}");
    assert_eq!(vca.json(&["tenant", "show", "Acme"]).await["status"], "deleted");
    assert_eq!(vca.code(&["tenant", "update", "Acme", "--status", "active"]).await, 73);
    let trial = vca.json(&["tenant", "purge", "Acme", "--dry-run"]).await;
    assert_eq!((&trial["dry_run"], &trial["rows"]["phone_numbers"]), (&true.into(), &1.into()));
    vca.text(&["tenant", "purge", "Acme", "--yes"]).await;
    vca.text(&["tenant", "purge", "Acme", "--with-statements", "--yes"]).await;
    assert_eq!(vca.code(&["tenant", "show", "Acme"]).await, 66);
}
