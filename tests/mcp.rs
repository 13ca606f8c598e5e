//! A published MCP server in a call: tools that succeed, exceed their time and fail, and one that is not allowed.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vca::sim::Step;
use vca::tenancy::{ToolRun, ToolRunOutcome};

use crate::support::mcp_everything::McpEverything;
use crate::support::seed::local_agent;
use crate::support::test_env::TestEnv;
use crate::support::{self, clips};

const MAIN: &str = "+49305550700";

const SCRIPT: &str = r#"
    phrases = ["what are your opening hours"]
    otherwise = "Pardon?"
    [[reply]]
    pattern = 'what are your opening hours'
    say = "One moment."
    call = { tool = "everything_get_sum", a = 4, b = 5 }
    [[reply]]
    pattern = '^everything_get_sum: .*4 and 5 is 9'
    say = "Nine hours."
    call = { tool = "everything_trigger_long_running_operation", duration = 60, steps = 1 }
    [[reply]]
    pattern = '^everything_trigger_long_running_operation: '
    say = "That took too long."
    call = { tool = "everything_get_resource_reference", resourceId = 0.5 }
    [[reply]]
    pattern = '^everything_get_resource_reference: '
    say = "That was all."
    call = { tool = "everything_get_env" }
"#;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn an_agent_uses_the_allowed_tools_of_a_published_server() {
    let Some(sandbox) = support::sandbox() else { return };
    let Some(everything) = McpEverything::start() else { return };
    let mut settings = local_agent();
    let tools = ["get-sum", "trigger-long-running-operation", "get-resource-reference"];
    let tools = tools.map(|name| json!({ "name": name }));
    settings["mcp_servers"] =
        json!([{ "name": "everything", "url": everything.url, "timeout_ms": 1_000, "tools": tools }]);
    let mut env = TestEnv::build(&sandbox, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    let main = env.seed.tenant("main", MAIN, None, settings);
    env.set_script(SCRIPT);
    env.set("VCA__TOOLS__ALLOW_HTTP", "true");
    env.set("VCA__TOOLS__ALLOW_PRIVATE_TARGETS", "true");
    env.open();
    let listen = || Step::Listen { silent: ms(1_000), at_most: ms(8_000) };
    let question = Step::Say(clips::flite("what are your opening hours", "slt"));
    let mut call = env.place(MAIN, vec![listen(), question, Step::Wait(ms(60_000)), Step::HangUp]);
    env.turns(&mut call, main, 2);
    call.hang_up();
    let (_, turns) = env.last_call(main);
    let log = env.log();
    let runs: Vec<&ToolRun> = turns.iter().flat_map(|turn| &turn.tools).collect();
    let used: Vec<_> = runs.iter().map(|run| (run.name.as_str(), run.outcome)).collect();
    let expected = [
        ("everything_get_sum", ToolRunOutcome::Succeeded),
        ("everything_trigger_long_running_operation", ToolRunOutcome::TimedOut),
        ("everything_get_resource_reference", ToolRunOutcome::Failed),
    ];
    assert_eq!(used, expected, "{log}");
    assert!(runs[0].result.contains("The sum of 4 and 5 is 9."), "{}", runs[0].result);
    assert!(runs[2].result.contains("Invalid resourceId"), "{}", runs[2].result);
}
