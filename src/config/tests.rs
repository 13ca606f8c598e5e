use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::admin::MetricsAccess;

mod engines;
mod secrets;

const PASSWORD: (&str, &str) = ("ARI_PASSWORD", "hunter2");
const DEVELOPMENT: (&str, &str) = ("APP_ENV", "development");
/// Required where Asterisk is on another machine.
const PUBLIC_ADDRESS: (&str, &str) = ("VCA__MEDIA__PUBLIC_ADDRESS", "192.0.2.1");

/// As on a developer's machine, unless `variables` name another environment.
fn composed(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Vec<ConfigError>> {
    let variables = [&[DEVELOPMENT], variables].concat();
    result(compose(File::of_text(text), &Variables::of(&variables), Need::All))
}

fn result((loaded, faults): (Loaded, Vec<ConfigError>)) -> Result<Loaded, Vec<ConfigError>> {
    if faults.is_empty() { Ok(loaded) } else { Err(faults) }
}

fn loaded(text: &str, variables: &[(&str, &str)]) -> Loaded {
    composed(text, &[variables, &[PASSWORD]].concat())
        .unwrap_or_else(|faults| panic!("{}", ConfigErrors(&faults)))
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    loaded(text, variables).config
}

/// Each fault as `key @ source`.
fn faults(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let faults = composed(text, &[variables, &[PASSWORD]].concat()).err().unwrap_or_default();
    faults.iter().map(|fault| format!("{} @ {}", fault.key, fault.source)).collect()
}

fn effective<'a>(loaded: &'a Loaded, key: &str) -> (&'a str, &'a str) {
    let row = loaded.effective.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("no row {key}"));
    (&row.value, &row.source)
}

#[test]
fn without_anything_only_the_password_is_missing() {
    let faults = composed("", &[]).expect_err("no password");
    assert_eq!(faults.len(), 1, "{}", ConfigErrors(&faults));
    assert_eq!((&*faults[0].key, &*faults[0].source), ("ari.password", "default"));
}

#[test]
fn the_reference_says_exactly_what_the_defaults_are() {
    let database = ("DATABASE_URL", "sqlite:vca.db");
    let written = loaded(&reference::uncommented(), &[("APP_ENV", ""), database]).config;
    let built_in = config("", &[("APP_ENV", ""), database]);
    assert_eq!(built_in.environment, Environment::Production);
    assert_eq!(written.turn_settings(), built_in.turn_settings());
    assert_eq!(written.database.url.expose_secret(), built_in.database.url.expose_secret());
    let debug = |config: &Config| format!("{:#?}", Config { turn: Default::default(), ..config.clone() });
    assert_eq!(debug(&written), debug(&built_in));
}

#[test]
fn the_reference_has_every_key() {
    // What a section does not know, it answers with the list of what it knows.
    let mut sections = vec![String::new()];
    while let Some(section) = sections.pop() {
        let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
        let variable = format!("VCA__{}NO_SUCH_KEY", prefix.replace('.', "__").to_uppercase());
        let faults = composed("", &[(&variable, "x"), PASSWORD]).expect_err("an unknown key");
        let (_, known) = faults[0].remedy.rsplit_once(" takes ").unwrap_or_else(|| panic!("{faults:#?}"));
        for key in known.split(", ").map(|key| format!("{prefix}{key}")) {
            // Named engines are described in a comment: there are none by default.
            if key == "engines" {
                continue;
            }
            let is_section = reference::keys().any(|known| known.starts_with(&format!("{key}.")));
            assert!(is_section || reference::default_of(&key).is_some(), "{key} is not in config/vca.toml");
            sections.extend(is_section.then_some(key));
        }
    }
}

#[test]
fn the_file_goes_before_the_defaults_and_the_environment_before_the_file() {
    let file = "[ari]\nurl = \"https://localhost:8088\"\n[turn]\nmax_turns = 7\n";
    let loaded =
        loaded(file, &[("ARI_URL", "https://localhost:1"), ("MAX_CONVERSATION_DURATION_SECONDS", "90")]);
    assert_eq!(loaded.config.ari.url, "https://localhost:1");
    assert_eq!(loaded.config.turn_settings().max_turns, 7);
    assert_eq!(loaded.config.turn.max_duration_ms, Some(90_000));
    assert_eq!(effective(&loaded, "ari.url"), ("\"https://localhost:1\"", "ARI_URL"));
    assert_eq!(effective(&loaded, "turn.max_turns"), ("7", "vca.toml:4"));
    assert_eq!(effective(&loaded, "turn.max_duration_ms"), ("90000", "MAX_CONVERSATION_DURATION_SECONDS"));
    assert_eq!(effective(&loaded, "calls.max_calls"), ("200", "default"));
}

#[test]
fn a_prefixed_variable_goes_before_a_named_one() {
    let both = [("ARI_URL", "https://localhost:1"), ("VCA__ARI__URL", "https://localhost:2")];
    assert_eq!(config("", &both).ari.url, "https://localhost:2");
}

#[test]
fn every_named_variable_sets_a_key_that_there_is() {
    for (name, key) in environment::NAMED {
        assert!(reference::default_of(key).is_some(), "{name} sets {key}, which is not in config/vca.toml");
    }
}

#[test]
fn the_named_variables_are_understood() {
    let config = config(
        "",
        &[
            ("DATABASE_URL", "postgres://vca:secret@db/vca"),
            ("REDIS_URL", "redis://localhost:6379/0"),
            ("ARI_USERNAME", "asterisk"),
            ("MAX_CONVERSATION_TURNS", "5"),
            ("APP_ENV", "production"),
            ("APP_NAME", "frontdesk"),
            ("DEBUG", "true"),
            ("ANTHROPIC_API_KEY", "an-1"),
            ("DEEPGRAM_API_KEY", "dg-1"),
            ("ELEVENLABS_API_KEY", "el-1"),
            ("OPENAI_API_KEY", "sk-1"),
            ("OPENAI_BASE_URL", "http://localhost:9000/v1"),
            ("STT_MODEL", "whisper-2"),
            ("LLM_MODEL", "4"),
            ("TTS_MODEL", "tts-2"),
            ("TTS_VOICE", "nova"),
        ],
    );
    let engines = config.engines();
    assert_eq!(engines.openai.key.expect("a key").expose_secret(), "sk-1");
    assert_eq!(engines.anthropic.key.as_ref().expect("a key").expose_secret(), "an-1");
    assert_eq!(engines.deepgram.key.as_ref().expect("a key").expose_secret(), "dg-1");
    assert_eq!(engines.elevenlabs.key.as_ref().expect("a key").expose_secret(), "el-1");
    assert_eq!(engines.openai.base_url, "http://localhost:9000/v1");
    assert_eq!((engines.stt.openai.model.as_deref(), &*engines.llm.openai.model), (Some("whisper-2"), "4"));
    assert_eq!((&*engines.tts.openai.model, &*engines.tts.openai.voice), ("tts-2", "nova"));
    assert_eq!(config.database.url.expose_secret(), "postgres://vca:secret@db/vca");
    assert_eq!(config.state.redis_url.expect("Redis").expose_secret(), "redis://localhost:6379/0");
    assert_eq!(config.ari.username, "asterisk");
    assert_eq!(config.ari.password.expose_secret(), "hunter2");
    assert_eq!(config.turn.max_turns, Some(5));
    assert_eq!(config.environment, Environment::Production);
    assert_eq!((&*config.log.service, &*config.log.filter), ("frontdesk", "debug"));
}

#[test]
fn a_variable_is_read_as_its_key_wants_it() {
    let config = config(
        "",
        &[
            ("VCA__ARI__PASSWORD", "12345"),
            ("VCA__ARI__MAX_REQUESTS", "8"),
            ("VCA__MEDIA__PORTS", "[20000, 21000]"),
            ("VCA__TURN__BARGE_IN", "false"),
            ("VCA__MEDIA__PUBLIC_ADDRESS", "192.0.2.1"),
            ("VCA__LOG__FORMAT", "json"),
        ],
    );
    assert_eq!(config.ari.password.expose_secret(), "12345", "digits are a text where a text is wanted");
    assert_eq!(config.ari.max_requests, 8);
    assert_eq!(config.media.ports, (20_000, 21_000));
    assert_eq!(config.turn.barge_in, Some(false));
    assert_eq!(config.media.public_address, Some("192.0.2.1".parse().expect("an address")));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn an_empty_variable_is_not_set() {
    let empty = [("ARI_URL", ""), ("VCA__NO__SUCH", ""), ("DEBUG", ""), ("REDIS_URL", "")];
    let config = config("[ari]\nurl = \"https://localhost:8088\"\n[state]\nredis_url = \"\"", &empty);
    assert_eq!(config.ari.url, "https://localhost:8088");
    assert!(config.state.redis_url.is_none());
}

#[test]
fn the_database_is_in_the_state_directory_of_the_service() {
    let url = |text, variables: &[_]| config(text, variables).database.url.expose_secret().to_owned();
    let systemd = ("STATE_DIRECTORY", "/var/lib/vca:/var/lib/other");
    assert_eq!(url("", &[]), "sqlite:vca.db");
    assert_eq!(url("", &[systemd]), "sqlite:/var/lib/vca/vca.db");
    assert_eq!(url("[database]\nurl = \"sqlite:mine.db\"", &[systemd]), "sqlite:mine.db");
}

#[test]
fn all_faults_are_told_at_once_each_with_its_source() {
    let file = "speed = 3\n\
        [ari]\nurl = \"ftp://asterisk\"\nmax_requests = \"many\"\nreconnect_min_ms = 20000\ntypo = 1\n\
        [media]\nports = [30000, 20000]\nbind_address = \"localhost\"\n\
        [turn]\nmax_turns = 0\nmax_duration_ms = 0\n\
        [admin]\nbind = \"0.0.0.0:8080\"\n\
        [nowhere]\nx = 1\n";
    let variables = [
        ("DATABASE_URL", "mysql://root@localhost"),
        ("APP_ENV", "testing"),
        ("DEBUG", "perhaps"),
        ("VCA__STATE__TTL_S", "-1"),
        ("VCA__STATE__SPEED", "1"),
        ("VCA__LOG", "info"),
        ("VCA__CALLS__MAX_CALLS", "0"),
        ("MAX_CONVERSATION_DURATION_SECONDS", "soon"),
    ];
    let expected = [
        "admin.bind @ vca.toml:14",
        "ari.max_requests @ vca.toml:4",
        "ari.reconnect_min_ms @ vca.toml:5",
        "ari.typo @ vca.toml:6",
        "ari.url @ vca.toml:3",
        "calls.max_calls @ VCA__CALLS__MAX_CALLS",
        "database.url @ DATABASE_URL",
        "environment @ APP_ENV",
        "log @ VCA__LOG",
        "log.filter @ DEBUG",
        "media.bind_address @ vca.toml:9",
        "media.ports @ vca.toml:8",
        "nowhere @ vca.toml:15",
        "speed @ vca.toml:1",
        "state.speed @ VCA__STATE__SPEED",
        "state.ttl_s @ VCA__STATE__TTL_S",
        "turn.max_duration_ms @ MAX_CONVERSATION_DURATION_SECONDS",
        "turn.max_turns @ vca.toml:11",
    ];
    assert_eq!(faults(file, &variables), expected);
}

#[test]
fn a_fault_says_what_to_do() {
    let found = composed("[ari]\ntimeout = 3\nmax_requests = \"many\"", &[PASSWORD]).expect_err("faults");
    let text = ConfigErrors(&found).to_string();
    assert!(text.starts_with("the configuration has 2 faults\n\nari.max_requests: "), "{text}");
    assert!(text.contains("    remedy: write it like the default, ari.max_requests = 64"), "{text}");
    assert!(text.contains("ari.timeout: there is no such key\n    from:   vca.toml:2\n"), "{text}");
    assert!(text.contains("correct or remove it; [ari] takes url, username, password"), "{text}");
}

#[test]
fn what_is_not_toml_is_told_with_its_line_and_the_rest_is_examined() {
    let found = faults("[ari]\nurl = = 3\n[turn]\nmax_turns = 0\n", &[]);
    assert!(found.contains(&"vca.toml @ vca.toml:2".into()), "{found:?}");
    assert!(found.contains(&"turn.max_turns @ vca.toml:4".into()), "{found:?}");
}

#[test]
fn files_that_are_named_have_to_be_there() {
    let missing = Some(Path::new("/no/such/file"));
    for paths in [Paths { config: missing, env_file: None }, Paths { config: None, env_file: missing }] {
        let faults = examine(&paths, Need::All).expect_err("no file");
        assert!(faults[0].problem.contains("cannot be read"), "{faults:?}");
    }
}

#[test]
fn production_has_no_default_database_and_is_the_default() {
    for environment in ["production", ""] {
        assert_eq!(faults("", &[("APP_ENV", environment)]), ["database.url @ default"]);
        for place in [("DATABASE_URL", "sqlite:x.db"), ("STATE_DIRECTORY", "/var/lib/vca")] {
            assert_eq!(faults("", &[("APP_ENV", environment), place]), [""; 0]);
        }
    }
    let compose = |need| result(compose(File::none(), &Variables::default(), need));
    let faults = compose(Need::Database).expect_err("no database");
    assert!(
        faults[0].remedy.contains("DATABASE_URL") && faults[0].remedy.contains("APP_ENV=development"),
        "{faults:?}"
    );
    assert!(compose(Need::Daemon).is_ok());
}

#[test]
fn plaintext_to_another_machine_has_to_be_allowed() {
    let whole = [
        PUBLIC_ADDRESS,
        ("TWILIO_AUTH_TOKEN", "x"),
        ("TWILIO_ACCOUNT_SID", "AC1"),
        ("VCA__TELEPHONY__TWILIO__TRUNK_SID", "TK1"),
    ];
    for (file, key, section) in [
        ("[ari]\nurl = \"http://10.0.0.5:8088\"\n", "ari.url", "ari"),
        ("[ari]\nurl = \"http://asterisk:8088\"\n", "ari.url", "ari"),
        ("[database]\nurl = \"postgres://u:p@db/vca?sslmode=prefer\"\n", "database.url", "database"),
        ("[state]\nredis_url = \"redis://:p@redis:6379\"\n", "state.redis_url", "state"),
        ("[openai]\nbase_url = \"http://198.51.100.7/v1\"\n", "openai.base_url", "openai"),
        ("[telephony.twilio]\nbase_url = \"http://10.1.1.1\"\n", "telephony.twilio.base_url", "telephony"),
    ] {
        assert_eq!(faults(file, &whole), [format!("{key} @ vca.toml:2")], "{file}");
        let allowed = format!("VCA__{}__ALLOW_PLAINTEXT", section.to_uppercase());
        assert_eq!(faults(file, &[&whole[..], &[(&allowed, "true")]].concat()), [""; 0], "{file}");
    }
    let near = [
        ("ARI_URL", "http://localhost:8088"),
        ("DATABASE_URL", "postgres://u:p@127.0.0.1/vca?sslmode=disable"),
        ("REDIS_URL", "redis://[::1]:6379"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9000/v1"),
        ("VCA__TELEPHONY__TWILIO__BASE_URL", "http://127.0.0.1:1"),
    ];
    assert_eq!(faults("", &[&near[..], &whole].concat()), [""; 0]);
    let unused = "[telephony.telnyx]\nbase_url = \"http://10.1.1.1\"\n";
    assert_eq!(faults(unused, &[]), [""; 0], "a provider without credentials is sent none");
}

#[test]
fn an_encrypted_way_to_another_machine_is_taken() {
    let far = [
        PUBLIC_ADDRESS,
        ("ARI_URL", "https://asterisk:8089"),
        ("DATABASE_URL", "postgres://u:p@db/vca"),
        ("REDIS_URL", "rediss://:p@redis:6379"),
        ("OPENAI_BASE_URL", "https://llm.example.com/v1"),
    ];
    let loaded = loaded("", &far);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn a_missing_seal_key_is_warned_about_and_a_broken_one_refused() {
    let production = [("APP_ENV", "production"), ("DATABASE_URL", "sqlite:x.db")];
    let keys = |variables: &[_]| {
        let warnings = loaded("", &[&production[..], variables].concat()).warnings;
        warnings.into_iter().map(|warning| warning.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(&[]), ["seal.key"]);
    let good = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(keys(&[("VCA_SEAL_KEY", good)]), [""; 0]);
    assert_eq!(faults("", &[("VCA_SEAL_KEY", "hunter4")]), ["seal.key @ VCA_SEAL_KEY"]);
    let former = format!("{good} hunter4");
    assert_eq!(faults("", &[("VCA_SEAL_FORMER_KEYS", &former)]), ["seal.former_keys @ VCA_SEAL_FORMER_KEYS"]);
}

#[test]
fn weak_settings_are_warned_about() {
    let weak = [
        ("OPENAI_BASE_URL", "http://10.0.0.9:8000/v1"),
        ("DATABASE_URL", "postgres://u:p@db/vca?sslmode=require"),
    ];
    let warnings = loaded("", &weak).warnings;
    let keys: Vec<&str> = warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(keys, ["database.url", "openai.base_url"]);
}

#[test]
fn files_for_tls_are_checked_with_the_configuration() {
    let named = |section: &str| format!("[{section}.tls]\nca = \"/no/such/file\"\n");
    let far = [
        PUBLIC_ADDRESS,
        ("ARI_URL", "https://a:1"),
        ("REDIS_URL", "rediss://r"),
        ("DATABASE_URL", "postgres://u:p@db/vca"),
    ];
    for section in ["ari", "database", "state"] {
        assert_eq!(faults(&named(section), &far), [format!("{section}.tls.ca @ vca.toml:2")]);
    }
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let not_pem = format!("[ari.tls]\nca = {certificate:?}\n");
    assert_eq!(faults(&not_pem, &far), ["ari.tls.ca @ vca.toml:2"]);
    for section in ["ari", "state"] {
        let found = faults(&named(section), &[]);
        assert_eq!(found.len(), 2, "missing, and of no use without TLS: {found:?}");
    }
}

#[test]
fn a_command_for_the_tables_needs_no_asterisk() {
    let compose = |text: &str| result(compose(File::of_text(text), &Variables::default(), Need::Database));
    let database = "[database]\nurl = \"sqlite:vca.db\"\n";
    assert!(compose(&format!("{database}[turn]\nmax_turns = 0")).is_ok());
    assert!(compose("[database]\nurl = \"x\"").is_err());
    assert!(
        compose(&format!("{database}[trun]\nmax_turns = 0")).is_err(),
        "an unknown key is one for every command"
    );
}

#[test]
fn ports_and_threads_have_to_suffice_for_the_calls() {
    assert_eq!(faults("[media]\nports = [20000, 20010]", &[]), ["media.ports @ vca.toml:2"]);
    assert_eq!(faults("[media]\nports = [0, 20010]", &[]), ["media.ports @ vca.toml:2"]);
    assert_eq!(faults("[ari]\nrtp_ports = [20000, 10000]", &[]), ["ari.rtp_ports @ vca.toml:2"]);
    assert_eq!(faults("[calls]\nmax_calls = 1501", &[]), ["media.calls_per_thread @ default"]);
    assert_eq!(faults("[media]\nbind_address = \"0.0.0.0\"", &[]), ["media.public_address @ default"]);
}

#[test]
fn a_loopback_media_address_needs_asterisk_on_this_machine() {
    let remote = ("ARI_URL", "https://asterisk.example.com:8089");
    assert_eq!(faults("", &[remote]), ["media.bind_address @ default"]);
    assert_eq!(faults("", &[("ARI_URL", "https://[::1]:8089")]), [""; 0]);
    assert_eq!(faults("", &[remote, PUBLIC_ADDRESS]), [""; 0]);
    assert_eq!(faults("[media]\nbind_address = \"192.0.2.1\"", &[remote]), [""; 0]);
    let named = "[media]\npublic_address = \"127.0.0.1\"";
    assert_eq!(faults(named, &[remote]), [""; 0], "the name can be this machine's");
}

#[test]
fn another_machine_may_ask_only_if_that_is_wanted() {
    let bind = "[admin]\nbind = \"0.0.0.0:8080\"\n";
    assert_eq!(faults(bind, &[]), ["admin.bind @ vca.toml:2"]);
    let allowed = config(bind, &[("VCA__ADMIN__ALLOW_PLAINTEXT_REMOTE", "true")]);
    assert!(allowed.admin.allow_plaintext_remote);
    assert_eq!(allowed.admin.metrics_access(), MetricsAccess::Operator);
    assert_eq!(config("", &[]).admin.metrics_access(), MetricsAccess::Local);
    let tls = format!("{bind}[admin.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n");
    assert!(faults(&tls, &[]).is_empty());
    assert_eq!(faults("[admin.tls]\nclient_ca = \"ca.pem\"", &[]), ["admin.tls.client_ca @ vca.toml:2"]);
}

/// A key is listed as a secret exactly when its type keeps its value from being shown.
#[test]
fn no_secret_is_shown() {
    // Those of a provider are set together or not at all.
    let whole = [
        "TWILIO__ACCOUNT_SID",
        "TWILIO__AUTH_TOKEN",
        "TWILIO__TRUNK_SID",
        "TELNYX__API_KEY",
        "TELNYX__CONNECTION_ID",
    ]
    .map(|key| format!("VCA__TELEPHONY__{key}"));
    let mut given: Vec<(&str, &str)> = whole.iter().map(|name| (name.as_str(), "x")).collect();
    given.push(PASSWORD);
    for key in reference::keys() {
        let variable = format!("VCA__{}", key.replace('.', "__").to_uppercase());
        let marker = match key {
            "database.url" => "sqlite:marker",
            "state.redis_url" => "rediss://marker",
            "ari.url" => "https://marker",
            "openai.base_url" => "https://marker",
            key if key.ends_with("_url") => "https://marker",
            "telephony.inbound.secret" => "a marker of some length",
            "seal.key" | "seal.former_keys" => "markerAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            _ => "marker",
        };
        match composed("", &[given.as_slice(), &[(&variable, marker)]].concat()) {
            Ok(loaded) => {
                let shown = format!("{:?}", loaded.config).contains("marker");
                assert_eq!(shown, !reference::is_secret(key), "{key}");
                assert_eq!(format!("{:?}", loaded.effective).contains("marker"), shown, "{key}");
            }
            Err(_) => assert!(!reference::is_secret(key), "{key} is a secret that takes no text"),
        }
    }
    let faults = composed("[ari]\npassword = 918273", &[]).expect_err("a number");
    assert!(!format!("{faults:?}").contains("918273"), "{faults:?}");
    let faults = composed("", &[PASSWORD, ("DATABASE_URL", "mysql://u:hunter3@h")]).expect_err("mysql");
    assert!(!format!("{faults:?}").contains("hunter3"), "{faults:?}");
}

/// Lines that look like a configuration, with anything in their places.
fn lines() -> impl Strategy<Value = String> {
    const KEY: &str = "(ari|url|turn|max_turns|media|ports|environment|log|x|a\\.b|\"\")";
    const VALUE: &str =
        "(0|-1|1e400|nan|\"\"|\"é\"|\\[\\]|\\[1,2\\]|\\{\\}|\\{a=\\{b=1\\}\\}|true|1979-05-27)";
    let line =
        [format!("{KEY} = {VALUE}"), format!("\\[{KEY}\\]"), format!("\\[\\[{KEY}\\]\\]"), ".*".into()]
            .join("|");
    proptest::string::string_regex(&format!("(({line})\n){{0,12}}")).expect("an expression")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = composed(&String::from_utf8_lossy(&bytes), &[]);
    }

    #[test]
    fn random_settings_do_no_harm(text in lines(), name in "[A-Z_]{0,12}", value in ".*") {
        let _ = composed(&text, &[(&format!("VCA__{name}"), &value.replace('\0', ""))]);
    }
}

#[test]
fn providers_are_set_whole_or_not_at_all() {
    assert_eq!(
        faults("[telephony]\nfake = true\n", &[("APP_ENV", "production"), ("DATABASE_URL", "sqlite:x.db")]),
        ["telephony.fake @ vca.toml:2"]
    );
    let unset = [("APP_ENV", ""), ("DATABASE_URL", "sqlite:x.db")];
    assert_eq!(faults("[telephony]\nfake = true\n", &unset), ["telephony.fake @ vca.toml:2"]);
    assert_eq!(faults("[telephony]\nfake = true\n", &[]), [""; 0]);
    assert_eq!(
        faults("", &[("TWILIO_AUTH_TOKEN", "x")]),
        ["telephony.twilio.account_sid @ default", "telephony.twilio.trunk_sid @ default"]
    );
    assert_eq!(faults("", &[("TELNYX_API_KEY", "KEY1")]), ["telephony.telnyx.connection_id @ default"]);
    let short = "[telephony.inbound]\nsecret = \"short\"\nallowed_addresses = [\"10.0.0.0/8\", \"192.0.2.1\", \"::1\"]\n";
    assert_eq!(faults(short, &[]), ["telephony.inbound.secret @ vca.toml:2"]);
    let odd = "[telephony.inbound]\nallowed_addresses = [\"everywhere\"]\n[telephony.telnyx]\nbase_url = \"telnyx\"\n";
    assert_eq!(faults(odd, &[]).len(), 2, "{:?}", faults(odd, &[]));
}
