//! Tools of tenants' servers over real calls: slow, failing, in the background, interrupted and retracted.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use vca::sim::Step;
use vca::tenancy::{CallTurn, ToolRunOutcome};

use crate::support::phone::Call;
use crate::support::receiver::{Answer, Receiver};
use crate::support::seed::local_agent;
use crate::support::test_env::TestEnv;
use crate::support::vendor::{KEY, Kind, Vendor};
use crate::support::{self, clips, wait};

const FAILING: &str = "+49305550731";
const BACKGROUND: &str = "+49305550732";
const INTERRUPTED: &str = "+49305550733";
const RETRACTED: &str = "+49305550734";

const SCRIPT: &str = r#"
    phrases = ["what are your opening hours", "where is my order"]
    otherwise = "Pardon?"
    [[reply]]
    pattern = 'opening hours'
    say = "Let me see."
    call = { tool = "look_up" }
    [[reply]]
    pattern = 'where is my order'
    say = "It is on its way."
    [[reply]]
    pattern = '^look_up: .*started'
    say = "I will tell you."
    [[reply]]
    pattern = '^look_up: .*booked'
    say = "It is booked."
    [[reply]]
    pattern = '^look_up: .*200'
    say = "Found."
    call = { tool = "moved" }
    [[reply]]
    pattern = '^moved: .*redirects'
    say = "It has moved."
    call = { tool = "senseless" }
    [[reply]]
    pattern = '^senseless: '
    say = "It makes no sense."
    call = { tool = "endless" }
    [[reply]]
    pattern = '^endless: '
    say = "It is too long."
"#;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn listen() -> Step {
    Step::Listen { silent: ms(1_000), at_most: ms(12_000) }
}

fn say(words: &str) -> Step {
    Step::Say(clips::flite(words, "slt"))
}

fn question() -> Step {
    say("what are your opening hours")
}

/// An HTTP tool, with other settings.
fn tool(name: &str, method: &str, url: &str, other: &Value) -> Value {
    let mut tool = json!({
        "name": name, "description": "x", "method": method, "url": url, "timeout_ms": 8_000,
        "parameters": { "type": "object", "properties": {} },
    });
    for (key, value) in other.as_object().into_iter().flatten() {
        tool[key] = value.clone();
    }
    tool
}

fn agent(http_tools: Vec<Value>) -> Value {
    let mut agent = local_agent();
    agent["greeting"] = "Welcome.".into();
    agent["http_tools"] = http_tools.into();
    agent
}

fn test_env() -> Option<TestEnv> {
    let mut env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    env.set("VCA__TOOLS__ALLOW_HTTP", "true");
    env.set("VCA__TOOLS__ALLOW_PRIVATE_TARGETS", "true");
    Some(env)
}

/// The address of a server that answers no HTTP.
fn senseless_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(b"senseless\r\n\r\n");
        }
    });
    url
}

fn receiver(answer: Answer) -> Receiver {
    let receiver = Receiver::start();
    receiver.answers(answer);
    receiver
}

/// Sees calls that run at the same time to their ends.
fn finish(env: &TestEnv, mut calls: Vec<Call>) {
    let over = wait::until_true(ms(60_000), || {
        calls.iter_mut().for_each(|call| {
            call.step();
        });
        calls.iter().all(|call| call.progress().is_over())
    });
    assert!(over, "a call does not end\n{}", env.log());
    drop(calls);
    env.clears_away(ms(10_000));
}

/// Each call of a tool, and its outcome.
fn outcomes(turns: &[CallTurn]) -> Vec<(&str, ToolRunOutcome)> {
    turns.iter().flat_map(|turn| &turn.tools).map(|run| (run.name.as_str(), run.outcome)).collect()
}

/// Three calls at once: of a tool that is slow and others that fail, of one in the background, and of one that the caller interrupts.
#[test]
fn a_call_goes_on_whatever_its_tools_do() {
    let Some(mut env) = test_env() else { return };
    let slow = receiver(Answer::Late(ms(2_500)));
    let moved = receiver(Answer::Status(307));
    let endless = receiver(Answer::Json(200, String::leak(format!("\"{}\"", "x".repeat(70_000)))));
    let booking = receiver(Answer::LateJson(ms(2_500), r#"{"state":"booked"}"#));
    let interrupted = receiver(Answer::Late(ms(6_000)));
    let words = json!({ "say_delayed": "I am still looking.", "say_delayed_after_ms": 600 });
    let failing = env.seed.tenant(
        "failing",
        FAILING,
        None,
        agent(vec![
            tool("look_up", "GET", &slow.url("/"), &words),
            tool("moved", "GET", &moved.url("/"), &json!({})),
            tool("senseless", "GET", &senseless_server(), &json!({})),
            tool("endless", "GET", &endless.url("/"), &json!({})),
        ]),
    );
    let book = tool("look_up", "POST", &booking.url("/"), &json!({ "wait": false }));
    let background = env.seed.tenant("background", BACKGROUND, None, agent(vec![book]));
    let look_up = tool("look_up", "GET", &interrupted.url("/"), &json!({}));
    let patient = env.seed.tenant("interrupted", INTERRUPTED, None, agent(vec![look_up]));
    env.set_script(SCRIPT);
    env.open();
    let once = |rest: Step| vec![listen(), question(), rest, Step::HangUp];
    let interrupts = vec![
        listen(),
        question(),
        listen(),
        say("where is my order"),
        listen(),
        Step::Wait(ms(3_000)),
        Step::HangUp,
    ];
    let calls = [
        (FAILING, once(Step::Wait(ms(11_000)))),
        (BACKGROUND, once(Step::Wait(ms(8_000)))),
        (INTERRUPTED, interrupts),
    ];
    finish(&env, calls.into_iter().map(|(did, script)| env.place(did, script)).collect());

    let (_, turns) = env.last_call(failing);
    let expected = [
        ("look_up", ToolRunOutcome::Succeeded),
        ("moved", ToolRunOutcome::Failed),
        ("senseless", ToolRunOutcome::Failed),
        ("endless", ToolRunOutcome::Failed),
    ];
    assert_eq!(outcomes(&turns), expected, "{turns:?}\n{}", env.log());
    let said = &turns[1].agent_text;
    assert_eq!(
        said,
        "Let me see. I am still looking. Found. It has moved. It makes no sense. It is too long.",
        "{}",
        env.log()
    );
    assert_eq!((moved.requests().len(), endless.requests().len()), (1, 1));

    let (_, turns) = env.last_call(background);
    let said: Vec<_> =
        turns.iter().map(|turn| (turn.caller_text.as_str(), turn.agent_text.as_str())).collect();
    let expected = [
        ("", "Welcome."),
        ("what are your opening hours", "Let me see. I will tell you."),
        ("", "It is booked."),
    ];
    assert_eq!(said, expected, "{}", env.log());
    assert_eq!(outcomes(&turns), [("look_up", ToolRunOutcome::Succeeded)]);
    assert_eq!(booking.requests().len(), 1);

    let (_, turns) = env.last_call(patient);
    let (asked, answered) = (&turns[1], &turns[2]);
    assert!(asked.interrupted && asked.agent_text == "Let me see.", "{turns:?}\n{}", env.log());
    let said = (answered.caller_text.as_str(), answered.agent_text.as_str());
    assert_eq!(said, ("where is my order", "It is on its way."), "{}", env.log());
    assert_eq!(outcomes(&turns), [("look_up", ToolRunOutcome::Succeeded)], "the request went on: {turns:?}");
    assert_eq!(interrupted.requests().len(), 1);
}

/// The caller pauses, and the response with the order is prepared; then they go on, so that another one is asked for.
#[test]
fn an_order_of_a_response_that_is_retracted_is_not_placed() {
    let Some(mut env) = test_env() else { return };
    let (vendor, shop) = (Vendor::start(), Receiver::start());
    env.set("OPENAI_BASE_URL", &vendor.base_url());
    env.set("OPENAI_API_KEY", KEY);
    env.set("VCA__TURN__FILLER_MS", "0");
    let order = tool("place_order", "POST", &shop.url("/orders"), &json!({}));
    let patience = json!({ "commit_ms": 2_000, "commit_finished_ms": 2_000, "commit_trailing_ms": 2_000 });
    let settings = json!({ "greeting": "Welcome.", "http_tools": [order], "turn": patience });
    let tenant = env.seed.tenant("retracted", RETRACTED, None, settings);
    let call = || vec![("place_order".to_owned(), "{}".to_owned())];
    vendor.plans([call(), call()]);
    env.open();
    env.dial(RETRACTED, vec![listen(), question(), Step::Wait(ms(900)), question(), listen(), Step::HangUp]);

    let (_, turns) = env.last_call(tenant);
    let succeeded = outcomes(&turns).iter().filter(|run| run.1 == ToolRunOutcome::Succeeded).count();
    assert_eq!((succeeded, shop.requests_to("/orders").len()), (1, 1), "{turns:?}\n{}", env.log());
    let asked = vendor.requests(Kind::Llm).len();
    assert!(asked >= 3, "{asked} requests: a prepared response, another one, and the words after the order");
}
