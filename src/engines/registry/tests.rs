//! The registry, and the local engines truly run: they speak to each other.

use std::time::{Duration, Instant};

use futures_util::StreamExt;

use super::*;
use crate::audio::{Clip, resample};
use crate::engines::core::retry::Kind;
use crate::engines::core::shares::{EngineShares, Scale};
use crate::engines::core::usage::Meter;
use crate::engines::llm::{Delta, Message, Prompt};
use crate::engines::stt::{Hints, recognise};
use crate::engines::tts::Voice;
use crate::names::Names;

fn settings(toml: &str) -> Settings {
    toml::from_str(toml).unwrap_or_else(|e| panic!("{e}"))
}

fn engines(toml: &str) -> Engines {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Engines::build(&settings(toml)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn faults(toml: &str) -> Vec<String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Engines::build(&settings(toml)) {
        Ok(_) => panic!("no fault in {toml}"),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

/// A text spoken by an engine, and how soon the first of it came.
async fn spoken(tts: &dyn Tts, text: &str, voice: Voice) -> (Clip, Duration) {
    let begun = Instant::now();
    let mut pieces =
        tts.speak(text.into(), voice, Meter::default()).await.unwrap_or_else(|e| panic!("{text}: {e}"));
    let (mut rate, mut samples, mut first) = (0, Vec::new(), None);
    while let Some(clip) = pieces.next().await {
        let clip = clip.unwrap_or_else(|e| panic!("{text}: {e}"));
        first.get_or_insert(begun.elapsed());
        rate = clip.rate;
        samples.extend_from_slice(&clip.samples);
    }
    (Clip::new(rate, samples), first.expect("a sound"))
}

#[test]
fn the_defaults_are_local_without_a_key() {
    let engines = engines("");
    assert_eq!(engines.stt_names(), ["pocketsphinx"]);
    assert_eq!(engines.llm_names(), ["scripted"]);
    assert_eq!(engines.tts_names(), ["espeak", "flite"]);
    assert_eq!(engines.tts(Some("flite")).expect("flite").name().as_ref(), "flite");
    assert!(engines.tts(Some("openai")).is_none());
}

#[test]
fn a_key_makes_openai_the_default_but_only_the_default() {
    let engines = engines("openai.key = \"k\"\ntts.default = \"flite\"\ntts.fallback = \"espeak\"");
    assert_eq!(engines.stt(None).expect("stt").name().as_ref(), "openai");
    assert_eq!(engines.llm(None).expect("llm").name().as_ref(), "openai");
    assert_eq!(engines.tts_names(), ["flite", "espeak", "openai"]);
    assert_eq!(engines.stt_names(), ["openai", "pocketsphinx"]);
    assert_eq!(engines.llm_names(), ["openai", "scripted"]);
}

#[test]
fn the_catalogue_lists_the_built_engines_with_their_names() {
    let local = engines("tts.default = \"flite\"").catalogue();
    let names = |engines: &[EngineNames]| engines.iter().map(|it| it.engine.clone()).collect::<Vec<_>>();
    assert_eq!(names(&local.tts), ["flite", "espeak"]);
    assert!(local.tts[0].voices.check("slt").is_ok() && local.tts[0].voices.check("en-us").is_err());
    let cloud = engines("openai.key = \"k\"\nllm.openai = { model = \"a\", models = [\"b\"] }").catalogue();
    assert_eq!(cloud.llm[0], EngineNames::new("openai", Names::listed(&["a", "b"]), Names::None));
    let every = settings("tts.default = \"espeak\"").catalogue();
    assert_eq!(names(&every.tts), ["espeak", "openai", "flite"]);
}

#[test]
fn named_engines_are_chosen_by_name() {
    let engines = engines(
        "llm.default = \"groq\"\nllm.fallback = \"near\"\n\
         [engines.groq]\nkind = \"llm\"\napi = \"openai\"\nbase_url = \"http://127.0.0.1:1\"\nmodel = \"a\"\nmodels = [\"b\"]\n\
         [engines.near]\nkind = \"llm\"\napi = \"openai\"\nbase_url = \"http://127.0.0.1:2\"\nmodel = \"c\"\n\
         [engines.robot]\nkind = \"tts\"\napi = \"espeak\"\nvoice = \"de\"",
    );
    assert_eq!(engines.llm_names(), ["groq", "near", "scripted"]);
    assert_eq!(engines.tts_names(), ["espeak", "flite", "robot"]);
    assert_eq!(engines.llm(None).expect("groq").name().as_ref(), "groq");
    assert!(engines.llm(Some("robot")).is_none(), "an engine of another kind");
    let catalogue = engines.catalogue();
    assert_eq!(catalogue.llm[0], EngineNames::new("groq", Names::listed(&["a", "b"]), Names::None));
    assert_eq!(catalogue.llm[1], EngineNames::new("near", Names::listed(&["c"]), Names::None));
}

#[test]
fn fallbacks_are_a_name_or_a_list() {
    let read = |toml: &str| settings(toml).tts.fallback;
    assert_eq!(read("tts.fallback = \"espeak\""), ["espeak"].into());
    assert_eq!(read("tts.fallback = [\"flite\", \"espeak\"]"), ["flite", "espeak"].into());
    assert_eq!(read(""), Fallbacks::default());
    assert!(toml::from_str::<Settings>("tts.fallback = 3").is_err());
    let reported = faults("tts.fallback = [\"espeak\", \"parrot\", \"openai\"]");
    assert_eq!(reported.len(), 2, "{reported:?}");
    let states = engines("tts.fallback = [\"flite\", \"espeak\"]").states();
    let states: Vec<_> = states.iter().map(|it| (&*it.engine, it.health, it.is_open)).collect();
    assert!(states.contains(&("flite", 1.0, false)), "{states:?}");
    let states = engines("tts.fallback = [\"flite\", \"espeak\"]").states();
    let tts = states.iter().filter(|state| state.kind == Kind::Tts);
    let tts: Vec<_> = tts.map(|it| format!("{} {}", it.engine, it.fallbacks.concat())).collect();
    assert_eq!(tts, ["espeak flite", "flite espeak"], "the default one is first");
}

#[test]
fn parts_of_a_text_need_the_websocket() {
    for api in ["cartesia", "elevenlabs", "deepgram"] {
        let engine = |transport: &str| {
            format!(
                "[engines.voice]\nkind = \"tts\"\napi = \"{api}\"\nkey = \"k\"\npartial_text = true\n{transport}"
            )
        };
        let reported = faults(&engine(""));
        assert_eq!(reported.len(), 1, "{reported:?}");
        assert!(reported[0].contains("engines.voice.partial_text"), "{reported:?}");
        let engines = engines(&engine("transport = \"websocket\""));
        assert!(engines.tts(Some("voice")).expect("an engine").takes_parts(), "{api}");
    }
}

#[test]
fn an_account_has_an_engine_and_lends_its_key() {
    let local = engines("elevenlabs.key = \"k\"");
    assert_eq!(local.tts_names(), ["elevenlabs", "espeak", "flite"]);
    let both = engines("openai.key = \"o\"\ndeepgram.key = \"k\"\ntts.default = \"deepgram\"");
    assert_eq!((both.llm_names()[0], both.tts_names()[0]), ("openai", "deepgram"));
    assert_eq!(engines("openai.key = \"o\"\ndeepgram.key = \"k\"").tts_names()[0], "openai");
    let own = "elevenlabs.key = \"k\"\n[engines.elevenlabs]\nkind = \"tts\"\napi = \"elevenlabs\"\nrate = 8000\n\
               [engines.voice]\nkind = \"tts\"\napi = \"elevenlabs\"\n";
    assert_eq!(engines(own).tts_names(), ["elevenlabs", "espeak", "flite", "voice"]);
    let key = |toml: &str| {
        let entries = settings(toml).tts_entries();
        let entry = entries.iter().find(|entry| &*entry.name == "voice").expect("an engine");
        entry.server().expect("a server").key.is_some()
    };
    assert!(key(own));
    let elsewhere = format!("{own}base_url = \"https://proxy.example/v1\"\n");
    assert!(!key(&elsewhere), "the key is for the vendor alone");
}

/// flite takes a URL for a voice and fetches it; espeak-ng takes a path and opens it.
#[tokio::test]
async fn a_voice_that_is_a_url_or_a_path_reaches_no_program() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let url = format!("http://{}/x\r\nFLUSHALL\r\n", listener.local_addr().expect("an address"));
    let engines = engines("tts.fallback = \"espeak\"");
    for name in ["flite", "espeak"] {
        let engine = engines.tts(Some(name)).expect(name);
        for voice in [&url[..], url.trim_end(), "/etc/passwd", "../../../../etc/passwd", "-h"] {
            let voice = Voice { name: Some(voice.into()), ..Voice::default() };
            let spoken = engine.speak("Hello.".into(), voice.clone(), Meter::default()).await;
            let Err(error) = spoken else {
                // The fallback speaks with its own voice.
                assert_eq!(name, "flite", "{voice:?} is spoken");
                continue;
            };
            assert!(!error.worth_retrying() && error.to_string().contains("is not accepted"), "{error}");
        }
    }
    let language = Voice { language: Some("../../../../etc/passwd".into()), ..Voice::default() };
    let espeak = engines.tts(Some("espeak")).expect("espeak");
    assert!(espeak.speak("Hello.".into(), language, Meter::default()).await.is_err());
    let visitor = listener.accept();
    assert!(visitor.is_err(), "a program connected: {visitor:?}");
}

#[test]
fn an_empty_key_is_none() {
    assert_eq!(engines("openai.key = \"\"").llm(None).expect("llm").name().as_ref(), "scripted");
}

#[test]
fn all_faults_are_reported_at_once() {
    let reported = faults(
        "stt.default = \"whisper\"\ntts.fallback = \"openai\"\nllm.scripted.script = \"/nonexistent.toml\"\n\
         openai.base_url = \"nowhere\"\nstt.pocketsphinx.phrases = [\"xqzzy\"]\nstt.fallback = \"pocketsphinx\"",
    );
    for part in [
        "openai.base_url:",
        "llm.scripted.script:",
        "stt.pocketsphinx: not in the dictionary: xqzzy",
        "stt.default: there is no stt engine \"whisper\"",
        "tts.fallback: there is no tts engine \"openai\"",
    ] {
        assert!(reported.iter().any(|fault| fault.starts_with(part)), "no {part:?} in {reported:#?}");
    }
}

/// The built-in script belongs to no tenant: callers must not hear it in place of their model.
#[test]
fn a_built_in_script_is_no_fallback() {
    let reported = faults("llm.fallback = \"scripted\"");
    assert!(reported[0].starts_with("llm.fallback: the built-in script"), "{reported:?}");
    let reported = faults("llm.fallback = \"words\"\nengines.words = { kind = \"llm\", api = \"scripted\" }");
    assert!(reported[0].starts_with("llm.fallback: the built-in script"), "{reported:?}");
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/config/replies.example.toml");
    engines(&format!("llm.fallback = \"scripted\"\nllm.scripted.script = {own:?}"));
}

#[test]
fn an_unknown_key_is_refused() {
    assert!(toml::from_str::<Settings>("stt.pocketsphinx.speed = 3").is_err());
}

/// What one engine says on the telephone, another understands and a third answers.
#[tokio::test]
async fn local_engines_hold_a_conversation() {
    let engines = engines("");
    let (tts, stt, llm) = (engines.tts(Some("flite")), engines.stt(None), engines.llm(None));
    let (tts, stt, llm) = (tts.expect("flite"), stt.expect("pocketsphinx"), llm.expect("scripted"));
    let (question, _) = spoken(&*tts, "What are your opening hours?", Voice::default()).await;
    let narrow = resample::convert(&question, 8_000);
    let words = recognise(&*stt, narrow, Hints::default(), Meter::default()).await.expect("words");
    assert_eq!(words, "what are your opening hours");
    let messages = vec![Message::Caller(words)];
    let prompt = Prompt { messages, ..Prompt::default() };
    let reply: Vec<_> = llm.reply(prompt, Meter::default()).await.expect("a reply").collect().await;
    let word = |delta| match delta {
        Ok(Delta::Text(word)) => word,
        other => panic!("no word: {other:?}"),
    };
    let reply: String = reply.into_iter().map(word).collect();
    assert!(reply.contains("do not know the opening hours"), "{reply}");
}

/// At least `enough` of the phrases, by each voice at each rate, arrive as they were said.
#[tokio::test]
async fn a_grammar_is_understood_at_telephone_rate() {
    let phrases = [
        "what are your opening hours",
        "are you open today",
        "book an appointment",
        "goodbye",
        "thank you",
        "yes",
        "no",
        "i need help with my bill",
        "can i speak to a person",
        "tell me a joke",
    ];
    let list = phrases.map(|p| format!("{p:?}")).join(",");
    let engines = engines(&format!("stt.pocketsphinx.phrases = [{list}]"));
    let stt = engines.stt(None).expect("pocketsphinx");
    for (engine, voice) in [("espeak", "en-us"), ("flite", "slt"), ("flite", "rms")] {
        let tts = engines.tts(Some(engine)).expect("an engine");
        for rate in [8_000, 16_000] {
            let (mut misheard, mut heard, mut took) = (Vec::new(), Duration::ZERO, Duration::ZERO);
            for phrase in phrases {
                let voice = Voice { name: Some(voice.into()), ..Voice::default() };
                let clip = resample::convert(&spoken(&*tts, phrase, voice).await.0, rate);
                heard += clip.duration();
                let begun = Instant::now();
                let words = recognise(&*stt, clip, Hints::default(), Meter::default()).await.expect("words");
                took += begun.elapsed();
                if words != phrase {
                    misheard.push((phrase, words));
                }
            }
            println!("{engine} {voice} {rate} Hz: {} misheard, {took:?} for {heard:?}", misheard.len());
            assert!(misheard.len() <= 2, "{engine} {voice} {rate} Hz: {misheard:?}");
        }
    }
}

#[tokio::test]
async fn silence_has_no_words() {
    let stt = engines("").stt(None).expect("pocketsphinx");
    for samples in [0, 1, 80, 8_000] {
        let words =
            recognise(&*stt, Clip::new(8_000, vec![0; samples]), Hints::default(), Meter::default()).await;
        assert_eq!(words.as_deref(), Ok(""), "{samples} samples");
    }
}

#[tokio::test]
async fn local_voices_speak_languages_and_long_texts() {
    // A minute of speech takes a busy machine longer than a caller would wait.
    let engines = engines("tts.retry = { timeout_ms = 60000, budget_ms = 60000 }");
    let german = Voice { language: Some("de-DE".into()), ..Voice::default() };
    let (clip, _) =
        spoken(&*engines.tts(Some("espeak")).expect("espeak"), "Guten Tag, grüß Gott!", german).await;
    assert!(clip.rate == 22_050 && clip.duration() > Duration::from_millis(800), "{clip:?}");
    let text = "Hello there, how are you? It is Dr. Smith. ".repeat(20);
    for name in ["espeak", "flite"] {
        let (clip, first) = spoken(&*engines.tts(Some(name)).expect(name), &text, Voice::default()).await;
        println!("{name}: {clip:?}, the first after {first:?}");
        assert!(clip.duration() > Duration::from_secs(40), "{name}: {clip:?}");
    }
}

#[tokio::test]
async fn an_unknown_voice_is_permanent() {
    let espeak = engines("").tts(Some("espeak")).expect("espeak");
    let voice = Voice { name: Some("nobody".into()), ..Voice::default() };
    let Err(error) = espeak.speak("Hello.".into(), voice, Meter::default()).await else {
        panic!("nobody spoke")
    };
    assert!(!error.worth_retrying() && error.to_string().contains("voice"), "{error}");
}

#[tokio::test]
async fn local_engines_prove_themselves() {
    let engines = engines("");
    println!("{}", engines.stt(None).expect("stt").probe().await.expect("proof"));
    println!("{}", engines.llm(None).expect("llm").probe().await.expect("proof"));
    for name in ["espeak", "flite"] {
        let proof = engines.tts(Some(name)).expect(name).probe().await.expect("proof");
        assert!(proof.contains("spoke"), "{proof}");
        println!("{proof}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_tenants_replies_leave_the_engine_to_the_others() {
    let (all, engines) = (EngineShares::default(), engines(""));
    let scale = Scale { calls: 1, percent: 100 };
    let [one, other] = [(); 2].map(|()| engines.within(all.of(uuid::Uuid::now_v7(), &Arc::default(), scale)));
    let reply = async |engines: &Engines| {
        let llm = engines.llm(Some("scripted")).expect("an engine");
        llm.reply(Prompt::default(), Meter::default()).await
    };
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(reply(&one).await.expect("a reply"));
    }
    let refused = reply(&one).await.err().map(|error| error.reason().as_str());
    assert_eq!(refused, Some("limited"));
    assert!(reply(&other).await.is_ok(), "of another tenant");
    assert!(reply(&engines).await.is_ok(), "of the daemon");
    held.pop();
    assert!(reply(&one).await.is_ok());
}

#[test]
fn an_engine_has_another_identity_after_a_reload_that_changed_it() {
    let identity = |toml: &str| engines(toml).tts(Some("eleven")).expect("an engine").identity().clone();
    let eleven = "[engines.eleven]\nkind = \"tts\"\napi = \"elevenlabs\"\nkey = \"k\"";
    let before = identity(eleven);
    assert_eq!(identity(&format!("llm.retry.retries = 5\n{eleven}")), before);
    assert_ne!(identity(&format!("{eleven}\nvoice = \"21m00Tcm4TlvDq8ikWAM\"")), before);
    assert!(before.starts_with("eleven#"), "{before}");
}
