//! Speech by Deepgram over its WebSocket, which carries one speech at a time.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use tokio::time::timeout;
use vca::audio::Clip;
use vca::engines::core::usage::Meter;
use vca::engines::tts::Tts;

use super::contexts::{
    begun, configured, configured_with, connections, extent, spoken, spoken_in_parts, texts, voice, words,
};
use super::named::run;
use crate::support::vendor::{Kind, Vendor};

const PARTS: &str = "partial_text = true";

/// The messages of a type that were sent so far.
fn sent(vendor: &Vendor, kind: &str) -> usize {
    let messages = vendor.requests(Kind::Tts).into_iter().map(|request| request.json());
    messages.filter(|message| message["type"] == kind).count()
}

/// Waits until the server was sent so many messages of a type.
async fn until_sent(vendor: &Vendor, kind: &str, count: usize) {
    let all = async {
        while sent(vendor, kind) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), all).await.expect("the message is sent");
}

/// Begins a speech, hears its first piece, and gives up the rest.
async fn interrupted(engine: &dyn Tts) {
    let speech = engine.speak("A long story. ".repeat(9).into(), voice(8_000), Meter::default()).await;
    let first = speech.expect("a speech").next().await.expect("audio").expect("audio");
    assert!(first.duration() < Duration::from_secs(4));
}

#[test]
fn speeches_one_after_the_other_use_a_connection_that_was_opened_before() {
    let vendor = Vendor::start();
    let engines = configured(&vendor);
    run(async {
        let engine = engines.tts(Some("aura")).expect("an engine");
        engine.connect(voice(8_000)).await;
        assert_eq!(connections(&vendor), 1);
        for text in ["Hello.", "We are open."] {
            let clips = spoken(&engines, "aura", text, 8_000).await.expect("a speech");
            assert_eq!(extent(&clips), (8_000, 500 + 30 * text.len()));
        }
        assert_eq!(connections(&vendor), 1);
        let both = tokio::join!(
            spoken(&engines, "aura", "One.", 8_000),
            spoken(&engines, "aura", "And two.", 8_000)
        );
        let lengths = [both.0, both.1].map(|clips| extent(&clips.expect("a speech")).1);
        assert_eq!((lengths, connections(&vendor)), ([620, 740], 2));
    });
}

#[test]
fn no_audio_of_an_interrupted_speech_is_heard_in_the_next() {
    let vendor = Vendor::start();
    let engines = configured(&vendor);
    run(async {
        let engine = engines.tts(Some("aura")).expect("an engine");
        for count in 1..=6 {
            interrupted(&*engine).await;
            if count % 2 == 0 {
                until_sent(&vendor, "Clear", count).await;
            }
            let clips = spoken(&engines, "aura", "Yes?", 8_000).await.expect("a speech");
            assert_eq!(extent(&clips), (8_000, 620));
        }
        until_sent(&vendor, "Clear", 6).await;
    });
    assert!(connections(&vendor) <= 3, "{} connections", connections(&vendor));
}

#[test]
fn words_as_they_are_written_are_one_speech() {
    let vendor = Vendor::start();
    let engines = configured_with(&vendor, PARTS);
    run(async {
        let engine = engines.tts(Some("aura")).expect("an engine");
        assert!(engine.takes_parts());
        let meter = Meter::default();
        let clips = spoken_in_parts(&*engine, &["We ", "We are "], "We are open.", &meter).await;
        assert_eq!(extent(&clips.expect("a speech")), (8_000, 860));
        assert!(words(&meter).is_empty(), "the server reports no times");
        let counts: Vec<_> =
            meter.total().iter().map(|(item, count)| (item.model.to_string(), *count)).collect();
        assert_eq!(counts, [("aura-2".to_owned(), 1), ("aura-2".to_owned(), 12)], "one request");
        let whole = engine.speak("We are open.".into(), voice(8_000), meter.clone()).await;
        let whole: Vec<Clip> = whole.expect("a speech").try_collect().await.expect("a speech");
        assert_eq!(extent(&whole), (8_000, 860));
    });
    assert_eq!(texts(&vendor), ["We ", "are ", "open.", "We are open."]);
    assert_eq!((sent(&vendor, "Flush"), connections(&vendor)), (2, 1));
}

#[test]
fn words_that_are_given_up_are_cleared_and_spoken_by_no_other_speech() {
    let vendor = Vendor::start();
    let engines = configured_with(&vendor, PARTS);
    run(async {
        let engine = engines.tts(Some("aura")).expect("an engine");
        for count in 1..=6 {
            drop(begun(&*engine, &["A long "], &Meter::default()).await.expect("a speech"));
            until_sent(&vendor, "Clear", count).await;
            let meter = Meter::default();
            let clips = spoken_in_parts(&*engine, &["We are "], "We are open.", &meter).await;
            assert_eq!(extent(&clips.expect("a speech")), (8_000, 860));
        }
    });
    assert_eq!(sent(&vendor, "Flush"), 6, "words that are given up are not spoken");
    assert!(connections(&vendor) <= 3, "{} connections", connections(&vendor));
}

/// The server closes a connection with too many characters in a minute, and does not speak after too many flushes.
#[test]
fn the_limits_of_a_connection_are_kept_by_opening_another() {
    for (text, speeches, expected) in [("Hi.".to_owned(), 25, 2), ("Word. ".repeat(80), 11, 3)] {
        let vendor = Vendor::start();
        let engines = configured(&vendor);
        run(async {
            for _ in 0..speeches {
                let clips = spoken(&engines, "aura", &text, 8_000).await.expect("a speech");
                assert_eq!(extent(&clips), (8_000, 500 + 30 * text.trim().len()));
            }
        });
        assert_eq!(connections(&vendor), expected, "{speeches} speeches of {} characters", text.len());
    }
}
