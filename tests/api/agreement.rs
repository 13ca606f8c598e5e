//! The command line and the API refuse the same values in the same words: both call `control`.

use std::process::Command;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use super::api_server::{ApiServer, Client};
use super::deletion::called;
use super::on_both;

on_both!(
    tenants_and_keys_are_refused_alike,
    numbers_are_refused_alike,
    profiles_are_refused_alike,
    webhooks_are_refused_alike,
    feedback_is_refused_alike,
);

/// The command line on the API's database, without any configuration of its own.
struct Shell<'a>(&'a ApiServer);

impl Shell<'_> {
    /// The message of a command that fails.
    fn refusal(&self, args: &[&str]) -> String {
        let folder = std::env::temp_dir().join(format!("vca-agreement-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vca"));
        command.current_dir(&folder).env_clear();
        command.env("APP_ENV", "development").env("DATABASE_URL", &self.0.url);
        let output = command.args(args).output().expect("vca can be run");
        let _ = std::fs::remove_dir_all(&folder);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?} was accepted");
        let (_, message) = text.rsplit_once("vca: ").unwrap_or_else(|| panic!("{args:?}: {text}"));
        message.trim_end().to_owned()
    }

    /// The command is refused as a request is.
    async fn refuses(&self, args: &[&str], client: &Client, path: &str, body: Value) {
        let answer = client.post(path, body.clone()).await;
        assert!(answer.status.is_client_error(), "{path} {body}: {answer:?}");
        let expected = match answer.body["code"].as_str() {
            Some("invalid_value") => violations(&answer.body),
            _ => answer.body["detail"].as_str().unwrap_or_default().to_owned(),
        };
        assert_eq!(self.refusal(args), expected, "{args:?} {path} {body}");
    }
}

/// The fields of a problem, one a line, as commands print them.
fn violations(problem: &Value) -> String {
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem:#}"));
    let text = |violation: &Value, key: &str| violation[key].as_str().expect("a text").to_owned();
    let lines = errors
        .iter()
        .map(|violation| format!("{}: {}", text(violation, "field"), text(violation, "problem")));
    lines.collect::<Vec<_>>().join("\n     ")
}

async fn tenants_and_keys_are_refused_alike(api: ApiServer) {
    let (tenant, admin) = api.tenant("Acme").await;
    let shell = Shell(&api);
    let long = "x".repeat(201);
    for name in [" ", "a\nb", long.as_str()] {
        let create = ["tenant", "create", "--name", name];
        let body = json!({ "name": name, "plan": "starter" });
        shell.refuses(&create, &api.operator, "/api/tenants", body).await;
        let key = ["key", "create", "--tenant", "Acme", "--name", name];
        let body = json!({ "name": name, "role": "tenant_admin" });
        shell.refuses(&key, &admin, &format!("/api/tenants/{tenant}/keys"), body).await;
        let key = ["key", "create", "--operator", "--name", name];
        shell.refuses(&key, &api.operator, "/api/keys", json!({ "name": name })).await;
    }
    let past = Utc::now() - TimeDelta::hours(1);
    let expired = ["key", "create", "--operator", "--name", "k", "--expires", "0d"];
    shell.refuses(&expired, &api.operator, "/api/keys", json!({ "name": "k", "expires_at": past })).await;
    let made = api.operator.post("/api/keys", json!({ "name": "k" })).await.expect(201);
    let id = made["id"].as_str().expect("an id");
    let (path, grace) = (format!("/api/keys/{id}/rotate"), json!({ "grace_minutes": 10_081 }));
    shell.refuses(&["key", "rotate", id, "--grace", "10081m"], &api.operator, &path, grace).await;
    api.operator.post(&path, json!({})).await.expect(201);
    shell.refuses(&["key", "rotate", id], &api.operator, &path, json!({})).await;
    shell.refuses(&["key", "rotate", id, "--dry-run"], &api.operator, &path, json!({})).await;
}

async fn numbers_are_refused_alike(api: ApiServer) {
    let (tenant, _) = api.tenant("Acme").await;
    let (gone, _) = api.tenant("Gone").await;
    api.operator.delete(&format!("/api/tenants/{gone}")).await.expect(200);
    let shell = Shell(&api);
    let path = format!("/api/tenants/{tenant}/phone-numbers");
    let number = |did: &str| json!({ "did_number": did });
    api.operator.post(&path, number("+493055500100")).await.expect(201);
    for did in ["x", "12", "+493055500100"] {
        let create = ["number", "create", "--tenant", "Acme", "--did", did];
        shell.refuses(&create, &api.operator, &path, number(did)).await;
    }
    let inventory = "/api/number-inventory";
    let long = "x".repeat(201);
    for note in ["a\tb", long.as_str()] {
        let add = ["inventory", "add", "+493055500101", "--note", note];
        let body = json!({ "did_number": "+493055500101", "note": note });
        shell.refuses(&add, &api.operator, inventory, body).await;
    }
    let in_use = ["inventory", "add", "+493055500100"];
    shell.refuses(&in_use, &api.operator, inventory, number("+493055500100")).await;
    let deleted = ["inventory", "add", "+493055500101", "--tenant", "Gone"];
    let body = json!({ "did_number": "+493055500101", "tenant_id": gone });
    shell.refuses(&deleted, &api.operator, inventory, body).await;
}

async fn profiles_are_refused_alike(api: ApiServer) {
    let (tenant, admin) = api.tenant("Acme").await;
    let (shell, path) = (Shell(&api), format!("/api/tenants/{tenant}/ai-profiles"));
    let create = ["profile", "create", "--tenant", "Acme"];
    for (name, prompt, language) in [(" ", "Be kind.", "de"), ("a\u{1b}b", " ", "de_DE")] {
        let options = ["--name", name, "--system-prompt", prompt, "--language", language];
        let body = json!({ "name": name, "role": "receptionist", "system_prompt": prompt,
            "settings": { "language": language } });
        shell.refuses(&[&create[..], &options].concat(), &admin, &path, body).await;
    }
    let options = ["--name", "ApiState", "--system-prompt", "Be kind.", "--setting", "max_turns=0"];
    let body = json!({ "name": "ApiState", "role": "receptionist", "system_prompt": "Be kind.",
        "settings": { "turn": { "max_turns": 0 } } });
    shell.refuses(&[&create[..], &options].concat(), &admin, &path, body).await;
}

async fn webhooks_are_refused_alike(api: ApiServer) {
    let (tenant, admin) = api.tenant("Acme").await;
    let (shell, path) = (Shell(&api), format!("/api/tenants/{tenant}/webhooks"));
    for (url, event) in [
        ("ftp://example.com/", "call.ended"),
        ("example.com", "call.ended"),
        ("https://u:p@example.com/", "call.ended"),
        ("https://example.com/", "ping"),
        ("ftp://example.com/", "ping"),
    ] {
        let create = ["webhook", "create", "--tenant", "Acme", "--url", url, "--event", event];
        shell.refuses(&create, &admin, &path, json!({ "url": url, "events": [event] })).await;
    }
}

async fn feedback_is_refused_alike(api: ApiServer) {
    let (tenant, admin, _, call) = called(&api, "Acme").await;
    let call = call.id.to_string();
    let (shell, path) = (Shell(&api), format!("/api/tenants/{tenant}/calls/{call}/feedback"));
    let add = ["call", "feedback", "add", &call, "--rating", "4"];
    let long = "x".repeat(4_001);
    for (comment, source) in [("a\u{7}b", "review"), (long.as_str(), " "), ("fine", "a\nb")] {
        let options = ["--comment", comment, "--source", source];
        let body = json!({ "rating": 4, "comment": comment, "source": source });
        shell.refuses(&[&add[..], &options].concat(), &admin, &path, body).await;
    }
}
