//! Passwords of Asterisk, Redis and PostgreSQL change at their servers, then by a reload: calls go on.

use std::net::SocketAddr;

use serde_json::json;
use vca::sim::Step;

use super::reload::{is_refused, reload, reloads, serves, with_secret};
use super::servers::{Database, ask};
use super::{MAIN, SCRIPT, agent, env, listen, ms, program, question};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::redis::Redis;
use crate::support::test_env::TestEnv;
use crate::support::{self, wait};

#[test]
fn asterisks_new_password_is_taken_up_while_a_call_goes_on() {
    let Some((mut env, main)) = env(agent()) else { return };
    let address = env.asterisk.ari_url().trim_start_matches("http://").parse().expect("an address");
    let wire = FaultProxy::to_http(address);
    env.set("ARI_URL", &format!("http://127.0.0.1:{}", wire.port()));
    // A probe between the two changes would be refused.
    env.set("VCA__ARI__PROBE_INTERVAL_MS", "60000");
    let password = env.asterisk.ari_password().to_owned();
    with_secret(&mut env, "ARI_PASSWORD", &password);
    let mut call =
        env.answered(MAIN, vec![listen(), Step::Wait(ms(4_000)), question(), listen(), Step::HangUp]);
    env.turns(&mut call, main, 1);

    // A password that Asterisk does not know is not taken up.
    env.write("secret", "mistyped");
    is_refused(&env, "ari.password");
    env.asterisk.set_ari_password("renewed");
    env.write("secret", "renewed");
    reloads(&env, &["ari.password"]);
    env.satisfied(call);
    serves(&env, main);
    assert_eq!(
        env.metric("vca_ari_connects_total", &[]),
        Some(1.0),
        "the WebSocket stayed open\n{}",
        env.log()
    );

    // The next WebSocket is opened with it, too.
    let is_connected = |expected: f64| env.metric("vca_ari_connected", &[]) == Some(expected);
    wire.fail(Fault::Cut);
    assert!(wait::until_true(ms(5_000), || is_connected(0.0)), "{}", env.log());
    wire.mend();
    assert!(wait::until_true(ms(10_000), || is_connected(1.0)), "{}", env.log());
    serves(&env, main);
    let log = env.log();
    assert!(!log.contains(&password) && !log.contains("renewed"), "{log}");
}

#[test]
fn redis_gets_another_password_during_a_call() {
    let Some((mut env, main)) = env(agent()) else { return };
    let redis = Redis::start(env.asterisk.sandbox());
    let server: SocketAddr = redis.url().trim_start_matches("redis://").parse().expect("an address");
    let url = |password: &str| format!("redis://:{password}@{server}/0");
    assert_eq!(ask(server, &["CONFIG", "SET", "requirepass", "first"]).as_deref(), Some("+OK"));
    with_secret(&mut env, "REDIS_URL", &url("first"));
    let mut call = env
        .answered(MAIN, vec![listen(), Step::Wait(ms(3_000)), question(), listen(), Step::Wait(ms(60_000))]);
    let (record, _) = env.turns(&mut call, main, 1);
    let key = format!("call:{}:turns", record.id);
    let saved = |password: &str| redis.command(&["-a", password, "GET", &key]).trim().parse::<u32>().ok();
    // The greeting is turn 0, the answer to the question turn 1.
    env.until(&mut call, ms(5_000), "the greeting in Redis", || saved("first") == Some(0));

    env.write("secret", &url("mistyped"));
    is_refused(&env, "state.redis_url");
    redis.command(&["-a", "first", "CONFIG", "SET", "requirepass", "second"]);
    env.write("secret", &url("second"));
    reloads(&env, &["state.redis_url"]);
    // Connections with the former password are closed.
    redis.command(&["-a", "second", "CLIENT", "KILL", "TYPE", "normal"]);
    env.turns(&mut call, main, 2);
    env.until(&mut call, ms(5_000), "the answer in Redis", || saved("second") == Some(1));
    call.hang_up();
    env.last_call(main);
}

#[test]
fn another_redis_has_the_state_of_a_live_call_after_a_reload() {
    let Some((mut env, main)) = env(agent()) else { return };
    let (former, other) = (Redis::start(env.asterisk.sandbox()), Redis::start(env.asterisk.sandbox()));
    with_secret(&mut env, "REDIS_URL", &former.url());
    let mut call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    let (record, _) = env.turns(&mut call, main, 1);
    env.write("secret", &other.url());
    reloads(&env, &["state.redis_url"]);
    let exists = || other.command(&["EXISTS", &format!("call:{}:state", record.id)]);
    env.until(&mut call, ms(5_000), "the call in the other Redis", || exists() == "1");
    call.hang_up();
    env.last_call(main);
    assert!(wait::until_true(ms(5_000), || exists() == "0"), "its end reached the other Redis");
}

#[test]
fn the_databases_new_password_is_used_by_new_connections() {
    let Some(sandbox) = support::sandbox() else { return };
    let Some(database) = Database::create() else { return };
    let mut env = TestEnv::build(&sandbox, program(), Some(&database.url()));
    env.set_script(SCRIPT);
    let main = env.seed.tenant("main", MAIN, None, agent());
    database.create_role("first");
    with_secret(&mut env, "DATABASE_URL", &database.url_of_role("first"));
    serves(&env, main);

    env.write("secret", &database.url_of_role("mistyped"));
    is_refused(&env, "database.url");
    database.alter_role("second");
    env.write("secret", &database.url_of_role("second"));
    reloads(&env, &["database.url"]);
    database.disconnect_role();
    serves(&env, main);
    assert_eq!(env.metric("vca_ledger_pending", &[]), Some(0.0));

    // Another database takes a restart, and is named again at the next reload.
    for _ in 0..2 {
        env.write(
            "secret",
            &database.url_of_role("second").replace(&format!("/{}", database.name), "/other"),
        );
        let (code, report) = reload(&env);
        assert_eq!((code, &report["after_restart"]), (Some(0), &json!(["database.url"])), "{report}");
    }
    serves(&env, main);
}
