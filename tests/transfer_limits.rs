//! The operator's limits on transfers over real calls: hours, caller ids, the number of transfers, and the spend of a day.

use serde_json::json;
use vca::sim::{Codec, Step};
use vca::tenancy::{TenantId, TransferOutcome};

use crate::support::phone::{Call, Plan};
use crate::support::sipp::Side;
use crate::support::test_env::TestEnv;
use crate::support::vendor::Kind;
use crate::support::wait;
use crate::transfers::{extension, listen, ms, question, see_to_the_end, tenant, test_env};

/// A caller who asks to be transferred, and hangs up after a time.
fn asks(after: u64) -> Vec<Step> {
    vec![listen(), question(), listen(), Step::Wait(ms(after)), Step::HangUp]
}

/// The outcomes of a tenant's transfers, in the order of the calls.
fn outcomes(env: &TestEnv, tenant: TenantId) -> Vec<TransferOutcome> {
    let calls = env.seed.calls(tenant).into_iter();
    calls.flat_map(|(call, _)| call.transfers).map(|transfer| transfer.outcome).collect()
}

/// Goes on with a call until the tenant's transfers have these outcomes.
fn until(env: &TestEnv, call: &mut Call, tenant: TenantId, expected: &[TransferOutcome]) {
    let reached = wait::until_true(ms(20_000), || {
        call.step();
        outcomes(env, tenant) == expected
    });
    assert!(reached, "{:?} and not {expected:?}\n{}", outcomes(env, tenant), env.log());
}

#[test]
fn a_target_is_not_dialled_outside_of_its_hours() {
    let Some((mut env, vendor)) = test_env() else { return };
    let did = "+49305550350";
    let mut closed = extension("answers");
    closed["hours"] = json!({ "timezone": "Europe/Berlin", "weekly": {} });
    let tenant = tenant(&env, did, closed);
    env.open();
    env.dial(did, asks(3_000));
    let (call, _) = env.last_call(tenant);
    assert_eq!(outcomes(&env, tenant), [TransferOutcome::Refused], "{}", env.log());
    assert_eq!(call.disposition.as_deref(), Some("caller_hung_up"), "the caller stays with the agent");
    let results = vendor.requests(Kind::Llm);
    assert!(results.iter().any(|request| request.contains("at this time")), "the model reads it");
}

#[test]
fn a_target_is_shown_the_called_number_or_the_callers() {
    let Some((mut env, _vendor)) = test_env() else { return };
    let did = "+49305550351";
    env.asterisk.cli("dialplan add extension shows,1,Log(NOTICE,shown:${CALLERID(num)}:) into people");
    env.asterisk.cli("dialplan add extension shows,2,Hangup(17) into people");
    tenant(&env, did, extension("shows"));
    for (policy, from, shown) in
        [("called", "4930123456", did), ("caller", "4930123456", "+4930123456"), ("caller", "anonymous", did)]
    {
        env.set("VCA__TRANSFER__CALLER_ID", policy);
        env.open();
        let shown = format!("shown:{shown}:");
        let count = || env.asterisk.log().matches(&shown).count();
        let before = count();
        let plan = Plan { from: from.to_owned(), ..Plan::new(did, Codec::Ulaw, asks(3_000)) };
        see_to_the_end(&env, &mut [Call::place(&env.asterisk, plan)]);
        // The log has the line twice: as it is executed, and its text.
        assert!(count() > before, "{policy}, a call from {from}: {shown}\n{}", env.log());
        env.clears_away(ms(10_000));
    }
}

#[test]
fn a_call_has_five_transfers_at_most() {
    let Some((mut env, vendor)) = test_env() else { return };
    let did = "+49305550352";
    let tenant = tenant(&env, did, extension("busy"));
    env.open();
    let rounds = (0..7).flat_map(|_| [question(), listen()]);
    let script = [listen()].into_iter().chain(rounds).chain([Step::Wait(ms(2_000)), Step::HangUp]).collect();
    env.dial(did, script);
    env.last_call(tenant);
    assert_eq!(outcomes(&env, tenant), [TransferOutcome::Busy; 5], "{}", env.log());
    let results = vendor.requests(Kind::Llm);
    assert!(results.iter().any(|request| request.contains("too many transfers")), "the model reads it");
}

/// A leg may cost 4 of the 6 millions, and has cost 1 when it is over.
#[test]
fn the_legs_of_a_day_stay_within_its_spend() {
    let Some((mut env, vendor)) = test_env() else { return };
    env.set("VCA__TRANSFER__LEG_MINUTE", "1000000");
    env.set("VCA__TRANSFER__MAX_LEG_S", "240");
    env.set("VCA__TRANSFER__MAX_DAILY_SPEND_PER_TENANT", "6000000");
    let (did, other_did) = ("+49305550353", "+49305550354");
    let (limited, other) =
        (tenant(&env, did, extension("talks")), tenant(&env, other_did, extension("busy")));
    env.open();
    let mut first = env.place(did, asks(25_000));
    until(&env, &mut first, limited, &[TransferOutcome::Connected]);
    let second = env.place(did, asks(2_000));
    let mut calls = [first, second];
    see_to_the_end(&env, &mut calls);
    env.clears_away(ms(10_000));
    let (connected, refused) = (TransferOutcome::Connected, TransferOutcome::SpendLimit);
    assert_eq!(outcomes(&env, limited), [connected, refused], "{}", env.log());
    let results = vendor.requests(Kind::Llm);
    assert!(results.iter().any(|request| request.contains("limit on the cost")), "the model reads it");

    let mut third = env.place(did, asks(30_000));
    until(&env, &mut third, limited, &[connected, refused, connected]);
    env.daemon().kill();
    env.open();
    see_to_the_end(&env, std::slice::from_mut(&mut third));
    let mut last = env.place(did, asks(2_000));
    see_to_the_end(&env, std::slice::from_mut(&mut last));
    env.last_call(limited);
    let expected = [connected, refused, connected, refused];
    assert_eq!(outcomes(&env, limited), expected, "a leg of a killed daemon counts in full\n{}", env.log());

    for _ in 0..2 {
        let mut unanswered = env.place(other_did, asks(2_000));
        see_to_the_end(&env, std::slice::from_mut(&mut unanswered));
    }
    env.last_call(other);
    let expected = [TransferOutcome::Busy; 2];
    assert_eq!(outcomes(&env, other), expected, "unanswered legs cost nothing\n{}", env.log());
}

/// The shipped dialplan dials a number that does not hang up, and `vca-transfer` ends the call before the caller does. The other
/// caller hangs up before the agent ends a silent call.
#[test]
fn a_leg_of_the_dialplan_counts_and_has_a_limit_of_time() {
    let Some((mut env, _vendor)) = test_env() else { return };
    env.set("VCA__TRANSFER__NUMBER_ENDPOINT", "Local/{digits}@people/n");
    env.set("VCA__TRANSFER__PREFIXES", r#"["+4930"]"#);
    env.set("VCA__TRANSFER__MAX_LEGS_PER_TENANT", "1");
    env.set("VCA__TRANSFER__MAX_LEG_S", "8");
    for (number, application) in (1..).zip(["Answer()", "Wait(60)"]) {
        let add = format!("dialplan add extension 493055500100,{number},{application} into people");
        env.asterisk.cli(&add);
    }
    let did = "+49305550355";
    let target = json!({ "kind": "number", "address": "+493055500100", "method": "dialplan" });
    let tenant = tenant(&env, did, target);
    env.open();
    let mut calls = [env.place(did, asks(16_000)), env.place(did, asks(16_000))];
    see_to_the_end(&env, &mut calls);
    let ended_by: Vec<_> = calls.into_iter().map(|call| call.finish().ended_by).collect();
    let by = |side: Side| ended_by.iter().filter(|it| **it == Some(side)).count();
    assert_eq!((by(Side::Agent), by(Side::Caller)), (1, 1), "{ended_by:?}\n{}", env.log());
    let mut both = outcomes(&env, tenant);
    both.sort_by_key(|outcome| outcome.as_str());
    assert_eq!(both, [TransferOutcome::HandedOver, TransferOutcome::Refused], "{}", env.log());
    let mut third = env.place(did, asks(16_000));
    see_to_the_end(&env, std::slice::from_mut(&mut third));
    env.last_call(tenant);
    assert_eq!(outcomes(&env, tenant).last(), Some(&TransferOutcome::HandedOver), "{}", env.log());
}
