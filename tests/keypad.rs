//! Keys that a caller presses, through a real Asterisk.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use vca::sim::{Codec, Step, key_tones};

use crate::life::servers::Database;
use crate::support::asterisk::Options;
use crate::support::phone::{self, Call, Plan};
use crate::support::receiver::{Answer, Receiver};
use crate::support::redis::Redis;
use crate::support::seed::{local_agent, local_agent_with};
use crate::support::sipp::Side;
use crate::support::test_env::TestEnv;
use crate::support::{self, clips, wait};

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
    /// A call that presses `keys` with pauses, so long `after` the answer.
    fn call(self, options: &Options, keys: &str, (after, pause): (Duration, Duration)) -> Plan {
        let press = |key| match self {
            Way::Events => vec![Step::Press(key), Step::Wait(pause)],
            Way::Info => vec![Step::Wait(pause + ms(100))],
            Way::InBand => vec![Step::Say(key_tones(key).expect("a key")), Step::Wait(pause)],
        };
        let script = [Step::Wait(after)].into_iter().chain(keys.chars().flat_map(press));
        let script = script.chain([listen(), Step::HangUp]).collect();
        let (trunk, info_keys) = match self {
            Way::Events => (None, vec![]),
            Way::Info => (Some(options.info_trunk), by_info(keys, after, pause + ms(100))),
            Way::InBand => (Some(options.inband_trunk), vec![]),
        };
        Plan { trunk, info_keys, ..Plan::new(MAIN, Codec::Ulaw, script) }
    }
}

fn by_info(keys: &str, after: Duration, pause: Duration) -> Vec<(Duration, char)> {
    keys.chars().enumerate().map(|(n, key)| (if n == 0 { after } else { pause }, key)).collect()
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
        let report =
            phone::call(&env.asterisk, way.call(env.asterisk.options(), "47#", (ms(1_500), ms(100))));
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

/// What a Redis server is told from now on, until it ends.
fn monitor(redis: &Redis) -> JoinHandle<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).expect("Redis");
    stream.write_all(b"MONITOR\r\n").expect("a command");
    std::thread::spawn(move || {
        let mut heard = Vec::new();
        // The connection may be reset with the server.
        let _ = stream.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard).into_owned()
    })
}

/// Three callers at once, each with another kind of keys, leave a masked PIN for the tenant's tool. Only the tenant's server has it.
#[test]
fn a_masked_pin_is_in_no_database_stream_event_or_log() {
    const PIN: &str = "60718293";
    let (Some(sandbox), Some(database)) = (support::sandbox(), Database::create()) else { return };
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), Some(&database.url()));
    let (redis, bank, events) = (Redis::start(&sandbox), Receiver::start(), Receiver::start());
    let told = monitor(&redis);
    bank.answers(Answer::Echo);
    let mut agent = local_agent();
    agent["keypad_menus"] = json!([{
        "name": "main", "prompt": "To check your account press one.",
        "choices": [{ "key": "1", "then": { "action": "collect", "max_digits": PIN.len(), "masked": true } }],
    }]);
    agent["http_tools"] = json!([{
        "name": "check_pin", "description": "x", "method": "POST", "url": bank.url("/pin"),
        "parameters": { "type": "object", "properties": { "pin": { "type": "string" } } },
    }]);
    let tenant = env.seed.tenant("menus", MAIN, None, agent);
    env.set_script(
        r#"
        phrases = ["what are your opening hours"]
        otherwise = "Pardon?"
        [[reply]]
        pattern = '^collect_digits: .*(?<entry>keypad-[0-9]+)'
        say = "One moment."
        call = { tool = "check_pin", pin = "$entry" }
        [[reply]]
        pattern = '^check_pin: .*\*\*\*'
        say = "Thank you."
        "#,
    );
    for (key, value) in [
        ("REDIS_URL", redis.url().as_str()),
        ("VCA__LOG__FILTER", "debug,vca=trace,vca::transcript=debug"),
        ("VCA__TOOLS__ALLOW_HTTP", "true"),
        ("VCA__TOOLS__ALLOW_PRIVATE_TARGETS", "true"),
        ("VCA__WEBHOOKS__ALLOW_HTTP", "true"),
        ("VCA__WEBHOOKS__ALLOW_PRIVATE_TARGETS", "true"),
        ("VCA__WEBHOOKS__POLL_INTERVAL_MS", "200"),
    ] {
        env.set(key, value);
    }
    let (url, kinds) = (events.url("/hooks"), "call.started,call.answered,call.ended,transcript.ready");
    let create = ["webhook", "create", "--tenant", "menus", "--url", &url, "--event", kinds];
    env.vca.cli_json(&create).unwrap_or_else(|fault| panic!("{fault}"));
    env.open();
    let plan = |way: Way| {
        let mut plan = way.call(env.asterisk.options(), &format!("1{PIN}"), (ms(4_000), ms(250)));
        // The tool runs between two sentences of the agent.
        let last = plan.script.len() - 2;
        plan.script[last] = Step::Listen { silent: ms(3_000), at_most: ms(20_000) };
        plan
    };
    let ways = [Way::Events, Way::Info, Way::InBand];
    let mut calls: Vec<Call> = ways.map(|way| Call::place(&env.asterisk, plan(way))).into();
    let mut step = |is_so: &dyn Fn(&Call) -> bool| {
        wait::until_true(ms(45_000), || {
            calls.iter_mut().for_each(|call| {
                call.step();
            });
            calls.iter().all(is_so)
        })
    };
    assert!(step(&|call| call.progress().answered().is_some()), "{}", env.log());
    let vca = env.vca.clone().with("VCA_API_KEY", &env.seed.operator_key());
    let live = vca.cli_json(&["call", "live"]).expect("calls in progress");
    let ids = live.as_array().into_iter().flatten().filter_map(|call| Some(call["id"].as_str()?.to_owned()));
    let watches: Vec<_> = ids
        .map(|id| {
            let vca = vca.clone();
            std::thread::spawn(move || vca.cli(&["call", "watch", &id, "--json"]))
        })
        .collect();
    assert_eq!(watches.len(), 3, "{live}");
    assert!(step(&|call| call.progress().is_over()), "a call does not end\n{}", env.log());
    let streams: String =
        watches.into_iter().map(|watch| watch.join().expect("no panic").expect("events")).collect();

    drop(calls);
    env.last_call(tenant);
    let said: Vec<String> = env.seed.calls(tenant).iter().map(|(_, turns)| format!("{turns:?}")).collect();
    assert!(said.iter().all(|turns| turns.contains("Thank you.")), "{said:?}\n{}", env.log());
    let pins: Vec<_> = bank.requests_to("/pin").iter().map(|request| request.json()).collect();
    assert_eq!(pins, vec![json!({ "pin": PIN }); 3]);
    let transcripts =
        || events.requests().iter().filter(|it| it.body.contains("transcript.ready")).count() == 3;
    assert!(wait::until_true(ms(10_000), transcripts), "{:?}", events.requests());
    let sent: String = events.requests().into_iter().map(|request| request.body).collect();
    let metrics = env.page("/metrics").map(|(_, text)| text).unwrap_or_default();
    let stored = database.text();
    drop(redis);
    let redis = told.join().expect("no panic");
    for (place, text, sign) in [
        ("database", stored, "collect_digits"),
        ("Redis", redis, "keypad-"),
        ("event stream", streams, "Thank you."),
        ("webhook", sent, "collect_digits"),
        ("metrics", metrics, "vca_"),
        ("log", env.log(), "Thank you."),
    ] {
        assert!(text.contains(sign), "the {place} has nothing of the calls: {text}");
        assert!(!text.contains(PIN), "the {place} has the PIN");
    }
}

const LONG_GREETING: &str = "Thank you for calling the bakery on the corner. For orders, press one. For opening hours, \
     press two. For anything else, tell me in your own words and I will see to it at once.";
