//! The OpenAPI document, as other programs read it: a validator, generators of clients in two languages, a fuzzer.
//!
//! `./dev` installs them, by `tests/clients/requirements.txt` and `tests/clients/package-lock.json`, and names their
//! folder in `VCA_TEST_API_TOOLS`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::process::Command;
use uuid::Uuid;
use vca::store::NewNumber;
use vca::tenancy::*;

use super::api_server::{self, ApiServer};
use crate::support;

/// A program of Python's.
fn python(tools: &Path, program: &str) -> Command {
    Command::new(tools.join("venv/bin").join(program))
}

/// A script of an npm package.
fn node(tools: &Path, script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(tools.join("npm/node_modules").join(script));
    command
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// A folder with the document in it.
struct Workshop(PathBuf);

impl Workshop {
    fn new() -> Workshop {
        let folder = std::env::temp_dir().join(format!("vca-clients-{}", Uuid::now_v7()));
        std::fs::create_dir(&folder).expect("a folder");
        let document = vca::admin::api::document().to_pretty_json().expect("JSON");
        std::fs::write(folder.join("openapi.json"), document).expect("the document is written");
        Workshop(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs a command to its end and returns its output.
    async fn run(&self, command: &mut Command) -> String {
        let command = command.current_dir(&self.0).env("NO_PROXY", "127.0.0.1").kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(580), command.output()).await;
        let output = output.expect("it ends in time").expect("it starts");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text.concat());
        text.concat()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// What a client needs to know: where the API is, the operator's key, and a tenant with a call on record.
async fn seeded(api: &ApiServer, command: &mut Command) {
    let (tenant, _) = api.tenant("Bakery").await;
    let scope = api.store.scope(TenantId(tenant));
    let did: Did = "+493055500100".parse().expect("a DID");
    let new = NewNumber { did: did.clone(), provider_type: ProviderType::Generic };
    let number = scope.create_number(&Actor::system(), new).await.expect("a number");
    let start = Utc::now() - TimeDelta::minutes(5);
    let call = Call {
        id: CallId::new(),
        tenant_id: TenantId(tenant),
        phone_number_id: number.id,
        ai_profile_id: None,
        ai_profile_version: None,
        routing_version: None,
        asterisk_channel_id: "1706556789.1".to_owned(),
        direction: Direction::Inbound,
        caller_number: Some("+4930111".to_owned()),
        called_number: did,
        status: CallStatus::Completed,
        ended_by: Some(EndedBy::Caller),
        disposition: Some("caller_hung_up".to_owned()),
        hangup_cause: Some(16),
        sip_status: None,
        provider_call_id: None,
        started_at: start,
        answered_at: Some(start + TimeDelta::seconds(1)),
        ended_at: Some(start + TimeDelta::seconds(31)),
        codec: Some("ulaw".to_owned()),
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
    };
    scope.begin_call(&call).await.expect("a call");
    scope.update_call(&call).await.expect("a call");
    let turn = CallTurn {
        call_id: call.id,
        tenant_id: call.tenant_id,
        turn: 1,
        caller_text: "Do you have rolls?".to_owned(),
        agent_text: "Yes, we do.".to_owned(),
        interrupted: false,
        spoken_by: Default::default(),
        target_text: None,
        pause_ms: None,
        transcript_ms: Some(200),
        clause_ms: None,
        speech_ms: None,
        reply_ms: Some(500),
        commit_ms: Some(600),
        audio_ms: Some(800),
        tools: Vec::new(),
        at: start + TimeDelta::seconds(9),
    };
    scope.add_turn(&turn).await.expect("a turn");
    command
        .env("VCA_URL", format!("http://{}", api.address))
        .env("VCA_KEY", api.operator.key().expect("a key"))
        .env("VCA_TENANT", tenant.to_string());
}

#[tokio::test]
async fn a_validator_accepts_the_document() {
    let Some(tools) = support::api_tools() else { return };
    let workshop = Workshop::new();
    workshop.run(python(&tools, "openapi-spec-validator").arg("openapi.json")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_python_client_works() {
    let Some(tools) = support::api_tools() else { return };
    api_server::on_sqlite(|api| async move {
        let workshop = Workshop::new();
        let mut generate = python(&tools, "openapi-python-client");
        generate.args([
            "generate",
            "--path",
            "openapi.json",
            "--output-path",
            "vca_client",
            "--meta",
            "none",
        ]);
        generate.arg("--fail-on-warning").arg("--config").arg(source("python-client.yaml"));
        workshop.run(&mut generate).await;
        workshop.run(python(&tools, "python").args(["-m", "compileall", "-q", "vca_client"])).await;
        let mut work = python(&tools, "python");
        seeded(&api, &mut work).await;
        let output = workshop.run(work.env("PYTHONPATH", &workshop.0).arg(source("work.py"))).await;
        assert_eq!(output.trim(), "done");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_typescript_client_works() {
    let Some(tools) = support::api_tools() else { return };
    api_server::on_sqlite(|api| async move {
        let workshop = Workshop::new();
        std::os::unix::fs::symlink(tools.join("npm/node_modules"), workshop.path("node_modules"))
            .expect("a link");
        std::fs::write(workshop.path("package.json"), r#"{"type":"module"}"#).expect("a file is written");
        std::fs::copy(source("work.ts"), workshop.path("work.ts")).expect("a file is copied");
        let mut generate = node(&tools, "openapi-typescript/bin/cli.js");
        workshop.run(generate.args(["openapi.json", "--output", "schema.d.ts"])).await;
        let mut compile = node(&tools, "typescript/bin/tsc");
        compile
            .args(["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", "work.ts"]);
        workshop.run(&mut compile).await;
        let mut work = Command::new("node");
        seeded(&api, &mut work).await;
        assert_eq!(workshop.run(work.arg("work.js")).await.trim(), "done");
    })
    .await;
}

/// With a fixed seed and few examples, so that a run takes two minutes and is the same every time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fuzzer_finds_no_violation() {
    let Some(tools) = support::api_tools() else { return };
    api_server::on_sqlite(|api| async move {
        let workshop = Workshop::new();
        let mut fuzz = python(&tools, "schemathesis");
        seeded(&api, &mut fuzz).await;
        fuzz.arg("--config-file").arg(source("schemathesis.toml")).args(["run", "openapi.json"]);
        fuzz.arg("--url").arg(format!("http://{}", api.address));
        workshop.run(&mut fuzz).await;
    })
    .await;
}
