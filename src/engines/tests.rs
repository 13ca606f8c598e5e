//! The registry, and the local engines truly run: they speak to each other.

use std::time::{Duration, Instant};

use futures_util::StreamExt;

use super::*;
use crate::audio::{Clip, resample};
use crate::engine::usage::Meter;
use crate::llm::{Delta, Message, Prompt, Role};
use crate::stt::Hints;
use crate::tts::Voice;

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
    assert_eq!(engines.tts(Some("flite")).expect("flite").name(), "flite");
    assert!(engines.tts(Some("openai")).is_none());
}

#[test]
fn a_key_makes_openai_the_default_but_only_the_default() {
    let engines = engines("openai.key = \"k\"\ntts.default = \"flite\"\nllm.fallback = \"scripted\"");
    assert_eq!(engines.stt(None).expect("stt").name(), "openai");
    assert_eq!(engines.llm(None).expect("llm").name(), "openai");
    assert_eq!(engines.tts_names(), ["flite", "espeak", "openai"]);
    let sorted = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(sorted(&engines.stt_names()), sorted(&STT_NAMES));
    assert_eq!(sorted(&engines.llm_names()), sorted(&LLM_NAMES));
    assert_eq!(sorted(&engines.tts_names()), sorted(&TTS_NAMES));
}

#[test]
fn an_empty_key_is_none() {
    assert_eq!(engines("openai.key = \"\"").llm(None).expect("llm").name(), "scripted");
}

#[test]
fn all_faults_are_told_at_once() {
    let told = faults(
        "stt.default = \"whisper\"\ntts.fallback = \"openai\"\nllm.scripted.script = \"/nonexistent.toml\"\n\
         openai.base_url = \"nowhere\"\nstt.pocketsphinx.phrases = [\"xqzzy\"]",
    );
    for part in [
        "openai.base_url:",
        "llm.scripted.script:",
        "stt.pocketsphinx: not in the dictionary: xqzzy",
        "stt.default: there is no engine \"whisper\"",
        "tts.fallback: there is no engine \"openai\"",
    ] {
        assert!(told.iter().any(|fault| fault.starts_with(part)), "no {part:?} in {told:#?}");
    }
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
    let words = stt.transcribe(narrow, Hints::default(), Meter::default()).await.expect("words");
    assert_eq!(words, "what are your opening hours");
    let messages = vec![Message { role: Role::Caller, text: words }];
    let prompt = Prompt { messages, ..Prompt::default() };
    let reply: Vec<_> = llm.reply(prompt, Meter::default()).await.expect("a reply").collect().await;
    let word = |delta| match delta {
        Ok(Delta::Text(word)) => word,
        other => panic!("no word: {other:?}"),
    };
    let reply: String = reply.into_iter().map(word).collect();
    assert!(reply.contains("nine to five"), "{reply}");
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
                let words = stt.transcribe(clip, Hints::default(), Meter::default()).await.expect("words");
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
            stt.transcribe(Clip::new(8_000, vec![0; samples]), Hints::default(), Meter::default()).await;
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
