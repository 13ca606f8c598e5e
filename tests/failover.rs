//! Failover routes over real calls: each case continues in the dialplan, whether or not the call was answered.

use std::path::Path;

use serde_json::{Value, json};
use vca::sim::{Codec, Step};
use vca::tenancy::{CallStatus, TenantId};

use crate::support::phone::{self, Plan};
use crate::support::seed::{Seed, local_agent, local_agent_with};
use crate::support::test_env::TestEnv;
use crate::support::vendor::{KEY, Kind, Mood, Vendor};
use crate::support::{self, clips, wait};

const BUSY: &str = "+49305550201";
const CLOSED: &str = "+49305550202";
const NO_AGENT: &str = "+49305550203";
const QUOTA: &str = "+49305550204";
const LIMIT: &str = "+49305550205";
const ENGINES: &str = "+49305550206";
const HANG_UP: &str = "+49305550207";

fn ms(n: u64) -> std::time::Duration {
    std::time::Duration::from_millis(n)
}

fn test_env() -> Option<TestEnv> {
    let env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    // Asterisk's log has the variables of each call that continues in the dialplan.
    let values = "${VCA_STATUS}/${VCA_ROUTE}/${VCA_TENANT}/${VCA_DID}/${CHANNEL(state)}";
    env.asterisk.cli(&format!("dialplan add extension night,1,Log(NOTICE,routed:{values}) into vca-route"));
    env.asterisk.cli("dialplan add extension night,2,Wait(2) into vca-route");
    env.asterisk.cli("dialplan add extension night,3,Hangup(17) into vca-route");
    Some(env)
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
