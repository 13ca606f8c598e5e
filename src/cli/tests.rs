//! Command lines in, text and exit codes out, on a database of each test's own.

use chrono::{TimeDelta, Utc};
use clap::CommandFactory;
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::config::Environment;
use crate::tenancy::*;

/// A database and the command line before it.
struct Desk {
    folder: PathBuf,
    store: Store,
    config: Config,
}

impl Desk {
    async fn new() -> Desk {
        let folder = std::env::temp_dir().join(format!("vca-cli-{}", Uuid::now_v7()));
        let mut config = Config { environment: Environment::Development, ..Config::default() };
        config.database.url = SecretString::from(format!("sqlite:{}", folder.join("vca.db").display()));
        let store = Store::open(&config.database).await.expect("a database");
        store.migrate().await.expect("tables");
        Desk { folder, store, config }
    }

    /// What `vca` prints, or why it fails.
    async fn run(&self, args: &[&str]) -> Result<String, Failure> {
        let cli = Cli::try_parse_from([&["vca"], args].concat()).unwrap_or_else(|error| panic!("{error}"));
        let mut printed = Vec::new();
        let mut output = Output::to(cli.json, &mut printed);
        match cli.command {
            Command::Tenant(command) => command.run(&self.store, &self.config, &mut output).await?,
            Command::Call(call::Command::Recorded(command)) => {
                command.run(&self.store, &self.config, &mut output).await?
            }
            Command::Analytics(command) => command.run(&self.store, &mut output).await?,
            Command::Retention(command) => command.run(&self.store, &mut output).await?,
            Command::Key(command) => command.run(&self.store, &mut output).await?,
            Command::Audit(command) => command.run(&self.store, &mut output).await?,
            Command::Openapi => manual::openapi(&mut output)?,
            Command::Completions { shell } => manual::completions(shell, &mut output)?,
            Command::Man { folder } => manual::pages(folder.as_deref(), &mut output)?,
            Command::Number(command) => command.run(&self.store, &self.config, &mut output).await?,
            Command::Inventory(command) => command.run(&self.store, &self.config, &mut output).await?,
            Command::Profile(command) => command.run(&self.store, &self.config, &mut output).await?,
            Command::Webhook(command) => command.run(&self.store, &self.config, &mut output).await?,
            Command::Usage(command) => command.run(&self.store, &self.config, &mut output).await?,
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

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const PROFILE: [&str; 8] =
    ["profile", "create", "--tenant", "Acme", "--name", "Front desk", "--system-prompt", "Be kind."];

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[tokio::test]
async fn a_numbers_provider_is_asked() {
    let mut desk = Desk::new().await;
    desk.config.telephony.fake = true;
    desk.acme().await;
    desk.text(&["number", "create", "--tenant", "Acme", "--did", "+15550199", "--provider-type", "fake"])
        .await;
    let answer = desk.json(&["number", "register", "+15550199"]).await;
    assert_eq!(answer["provider_state"], "registered", "{answer:#}");
    let text = desk.text(&["number", "unregister", "+15550199"]).await;
    assert!(text.contains("unregistered"), "{text}");
    desk.config.telephony.fake = false;
    assert_eq!(desk.code(&["number", "register", "+15550199"]).await, 1, "it is on record as failed");
    assert_eq!(desk.code(&["number", "register", "+15550111"]).await, 66);
    let id = desk.json(&["number", "show", "+15550199"]).await["id"].as_str().expect("an id").to_owned();
    let gone = desk.text(&["number", "delete", "+15550199"]).await;
    assert!(gone.contains(&format!("`vca number unregister {id}` asks again")), "{gone}");
    desk.config.telephony.fake = true;
    assert_eq!(desk.json(&["number", "unregister", &id]).await["provider_state"], "unregistered");
}

#[tokio::test]
async fn a_tenant_is_created_shown_and_changed() {
    let desk = Desk::new().await;
    let created =
        desk.json(&["tenant", "create", "--name", "Acme", "--plan", "growth", "--max-calls", "3"]).await;
    assert_eq!(created["status"], "active");
    assert_eq!(created["max_concurrent_calls"], 3);
    let id = created["id"].as_str().expect("an id");
    assert_eq!(desk.json(&["tenant", "show", id]).await, created);
    assert_eq!(desk.json(&["tenant", "show", "Acme"]).await, created);
    let update = ["tenant", "update", "Acme", "--status", "suspended", "--max-calls", "default"];
    let changed = desk.json(&update).await;
    assert_eq!((&changed["status"], &changed["max_concurrent_calls"]), (&"suspended".into(), &Value::Null));
    let list = desk.text(&["tenant", "list"]).await;
    assert!(list.starts_with("ID ") && list.contains("Acme  suspended  growth  default"), "{list}");
}

#[tokio::test]
async fn who_is_not_found_or_not_one_is_told_apart() {
    let desk = Desk::new().await;
    desk.acme().await;
    assert_eq!(desk.code(&["tenant", "show", "Nobody"]).await, 66);
    assert_eq!(desk.code(&["number", "show", "+15550199"]).await, 66);
    assert_eq!(desk.code(&["profile", "show", "Nobody"]).await, 66);
    assert_eq!(desk.code(&["call", "show", &CallId::new().to_string()]).await, 66);
    assert_eq!(desk.code(&["number", "create", "--tenant", "Acme", "--did", "+15550100"]).await, 73);
    assert_eq!(desk.code(&["tenant", "create", "--name", " "]).await, 65);
    desk.text(&["tenant", "create", "--name", "Acme"]).await;
    assert_eq!(desk.code(&["tenant", "show", "Acme"]).await, 65, "two of that name");
}

#[tokio::test]
async fn a_webhook_shows_its_secret_once() {
    let desk = Desk::new().await;
    desk.acme().await;
    let create =
        |url| ["webhook", "create", "--tenant", "Acme", "--url", url, "--event", "call.ended,call.started"];
    for url in ["http://example.com/", "https://127.0.0.1/", "example.com"] {
        assert_eq!(desk.code(&create(url)).await, 65, "{url}");
    }
    let made = desk.json(&create("https://example.com/hooks")).await;
    let secret = made["secret"].as_str().expect("a secret");
    let id = made["id"].as_str().expect("an id");
    let list = desk.text(&["webhook", "list", "--tenant", "Acme"]).await;
    assert!(list.contains("call.started,call.ended") && !list.contains(secret), "{list}");
    assert_eq!(desk.json(&["webhook", "show", id]).await["secret"], Value::Null);
    assert_ne!(desk.json(&["webhook", "rotate-secret", id]).await["secret"], secret);
    assert_eq!(desk.code(&["webhook", "ping", id, "--wait", "0"]).await, 1, "no daemon runs");
    let log = desk.json(&["webhook", "deliveries", id, "--status", "pending"]).await;
    assert_eq!((&log[0]["event_type"], &log[0]["attempts"]), (&"ping".into(), &0.into()));
    let delivery = log[0]["id"].as_str().expect("an id");
    assert_eq!(desk.json(&["webhook", "retry", id, delivery]).await["status"], "pending");
    assert_eq!(desk.json(&["webhook", "update", id, "--active", "false"]).await["is_active"], false);
    let trial = desk.text(&["webhook", "delete", id, "--dry-run"]).await;
    assert!(trial.contains("would be deleted"), "{trial}");
    desk.json(&["webhook", "show", id]).await;
    desk.text(&["webhook", "delete", id]).await;
    assert_eq!(desk.code(&["webhook", "show", id]).await, 66);
}

#[tokio::test]
async fn a_number_is_shown_in_full_and_switched_off() {
    let desk = Desk::new().await;
    desk.acme().await;
    let shown = desk.json(&["number", "show", "+15550100"]).await;
    assert_eq!((&shown["did_number"], &shown["is_active"]), (&"+15550100".into(), &true.into()));
    assert_eq!(shown["tenant_name"], "Acme");
    let off = desk.json(&["number", "update", "15550100", "--active", "false"]).await;
    assert_eq!(off["is_active"], false);
    let list = desk.text(&["number", "list", "--tenant", "Acme"]).await;
    assert!(list.contains("+15550100  no      Acme"), "{list}");
}

#[tokio::test]
async fn numbers_are_filtered_and_given_up() {
    let mut desk = Desk::new().await;
    desk.acme().await;
    let other = ["number", "create", "--tenant", "Acme", "--did", "+493055500100", "--provider-type", "tata"];
    // Control-plane finding 27: Asterisk is not there, so the trunk cannot be checked.
    let failure = desk.run(&other).await.expect_err("its provider did not follow");
    assert_eq!(failure.code, 1);
    assert!(
        failure.text.contains("its provider did not follow") && failure.text.contains("register"),
        "{failure:?}"
    );
    let shown = desk.json(&["number", "show", "+493055500100"]).await;
    assert_eq!(
        (&shown["provider_state"], &shown["call_delivery"]),
        (&"failed".into(), &"not_delivered".into())
    );
    let filtered = desk.text(&["number", "list", "--provider-type", "tata", "--active", "true"]).await;
    assert!(filtered.contains("+493055500100") && !filtered.contains("+15550100"), "{filtered}");
    assert_eq!(desk.json(&["number", "list", "--active", "false"]).await, serde_json::json!([]));
    assert_eq!(desk.code(&["number", "delete", "030 55500100"]).await, 66, "no region, no national number");
    desk.config.numbers.default_region = "DE".to_owned().try_into().ok();
    let trial = desk.text(&["number", "delete", "030 55500100", "--dry-run"]).await;
    assert!(trial.contains("+493055500100 of \"Acme\" would be released"), "{trial}");
    desk.text(&["number", "delete", "030 55500100"]).await;
    assert_eq!(desk.code(&["number", "show", "+493055500100"]).await, 66);
    desk.text(&["number", "create", "--tenant", "Acme", "--did", "030 55500100"]).await;
    for wrong in ["", "x", "12", "+999123456789"] {
        assert_eq!(
            desk.code(&["number", "create", "--tenant", "Acme", "--did", wrong]).await,
            65,
            "{wrong:?}"
        );
    }
}

#[tokio::test]
async fn the_inventory_assigns_numbers() {
    let desk = Desk::new().await;
    desk.acme().await;
    let list = desk.json(&["inventory", "list"]).await;
    assert_eq!((&list[0]["did_number"], list.as_array().map(Vec::len)), (&"+15550100".into(), Some(1)));
    let added = desk.text(&["inventory", "add", "+493055500100", "--note", "block A"]).await;
    assert!(added.contains("+493055500100  -       no     operator  block A"), "{added}");
    assert_eq!(desk.code(&["inventory", "add", "+493055500100"]).await, 73);
    let assigned = desk.text(&["inventory", "assign", "+493055500100", "--tenant", "Acme"]).await;
    assert!(assigned.contains("+493055500100  Acme"), "{assigned}");
    desk.text(&["inventory", "unassign", "+493055500100"]).await;
    let free = desk.json(&["inventory", "list", "--assigned", "false"]).await;
    assert_eq!(free[0]["tenant_id"], Value::Null);
    let trial = desk.text(&["inventory", "remove", "+493055500100", "--dry-run"]).await;
    assert!(trial.contains("would be removed"), "{trial}");
    desk.text(&["inventory", "remove", "+493055500100"]).await;
    assert_eq!(desk.code(&["inventory", "remove", "+493055500100"]).await, 66);
    assert_eq!(desk.code(&["inventory", "remove", "+15550100"]).await, 73, "a tenant has it");
    assert_eq!(desk.code(&["inventory", "unassign", "+15550100"]).await, 73, "a tenant has it");
}

#[tokio::test]
async fn the_inventory_is_imported_from_a_file() {
    let desk = Desk::new().await;
    desk.acme().await;
    let file = desk.folder.join("numbers.csv");
    let lines = "# our block\n+493055500100\n+493055500101, Acme, front desk, ground floor\n+15550100\nnonsense\n+493055500102,Nobody\n";
    std::fs::write(&file, lines).expect("a file");
    let file = file.to_str().expect("text");
    let refused = desk.run(&["inventory", "import", file]).await.expect_err("two lines are wrong");
    assert_eq!(refused.code, 1);
    let list = desk.text(&["inventory", "list"]).await;
    assert!(list.contains("+493055500101  Acme    no     operator  front desk, ground floor"), "{list}");
    assert!(!list.contains("+493055500102"), "{list}");
    std::fs::write(file, "+493055500100,Acme\n+493055500101\n+493055500103\n").expect("a file");
    let trial = desk.json(&["inventory", "import", file, "--dry-run"]).await;
    let counts = ["added", "changed", "unchanged"].map(|key| trial[key].as_array().map(Vec::len));
    assert_eq!(counts, [Some(1); 3], "{trial:#}");
    let done = desk.json(&["inventory", "import", file]).await;
    assert_eq!((&done["added"], &done["changed"]), (&trial["added"], &trial["changed"]));
    assert_eq!(
        desk.json(&["inventory", "list", "--assigned", "false"]).await[0]["did_number"],
        "+493055500103"
    );
}

#[tokio::test]
async fn a_profile_goes_back_to_what_it_was() {
    let desk = Desk::new().await;
    desk.acme().await;
    desk.text(&[&PROFILE[..], &["--tools", "hang_up", "--llm-model", "gpt-4"]].concat()).await;
    let update = ["profile", "update", "Front desk", "--system-prompt", "Shout.", "--tools", ""];
    let changed = desk.json(&update).await;
    assert_eq!((&changed["version"], &changed["settings"]["tools"]), (&2.into(), &serde_json::json!([])));
    let former = desk.json(&["profile", "show", "Front desk", "--version", "1"]).await;
    assert_eq!(
        (&former["system_prompt"], &former["settings"]["tools"][0]),
        (&"Be kind.".into(), &"hang_up".into())
    );
    let back = desk.json(&["profile", "rollback", "Front desk", "--version", "1"]).await;
    assert_eq!((&back["version"], &back["settings"]["llm_model"]), (&3.into(), &"gpt-4".into()));
    let list = desk.text(&["profile", "versions", "Front desk"]).await;
    assert_eq!(list.lines().count(), 4, "{list}");
    assert_eq!(desk.code(&["profile", "rollback", "Front desk", "--version", "9"]).await, 66);
}

#[tokio::test]
async fn a_new_default_takes_the_place_of_the_old_one() {
    let desk = Desk::new().await;
    desk.acme().await;
    assert_eq!(desk.json(&[&PROFILE[..], &["--default"]].concat()).await["is_default"], true);
    let other = ["--name", "Night", "--system-prompt", "Be brief.", "--default", "--role", "support"];
    let other = desk.json(&[&PROFILE[..4], &other].concat()).await;
    assert_eq!((&other["is_default"], &other["role"]), (&true.into(), &"support".into()));
    assert_eq!(desk.json(&["profile", "show", "Front desk"]).await["is_default"], false);
    let back = desk.json(&["profile", "update", "Front desk", "--default"]).await;
    assert_eq!(back["is_default"], true);
    let list = desk.text(&["profile", "list"]).await;
    assert!(list.contains("Night       support       no"), "{list}");
}

#[tokio::test]
async fn settings_are_put_on_top_of_each_other() {
    let desk = Desk::new().await;
    desk.acme().await;
    let settings = ["--settings", r#"{"language":"de","turn":{"max_turns":5}}"#, "--stt", "openai"];
    let single = ["--setting", "max_duration_ms=60000", "--setting", "phrases.goodbye=Tschüss."];
    let created = desk.json(&[&PROFILE[..], &settings, &single].concat()).await;
    let settings = &created["settings"];
    assert_eq!((&settings["language"], &settings["stt"]), (&"de".into(), &"openai".into()));
    assert_eq!(settings["turn"], serde_json::json!({ "max_turns": 5, "max_duration_ms": 60_000 }));
    assert_eq!(settings["phrases"]["goodbye"], "Tschüss.");
    let update =
        ["profile", "update", "Front desk", "--language", "", "--setting", "max_turns=", "--voice", "rms"];
    let changed = desk.json(&update).await["settings"].clone();
    assert_eq!((&changed["language"], &changed["voice"]), (&Value::Null, &"rms".into()));
    assert_eq!(changed["turn"], serde_json::json!({ "max_duration_ms": 60_000 }));
    assert_eq!(changed["stt"], "openai", "what is not named stays");
}

#[tokio::test]
async fn settings_come_from_a_file_too() {
    let desk = Desk::new().await;
    desk.acme().await;
    let path = desk.folder.join("settings.toml");
    std::fs::write(&path, "greeting = \"Hello!\"\n[turn]\nbarge_in = false\n").expect("a file");
    let file = ["--settings-file", path.to_str().expect("a path"), "--greeting", "Good day!"];
    let created = desk.json(&[&PROFILE[..], &file].concat()).await;
    assert_eq!(created["settings"]["greeting"], "Good day!");
    assert_eq!(created["settings"]["turn"]["barge_in"], false);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let desk = Desk::new().await;
    desk.acme().await;
    for wrong in [
        &["--setting", "max_turns=0"][..],
        &["--setting", "max_turns"],
        &["--setting", "max_turns=many"],
        &["--setting", "speed=3"],
        &["--setting", "phrases.hello=x"],
        &["--setting", "hours.timezone=Mars"],
        &["--tools", "fly"],
        &["--stt", "crystal-ball"],
        &["--language", "de_DE"],
        &["--setting", "commit_ms=5000"],
        &["--settings", "[]"],
        &["--settings", "{"],
        &["--settings", r#"{"engine":"x"}"#],
    ] {
        assert_eq!(desk.code(&[&PROFILE[..], wrong].concat()).await, 65, "{wrong:?}");
    }
    assert_eq!(desk.code(&PROFILE[..6]).await, 65, "no prompt");
    assert_eq!(desk.json(&["profile", "list"]).await, serde_json::json!([]));
}

fn completed(number: &PhoneNumber, started_at: chrono::DateTime<Utc>) -> Call {
    Call {
        id: CallId::new(),
        tenant_id: number.tenant_id,
        phone_number_id: number.id,
        ai_profile_id: None,
        ai_profile_version: None,
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
    }
}

#[tokio::test]
async fn a_call_is_shown_with_its_transcript() {
    let desk = Desk::new().await;
    desk.acme().await;
    let number = desk.json(&["number", "show", "+15550100"]).await;
    let number: PhoneNumber = serde_json::from_value(number).expect("a number");
    let started_at = Utc::now();
    let call = completed(&number, started_at);
    let turn = CallTurn {
        call_id: call.id,
        tenant_id: call.tenant_id,
        turn: 1,
        caller_text: "are you\x1b[2J open".into(),
        agent_text: "We are".into(),
        interrupted: true,
        transcript_ms: Some(210),
        reply_ms: None,
        commit_ms: Some(500),
        audio_ms: Some(640),
        at: started_at,
    };
    let scope = desk.store.scope(call.tenant_id);
    scope.begin_call(&call).await.expect("a record");
    scope.add_turn(&turn).await.expect("a turn");

    let id = call.id.to_string();
    let text = desk.text(&["call", "show", &id]).await;
    for part in [
        "from           +15550123\n",
        "length         1:15\n",
        "#1  words 210 ms  commit 500 ms  audio 640 ms\n  caller: are you [2J open\n  agent:  We are [interrupted]",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let told = desk.json(&["call", "show", &id, "--tenant", "Acme"]).await;
    assert_eq!(told["turns"][0]["audio_ms"], 640);
    let list = desk.text(&["call", "list", "--limit", "1"]).await;
    assert!(list.contains("+15550123  +15550100  completed  completed  caller    1:15"), "{list}");
    assert_eq!(desk.json(&["call", "list", "--before", &id]).await, serde_json::json!([]));

    for (filter, expected) in [
        (["--status", "completed"], 1),
        (["--status", "failed"], 0),
        (["--caller", "15550123"], 1),
        (["--number", "+15550100"], 1),
        (["--min-duration", "76"], 0),
        (["--to", "2020-01-01T00:00:00Z"], 0),
    ] {
        let found = desk.json(&[&["call", "list"], &filter[..]].concat()).await;
        assert_eq!(found.as_array().map(Vec::len), Some(expected), "{filter:?}");
    }
    assert_eq!(desk.code(&["call", "list", "--number", "+15550999"]).await, 66);
    let words = desk.text(&["call", "transcript", &id]).await;
    assert!(words.contains("Caller: are you [2J open\nAgent:  We are [interrupted]"), "{words}");
    desk.text(&["call", "feedback", "add", &id, "--rating", "4", "--comment", "quick"]).await;
    assert_eq!(desk.json(&["call", "feedback", "list", "--call", &id]).await[0]["source"], "review");
    let feedback = desk.text(&["call", "feedback", "list", "--tenant", "Acme"]).await;
    assert!(feedback.contains("4       review  quick"), "{feedback}");
    assert_eq!(
        desk.code(&["call", "feedback", "add", &CallId::new().to_string(), "--rating", "4"]).await,
        66
    );

    let to = (started_at + TimeDelta::hours(1)).to_rfc3339();
    let report = desk.text(&["analytics", "--tenant", "Acme", "--to", &to, "--timezone", "Asia/Tokyo"]).await;
    for part in [
        "1: 1 answered, 0 refused, 0 failed",
        "p50, p95     75 s, 75 s",
        "Calls by hour (Asia/Tokyo)",
        "####",
    ] {
        assert!(report.contains(part), "no {part:?} in {report}");
    }
    let overview = desk.json(&["analytics", "--to", &to]).await;
    assert_eq!((&overview["tenants"][0]["name"], &overview["calls"]), (&"Acme".into(), &1.into()));
    assert_eq!(desk.code(&["analytics", "--from", &to, "--to", "2020-01-01T00:00:00Z"]).await, 65);
}

#[tokio::test]
async fn retention_is_shown_and_set() {
    let desk = Desk::new().await;
    desk.acme().await;
    assert!(desk.text(&["retention", "show", "--tenant", "Acme"]).await.contains("transcripts  for ever"));
    let set =
        ["retention", "set", "--tenant", "Acme", "--calls", "90", "--transcripts", "30", "--recordings", "7"];
    desk.text(&set).await;
    let changed = desk.json(&["retention", "set", "--tenant", "Acme", "--transcripts", "60"]).await;
    assert_eq!((&changed["call_days"], &changed["transcript_days"]), (&90.into(), &60.into()));
    let longer = ["retention", "set", "--tenant", "Acme", "--transcripts", "forever"];
    assert_eq!(desk.code(&longer).await, 65, "they would outlive their calls");
    assert_eq!(desk.json(&["retention", "show", "--tenant", "Acme"]).await, changed);
}

#[tokio::test]
async fn usage_is_shown_with_a_bar_and_a_statement_is_made_out() {
    let mut desk = Desk::new().await;
    desk.acme().await;
    desk.config.plans.starter.minutes_per_month = Some(5);
    desk.config.prices.call_minute = 20_000;
    let number = desk.json(&["number", "show", "+15550100"]).await;
    let number: PhoneNumber = serde_json::from_value(number).expect("a number");
    let answered_at: chrono::DateTime<Utc> = "2026-10-05T10:00:00Z".parse().expect("a moment");
    let call = Call {
        answered_at: Some(answered_at),
        ended_at: Some(answered_at + TimeDelta::seconds(213)),
        ..completed(&number, answered_at)
    };
    let engine = EngineUse {
        kind: EngineKind::Tts,
        engine: "espeak".into(),
        model: "local".into(),
        unit: UsageUnit::Characters,
        quantity: 40,
    };
    desk.store.scope(call.tenant_id).end_call(&call, &[engine]).await.expect("a record");

    let shown = desk.text(&["usage", "show", "Acme", "--month", "2026-10"]).await;
    for part in [
        "talked  3:33 min\n",
        "quota   [#######---] 71 % of 5 min\n",
        "cost    0.071000 EUR\n",
        "tts espeak local  40 ",
    ] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    let list = desk.text(&["usage", "list", "--month", "2026-10"]).await;
    assert!(list.contains("Acme    starter  1      3:33 min  0      [#######---] 71 % of 5 min"), "{list}");
    let statement = ["usage", "statement", "Acme", "--month", "2026-10"];
    let text = desk.text(&statement).await;
    assert!(text.starts_with("Acme, 2026-10 (draft)\n") && text.contains("total  0.071000 EUR"), "{text}");
    let json = desk.json(&statement).await;
    assert_eq!((&json["total_micros"], &json["is_final"]), (&71_000.into(), &false.into()));
    let csv = desk.text(&[&statement[..], &["--csv"]].concat()).await;
    assert!(
        csv.starts_with("tenant_id,tenant,month,") && csv.contains(",call_time,,,,seconds,213,"),
        "{csv}"
    );
    let days = ["usage", "show", "Acme", "--from", "2026-10-05", "--to", "2026-10-06"];
    let shown = desk.text(&days).await;
    assert!(shown.contains("2026-10-05 to 2026-10-06") && shown.contains("talked  3:33 min\n"), "{shown}");
    let id = call.id.to_string();
    let shown = desk.text(&["usage", "call", &id]).await;
    assert!(shown.contains("talked  3:33 min") && shown.contains("tts espeak local  40 "), "{shown}");
    let now = desk.text(&["usage", "show", "Acme"]).await;
    assert!(now.contains("(so far)") && now.contains("[----------] 0 % of 5 min"), "{now}");
    assert_eq!(desk.code(&["usage", "show", "Nobody"]).await, 66);
}

#[tokio::test]
async fn a_key_is_made_listed_replaced_and_revoked() {
    let desk = Desk::new().await;
    desk.acme().await;
    let made = desk.json(&["key", "create", "--operator", "--name", "laptop", "--expires", "90d"]).await;
    assert_eq!((&made["role"], &made["tenant_id"]), (&"operator".into(), &Value::Null));
    let secret = made["secret"].as_str().expect("a secret");
    let presented = desk.store.present(secret).await.expect("an answer").expect("a key");
    let left = presented.key.expires_at.expect("an end") - Utc::now();
    assert!((TimeDelta::days(89)..TimeDelta::days(91)).contains(&left), "{left}");
    let text = desk.text(&["key", "create", "--tenant", "Acme", "--role", "tenant_viewer"]).await;
    assert!(text.contains("role       tenant_viewer\n") && text.contains("secret     vca_"), "{text}");

    let prefix = made["prefix"].as_str().expect("a prefix");
    let replaced = desk.json(&["key", "rotate", prefix, "--grace", "30m"]).await;
    assert_eq!((&replaced["name"], &replaced["role"]), (&"laptop".into(), &"operator".into()));
    let id = made["id"].as_str().expect("an id");
    assert!(desk.json(&["key", "revoke", id, "--dry-run"]).await["revoked_at"].is_null());
    let revoked = desk.json(&["key", "revoke", id]).await;
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(desk.code(&["key", "rotate", prefix]).await, 73, "it opens nothing any more");
    assert_eq!(desk.code(&["key", "revoke", "vca_nothere0"]).await, 66);
    let list = desk.text(&["key", "list"]).await;
    assert!(list.contains("laptop") && list.contains("revoked") && !list.contains(secret), "{list}");
    assert_eq!(desk.json(&["key", "list", "--tenant", "Acme"]).await.as_array().map(Vec::len), Some(1));
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
    let desk = Desk::new().await;
    desk.acme().await;
    desk.text(&["tenant", "update", "Acme", "--status", "suspended"]).await;
    let text = desk.text(&["audit", "--resource", "tenant"]).await;
    assert!(text.contains("update  tenant") && text.contains("status active → suspended"), "{text}");
    let entries = desk.json(&["audit", "--tenant", "Acme", "--action", "create", "--from", "7d"]).await;
    let created =
        entries.as_array().expect("entries").iter().map(|it| it["resource"].as_str().unwrap_or_default());
    assert_eq!(created.collect::<Vec<_>>(), ["phone_number", "inventory_number", "tenant"], "{entries:#}");
    assert_eq!(desk.json(&["audit", "--to", "2020-01-01"]).await, serde_json::json!([]));
}

#[tokio::test]
async fn a_tenant_is_taken_out_and_put_in() {
    let desk = Desk::new().await;
    desk.acme().await;
    desk.text(&[&PROFILE[..], &["--default"]].concat()).await;
    let path = desk.folder.join("acme.json");
    std::fs::write(&path, desk.text(&["tenant", "export", "Acme", "--calls"]).await).expect("a file");
    let entries = desk.json(&["audit", "--tenant", "Acme", "--action", "export"]).await;
    assert_eq!(entries[0]["after"]["with_calls"], true, "{entries:#}");
    let file = path.to_str().expect("a path");
    let failure = desk.run(&["tenant", "import", file]).await.expect_err("it is there");
    assert!(failure.code == 73 && failure.text.contains("+15550100"), "{failure:?}");
    let beside = ["tenant", "import", file, "--new-ids", "--without-numbers"];
    let text = desk.text(&[&beside[..], &["--dry-run"]].concat()).await;
    assert!(text.contains("A dry run"), "{text}");
    let imported = desk.json(&beside).await;
    assert_eq!((&imported["written"], &imported["rows"]["ai_profiles"]), (&true.into(), &1.into()));
    let id = imported["tenant_id"].as_str().expect("an id");
    assert_eq!(desk.json(&["tenant", "show", id]).await["name"], "Acme");
    let elsewhere = Desk::new().await;
    elsewhere.text(&["tenant", "import", file]).await;
    let assigned = elsewhere.json(&["inventory", "list", "--tenant", "Acme"]).await;
    assert_eq!(assigned[0]["did_number"], "+15550100", "its numbers are assigned to it: {assigned:#}");
    std::fs::write(&path, "{}").expect("a file");
    assert_eq!(desk.code(&["tenant", "import", file]).await, 65);
    assert_eq!(desk.code(&["tenant", "import", "/no/such/file"]).await, 1);
}

#[tokio::test]
async fn the_program_describes_itself() {
    let desk = Desk::new().await;
    let document: Value = serde_json::from_str(&desk.text(&["openapi"]).await).expect("JSON");
    assert!(document["paths"]["/api/tenants"]["post"].is_object(), "{document:#}");
    for shell in ["bash", "zsh", "fish"] {
        let script = desk.text(&["completions", shell]).await;
        assert!(script.contains("vca") && script.contains("profile"), "{shell}: {script}");
    }
    assert!(desk.text(&["man"]).await.contains(".SH NAME\nvca"));
    let folder = desk.folder.join("man");
    desk.text(&["man", folder.to_str().expect("a path")]).await;
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

#[tokio::test]
async fn a_backup_is_restored_in_place_of_the_database() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let desk = Desk::new().await;
    desk.acme().await;
    let (file, database) = (desk.folder.join("copy.db"), desk.folder.join("vca.db"));
    let file = file.to_str().expect("UTF-8");
    let copied = desk.json(&["backup", file]).await;
    let mode = std::fs::metadata(file).expect("a copy").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(desk.code(&["backup", file]).await, 73, "nothing is written over");
    assert!(!desk.folder.join("copy.db.part").exists());
    assert_eq!(desk.json(&["backup", "--verify", file]).await["tables"], copied["tables"]);
    assert_eq!(desk.json(&["backup", "--verify"]).await["tables"], copied["tables"]);

    desk.text(&["tenant", "create", "--name", "Later"]).await;
    let failure = desk.run(&["restore", file]).await.expect_err("it is in use");
    assert!(failure.code == 69 && failure.text.contains("in use"), "{failure:?}");
    desk.store.close().await;
    let trial = desk.text(&["restore", file, "--dry-run"]).await;
    assert!(trial.contains("nothing was changed"), "{trial}");
    let before = std::fs::metadata(&database).expect("a database");
    let restored = desk.json(&["restore", file]).await;
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
    assert_eq!(names(&desk.config).await, ["Acme"]);
    let mut config = desk.config.clone();
    config.database.url = SecretString::from(format!("sqlite:{former}"));
    assert_eq!(names(&config).await, ["Acme", "Later"]);

    std::fs::write(desk.folder.join("other"), "no copy").expect("a file");
    let other = desk.folder.join("other");
    assert_eq!(desk.code(&["restore", other.to_str().expect("UTF-8")]).await, 65);
    config.database.url = SecretString::from("postgres://vca@127.0.0.1/vca");
    let elsewhere = Desk { folder: desk.folder.join("none"), store: desk.store.clone(), config };
    let failure = elsewhere.run(&["restore", file]).await.expect_err("another kind of database");
    assert!(failure.code == 65 && failure.text.contains("vca.reach=all"), "{failure:?}");
}

#[tokio::test]
async fn statements_without_prices_are_shown_and_issued_on_request() {
    let mut desk = Desk::new().await;
    desk.acme().await;
    let tenant = desk.store.tenants().await.expect("tenants").remove(0);
    let scope = desk.store.scope(tenant.id);
    let number = scope.numbers().await.expect("numbers").remove(0);
    let ended_at = Utc::now();
    let call = Call { answered_at: Some(ended_at), ended_at: Some(ended_at), ..completed(&number, ended_at) };
    let speech = EngineUse {
        kind: EngineKind::Llm,
        engine: "openai".into(),
        model: "gpt-5-pro".into(),
        unit: UsageUnit::InputTokens,
        quantity: 5_000_000,
    };
    scope.end_call(&call, &[speech]).await.expect("its end");
    desk.config.prices.engines = vec![crate::billing::Price {
        kind: EngineKind::Llm,
        engine: "openai".into(),
        model: "gpt-4".into(),
        unit: UsageUnit::InputTokens,
        price: 1,
        per: 1,
    }];
    let shown = desk.text(&["usage", "show", "Acme"]).await;
    assert!(shown.contains("without llm openai gpt-5-pro (no price)"), "{shown}");
    let this_month = Month::of(ended_at).to_string();
    let refused = ["usage", "issue", "--month", &this_month, "--accept-unpriced"];
    let failure = desk.run(&refused).await.expect_err("the month is not over");
    assert!(failure.code == 65 && failure.text.contains("not over"), "{failure:?}");
    let nothing = desk.json(&["usage", "issue", "--dry-run"]).await;
    assert_eq!((&nothing["held"], &nothing["issued"]), (&Value::Array(vec![]), &Value::Array(vec![])));
}

/// Commands that destroy something, by the last word of their names.
const DESTRUCTIVE: &[&str] = &["delete", "purge", "erase", "revoke", "remove", "discard", "reseal"];

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
async fn a_tenant_is_deleted_and_purged_only_when_that_is_said() {
    let desk = Desk::new().await;
    desk.acme().await;
    let update = Cli::try_parse_from(["vca", "tenant", "update", "Acme", "--status", "deleted"]);
    let refused = update.expect_err("deletion is a command of its own").to_string();
    assert!(refused.contains("vca tenant delete"), "{refused}");
    for command in ["delete", "purge"] {
        Cli::try_parse_from(["vca", "tenant", command, "Acme"]).expect_err("--dry-run or --yes is needed");
    }
    let trial = desk.text(&["tenant", "delete", "Acme", "--dry-run"]).await;
    assert!(trial.starts_with("Would delete tenant \"Acme\": 1 numbers released"), "{trial}");
    assert_eq!(desk.json(&["tenant", "show", "Acme"]).await["status"], "active");
    assert_eq!(desk.code(&["tenant", "purge", "Acme", "--yes"]).await, 73, "it is not deleted");
    let deleted = desk.text(&["tenant", "delete", "Acme", "--yes"]).await;
    assert!(deleted.contains("vca tenant purge"), "{deleted}");
    assert_eq!(desk.json(&["tenant", "show", "Acme"]).await["status"], "deleted");
    assert_eq!(desk.code(&["tenant", "update", "Acme", "--status", "active"]).await, 73);
    let trial = desk.json(&["tenant", "purge", "Acme", "--dry-run"]).await;
    assert_eq!((&trial["dry_run"], &trial["rows"]["phone_numbers"]), (&true.into(), &1.into()));
    desk.text(&["tenant", "purge", "Acme", "--yes"]).await;
    desk.text(&["tenant", "purge", "Acme", "--with-statements", "--yes"]).await;
    assert_eq!(desk.code(&["tenant", "show", "Acme"]).await, 66);
}

#[tokio::test]
async fn names_are_held_to_the_same_rules_as_over_http() {
    let desk = Desk::new().await;
    desk.acme().await;
    let long = "x".repeat(300);
    assert_eq!(desk.code(&["tenant", "create", "--name", &long]).await, 65);
    assert_eq!(desk.code(&["tenant", "update", "Acme", "--name", " "]).await, 65);
    assert_eq!(desk.code(&["key", "create", "--tenant", "Acme", "--name", &long]).await, 65);
}

#[tokio::test]
async fn nothing_expires_without_a_retention_and_nobody_is_erased_twice() {
    let desk = Desk::new().await;
    desk.acme().await;
    for args in [&["retention", "run", "--dry-run"][..], &["retention", "run", "--tenant", "Acme"]] {
        assert_eq!(desk.text(args).await.trim(), "Nothing has expired.");
    }
    Cli::try_parse_from(["vca", "call", "erase", "--yes"]).expect_err("--call or --caller is needed");
    Cli::try_parse_from(["vca", "call", "erase", "--caller", "+15550123"]).expect_err("--dry-run or --yes");
    let nothing = desk.text(&["call", "erase", "--caller", "+15550123", "--dry-run"]).await;
    assert_eq!(nothing.trim(), "No calls: nothing to erase.");
    assert_eq!(desk.code(&["call", "erase", "--caller", "Ada", "--yes"]).await, 65);
    assert_eq!(desk.code(&["call", "erase", "--call", &Uuid::now_v7().to_string(), "--yes"]).await, 66);
}
