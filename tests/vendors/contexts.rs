//! Speech over WebSockets, against the local servers of the vendors.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use vca::audio::Clip;
use vca::engines::core::EngineError;
use vca::engines::core::usage::Meter;
use vca::engines::registry::Engines;
use vca::engines::tts::Voice;

use super::named::{engines, run};
use crate::support::vendor::{KEY, Kind, LiveFault, Mood, Vendor};

/// The engine of each vendor.
const ENGINES: [(&str, &str, &str); 2] =
    [("eleven", "elevenlabs", "/elevenlabs/v1"), ("sonic", "cartesia", "/cartesia")];

fn configured(vendor: &Vendor) -> Engines {
    let engine = |(name, api, path): &(&str, &str, &str)| {
        format!(
            "[engines.{name}]\nkind = \"tts\"\napi = \"{api}\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
             transport = \"websocket\"\nretry = {{ retries = 0, timeout_ms = 2100 }}\n",
            vendor.live_url(path)
        )
    };
    engines(&ENGINES.iter().map(engine).collect::<String>())
}

fn voice(rate: u32) -> Voice {
    Voice { language: Some("de".into()), ..Voice::default() }.at_rate(rate)
}

async fn spoken(engines: &Engines, name: &str, text: &str, rate: u32) -> Result<Vec<Clip>, EngineError> {
    let engine = engines.tts(Some(name)).expect("an engine");
    engine.speak(text.into(), voice(rate), Meter::default()).await?.try_collect().await
}

/// The rate and the length of a speech, in milliseconds.
fn extent(clips: &[Clip]) -> (u32, usize) {
    let samples: usize = clips.iter().map(|clip| clip.samples.len()).sum();
    (clips[0].rate, samples * 1_000 / clips[0].rate as usize)
}

/// How many connections were opened: what follows on them is JSON.
fn connections(vendor: &Vendor) -> usize {
    vendor.requests(Kind::Tts).iter().filter(|request| request.json().is_null()).count()
}

#[test]
fn speeches_use_a_connection_that_was_opened_before() {
    for (name, ..) in ENGINES {
        let vendor = Vendor::start();
        let engines = configured(&vendor);
        run(async {
            let engine = engines.tts(Some(name)).expect("an engine");
            engine.connect(voice(8_000)).await;
            assert_eq!(connections(&vendor), 1, "{name}");
            for text in ["Hello.", "We are open."] {
                let clips = spoken(&engines, name, text, 8_000).await.expect("a speech");
                assert_eq!(extent(&clips), (8_000, 500 + 30 * text.len()), "{name}");
            }
            let both = tokio::join!(
                spoken(&engines, name, "One.", 8_000),
                spoken(&engines, name, "And two.", 8_000)
            );
            let lengths = [both.0, both.1].map(|clips| extent(&clips.expect("a speech")).1);
            assert_eq!(lengths, [620, 740], "{name}");
            assert_eq!(connections(&vendor), 1, "{name}");
        });
    }
}

#[test]
fn a_speech_that_is_cancelled_costs_no_connection() {
    for (name, ..) in ENGINES {
        let vendor = Vendor::start();
        let engines = configured(&vendor);
        run(async {
            let engine = engines.tts(Some(name)).expect("an engine");
            for _ in 0..12 {
                let speech = engine.speak("A long story.".into(), voice(8_000), Meter::default()).await;
                let first = speech.expect("a speech").next().await.expect("audio").expect("audio");
                assert!(first.duration() < Duration::from_millis(890), "{name}");
            }
            let clips = spoken(&engines, name, "Yes?", 8_000).await.expect("a speech");
            assert_eq!(extent(&clips), (8_000, 620), "{name}: only its own audio");
            assert_eq!(connections(&vendor), 1, "{name}");
        });
        let cancelled = vendor.requests(Kind::Tts).iter().filter(|it| it.json()["cancel"] == true).count();
        assert!(name == "eleven" || cancelled > 0, "{name}: {cancelled}");
    }
}

/// The tone of the local servers has 400 Hz and an amplitude of 8,000; mu-law is within three per cent of it.
fn assert_tone(clips: &[Clip], name: &str) {
    let (rate, samples) = (f64::from(clips[0].rate), clips.iter().flat_map(|clip| clip.samples.iter()));
    let samples: Vec<f64> = samples.map(|sample| f64::from(*sample)).collect();
    let power = samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len() as f64;
    assert!((power.sqrt() - 8_000.0 / 2f64.sqrt()).abs() < 100.0, "{name}: level {}", power.sqrt());
    let crossings = samples.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count() as f64;
    let expected = 800.0 * samples.len() as f64 / rate;
    assert!((crossings - expected).abs() < 3.0, "{name}: {crossings} crossings of {expected}");
    let steepest = 8_000.0 * 400.0 * std::f64::consts::TAU / rate;
    let step = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max);
    assert!(step < steepest * 1.1, "{name}: a click of {step}");
}

#[test]
fn each_call_gets_its_own_rate() {
    for (name, ..) in ENGINES {
        for (format, transport) in
            [("pcm", "websocket"), ("mulaw", "websocket"), ("pcm", "http"), ("mulaw", "http")]
        {
            let vendor = Vendor::start();
            let engine = |(name, api, path): &(&str, &str, &str)| {
                format!(
                    "[engines.{name}]\nkind = \"tts\"\napi = \"{api}\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
                     transport = \"{transport}\"\nformat = \"{format}\"\n",
                    vendor.live_url(path)
                )
            };
            let engines = engines(&ENGINES.iter().map(engine).collect::<String>());
            run(async {
                for rate in [8_000, 16_000] {
                    let clips = spoken(&engines, name, "Hello.", rate).await.expect("a speech");
                    assert_eq!(extent(&clips), (rate, 680), "{name} {format} {transport}");
                    assert_tone(&clips, name);
                }
            });
        }
    }
}

#[test]
fn a_speech_breaks_off_with_its_connection() {
    for (name, ..) in ENGINES {
        let vendor = Vendor::start();
        let engines = configured(&vendor);
        vendor.fail_live(&[LiveFault::CloseAfter(300)]);
        run(async {
            let engine = engines.tts(Some(name)).expect("an engine");
            let speech =
                engine.speak("Hello.".into(), voice(8_000), Meter::default()).await.expect("a speech");
            let pieces: Vec<_> = speech.collect().await;
            assert!(pieces.len() == 2 && pieces[0].is_ok() && pieces[1].is_err(), "{name}: {pieces:?}");
        });
    }
}

#[test]
fn the_speech_after_a_connection_that_failed_has_a_new_one() {
    for (name, ..) in ENGINES {
        for fault in [LiveFault::Mute, LiveFault::Garbage, LiveFault::CloseAfter(0)] {
            let vendor = Vendor::start();
            let engines = configured(&vendor);
            vendor.fail_live(&[fault]);
            run(async {
                let error = spoken(&engines, name, "Hello.", 8_000).await.expect_err("a fault");
                assert!(error.worth_retrying(), "{name}: {fault:?}: {error}");
                let clips = spoken(&engines, name, "Hello.", 8_000).await.expect("a speech");
                assert_eq!(extent(&clips), (8_000, 680), "{name}: {fault:?}");
                assert_eq!(connections(&vendor), 2, "{name}: {fault:?}");
            });
        }
    }
}

#[test]
fn a_connection_that_was_closed_while_it_was_idle_is_no_failure() {
    for (name, ..) in ENGINES {
        let vendor = Vendor::start();
        let engines = configured(&vendor);
        vendor.fail_live(&[LiveFault::CloseAfter(0)]);
        run(async {
            let engine = engines.tts(Some(name)).expect("an engine");
            engine.connect(voice(8_000)).await;
            let clips = spoken(&engines, name, "Hello.", 8_000).await.expect("a speech");
            assert_eq!((extent(&clips), connections(&vendor)), ((8_000, 680), 2), "{name}");
        });
    }
}

#[test]
fn refusals_state_the_vendors_reason() {
    for (name, ..) in ENGINES {
        for (mood, words, is_temporary) in [
            (Mood::WrongKey, "key", false),
            (Mood::RateLimited, "oo many", true),
            (Mood::OutOfQuota, "credits", false),
        ] {
            let vendor = Vendor::start();
            let engines = configured(&vendor);
            vendor.feels(Kind::Tts, mood);
            let error = run(spoken(&engines, name, "Hello.", 8_000)).expect_err("a refusal");
            assert!(error.to_string().contains(words), "{name}: {error}");
            assert_eq!(error.worth_retrying(), is_temporary, "{name}: {error}");
        }
    }
}
