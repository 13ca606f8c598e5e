//! Calls with a model that hears and speaks itself.

use serde_json::{Value, json};
use vca::sim::Step;
use vca::tenancy::{CallStatus, EngineKind, TenantId, ToolRunOutcome, UsageUnit};

use super::engines::pitches;
use super::{MAIN, env, listen, ms, question};
use crate::support::clips;
use crate::support::receiver::{Answer, Receiver};
use crate::support::sipp::Side;
use crate::support::test_env::TestEnv;
use crate::support::vendor::{KEY, Kind, LiveFault, REPLY, VOICE_REPLY, Vendor, WORDS};

/// An environment with the engine `voice`, and other engines at the same vendor.
fn voice_env(tools: &[&str]) -> Option<(TestEnv, TenantId, Vendor)> {
    let agent = json!({
        "greeting": "Welcome to the test.", "language": "en-GB", "realtime": "voice",
        "stt": "whisper", "llm": "llama", "tts": "flite", "tools": tools,
    });
    let (mut env, main) = env(agent)?;
    let vendor = Vendor::start();
    for (name, kind, api, base_url) in [
        ("VOICE", "realtime", "openai-realtime", vendor.live_url("/v1")),
        ("WHISPER", "stt", "openai", vendor.base_url()),
        ("LLAMA", "llm", "openai", vendor.base_url()),
    ] {
        for (key, value) in [("KIND", kind), ("API", api), ("BASE_URL", &base_url), ("KEY", KEY)] {
            env.set(&format!("VCA__ENGINES__{name}__{key}"), value);
        }
    }
    env.set("VCA__ENGINES__LLAMA__MODEL", "llama3.2");
    env.set("VCA__TURN__FILLER_MS", "0");
    Some((env, main, vendor))
}

/// The model calls a tool before it answers the first question.
#[test]
fn a_call_is_held_by_a_model_that_hears_and_speaks() {
    let Some((mut env, main, vendor)) = voice_env(&["remember"]) else { return };
    env.open();
    let script = vec![listen(), question(), listen(), question(), listen(), Step::HangUp];
    let report = env.satisfied(env.place(MAIN, script));
    assert_eq!(pitches(&report)[1..], [500; 2], "{:?}", report.conversation.agent());
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, record.engine_failures.len()), (CallStatus::Completed, 0), "{}", env.log());
    let said: Vec<_> =
        turns.iter().map(|turn| (turn.caller_text.as_str(), turn.agent_text.as_str())).collect();
    assert_eq!(said[1..], [(WORDS, VOICE_REPLY); 2], "{}", env.log());
    assert_eq!(turns[1].tools.len(), 1, "{turns:?}");
    assert!(vendor.requests(Kind::Llm).is_empty() && vendor.requests(Kind::Stt).len() == 1);
    let usage = env.seed.usage_of(&record);
    let used = |unit| {
        let of_unit = usage.engines.iter().filter(|it| it.kind == EngineKind::Realtime && it.unit == unit);
        of_unit.map(|it| it.quantity).sum::<u64>()
    };
    // A call of the tool and two answers, perhaps one of them anew.
    let responses = used(UsageUnit::AudioInputTokens) / 20;
    assert!((3..=5).contains(&responses), "{usage:?}");
    let text = (used(UsageUnit::InputTokens), used(UsageUnit::CachedInputTokens));
    assert_eq!(text, (responses * 32, responses * 8));
    assert!(used(UsageUnit::AudioOutputTokens) >= 2 * 80, "{usage:?}");
    assert!((2_000..9_000).contains(&used(UsageUnit::AudioMs)), "{usage:?}");
}

/// The model calls the tenant's tool for one caller, and ends the call of another.
#[test]
fn a_model_that_hears_and_speaks_uses_the_tenants_tool_and_ends_a_call() {
    const ORDERING: &str = "+49305550108";
    const ENDING: &str = "+49305550109";
    let Some((mut env, _, vendor)) = voice_env(&[]) else { return };
    let shop = Receiver::start();
    shop.answers(Answer::Json(201, r#"{"order":7}"#));
    env.set("VCA__TOOLS__ALLOW_HTTP", "true");
    env.set("VCA__TOOLS__ALLOW_PRIVATE_TARGETS", "true");
    let order = json!({
        "name": "place_order", "description": "Places the caller's order.", "method": "POST", "url": shop.url("/orders"),
        "parameters": { "type": "object", "properties": {} }, "static_values": { "shop": 12 },
    });
    let agent = |other: Value| {
        let mut agent = json!({
            "greeting": "Welcome to the test.", "language": "en-GB", "realtime": "voice",
            "stt": "whisper", "llm": "llama", "tts": "flite",
        });
        agent.as_object_mut().expect("settings").extend(other.as_object().cloned().unwrap_or_default());
        agent
    };
    let ordering = env.seed.tenant("ordering", ORDERING, None, agent(json!({ "http_tools": [order] })));
    let ending = env.seed.tenant("ending", ENDING, None, agent(json!({ "tools": ["end_call"] })));
    env.open();
    let script = vec![listen(), question(), listen(), Step::HangUp];
    env.satisfied(env.place(ORDERING, script));
    let (_, turns) = env.last_call(ordering);
    let orders: Vec<_> = shop.requests_to("/orders").iter().map(|request| request.json()).collect();
    assert_eq!(orders, [json!({ "shop": 12 })], "{}", env.log());
    let run = &turns[1].tools[0];
    let result = (run.name.as_str(), run.outcome, run.result.as_str());
    assert_eq!(result, ("place_order", ToolRunOutcome::Succeeded, r#"{"order":7}"#));
    assert_eq!(turns[1].agent_text, VOICE_REPLY, "{turns:?}");
    let results = vendor.voice_events("conversation.item.create");
    assert!(results.iter().any(|event| event["item"]["output"] == r#"{"order":7}"#), "{results:?}");

    let report = env.dial(ENDING, vec![listen(), question(), Step::Wait(ms(15_000)), Step::HangUp]);
    let (record, turns) = env.last_call(ending);
    assert_eq!(report.ended_by, Some(Side::Agent), "{turns:?}\n{}", env.log());
    assert_eq!(record.disposition.as_deref(), Some("agent_hung_up"));
    assert!(vendor.requests(Kind::Llm).is_empty());
}

/// The model's memory of its response ends where the caller interrupted it. Another truncation is that of another item.
#[test]
fn a_model_that_is_interrupted_remembers_what_was_heard() {
    let Some((mut env, main, vendor)) = voice_env(&[]) else { return };
    env.open();
    let speaking = Step::LetSpeak { spoken: ms(1_500), at_most: ms(12_000) };
    let over = Step::Say(clips::flite("no stop please wait a moment", "slt"));
    let script = vec![listen(), question(), speaking, over, listen(), Step::HangUp];
    let report = env.satisfied(env.place(MAIN, script));
    let (_, turns) = env.last_call(main);
    assert!(turns[1].interrupted, "{turns:?}");
    let cut = vendor.voice_events("conversation.item.truncate");
    let first = cut.first().unwrap_or_else(|| panic!("nothing was truncated: {}", env.log()));
    let remembered = first["audio_end_ms"].as_u64().expect("milliseconds");
    let spoken = report.conversation.agent();
    let heard = spoken[1].1 - spoken[1].0;
    assert!(
        u64::try_from(heard.as_millis()).is_ok_and(|heard| heard.abs_diff(remembered) <= 100),
        "{heard:?} {remembered} {spoken:?}"
    );
    let mut items: Vec<_> = cut.iter().map(|event| event["item_id"].as_str().expect("an item")).collect();
    items.sort_unstable();
    items.dedup();
    assert_eq!(items.len(), cut.len(), "an item is truncated twice: {cut:?}");
}

/// The session is closed in the middle of its first response.
#[test]
fn the_other_engines_go_on_with_a_call_whose_model_fails() {
    let Some((mut env, main, vendor)) = voice_env(&[]) else { return };
    vendor.fail_live(&[LiveFault::ClosesInResponse]);
    env.open();
    let script = vec![listen(), question(), listen(), question(), listen(), Step::HangUp];
    env.satisfied(env.place(MAIN, script));
    let (record, turns) = env.last_call(main);
    assert_eq!(record.status, CallStatus::Completed, "{}", env.log());
    let failed: Vec<_> = record.engine_failures.iter().map(|it| (it.kind, it.engine.as_str())).collect();
    assert_eq!(failed, [(EngineKind::Realtime, "voice")]);
    let reply = REPLY.concat();
    assert!(turns[1].agent_text.ends_with(&reply), "{turns:?}");
    assert_eq!((turns[2].caller_text.as_str(), turns[2].agent_text.as_str()), (WORDS, &*reply));
    let asked = vendor.requests(Kind::Llm)[0].json()["messages"].to_string();
    assert!(asked.contains(WORDS) && asked.contains("Certainly."), "the whole context: {asked}");
}
