//! Keys that a caller presses, through a real Asterisk.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vca::sim::{Codec, Step, key_tones};

use crate::support;
use crate::support::asterisk::Options;
use crate::support::clips;
use crate::support::phone::{self, Plan};
use crate::support::seed::{local_agent, local_agent_with};
use crate::support::sipp::Side;
use crate::support::test_env::TestEnv;

const MAIN: &str = "+49305550100";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn listen() -> Step {
    Step::Listen { silent: ms(700), at_most: ms(12_000) }
}

/// Keys reach the model's prompt and the transcript as the profile says, and never the log.
#[test]
fn keys_are_a_turn_and_stay_out_of_the_log() {
    const MASKED: &str = "+49305550107";
    let Some(sandbox) = support::sandbox() else { return };
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let shown = env.seed.tenant("shown", MAIN, None, local_agent());
    let masking = local_agent_with(json!({ "dtmf": "masked" }));
    let masked = env.seed.tenant("masked", MASKED, None, masking);
    env.set_script(
        r#"
        phrases = ["what are your opening hours"]
        otherwise = "Pardon?"
        [[reply]]
        pattern = '\[pressed 4 7 #\]'
        say = "I have your number."
        [[reply]]
        pattern = '\[pressed 3 keys\]'
        say = "I have three keys."
        "#,
    );
    env.set("VCA__LOG__FILTER", "debug,vca::transcript=debug");
    env.open();
    let pause = || Step::Wait(ms(100));
    let press = |key| [Step::Press(key), pause()];
    let script = || {
        let keys = ['4', '7', '#'].into_iter().flat_map(press);
        [listen()].into_iter().chain(keys).chain([listen(), Step::HangUp]).collect::<Vec<_>>()
    };
    for (did, tenant, entry, response) in [
        (MAIN, shown, "[pressed 4 7 #]", "I have your number."),
        (MASKED, masked, "[pressed 3 keys]", "I have three keys."),
    ] {
        let report = env.dial(did, script());
        let missed = &report.conversation.missed;
        let log = env.log();
        assert!(missed.is_empty(), "{missed:?}\n{log}");
        let (_, turns) = env.last_call(tenant);
        let keys = turns.iter().find(|turn| turn.caller_text.starts_with('[')).expect("a turn of keys");
        assert_eq!((keys.caller_text.as_str(), keys.agent_text.as_str()), (entry, response), "{log}");
        let log = log + &env.log();
        assert!(log.contains("[pressed 3 keys]"), "the log has the number of keys: {log}");
        assert!(!log.contains("4 7 #"), "the log has no keys: {log}");
    }
}

/// How a telephone or gateway reports a pressed key.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// RFC 4733.
    Events,
    /// SIP INFO with `application/dtmf-relay`.
    Info,
    /// Tones in the audio (ITU-T Q.23).
    InBand,
}

impl Way {
    /// A call that presses `keys` while the agent speaks, one and a half seconds after the answer.
    fn call(self, options: &Options, keys: &str) -> Plan {
        let press = |key| match self {
            Way::Events => vec![Step::Press(key), Step::Wait(ms(100))],
            Way::Info => vec![],
            Way::InBand => vec![Step::Say(key_tones(key).expect("a key")), Step::Wait(ms(100))],
        };
        let wait = if matches!(self, Way::Info) { ms(2_100) } else { ms(1_500) };
        let script = [Step::Wait(wait)].into_iter().chain(keys.chars().flat_map(press));
        let script = script.chain([listen(), Step::HangUp]).collect();
        let (trunk, info_keys) = match self {
            Way::Events => (None, vec![]),
            Way::Info => (Some(options.info_trunk), by_info(keys)),
            Way::InBand => (Some(options.inband_trunk), vec![]),
        };
        Plan { trunk, info_keys, ..Plan::new(MAIN, Codec::Ulaw, script) }
    }
}

fn by_info(keys: &str) -> Vec<(Duration, char)> {
    keys.chars().enumerate().map(|(n, key)| (ms(if n == 0 { 1_500 } else { 200 }), key)).collect()
}

/// The keys interrupt the agent, and are a turn of the caller.
#[test]
fn keys_arrive_as_events_by_info_and_in_band_while_the_agent_speaks() {
    let Some(sandbox) = support::sandbox() else { return };
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let mut agent = local_agent();
    agent["greeting"] = json!(LONG_GREETING);
    let tenant = env.seed.tenant("keypad", MAIN, None, agent);
    env.set_script(
        r#"
        phrases = ["what are your opening hours"]
        otherwise = "Pardon?"
        [[reply]]
        pattern = '\[pressed 4 7 #\]'
        say = "I have your number."
        "#,
    );
    env.open();
    for way in [Way::Events, Way::Info, Way::InBand] {
        let report = phone::call(&env.asterisk, way.call(env.asterisk.options(), "47#"));
        let missed = &report.conversation.missed;
        assert!(missed.is_empty(), "{way:?}: {missed:?}\n{}", env.log());
        let (_, turns) = env.last_call(tenant);
        let said: Vec<_> =
            turns.iter().map(|turn| (turn.caller_text.as_str(), turn.agent_text.as_str())).collect();
        let [("", greeting), keys] = said.as_slice() else { panic!("{way:?}: {said:?}\n{}", env.log()) };
        assert!(
            LONG_GREETING.starts_with(greeting) && greeting.len() < LONG_GREETING.len(),
            "{way:?}: {greeting}"
        );
        assert_eq!(*keys, ("[pressed 4 7 #]", "I have your number."), "{way:?}");
    }
}

/// The main menu, another one by a key over its prompt, a masked PIN for the agent, and the main menu again, where words choose.
#[test]
fn a_caller_navigates_menus_and_leaves_a_pin_that_is_nowhere_in_clear() {
    const PIN: &str = "60718293";
    let Some(sandbox) = support::sandbox() else { return };
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let mut agent = local_agent();
    agent["keypad_menu_key"] = json!("*");
    agent["keypad_menus"] = json!([
        {
            "name": "main",
            "prompt": "For our opening hours press one, for your order press two, and for anything else press nine.",
            "choices": [
                { "key": "1", "words": ["opening hours"], "say": "We open at six.", "then": { "action": "end_call" } },
                { "key": "2", "then": { "action": "menu", "menu": "orders" } },
            ],
        },
        { "name": "orders", "prompt": "To change an order press one. To go back press the star key.", "choices": [
            { "key": "1", "say": "Please enter your number.",
              "then": { "action": "collect", "max_digits": PIN.len(), "masked": true } },
        ] },
    ]);
    let tenant = env.seed.tenant("menus", MAIN, None, agent);
    env.set_script(
        r#"
        phrases = ["what are your opening hours"]
        otherwise = "Pardon?"
        [[reply]]
        pattern = '^collect_digits: .*"count":8.*keypad-[0-9]+'
        say = "Thank you."
        "#,
    );
    env.set("VCA__LOG__FILTER", "debug,vca=trace");
    env.open();
    let press = |key| [Step::Press(key), Step::Wait(ms(300))];
    let keys = "21".chars().chain(PIN.chars()).flat_map(press);
    let question = Step::Say(clips::flite("what are your opening hours", "slt"));
    // A key within five seconds of the PIN may belong to it.
    let main_menu = [listen(), Step::Wait(ms(4_500)), Step::Press('*')];
    let script = [Step::Wait(ms(2_500))].into_iter().chain(keys).chain(main_menu);
    let report = env.dial(MAIN, script.chain([listen(), question, listen()]).collect());
    let log = env.log();
    assert_eq!(report.ended_by, Some(Side::Agent), "{log}");
    let (call, turns) = env.last_call(tenant);
    let said: String =
        turns.iter().map(|turn| format!("{}|{}\n", turn.caller_text, turn.agent_text)).collect();
    assert_eq!(call.disposition.as_deref(), Some("agent_hung_up"), "{said}\n{log}");
    for words in ["[pressed 2]|", "[pressed 1]|", "Thank you.", "[pressed *]|", "|We open at six."] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let used: Vec<_> = turns.iter().flat_map(|turn| &turn.tools).map(|it| it.name.as_str()).collect();
    assert_eq!(used, ["collect_digits"], "{said}");
    let database =
        env.files().into_iter().map(|file| String::from_utf8_lossy(&file).into_owned()).collect::<String>();
    for (place, text) in [("log", log + &env.log()), ("database", database)] {
        assert!(!text.contains(PIN), "the {place} has the PIN");
    }
}

const LONG_GREETING: &str = "Thank you for calling the bakery on the corner. For orders, press one. For opening hours, \
     press two. For anything else, tell me in your own words and I will see to it at once.";
