//! `vca doctor` and the habits of servers with OpenAI's API, and the failures of vendors.

use std::process::Command;

use serde_json::Value;

use crate::support::vendor::{Habit, KEY, Kind, Mood, Vendor};

/// The findings of an examination, by their checks. There are neither a database nor an Asterisk.
fn examined(config: &str, arguments: &[&str]) -> Vec<(String, Value)> {
    let folder = std::env::temp_dir().join(format!("vca-vendors-{:016x}", rand::random::<u64>()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("vca.toml");
    let common = "ari = { url = \"http://127.0.0.1:9\", password = \"x\" }\ndatabase.url = \"sqlite:none.db\"\n\
                  stt.retry = { timeout_ms = 2000, backoff_ms = 10 }\nllm.retry = { timeout_ms = 2000, backoff_ms = 10 }\n\
                  tts.retry = { timeout_ms = 2000, backoff_ms = 10 }\n";
    std::fs::write(&file, format!("{common}{config}")).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_vca"))
        .current_dir(&folder)
        .env_clear()
        .args(["--config".as_ref(), file.as_os_str()])
        .args(["doctor", "--json"])
        .args(arguments)
        .output()
        .expect("vca starts");
    let _ = std::fs::remove_dir_all(&folder);
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    findings.into_iter().map(|it| (it["check"].as_str().unwrap_or_default().to_owned(), it)).collect()
}

fn verdict(findings: &[(String, Value)], check: &str) -> (String, String) {
    let found = findings.iter().find(|(it, _)| it == check);
    let (_, finding) = found.unwrap_or_else(|| panic!("no {check} in {findings:#?}"));
    let text = ["seen", "problem", "remedy"].map(|key| finding[key].as_str().unwrap_or_default());
    (finding["verdict"].as_str().unwrap_or_default().to_owned(), text.join(" "))
}

/// Engines of all kinds at a server with OpenAI's API.
fn openai(vendor: &Vendor, settings: &str) -> String {
    format!(
        "openai = {{ base_url = \"{}\", key = \"{KEY}\" }}\nllm.openai.model = \"llama3.2\"\n{settings}\n",
        vendor.base_url()
    )
}

/// The verdict on an engine of a server with a habit.
fn of_habits(habits: &[Habit], kind: &str, settings: &str) -> (String, String) {
    let vendor = Vendor::with(habits);
    verdict(&examined(&openai(&vendor, settings), &[]), &format!("{kind} openai (default)"))
}

#[test]
fn each_engine_is_asked_a_real_question_and_timed() {
    let vendor = Vendor::start();
    let named = format!(
        "[engines.eleven]\nkind = \"tts\"\napi = \"elevenlabs\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
         [engines.aura]\nkind = \"tts\"\napi = \"deepgram\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\nformat = \"mulaw\"\n\
         [engines.claude]\nkind = \"llm\"\napi = \"anthropic\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
         [engines.nova]\nkind = \"stt\"\napi = \"deepgram\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
         [engines.flux]\nkind = \"stt\"\napi = \"deepgram-flux\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
         [engines.live]\nkind = \"stt\"\napi = \"openai-realtime\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
         [engines.scribe]\nkind = \"stt\"\napi = \"elevenlabs\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n",
        vendor.url("/elevenlabs/v1"),
        vendor.url("/deepgram/v1"),
        vendor.url("/anthropic/v1"),
        vendor.live_url("/deepgram/v1"),
        vendor.live_url("/deepgram/v2"),
        vendor.live_url("/v1"),
        vendor.live_url("/elevenlabs/v1"),
    );
    let findings = examined(&openai(&vendor, &named), &[]);
    for (check, words) in [
        ("stt openai (default)", "whisper-1: transcribed 0.3 s of sound in "),
        ("stt nova", "nova-3: transcribed 0.3 s of sound in "),
        ("stt flux", "flux-general-multi: transcribed 0.3 s of sound in "),
        ("stt live", "gpt-live-transcribe: transcribed 0.3 s of sound in "),
        ("stt scribe", "scribe_v2_realtime: transcribed 0.3 s of sound in "),
        ("llm openai (default)", "llama3.2: replied \"We are open from nine to five.\" in "),
        ("llm claude", "claude-haiku-4-5: replied \"We are open from nine to five.\" in "),
        ("tts openai (default)", "tts-1: 24000 Hz, spoke 0.7 s in "),
        ("tts eleven", "eleven_flash_v2_5: 16000 Hz, spoke 0.7 s in "),
        ("tts aura", "aura-2-thalia-en: 8000 Hz, spoke 0.7 s in "),
    ] {
        let (word, text) = verdict(&findings, check);
        assert!(word == "ok" && text.contains(words), "{check}: {word} {text}");
    }
    let question = vendor.requests(Kind::Llm)[0].json();
    assert_eq!(question["tools"][0]["function"]["name"], "end_call", "{question}");
}

#[test]
fn no_cost_asks_for_lists_only() {
    let vendor = Vendor::with(&[Habit::ShutdownDates]);
    let findings = examined(&openai(&vendor, ""), &["--no-cost"]);
    for kind in [Kind::Stt, Kind::Llm, Kind::Tts] {
        assert_eq!(vendor.requests(kind).len(), 0, "{kind:?}");
    }
    assert_eq!(verdict(&findings, "llm openai (default)").0, "ok");
    let (word, text) = verdict(&findings, "tts openai (default)");
    assert!(word == "warn" && text.contains("2027-01-06"), "{word} {text}");
    let vendor = Vendor::with(&[Habit::NoModels]);
    let findings = examined(&openai(&vendor, ""), &["--no-cost"]);
    let (word, text) = verdict(&findings, "stt openai (default)");
    assert!(word == "warn" && text.contains("no list of models"), "{word} {text}");
}

#[test]
fn a_server_without_a_list_of_models_is_sound() {
    assert_eq!(of_habits(&[Habit::NoModels], "stt", "").0, "ok");
}

#[test]
fn a_list_that_is_null_is_no_fault() {
    assert_eq!(of_habits(&[Habit::NullList], "llm", "").0, "ok");
}

#[test]
fn a_model_is_known_without_its_tag() {
    assert_eq!(of_habits(&[Habit::Tagged], "llm", "").0, "ok");
    let vendor = Vendor::with(&[Habit::Tagged]);
    let findings = examined(&openai(&vendor, ""), &["--no-cost"]);
    assert_eq!(verdict(&findings, "llm openai (default)").0, "ok");
}

#[test]
fn a_model_that_is_shut_down_soon_is_a_warning() {
    let (word, text) = of_habits(&[Habit::ShutdownDates], "tts", "");
    assert!(word == "warn" && text.contains("is shut down on 2027-01-06"), "{word} {text}");
    assert!(text.contains("tts.openai.model"), "{text}");
}

#[test]
fn speech_in_wav_is_played_at_its_own_rate() {
    let (word, text) = of_habits(&[Habit::Wav], "tts", "");
    assert!(word == "ok" && text.contains("22050 Hz, spoke 0.7 s"), "{word} {text}");
}

#[test]
fn a_rate_that_can_be_requested_is() {
    let settings = "tts.openai = { rate = 16000, extra = { sample_rate = 16000 } }";
    let (word, text) = of_habits(&[Habit::SampleRate], "tts", settings);
    assert!(word == "ok" && text.contains("16000 Hz, spoke 0.7 s"), "{word} {text}");
}

#[test]
fn speech_in_mp3_is_refused_with_the_setting() {
    let (word, text) = of_habits(&[Habit::Mp3], "tts", "");
    assert!(word == "fail" && text.contains("MP3") && text.contains("format"), "{word} {text}");
}

#[test]
fn a_server_without_pcm_is_named_and_mu_law_works() {
    let (word, text) = of_habits(&[Habit::NoPcm], "tts", "");
    assert!(word == "fail" && text.contains("response_format must be one of"), "{word} {text}");
    let (word, text) = of_habits(&[Habit::NoPcm], "tts", "tts.openai.format = \"mulaw\"");
    assert!(word == "ok" && text.contains("8000 Hz"), "{word} {text}");
}

#[test]
fn a_server_that_refuses_max_tokens_or_has_a_strict_template_is_served() {
    for habit in [Habit::NoMaxTokens, Habit::StrictTemplate] {
        let (word, text) = of_habits(&[habit], "llm", "");
        assert_eq!(word, "ok", "{habit:?}: {text}");
    }
}

#[test]
fn a_server_that_refuses_tools_is_named_with_its_options() {
    let (word, text) = of_habits(&[Habit::NoTools], "llm", "");
    assert!(word == "warn" && text.contains("--enable-auto-tool-choice"), "{word} {text}");
}

#[test]
fn tool_calls_in_the_text_are_found() {
    let (word, text) = of_habits(&[Habit::TextToolCalls], "llm", "");
    assert_ne!(word, "ok", "{text}");
}

#[test]
fn reasoning_that_no_tag_opens_is_found() {
    let (word, text) = of_habits(&[Habit::UnopenedReasoning], "llm", "");
    assert!(word == "warn" && text.contains("--reasoning-parser"), "{word} {text}");
}

#[test]
fn a_model_that_only_thinks_is_found() {
    let (word, text) = of_habits(&[Habit::Thinks], "llm", "");
    assert!(word == "fail" && text.contains("reasoning"), "{word} {text}");
}

#[test]
fn a_key_that_is_wrong_is_named_by_its_setting() {
    let vendor = Vendor::start();
    vendor.feels(Kind::Tts, Mood::WrongKey);
    let named = format!(
        "[engines.eleven]\nkind = \"tts\"\napi = \"elevenlabs\"\nbase_url = \"{}\"\nkey = \"wrong\"\n",
        vendor.url("/elevenlabs/v1")
    );
    let findings = examined(&openai(&vendor, &named), &[]);
    let (word, text) = verdict(&findings, "tts eleven");
    assert!(word == "fail" && text.contains("engines.eleven.key"), "{word} {text}");
    let (word, text) = verdict(&findings, "tts openai (default)");
    assert!(word == "fail" && text.contains("openai.key"), "{word} {text}");
}

#[test]
fn failures_that_the_list_of_models_does_not_show_are_found() {
    for (mood, words) in [
        (Mood::OutOfQuota, "credit"),
        (Mood::RateLimited, "Rate limit reached"),
        (Mood::Broken, "The server had an error"),
        (Mood::Garbage, "openai"),
        (Mood::Closing, "openai"),
    ] {
        let vendor = Vendor::start();
        for kind in [Kind::Stt, Kind::Llm, Kind::Tts] {
            vendor.feels(kind, mood);
        }
        let findings = examined(&openai(&vendor, ""), &[]);
        for kind in ["stt", "llm", "tts"] {
            let (word, text) = verdict(&findings, &format!("{kind} openai (default)"));
            assert!(word == "fail" && text.contains(words), "{mood:?} {kind}: {word} {text}");
        }
    }
}

#[test]
fn a_model_that_the_server_does_not_have_is_named() {
    let vendor = Vendor::start();
    let settings = format!(
        "openai = {{ base_url = \"{}\", key = \"{KEY}\" }}\nllm.openai.model = \"no-such-model\"\n",
        vendor.base_url()
    );
    let (word, text) = verdict(&examined(&settings, &[]), "llm openai (default)");
    assert!(word == "fail" && text.contains("llm.openai.model"), "{word} {text}");
}

#[test]
fn a_server_that_is_away_is_named_with_its_address() {
    let settings = "openai = { base_url = \"http://127.0.0.1:9/v1\", key = \"k\" }\n";
    let (word, text) = verdict(&examined(settings, &[]), "stt openai (default)");
    assert!(word == "fail" && text.contains("openai.base_url"), "{word} {text}");
}
