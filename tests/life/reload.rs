//! SIGHUP: what can change during calls changes, and a configuration with faults changes nothing.

use rustix::process::Signal;
use serde_json::json;
use vca::tenancy::CallStatus;

use super::{ANSWER, GREETING, MAIN, SCRIPT, WORDS, exchange, house, listen, ms, question};
use crate::support::house::House;
use vca::sim::Step;

fn configuration(house: &House, max_calls: &str, script: &str, filter: &str) -> String {
    let text = format!(
        "[calls]\nmax_calls = {max_calls}\n[llm.scripted]\nscript = \"{script}\"\n[log]\nfilter = \"{filter}\"\n"
    );
    house.write("vca.toml", &text)
}

#[test]
fn a_reload_takes_effect_while_a_call_goes_on() {
    let agent = json!({ "greeting": GREETING, "stt": "pocketsphinx", "llm": "scripted", "tts": "flite" });
    let Some((mut house, main)) = house(agent) else { return };
    let first = house.write("first.toml", SCRIPT);
    let second = house.write("second.toml", &SCRIPT.replace("nine to five", "ten to four"));
    let path = configuration(&house, "5", &first, "info");
    house.vca = house.vca.clone().without("VCA__LLM__SCRIPTED__SCRIPT").configured(&path);
    house.open();

    let mut call =
        house.answered(MAIN, vec![listen(), Step::Wait(ms(4_000)), question(), listen(), Step::HangUp]);
    house.turns(&mut call, main, 1);
    configuration(&house, "1", &second, "debug");
    house.daemon().signal(Signal::HUP);
    let logged = |house: &House, text: &str| house.log().contains(text);
    house.until(&mut call, ms(5_000), "a reload", || logged(&house, "configuration reloaded"));
    for key in ["calls.max_calls", "llm.scripted.script", "log.filter"] {
        assert!(logged(&house, key), "{key} is not listed\n{}", house.log());
    }
    assert_eq!(house.dial(MAIN, vec![]).status, Some(503), "the daemon is at its new limit");
    assert!(logged(&house, "\"level\":\"DEBUG\""), "{}", house.log());

    configuration(&house, "\"many\"", &first, "info");
    house.daemon().signal(Signal::HUP);
    house.until(&mut call, ms(5_000), "a refusal", || logged(&house, "configuration not reloaded"));
    assert_eq!(house.dial(MAIN, vec![]).status, Some(503), "the former limit is in use");

    configuration(&house, "5", &second, "info");
    house.daemon().signal(Signal::HUP);
    let reloads = || house.metric("vca_config_reloads_total", &["outcome=\"ok\""]) == Some(2.0);
    house.until(&mut call, ms(5_000), "a second reload", reloads);
    house.satisfied(house.place(MAIN, exchange()));
    house.satisfied(call);
    house.last_call(main);
    let completed =
        house.office.calls(main).into_iter().filter(|(call, _)| call.status == CallStatus::Completed);
    let mut said: Vec<String> = completed
        .flat_map(|(_, turns)| turns)
        .filter(|turn| turn.caller_text == WORDS)
        .map(|turn| turn.agent_text)
        .collect();
    said.sort();
    assert_eq!(said, [ANSWER, "From ten to four."], "the live call keeps its script\n{}", house.log());
}
