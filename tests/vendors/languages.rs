//! The language of a call, as each vendor takes it. The local servers refuse codes that the vendors refuse.

use futures_util::TryStreamExt;
use vca::audio::Clip;
use vca::engines::core::usage::Meter;
use vca::engines::registry::Engines;
use vca::engines::stt::{Hints, recognise};
use vca::engines::tts::Voice;

use super::named::{engines, run};
use crate::support::vendor::{KEY, Kind, Request, Vendor};

/// Tags with and without region, and those of which the vendors' codes differ.
const TAGS: [&str; 10] =
    ["en", "en-IN", "de-AT", "hi-IN", "pt-BR", "es-MX", "nb-NO", "fil-PH", "yue-Hant-HK", "sw-KE"];

/// Engines of these APIs at the vendor, named by it, with these further settings.
fn at(kind: &str, engines_of: &[(&str, String)], more: &str) -> Engines {
    let engine = |(api, base_url): &(&str, String)| {
        format!(
            "[engines.{kind}-{api}]\nkind = \"{kind}\"\napi = \"{api}\"\nbase_url = \"{base_url}\"\nkey = \"{KEY}\"\n\
             retry = {{ retries = 0 }}\n{more}\n"
        )
    };
    engines(&engines_of.iter().map(engine).collect::<String>())
}

async fn speak(engines: &Engines, name: &str, tag: &str) {
    let voice = Voice { language: Some(tag.into()), ..Voice::default() };
    let engine = engines.tts(Some(name)).expect("an engine");
    let pieces = engine.speak("Hello.".into(), voice, Meter::default()).await;
    let pieces = pieces.unwrap_or_else(|error| panic!("{name} {tag}: {error}"));
    pieces.try_collect::<Vec<Clip>>().await.expect("a speech");
}

#[test]
fn every_voice_speaks_the_language_of_the_call() {
    let vendor = Vendor::start();
    let urls = [
        ("elevenlabs", vendor.url("/elevenlabs/v1")),
        ("cartesia", vendor.url("/cartesia")),
        ("deepgram", vendor.url("/deepgram/v1")),
        ("openai", vendor.base_url()),
    ];
    let engines = at("tts", &urls, "");
    for (api, field, expected) in [
        ("elevenlabs", "language_code", "en en de hi pt es no fil zh -"),
        ("cartesia", "language", "en en de hi pt es no tl zh -"),
        ("deepgram", "language", "- - - - - - - - - -"),
        ("openai", "language", "- - - - - - - - - -"),
    ] {
        let before = vendor.requests(Kind::Tts).len();
        run(async {
            for tag in TAGS {
                speak(&engines, &format!("tts-{api}"), tag).await;
            }
        });
        let requests = &vendor.requests(Kind::Tts)[before..];
        let codes = requests.iter().map(|it| it.json()[field].as_str().unwrap_or("-").to_owned());
        assert_eq!(codes.collect::<Vec<_>>().join(" "), expected, "{api}");
    }
}

#[test]
fn an_operator_may_map_languages_to_a_vendors_codes() {
    let vendor = Vendor::start();
    let urls = [("elevenlabs", vendor.url("/elevenlabs/v1"))];
    let engines = at("tts", &urls, "languages = { sw = \"en\", hi = \"\" }");
    run(async {
        for tag in ["sw-KE", "hi-IN", "de"] {
            speak(&engines, "tts-elevenlabs", tag).await;
        }
    });
    let requests = vendor.requests(Kind::Tts);
    let codes: Vec<_> = requests.iter().map(|it| it.json()["language_code"].clone()).collect();
    assert_eq!(codes, ["en".into(), serde_json::Value::Null, "de".into()]);
}

async fn hear(engines: &Engines, name: &str, tag: &str) {
    let hints = Hints { language: Some(tag.into()), ..Hints::default() };
    let engine = engines.stt(Some(name)).expect("an engine");
    let speech = Clip::new(8_000, vec![5_000; 8_000]);
    let words = recognise(&*engine, speech, hints, Meter::default()).await;
    assert!(words.is_ok(), "{name} {tag}: {words:?}");
}

#[test]
fn every_recogniser_hears_the_language_of_the_call() {
    let vendor = Vendor::start();
    let live = |path| vendor.live_url(path);
    let urls = [
        ("deepgram", live("/deepgram/v1")),
        ("elevenlabs", live("/elevenlabs/v1")),
        ("openai-realtime", live("/v1")),
        ("openai", vendor.base_url()),
    ];
    let engines = at("stt", &urls, "languages = { sw = \"en\" }");
    let expected = [
        ("deepgram", "language=", "en en-IN de hi pt-BR es-419 no tl zh-HK en"),
        ("elevenlabs", "language_code=", "en en de hi pt es no fil yue en"),
        ("openai", "name=\"language\"\r\n\r\n", "en en de hi pt es no tl zh en"),
    ];
    run(async {
        for tag in TAGS {
            // The local server refuses what the vendor refuses.
            hear(&engines, "stt-openai-realtime", tag).await;
        }
    });
    for (api, field, codes) in expected {
        let before = vendor.requests(Kind::Stt).len();
        run(async {
            for tag in TAGS {
                hear(&engines, &format!("stt-{api}"), tag).await;
            }
        });
        let requests = &vendor.requests(Kind::Stt)[before..];
        for ((request, code), tag) in requests.iter().zip(codes.split(' ')).zip(TAGS) {
            assert!(has_code(request, field, code), "{api} {tag}: not {code}");
        }
        assert_eq!(requests.len(), TAGS.len());
    }
}

/// Whether the field has this code and no longer one.
fn has_code(request: &Request, field: &str, code: &str) -> bool {
    request.contains(&format!("{field}{code}")) && !request.contains(&format!("{field}{code}-"))
}
