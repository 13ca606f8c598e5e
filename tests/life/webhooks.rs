//! The daemon is killed while webhooks are on their way: their receiver hears everything in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vca::sim::Step;

use super::{MAIN, agent, exchange, house, listen, ms};
use crate::support::house::House;
use crate::support::receiver::{Answer, Receiver};
use crate::support::wait;

/// Events that are put into the outbox beside those of calls.
const PINGS: usize = 30;
const EVENTS: &str = "call.started,call.answered,call.ended,transcript.ready";

/// A webhook of the only tenant's, by the command line: its id and its secret.
fn webhook(house: &House, url: &str) -> (String, String) {
    let create = ["webhook", "create", "--tenant", "main", "--url", url, "--event", EVENTS];
    let made = house.vca.cli_json(&create).unwrap_or_else(|fault| panic!("{fault}"));
    let text = |key: &str| made[key].as_str().expect("a text").to_owned();
    (text("id"), text("secret"))
}

fn log(house: &House, webhook: &str) -> Vec<Value> {
    let log = house.vca.cli_json(&["webhook", "deliveries", webhook, "--limit", "500"]);
    log.unwrap_or_else(|fault| panic!("{fault}")).as_array().expect("a list").clone()
}

#[test]
fn webhooks_outlive_a_daemon_that_is_killed() {
    let Some((mut house, main)) = house(agent()) else { return };
    let receiver = Receiver::start();
    for (key, value) in [
        ("ALLOW_HTTP", "true"),
        ("ALLOW_PRIVATE_TARGETS", "true"),
        ("TIMEOUT_MS", "3000"),
        ("POLL_INTERVAL_MS", "200"),
        ("MAX_CONCURRENT_PER_WEBHOOK", "3"),
    ] {
        house.set(&format!("VCA__WEBHOOKS__{key}"), value);
    }
    let (id, secret) = webhook(&house, &receiver.url("/hooks"));

    // Nothing is answered: some are under way, the others wait, and a call is in its midst.
    receiver.answers(Answer::Never);
    house.open();
    house.office.ping(main, &id, PINGS);
    let mut call = house.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    house.turns(&mut call, main, 1);
    let under_way = || receiver.requests().len() >= 3;
    house.until(&mut call, ms(10_000), "requests are under way", under_way);
    house.daemon().kill();
    let stalled: BTreeSet<String> = receiver.requests().into_iter().map(|request| request.id).collect();
    assert!(receiver.requests().iter().all(|request| !request.accepted));

    // The same in the midst of deliveries that succeed.
    receiver.answers(Answer::Late(ms(100)));
    house.open();
    call.finish();
    let some = || receiver.requests().iter().filter(|request| request.accepted).count() >= 8;
    assert!(wait::until_true(ms(20_000), some), "{:?}\n{}", log(&house, &id), house.log());
    house.daemon().kill();
    let left = log(&house, &id).iter().filter(|delivery| delivery["status"] == "pending").count();
    assert!(left > 0, "the daemon was killed too late to prove anything");

    receiver.answers(Answer::Status(200));
    house.open();
    house.satisfied(house.place(MAIN, exchange()));
    house.last_call(main);
    let events = PINGS + 8;
    let all_delivered = || {
        let log = log(&house, &id);
        log.len() == events && log.iter().all(|delivery| delivery["status"] == "delivered")
    };
    assert!(wait::until_true(ms(40_000), all_delivered), "{:?}\n{}", log(&house, &id), house.log());

    let requests = receiver.requests();
    let recorded: BTreeSet<String> =
        log(&house, &id).iter().map(|it| it["event_id"].as_str().expect("an id").to_owned()).collect();
    let accepted: BTreeSet<String> =
        requests.iter().filter(|request| request.accepted).map(|request| request.id.clone()).collect();
    assert_eq!(accepted, recorded, "every event was accepted, and nothing else");
    assert!(stalled.is_subset(&accepted), "what was under way came again with the same id");
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
    assert!(!house.log().contains("whsec_"));
}
