//! Profiles with settings that are not permitted: saved before the rule was, or imported.

use std::net::TcpListener;

use serde_json::json;
use vca::tenancy::CallStatus;

use super::{GREETING, MAIN, agent, env, exchange, listen, question, understood};
use crate::support::sipp::Side;
use crate::support::vendor::{KEY, Kind, Vendor};

/// flite fetches the voice file that a URL names.
#[test]
fn a_stored_or_imported_voice_that_is_a_url_is_not_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let url = format!("http://{}/admin", listener.local_addr().expect("an address"));
    let mut profile = agent();
    profile["voice"] = json!(format!("{url}\r\nFLUSHALL\r\n"));
    let Some((mut env, main)) = env(profile) else { return };

    profile = agent();
    profile["voice"] = json!("kal");
    let exported = env.seed.tenant("exported", "+49305550101", None, profile);
    let file = env.vca.cli(&["tenant", "export", &exported.to_string()]).expect("an export");
    let file = env.write("tenant.json", &file.replace("kal", &url));
    env.vca.cli(&["tenant", "import", &file, "--new-ids", "--without-numbers"]).expect("an import");

    env.open();
    let ready = || env.log().contains("prompts are pre-synthesised");
    assert!(crate::support::wait::until_true(super::ms(20_000), ready), "{}", env.log());
    env.satisfied(env.place(MAIN, exchange()));
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, understood(&turns)), (CallStatus::Completed, 1), "{turns:?}");
    assert_eq!(turns[0].agent_text, GREETING);
    let log = env.log();
    assert!(log.matches("profile setting not used").count() >= 3, "both tenants' and the call's: {log}");
    let visitor = listener.accept();
    assert!(visitor.is_err(), "a program connected: {visitor:?}");
}

/// A profile was saved while more was permitted.
#[test]
fn a_call_keeps_to_the_operators_models_and_limits() {
    let profile = json!({
        "greeting": GREETING, "llm_model": "gpt-5-pro", "max_reply_tokens": 100_000,
        "turn": { "max_turns": 4_000_000_000_u32, "filler_ms": 0 },
    });
    let Some((mut env, main)) = env(profile) else { return };
    let vendor = Vendor::start();
    env.set("OPENAI_BASE_URL", &vendor.base_url());
    env.set("OPENAI_API_KEY", KEY);
    env.set("MAX_CONVERSATION_TURNS", "1");
    env.set("VCA__PROFILES__MAX_TURNS", "1");
    env.set("VCA__PROFILES__MAX_REPLY_TOKENS", "200");
    env.open();
    let report = env.satisfied(env.place(MAIN, vec![listen(), question(), listen()]));
    assert_eq!(report.ended_by, Some(Side::Agent), "{}", env.log());
    let (record, _) = env.last_call(main);
    assert_eq!(record.disposition.as_deref(), Some("turn_limit"));
    let asked: Vec<_> = vendor.requests(Kind::Llm).iter().map(|request| request.json()).collect();
    assert!(!asked.is_empty());
    for question in asked {
        assert_eq!((&question["model"], &question["max_tokens"]), (&json!("gpt-5.4-mini"), &json!(200)));
    }
}
