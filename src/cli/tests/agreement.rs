//! The command line sets what the API sets: each field of a request's body has an option or an argument.

use std::collections::BTreeSet;

use clap::Command as Clap;
use serde_json::json;

use super::*;
use crate::cli::settings::{LISTS, SWITCHES, TEXTS, WORDS};

/// An operation with a body, the command that does the same, and the command's names of fields where they differ.
type Pair = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const PAIRS: &[Pair] = &[
    ("createOperatorKey", "key create", &[("expires_at", "expires")]),
    ("createTenantKey", "key create", &[("expires_at", "expires")]),
    ("rotateKey", "key rotate", &[("expires_at", "expires"), ("grace_minutes", "grace")]),
    ("rotateTenantKey", "key rotate", &[("expires_at", "expires"), ("grace_minutes", "grace")]),
    ("createInventoryNumber", "inventory add", &[("did_number", "number"), ("tenant_id", "tenant")]),
    ("createTenant", "tenant create", &[("max_concurrent_calls", "max_calls")]),
    ("updateTenant", "tenant update", &[("max_concurrent_calls", "max_calls")]),
    ("createAiProfile", "profile create", &[("is_default", "default")]),
    ("updateAiProfile", "profile update", &[("is_default", "default")]),
    ("rollBackAiProfile", "profile rollback", &[]),
    ("rollBackNumberRouting", "number rollback-routing", &[]),
    ("createCallFeedback", "call feedback add", &[]),
    ("tryCallAnalysis", "call try-analysis", &[("analysis", "settings_file")]),
    ("muteAgent", "call mute", &[]),
    ("addCallNote", "call note", &[]),
    ("sayToCaller", "call say", &[("end_call", "end")]),
    ("transferCaller", "call transfer", &[]),
    ("createEngineCredential", "credential create", &[]),
    ("replaceEngineCredential", "credential replace", &[]),
    ("createErasure", "call erase", &[("call_id", "call"), ("caller_number", "caller")]),
    ("createPhoneNumber", "number create", &[("did_number", "did")]),
    ("updatePhoneNumber", "number update", &[("is_active", "active")]),
    ("setPreCallWebhook", "number webhook", &[]),
    ("setTenantPreCallWebhook", "tenant pre-call-webhook", &[]),
    ("testPreCallWebhook", "number test-webhook", &[("caller_number", "caller")]),
    (
        "replaceNumberRouting",
        "number routing",
        &[("profiles", "profile"), ("closed_profile_id", "closed_profile")],
    ),
    ("purgeTenant", "tenant purge", &[]),
    (
        "replaceRetention",
        "retention set",
        &[
            ("call_days", "calls"),
            ("transcript_days", "transcripts"),
            ("recording_days", "recordings"),
            ("audit_days", "audit"),
        ],
    ),
    ("createToolSecret", "tool create-secret", &[]),
    ("replaceToolSecret", "tool replace-secret", &[]),
    ("testTool", "tool test", &[]),
    ("testMcpTool", "tool test", &[]),
    ("listMcpTools", "tool list-mcp", &[]),
    ("createTransferTarget", "target create", &[]),
    ("updateTransferTarget", "target update", &[]),
    ("createWebhook", "webhook create", &[("events", "event")]),
    ("updateWebhook", "webhook update", &[("events", "event"), ("is_active", "active")]),
];

/// Operations without a command, with the reason.
const WITHOUT_COMMAND: &[(&str, &str)] = &[
    ("announceCall", "a dialplan announces calls"),
    ("updateInventoryNumber", "inventory assign and unassign change the tenant, inventory import the note"),
    ("replaceAiProfileSettings", "the settings are compared one by one"),
];

/// Fields without an option, with the reason.
const WITHOUT_OPTION: &[(&str, &str, &str)] = &[
    ("createEngineCredential", "key", "secrets are read from standard input"),
    ("replaceEngineCredential", "key", "secrets are read from standard input"),
    ("createToolSecret", "secret", "secrets are read from standard input"),
    ("replaceToolSecret", "secret", "secrets are read from standard input"),
    ("testMcpTool", "server", "the tool's name leads to the profile's server"),
];

/// Settings that are lists of objects, or have keys of their own: `--setting SECTION.KEY`, or `--settings-file`.
const SECTIONS: [&str; 3] = ["turn", "hours", "analysis"];
const OBJECTS: [&str; 3] = ["http_tools", "mcp_servers", "keypad_menus"];

fn command(path: &str) -> Clap {
    let find = |command: Clap, name: &str| {
        command.find_subcommand(name).unwrap_or_else(|| panic!("there is no vca {path}")).clone()
    };
    path.split(' ').fold(Cli::command(), find)
}

/// The names of a command's options and arguments, with underscores.
fn options(path: &str) -> BTreeSet<String> {
    let command = command(path);
    let name = |arg: &clap::Arg| arg.get_long().unwrap_or(arg.get_id().as_str()).replace('-', "_");
    command.get_arguments().map(name).collect()
}

fn document() -> Value {
    serde_json::to_value(crate::admin::api::document()).expect("JSON")
}

/// The properties of a schema, those of its parts included.
fn properties(document: &Value, schema: &Value) -> BTreeSet<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/components/schemas/");
        return properties(document, &document["components"]["schemas"][name]);
    }
    let own = schema["properties"].as_object().into_iter().flat_map(|it| it.keys().cloned());
    let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
    own.chain(parts.flat_map(|part| properties(document, part))).collect()
}

/// The operations with a body, and its fields.
fn bodies() -> Vec<(String, BTreeSet<String>)> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths").values();
    let operations = paths.flat_map(|item| item.as_object().expect("methods").values());
    let with_body = operations.filter(|operation| operation["requestBody"].is_object());
    let body = |operation: &Value| {
        let content = operation["requestBody"]["content"].as_object().expect("content");
        let schema = &content.values().next().expect("a type")["schema"];
        (operation["operationId"].as_str().expect("a name").to_owned(), properties(&document, schema))
    };
    with_body.map(body).collect()
}

fn is_excepted(operation: &str, field: &str) -> bool {
    WITHOUT_OPTION.iter().any(|(of, name, _)| *of == operation && *name == field)
}

#[test]
fn each_field_of_a_body_has_an_option() {
    let mut missing = Vec::new();
    for (operation, fields) in bodies() {
        if WITHOUT_COMMAND.iter().any(|(name, _)| *name == operation) {
            continue;
        }
        let Some((_, path, renamed)) = PAIRS.iter().find(|(name, ..)| *name == operation) else {
            missing.push(format!("{operation}: no command is named here"));
            continue;
        };
        let options = options(path);
        for field in fields.iter().filter(|field| !is_excepted(&operation, field)) {
            let renamed = renamed.iter().find(|(name, _)| name == field).map(|(_, option)| *option);
            if !options.contains(renamed.unwrap_or(field)) {
                missing.push(format!("{operation}: vca {path} has no option for {field}: {options:?}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn each_setting_of_a_profile_has_an_option() {
    let document = document();
    let options = options("profile update");
    let settings = properties(&document, &document["components"]["schemas"]["ProfileSettings"]);
    assert!(settings.len() > 20, "{settings:?}");
    let known = [&SWITCHES[..], &WORDS[..], &LISTS[..], &TEXTS[..], &SECTIONS[..], &OBJECTS[..]].concat();
    let missing: Vec<&String> =
        settings.iter().filter(|name| !options.contains(*name) && !known.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "vca profile update cannot set {missing:?}");
}

#[tokio::test]
async fn settings_of_each_kind_are_set_one_by_one() {
    let line = CommandLine::new().await;
    line.text(&["tenant", "create", "--name", "Acme"]).await;
    let create = ["profile", "create", "--tenant", "Acme", "--name", "Desk", "--system-prompt", "Be kind."];
    line.text(&create).await;
    let update = ["--json", "profile", "update", "Desk", "--tenant", "Acme", "--tts", "espeak"];
    let set = |settings: &[&str]| {
        let each = settings.iter().flat_map(|setting| ["--setting".to_owned(), (*setting).to_owned()]);
        update.iter().map(|it| (*it).to_owned()).chain(each).collect::<Vec<String>>()
    };
    let args = set(&[
        "languages=en,de",
        "detect_language=true",
        "voices.de=de",
        "key_terms=Roth, Huber",
        "greeting_mode=wait",
        "analysis.enabled=true",
        "analysis.summary=true",
    ]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let profile: Value = serde_json::from_str(&line.text(&args).await).expect("JSON");
    let settings = &profile["settings"];
    assert_eq!(settings["languages"], json!(["en", "de"]), "{profile:#}");
    assert_eq!(settings["key_terms"], json!(["Roth", "Huber"]));
    assert_eq!((&settings["detect_language"], &settings["voices"]["de"]), (&json!(true), &json!("de")));
    assert_eq!(
        (&settings["turn"]["greeting_mode"], &settings["analysis"]["summary"]),
        (&json!("wait"), &json!(true))
    );
    let cleared = set(&["languages=", "detect_language=", "voices.de="]);
    let cleared: Vec<&str> = cleared.iter().map(String::as_str).collect();
    let profile: Value = serde_json::from_str(&line.text(&cleared).await).expect("JSON");
    assert_eq!(profile["settings"].get("languages"), None, "{profile:#}");
}
