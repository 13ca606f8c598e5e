//! Speech to speech against the local server of OpenAI's Realtime API.

use std::future::poll_fn;
use std::time::Duration;

use vca::egress::{DestinationPolicy, Guard};
use vca::engines::core::FailureReason;
use vca::engines::core::retry::Kind as EngineKind;
use vca::engines::core::usage::{Meter, Unit};
use vca::engines::llm::{Message, Prompt, ToolCall, ToolSpec};
use vca::engines::realtime::{ResponseKey, VoiceEvent, VoicePart, VoiceSession, VoiceTerms};
use vca::engines::registry::{Engines, OwnAccount, OwnLimits, Settings};
use vca::engines::stt::{SttEvent, Utterance};

use super::named::{engines, run};
use crate::support::vendor::{KEY, Kind, LiveFault, Mood, VOICE_REPLY, Vendor, WORDS};

fn configured(vendor: &Vendor) -> Engines {
    engines(&format!(
        "[engines.voice]\nkind = \"realtime\"\napi = \"openai-realtime\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
         final_timeout_ms = 700\nresponse_timeout_ms = 700\nretry = {{ retries = 0 }}\n",
        vendor.live_url("/v1")
    ))
}

fn open(engines: &Engines, rate: u32, meter: &Meter) -> VoiceSession {
    let terms = VoiceTerms { rate, meter: meter.clone(), ..VoiceTerms::default() };
    engines.realtime("voice").expect("an engine").open(&terms)
}

async fn next(session: &mut VoiceSession) -> VoiceEvent {
    let event = poll_fn(|cx| session.poll_event(cx));
    tokio::time::timeout(Duration::from_secs(20), event).await.expect("an event")
}

/// A second and a half of sound as one utterance. Returns its words.
async fn utter(session: &mut VoiceSession, rate: u32) -> VoiceEvent {
    let second = rate as usize;
    session.audio(&vec![0; second]);
    session.begin(Utterance(1), second as u64);
    session.audio(&vec![5_000; second * 3 / 2]);
    session.audio(&vec![0; second / 5]);
    session.end(Utterance(1), second as u64 * 5 / 2);
    next(session).await
}

fn prompt(tools: &[ToolSpec]) -> Prompt {
    let messages = vec![Message::Agent("Welcome.".into()), Message::Caller(WORDS.into())];
    Prompt { system: "Sell bread.".into(), messages, tools: tools.into(), ..Prompt::default() }
}

/// The parts of a response: its words, samples, and tools.
async fn response(session: &mut VoiceSession) -> (String, usize, Vec<ToolCall>) {
    let (mut words, mut samples, mut tools) = (String::new(), 0, Vec::new());
    loop {
        match next(session).await {
            VoiceEvent::Response { part, .. } => match part {
                VoicePart::Words(more) => words.push_str(&more),
                VoicePart::Audio(more) => samples += more.len(),
                VoicePart::ToolCall(call) => tools.push(call),
                VoicePart::Writing => {}
                VoicePart::End => return (words, samples, tools),
            },
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_session_hears_and_speaks_at_either_rate() {
    let vendor = Vendor::start();
    let engines = configured(&vendor);
    run(async {
        for rate in [8_000, 16_000] {
            let meter = Meter::default();
            let mut session = open(&engines, rate, &meter);
            let heard = SttEvent::Final { utterance: Utterance(1), text: WORDS.into() };
            assert_eq!(utter(&mut session, rate).await, VoiceEvent::Recognised(heard), "{rate}");
            session.respond(ResponseKey(1), prompt(&[]));
            let (words, samples, _) = response(&mut session).await;
            assert_eq!(words, VOICE_REPLY);
            assert!(samples.abs_diff(4 * rate as usize) < rate as usize / 50, "{rate}: {samples}");
            let total = meter.total();
            let used = |unit| total.iter().find(|(item, _)| item.unit == unit).map(|(_, count)| *count);
            assert_eq!((used(Unit::InputTokens), used(Unit::AudioOutputTokens)), (Some(32), Some(80)));
        }
    });
    // The greeting is added as text, and the caller's question stays audio.
    assert_eq!(vendor.voice_events("conversation.item.create").len(), 2);
    assert_eq!(vendor.voice_events("conversation.item.delete").len(), 0);
}

/// The account of a tenant, at a server that accepts its key alone.
#[test]
fn a_tenants_own_account_hears_and_speaks() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let vendor = Vendor::start();
    let guard = Guard::new(DestinationPolicy { allow_private: true, allow_http: true });
    let limits = OwnLimits { guard, capacity: 2, withheld: Vec::new() };
    let engines = Engines::build_with(&Settings::default(), &limits).expect("engines");
    let account = |key: &str| OwnAccount {
        id: key.into(),
        version: 1,
        name: "own:voice".into(),
        kind: EngineKind::Realtime,
        api: "openai-realtime",
        base_url: Some(vendor.live_url("/v1")),
        model: None,
        key: key.to_owned().into(),
        tenant: uuid::Uuid::now_v7(),
        has_fallback: false,
        shares: None,
    };
    run(async {
        engines.own().try_out(&account(KEY)).await.expect("a response");
        let refused = engines.own().try_out(&account("another-key")).await.map_err(|error| error.reason());
        assert_eq!(refused, Err(FailureReason::Auth));
        let meter = Meter::default();
        let terms = VoiceTerms { rate: 8_000, meter: meter.clone(), ..VoiceTerms::default() };
        let mut session = engines.own().realtime(&account(KEY)).expect("an engine").open(&terms);
        session.respond(ResponseKey(1), prompt(&[]));
        assert_eq!(response(&mut session).await.0, VOICE_REPLY);
        assert!(meter.total().iter().all(|(item, _)| &*item.engine == "own:voice"));
    });
}

#[test]
fn a_tool_is_called_and_its_result_answered() {
    let vendor = Vendor::start();
    let engines = configured(&vendor);
    run(async {
        let mut session = open(&engines, 8_000, &Meter::default());
        let mut prompt = prompt(&[ToolSpec::end_call()]);
        session.respond(ResponseKey(1), prompt.clone());
        let (_, _, tools) = response(&mut session).await;
        let [call] = &*tools else { panic!("{tools:?}") };
        assert_eq!((&*call.name, &*call.arguments), ("end_call", "{}"));
        prompt.messages.push(Message::ToolCall(call.clone()));
        prompt.messages.push(Message::ToolResult { call: call.id.clone(), content: "refused".into() });
        session.respond(ResponseKey(2), prompt);
        assert_eq!(response(&mut session).await.0, VOICE_REPLY);
    });
    let kinds: Vec<_> = vendor
        .voice_events("conversation.item.create")
        .iter()
        .map(|event| event["item"]["type"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(kinds, ["message", "message", "function_call_output"], "the call is the server's own");
}

#[test]
fn an_interrupted_response_is_cut_and_followed_by_another() {
    let vendor = Vendor::start();
    let engines = configured(&vendor);
    run(async {
        let mut session = open(&engines, 8_000, &Meter::default());
        session.respond(ResponseKey(1), prompt(&[]));
        while !matches!(next(&mut session).await, VoiceEvent::Response { part: VoicePart::Audio(_), .. }) {}
        session.stop(ResponseKey(1), Duration::from_millis(120));
        session.respond(ResponseKey(2), prompt(&[]));
        assert_eq!(response(&mut session).await.0, VOICE_REPLY);
    });
    let cut = vendor.voice_events("conversation.item.truncate");
    assert_eq!(cut.len(), 1);
    assert_eq!(cut[0]["audio_end_ms"], 120);
    assert_eq!(vendor.voice_events("response.cancel").len(), 1);
}

#[test]
fn a_session_fails_with_the_vendors_reason() {
    let failure = |mood, fault: Option<LiveFault>| {
        let vendor = Vendor::start();
        vendor.feels(Kind::Stt, mood);
        vendor.fail_live(fault.as_slice());
        let engines = configured(&vendor);
        run(async {
            let mut session = open(&engines, 8_000, &Meter::default());
            session.respond(ResponseKey(1), prompt(&[]));
            loop {
                if let VoiceEvent::Failed(error) = next(&mut session).await {
                    return error.reason();
                }
            }
        })
    };
    for (mood, reason) in [
        (Mood::WrongKey, FailureReason::Auth),
        (Mood::RateLimited, FailureReason::Busy),
        (Mood::OutOfQuota, FailureReason::Quota),
        (Mood::Broken, FailureReason::Unavailable),
    ] {
        assert_eq!(failure(mood, None), reason, "{mood:?}");
    }
    for (fault, reason) in [
        (LiveFault::Garbage, FailureReason::Unavailable),
        (LiveFault::ClosesInResponse, FailureReason::Unavailable),
        (LiveFault::StallsInResponse, FailureReason::Timeout),
    ] {
        assert_eq!(failure(Mood::Well, Some(fault)), reason, "{fault:?}");
    }
}
