//! The example of the documents over a real call: a bakery whose agent asks an MCP server, looks up its stock, takes an order and
//! transfers the caller to the shop.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use vca::sim::Step;
use vca::tenancy::{ToolRunOutcome, TransferOutcome};

use crate::support::mcp_bakery::McpBakery;
use crate::support::receiver::{Answer, Receiver};
use crate::support::seed::local_agent;
use crate::support::test_env::TestEnv;
use crate::support::{self, clips};

const MAIN: &str = "+49305550700";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The settings of `docs/examples/bakery.json` with servers and engines on this machine.
fn settings(shop: &Receiver, mcp: &McpBakery) -> Value {
    let example = include_str!("../docs/examples/bakery.json");
    let example = example.replace("https://bakery.example.com", &shop.url(""));
    let mut profile: Value = serde_json::from_str(&example).expect("JSON");
    let mut settings = profile["settings"].take();
    for engine in ["stt", "llm", "tts"] {
        settings[engine] = local_agent()[engine].clone();
    }
    let lost = json!({ "name": "lost", "url": shop.url("/nothing"), "tools": [{ "name": "find" }] });
    let bakery = json!({ "name": "bakery", "url": mcp.url, "tools": [{ "name": "opening_hours" }] });
    settings["mcp_servers"] = json!([bakery, lost]);
    settings
}

const SCRIPT: &str = r#"
    phrases = ["what are your opening hours"]
    otherwise = "Pardon?"
    [[reply]]
    pattern = 'what are your opening hours'
    say = "One moment."
    call = { tool = "bakery_opening_hours" }
    [[reply]]
    pattern = '^bakery_opening_hours: .*Seven to six'
    say = "From seven to six."
    call = { tool = "check_stock", bread = "rye" }
    [[reply]]
    pattern = '^check_stock: '
    say = "There is enough."
    call = { tool = "place_order", bread = "rye", loaves = 2, customer = "Ada" }
    [[reply]]
    pattern = '^place_order: .*"bread":"rye"'
    say = "Your order is placed. The shop will tell you more."
    call = { tool = "transfer", target = "shop" }
"#;

#[test]
fn the_bakery_of_the_documents_takes_an_order_and_transfers_the_caller() {
    let Some(sandbox) = support::sandbox() else { return };
    let Some(mcp) = McpBakery::start() else { return };
    let shop = Receiver::start();
    shop.answers(Answer::Echo);
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let main = env.seed.tenant("main", MAIN, None, settings(&shop, &mcp));
    env.seed.target(main, "shop", json!({ "kind": "extension", "address": "shop@people" }));
    env.set_script(SCRIPT);
    env.set("VCA__TOOLS__ALLOW_HTTP", "true");
    env.set("VCA__TOOLS__ALLOW_PRIVATE_TARGETS", "true");
    env.set("VCA__TRANSFER__CONTEXTS", r#"["people"]"#);
    for (number, application) in (1..).zip(["Answer()", "Wait(2)", "Hangup()"]) {
        env.asterisk.cli(&format!("dialplan add extension shop,{number},{application} into people"));
    }
    env.set("VCA__LOG__FILTER", "debug,vca=trace");
    env.open();
    let listen = || Step::Listen { silent: ms(1_000), at_most: ms(8_000) };
    let question = Step::Say(clips::flite("what are your opening hours", "slt"));
    env.dial(MAIN, vec![listen(), question, Step::Wait(ms(30_000)), Step::HangUp]);
    let log = env.log();
    assert!(!log.contains("rmcp::"), "its messages have the words of callers: {log}");
    let (call, turns) = env.last_call(main);
    let used: Vec<(&str, ToolRunOutcome)> =
        turns.iter().flat_map(|turn| &turn.tools).map(|run| (run.name.as_str(), run.outcome)).collect();
    let succeeded = |name| (name, ToolRunOutcome::Succeeded);
    let lost = ("lost", ToolRunOutcome::Failed);
    let expected =
        [lost, succeeded("bakery_opening_hours"), succeeded("check_stock"), succeeded("place_order")];
    assert_eq!(used.get(..4), Some(&expected[..]), "{used:?}\n{log}");
    let orders: Vec<Value> = shop.requests_to("/orders").iter().map(|request| request.json()).collect();
    assert_eq!(orders, [json!({ "bread": "rye", "loaves": 2, "customer": "Ada", "shop": 12 })], "{log}");
    assert_eq!(shop.requests_to("/stock/rye").len(), 1, "{log}");
    let outcomes: Vec<_> = call.transfers.iter().map(|transfer| transfer.outcome).collect();
    assert_eq!(outcomes, [TransferOutcome::Connected], "{log}");
    let listed = |outcome| env.metric("vca_mcp_listings_total", &[&format!("outcome=\"{outcome}\"")]);
    assert_eq!((listed("succeeded"), listed("failed")), (Some(1.0), Some(1.0)), "{log}");
}
