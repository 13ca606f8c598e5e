//! The daemon is killed while webhooks are on their way: their receiver hears everything in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vca::sim::Step;

use super::{MAIN, agent, env, exchange, listen, ms};
use crate::support::receiver::{Answer, Receiver};
use crate::support::test_env::TestEnv;
use crate::support::wait;

/// Events that are put into the outbox beside those of calls.
const PINGS: usize = 30;
const EVENTS: &str = "call.started,call.answered,call.ended,transcript.ready";

/// A webhook of the only tenant's, by the command line: its id and its secret.
fn webhook(env: &TestEnv, url: &str) -> (String, String) {
    let create = ["webhook", "create", "--tenant", "main", "--url", url, "--event", EVENTS];
    let made = env.vca.cli_json(&create).unwrap_or_else(|fault| panic!("{fault}"));
    let text = |key: &str| made[key].as_str().expect("a text").to_owned();
    (text("id"), text("secret"))
}

fn log(env: &TestEnv, webhook: &str) -> Vec<Value> {
    let log = env.vca.cli_json(&["webhook", "deliveries", webhook, "--limit", "500"]);
    log.unwrap_or_else(|fault| panic!("{fault}")).as_array().expect("a list").clone()
}

#[test]
fn webhooks_outlive_a_daemon_that_is_killed() {
    let Some((mut env, main)) = env(agent()) else { return };
    let receiver = Receiver::start();
    for (key, value) in [
        ("ALLOW_HTTP", "true"),
        ("ALLOW_PRIVATE_TARGETS", "true"),
        ("TIMEOUT_MS", "3000"),
        ("POLL_INTERVAL_MS", "200"),
        ("MAX_CONCURRENT_PER_WEBHOOK", "3"),
    ] {
        env.set(&format!("VCA__WEBHOOKS__{key}"), value);
    }
    let (id, secret) = webhook(&env, &receiver.url("/hooks"));

    // Nothing is answered: some are in progress, the others wait, and a call is in its midst.
    receiver.answers(Answer::Never);
    env.open();
    env.seed.ping(main, &id, PINGS);
    let mut call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    env.turns(&mut call, main, 1);
    let under_way = || receiver.requests().len() >= 3;
    env.until(&mut call, ms(10_000), "requests are in progress", under_way);
    env.daemon().kill();
    let stalled: BTreeSet<String> = receiver.requests().into_iter().map(|request| request.id).collect();
    assert!(receiver.requests().iter().all(|request| !request.accepted));

    // The same in the midst of deliveries that succeed, however long the start takes.
    receiver.answers(Answer::LateAtMost(ms(100), 8));
    env.open();
    call.finish();
    let some = || receiver.requests().iter().filter(|request| request.accepted).count() >= 8;
    assert!(wait::until_true(ms(20_000), some), "{:?}\n{}", log(&env, &id), env.log());
    env.daemon().kill();
    let left = log(&env, &id).iter().filter(|delivery| delivery["status"] == "pending").count();
    assert!(left > 0, "nothing waits: {:?}", log(&env, &id));

    receiver.answers(Answer::Status(200));
    env.open();
    env.satisfied(env.place(MAIN, exchange()));
    env.last_call(main);
    let events = PINGS + 8;
    let all_delivered = || {
        let log = log(&env, &id);
        log.len() == events && log.iter().all(|delivery| delivery["status"] == "delivered")
    };
    assert!(wait::until_true(ms(40_000), all_delivered), "{:?}\n{}", log(&env, &id), env.log());

    let requests = receiver.requests();
    let recorded: BTreeSet<String> =
        log(&env, &id).iter().map(|it| it["event_id"].as_str().expect("an id").to_owned()).collect();
    let accepted: BTreeSet<String> =
        requests.iter().filter(|request| request.accepted).map(|request| request.id.clone()).collect();
    assert_eq!(accepted, recorded, "every event was accepted, and nothing else");
    assert!(stalled.is_subset(&accepted), "what was in progress came again with the same id");
    assert!(requests.len() >= events + stalled.len());
    assert!(requests.iter().all(|request| request.is_signed_with(&secret)));
    let mut bodies = BTreeMap::new();
    for request in &requests {
        assert_eq!(bodies.entry(&request.id).or_insert(&request.body), &&request.body, "{}", request.id);
    }
    let ended = |disposition: &str| {
        let told = |body: &&&String| {
            let body: Value = serde_json::from_str(body).expect("JSON");
            body["type"] == "call.ended" && body["data"]["disposition"] == disposition
        };
        bodies.values().filter(told).count()
    };
    assert_eq!((ended("interrupted"), ended("caller_hung_up")), (1, 1));
    assert!(!env.log().contains("whsec_"));
}
