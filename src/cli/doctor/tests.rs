use secrecy::SecretString;
use uuid::Uuid;

use super::*;
use crate::ari::answer::{Module, Setting};
use crate::store::{NewProfile, NewTenant, Store};
use crate::tenancy::{Actor, AgentRole, Permitted, Plan, ProfileSettings};

fn by_name<'a>(findings: &'a [Finding], check: &str) -> &'a Verdict {
    let found = findings.iter().find(|finding| finding.check == check);
    &found.unwrap_or_else(|| panic!("no {check} in {findings:#?}")).verdict
}

fn fails(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Fail { .. })
}

/// A database file in a folder of its own, not made yet.
struct Place(std::path::PathBuf);

impl Place {
    fn new() -> Place {
        let folder = std::env::temp_dir().join(format!("vca-doctor-{}", Uuid::now_v7()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Place(folder)
    }

    fn settings(&self) -> crate::store::Settings {
        let url = format!("sqlite:{}", self.0.join("vca.db").display());
        crate::store::Settings { url: SecretString::from(url), ..Default::default() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_made() {
    let place = Place::new();
    let (findings, _) = storage::database(&place.settings(), Default::default()).await;
    assert!(fails(by_name(&findings, "database")), "{findings:#?}");
    assert!(!place.0.join("vca.db").exists());
}

#[tokio::test]
async fn an_end_of_turn_model_that_cannot_be_loaded_is_found() {
    use crate::engines::end_of_turn::Settings;
    assert_eq!(end_of_turn::examine(&Settings::default()).await, None);
    let place = Place::new();
    let file = place.0.join("model.onnx");
    std::fs::write(&file, "no model").expect("a file can be written");
    let settings = Settings { model_file: Some(file), ..Settings::default() };
    let found = end_of_turn::examine(&settings).await.expect("a finding");
    assert!(fails(&found.verdict), "{found:#?}");
}

#[tokio::test]
async fn pending_migrations_and_a_tenant_without_agent_are_found() {
    let place = Place::new();
    let store = Store::open(&place.settings()).await.expect("a database");
    let (findings, _) = storage::database(&place.settings(), Default::default()).await;
    assert!(fails(by_name(&findings, "database")), "{findings:#?}");
    store.migrate().await.expect("tables");
    let new = NewTenant { name: "Acme".into(), plan: Plan::Starter, max_concurrent_calls: None };
    let tenant = store.create_tenant(&Actor::system(), new).await.expect("a tenant").id;
    let (findings, active) = storage::database(&place.settings(), Default::default()).await;
    assert!(!fails(by_name(&findings, "database")), "{findings:#?}");
    assert!(fails(by_name(&storage::tenants(&active, &Permitted::default()), "tenant Acme")));
    // Saved before voices were checked.
    let new = NewProfile {
        name: "Front desk".into(),
        role: AgentRole::Receptionist,
        system_prompt: "Be kind.".into(),
        is_default: true,
        settings: ProfileSettings { voice: Some("http://127.0.0.1/x".into()), ..Default::default() },
    };
    store.scope(tenant).create_profile(&Actor::system(), new).await.expect("a profile");
    let (_, active) = storage::database(&place.settings(), Default::default()).await;
    let findings = storage::tenants(&active, &Permitted::default());
    let Verdict::Warn { problem, .. } = by_name(&findings, "profile of Acme") else {
        panic!("{findings:#?}")
    };
    assert!(problem.contains("voice"), "{problem}");
    assert!(!findings.iter().any(|finding| finding.check == "engines of Acme"), "{findings:#?}");
    let mut active = active;
    active[0].profiles[0].settings.llm = Some("own:acme".into());
    let findings = storage::tenants(&active, &Permitted::default());
    assert!(fails(by_name(&findings, "engines of Acme")), "{findings:#?}");
    store.close().await;
}

#[tokio::test]
async fn an_asterisk_that_is_not_there_is_found_with_a_remedy() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Port 9 of the loopback address: nobody listens there.
    let settings = crate::ari::Settings { url: "http://127.0.0.1:9".into(), ..Default::default() };
    let findings = asterisk::examine(&settings).await.findings;
    let Verdict::Fail { remedy, .. } = by_name(&findings, "asterisk") else { panic!("{findings:#?}") };
    assert!(remedy.contains("127.0.0.1:9"), "{remedy}");
}

#[test]
fn a_module_that_does_not_run_is_found() {
    let all = asterisk::wanted();
    let running = |names: Vec<&str>| -> Vec<Module> {
        names.iter().map(|name| Module { name: (*name).into(), status: "Running".into() }).collect()
    };
    let findings = asterisk::modules(&running(all.clone()));
    assert!(matches!(by_name(&findings, "asterisk modules"), Verdict::Ok { .. }));
    let without =
        |name: &str| asterisk::modules(&running(all.iter().copied().filter(|it| *it != name).collect()));
    assert!(fails(by_name(&without("chan_rtp.so"), "asterisk chan_rtp.so")));
    assert!(!fails(by_name(&without("codec_resample.so"), "asterisk codec_resample.so")));
}

#[test]
fn each_finding_is_a_line_and_each_fault_has_its_remedy() {
    let findings = [
        Finding::ok("database", "SQLite answers"),
        Finding::fail("asterisk", "no connection", "is it running?"),
    ];
    let expected = "ok    database  SQLite answers\n\
                    FAIL  asterisk  no connection\n                -> is it running?\n";
    assert_eq!(text(&findings), expected);
    let json = serde_json::to_value(&findings).expect("JSON");
    assert_eq!(json[0]["verdict"], "ok");
    assert_eq!(json[1]["remedy"], "is it running?");
}

#[test]
fn an_endpoint_that_believes_a_name_is_open() {
    let settings = |identify_by: &str, auth: &str| {
        let setting =
            |attribute: &str, value: &str| Setting { attribute: attribute.into(), value: value.into() };
        vec![setting("context", "x"), setting("identify_by", identify_by), setting("auth", auth)]
    };
    assert!(endpoints::is_open(&settings("username,ip", "")), "Asterisk's default");
    assert!(endpoints::is_open(&settings("ip, username", "")));
    assert!(!endpoints::is_open(&settings("ip", "")));
    assert!(!endpoints::is_open(&settings("username,ip", "phone")));
    assert!(!endpoints::is_open(&[]));
}
