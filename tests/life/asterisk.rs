//! Asterisk refuses or does not answer: the call fails in an orderly way, nothing of it stays, the next one works.

use vca::sim::Step;
use vca::tenancy::{Call, CallStatus, TenantId};

use super::{MAIN, agent, exchange, house, listen, ms, understood};
use crate::support::house::House;
use crate::support::relay::{Fault, Relay};
use crate::support::wait;

/// A house whose daemon reaches Asterisk by a wire.
fn wired_house() -> Option<(House, TenantId, Relay)> {
    let (mut house, main) = house(agent())?;
    let address = house.asterisk.ari_url().trim_start_matches("http://").parse().expect("an address");
    let wire = Relay::to_http(address);
    house.set("ARI_URL", &format!("http://127.0.0.1:{}", wire.port()));
    house.set("VCA__ARI__REQUEST_TIMEOUT_MS", "500");
    house.set("VCA__ARI__SET_UP_TIMEOUT_MS", "1500");
    house.set("VCA__ARI__RECONNECT_MAX_MS", "1000");
    house.open();
    Some((house, main, wire))
}

/// A call while the wire has a fault; its record.
fn fails(house: &House, main: TenantId, wire: &Relay, fault: Fault) -> Call {
    wire.fail(fault.clone());
    let report = house.dial(MAIN, vec![listen(), Step::HangUp]);
    assert_eq!(report.status, Some(503), "{fault:?}\n{}\n{}", report.log, house.log());
    assert!(wire.met() > 0, "{fault:?} was never met");
    let (record, turns) = house.last_call(main);
    assert_eq!((record.status, turns.len()), (CallStatus::Failed, 0), "{fault:?}");
    assert_eq!(record.answered_at, None, "{fault:?}");
    // What may come into being late is looked for once more.
    let none_left = wait::until_true(ms(6_000), || house.metric("vca_calls_live", &[]) == Some(0.0));
    assert!(none_left, "{fault:?}: the call's task does not end\n{}", house.log());
    house.clears_away(ms(0));
    record
}

fn works_again(house: &House, main: TenantId, wire: &Relay) {
    wire.mend();
    house.satisfied(house.place(MAIN, exchange()));
    let (record, turns) = house.last_call(main);
    assert_eq!((record.status, understood(&turns)), (CallStatus::Completed, 1), "{turns:?}");
    assert_eq!(leaks(house), 0.0);
}

fn leaks(house: &House) -> f64 {
    house.metric("vca_asterisk_leaks_total", &[]).unwrap_or(0.0)
}

#[test]
fn a_call_that_asterisk_does_not_set_up_is_cleared_away() {
    let Some((house, main, wire)) = wired_house() else { return };
    for request in ["POST /ari/bridges", "POST /ari/channels/externalMedia"] {
        let record = fails(&house, main, &wire, Fault::Refused(request));
        assert_eq!(record.disposition.as_deref(), Some("failed_setup"), "{request}");
    }
    fails(&house, main, &wire, Fault::Swallowed("POST /ari/bridges"));
    // What Asterisk made is deleted although nobody said that it was made.
    fails(&house, main, &wire, Fault::Unanswered("POST /ari/bridges"));
    fails(&house, main, &wire, Fault::Unanswered("POST /ari/channels/externalMedia"));
    works_again(&house, main, &wire);
}

#[test]
fn what_cannot_be_deleted_at_once_is_deleted_later() {
    let Some((house, main, wire)) = wired_house() else { return };
    let mut call = house.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    house.turns(&mut call, main, 1);
    wire.fail(Fault::Refused("DELETE /ari/"));
    call.hang_up();
    house.until(&mut call, ms(5_000), "deletions are refused more than once", || wire.met() >= 4);
    assert!(!house.asterisk.bridges().is_empty(), "nobody else clears away");
    wire.mend();
    house.last_call(main);
    assert_eq!(leaks(&house), 0.0);
}

#[test]
fn a_call_goes_on_while_events_are_lost() {
    let Some((house, main, wire)) = wired_house() else { return };
    let mut call = house.answered(MAIN, exchange());
    house.turns(&mut call, main, 1);
    wire.fail(Fault::Cut);
    let lost = || house.metric("vca_ari_connected", &[]) == Some(0.0);
    house.until(&mut call, ms(5_000), "the event WebSocket is lost", lost);
    // The caller is answered meanwhile, and leaves while nobody can tell the daemon.
    house.satisfied(call);
    assert_eq!(house.metric("vca_calls_live", &[]), Some(1.0));
    wire.mend();
    let (record, turns) = house.last_call(main);
    assert_eq!(record.disposition.as_deref(), Some("caller_hung_up"), "{record:?}");
    assert_eq!(understood(&turns), 1, "{turns:?}");
}
