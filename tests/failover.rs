//! Failover routes over real calls: each case continues in the dialplan, whether or not the call was answered, or has a message.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use vca::sim::{Codec, Step};
use vca::tenancy::{Call as Record, CallStatus, CallTurn, TenantId};

use crate::support::phone::{self, Call, Plan};
use crate::support::seed::{Seed, local_agent, local_agent_with};
use crate::support::test_env::TestEnv;
use crate::support::vendor::{Habit, KEY, Kind, Mood, Vendor};
use crate::support::{self, clips, wait};

const BUSY: &str = "+49305550201";
const CLOSED: &str = "+49305550202";
const NO_AGENT: &str = "+49305550203";
const QUOTA: &str = "+49305550204";
const LIMIT: &str = "+49305550205";
const ENGINES: &str = "+49305550206";
const HANG_UP: &str = "+49305550207";
const FULL: &str = "+49305550208";
const EMERGENCY: &str = "+49305550209";
const TURNS: &str = "+49305550210";
const HOLD: &str = "+49305550211";

/// The variables of a call that continues in the dialplan.
const VALUES: &str = "${VCA_STATUS}/${VCA_ROUTE}/${VCA_TENANT}/${VCA_DID}";

fn ms(n: u64) -> std::time::Duration {
    std::time::Duration::from_millis(n)
}

fn test_env() -> Option<TestEnv> {
    let env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    // Asterisk's log has the variables of each call that continues in the dialplan.
    for (extension, context) in [("night", "vca-route"), ("shop", "people")] {
        let log = format!("Log(NOTICE,routed:{VALUES}/${{CHANNEL(state)}})");
        for (priority, application) in (1..).zip([&*log, "Wait(1)", "Hangup(17)"]) {
            env.asterisk
                .cli(&format!("dialplan add extension {extension},{priority},{application} into {context}"));
        }
    }
    Some(env)
}

/// The vendor is an account of the daemon's, beside the local engines.
fn with_vendor(env: &mut TestEnv, habits: &[Habit]) -> Vendor {
    let vendor = Vendor::with(habits);
    env.set("OPENAI_BASE_URL", &vendor.base_url());
    env.set("OPENAI_API_KEY", KEY);
    // Its engines are asked again for each call.
    env.set("VCA__TTS__RETRY__BREAKER_FAILURES", "0");
    vendor
}

fn listen() -> Step {
    Step::Listen { silent: ms(700), at_most: ms(8_000) }
}

fn question() -> Step {
    Step::Say(clips::flite("what are your opening hours", "slt"))
}

/// An agent that hands callers in an emergency over. The vendor hears what they say.
fn emergency_agent() -> Value {
    json!({
        "greeting": "Welcome.", "stt": "openai", "llm": "scripted", "tts": "flite", "turn": { "emergency": "route" },
    })
}

/// Goes on with calls until all of them are over.
fn see_to_the_end(env: &TestEnv, calls: &mut [Call]) {
    let over = wait::until_true(ms(40_000), || {
        calls.iter_mut().map(|call| call.step()).filter(|is_over| !is_over).count() == 0
    });
    assert!(over, "a call does not end\n{}", env.log());
}

/// Waits until Asterisk's log has a line.
fn is_logged(env: &TestEnv, line: &str) {
    let logged = wait::until_true(ms(3_000), || env.asterisk.log().contains(line));
    assert!(logged, "{line}\n{}", env.log());
}

fn routed(seed: &Seed, name: &str, did: &str, limit: Option<u32>, agent: Value) -> TenantId {
    let tenant = seed.tenant(name, did, limit, agent);
    seed.failover(tenant, json!({ "default": { "action": "dialplan", "label": "night" } }));
    tenant
}

/// The line that the dialplan has logged of a call of the tenant's.
fn line(status: &str, tenant: TenantId, did: &str, state: &str) -> String {
    format!("routed:{status}/night/{tenant}/{did}/{state}")
}

fn closed_agent() -> Value {
    let mut agent = local_agent();
    agent["hours"] = json!({ "timezone": "Europe/Berlin", "weekly": {} });
    agent
}

#[test]
fn refused_calls_continue_in_the_dialplan_by_case() {
    let Some(mut env) = test_env() else { return };
    env.set("VCA__PLANS__STARTER__MINUTES_PER_MONTH", "1");
    let cases = [
        ("busy", BUSY, routed(&env.seed, "busy", BUSY, Some(0), local_agent())),
        ("closed", CLOSED, routed(&env.seed, "closed", CLOSED, None, closed_agent())),
        ("no_agent", NO_AGENT, routed(&env.seed, "no agent", NO_AGENT, None, json!(null))),
        ("quota", QUOTA, routed(&env.seed, "quota", QUOTA, None, local_agent())),
    ];
    env.seed.talked(cases[3].2, 61);
    let hung_up = env.seed.tenant("hung up", HANG_UP, Some(0), local_agent());
    env.seed
        .failover(hung_up, json!({ "default": { "action": "dialplan" }, "busy": { "action": "hang_up" } }));
    env.open();
    for (status, did, tenant) in cases {
        let report = env.dial(did, vec![]);
        assert_eq!(report.status, Some(486), "{status}: as the dialplan says\n{}", env.log());
        let expected = line(status, tenant, did, "Ring");
        assert!(env.asterisk.log().contains(&expected), "{expected}\n{}", env.log());
        let (record, _) = env.last_call(tenant);
        assert_eq!((record.status, record.answered_at), (CallStatus::Refused, None), "{status}");
        let refused = format!("refused_{status}");
        let expected = match status {
            "busy" => "refused_tenant_busy",
            "quota" => "refused_quota_reached",
            _ => &refused,
        };
        assert_eq!((record.disposition.as_deref(), record.sip_status), (Some(expected), None));
    }
    let continued = || {
        let log = env.asterisk.log();
        log.lines().filter(|line| line.contains("VCA does not serve this call")).count()
    };
    let before = continued();
    assert_eq!(env.dial(HANG_UP, vec![]).status, Some(486));
    assert_eq!(continued(), before, "a route can be to hang up");
}

#[test]
fn a_caller_with_too_many_calls_takes_the_numbers_route() {
    let Some(mut env) = test_env() else { return };
    env.set("VCA__CALLS__MAX_CALLS_PER_CALLER_PER_HOUR", "1");
    let limit = routed(&env.seed, "limit", LIMIT, None, local_agent());
    env.open();
    let call = |from: &str| {
        let plan = Plan { from: from.to_owned(), ..Plan::new(LIMIT, Codec::Ulaw, vec![Step::HangUp]) };
        phone::call(&env.asterisk, plan).status
    };
    assert_eq!(call("4930123456"), Some(200), "{}", env.log());
    assert_eq!(call("4930123456"), Some(486), "as the dialplan says\n{}", env.log());
    let expected = line("limit", limit, LIMIT, "Ring");
    assert!(env.asterisk.log().contains(&expected), "{expected}\n{}", env.log());
    let (record, _) = env.last_call(limit);
    assert_eq!(record.disposition.as_deref(), Some("refused_caller_limit"));
    assert!(!env.log().contains("4930123456"), "{}", env.log());
    assert_eq!(call("4930123457"), Some(200), "another caller\n{}", env.log());
    for _ in 0..2 {
        assert_eq!(call("anonymous"), Some(200), "callers without a number are not counted\n{}", env.log());
    }
}

#[test]
fn an_answered_call_continues_in_the_dialplan() {
    let Some(mut env) = test_env() else { return };
    let vendor = Vendor::start();
    env.set("OPENAI_BASE_URL", &vendor.base_url());
    env.set("OPENAI_API_KEY", KEY);
    env.set("VCA__LLM__RETRY__TIMEOUT_MS", "600");
    env.set("VCA__LLM__RETRY__RETRIES", "0");
    let short = local_agent_with(json!({ "max_duration_ms": 2_500, "warn_before_ms": 0 }));
    let limit = routed(&env.seed, "limit", LIMIT, None, short);
    let mut failing = local_agent_with(json!({ "max_failures": 1 }));
    failing["llm"] = json!("openai");
    let engines = routed(&env.seed, "engines", ENGINES, None, failing);
    vendor.feels(Kind::Llm, Mood::Broken);
    env.open();
    let question = Step::Say(clips::flite("what are your opening hours", "slt"));
    let listen = Step::Listen { silent: ms(700), at_most: ms(8_000) };
    for (status, did, tenant, script, disposition) in [
        ("limit", LIMIT, limit, vec![], "time_limit"),
        ("engines", ENGINES, engines, vec![listen, question], "failed_engines"),
    ] {
        let script = script.into_iter().chain([Step::Wait(ms(20_000))]).collect();
        let mut call = env.answered(did, script);
        let expected = line(status, tenant, did, "Up");
        env.until(&mut call, ms(15_000), status, || env.asterisk.log().contains(&expected));
        env.until(&mut call, ms(3_000), "nothing of VCA's is left", || env.asterisk.bridges().is_empty());
        let ended = wait::until_true(ms(8_000), || {
            call.step();
            call.progress().is_over()
        });
        assert!(ended, "{status}: the dialplan hangs up\n{}", env.log());
        call.finish();
        let (record, _) = env.last_call(tenant);
        assert_eq!(record.disposition.as_deref(), Some(disposition), "{status}\n{}", env.log());
    }
}

/// Each as it is shipped, but for an extension that logs the variables at the end of a call.
#[test]
fn each_status_has_a_context_in_the_shipped_dialplan() {
    let Some(mut env) = test_env() else { return };
    let vendor = with_vendor(&mut env, &[Habit::EmergencyWords]);
    vendor.feels(Kind::Tts, Mood::Broken);
    env.set("VCA__PLANS__STARTER__MINUTES_PER_MONTH", "1");
    env.set("VCA__CALLS__MAX_CALLS", "2");
    let statuses =
        ["busy", "full", "draining", "quota", "closed", "no_agent", "engines", "limit", "emergency"];
    for status in statuses {
        let log = format!("Log(NOTICE,left-vca-{status}:{VALUES})");
        env.asterisk.cli(&format!("dialplan add extension h,1,{log} into vca-{status}"));
    }
    let tenant = |did: &str, limit: Option<u32>, agent: Value| {
        let tenant = env.seed.tenant(did, did, limit, agent);
        env.seed.failover(tenant, json!({ "default": { "action": "dialplan" } }));
        tenant
    };
    let mut without_voice = local_agent();
    without_voice["tts"] = json!("openai");
    let refused = [
        ("busy", BUSY, 486, tenant(BUSY, Some(0), local_agent())),
        ("quota", QUOTA, 403, tenant(QUOTA, None, local_agent())),
        ("closed", CLOSED, 503, tenant(CLOSED, None, closed_agent())),
        ("no_agent", NO_AGENT, 503, tenant(NO_AGENT, None, json!(null))),
        ("engines", ENGINES, 503, tenant(ENGINES, None, without_voice)),
    ];
    let short = local_agent_with(json!({ "max_duration_ms": 6_000, "warn_before_ms": 0 }));
    let limit = tenant(LIMIT, None, short);
    let emergency = tenant(EMERGENCY, None, emergency_agent());
    let full = tenant(FULL, None, local_agent());
    env.seed.talked(refused[1].3, 61);
    env.open();
    let left = |status: &str, tenant: TenantId, did: &str| {
        is_logged(&env, &format!("left-vca-{status}:{status}//{tenant}/{did}"));
    };
    for (status, did, expected, tenant) in refused {
        assert_eq!(env.dial(did, vec![]).status, Some(expected), "{status}\n{}", env.log());
        left(status, tenant, did);
    }
    let stays = vec![listen(), question(), Step::Wait(ms(20_000))];
    let mut calls = [env.answered(LIMIT, vec![]), env.answered(EMERGENCY, stays)];
    assert_eq!(env.dial(FULL, vec![]).status, Some(503), "{}", env.log());
    left("full", full, FULL);
    see_to_the_end(&env, &mut calls);
    left("limit", limit, LIMIT);
    left("emergency", emergency, EMERGENCY);

    let mut call = env.answered(FULL, vec![]);
    env.daemon().signal(Signal::TERM);
    let draining = || env.page("/readyz").is_some_and(|(status, _)| status == 503);
    env.until(&mut call, ms(5_000), "readiness is withdrawn", draining);
    assert_eq!(env.dial(FULL, vec![]).status, Some(503), "{}", env.log());
    is_logged(&env, &format!("left-vca-draining:draining//{full}/{FULL}"));
    call.hang_up();
}

#[test]
fn routes_lead_to_targets_before_and_after_the_answer() {
    let Some(mut env) = test_env() else { return };
    let _vendor = with_vendor(&mut env, &[Habit::EmergencyWords]);
    env.set("VCA__TRANSFER__QUEUE_CONTEXT", "people");
    let one_turn = local_agent_with(json!({ "max_turns": 1 }));
    let short_hold = local_agent_with(json!({ "max_hold_ms": 1_000 }));
    let asks = || vec![listen(), question(), Step::Wait(ms(20_000))];
    let cases = [
        (BUSY, Some(0), local_agent(), vec![], "busy", "Ring", "refused_tenant_busy"),
        (TURNS, None, one_turn, asks(), "limit", "Up", "turn_limit"),
        (HOLD, None, short_hold, vec![], "limit", "Up", "hold_limit"),
        (EMERGENCY, None, emergency_agent(), asks(), "emergency", "Up", "emergency"),
    ];
    let tenants = cases.each_ref().map(|(did, limit, agent, ..)| {
        let tenant = env.seed.tenant(did, did, *limit, agent.clone());
        env.seed.target(tenant, "shop", json!({ "kind": "queue", "address": "shop" }));
        env.seed.failover(tenant, json!({ "default": { "action": "target", "target": "shop" } }));
        tenant
    });
    env.open();
    let mut calls = cases.each_ref().map(|(did, _, _, script, ..)| {
        let plan = Plan::new(did, Codec::Ulaw, script.clone());
        let holds_after = (*did == HOLD).then_some(ms(1_500));
        Call::place(&env.asterisk, Plan { holds_after, ..plan })
    });
    see_to_the_end(&env, &mut calls);
    for ((did, _, _, _, status, state, disposition), tenant) in cases.iter().zip(tenants) {
        is_logged(&env, &format!("routed:{status}/shop/{tenant}/{did}/{state}"));
        let (record, _) = env.last_call(tenant);
        assert_eq!(record.disposition.as_deref(), Some(*disposition), "{did}\n{}", env.log());
        assert_eq!(record.emergency_at.is_some(), *did == EMERGENCY);
    }
}

/// The words of a call's last turn, of a caller who was answered.
fn last_words((record, turns): &(Record, Vec<CallTurn>)) -> &str {
    assert!(record.answered_at.is_some(), "{record:?}");
    turns.last().map_or("", |turn| &turn.agent_text)
}

#[test]
fn callers_hear_a_message_before_the_call_continues_or_ends() {
    let Some(mut env) = test_env() else { return };
    let vendor = with_vendor(&mut env, &[]);
    env.set("VCA__PLANS__STARTER__MINUTES_PER_MONTH", "1");
    let spoken = |settings: Value| {
        let mut agent = json!({ "greeting": "Welcome.", "stt": "pocketsphinx", "llm": "scripted" });
        agent.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
        agent
    };
    let night = json!({ "action": "dialplan", "label": "night" });
    let short = json!({ "turn": { "max_duration_ms": 1_500, "warn_before_ms": 0 } });
    let closed = json!({ "hours": { "timezone": "Europe/Berlin", "weekly": {} } });
    let cases = [
        ("quota", QUOTA, spoken(json!({})), "All lines are busy.", "refused_quota_reached"),
        ("closed", CLOSED, spoken(closed), "We are closed today.", "closed"),
        ("limit", LIMIT, spoken(short), "A colleague goes on.", "time_limit"),
    ];
    let tenants = cases.each_ref().map(|(case, did, agent, words, _)| {
        let tenant = env.seed.tenant(did, did, None, agent.clone());
        let route = json!({ "action": "message", "say": words, "then": night.clone() });
        env.seed.failover(tenant, json!({ *case: route }));
        tenant
    });
    env.seed.talked(tenants[0], 61);
    env.open();
    let mut calls = cases.each_ref().map(|(_, did, ..)| env.place(did, vec![Step::Wait(ms(20_000))]));
    see_to_the_end(&env, &mut calls);
    for ((case, did, _, words, disposition), tenant) in cases.iter().zip(tenants) {
        is_logged(&env, &line(case, tenant, did, "Up"));
        let call = env.last_call(tenant);
        assert_eq!(last_words(&call), *words, "{case}\n{}", env.log());
        assert_eq!(
            (call.0.status, call.0.disposition.as_deref()),
            (CallStatus::Completed, Some(*disposition))
        );
        let requests = vendor.requests(Kind::Tts);
        assert!(requests.iter().any(|request| request.contains(words)), "{case}: in the agent's voice");
    }
    assert_eq!(env.metric("vca_refusals_total", &["reason=\"refused_quota_reached\""]), Some(1.0));
}

#[test]
fn a_message_is_heard_without_its_engine_where_it_is_cached() {
    const WORDS: &str = "We have a technical problem.";
    let Some(mut env) = test_env() else { return };
    let vendor = with_vendor(&mut env, &[]);
    // Another greeting for each call: it is not cached.
    let agent = json!({ "greeting": "Call {{call_id}}.", "stt": "pocketsphinx", "llm": "scripted" });
    let tenant = env.seed.tenant("engines", ENGINES, None, agent);
    env.seed.failover(tenant, json!({ "engines": { "action": "message", "say": WORDS } }));
    env.open();
    let is_cached = || vendor.requests(Kind::Tts).iter().any(|request| request.contains(WORDS));
    let mut call = env.answered(ENGINES, vec![Step::Wait(ms(20_000))]);
    env.until(&mut call, ms(5_000), "the message is synthesised", is_cached);
    call.hang_up();
    let heard = |env: &TestEnv| {
        let call = env.last_call(tenant);
        (call.0.disposition.clone().unwrap_or_default(), call)
    };
    assert_eq!(heard(&env).0, "caller_hung_up", "{}", env.log());

    vendor.feels(Kind::Tts, Mood::Broken);
    let report = env.dial(ENGINES, vec![Step::Wait(ms(20_000))]);
    assert_eq!(report.status, Some(200), "{}\n{}", report.log, env.log());
    let (disposition, call) = heard(&env);
    assert_eq!((&*disposition, last_words(&call)), ("refused_no_greeting", WORDS), "{}", env.log());

    let then = json!({ "action": "dialplan", "label": "night" });
    let other = json!({ "action": "message", "say": "These words are not cached.", "then": then });
    env.seed.failover(tenant, json!({ "engines": other }));
    assert_eq!(env.dial(ENGINES, vec![]).status, Some(486), "as the dialplan says\n{}", env.log());
    is_logged(&env, &line("engines", tenant, ENGINES, "Ring"));
    assert_eq!(heard(&env).1.0.status, CallStatus::Refused);
}
