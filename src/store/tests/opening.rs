//! Opening and migrating: what is there, what is missing, and what is said about it.

use secrecy::SecretString;

use super::{Database, on_both, values};
use crate::store::*;
use crate::tenancy::Actor;

const STEPS: &[&str] = &[
    "0001_tenants_and_calls",
    "0002_control_plane",
    "0003_calls_of_a_period",
    "0004_statements",
    "0005_successors_of_keys",
    "0006_daemons",
    "0007_number_inventory",
    "0011_dead_letters",
    "0012_rollups",
    "0013_billing",
    "0014_row_checks",
    "0015_deletion_and_limits",
    "0016_idempotency_keys",
    "0017_registration_attempts",
    "0019_call_failures",
    "0021_unmatched_numbers",
    "0024_tools",
    "0025_tool_secrets",
    "0026_failover",
    "0027_transfer_targets",
    "0028_call_transfers",
    "0030_notice",
    "0032_turn_stages",
    "0033_number_profiles",
    "0034_emergency",
    "0035_pre_call_webhooks",
    "0036_transfer_style",
    "0037_agent_changes",
    "0039_spoken_by",
    "0040_analysis",
    "0042_engine_credentials",
    "0043_realtime_usage",
    "0044_profile_targets",
    "0045_number_routing_versions",
    "0046_target_resolvers",
    "0049_analysis_indexes",
    "0050_tenant_pre_call_webhook",
    "0051_leg_spend",
    "0052_after_bridge",
    "0054_end_call_and_ratings",
];

on_both!(
    migrating_twice_does_nothing,
    a_database_that_does_not_fit_is_refused,
    profiles_of_an_earlier_version_may_end_the_call
);

async fn migrating_twice_does_nothing(db: Database) {
    db.store.ping().await.expect("it answers");
    assert_eq!(db.store.migrate().await.expect("nothing to do"), Vec::<String>::new());
    assert_eq!(db.store.pending_migrations().await.expect("none"), Vec::<String>::new());
    db.drop_all_tables().await;
    let all = db.store.pending_migrations().await.expect("all");
    assert_eq!(all, STEPS);
    let (one, two) = tokio::join!(db.store.migrate(), db.store.pending_migrations());
    assert_eq!(one.expect("all"), all);
    two.expect("an answer while it migrates");
}

async fn a_database_that_does_not_fit_is_refused(db: Database) {
    let newer = "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1".to_owned();
    db.raw(newer).await.expect("a newer database");
    for outcome in [db.store.migrate().await, db.store.pending_migrations().await] {
        let refusal = outcome.expect_err("the database is newer").to_string();
        assert!(refusal.contains("newer") && refusal.contains("9999"), "{refusal}");
    }
    let older = "UPDATE _sqlx_migrations SET version = 1, checksum = 'other' WHERE version = 9999".to_owned();
    db.raw(older).await.expect("changed");
    for outcome in [db.store.migrate().await, db.store.pending_migrations().await] {
        assert!(matches!(outcome, Err(StoreError::Schema { .. })), "{outcome:?}");
    }
}

/// Rows of an earlier version, in which the tool and the menu action that end the call were named `hang_up`.
async fn profiles_of_an_earlier_version_may_end_the_call(db: Database) {
    let scope = db.store.scope(db.tenant(1).await.tenant.id);
    let mut new = values::profile("Menus", false);
    new.settings = serde_json::from_value(serde_json::json!({
        "tools": ["remember", "end_call"],
        "phrases": { "goodbye": "Say \"hang_up\"." },
        "keypad_menus": [{
            "name": "main", "prompt": "To end the call press 1.",
            "choices": [{ "key": "1", "then": { "action": "end_call" } }],
        }],
    }))
    .expect("settings");
    let expected = scope.create_profile(&Actor::system(), new).await.expect("a profile");
    for table in ["ai_profiles", "ai_profile_versions"] {
        let earlier =
            format!("UPDATE {table} SET settings = replace(settings, '\"end_call\"', '\"hang_up\"')");
        db.raw(earlier).await.expect("earlier settings");
    }
    db.raw("DROP INDEX call_feedback_rating".to_owned()).await.expect("no index");
    db.raw("DELETE FROM _sqlx_migrations WHERE version = 54".to_owned()).await.expect("a step to take");
    assert_eq!(db.store.migrate().await.expect("a step"), ["0054_end_call_and_ratings"]);
    assert_eq!(scope.profile(expected.id).await.expect("a profile").settings, expected.settings);
    let first = scope.profile_version(expected.id, 1).await.expect("a version");
    assert_eq!(first.settings, expected.settings);
}

#[test]
fn both_kinds_of_database_take_the_same_steps() {
    let steps = |kind: &str| {
        let folder = format!("{}/migrations/{kind}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).expect("the folder of migrations");
        let mut names: Vec<_> = files.map(|file| file.expect("a file").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(steps("sqlite"), steps("postgres"));
    let named = STEPS.iter().map(|step| std::ffi::OsString::from(format!("{step}.sql")));
    let named: Vec<_> = named.collect();
    assert_eq!(steps("sqlite"), named, "each has to be named in migrations.rs");
}

/// On PostgreSQL a data step that names no row scope would see no row of any tenant.
#[test]
fn steps_that_change_rows_name_their_scope() {
    let folder = format!("{}/migrations/postgres", env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(folder).expect("the folder of migrations") {
        let path = file.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a step is text");
        let mut lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--"));
        let begins = lines.next().unwrap_or_default();
        let changes =
            |line: &str| ["INSERT ", "UPDATE ", "DELETE "].iter().any(|word| line.starts_with(word));
        // The first six were taken before there was row-level security, or change no row.
        if &*name > "0007" && text.lines().map(str::trim).any(changes) {
            assert_eq!(begins, "SET LOCAL vca.reach = 'all';", "{name}");
        }
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_says_what_to_do() {
    let cases = [
        ("mysql://root@localhost/vca", "sqlite:"),
        ("postgres://vca:hunter2@127.0.0.1:1/calls", "vca@127.0.0.1:1/calls"),
        ("postgres://vca:hunter2@[bad", "postgres://USER:PASSWORD@HOST"),
        ("sqlite:/proc/no/such/vca.db", "/proc/no/such"),
        ("sqlite:/proc/vca.db", "/proc/vca.db"),
        ("sqlite:x.db?mode=nonsense", "sqlite:PATH"),
    ];
    for (url, hint) in cases {
        let settings = Settings { url: SecretString::from(url), ..Settings::default() };
        let error = Store::open(&settings).await.expect_err(url).to_string();
        assert!(error.contains(hint), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{url}: {error}");
    }
}
