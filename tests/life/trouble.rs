//! Asterisk keeps the event WebSocket open and does not carry out requests: the daemon is not ready, calls go on in the
//! dialplan, and the next call after the recovery is answered.

use rustix::process::Signal;
use vca::sim::Step;
use vca::tenancy::{CallStatus, TenantId};

use super::{MAIN, agent, exchange, house, listen, ms, understood};
use crate::support::house::House;
use crate::support::relay::{Fault, Relay};
use crate::support::sipp::Side;
use crate::support::{http, wait};

/// A daemon that probes often.
fn watchful_house() -> Option<(House, TenantId)> {
    let (mut house, main) = house(agent())?;
    house.set("VCA__ARI__PROBE_INTERVAL_MS", "600");
    house.set("VCA__ARI__REQUEST_TIMEOUT_MS", "500");
    house.set("VCA__ARI__RECONNECT_MAX_MS", "500");
    house.open();
    Some((house, main))
}

fn is_connected(house: &House) -> bool {
    house.metric("vca_ari_connected", &[]) == Some(1.0)
}

fn is_ready(house: &House) -> bool {
    house.page("/readyz").is_some_and(|(status, _)| status == 200)
}

fn disconnects(house: &House, why: &str) -> Option<f64> {
    house.metric("vca_ari_disconnects_total", &[&format!("why=\"{why}\"")])
}

/// The daemon gives the application up, says why, and a call is served by the dialplan.
fn gives_up(house: &House, why: &str) {
    assert!(wait::until_true(ms(10_000), || !is_connected(house)), "{}", house.log());
    assert!(wait::until_true(ms(5_000), || !is_ready(house)), "{:?}", house.page("/readyz"));
    assert_eq!(disconnects(house, why), Some(1.0), "{}", house.log());
    assert_eq!(house.dial(MAIN, vec![]).status, Some(503), "served by vca-absent\n{}", house.log());
    assert_eq!(disconnects(house, why), Some(1.0), "it does not connect before requests are carried out");
}

fn recovers(house: &House, main: TenantId) {
    assert!(wait::until_true(ms(10_000), || is_connected(house)), "{}", house.log());
    assert!(wait::until_true(ms(5_000), || is_ready(house)), "{:?}", house.page("/readyz"));
    house.satisfied(house.place(MAIN, exchange()));
    let (record, turns) = house.last_call(main);
    assert_eq!((record.status, understood(&turns)), (CallStatus::Completed, 1), "{turns:?}");
}

#[test]
fn a_password_that_is_changed_leaves_calls_to_the_dialplan() {
    let Some((house, main)) = watchful_house() else { return };
    let password = house.asterisk.ari_password().to_owned();
    house.asterisk.edit("vca-ari", &password, "another");
    house.asterisk.cli("module reload res_ari.so");
    gives_up(&house, "requests_refused");
    house.asterisk.edit("vca-ari", "another", &password);
    house.asterisk.cli("module reload res_ari.so");
    recovers(&house, main);
}

#[test]
fn a_user_who_may_only_read_leaves_calls_to_the_dialplan() {
    let Some((house, main)) = watchful_house() else { return };
    house.asterisk.edit("vca-ari", "read_only=no", "read_only=yes");
    house.asterisk.cli("module reload res_ari.so");
    gives_up(&house, "requests_refused");
    house.asterisk.edit("vca-ari", "read_only=yes", "read_only=no");
    house.asterisk.cli("module reload res_ari.so");
    recovers(&house, main);
}

#[test]
fn ari_that_is_disabled_leaves_calls_to_the_dialplan() {
    let Some((house, main)) = watchful_house() else { return };
    house.asterisk.edit("vca-ari", "enabled=yes", "enabled=no");
    house.asterisk.cli("module reload res_ari.so");
    gives_up(&house, "requests_refused");
    house.asterisk.edit("vca-ari", "enabled=no", "enabled=yes");
    house.asterisk.cli("module reload res_ari.so");
    recovers(&house, main);
}

#[test]
fn a_module_that_is_unloaded_leaves_calls_to_the_dialplan() {
    let Some((house, main)) = watchful_house() else { return };
    house.asterisk.cli("module unload res_ari_channels.so");
    gives_up(&house, "requests_refused");
    house.asterisk.cli("module load res_ari_channels.so");
    recovers(&house, main);
}

#[test]
fn an_asterisk_that_hangs_is_not_ready_and_is_taken_up_again() {
    let Some((house, main)) = watchful_house() else { return };
    house.asterisk.signal(Signal::STOP);
    assert!(wait::until_true(ms(5_000), || !is_ready(&house)), "{:?}", house.page("/readyz"));
    assert!(wait::until_true(ms(5_000), || !is_connected(&house)), "{}", house.log());
    assert_eq!(disconnects(&house, "requests_unanswered"), Some(1.0), "{}", house.log());
    house.asterisk.signal(Signal::CONT);
    recovers(&house, main);
}

/// As Asterisk does under load (asterisk/asterisk#2078): requests about channels hang, all others are carried out.
#[test]
fn what_was_given_up_is_deleted_after_the_recovery() {
    let Some((mut house, main)) = house(agent()) else { return };
    let address = house.asterisk.ari_url().trim_start_matches("http://").parse().expect("an address");
    let wire = Relay::to_http(address);
    house.set("ARI_URL", &format!("http://127.0.0.1:{}", wire.port()));
    house.set("VCA__ARI__REQUEST_TIMEOUT_MS", "300");
    house.set("VCA__ARI__RECONNECT_MAX_MS", "500");
    house.open();
    let mut call = house.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    house.turns(&mut call, main, 1);
    // The deletions of media and bridge are refused until they are given up; nothing else is wrong.
    wire.fail(Fault::Refused("DELETE /ari/channels/vca-media"));
    call.hang_up();
    let given_up = || house.metric("vca_asterisk_leaks_total", &[]).is_some_and(|leaks| leaks > 0.0);
    house.until(&mut call, ms(30_000), "the media channel is given up", given_up);
    assert!(!house.asterisk.channels().is_empty(), "nothing deletes it meanwhile");
    wire.mend();
    house.clears_away(ms(15_000));
    assert!(is_connected(&house), "{}", house.log());
    assert_eq!(house.metric("vca_ari_connects_total", &[]), Some(1.0), "without a new connection");
}

#[test]
fn a_call_of_a_killed_daemon_goes_on_at_vca_absent() {
    let Some((mut house, main)) = house(agent()) else { return };
    house.open();
    let mut call = house.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    house.turns(&mut call, main, 1);
    house.daemon().kill();
    house.open();
    let absent = || house.asterisk.log().contains("VCA does not serve this call");
    house.until(&mut call, ms(10_000), "the dialplan goes on with the caller", absent);
    assert_eq!(call.finish().ended_by, Some(Side::Agent));
    let (record, _) = house.last_call(main);
    assert_eq!(record.disposition.as_deref(), Some("interrupted"));
}

/// Two daemons with two application names: the dialplan tries the second where the first does not serve a call.
#[test]
fn daemons_take_turns_without_a_refused_call() {
    let Some((mut house, main)) = house(agent()) else { return };
    house.asterisk.edit("vca-extensions", "; same => n,Stasis(vca-b)", " same => n,Stasis(vca-b)");
    house.asterisk.cli("dialplan reload");
    let second = house.vca.beside().with("VCA__ARI__APP", "vca-b");
    house.open();
    let _second = second.serve().unwrap_or_else(|fault| panic!("{fault}"));
    let taken_by_second = || {
        http::get(second.admin_port(), "/metrics").is_some_and(|(_, text)| {
            text.lines().any(|line| line.starts_with("vca_calls_total{") && line.ends_with(" 1"))
        })
    };
    let mut first_call = house.answered(MAIN, exchange());
    house.turns(&mut first_call, main, 1);
    house.daemon().signal(Signal::TERM);
    let draining = || house.page("/readyz").is_some_and(|(status, _)| status == 503);
    house.until(&mut first_call, ms(5_000), "the first daemon drains", draining);
    assert!(!taken_by_second());
    let second_call = house.answered(MAIN, exchange());
    house.satisfied(second_call);
    assert!(wait::until_true(ms(5_000), taken_by_second), "the second daemon took the call");
    house.satisfied(first_call);
    let ended = house.daemon().wait_for_end(ms(10_000));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{}", house.log());
    // The first daemon is absent, then back.
    house.satisfied(house.place(MAIN, exchange()));
    house.open();
    house.satisfied(house.place(MAIN, exchange()));
    house.last_call(main);
    assert_eq!(house.metric("vca_calls_total", &[]), Some(1.0), "the first daemon serves calls again");
    let calls = house.office.calls(main);
    let completed = calls.iter().filter(|(call, _)| call.status == CallStatus::Completed).count();
    assert_eq!(completed, 4, "{calls:?}");
}
