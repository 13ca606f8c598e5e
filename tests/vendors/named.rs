//! Named engines at servers of their own.

use futures_util::TryStreamExt;
use vca::audio::Clip;
use vca::engines::core::usage::Meter;
use vca::engines::llm::{Delta, Message, Prompt, ToolSpec};
use vca::engines::registry::{Engines, Settings};
use vca::engines::stt::{Hints, recognise};
use vca::engines::tts::Voice;

use crate::support::vendor::{Habit, KEY, Kind, REPLY, Vendor, WORDS};

pub fn engines(settings: &str) -> Engines {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings: Settings = toml::from_str(settings).expect("settings");
    Engines::build(&settings).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// The vendor has a runtime of its own, which is not started within another one.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test)
}

async fn spoken(engines: &Engines, name: &str, text: &str) -> (u32, f64) {
    let engine = engines.tts(Some(name)).expect("an engine");
    let pieces = engine.speak(text.into(), Voice::default(), Meter::default()).await.expect("a speech");
    let clips: Vec<Clip> = pieces.try_collect().await.expect("clips");
    (clips[0].rate, clips.iter().map(|clip| clip.duration().as_secs_f64()).sum())
}

#[test]
fn a_speech_server_with_openais_api_works_by_its_address_and_model() {
    let vendor = Vendor::start();
    let engines = engines(&format!(
        "[engines.assembly]\nkind = \"tts\"\napi = \"openai\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
         model = \"assemblyai-tts-1\"\nvoice = \"nova\"\n",
        vendor.base_url()
    ));
    let (rate, seconds) = run(spoken(&engines, "assembly", "Hello."));
    assert_eq!(rate, 24_000);
    assert!((seconds - 0.68).abs() < 0.01, "{seconds}");
    let order = vendor.requests(Kind::Tts)[0].json();
    assert_eq!((&order["model"], &order["voice"]), (&"assemblyai-tts-1".into(), &"nova".into()));
}

#[test]
fn vendors_of_speech_work_by_their_own_apis() {
    let vendor = Vendor::start();
    let engines = engines(&format!(
        "[engines.eleven]\nkind = \"tts\"\napi = \"elevenlabs\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\nmax_chars = 8\n\
         [engines.aura]\nkind = \"tts\"\napi = \"deepgram\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\nformat = \"mulaw\"\n\
         [engines.sonic]\nkind = \"tts\"\napi = \"cartesia\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n",
        vendor.url("/elevenlabs/v1"),
        vendor.url("/deepgram/v1"),
        vendor.url("/cartesia")
    ));
    // Two parts of six and four characters.
    let (rate, seconds) = run(spoken(&engines, "eleven", "Hello. Yes."));
    assert!(rate == 16_000 && (seconds - 1.30).abs() < 0.01, "{rate} {seconds}");
    let (rate, seconds) = run(spoken(&engines, "aura", "Hello."));
    assert!(rate == 8_000 && (seconds - 0.68).abs() < 0.01, "{rate} {seconds}");
    let keys: Vec<String> = vendor.requests(Kind::Tts).into_iter().map(|it| it.authorization).collect();
    assert_eq!(keys, [KEY.to_owned(), KEY.to_owned(), format!("Token {KEY}")]);
    let (rate, seconds) = run(spoken(&engines, "sonic", "Hello."));
    assert!(rate == 16_000 && (seconds - 0.68).abs() < 0.01, "{rate} {seconds}");
}

/// The pieces of the reply to these messages.
async fn replied(engines: &Engines, name: &str, messages: Vec<Message>) -> Vec<Delta> {
    let engine = engines.llm(Some(name)).expect("an engine");
    let prompt = Prompt {
        system: "Be kind.".into(),
        messages,
        tools: [ToolSpec::end_call()].into(),
        ..Prompt::default()
    };
    let deltas = engine.reply(prompt, Meter::default()).await.expect("a reply");
    deltas.try_collect().await.expect("a whole reply")
}

#[test]
fn every_language_model_calls_tools_and_reads_results() {
    let vendor = Vendor::with(&[Habit::StrictTemplate]);
    let engine = |name: &str, api: &str, path: &str, more: &str| {
        let url = vendor.url(path);
        format!(
            "[engines.{name}]\nkind = \"llm\"\napi = \"{api}\"\nbase_url = \"{url}\"\nkey = \"{KEY}\"\n{more}\n"
        )
    };
    let engines = engines(&format!(
        "{}{}{}",
        engine("chat", "openai", "/v1", ""),
        engine("responses", "openai-responses", "/v1", ""),
        engine("claude", "anthropic", "/anthropic/v1", "temperature = 0.3"),
    ));
    for name in ["chat", "responses", "claude"] {
        let mut said = vec![Message::Agent("Hello!".into()), Message::Caller("Goodbye!".into())];
        let deltas = run(replied(&engines, name, said.clone()));
        let [.., Delta::ToolCall(call), Delta::End] = &*deltas else { panic!("{name}: {deltas:?}") };
        assert_eq!((&*call.name, &*call.arguments), ("end_call", "{}"), "{name}");
        let content = "not yet".into();
        said.extend([
            Message::ToolCall(call.clone()),
            Message::ToolResult { call: call.id.clone(), content },
        ]);
        for question in [None, Some(Message::Caller("Hours?".into()))] {
            said.extend(question);
            let deltas = run(replied(&engines, name, said.clone()));
            let text =
                |delta: &Delta| if let Delta::Text(text) = delta { text.clone() } else { String::new() };
            let text: String = deltas.iter().map(text).collect();
            assert_eq!(text, REPLY.concat(), "{name}: {deltas:?}");
        }
    }
}

#[test]
fn a_connection_that_is_closed_between_requests_is_no_failure() {
    let vendor = Vendor::with(&[Habit::ShortConnections]);
    let engines = engines(&format!(
        "[engines.whisper]\nkind = \"stt\"\napi = \"openai\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n",
        vendor.base_url()
    ));
    let engine = engines.stt(Some("whisper")).expect("an engine");
    run(async {
        for _ in 0..3 {
            let speech = Clip::new(8_000, vec![500; 4_000]);
            let words = recognise(&*engine, speech, Hints::default(), Meter::default()).await;
            assert_eq!(words.as_deref(), Ok(WORDS));
        }
    });
}

/// The words that an engine reads in a clip of noise.
fn transcribed(habits: &[Habit]) -> String {
    let vendor = Vendor::with(habits);
    let engines = engines(&format!(
        "[engines.whisper]\nkind = \"stt\"\napi = \"openai\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n",
        vendor.base_url()
    ));
    let engine = engines.stt(Some("whisper")).expect("an engine");
    let speech = Clip::new(8_000, vec![500; 4_000]);
    run(recognise(&*engine, speech, Hints::default(), Meter::default())).expect("words")
}

#[test]
fn words_that_the_recogniser_doubts_are_not_the_callers() {
    assert_eq!(transcribed(&[Habit::NoiseWords]), "");
    assert_eq!(
        transcribed(&[Habit::NoiseWords, Habit::NoVerbose]),
        "Thank you.",
        "nothing speaks against them"
    );
    assert_eq!(transcribed(&[Habit::NoVerbose]), WORDS);
}

#[test]
fn a_vendors_own_server_needs_a_key() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for (kind, api) in [
        ("tts", "elevenlabs"),
        ("tts", "deepgram"),
        ("llm", "anthropic"),
        ("llm", "openai-responses"),
        ("stt", "openai-realtime"),
        ("stt", "elevenlabs"),
        ("stt", "deepgram"),
        ("stt", "deepgram-flux"),
    ] {
        let settings: Settings =
            toml::from_str(&format!("[engines.own]\nkind = \"{kind}\"\napi = \"{api}\"\n"))
                .expect("settings");
        let faults = Engines::build(&settings).err().expect("a fault");
        assert_eq!(faults[0].field, "engines.own.key", "{faults:?}");
    }
}

#[test]
fn live_engines_use_the_keys_of_the_vendors_accounts() {
    let engine = |name: &str, api: &str| format!("[engines.{name}]\nkind = \"stt\"\napi = \"{api}\"\n");
    let live = engine("a", "openai-realtime") + &engine("b", "elevenlabs") + &engine("c", "deepgram");
    let live = live + &engine("d", "deepgram-flux");
    let keys = ["openai", "elevenlabs", "deepgram"].map(|vendor| format!("[{vendor}]\nkey = \"k\"\n"));
    let engines = engines(&(keys.concat() + &live));
    for name in ["a", "b", "c", "d"] {
        assert!(engines.stt(Some(name)).is_some_and(|engine| engine.is_live()), "{name}");
    }
}

/// Keys are in files that are not there.
#[test]
fn every_example_of_the_documentation_can_be_built() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let document = include_str!("../../docs/engines.md");
    let examples: Vec<&str> =
        document.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 21);
    for example in examples {
        let lines = example.lines().map(|line| match line.starts_with("key_file = ") {
            true => "key = \"k\"",
            false => line,
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        let settings: Settings = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(Engines::build(&settings).is_ok(), "{text}");
    }
}

/// The documentation names the tests of each server.
#[test]
fn every_test_that_the_table_of_servers_names_exists() {
    let document = include_str!("../../docs/engines.md");
    let rows = document.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 7);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    let mut folders = vec![root.join("tests"), root.join("src/engines")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => {
                    sources += &std::fs::read_to_string(&path).expect("a source");
                }
                _ => {}
            }
        }
    }
    let tests: Vec<&str> = rows.filter_map(|row| row.rsplit('|').nth(1)).skip(1).collect();
    assert_eq!(tests.len(), 25);
    for name in tests.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        assert!(sources.contains(&format!("fn {name}(")), "{name}");
    }
}
