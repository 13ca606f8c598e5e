//! Deepgram Flux, which judges the ends of turns, against its local server.

use std::time::Duration;

use vca::engines::core::FailureReason;
use vca::engines::registry::Engines;
use vca::engines::stt::{SttEvent, Utterance};

use super::live::Call;
use super::named::{engines, run};
use crate::support::vendor::{KEY, Kind, LiveFault, Mood, Vendor, WORDS};

const ONE: Utterance = Utterance(1);
const TWO: Utterance = Utterance(2);
const SECOND: usize = 8_000;

/// The engine `flux` at `vendor` with further options, and `whisper`, which transcribes clips.
fn configured(vendor: &Vendor, options: &str, extra: &str) -> Engines {
    engines(&format!(
        "{extra}\n[engines.flux]\nkind = \"stt\"\napi = \"deepgram-flux\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
         final_timeout_ms = 700\nretry = {{ retries = 0 }}\n{options}\n\
         [engines.whisper]\nkind = \"stt\"\napi = \"openai\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n",
        vendor.live_url("/deepgram/v2"),
        vendor.base_url()
    ))
}

fn started(utterance: Utterance, text: &str) -> SttEvent {
    SttEvent::TurnStarted { utterance, text: text.into() }
}

fn ended(utterance: Utterance) -> SttEvent {
    SttEvent::TurnEnded { utterance, text: WORDS.into() }
}

fn words(utterance: Utterance) -> SttEvent {
    SttEvent::Final { utterance, text: WORDS.into() }
}

/// Speech of 1.5 s, and silence.
async fn speak(call: &mut Call, utterance: Utterance) -> Vec<SttEvent> {
    call.sound(SECOND, 0).await;
    call.session.begin(utterance, call.position);
    let mut events = call.sound(SECOND * 3 / 2, 5_000).await;
    events.extend(call.sound(SECOND, 0).await);
    events
}

/// The same, until the engine ends the turn.
async fn speak_to_the_end(call: &mut Call, utterance: Utterance) -> Vec<SttEvent> {
    let mut events = speak(call, utterance).await;
    while !events.iter().any(SttEvent::is_last) {
        let event = tokio::time::timeout(Duration::from_secs(20), call.next()).await;
        events.push(event.expect("a last event"));
    }
    events
}

#[test]
fn the_engine_reports_the_start_the_possible_end_and_the_end_of_each_turn() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "extra = { tag = \"x\" }", "");
    run(async {
        let mut call = Call::open(&engines, "flux", 8_000);
        for utterance in [ONE, TWO] {
            let events = speak_to_the_end(&mut call, utterance).await;
            assert_eq!(events.first(), Some(&started(utterance, "What")), "{events:?}");
            let may_end = SttEvent::TurnMayEnd { utterance, text: WORDS.into() };
            assert!(events.contains(&may_end), "{events:?}");
            assert_eq!(events.last(), Some(&ended(utterance)), "{events:?}");
        }
        // 240 ms before each, from 400 ms to 1 s after it; not the silence between them.
        let sent = call.audio_ms("flux");
        assert!((4_200..5_600).contains(&sent), "{sent} ms");
    });
    let requests = vendor.requests(Kind::Stt);
    assert_eq!(requests.len(), 1, "one connection");
    for part in [
        "model=flux-general-multi",
        "sample_rate=8000",
        "language_hint=en",
        "eager_eot_threshold=0.5",
        "tag=x",
    ] {
        assert!(requests[0].contains(part), "{part}");
    }
}

#[test]
fn the_conversation_may_end_an_utterance_first() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "eot_threshold = 1.0\neager_eot_threshold = 0", "");
    run(async {
        let mut call = Call::open(&engines, "flux", 16_000);
        for utterance in [ONE, TWO] {
            let events = speak(&mut call, utterance).await;
            assert!(!events.iter().any(SttEvent::is_last), "{events:?}");
            call.session.end(utterance, call.position);
            assert_eq!(call.last().await, words(utterance), "only its own words");
        }
    });
}

#[test]
fn a_short_utterance_and_a_cough_have_their_words_soon() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "", "");
    run(async {
        let mut call = Call::open(&engines, "flux", 8_000);
        call.session.begin(ONE, 0);
        call.sound(640, 5_000).await;
        call.session.end(ONE, 640);
        assert_eq!(call.last().await, SttEvent::Final { utterance: ONE, text: String::new() });
        call.session.begin(TWO, call.position);
        call.sound(2_400, 5_000).await;
        call.session.end(TWO, call.position);
        let (SttEvent::TurnEnded { text, .. } | SttEvent::Final { text, .. }) = call.last().await else {
            panic!("no words")
        };
        assert!(text.starts_with("What are"), "{text}");
    });
    assert_eq!(vendor.requests(Kind::Stt).len(), 1);
}

#[test]
fn a_connection_that_is_lost_in_mid_utterance_loses_no_words() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "", "");
    vendor.fail_live(&[LiveFault::CloseAfter(700)]);
    run(async {
        let mut call = Call::open(&engines, "flux", 8_000);
        assert_eq!(speak_to_the_end(&mut call, ONE).await.last(), Some(&ended(ONE)));
    });
    assert_eq!(vendor.requests(Kind::Stt).len(), 2);
}

#[test]
fn a_server_without_words_fails_the_utterance_and_is_left() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "", "");
    vendor.fail_live(&[LiveFault::MuteWords]);
    run(async {
        let mut call = Call::open(&engines, "flux", 8_000);
        let (_, last) = call.utter(ONE).await;
        let SttEvent::Failed { error, .. } = last else { panic!("{last:?}") };
        assert_eq!(error.reason(), FailureReason::Timeout);
        assert_eq!(speak_to_the_end(&mut call, TWO).await.last(), Some(&ended(TWO)), "the next connection");
    });
}

#[test]
fn the_fallback_transcribes_the_utterances_that_fail() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "", "stt.fallback = \"whisper\"");
    run(async {
        for fault in [LiveFault::MuteWords, LiveFault::Garbage] {
            vendor.fail_live(&[fault, fault, fault]);
            let mut call = Call::open(&engines, "flux", 8_000);
            assert_eq!(call.utter(ONE).await.1, words(ONE), "{fault:?}");
            let covered = call.meter.covered.take();
            assert_eq!(covered.first().map(|it| &*it.engine), Some("flux"), "{fault:?}");
        }
    });
}

#[test]
fn refusals_have_the_vendors_reason() {
    let vendor = Vendor::start();
    for (mood, reason) in [
        (Mood::WrongKey, FailureReason::Auth),
        (Mood::RateLimited, FailureReason::Busy),
        (Mood::OutOfQuota, FailureReason::Quota),
        (Mood::Broken, FailureReason::Unavailable),
    ] {
        vendor.feels(Kind::Stt, mood);
        let engines = configured(&vendor, "", "");
        run(async {
            let mut call = Call::open(&engines, "flux", 8_000);
            let (_, last) = call.utter(ONE).await;
            let SttEvent::Failed { error, .. } = last else { panic!("{last:?}") };
            assert_eq!(error.reason(), reason, "{error}");
            assert!(!error.to_string().contains(KEY), "{error}");
        });
    }
}

#[test]
fn it_transcribes_clips_as_the_fallback_of_another_engine() {
    let vendor = Vendor::start();
    let broken = Vendor::start();
    broken.feels(Kind::Stt, Mood::WrongKey);
    let settings = format!(
        "stt.fallback = \"flux\"\n[engines.flux]\nkind = \"stt\"\napi = \"deepgram-flux\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
         [engines.whisper]\nkind = \"stt\"\napi = \"openai\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n",
        vendor.live_url("/deepgram/v2"),
        broken.base_url()
    );
    let engines = engines(&settings);
    run(async {
        let mut call = Call::open(&engines, "whisper", 8_000);
        assert_eq!(call.utter(ONE).await.1, words(ONE));
    });
}
