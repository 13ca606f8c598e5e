//! Command lines in, text and exit codes out, on a database of each test's own.

mod agreement;
mod backups;
mod calls;
mod documented;
mod keys;
mod ledger;
mod numbers;
mod profiles;
mod tenants;
mod tools;
mod usage;
mod webhooks;

use chrono::{TimeDelta, Utc};
use clap::CommandFactory;
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::config::Environment;
use crate::tenancy::*;

/// A database and the command line before it.
struct CommandLine {
    folder: PathBuf,
    store: Store,
    config: Config,
}

impl CommandLine {
    async fn new() -> CommandLine {
        let folder = std::env::temp_dir().join(format!("vca-cli-{}", Uuid::now_v7()));
        let mut config = Config { environment: Environment::Development, ..Config::default() };
        config.database.url = SecretString::from(format!("sqlite:{}", folder.join("vca.db").display()));
        let store = Store::open(&config.database).await.expect("a database");
        store.migrate().await.expect("tables");
        CommandLine { folder, store, config }
    }

    /// What `vca` prints, or why it fails.
    async fn run(&self, args: &[&str]) -> Result<String, Failure> {
        let cli = Cli::try_parse_from([&["vca"], args].concat()).unwrap_or_else(|error| panic!("{error}"));
        let mut printed = Vec::new();
        let mut output = Output::to(cli.json, &mut printed);
        match cli.command {
            Command::Records(command) => command.run(&self.store, &self.config, &mut output).await?,
            Command::Openapi => manual::openapi(&mut output)?,
            Command::Completions { shell } => manual::completions(shell, &mut output)?,
            Command::Man { folder } => manual::pages(folder.as_deref(), &mut output)?,
            Command::Backup(command) => command.run(&self.config, &mut output).await?,
            Command::Restore(command) => command.run(&self.config, &mut output).await?,
            other => panic!("{other:?} is not for the tables"),
        }
        drop(output);
        Ok(String::from_utf8(printed).expect("text"))
    }

    async fn text(&self, args: &[&str]) -> String {
        self.run(args).await.unwrap_or_else(|failure| panic!("{args:?}: {failure:?}"))
    }

    async fn json(&self, args: &[&str]) -> Value {
        let text = self.text(&[args, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    async fn code(&self, args: &[&str]) -> u8 {
        self.run(args).await.expect_err("a failure").code
    }

    async fn acme(&self) {
        self.text(&["tenant", "create", "--name", "Acme"]).await;
        self.text(&["number", "create", "--tenant", "Acme", "--did", "+1 555 0100"]).await;
    }
}

impl Drop for CommandLine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const PROFILE: [&str; 8] =
    ["profile", "create", "--tenant", "Acme", "--name", "Front desk", "--system-prompt", "Be kind."];

/// A call from the number to its end, 75 seconds later.
fn completed(number: &PhoneNumber, started_at: chrono::DateTime<Utc>) -> Call {
    Call {
        id: CallId::new(),
        tenant_id: number.tenant_id,
        phone_number_id: number.id,
        ai_profile_id: None,
        ai_profile_version: None,
        routing_version: None,
        asterisk_channel_id: "1.2".into(),
        direction: Direction::Inbound,
        caller_number: Some("+15550123".into()),
        called_number: number.did.clone(),
        status: CallStatus::Completed,
        ended_by: Some(EndedBy::Caller),
        disposition: Some("completed".into()),
        hangup_cause: Some(16),
        sip_status: None,
        provider_call_id: None,
        started_at,
        answered_at: Some(started_at),
        ended_at: Some(started_at + TimeDelta::seconds(75)),
        codec: Some("ulaw".into()),
        media: None,
        failure_reason: None,
        notice_heard_at: None,
        emergency_at: None,
        engine_failures: Vec::new(),
        fields: Default::default(),
        transfers: Vec::new(),
        analysis: None,
        pre_call: None,
        agent_changes: Vec::new(),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[tokio::test]
async fn who_is_not_found_or_not_one_is_told_apart() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    assert_eq!(vca.code(&["tenant", "show", "Nobody"]).await, 66);
    assert_eq!(vca.code(&["number", "show", "+15550199"]).await, 66);
    assert_eq!(vca.code(&["profile", "show", "Nobody"]).await, 66);
    assert_eq!(vca.code(&["call", "show", &CallId::new().to_string()]).await, 66);
    assert_eq!(vca.code(&["number", "create", "--tenant", "Acme", "--did", "+15550100"]).await, 73);
    assert_eq!(vca.code(&["tenant", "create", "--name", " "]).await, 65);
    vca.text(&["tenant", "create", "--name", "Acme"]).await;
    assert_eq!(vca.code(&["tenant", "show", "Acme"]).await, 65, "two of that name");
}

#[tokio::test]
async fn the_program_describes_itself() {
    let vca = CommandLine::new().await;
    let document: Value = serde_json::from_str(&vca.text(&["openapi"]).await).expect("JSON");
    assert!(document["paths"]["/api/tenants"]["post"].is_object(), "{document:#}");
    for shell in ["bash", "zsh", "fish"] {
        let script = vca.text(&["completions", shell]).await;
        assert!(script.contains("vca") && script.contains("profile"), "{shell}: {script}");
    }
    assert!(vca.text(&["man"]).await.contains(".SH NAME\nvca"));
    let folder = vca.folder.join("man");
    vca.text(&["man", folder.to_str().expect("a path")]).await;
    for page in ["vca.1", "vca-key.1", "vca-key-create.1", "vca-tenant-import.1"] {
        assert!(folder.join(page).exists(), "{page}");
    }
}

#[tokio::test]
async fn tables_that_are_not_there_are_unavailable() {
    let folder = std::env::temp_dir().join(format!("vca-cli-{}", Uuid::now_v7()));
    let mut config = Config::default();
    config.database.url = SecretString::from(format!("sqlite:{}", folder.join("vca.db").display()));
    let loaded = Loaded { config, file: None, effective: Vec::new(), warnings: Vec::new() };
    let failure = prepared(loaded).await.expect_err("no tables");
    assert!(failure.code == 69 && failure.text.contains("vca migrate"), "{failure:?}");
    let _ = std::fs::remove_dir_all(&folder);
}

/// Commands that destroy something, by the last word of their names.
const DESTRUCTIVE: &[&str] = &["delete", "purge", "erase", "revoke", "rotate", "remove", "discard", "reseal"];

/// The commands without subcommands of their own, with the words that lead to them.
fn leaves<'a>(command: &'a clap::Command, path: &str) -> Vec<(String, &'a clap::Command)> {
    let path = format!("{path} {}", command.get_name());
    if !command.has_subcommands() {
        return vec![(path, command)];
    }
    command.get_subcommands().flat_map(|command| leaves(command, &path)).collect()
}

#[test]
fn whatever_destroys_can_be_tried_first() {
    let cli = Cli::command();
    let mut found = 0;
    for (path, command) in leaves(&cli, "") {
        let destroys = DESTRUCTIVE.contains(&command.get_name()) || path.ends_with("retention run");
        if destroys {
            found += 1;
            assert!(
                command.get_arguments().any(|it| it.get_long() == Some("dry-run")),
                "{path} lacks --dry-run"
            );
        }
    }
    assert!(found >= 7, "{found} commands");
}

#[tokio::test]
async fn names_are_held_to_the_same_rules_as_over_http() {
    let vca = CommandLine::new().await;
    vca.acme().await;
    let long = "x".repeat(300);
    assert_eq!(vca.code(&["tenant", "create", "--name", &long]).await, 65);
    assert_eq!(vca.code(&["tenant", "update", "Acme", "--name", " "]).await, 65);
    assert_eq!(vca.code(&["key", "create", "--tenant", "Acme", "--name", &long]).await, 65);
}
