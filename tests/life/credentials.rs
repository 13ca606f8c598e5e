//! Passwords of Asterisk, Redis and PostgreSQL change at their servers, then by a reload: calls go on.

use std::net::SocketAddr;

use serde_json::json;
use vca::sim::Step;

use super::reload::{is_refused, reload, reloads, serves, with_secret};
use super::servers::{Database, ask};
use super::{MAIN, SCRIPT, agent, house, listen, ms, program, question};
use crate::support::house::House;
use crate::support::redis::Redis;
use crate::support::relay::{Fault, Relay};
use crate::support::{self, wait};

#[test]
fn asterisks_new_password_is_taken_up_while_a_call_goes_on() {
    let Some((mut house, main)) = house(agent()) else { return };
    let address = house.asterisk.ari_url().trim_start_matches("http://").parse().expect("an address");
    let wire = Relay::to_http(address);
    house.set("ARI_URL", &format!("http://127.0.0.1:{}", wire.port()));
    // A probe between the two changes would be refused.
    house.set("VCA__ARI__PROBE_INTERVAL_MS", "60000");
    let password = house.asterisk.ari_password().to_owned();
    with_secret(&mut house, "ARI_PASSWORD", &password);
    let mut call =
        house.answered(MAIN, vec![listen(), Step::Wait(ms(4_000)), question(), listen(), Step::HangUp]);
    house.turns(&mut call, main, 1);

    // A password that Asterisk does not know is not taken up.
    house.write("secret", "mistyped");
    is_refused(&house, "ari.password");
    house.asterisk.set_ari_password("renewed");
    house.write("secret", "renewed");
    reloads(&house, &["ari.password"]);
    house.satisfied(call);
    serves(&house, main);
    assert_eq!(
        house.metric("vca_ari_connects_total", &[]),
        Some(1.0),
        "the WebSocket stayed open\n{}",
        house.log()
    );

    // The next WebSocket is opened with it, too.
    let is_connected = |expected: f64| house.metric("vca_ari_connected", &[]) == Some(expected);
    wire.fail(Fault::Cut);
    assert!(wait::until_true(ms(5_000), || is_connected(0.0)), "{}", house.log());
    wire.mend();
    assert!(wait::until_true(ms(10_000), || is_connected(1.0)), "{}", house.log());
    serves(&house, main);
    let log = house.log();
    assert!(!log.contains(&password) && !log.contains("renewed"), "{log}");
}

#[test]
fn redis_gets_another_password_during_a_call() {
    let Some((mut house, main)) = house(agent()) else { return };
    let redis = Redis::start(house.asterisk.sandbox());
    let server: SocketAddr = redis.url().trim_start_matches("redis://").parse().expect("an address");
    let url = |password: &str| format!("redis://:{password}@{server}/0");
    assert_eq!(ask(server, &["CONFIG", "SET", "requirepass", "first"]).as_deref(), Some("+OK"));
    with_secret(&mut house, "REDIS_URL", &url("first"));
    let mut call = house
        .answered(MAIN, vec![listen(), Step::Wait(ms(3_000)), question(), listen(), Step::Wait(ms(60_000))]);
    let (record, _) = house.turns(&mut call, main, 1);
    let key = format!("call:{}:turns", record.id);
    let before = redis.command(&["-a", "first", "GET", &key]);

    house.write("secret", &url("mistyped"));
    is_refused(&house, "state.redis_url");
    redis.command(&["-a", "first", "CONFIG", "SET", "requirepass", "second"]);
    house.write("secret", &url("second"));
    reloads(&house, &["state.redis_url"]);
    // Connections with the former password are closed.
    redis.command(&["-a", "second", "CLIENT", "KILL", "TYPE", "normal"]);
    house.turns(&mut call, main, 2);
    let after = || redis.command(&["-a", "second", "GET", &key]);
    house.until(&mut call, ms(5_000), "the second turn in Redis", || after() > before);
    call.hang_up();
    house.last_call(main);
}

#[test]
fn another_redis_has_the_state_of_a_live_call_after_a_reload() {
    let Some((mut house, main)) = house(agent()) else { return };
    let (former, other) = (Redis::start(house.asterisk.sandbox()), Redis::start(house.asterisk.sandbox()));
    with_secret(&mut house, "REDIS_URL", &former.url());
    let mut call = house.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    let (record, _) = house.turns(&mut call, main, 1);
    house.write("secret", &other.url());
    reloads(&house, &["state.redis_url"]);
    let exists = || other.command(&["EXISTS", &format!("call:{}:state", record.id)]);
    house.until(&mut call, ms(5_000), "the call in the other Redis", || exists() == "1");
    call.hang_up();
    house.last_call(main);
    assert!(wait::until_true(ms(5_000), || exists() == "0"), "its end reached the other Redis");
}

#[test]
fn the_databases_new_password_is_used_by_new_connections() {
    let Some(sandbox) = support::sandbox() else { return };
    let Some(database) = Database::create() else { return };
    let mut house = House::build(&sandbox, program(), Some(&database.url()));
    house.set_script(SCRIPT);
    let main = house.office.tenant("main", MAIN, None, agent());
    database.create_role("first");
    with_secret(&mut house, "DATABASE_URL", &database.url_of_role("first"));
    serves(&house, main);

    house.write("secret", &database.url_of_role("mistyped"));
    is_refused(&house, "database.url");
    database.alter_role("second");
    house.write("secret", &database.url_of_role("second"));
    reloads(&house, &["database.url"]);
    database.disconnect_role();
    serves(&house, main);
    assert_eq!(house.metric("vca_ledger_pending", &[]), Some(0.0));

    // Another database takes a restart, and is named again at the next reload.
    for _ in 0..2 {
        house.write(
            "secret",
            &database.url_of_role("second").replace(&format!("/{}", database.name), "/other"),
        );
        let (code, report) = reload(&house);
        assert_eq!((code, &report["after_restart"]), (Some(0), &json!(["database.url"])), "{report}");
    }
    serves(&house, main);
}
