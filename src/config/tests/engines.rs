//! `[engines.NAME]`.

use super::*;
use crate::engines::registry::{LlmSpec, Spec};

const GROQ: &str = "[engines.groq]\nkind = \"llm\"\napi = \"openai\"\n\
    base_url = \"https://groq.example/v1\"\nmodel = \"m\"\n";

fn key(config: &Config, engine: &str) -> Option<String> {
    let Spec::Llm(LlmSpec::OpenAi(remote)) = &config.engines[engine].spec else {
        panic!("no language model")
    };
    remote.server.key.as_ref().map(|key| key.expose_secret().to_owned())
}

#[test]
fn a_named_engine_takes_file_and_variables() {
    let variables = [
        ("VCA__ENGINES__GROQ__KEY", "hunter3"),
        ("VCA__ENGINES__GROQ__MAX_TOKENS", "90"),
        ("VCA__LLM__DEFAULT", "groq"),
    ];
    let loaded = loaded(GROQ, &variables);
    assert_eq!(key(&loaded.config, "groq").as_deref(), Some("hunter3"));
    let row = |key: &str| effective(&loaded, key);
    assert_eq!(row("engines.groq.key"), ("«set»", "VCA__ENGINES__GROQ__KEY"));
    assert_eq!(row("engines.groq.model"), ("\"m\"", "vca.toml:5"));
    assert_eq!(row("engines.groq.max_tokens").1, "VCA__ENGINES__GROQ__MAX_TOKENS");
    assert!(!format!("{loaded:?}").contains("hunter3"));
    assert_eq!(loaded.config.engines().defaults().llm, "groq");
    assert_eq!(loaded.config.permitted(loaded.config.engines().catalogue()).reply_tokens, 150);
}

#[test]
fn an_engine_can_be_described_by_variables_alone() {
    let variables = [
        ("VCA__ENGINES__LOCAL__KIND", "llm"),
        ("VCA__ENGINES__LOCAL__API", "openai"),
        ("VCA__ENGINES__LOCAL__BASE_URL", "http://127.0.0.1:1/v1"),
        ("VCA__ENGINES__LOCAL__HEADERS", "{}"),
    ];
    assert_eq!(faults("", &variables), ["engines.local.headers @ VCA__ENGINES__LOCAL__HEADERS"]);
    assert_eq!(key(&config("", &variables[..3]), "local"), None);
}

#[test]
fn its_key_can_be_a_file_or_a_credential() {
    let folder = std::env::temp_dir().join(format!("vca-engines-{:016x}", rand::random::<u64>()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("engines.groq.key");
    std::fs::write(&path, "hunter3\n").expect("a file");
    let (path, shown) = (path.display().to_string(), folder.display().to_string());
    let by_setting = config(&format!("{GROQ}key_file = {path:?}\n"), &[]);
    assert_eq!(key(&by_setting, "groq").as_deref(), Some("hunter3"));
    let by_variable = loaded(GROQ, &[("VCA__ENGINES__GROQ__KEY_FILE", &path)]);
    assert_eq!(key(&by_variable.config, "groq").as_deref(), Some("hunter3"));
    assert_eq!(effective(&by_variable, "engines.groq.key_file").1, "VCA__ENGINES__GROQ__KEY_FILE");
    let by_credential = config(GROQ, &[("CREDENTIALS_DIRECTORY", &shown)]);
    assert_eq!(key(&by_credential, "groq").as_deref(), Some("hunter3"));
    let both = [("VCA__ENGINES__GROQ__KEY", "x"), ("VCA__ENGINES__GROQ__KEY_FILE", path.as_str())];
    assert_eq!(faults(GROQ, &both), ["engines.groq.key_file @ VCA__ENGINES__GROQ__KEY_FILE"]);
    std::fs::remove_dir_all(&folder).expect("our folder");
}

#[test]
fn a_fault_names_its_key_and_place() {
    let file = "[engines.a]\nkind = \"llm\"\napi = \"openai\"\nspeed = 1\n\
        [engines.b]\nkind = \"asr\"\napi = \"openai\"\n\
        [engines.c]\nkind = \"tts\"\napi = \"scripted\"\n\
        [engines.d]\nkind = \"llm\"\napi = \"openai\"\nmodel = \"a b\"\nmax_tokens = 0\n\
        base_url = \"http://198.51.100.7/v1\"\nretry.backoff_ms = 9000\n\
        [engines.e]\nkind = \"stt\"\n";
    let expected = [
        "engines.a.speed @ vca.toml:4",
        "engines.b.kind @ vca.toml:6",
        "engines.c.api @ vca.toml:10",
        "engines.d.base_url @ vca.toml:16",
        "engines.d.max_tokens @ vca.toml:15",
        "engines.d.model @ vca.toml:14",
        "engines.d.retry.backoff_ms @ vca.toml:17",
        "engines.e @ vca.toml:18",
    ];
    let found = faults(file, &[]);
    for fault in expected {
        assert!(found.iter().any(|it| it == fault), "no {fault:?} in {found:#?}");
    }
}

/// What the registry refuses when the engines are built, too, is named with its key.
#[test]
fn faults_of_building_have_keys() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = "[engines.A]\nkind = \"tts\"\napi = \"espeak\"\n\
        [engines.cloud]\nkind = \"llm\"\napi = \"openai\"\nheaders = { Host = \"x\" }\nkey = \"k\"\n\
        [engines.keyless]\nkind = \"stt\"\napi = \"openai\"\n";
    let built = Engines::build(&config(file, &[]).engines()).err().expect("faults");
    let keys: Vec<&str> = built.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(keys, ["engines.A", "engines.cloud.headers", "engines.keyless.key"]);
}

#[test]
fn headers_are_secret() {
    let file =
        format!("{GROQ}[engines.groq.headers]\nX-Gateway = \"hunter3\"\n[openai.headers]\nx = \"hunter3\"\n");
    let loaded = loaded(&file, &[]);
    assert_eq!(effective(&loaded, "engines.groq.headers.X-Gateway").0, "«set»");
    assert!(!format!("{loaded:?}").contains("hunter3"), "{loaded:?}");
}
