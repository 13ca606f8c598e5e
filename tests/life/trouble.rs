//! Asterisk keeps the event WebSocket open and does not carry out requests: the daemon is not ready, calls go on in the
//! dialplan, and the next call after the recovery is answered.

use rustix::process::Signal;
use vca::sim::Step;
use vca::tenancy::{CallStatus, TenantId};

use super::{MAIN, agent, env, exchange, listen, ms, understood};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::sipp::Side;
use crate::support::test_env::TestEnv;
use crate::support::{http, wait};

/// A daemon that probes often.
fn watchful_env() -> Option<(TestEnv, TenantId)> {
    let (mut env, main) = env(agent())?;
    env.set("VCA__ARI__PROBE_INTERVAL_MS", "600");
    env.set("VCA__ARI__REQUEST_TIMEOUT_MS", "500");
    env.set("VCA__ARI__RECONNECT_MAX_MS", "500");
    env.open();
    Some((env, main))
}

fn is_connected(env: &TestEnv) -> bool {
    env.metric("vca_ari_connected", &[]) == Some(1.0)
}

fn is_ready(env: &TestEnv) -> bool {
    env.page("/readyz").is_some_and(|(status, _)| status == 200)
}

fn disconnects(env: &TestEnv, why: &str) -> Option<f64> {
    env.metric("vca_ari_disconnects_total", &[&format!("why=\"{why}\"")])
}

/// The daemon gives the application up, says why, and a call is served by the dialplan.
fn gives_up(env: &TestEnv, why: &str) {
    assert!(wait::until_true(ms(10_000), || !is_connected(env)), "{}", env.log());
    assert!(wait::until_true(ms(5_000), || !is_ready(env)), "{:?}", env.page("/readyz"));
    assert_eq!(disconnects(env, why), Some(1.0), "{}", env.log());
    assert_eq!(env.dial(MAIN, vec![]).status, Some(503), "served by vca-absent\n{}", env.log());
    assert_eq!(disconnects(env, why), Some(1.0), "it does not connect before requests are carried out");
}

fn recovers(env: &TestEnv, main: TenantId) {
    assert!(wait::until_true(ms(10_000), || is_connected(env)), "{}", env.log());
    assert!(wait::until_true(ms(5_000), || is_ready(env)), "{:?}", env.page("/readyz"));
    env.satisfied(env.place(MAIN, exchange()));
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, understood(&turns)), (CallStatus::Completed, 1), "{turns:?}");
}

#[test]
fn a_password_that_is_changed_leaves_calls_to_the_dialplan() {
    let Some((env, main)) = watchful_env() else { return };
    let password = env.asterisk.ari_password().to_owned();
    env.asterisk.edit("vca-ari", &password, "another");
    env.asterisk.cli("module reload res_ari.so");
    gives_up(&env, "requests_refused");
    env.asterisk.edit("vca-ari", "another", &password);
    env.asterisk.cli("module reload res_ari.so");
    recovers(&env, main);
}

#[test]
fn a_user_who_may_only_read_leaves_calls_to_the_dialplan() {
    let Some((env, main)) = watchful_env() else { return };
    env.asterisk.edit("vca-ari", "read_only=no", "read_only=yes");
    env.asterisk.cli("module reload res_ari.so");
    gives_up(&env, "requests_refused");
    env.asterisk.edit("vca-ari", "read_only=yes", "read_only=no");
    env.asterisk.cli("module reload res_ari.so");
    recovers(&env, main);
}

#[test]
fn ari_that_is_disabled_leaves_calls_to_the_dialplan() {
    let Some((env, main)) = watchful_env() else { return };
    env.asterisk.edit("vca-ari", "enabled=yes", "enabled=no");
    env.asterisk.cli("module reload res_ari.so");
    gives_up(&env, "requests_refused");
    env.asterisk.edit("vca-ari", "enabled=no", "enabled=yes");
    env.asterisk.cli("module reload res_ari.so");
    recovers(&env, main);
}

#[test]
fn a_module_that_is_unloaded_leaves_calls_to_the_dialplan() {
    let Some((env, main)) = watchful_env() else { return };
    env.asterisk.cli("module unload res_ari_channels.so");
    gives_up(&env, "requests_refused");
    env.asterisk.cli("module load res_ari_channels.so");
    recovers(&env, main);
}

#[test]
fn an_asterisk_that_hangs_is_not_ready_and_is_taken_up_again() {
    let Some((env, main)) = watchful_env() else { return };
    env.asterisk.signal(Signal::STOP);
    assert!(wait::until_true(ms(5_000), || !is_ready(&env)), "{:?}", env.page("/readyz"));
    assert!(wait::until_true(ms(5_000), || !is_connected(&env)), "{}", env.log());
    assert_eq!(disconnects(&env, "requests_unanswered"), Some(1.0), "{}", env.log());
    env.asterisk.signal(Signal::CONT);
    recovers(&env, main);
}

/// As Asterisk does under load (asterisk/asterisk#2078): requests about channels hang, all others are carried out.
#[test]
fn what_was_given_up_is_deleted_after_the_recovery() {
    let Some((mut env, main)) = env(agent()) else { return };
    let address = env.asterisk.ari_url().trim_start_matches("http://").parse().expect("an address");
    let wire = FaultProxy::to_http(address);
    env.set("ARI_URL", &format!("http://127.0.0.1:{}", wire.port()));
    env.set("VCA__ARI__REQUEST_TIMEOUT_MS", "300");
    env.set("VCA__ARI__RECONNECT_MAX_MS", "500");
    env.open();
    let mut call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    env.turns(&mut call, main, 1);
    // The deletions of media and bridge are refused until they are given up; nothing else is wrong.
    wire.fail(Fault::Refused("DELETE /ari/channels/vca-media"));
    call.hang_up();
    let given_up = || env.metric("vca_asterisk_leaks_total", &[]).is_some_and(|leaks| leaks > 0.0);
    env.until(&mut call, ms(30_000), "the media channel is given up", given_up);
    assert!(!env.asterisk.channels().is_empty(), "nothing deletes it meanwhile");
    wire.mend();
    env.clears_away(ms(15_000));
    assert!(is_connected(&env), "{}", env.log());
    assert_eq!(env.metric("vca_ari_connects_total", &[]), Some(1.0), "without a new connection");
}

#[test]
fn a_call_of_a_killed_daemon_goes_on_at_vca_absent() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.open();
    let mut call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    env.turns(&mut call, main, 1);
    env.daemon().kill();
    env.open();
    let absent = || env.asterisk.log().contains("VCA does not serve this call");
    env.until(&mut call, ms(10_000), "the dialplan goes on with the caller", absent);
    assert_eq!(call.finish().ended_by, Some(Side::Agent));
    let (record, _) = env.last_call(main);
    assert_eq!(record.disposition.as_deref(), Some("interrupted"));
}

/// Two daemons with two application names: the dialplan tries the second where the first does not serve a call.
#[test]
fn daemons_take_turns_without_a_refused_call() {
    let Some((mut env, main)) = env(agent()) else { return };
    env.asterisk.edit("vca-extensions", "; same => n,Stasis(vca-b)", " same => n,Stasis(vca-b)");
    env.asterisk.cli("dialplan reload");
    let second = env.vca.beside().with("VCA__ARI__APP", "vca-b");
    env.open();
    let _second = second.serve().unwrap_or_else(|fault| panic!("{fault}"));
    let taken_by_second = || {
        http::get(second.admin_port(), "/metrics").is_some_and(|(_, text)| {
            text.lines().any(|line| line.starts_with("vca_calls_total{") && line.ends_with(" 1"))
        })
    };
    let mut first_call = env.answered(MAIN, exchange());
    env.turns(&mut first_call, main, 1);
    env.daemon().signal(Signal::TERM);
    let draining = || env.page("/readyz").is_some_and(|(status, _)| status == 503);
    env.until(&mut first_call, ms(5_000), "the first daemon drains", draining);
    assert!(!taken_by_second());
    let second_call = env.answered(MAIN, exchange());
    env.satisfied(second_call);
    assert!(wait::until_true(ms(5_000), taken_by_second), "the second daemon took the call");
    env.satisfied(first_call);
    let ended = env.daemon().wait_for_end(ms(10_000));
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{}", env.log());
    // The first daemon is absent, then back.
    env.satisfied(env.place(MAIN, exchange()));
    env.open();
    env.satisfied(env.place(MAIN, exchange()));
    env.last_call(main);
    assert_eq!(env.metric("vca_calls_total", &[]), Some(1.0), "the first daemon serves calls again");
    let calls = env.seed.calls(main);
    let completed = calls.iter().filter(|(call, _)| call.status == CallStatus::Completed).count();
    assert_eq!(completed, 4, "{calls:?}");
}
