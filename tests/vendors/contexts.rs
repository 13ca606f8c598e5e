//! Speech over WebSockets, against the local servers of the vendors.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use tokio::time::timeout;
use vca::audio::Clip;
use vca::engines::core::EngineError;
use vca::engines::core::usage::Meter;
use vca::engines::registry::Engines;
use vca::engines::tts::{BegunSpeech, Tts, Voice};

use super::named::{engines, run};
use crate::support::vendor::{KEY, Kind, LiveFault, Mood, Vendor};

/// The engine of each vendor of which a connection carries several speeches at once.
const ENGINES: [(&str, &str, &str); 2] =
    [("eleven", "elevenlabs", "/elevenlabs/v1"), ("sonic", "cartesia", "/cartesia")];
/// All of them, with the one of which a connection carries one at a time.
const ALL: [(&str, &str, &str); 3] = [ENGINES[0], ENGINES[1], ("aura", "deepgram", "/deepgram/v1")];

pub fn configured(vendor: &Vendor) -> Engines {
    configured_with(vendor, "")
}

/// The engines with further settings.
pub fn configured_with(vendor: &Vendor, settings: &str) -> Engines {
    let engine = |(name, api, path): &(&str, &str, &str)| {
        format!(
            "[engines.{name}]\nkind = \"tts\"\napi = \"{api}\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
             transport = \"websocket\"\nretry = {{ retries = 0, timeout_ms = 2100 }}\n{settings}\n",
            vendor.live_url(path)
        )
    };
    engines(&ALL.iter().map(engine).collect::<String>())
}

pub fn voice(rate: u32) -> Voice {
    Voice { language: Some("de".into()), ..Voice::default() }.at_rate(rate)
}

pub async fn spoken(engines: &Engines, name: &str, text: &str, rate: u32) -> Result<Vec<Clip>, EngineError> {
    let engine = engines.tts(Some(name)).expect("an engine");
    engine.speak(text.into(), voice(rate), Meter::default()).await?.try_collect().await
}

/// The rate and the length of a speech, in milliseconds.
pub fn extent(clips: &[Clip]) -> (u32, usize) {
    let samples: usize = clips.iter().map(|clip| clip.samples.len()).sum();
    (clips[0].rate, samples * 1_000 / clips[0].rate as usize)
}

/// How many connections were opened: what follows on them is JSON.
pub fn connections(vendor: &Vendor) -> usize {
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
    for (name, ..) in ALL {
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
            let engines = engines(&ALL.iter().map(engine).collect::<String>());
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
    for (name, ..) in ALL {
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
    for (name, ..) in ALL {
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
    for (name, ..) in ALL {
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
    for (name, ..) in ALL {
        for (mood, words, is_temporary) in [
            (Mood::WrongKey, "Invalid", false),
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

/// Begins a speech of a text by its first words.
pub async fn begun(engine: &dyn Tts, beginnings: &[&str], meter: &Meter) -> Result<BegunSpeech, EngineError> {
    let speech = engine.open(voice(8_000), meter.clone()).await?;
    let mut begun = BegunSpeech::new(speech, voice(8_000));
    for beginning in beginnings {
        begun.say(beginning).await?;
    }
    Ok(begun)
}

pub async fn spoken_in_parts(
    engine: &dyn Tts,
    beginnings: &[&str],
    text: &str,
    meter: &Meter,
) -> Result<Vec<Clip>, EngineError> {
    let begun = begun(engine, beginnings, meter).await?;
    engine.speak_begun(begun, text.into(), voice(8_000), meter.clone()).await?.try_collect().await
}

/// The letters up to the end of each word of a speech, and that end in milliseconds.
pub fn words(meter: &Meter) -> Vec<(u32, u128)> {
    meter.timing.words().iter().map(|word| (word.letters, word.at.as_millis())).collect()
}

/// Those of "We are open." ElevenLabs reports the characters of each message, Cartesia leaves out the full stop, and Deepgram
/// reports none.
fn open_words(name: &str) -> Vec<(u32, u128)> {
    match name {
        "eleven" => vec![(2, 143), (5, 430), (7, 645), (9, 860)],
        "aura" => vec![],
        _ => vec![(2, 143), (5, 430), (9, 788)],
    }
}

/// The texts of the messages that have words.
pub fn texts(vendor: &Vendor) -> Vec<String> {
    let requests = vendor.requests(Kind::Tts).into_iter().map(|request| request.json());
    let text = |message: serde_json::Value| {
        let text = message["text"].as_str().or(message["transcript"].as_str())?;
        (!text.trim().is_empty()).then(|| text.to_owned())
    };
    requests.filter_map(text).collect()
}

#[test]
fn a_text_in_parts_is_one_speech_and_its_words_have_times() {
    for (name, ..) in ENGINES {
        let vendor = Vendor::start();
        let engines = configured_with(&vendor, "partial_text = true");
        run(async {
            let engine = engines.tts(Some(name)).expect("an engine");
            assert!(engine.takes_parts(), "{name}");
            let meter = Meter::default();
            let parts = spoken_in_parts(&*engine, &["We ", "We are "], "We are open.", &meter);
            assert_eq!(extent(&parts.await.expect("a speech")), (8_000, 860), "{name}");
            assert_eq!(words(&meter), open_words(name), "{name}");
            let characters = meter.total().iter().map(|(_, count)| *count).collect::<Vec<_>>();
            assert_eq!(characters, [1, 12], "{name}: one request");
            // A whole text has times as well.
            let meter = Meter::default();
            let whole = engine.speak("We are open.".into(), voice(8_000), meter.clone()).await;
            let whole: Vec<Clip> = whole.expect("a speech").try_collect().await.expect("a speech");
            assert_eq!((extent(&whole).1, words(&meter)), (860, open_words(name)), "{name}");
        });
        let last = if name == "eleven" { "open. " } else { "open." };
        let whole = format!("We are {last}");
        assert_eq!(texts(&vendor), ["We ", "are ", last, whole.as_str()], "{name}");
        assert_eq!(connections(&vendor), 1, "{name}");
    }
}

#[test]
fn a_long_text_in_parts_is_spoken_before_it_is_complete() {
    let vendor = Vendor::start();
    let engines = configured_with(&vendor, "partial_text = true");
    run(async {
        let engine = engines.tts(Some("eleven")).expect("an engine");
        let (first, meter) = ("A really long sentence goes on and on and on and on ", Meter::default());
        let speech = begun(&*engine, &[first], &meter).await.expect("a speech");
        let text = format!("{first}until its end.");
        let clips = engine.speak_begun(speech, text.into(), voice(8_000), meter).await.expect("a speech");
        let clips: Vec<Clip> = clips.try_collect().await.expect("a speech");
        // Two speeches of the local server, each with half a second of its own.
        assert_eq!(extent(&clips), (8_000, 500 + 30 * 51 + 500 + 30 * 14));
    });
}

#[test]
fn a_text_that_goes_on_in_another_way_is_spoken_anew() {
    for (name, ..) in ENGINES {
        let vendor = Vendor::start();
        let engines = configured_with(&vendor, "partial_text = true");
        run(async {
            let engine = engines.tts(Some(name)).expect("an engine");
            let meter = Meter::default();
            let clips = spoken_in_parts(&*engine, &["You "], "We are open.", &meter).await;
            assert_eq!(extent(&clips.expect("a speech")), (8_000, 860), "{name}");
            assert_eq!(words(&meter), open_words(name), "{name}: of the second speech only");
        });
        assert_eq!(connections(&vendor), 1, "{name}");
    }
}

/// The contexts that the server was told to end before their text was complete.
fn given_up(vendor: &Vendor) -> usize {
    let messages = vendor.requests(Kind::Tts).into_iter().map(|request| request.json());
    messages.filter(|message| message["close_context"] == true || message["cancel"] == true).count()
}

#[test]
fn words_that_are_given_up_cost_no_connection_and_no_context() {
    for (name, ..) in ENGINES {
        let vendor = Vendor::start();
        let engines = configured_with(&vendor, "partial_text = true");
        run(async {
            let engine = engines.tts(Some(name)).expect("an engine");
            for count in 1..=12 {
                drop(begun(&*engine, &["A long "], &Meter::default()).await.expect("a speech"));
                let ended = async {
                    while given_up(&vendor) < count {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                timeout(Duration::from_secs(5), ended).await.expect("the server is told to end its context");
            }
            let clips = spoken(&engines, name, "Yes?", 8_000).await.expect("a speech");
            assert_eq!(extent(&clips), (8_000, 620), "{name}: only its own audio");
        });
        assert_eq!(connections(&vendor), 1, "{name}");
    }
}

#[test]
fn a_text_in_parts_of_which_the_connection_breaks_is_spoken_anew() {
    for (name, ..) in ALL {
        for fault in [LiveFault::CloseAfter(0), LiveFault::Garbage] {
            let vendor = Vendor::start();
            let engines = configured_with(&vendor, "partial_text = true");
            vendor.fail_live(&[fault]);
            run(async {
                let engine = engines.tts(Some(name)).expect("an engine");
                let meter = Meter::default();
                let clips = spoken_in_parts(&*engine, &["We are "], "We are open.", &meter).await;
                assert_eq!(extent(&clips.expect("a speech")), (8_000, 860), "{name}: {fault:?}");
                assert_eq!(words(&meter), open_words(name), "{name}: {fault:?}");
            });
            assert_eq!(connections(&vendor), 2, "{name}: {fault:?}");
        }
    }
}

#[test]
fn times_that_cannot_be_cost_no_audio() {
    for (name, ..) in ENGINES {
        let vendor = Vendor::start();
        let engines = configured_with(&vendor, "partial_text = true");
        vendor.fail_live(&[LiveFault::WrongTimes]);
        run(async {
            let engine = engines.tts(Some(name)).expect("an engine");
            let meter = Meter::default();
            let clips = spoken_in_parts(&*engine, &["We are "], "We are open.", &meter).await;
            assert_eq!((extent(&clips.expect("a speech")).1, words(&meter).len()), (860, 0), "{name}");
        });
    }
}
