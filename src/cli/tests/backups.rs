//! `vca backup` and `vca restore`.

use super::*;

#[tokio::test]
async fn a_backup_is_restored_in_place_of_the_database() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let vca = CommandLine::new().await;
    vca.acme().await;
    let (file, database) = (vca.folder.join("copy.db"), vca.folder.join("vca.db"));
    let file = file.to_str().expect("UTF-8");
    let copied = vca.json(&["backup", file]).await;
    let mode = std::fs::metadata(file).expect("a copy").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(vca.code(&["backup", file]).await, 73, "nothing is written over");
    assert!(!vca.folder.join("copy.db.part").exists());
    assert_eq!(vca.json(&["backup", "--verify", file]).await["tables"], copied["tables"]);
    assert_eq!(vca.json(&["backup", "--verify"]).await["tables"], copied["tables"]);

    vca.text(&["tenant", "create", "--name", "Later"]).await;
    let failure = vca.run(&["restore", file]).await.expect_err("it is in use");
    assert!(failure.code == 69 && failure.text.contains("in use"), "{failure:?}");
    vca.store.close().await;
    let trial = vca.text(&["restore", file, "--dry-run"]).await;
    assert!(trial.contains("nothing was changed"), "{trial}");
    let before = std::fs::metadata(&database).expect("a database");
    let restored = vca.json(&["restore", file]).await;
    assert_eq!(restored["tables"], copied["tables"]);
    let after = std::fs::metadata(&database).expect("a database");
    assert_eq!((after.uid(), after.gid(), after.mode() & 0o777), (before.uid(), before.gid(), 0o600));
    let former = restored["former"].as_str().expect("the former one is kept");

    let names = async |config: &Config| {
        let store = Store::open(&config.database).await.expect("a database");
        let names: Vec<String> =
            store.tenants().await.expect("tenants").into_iter().map(|it| it.name).collect();
        store.close().await;
        names
    };
    assert_eq!(names(&vca.config).await, ["Acme"]);
    let mut config = vca.config.clone();
    config.database.url = SecretString::from(format!("sqlite:{former}"));
    assert_eq!(names(&config).await, ["Acme", "Later"]);

    std::fs::write(vca.folder.join("other"), "no copy").expect("a file");
    let other = vca.folder.join("other");
    assert_eq!(vca.code(&["restore", other.to_str().expect("UTF-8")]).await, 65);
    config.database.url = SecretString::from("postgres://vca@127.0.0.1/vca");
    let elsewhere = CommandLine { folder: vca.folder.join("none"), store: vca.store.clone(), config };
    let failure = elsewhere.run(&["restore", file]).await.expect_err("another kind of database");
    assert!(failure.code == 65 && failure.text.contains("vca.reach=all"), "{failure:?}");
}
