//! An operator intervenes in a real call.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vca::audio::Clip;
use vca::sim::Step;
use vca::tenancy::{CallId, SpokenBy, TenantId, TransferEnd, TransferOutcome};

use crate::support::sipp::Side;
use crate::support::test_env::TestEnv;
use crate::support::vca::Vca;
use crate::support::{self, clips, wait};

const MAIN: &str = "+49305550100";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn listen() -> Step {
    Step::Listen { silent: ms(700), at_most: ms(15_000) }
}

fn test_env() -> Option<TestEnv> {
    let mut env = TestEnv::build(&support::sandbox()?, Path::new(env!("CARGO_BIN_EXE_vca")), None);
    env.set("VCA__TURN__SILENCE_MS", "60000");
    env.set("VCA__TRANSFER__CONTEXTS", r#"["people"]"#);
    for (extension, priorities) in [
        ("busy", ["NoOp()", "Hangup(17)", "NoOp()"]),
        ("talks", ["Answer()", "Wait(60)", "Hangup()"]),
        ("rings", ["Ringing()", "Wait(60)", "Hangup()"]),
    ] {
        for (number, application) in (1..).zip(priorities) {
            env.asterisk
                .cli(&format!("dialplan add extension {extension},{number},{application} into people"));
        }
    }
    env.set_script(
        r#"
        phrases = ["what are your opening hours"]
        otherwise = "Pardon?"
        [[reply]]
        pattern = "opening hours"
        say = "I do not know."
        [[reply]]
        pattern = "act on the latest note"
        say = ["We close at noon today.", "The shop is busy."]
        "#,
    );
    Some(env)
}

#[test]
fn an_operator_speaks_mutes_leaves_notes_and_takes_over() {
    let Some(mut env) = test_env() else { return };
    let tenant = env.seed.tenant("main", MAIN, None, json!({ "greeting": "Welcome." }));
    for (name, extension) in [("shop", "busy"), ("office", "talks"), ("lounge", "rings")] {
        let target = json!({ "kind": "extension", "address": format!("{extension}@people") });
        env.seed.target(tenant, name, target);
    }
    env.open();
    let vca = env.vca.clone().with("VCA_API_KEY", &env.seed.operator_key());
    // The silent clip begins when the question is over.
    let question = Step::Say(clips::flite("what are your opening hours", "slt"));
    let silence = Step::Say(Clip::new(8_000, vec![0; 8_000]));
    let words = Step::LetSpeak { spoken: ms(300), at_most: ms(30_000) };
    let script = vec![listen(), words, listen(), question, silence, Step::Wait(ms(60_000))];
    let mut call = env.answered(MAIN, script);
    let live = vca.cli_json(&["call", "live"]).expect("calls in progress");
    let id = live[0]["id"].as_str().unwrap_or_else(|| panic!("no call in {live}")).to_owned();
    let watch = {
        let (vca, id) = (vca.clone(), id.clone());
        std::thread::spawn(move || vca.cli(&["call", "watch", &id, "--json"]))
    };
    let order = |args: &[&str]| {
        let args = [&["call", args[0], &id], &args[1..]].concat();
        vca.cli(&args).unwrap_or_else(|problem| panic!("{args:?}: {problem}\n{}", env.log()));
    };
    env.turns(&mut call, tenant, 1);

    order(&["mute", "--seconds", "60"]);
    order(&["say", "Please hold the line."]);
    let (_, turns) = env.turns(&mut call, tenant, 2);
    assert_eq!(
        (turns[1].agent_text.as_str(), turns[1].spoken_by),
        ("Please hold the line.", SpokenBy::Operator)
    );
    let asked = wait::until_true(ms(30_000), || {
        call.step();
        call.utterances() == 2
    });
    assert!(asked, "the caller does not hear the operator's words\n{}", env.log());

    order(&["note", "We close at noon today.", "--respond"]);
    order(&["unmute"]);
    let (_, turns) = env.turns(&mut call, tenant, 3);
    assert_eq!(
        (turns[2].caller_text.as_str(), turns[2].agent_text.as_str()),
        ("", "We close at noon today.")
    );

    order(&["transfer", "shop", "--take-over"]);
    let (record, turns) = env.turns(&mut call, tenant, 4);
    assert_eq!(turns[3].agent_text, "The shop is busy.");
    assert_eq!(record.transfers[0].outcome, TransferOutcome::Busy);

    order(&["transfer", "office", "--take-over"]);
    let connected = || {
        let (record, _) = env.seed.calls(tenant).pop().expect("a call");
        record.transfers.get(1).is_some_and(|transfer| transfer.outcome == TransferOutcome::Connected)
    };
    env.until(&mut call, ms(30_000), "the person answers", connected);
    let refused = vca.cli(&["call", "say", &id, "Hello?"]).expect_err("the agent has left");
    assert!(refused.contains("being transferred"), "{refused}");
    order(&["hang-up", "--no-goodbye"]);

    let report = call.finish();
    assert_eq!((report.status, report.ended_by), (Some(200), Some(Side::Agent)), "{}", env.log());
    assert!(report.conversation.agent().len() >= 4, "{:?}", report.conversation.agent());
    let printed = watch.join().expect("no panic").expect("the call's events");
    let events: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let commands: Vec<&str> = events.iter().filter_map(|event| event["command"].as_str()).collect();
    assert_eq!(commands, ["mute", "say", "add_note", "unmute", "transfer", "transfer"], "{printed}");
    for kind in ["muted", "unmuted", "transfer"] {
        assert!(events.iter().any(|event| event["type"] == kind), "no {kind} in {printed}");
    }
    let (record, _) = env.last_call(tenant);
    assert_eq!(record.disposition.as_deref(), Some("transferred"));
    a_ringing_target_is_given_up(&env, &vca, tenant, record.id);
}

/// The caller returns to the agent, and goes to another target. A caller who waits would not hear a goodbye: the call ends at once.
fn a_ringing_target_is_given_up(env: &TestEnv, vca: &Vca, tenant: TenantId, former: CallId) {
    let mut call = env.answered(MAIN, vec![listen(), Step::Wait(ms(60_000))]);
    let latest = || env.seed.calls(tenant).pop().expect("a call").0;
    let is_next = || latest().id != former && latest().answered_at.is_some();
    env.until(&mut call, ms(30_000), "the record of the next call", is_next);
    let id = latest().id.to_string();
    vca.cli(&["call", "transfer", &id, "lounge", "--take-over"]).expect("a transfer");
    let outcomes = || latest().transfers.iter().map(|transfer| transfer.outcome).collect::<Vec<_>>();
    env.until(&mut call, ms(30_000), "the target rings", || outcomes() == [TransferOutcome::Ringing]);
    vca.cli(&["call", "cancel-transfer", &id]).expect("a cancellation");
    let refused = vca.cli(&["call", "cancel-transfer", &id]).expect_err("it is cancelled already");
    assert!(refused.contains("no transfer to cancel"), "{refused}");
    env.until(&mut call, ms(30_000), "the caller is back", || outcomes() == [TransferOutcome::Cancelled]);
    vca.cli(&["call", "transfer", &id, "lounge", "--take-over"]).expect("another transfer");
    let both = [TransferOutcome::Cancelled, TransferOutcome::Ringing];
    env.until(&mut call, ms(30_000), "the target rings again", || outcomes() == both);
    let asked = Instant::now();
    vca.cli(&["call", "hang-up", &id]).expect("an end");
    call.finish();
    assert!(asked.elapsed() < ms(8_000), "the goodbye is awaited\n{}", env.log());
    let (record, _) = env.last_call(tenant);
    assert_eq!(record.disposition.as_deref(), Some("requested"));
    assert_eq!(outcomes(), [TransferOutcome::Cancelled; 2]);
    let ended_by: Vec<_> = record.transfers.iter().map(|transfer| transfer.ended_by).collect();
    assert_eq!(ended_by, [Some(TransferEnd::Operator), Some(TransferEnd::System)]);
}
