//! SIGHUP: what can change during calls changes, and a configuration with faults changes nothing.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use vca::sim::Step;
use vca::tenancy::{CallStatus, TenantId};

use super::{ANSWER, GREETING, MAIN, SCRIPT, WORDS, agent, env, exchange, listen, ms, question, understood};
use crate::support::test_env::TestEnv;
use crate::support::vendor::{KEY, Kind, Vendor};

fn configuration(env: &TestEnv, max_calls: &str, script: &str, filter: &str) -> String {
    let text = format!(
        "[calls]\nmax_calls = {max_calls}\n[llm.scripted]\nscript = \"{script}\"\n[log]\nfilter = \"{filter}\"\n"
    );
    env.write("vca.toml", &text)
}

#[test]
fn a_reload_takes_effect_while_a_call_goes_on() {
    let agent = json!({ "greeting": GREETING, "stt": "pocketsphinx", "llm": "scripted", "tts": "flite" });
    let Some((mut env, main)) = env(agent) else { return };
    let first = env.write("first.toml", SCRIPT);
    let second = env.write("second.toml", &SCRIPT.replace("nine to five", "ten to four"));
    let path = configuration(&env, "5", &first, "info");
    env.vca = env.vca.clone().without("VCA__LLM__SCRIPTED__SCRIPT").configured(&path);
    env.open();

    let mut call =
        env.answered(MAIN, vec![listen(), Step::Wait(ms(4_000)), question(), listen(), Step::HangUp]);
    env.turns(&mut call, main, 1);
    configuration(&env, "1", &second, "debug");
    env.daemon().signal(Signal::HUP);
    let logged = |env: &TestEnv, text: &str| env.log().contains(text);
    env.until(&mut call, ms(5_000), "a reload", || logged(&env, "configuration reloaded"));
    for key in ["calls.max_calls", "llm.scripted.script", "log.filter"] {
        assert!(logged(&env, key), "{key} is not listed\n{}", env.log());
    }
    assert_eq!(env.dial(MAIN, vec![]).status, Some(503), "the daemon is at its new limit");
    assert!(logged(&env, "\"level\":\"DEBUG\""), "{}", env.log());

    configuration(&env, "\"many\"", &first, "info");
    env.daemon().signal(Signal::HUP);
    env.until(&mut call, ms(5_000), "a refusal", || logged(&env, "configuration not reloaded"));
    assert_eq!(env.dial(MAIN, vec![]).status, Some(503), "the former limit is in use");

    configuration(&env, "5", &second, "info");
    env.daemon().signal(Signal::HUP);
    let reloads = || env.metric("vca_config_reloads_total", &["outcome=\"ok\""]) == Some(2.0);
    env.until(&mut call, ms(5_000), "a second reload", reloads);
    env.satisfied(env.place(MAIN, exchange()));
    env.satisfied(call);
    env.last_call(main);
    let completed = env.seed.calls(main).into_iter().filter(|(call, _)| call.status == CallStatus::Completed);
    let mut said: Vec<String> = completed
        .flat_map(|(_, turns)| turns)
        .filter(|turn| turn.caller_text == WORDS)
        .map(|turn| turn.agent_text)
        .collect();
    said.sort();
    assert_eq!(said, [ANSWER, "From ten to four."], "the live call keeps its script\n{}", env.log());
}

/// Reloads by `vca config reload`; exit code and output.
pub(super) fn reload(env: &TestEnv) -> (Option<i32>, Value) {
    let output = env.vca.run(&["config", "reload", "--json"]).expect("vca can be run");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = serde_json::from_str(&printed).unwrap_or_else(|error| {
        panic!("{error}: {printed}{}\n{}", String::from_utf8_lossy(&output.stderr), env.log())
    });
    (output.status.code(), report)
}

/// Reloads, and expects that these keys changed and nothing else.
pub(super) fn reloads(env: &TestEnv, keys: &[&str]) {
    let (code, report) = reload(env);
    let expected = json!({ "changed": keys, "refused": [], "after_restart": [] });
    let found = json!({
        "changed": report["changed"], "refused": report["refused"], "after_restart": report["after_restart"],
    });
    assert_eq!((code, found), (Some(0), expected), "{report}\n{}", env.log());
}

/// Reloads, and expects that the server refuses this key.
pub(super) fn is_refused(env: &TestEnv, key: &str) {
    let (code, report) = reload(env);
    assert_eq!((code, &report["refused"][0]["key"]), (Some(1), &Value::from(key)), "{report}");
    assert_eq!(report["changed"], json!([]), "{report}");
    assert!(env.log().contains("the former value stays in use"), "{}", env.log());
}

/// A call is answered, understood and recorded.
pub(super) fn serves(env: &TestEnv, main: TenantId) {
    env.satisfied(env.place(MAIN, exchange()));
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, understood(&turns)), (CallStatus::Completed, 1), "{turns:?}\n{}", env.log());
}

/// The daemon with one secret in a file instead of a variable.
pub(super) fn with_secret(env: &mut TestEnv, variable: &str, secret: &str) {
    let path = env.write("secret", secret);
    env.vca = env.vca.clone().without(variable).with(&format!("{variable}_FILE"), &path);
    env.open();
}

/// Status and body of an operator's request to the API.
fn request(env: &TestEnv, key: &str, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let url = format!("{}/api/{path}", env.vca.admin_url());
        let request = reqwest::Client::new().request(method, url).bearer_auth(key);
        let request = if body.is_null() { request } else { request.json(body) };
        let response = request.send().await.expect("the daemon answers");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    })
}

#[test]
fn an_engines_new_key_is_sent_with_the_next_call() {
    let Some((mut env, main)) = env(json!({ "greeting": GREETING, "language": "en-GB" })) else { return };
    let vendor = Vendor::start();
    env.set("OPENAI_BASE_URL", &vendor.base_url());
    with_secret(&mut env, "OPENAI_API_KEY", "sk-revoked");
    // The vendor refuses the key, so that there is no greeting and the dialplan keeps the call.
    assert_ne!(env.dial(MAIN, vec![]).status, Some(200), "{}", env.log());
    env.write("secret", KEY);
    reloads(&env, &["openai.key"]);
    env.satisfied(env.place(MAIN, vec![listen(), question(), listen(), Step::HangUp]));
    env.last_call(main);
    let keys: Vec<String> =
        vendor.requests(Kind::Llm).into_iter().map(|request| request.authorization).collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| *key == format!("Bearer {KEY}")), "{keys:?}");
    let log = env.log();
    assert!(!log.contains("sk-revoked") && !log.contains(KEY), "{log}");
}

#[test]
fn prices_plans_and_limits_of_a_reload_are_in_the_next_response() {
    let Some((mut env, main)) = env(agent()) else { return };
    let write = |env: &TestEnv, price: &str, minutes: u32, keys: u32| {
        let text = format!(
            "[prices]\ncall_minute = {price}\n[plans.starter]\nminutes_per_month = {minutes}\n\
             [limits]\nkeys = {keys}\n"
        );
        env.write("vca.toml", &text)
    };
    let path = write(&env, "1000000", 100, 1);
    env.vca = env.vca.clone().configured(&path);
    env.open();
    env.seed.talked(main, 120);
    let operator = env.seed.operator_key();
    let month = chrono::Utc::now().format("%Y-%m");
    let usage = || {
        let path = format!("tenants/{main}/usage?month={month}");
        let (_, usage) = request(&env, &operator, Method::GET, &path, &Value::Null);
        (usage["total_micros"].clone(), usage["quota"]["minutes_per_month"].clone())
    };
    let create_key = || {
        let body = json!({ "name": "front office", "role": "tenant_viewer" });
        request(&env, &operator, Method::POST, &format!("tenants/{main}/keys"), &body).0
    };
    assert_eq!(usage(), (json!(2_000_000), json!(100)));
    assert_eq!((create_key(), create_key()), (201, 409));

    write(&env, "3000000", 50, 2);
    reloads(&env, &["plans.starter.minutes_per_month", "prices.call_minute", "limits.keys"]);
    assert_eq!(usage(), (json!(6_000_000), json!(50)));
    assert_eq!((create_key(), create_key()), (201, 409));

    // A configuration with a fault changes nothing: the command refuses it before the daemon reads it.
    write(&env, "\"dear\"", 10, 9);
    let output = env.vca.run(&["config", "reload", "--json"]).expect("vca can be run");
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && printed.contains("prices.call_minute"), "{printed}");
    assert_eq!(usage(), (json!(6_000_000), json!(50)));
    assert_eq!(create_key(), 409);
}
