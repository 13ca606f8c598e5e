//! Transfers that the other side refuses or that the caller abandons, in each phase: nothing is left, and the record
//! says who ended it.

use std::time::Duration;

use serde_json::{Value, json};
use vca::sim::{Codec, Step};
use vca::tenancy::{Call as Record, TenantId, TransferEnd, TransferOutcome};

use crate::support::phone::{Call, Plan, Report};
use crate::support::receiver::{Answer, Receiver};
use crate::support::sipp::Referral;
use crate::support::telephone::{Habit, Telephone};
use crate::support::test_env::TestEnv;
use crate::support::vendor::Kind;
use crate::support::wait;
use crate::transfers::{extension, listen, ms, question, see_to_the_end, tenant, test_env};

/// The caller asks, waits so long after the agent's words, and hangs up.
fn asks(then: u64) -> Vec<Step> {
    vec![listen(), question(), listen(), Step::Wait(ms(then)), Step::HangUp]
}

fn referred() -> Value {
    json!({ "kind": "sip", "address": "shop@shop.example.com", "method": "refer" })
}

/// A call, and the record of it.
struct Case {
    did: &'static str,
    target: Value,
    script: Vec<Step>,
    /// The trunk's answer to a REFER.
    referral: Option<Referral>,
    /// Outcome and end of the transfer, if it began.
    transfer: Option<(TransferOutcome, Option<TransferEnd>)>,
    disposition: &'static str,
}

fn cases(slow_endpoint: &str) -> Vec<Case> {
    use TransferOutcome::{Cancelled, HandedOver, Unreachable};
    let case = |did, target, script, referral, transfer| Case {
        did,
        target,
        script,
        referral,
        transfer,
        disposition: "caller_hung_up",
    };
    let (by_caller, endpoint) =
        (Some(TransferEnd::Caller), json!({ "kind": "http", "address": slow_endpoint }));
    let in_last_words =
        vec![listen(), question(), Step::LetSpeak { spoken: ms(300), at_most: ms(8_000) }, Step::HangUp];
    vec![
        case("+49305550361", extension("talks"), in_last_words, None, None),
        case("+49305550362", endpoint, asks(500), None, Some((Cancelled, by_caller))),
        case(
            "+49305550363",
            referred(),
            asks(8_000),
            Some(Referral::Refused(603)),
            Some((Unreachable, None)),
        ),
        case("+49305550364", referred(), asks(8_000), Some(Referral::Busy), Some((Unreachable, None))),
        // Whether the trunk has carried it out is not known: it ends its call in either case.
        Case {
            disposition: "transferred",
            ..case(
                "+49305550365",
                referred(),
                asks(4_000),
                Some(Referral::Silent),
                Some((HandedOver, by_caller)),
            )
        },
    ]
}

fn place(env: &TestEnv, case: &Case) -> Call {
    let plan = Plan::new(case.did, Codec::Ulaw, case.script.clone());
    Call::place(&env.asterisk, Plan { referral: case.referral, ..plan })
}

/// The record of a tenant's only call, once it has ended.
fn ended_call(env: &TestEnv, tenant: TenantId) -> Record {
    let ended = || env.seed.calls(tenant).pop().map(|(call, _)| call).filter(|call| call.ended_at.is_some());
    wait::until(ms(10_000), ended).unwrap_or_else(|| panic!("no call that has ended\n{}", env.log()))
}

/// From the caller's question to the end of the last stretch in which they heard the agent.
fn last_heard(report: &Report) -> Duration {
    let heard = report.conversation.agent().last().map_or(Duration::ZERO, |stretch| stretch.1);
    let asked = report.conversation.said.last().map_or(Duration::ZERO, |said| said.1);
    heard.saturating_sub(asked)
}

#[test]
fn a_caller_who_hangs_up_in_any_phase_leaves_nothing_and_one_who_is_not_referred_is_kept() {
    let Some((mut env, vendor)) = test_env() else { return };
    env.set("VCA__TOOLS__ALLOW_PRIVATE_TARGETS", "true");
    env.set("VCA__TOOLS__ALLOW_HTTP", "true");
    let endpoint = Receiver::start();
    endpoint.answers(Answer::Never);
    let cases = cases(&endpoint.url("/on-call"));
    let tenants: Vec<TenantId> =
        cases.iter().map(|case| tenant(&env, case.did, case.target.clone())).collect();
    env.open();
    let mut calls: Vec<Call> = cases.iter().map(|case| place(&env, case)).collect();
    see_to_the_end(&env, &mut calls);
    let reports: Vec<Report> = calls.into_iter().map(Call::finish).collect();
    // Asterisk keeps the channel of the trunk that reports no end of its REFER.
    let is_cleared = || env.asterisk.bridges().is_empty() && env.asterisk.channels().len() <= 1;
    assert!(wait::until_true(ms(10_000), is_cleared), "{:?}\n{}", env.asterisk.channels(), env.log());
    assert!(env.asterisk.channels().iter().all(|name| name.starts_with("PJSIP/vca-trunk")));
    for ((case, tenant), report) in cases.iter().zip(tenants).zip(&reports) {
        let call = ended_call(&env, tenant);
        let transfers: Vec<_> = call.transfers.iter().map(|it| (it.outcome, it.ended_by)).collect();
        let about = format!("{}\n{}\n{}", case.did, report.log, env.log());
        assert_eq!(transfers, Vec::from_iter(case.transfer), "{about}");
        assert_eq!(call.disposition.as_deref(), Some(case.disposition), "{about}");
        assert!(call.transfers.iter().all(|it| it.ended_at.is_some() && it.answered_at.is_none()), "{about}");
        let is_kept = case.transfer.is_some_and(|(outcome, _)| outcome == TransferOutcome::Unreachable);
        assert_eq!(last_heard(report) > ms(5_000), is_kept, "the agent has the caller again: {about}");
    }
    assert_eq!(endpoint.requests().len(), 1);
    let results = vendor.requests(Kind::Llm);
    assert!(results.iter().any(|request| request.contains("cannot be reached")), "the model reads it");
}

/// The operator's template leads to a telephone that takes one call. Numbers that the operator does not allow are not
/// offered to the model.
#[test]
fn a_number_is_dialled_within_the_operators_prefixes_alone() {
    let Some((mut env, vendor)) = test_env() else { return };
    let script = vec![listen(), Step::Wait(ms(30_000))];
    let habit = Habit::Answers { script, hangs_up_after: ms(2_500) };
    let mut telephone = Telephone::start(env.asterisk.sandbox(), habit);
    let template = format!("PJSIP/vca-trunk/sip:{{number}}@{}", telephone.host());
    env.set("VCA__TRANSFER__NUMBER_ENDPOINT", &template);
    env.set("VCA__TRANSFER__PREFIXES", r#"["+4930"]"#);
    env.set("VCA__TRANSFER__BLOCKED_PREFIXES", r#"["+4930900"]"#);
    let connected = (TransferOutcome::Connected, Some(TransferEnd::Target));
    let cases = [
        ("+49305550371", "+493055500177", Some(connected)),
        ("+49305550372", "+493090012345", None),
        ("+49305550373", "+12025550100", None),
    ];
    let tenants: Vec<TenantId> = cases
        .iter()
        .map(|(did, number, ..)| tenant(&env, did, json!({ "kind": "number", "address": number })))
        .collect();
    env.open();
    let mut calls: Vec<Call> = cases.iter().map(|(did, ..)| env.place(did, asks(6_000))).collect();
    let over = wait::until_true(ms(40_000), || {
        telephone.step();
        calls.iter_mut().map(Call::step).filter(|is_over| !is_over).count() == 0
    });
    assert!(over, "a call does not end\n{}\n{}", telephone.log(), env.log());
    drop(calls);
    env.clears_away(ms(10_000));
    for ((did, _, transfer), tenant) in cases.iter().zip(tenants) {
        let call = ended_call(&env, tenant);
        let transfers: Vec<_> = call.transfers.iter().map(|it| (it.outcome, it.ended_by)).collect();
        assert_eq!(transfers, Vec::from_iter(*transfer), "{did}\n{}", env.log());
    }
    let log = telephone.log();
    let invited: Vec<&str> = log.lines().filter(|line| line.starts_with("INVITE ")).collect();
    assert_eq!(invited.len(), 1, "{log}");
    assert!(invited[0].starts_with("INVITE sip:+493055500177@"), "{log}");
    let results = vendor.requests(Kind::Llm);
    let without_tool = results.iter().filter(|request| request.json()["tools"].is_null()).count();
    assert!(without_tool >= 2, "{without_tool}");
}
