//! A call with an engine of each kind at a server of its own.

use std::time::Duration;

use serde_json::json;
use vca::sim::Step;
use vca::tenancy::{CallStatus, EngineKind, UsageUnit};

use super::engines::pitches;
use super::{env, listen, question};
use crate::support::vendor::{Habit, KEY, Kind, LiveFault, REPLY, Vendor, WORDS};

#[test]
fn a_call_has_each_of_its_engines_at_another_server() {
    let agent = json!({
        "greeting": "Welcome to the test.", "language": "en-GB", "stt": "whisper", "llm": "llama", "tts": "eleven",
    });
    let Some((mut env, main)) = env(agent) else { return };
    let (whisper, llama, eleven) = (Vendor::start(), Vendor::start(), Vendor::start());
    for (name, kind, api, base_url) in [
        ("WHISPER", "stt", "openai", whisper.base_url()),
        ("LLAMA", "llm", "openai", llama.base_url()),
        ("ELEVEN", "tts", "elevenlabs", eleven.url("/elevenlabs/v1")),
    ] {
        for (key, value) in [("KIND", kind), ("API", api), ("BASE_URL", &base_url), ("KEY", KEY)] {
            env.set(&format!("VCA__ENGINES__{name}__{key}"), value);
        }
    }
    env.set("VCA__ENGINES__LLAMA__MODEL", "llama3.2");
    env.set("VCA__TURN__FILLER_MS", "0");
    env.open();
    let script = vec![listen(), question(), listen(), question(), listen(), Step::HangUp];
    let report = env.satisfied(env.place(super::MAIN, script));
    assert_eq!(pitches(&report), [400; 3], "{:?}", report.conversation.agent());
    let (record, turns) = env.last_call(main);
    assert_eq!(record.status, CallStatus::Completed);
    let said: Vec<_> =
        turns.iter().map(|turn| (turn.caller_text.as_str(), turn.agent_text.as_str())).collect();
    let reply = REPLY.concat();
    assert_eq!(said, [("", "Welcome to the test."), (WORDS, &reply), (WORDS, &reply)]);

    for (vendor, kind) in [(&whisper, Kind::Stt), (&llama, Kind::Llm), (&eleven, Kind::Tts)] {
        for other in [Kind::Stt, Kind::Llm, Kind::Tts] {
            assert_eq!(vendor.requests(other).is_empty(), other != kind, "{kind:?} {other:?}");
        }
    }
    assert!(whisper.requests(Kind::Stt)[0].contains("name=\"language\"\r\n\r\nen\r\n"));
    assert_eq!(llama.requests(Kind::Llm)[0].json()["model"], "llama3.2");
    let order = eleven.requests(Kind::Tts).pop().expect("a speech");
    let expected = json!({ "text": reply, "model_id": "eleven_flash_v2_5", "language_code": "en" });
    assert_eq!((order.authorization.as_str(), order.json()), (KEY, expected));
    let usage = env.seed.usage_of(&record);
    let mut used: Vec<_> =
        usage.engines.iter().map(|taken| (taken.kind, taken.engine.as_str(), taken.model.as_str())).collect();
    used.dedup();
    for (kind, engine, model) in [
        (EngineKind::Stt, "whisper", "whisper-1"),
        (EngineKind::Llm, "llama", "llama3.2"),
        (EngineKind::Tts, "eleven", "eleven_flash_v2_5"),
    ] {
        assert!(used.contains(&(kind, engine, model)), "{used:?}");
    }
}

/// The caller interrupts the first reply, of which the speech server reports the times of words.
#[test]
fn a_reply_is_sent_to_the_speech_server_word_by_word_and_cut_where_it_was_interrupted() {
    let agent = json!({
        "greeting": "Welcome to the test.", "language": "en-GB", "stt": "whisper", "llm": "llama", "tts": "sonic",
    });
    let Some((mut env, main)) = env(agent) else { return };
    let (whisper, llama, sonic) = (Vendor::start(), Vendor::start(), Vendor::start());
    for (name, kind, api, base_url) in [
        ("WHISPER", "stt", "openai", whisper.base_url()),
        ("LLAMA", "llm", "openai", llama.base_url()),
        ("SONIC", "tts", "cartesia", sonic.live_url("/cartesia")),
    ] {
        for (key, value) in [("KIND", kind), ("API", api), ("BASE_URL", &base_url), ("KEY", KEY)] {
            env.set(&format!("VCA__ENGINES__{name}__{key}"), value);
        }
    }
    env.set("VCA__ENGINES__LLAMA__MODEL", "llama3.2");
    env.set("VCA__ENGINES__SONIC__TRANSPORT", "websocket");
    env.set("VCA__ENGINES__SONIC__PARTIAL_TEXT", "true");
    env.set("VCA__SENTENCE_CACHE__MAX_BYTES", "0");
    env.set("VCA__TURN__FILLER_MS", "0");
    env.open();
    let interrupt = Step::LetSpeak { spoken: Duration::from_millis(500), at_most: Duration::from_secs(12) };
    let script = vec![listen(), question(), interrupt, question(), listen(), Step::HangUp];
    env.satisfied(env.place(super::MAIN, script));
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, record.engine_failures.len()), (CallStatus::Completed, 0), "{}", env.log());
    let reply = REPLY.concat();
    let heard = turns[1].agent_text.as_str();
    assert!(turns[1].interrupted && heard.starts_with("We are") && reply.starts_with(heard), "{turns:?}");
    assert!(heard.len() < reply.len(), "{heard}");
    assert_eq!(turns[2].agent_text, reply);

    let messages: Vec<_> = sonic.requests(Kind::Tts).iter().map(|request| request.json()).collect();
    let first = messages.iter().find(|message| message["continue"] == true).expect("a text in parts");
    let of_first = messages.iter().filter(|message| message["context_id"] == first["context_id"]);
    let parts: Vec<_> = of_first.filter_map(|message| message["transcript"].as_str()).collect();
    assert!(parts.len() > 1 && parts.concat() == reply, "{parts:?}");
}

/// The caller interrupts the first reply. The connection carries one speech at a time: it is cleared before the next one.
#[test]
fn an_interrupted_reply_is_cleared_at_a_server_that_carries_one_speech_at_a_time() {
    let agent = json!({
        "greeting": "Welcome to the test.", "language": "en-GB", "stt": "whisper", "llm": "llama", "tts": "aura",
    });
    let Some((mut env, main)) = env(agent) else { return };
    let (vendor, aura) = (Vendor::start(), Vendor::start());
    for (name, kind, api, base_url) in [
        ("WHISPER", "stt", "openai", vendor.base_url()),
        ("LLAMA", "llm", "openai", vendor.base_url()),
        ("AURA", "tts", "deepgram", aura.live_url("/deepgram/v1")),
    ] {
        for (key, value) in [("KIND", kind), ("API", api), ("BASE_URL", &base_url), ("KEY", KEY)] {
            env.set(&format!("VCA__ENGINES__{name}__{key}"), value);
        }
    }
    env.set("VCA__ENGINES__LLAMA__MODEL", "llama3.2");
    env.set("VCA__ENGINES__AURA__TRANSPORT", "websocket");
    env.set("VCA__ENGINES__AURA__PARTIAL_TEXT", "true");
    env.set("VCA__SENTENCE_CACHE__MAX_BYTES", "0");
    env.set("VCA__TURN__FILLER_MS", "0");
    env.open();
    let interrupt = Step::LetSpeak { spoken: Duration::from_millis(500), at_most: Duration::from_secs(12) };
    let script = vec![listen(), question(), interrupt, question(), listen(), Step::HangUp];
    let report = env.satisfied(env.place(super::MAIN, script));
    let heard = pitches(&report);
    assert!(heard.len() >= 3 && heard.iter().all(|pitch| *pitch == 400), "{heard:?}");
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, record.engine_failures.len()), (CallStatus::Completed, 0), "{}", env.log());
    let reply = REPLY.concat();
    let heard = turns[1].agent_text.as_str();
    assert!(turns[1].interrupted && heard.len() < reply.len() && reply.starts_with(heard), "{turns:?}");
    assert_eq!(turns[2].agent_text, reply);

    let messages: Vec<_> = aura.requests(Kind::Tts).iter().map(|request| request.json()).collect();
    let spoken: String = messages.iter().filter_map(|message| message["text"].as_str()).collect();
    assert!(spoken.matches(&reply).count() >= 2, "{spoken}");
    let of_kind = |kind: &str| messages.iter().filter(|message| message["type"] == kind).count();
    assert!(of_kind("Speak") > of_kind("Flush"), "in parts: {messages:?}");
}

/// The servers that operators run themselves, with the habits of vLLM (a chat template that is strict, no tools), speaches and
/// Kokoro-FastAPI. None of them has keys.
#[test]
fn a_call_has_all_its_engines_at_the_operators_own_servers() {
    let agent = json!({
        "greeting": "Welcome to the test.", "language": "en-GB", "stt": "speaches", "llm": "vllm", "tts": "kokoro",
        "tools": ["end_call"],
    });
    let Some((mut env, main)) = env(agent) else { return };
    let speaches = Vendor::with(&[Habit::Keyless, Habit::NoModels]);
    let vllm = Vendor::with(&[Habit::Keyless, Habit::StrictTemplate, Habit::NoTools]);
    let kokoro = Vendor::with(&[Habit::Keyless, Habit::KokoroVoices, Habit::ShortConnections]);
    for (name, kind, server, model) in [
        ("SPEACHES", "stt", &speaches, "Systran/faster-whisper-small"),
        ("VLLM", "llm", &vllm, "llama3.2"),
        ("KOKORO", "tts", &kokoro, "kokoro"),
    ] {
        let address = server.base_url();
        for (key, value) in [("KIND", kind), ("API", "openai"), ("BASE_URL", &address), ("MODEL", model)] {
            env.set(&format!("VCA__ENGINES__{name}__{key}"), value);
        }
    }
    env.set("VCA__ENGINES__KOKORO__VOICE", "af_heart");
    env.set("VCA__TURN__FILLER_MS", "0");
    env.open();
    let report = env.satisfied(
        env.place(super::MAIN, vec![listen(), question(), listen(), question(), listen(), Step::HangUp]),
    );
    assert_eq!(pitches(&report), [400; 3], "{:?}", report.conversation.agent());
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, record.engine_failures.len()), (CallStatus::Completed, 0));
    let said: Vec<_> =
        turns.iter().map(|turn| (turn.caller_text.as_str(), turn.agent_text.as_str())).collect();
    let reply = REPLY.concat();
    assert_eq!(said, [("", "Welcome to the test."), (WORDS, &reply), (WORDS, &reply)]);

    let has_tools: Vec<bool> =
        vllm.requests(Kind::Llm).iter().map(|request| request.json().get("tools").is_some()).collect();
    let (first, later) = has_tools.split_first().expect("a question");
    assert!(*first && !later.is_empty() && !later.contains(&true), "learned from the refusal: {has_tools:?}");
    assert!(speaches.requests(Kind::Stt)[0].contains("verbose_json"));
    let speech = kokoro.requests(Kind::Tts).pop().expect("a speech");
    assert_eq!((speech.authorization.as_str(), &speech.json()["voice"]), ("", &json!("af_heart")));
}

/// The first connection is lost while the caller asks.
#[test]
fn a_call_with_a_live_engine_survives_the_loss_of_its_connection() {
    let agent =
        json!({ "greeting": "Welcome to the test.", "language": "en-GB", "stt": "nova", "llm": "llama" });
    let Some((mut env, main)) = env(agent) else { return };
    let (nova, llama) = (Vendor::start(), Vendor::start());
    nova.fail_live(&[LiveFault::CloseAfter(500)]);
    for (name, kind, api, base_url) in [
        ("NOVA", "stt", "deepgram", nova.live_url("/deepgram/v1")),
        ("LLAMA", "llm", "openai", llama.base_url()),
    ] {
        for (key, value) in [("KIND", kind), ("API", api), ("BASE_URL", &base_url), ("KEY", KEY)] {
            env.set(&format!("VCA__ENGINES__{name}__{key}"), value);
        }
    }
    env.set("VCA__ENGINES__LLAMA__MODEL", "llama3.2");
    env.set("VCA__TURN__FILLER_MS", "0");
    env.set("VCA__TTS__DEFAULT", "flite");
    env.open();
    let script = vec![listen(), question(), listen(), question(), listen(), Step::HangUp];
    env.satisfied(env.place(super::MAIN, script));
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, record.engine_failures.len()), (CallStatus::Completed, 0), "{}", env.log());
    let said: Vec<_> = turns.iter().map(|turn| turn.caller_text.as_str()).collect();
    assert_eq!(said, ["", WORDS, WORDS], "{}", env.log());
    let reply = REPLY.concat();
    assert!(turns[1..].iter().all(|turn| turn.agent_text == reply), "{turns:?}");

    let connections = nova.requests(Kind::Stt);
    assert_eq!(connections.len(), 2, "the second one serves the rest of the call");
    assert!(connections.iter().all(|it| it.contains("encoding=linear16&sample_rate=8000")));
    let usage = env.seed.usage_of(&record);
    let audio = usage.engines.iter().find(|it| (it.engine.as_str(), it.unit) == ("nova", UsageUnit::AudioMs));
    assert!(
        audio.is_some_and(|it| it.model == "nova-3" && (2_000..9_000).contains(&it.quantity)),
        "{audio:?}"
    );
}

/// Each turn ends when the engine says so, and costs one request to the model, which is sent at its possible end.
#[test]
fn an_engine_that_judges_the_ends_of_turns_answers_at_them() {
    let agent =
        json!({ "greeting": "Welcome to the test.", "language": "en-GB", "stt": "flux", "llm": "llama" });
    let Some((mut env, main)) = env(agent) else { return };
    let (flux, llama) = (Vendor::start(), Vendor::start());
    for (name, kind, api, base_url) in [
        ("FLUX", "stt", "deepgram-flux", flux.live_url("/deepgram/v2")),
        ("LLAMA", "llm", "openai", llama.base_url()),
    ] {
        for (key, value) in [("KIND", kind), ("API", api), ("BASE_URL", &base_url), ("KEY", KEY)] {
            env.set(&format!("VCA__ENGINES__{name}__{key}"), value);
        }
    }
    env.set("VCA__ENGINES__LLAMA__MODEL", "llama3.2");
    // The words alone would wait longer than the engine.
    env.set("VCA__TURN__COMMIT_MS", "5000");
    env.set("VCA__TURN__COMMIT_TRAILING_MS", "5000");
    env.set("VCA__TURN__COMMIT_FINISHED_MS", "5000");
    env.set("VCA__TURN__COMMIT_ENGINE_MS", "5000");
    env.set("VCA__TURN__FILLER_MS", "0");
    env.set("VCA__TTS__DEFAULT", "flite");
    env.open();
    let script = vec![listen(), question(), listen(), question(), listen(), Step::HangUp];
    let report = env.satisfied(env.place(super::MAIN, script));
    let (record, turns) = env.last_call(main);
    assert_eq!((record.status, record.engine_failures.len()), (CallStatus::Completed, 0), "{}", env.log());
    let said: Vec<_> = turns.iter().map(|turn| turn.caller_text.as_str()).collect();
    assert_eq!(said, ["", WORDS, WORDS], "{}", env.log());
    let waits = report.conversation.responses().into_iter().filter_map(|response| response.latency());
    let waits: Vec<_> = waits.collect();
    assert!(!waits.is_empty() && waits.iter().all(|wait| *wait < Duration::from_secs(3)), "{waits:?}");

    assert_eq!(llama.requests(Kind::Llm).len(), 2, "one for each turn");
    let connections = flux.requests(Kind::Stt);
    assert_eq!(connections.len(), 1);
    assert!(connections[0].contains("model=flux-general-multi&encoding=linear16&sample_rate=8000"));
    let usage = env.seed.usage_of(&record);
    let audio = usage.engines.iter().find(|it| (it.engine.as_str(), it.unit) == ("flux", UsageUnit::AudioMs));
    assert!(audio.is_some_and(|it| it.model == "flux-general-multi" && it.quantity >= 2_000), "{audio:?}");
}

/// Prompts are synthesised for calls of every rate, on a connection of their own.
#[test]
fn a_call_speaks_over_one_connection_at_its_own_rate() {
    let agent = json!({
        "greeting": "Welcome to the test.", "language": "en-GB", "stt": "whisper", "llm": "llama", "tts": "eleven",
    });
    let Some((mut env, main)) = env(agent) else { return };
    let (vendor, eleven) = (Vendor::start(), Vendor::start());
    for (name, kind, api, base_url) in [
        ("WHISPER", "stt", "openai", vendor.base_url()),
        ("LLAMA", "llm", "openai", vendor.base_url()),
        ("ELEVEN", "tts", "elevenlabs", eleven.live_url("/elevenlabs/v1")),
    ] {
        for (key, value) in [("KIND", kind), ("API", api), ("BASE_URL", &base_url), ("KEY", KEY)] {
            env.set(&format!("VCA__ENGINES__{name}__{key}"), value);
        }
    }
    env.set("VCA__ENGINES__ELEVEN__TRANSPORT", "websocket");
    env.set("VCA__ENGINES__LLAMA__MODEL", "llama3.2");
    env.set("VCA__SENTENCE_CACHE__MAX_BYTES", "0");
    env.set("VCA__TURN__FILLER_MS", "0");
    env.open();
    let script = vec![listen(), question(), listen(), question(), listen(), Step::HangUp];
    let report = env.satisfied(env.place(super::MAIN, script));
    assert_eq!(pitches(&report), [400; 3], "{:?}", report.conversation.agent());
    let (record, _) = env.last_call(main);
    assert_eq!((record.status, record.engine_failures.len()), (CallStatus::Completed, 0), "{}", env.log());

    let requests = eleven.requests(Kind::Tts);
    let (connections, messages): (Vec<_>, Vec<_>) = requests.iter().partition(|it| it.json().is_null());
    let narrow = connections.iter().filter(|it| it.contains("output_format=pcm_8000")).count();
    assert_eq!(narrow, 1, "{connections:?}");
    let text = format!("{} ", REPLY.concat());
    let spoken = messages.iter().filter(|it| it.json()["text"] == text.as_str()).count();
    assert!(spoken >= 2, "{messages:?}");
}
