//! A vendor's engines over its API: a whole call with them, and what is heard when each of them fails.

use serde_json::{Value, json};
use vca::sim::Step;
use vca::tenancy::{CallStatus, EndedBy, EngineKind, EngineUse, TenantId, UsageUnit};

use super::{env, listen, ms, question};
use crate::support::phone::Report;
use crate::support::sipp::Side;
use crate::support::test_env::TestEnv;
use crate::support::vendor::{Habit, KEY, Kind, Mood, REPLY, STALLED_REPLY, TOKENS, Vendor, WORDS, pitch};

const GREETING: &str = "Welcome to the test.";
/// The words of an agent whose model fails twice in a turn.
const FAILED_TWICE: &str =
    "Technical difficulty, trying again. I am sorry, that did not work. Please ask me again.";
const PROMPT: &str = "You answer the telephone.";

/// An environment whose only tenant is served by the vendor's engines.
fn served_env() -> Option<(TestEnv, TenantId, Vendor)> {
    let (mut env, main, vendor) = prepared_env()?;
    env.open();
    Some((env, main, vendor))
}

/// The same, before the daemon is started.
fn prepared_env() -> Option<(TestEnv, TenantId, Vendor)> {
    prepared_env_with(&[])
}

fn prepared_env_with(habits: &[Habit]) -> Option<(TestEnv, TenantId, Vendor)> {
    let (mut env, main) = env(json!({ "greeting": GREETING, "language": "en-GB", "voice": "nova" }))?;
    let vendor = Vendor::with(habits);
    env.set("OPENAI_BASE_URL", &vendor.base_url());
    env.set("OPENAI_API_KEY", KEY);
    for engine in ["STT", "LLM", "TTS"] {
        env.set(&format!("VCA__{engine}__RETRY__TIMEOUT_MS"), "600");
        env.set(&format!("VCA__{engine}__RETRY__BACKOFF_MS"), "50");
    }
    // A filler would join the phrases whose pitch tells them apart.
    env.set("VCA__TURN__FILLER_MS", "0");
    Some((env, main, vendor))
}

fn dial(env: &TestEnv, script: Vec<Step>) -> Report {
    env.satisfied(env.place(super::MAIN, script))
}

/// The pitch of each stretch that the caller heard, to the next hundred.
pub(super) fn pitches(report: &Report) -> Vec<u32> {
    let track = &report.conversation.received;
    let index = |at: std::time::Duration| (at.as_secs_f64() * f64::from(track.rate)) as usize;
    let pitch = |(from, to): (std::time::Duration, std::time::Duration)| {
        let samples = &track.samples[index(from)..index(to).min(track.samples.len())];
        let rises = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        let hertz = rises as f64 * f64::from(track.rate) / samples.len() as f64;
        (hertz / 100.0).round() as u32 * 100
    };
    report.conversation.agent().into_iter().map(pitch).collect()
}

#[test]
fn a_vendors_engines_are_asked_rightly_and_heard() {
    let Some((env, main, vendor)) = served_env() else { return };
    let spoken_ahead = vendor.requests(Kind::Tts).len();
    let report = dial(&env, vec![listen(), question(), listen(), question(), listen(), Step::HangUp]);
    let (record, turns) = env.last_call(main);
    assert_eq!(record.status, CallStatus::Completed);
    let said: Vec<_> =
        turns.iter().map(|turn| (turn.caller_text.as_str(), turn.agent_text.as_str())).collect();
    let reply = REPLY.concat();
    assert_eq!(said, [("", GREETING), (WORDS, &reply), (WORDS, &reply)]);
    assert_eq!(pitches(&report), [400; 3], "{:?}", report.conversation.agent());

    let heard = &vendor.requests(Kind::Stt)[0];
    assert_eq!(heard.authorization, format!("Bearer {KEY}"));
    for part in
        ["name=\"file\"; filename=\"speech.wav\"", "RIFF", "whisper-1", "name=\"language\"\r\n\r\nen\r\n"]
    {
        assert!(heard.contains(part), "{part}: {}", String::from_utf8_lossy(&heard.body[..400]));
    }
    // Half a second of 16-bit samples at the least, and no more than was said.
    let length = heard.body.len();
    assert!((8_000..60_000).contains(&length), "{length} bytes of speech");

    let asked = vendor.requests(Kind::Llm).pop().expect("a question");
    let question = asked.json();
    let system = question["messages"][0]["content"].as_str().expect("a system prompt");
    assert!(system.starts_with("You are on a telephone call"), "{system}");
    assert!(system.ends_with(&format!("Speak English.\n\n{PROMPT}")), "{system}");
    let lines = [
        json!({ "role": "system", "content": question["messages"][0]["content"] }),
        json!({ "role": "user", "content": "(The call begins.)" }),
        json!({ "role": "assistant", "content": GREETING }),
        json!({ "role": "user", "content": WORDS }),
        json!({ "role": "assistant", "content": reply }),
        json!({ "role": "user", "content": WORDS }),
    ];
    assert_eq!((&question["stream"], &question["model"]), (&json!(true), &json!("gpt-5.4-mini")));
    assert_eq!(question["messages"], Value::from(lines.to_vec()));
    assert_eq!(asked.authorization, format!("Bearer {KEY}"));

    let usage = env.seed.usage_of(&record);
    let taken = |kind, unit| {
        let fits = |taken: &&EngineUse| (taken.kind, taken.unit) == (kind, unit);
        usage.engines.iter().find(fits).map(|taken| (taken.model.as_str(), taken.quantity))
    };
    let asked = vendor.requests(Kind::Llm).len() as u64;
    let heard = vendor.requests(Kind::Stt).len() as u64;
    assert_eq!(usage.sums.turns, 2, "the greeting is none");
    assert_eq!(taken(EngineKind::Stt, UsageUnit::Requests), Some(("whisper-1", heard)));
    let milliseconds = taken(EngineKind::Stt, UsageUnit::AudioMs).map(|(_, quantity)| quantity);
    assert!(milliseconds.is_some_and(|ms| (500 * heard..4_000 * heard).contains(&ms)), "{milliseconds:?}");
    assert_eq!(taken(EngineKind::Llm, UsageUnit::Requests), Some(("gpt-5.4-mini", asked)));
    assert_eq!(taken(EngineKind::Llm, UsageUnit::InputTokens), Some(("gpt-5.4-mini", TOKENS.0 * asked)));
    assert_eq!(taken(EngineKind::Llm, UsageUnit::OutputTokens), Some(("gpt-5.4-mini", TOKENS.1 * asked)));
    let spoken = (vendor.requests(Kind::Tts).len() - spoken_ahead) as u64;
    assert_eq!(
        taken(EngineKind::Tts, UsageUnit::Requests),
        Some(("tts-1", spoken)),
        "what was spoken ahead is free"
    );
    let characters = spoken * reply.chars().count() as u64;
    assert_eq!(taken(EngineKind::Tts, UsageUnit::Characters), Some(("tts-1", characters)));

    let orders = vendor.requests(Kind::Tts);
    assert_eq!(orders[0].json()["input"], GREETING, "the greeting is spoken ahead, first of all");
    let order = json!({ "model": "tts-1", "voice": "nova", "input": reply, "response_format": "pcm" });
    let ordered: Vec<_> = orders[spoken_ahead..].iter().map(|order| order.json()).collect();
    assert!(!ordered.is_empty() && ordered.iter().all(|it| *it == order), "no phrase twice: {ordered:?}");
}

#[test]
fn a_model_that_fails_again_and_again_ends_the_call() {
    let Some((env, main, vendor)) = served_env() else { return };
    vendor.feels(Kind::Llm, Mood::Broken);
    let mut script = vec![listen()];
    script.extend((0..3).flat_map(|_| [question(), listen()]));
    let report = dial(&env, script);
    assert_eq!(report.ended_by, Some(Side::Agent), "{}", env.log());
    assert_eq!(pitches(&report).last(), Some(&pitch("Goodbye")));
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, record.ended_by), (CallStatus::Failed, Some(EndedBy::System)));
    assert_eq!(record.disposition.as_deref(), Some("failed_engines"));
    let said: Vec<_> = turns.iter().map(|turn| turn.agent_text.as_str()).collect();
    assert_eq!(said[1..3], [FAILED_TWICE; 2]);
    let outcomes = env.metric("vca_engine_requests_total", &["kind=\"llm\""]);
    assert!(outcomes.is_some_and(|count| count >= 5.0), "three times, then once a turn: {outcomes:?}");
}

#[test]
fn a_model_that_recovers_is_forgiven() {
    let Some((env, main, vendor)) = served_env() else { return };
    vendor.feels(Kind::Llm, Mood::Stalled);
    let script = vec![listen(), question(), listen(), question(), listen(), Step::HangUp];
    let mut call = env.answered(super::MAIN, script);
    env.turns(&mut call, main, 2);
    vendor.feels(Kind::Llm, Mood::Well);
    env.satisfied(call);
    let (record, turns) = env.last_call(main);
    assert_eq!(record.disposition.as_deref(), Some("caller_hung_up"));
    let said: Vec<_> = turns.iter().map(|turn| turn.agent_text.as_str()).collect();
    assert_eq!(said, [GREETING, FAILED_TWICE, &REPLY.concat()]);
    let failures: Vec<_> =
        record.engine_failures.iter().map(|it| (it.kind, it.engine.as_str(), it.reason.as_str())).collect();
    assert_eq!(failures, [(EngineKind::Llm, "openai", "timeout")], "the call went on");
    let shown = env.vca.cli(&["call", "show", &record.id.to_string()]).expect("the call");
    assert!(shown.contains("llm openai failed"), "{shown}");
}

#[test]
fn a_reply_that_stalls_midway_is_bridged_and_goes_on() {
    let Some((mut env, main, vendor)) = prepared_env() else { return };
    env.set("VCA__TURN__FILLER_MS", "1500");
    env.set("VCA__LLM__RETRY__TIMEOUT_MS", "8000");
    env.open();
    vendor.feels(Kind::Llm, Mood::StallsOnce);
    let patient = Step::Listen { silent: ms(3_000), at_most: ms(15_000) };
    let report = dial(&env, vec![listen(), question(), patient, Step::HangUp]);
    let (_, turns) = env.last_call(main);
    let [beginning, _] = STALLED_REPLY;
    assert_eq!(turns[1].agent_text, format!("{beginning} {}", REPLY.concat()), "{}", env.log());
    let said = report.conversation.agent();
    // The filler and the rest may be one stretch.
    assert!(said.len() >= 3, "greeting, beginning, filler and rest: {said:?}");
    let silences = said.windows(2).skip(1).map(|pair| pair[1].0 - pair[0].1);
    assert!(silences.clone().all(|silence| silence < ms(2_500)), "{said:?}");
    let requests = vendor.requests(Kind::Llm);
    assert!(requests.last().is_some_and(|last| last.contains("Your reply broke off here")));
    assert_eq!(env.metric("vca_engine_requests_total", &["kind=\"llm\"", "outcome=\"stalled\""]), Some(1.0));
}

#[test]
fn a_caller_in_an_emergency_hears_which_number_to_dial() {
    let Some((mut env, main, _vendor)) = prepared_env_with(&[Habit::EmergencyWords]) else { return };
    env.open();
    dial(&env, vec![listen(), question(), listen(), Step::HangUp]);
    let (record, turns) = env.last_call(main);
    let dial = "If this is an emergency, hang up and dial 1 1 2 now.";
    assert_eq!(turns[1].agent_text, format!("{dial} {}", REPLY.concat()), "{}", env.log());
    assert!(record.emergency_at.zip(record.answered_at).is_some_and(|(at, answered)| at > answered));
}

#[test]
fn a_failure_that_the_fallback_covered_is_on_record() {
    let Some((mut env, main, vendor)) = prepared_env() else { return };
    let other = Vendor::start();
    for (key, value) in [
        ("KIND", "llm"),
        ("API", "openai"),
        ("BASE_URL", &other.base_url()),
        ("KEY", KEY),
        ("MODEL", "llama3.2"),
    ] {
        env.set(&format!("VCA__ENGINES__OTHER__{key}"), value);
    }
    env.set("VCA__LLM__FALLBACK", "other");
    env.open();
    vendor.feels(Kind::Llm, Mood::OutOfQuota);
    let report = dial(&env, vec![listen(), question(), listen(), Step::HangUp]);
    assert_eq!(pitches(&report), [400; 2], "the fallback's reply is heard");
    let (record, turns) = env.last_call(main);
    assert_eq!(
        (record.disposition.as_deref(), &*turns[1].agent_text),
        (Some("caller_hung_up"), &*REPLY.concat())
    );
    let failures: Vec<_> = record
        .engine_failures
        .iter()
        .map(|it| (it.kind, it.engine.as_str(), it.reason.as_str(), it.covered))
        .collect();
    assert_eq!(failures, [(EngineKind::Llm, "openai", "quota", true)]);
    let shown = env.vca.cli(&["call", "show", &record.id.to_string()]).expect("the call");
    assert!(shown.contains("covered by the fallback"), "{shown}");
}

/// The speech engine is away when the daemon starts, and comes back.
#[test]
fn without_a_greeting_the_dialplan_keeps_the_call() {
    let Some((mut env, main, vendor)) = prepared_env() else { return };
    vendor.feels(Kind::Tts, Mood::Broken);
    // The engine is asked again for each call.
    env.set("VCA__TTS__RETRY__BREAKER_FAILURES", "0");
    env.open();
    env.asterisk.cli("dialplan add extension s,1,Hangup(17) into vca-absent replace");
    for mood in [Mood::Broken, Mood::Stalled] {
        vendor.feels(Kind::Tts, mood);
        let report = env.dial(super::MAIN, vec![listen(), Step::HangUp]);
        assert_eq!(report.status, Some(486), "{mood:?}: as the dialplan says\n{}", env.log());
        assert!(report.setup < Some(ms(5_000)), "{mood:?}: {:?}", report.setup);
        let (record, turns) = env.last_call(main);
        assert_eq!(record.disposition.as_deref(), Some("refused_no_greeting"), "{mood:?}");
        assert_eq!((record.status, record.answered_at), (CallStatus::Refused, None), "{mood:?}");
        assert_eq!((record.engine_failures[0].kind, turns.len()), (EngineKind::Tts, 0), "{mood:?}");
        assert!(record.failure_reason.is_some(), "{mood:?}");
    }
    let refusals = env.metric("vca_refusals_total", &["reason=\"refused_no_greeting\""]);
    assert_eq!(refusals, Some(2.0));
    vendor.feels(Kind::Tts, Mood::Well);
    let served = env.dial(super::MAIN, vec![listen(), Step::HangUp]);
    assert_eq!(served.status, Some(200), "{}", env.log());
    assert_eq!(pitches(&served), [400]);
}

#[test]
fn a_voice_that_fails_is_replaced_by_what_was_spoken_ahead() {
    let Some((env, main, vendor)) = served_env() else { return };
    vendor.feels(Kind::Tts, Mood::Broken);
    let report = dial(&env, vec![listen(), question(), listen(), Step::HangUp]);
    assert_eq!(pitches(&report), [400, pitch("Audio issues")]);
    let (_, turns) = env.last_call(main);
    assert_eq!(
        (turns[1].caller_text.as_str(), turns[1].agent_text.as_str()),
        (WORDS, "Audio issues, please hold.")
    );
}

#[test]
fn ears_that_stall_make_the_agent_ask_again() {
    let Some((env, main, vendor)) = served_env() else { return };
    vendor.feels(Kind::Stt, Mood::Stalled);
    let script = vec![listen(), question(), listen(), question(), listen(), Step::HangUp];
    let mut call = env.answered(super::MAIN, script);
    env.turns(&mut call, main, 2);
    vendor.feels(Kind::Stt, Mood::Well);
    let report = env.satisfied(call);
    assert_eq!(pitches(&report), [400, pitch("catch"), 400]);
    let latency = report.conversation.responses()[0].latency();
    assert!(latency.is_some_and(|latency| latency < ms(3_500)), "{latency:?}");
    let (_, turns) = env.last_call(main);
    let said: Vec<_> =
        turns.iter().map(|turn| (turn.caller_text.as_str(), turn.agent_text.as_str())).collect();
    assert_eq!(said[1..], [("", "I didn't catch that, please repeat."), (WORDS, &REPLY.concat())]);
}
