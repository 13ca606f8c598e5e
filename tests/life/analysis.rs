//! The analysis of a real call.

use serde_json::json;
use vca::sim::Step;

use super::{MAIN, env, listen, ms, question};
use crate::support::receiver::Receiver;
use crate::support::vendor::{KEY, Vendor};
use crate::support::wait;

#[test]
fn a_call_is_analysed_and_its_webhook_has_result_and_cost() {
    let agent = json!({
        "greeting": "Welcome.", "analysis": { "enabled": true, "summary": true },
        "stt": "openai", "llm": "openai", "tts": "flite",
    });
    let Some((mut env, main)) = env(agent) else { return };
    let (vendor, receiver) = (Vendor::start(), Receiver::start());
    for (key, value) in [
        ("OPENAI_BASE_URL", vendor.base_url().as_str()),
        ("OPENAI_API_KEY", KEY),
        ("VCA__ANALYSIS__POLL_INTERVAL_MS", "200"),
        ("VCA__WEBHOOKS__POLL_INTERVAL_MS", "200"),
        ("VCA__WEBHOOKS__ALLOW_HTTP", "true"),
        ("VCA__WEBHOOKS__ALLOW_PRIVATE_TARGETS", "true"),
    ] {
        env.set(key, value);
    }
    let url = receiver.url("/hooks");
    let create = ["webhook", "create", "--tenant", "main", "--url", &url, "--event", "call.analyzed"];
    env.vca.cli_json(&create).unwrap_or_else(|fault| panic!("{fault}"));
    env.open();
    env.satisfied(env.place(MAIN, vec![listen(), question(), listen(), Step::HangUp]));
    let (call, _) = env.last_call(main);
    let arrived = wait::until_true(ms(10_000), || !receiver.requests_to("/hooks").is_empty());
    assert!(arrived, "no event\n{}", env.log());

    let event = receiver.requests_to("/hooks").remove(0).json();
    assert_eq!((&event["type"], &event["data"]["call_id"]), (&json!("call.analyzed"), &json!(call.id)));
    let analysis = &event["data"]["analysis"];
    assert_eq!(analysis["status"], "done", "{event:#}");
    assert_eq!(analysis["summary"], "The caller asked when the shop is open.");
    let (usage, cost) = (&analysis["usage"], &event["data"]["cost"]);
    assert!(usage.as_array().is_some_and(|usage| !usage.is_empty()), "{event:#}");
    assert_eq!((&cost["currency"], &cost["total_micros"]), (&json!("EUR"), &json!(0)), "nothing has a price");
    let (call, _) = env.last_call(main);
    assert_eq!(call.analysis.map(|analysis| json!(analysis.status)), Some(json!("done")));
}
