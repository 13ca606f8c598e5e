//! Pre-call webhooks over real calls: the webhook chooses the agent, refuses or forwards the call, or has no effect.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vca::sim::Step;
use vca::store::NumberChanges;
use vca::tenancy::{CallStatus, PreCallOutcome, PreCallOwner, TenantId, TransferOutcome};

use crate::support;
use crate::support::receiver::{Answer, Receiver};
use crate::support::test_env::TestEnv;
use crate::support::vendor::{KEY, Kind, Vendor};

const DID: &str = "+49305550901";
const OTHER: &str = "+49305550902";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Voices are the vendor's, which keeps the texts.
fn test_env() -> Option<(TestEnv, Vendor, Receiver)> {
    let mut env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let vendor = Vendor::start();
    env.set("OPENAI_BASE_URL", &vendor.base_url());
    env.set("OPENAI_API_KEY", KEY);
    env.set("VCA__WEBHOOKS__ALLOW_PRIVATE_TARGETS", "true");
    env.set("VCA__WEBHOOKS__ALLOW_HTTP", "true");
    env.set("VCA__TRANSFER__QUEUE_CONTEXT", "people");
    for (priority, application) in [(1, "Answer()"), (2, "Wait(1)"), (3, "Hangup()")] {
        env.asterisk.cli(&format!("dialplan add extension shop,{priority},{application} into people"));
    }
    Some((env, vendor, Receiver::start()))
}

/// The outcome of the webhook's request on the record of the last call, which was answered.
fn outcome_of_answered(env: &TestEnv, tenant: TenantId) -> PreCallOutcome {
    let (call, _) = env.last_call(tenant);
    assert!(call.answered_at.is_some(), "{call:?}\n{}", env.log());
    call.pre_call.expect("the webhook was asked").outcome
}

#[test]
fn a_webhook_chooses_the_agent_of_a_call() {
    let Some((mut env, vendor, receiver)) = test_env() else { return };
    let tenant = env.seed.tenant("bakery", DID, None, json!({ "greeting": "Welcome." }));
    let regulars = json!({
        "greeting": "Welcome back, {{customer}}!", "variables": { "customer": "friend" },
    });
    let regulars = env.seed.profile(tenant, "Regulars", regulars);
    let owner = PreCallOwner::Number(env.seed.number(tenant));
    let secret = env.seed.pre_call_webhook(tenant, owner, &receiver.url("/calls"), 2_000);
    receiver.answers(Answer::Json(200, r#"{"profile":"Regulars","variables":{"customer":"Ann"}}"#));
    env.open();
    let report = env.dial(DID, vec![Step::Wait(ms(1_500)), Step::HangUp]);
    assert_eq!(report.status, Some(200), "{}\n{}", report.log, env.log());
    let (call, _) = env.last_call(tenant);
    assert_eq!((call.ai_profile_id, call.ai_profile_version), (Some(regulars), Some(1)), "{}", env.log());
    let asked = call.pre_call.expect("the webhook was asked");
    assert_eq!((asked.outcome, asked.problem), (PreCallOutcome::Applied, None));
    let spoken = vendor.requests(Kind::Tts);
    assert!(spoken.iter().any(|it| it.contains("Welcome back, Ann!")), "the greeting has the variable");
    let [request] = &receiver.requests()[..] else { panic!("one request") };
    assert!(request.is_signed_with(&secret) && !request.is_signed_with("whsec_AAAA"));
    let body = request.json();
    assert_eq!((&body["type"], &body["called_number"]), (&json!("call.ringing"), &json!(DID)), "{body:#}");
    assert_eq!((&body["call_id"], &body["tenant_id"]), (&json!(call.id), &json!(tenant)), "{body:#}");
    assert_eq!(body["caller_number"], json!(call.caller_number), "{body:#}");
    let counted = env.metric("vca_pre_call_webhooks_total", &[r#"outcome="applied""#]);
    assert_eq!(counted, Some(1.0));
}

#[test]
fn a_webhook_refuses_and_forwards_and_a_failing_one_has_no_effect() {
    let Some((mut env, vendor, receiver)) = test_env() else { return };
    let tenant = env.seed.tenant("bakery", DID, None, json!({ "greeting": "Welcome." }));
    env.seed.target(tenant, "shop", json!({ "kind": "queue", "address": "shop" }));
    let other = env.seed.tenant("butcher", OTHER, None, json!({ "greeting": "Good day." }));
    let theirs = env.seed.profile(other, "Theirs", json!({ "greeting": "Another's." }));
    env.seed.profile(tenant, "Unanswering", json!({ "llm": "own:gone" }));
    let owner = PreCallOwner::Number(env.seed.number(tenant));
    env.seed.pre_call_webhook(tenant, owner, &receiver.url("/calls"), 400);
    env.open();

    receiver.answers(Answer::Json(200, r#"{"reject":"busy"}"#));
    assert_eq!(env.dial(DID, vec![]).status, Some(486), "{}", env.log());
    let (call, _) = env.last_call(tenant);
    let disposition = call.disposition.as_deref();
    assert_eq!((call.status, disposition), (CallStatus::Refused, Some("refused_by_webhook")));
    assert_eq!(call.pre_call.map(|asked| asked.outcome), Some(PreCallOutcome::Rejected));

    receiver.answers(Answer::Json(200, r#"{"forward":"shop"}"#));
    let report = env.dial(DID, vec![]);
    assert_eq!(report.status, Some(200), "the dialplan answers\n{}\n{}", report.log, env.log());
    let (call, _) = env.last_call(tenant);
    assert_eq!((call.answered_at, call.disposition.as_deref()), (None, Some("forwarded")), "{}", env.log());
    let [transfer] = &call.transfers[..] else { panic!("one transfer: {call:?}") };
    assert_eq!((transfer.target.as_str(), transfer.outcome), ("shop", TransferOutcome::HandedOver));

    let foreign: &'static str = format!(r#"{{"profile":"{theirs}"}}"#).leak();
    let unknown = r#"{"forward":"another"}"#;
    let without_engine = r#"{"profile":"Unanswering"}"#;
    for (answer, expected) in [
        (Answer::Json(200, foreign), PreCallOutcome::Invalid),
        (Answer::Json(200, unknown), PreCallOutcome::Invalid),
        (Answer::Json(200, without_engine), PreCallOutcome::Invalid),
        (Answer::Status(500), PreCallOutcome::BadStatus),
        (Answer::Never, PreCallOutcome::TimedOut),
    ] {
        receiver.answers(answer);
        let report = env.dial(DID, vec![Step::Wait(ms(500)), Step::HangUp]);
        assert_eq!(report.status, Some(200), "{answer:?}\n{}\n{}", report.log, env.log());
        assert_eq!(outcome_of_answered(&env, tenant), expected, "{answer:?}\n{}", env.log());
    }
    assert!(vendor.requests(Kind::Tts).iter().all(|it| !it.contains("Another's")));
    assert_eq!(env.seed.calls(tenant).len(), 7);
}

#[test]
fn a_tenants_webhook_is_asked_unless_the_number_does_not_use_it() {
    let Some((mut env, vendor, receiver)) = test_env() else { return };
    let tenant = env.seed.tenant("bakery", DID, None, json!({ "greeting": "Welcome." }));
    let first = env.seed.pre_call_webhook(tenant, PreCallOwner::Tenant, &receiver.url("/calls"), 2_000);
    let second = env.seed.rotate_pre_call_secret(tenant, PreCallOwner::Tenant);
    receiver.answers(Answer::Json(200, r#"{"overrides":{"greeting":"Good morning."}}"#));
    env.open();
    let report = env.dial(DID, vec![Step::Wait(ms(1_500)), Step::HangUp]);
    assert_eq!(report.status, Some(200), "{}\n{}", report.log, env.log());
    assert_eq!(outcome_of_answered(&env, tenant), PreCallOutcome::Applied);
    assert!(vendor.requests(Kind::Tts).iter().any(|it| it.contains("Good morning.")));
    let [request] = &receiver.requests()[..] else { panic!("one request") };
    assert!(request.is_signed_with(&first) && request.is_signed_with(&second), "the former secret is in use");
    assert_eq!(request.json()["phone_number_id"], json!(env.seed.number(tenant)));

    let changes = NumberChanges { uses_tenant_webhook: Some(false), ..NumberChanges::default() };
    env.seed.change_numbers(tenant, changes);
    let report = env.dial(DID, vec![Step::Wait(ms(500)), Step::HangUp]);
    assert_eq!(report.status, Some(200), "{}\n{}", report.log, env.log());
    let (call, _) = env.last_call(tenant);
    assert_eq!(call.pre_call, None, "{}", env.log());
    assert_eq!(receiver.requests().len(), 1);
}
