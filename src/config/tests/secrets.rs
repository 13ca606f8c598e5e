//! Secrets in files, systemd's credentials and files of variables.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::env_file::EnvFile;

/// A folder of secrets that is removed when dropped.
struct Secrets(PathBuf);

impl Secrets {
    fn new() -> Secrets {
        let path = std::env::temp_dir().join(format!("vca-secrets-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&path).expect("a folder");
        Secrets(path)
    }

    /// Writes a file that only its owner can read; its path.
    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file");
        self.mode(name, 0o600);
        path.display().to_string()
    }

    fn mode(&self, name: &str, mode: u32) {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.0.join(name), permissions).expect("our file");
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Without a password in the variables.
fn read(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Vec<ConfigError>> {
    composed(text, variables)
}

fn password(loaded: &Loaded) -> &str {
    loaded.config.ari.password.expose_secret()
}

/// The values of all secrets that are set.
fn revealed(config: &Config) -> Vec<&str> {
    let telephony = &config.telephony;
    let optional = [
        &config.openai.key,
        &config.anthropic.key,
        &config.elevenlabs.key,
        &config.deepgram.key,
        &config.seal.key,
        &config.seal.former_keys,
        &config.state.redis_url,
        &telephony.inbound.secret,
        &telephony.telnyx.api_key,
        &telephony.twilio.auth_token,
    ];
    let secrets = optional.into_iter().flatten().chain([&config.ari.password, &config.database.url]);
    secrets.map(ExposeSecret::expose_secret).collect()
}

fn variable(key: &str) -> String {
    format!("VCA__{}", key.replace('.', "__").to_uppercase())
}

#[test]
fn every_secret_can_be_a_file() {
    let secrets = Secrets::new();
    // Keys that are set together or not at all.
    let neighbours = "[ari]\npassword = \"x\"\n[telephony.telnyx]\napi_key = \"x\"\nconnection_id = \"1\"\n\
        [telephony.twilio]\nauth_token = \"x\"\naccount_sid = \"AC1\"\ntrunk_sid = \"TK1\"\n";
    for key in reference::SECRETS {
        let value = match *key {
            "database.url" => "sqlite:in-a-file",
            "state.redis_url" => "redis://localhost/1",
            "seal.key" | "seal.former_keys" => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            _ => "a secret in a file",
        };
        let (name, path) = (variable(key), secrets.write(key, format!("{value}\n")));
        let file_name = format!("{name}_FILE");
        let direct = read(neighbours, &[(&name, value)]).expect(key);
        let loaded = read(neighbours, &[(&file_name, &path)]).expect(key);
        assert!(revealed(&loaded.config).contains(&value), "{key}");
        assert_eq!(revealed(&loaded.config), revealed(&direct.config), "{key}");
        assert_eq!(effective(&loaded, key), ("«set»", &*file_name), "{key}");
        let shown = format!("{path:?}");
        assert_eq!(effective(&loaded, &format!("{key}_file")), (&*shown, &*file_name), "{key}");
    }
}

#[test]
fn the_named_variables_have_files_too() {
    let secrets = Secrets::new();
    let path = secrets.write("password", "hunter3\r\n");
    let loaded = read("", &[("ARI_PASSWORD_FILE", &path), ("OPENAI_API_KEY_FILE", &path)]).expect("good");
    assert_eq!(password(&loaded), "hunter3");
    assert_eq!(loaded.config.openai.key.expect("a key").expose_secret(), "hunter3");
}

#[test]
fn the_strongest_source_wins_whichever_key_it_sets() {
    let secrets = Secrets::new();
    let path = secrets.write("password", "from-the-file");
    let file = format!("[ari]\npassword_file = {path:?}\n");
    let by_file = read(&file, &[]).expect("good");
    assert_eq!(password(&by_file), "from-the-file");
    assert_eq!(effective(&by_file, "ari.password_file"), (&*format!("{path:?}"), "vca.toml:2"));
    assert_eq!(password(&read(&file, &[PASSWORD]).expect("good")), "hunter2");
    let inline = "[ari]\npassword = \"inline\"\n";
    assert_eq!(password(&read(inline, &[("ARI_PASSWORD_FILE", &path)]).expect("good")), "from-the-file");
    let lost = "[ari]\npassword_file = \"/no/such/file\"\n";
    assert_eq!(password(&read(lost, &[PASSWORD]).expect("a file that loses is not read")), "hunter2");
}

#[test]
fn a_secret_and_its_file_are_not_set_in_one_place() {
    let both = "[ari]\npassword = \"x\"\npassword_file = \"y\"\n";
    assert_eq!(faults(both, &[]), ["ari.password_file @ vca.toml:3"]);
    for name in ["ARI_PASSWORD", "VCA__ARI__PASSWORD"] {
        let file = format!("{name}_FILE");
        let found = faults("", &[(name, "x"), (&file, "/no/such/file")]);
        assert!(found.contains(&format!("ari.password_file @ {file}")), "{found:?}");
    }
    assert_eq!(faults("[ari]\npassword_file = 3\n", &[PASSWORD]), ["ari.password_file @ vca.toml:2"]);
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_a_remedy() {
    let secrets = Secrets::new();
    let pipe = secrets.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    for (path, problem) in [
        (secrets.path("missing"), "cannot be read"),
        (secrets.path("."), "is not a regular file"),
        (pipe, "is not a regular file"),
        (secrets.write("empty", "\n"), "is empty"),
        (secrets.write("large", "x".repeat(16 * 1024 + 1)), "has more than 16384 bytes"),
        (secrets.write("bytes", [0xff, 0xfe]), "is not UTF-8"),
    ] {
        let found = read("", &[("ARI_PASSWORD_FILE", &path)]).expect_err("an unusable file");
        assert_eq!(found.len(), 1, "the password is not missing as well: {found:?}");
        assert_eq!((&*found[0].key, &*found[0].source), ("ari.password_file", "ARI_PASSWORD_FILE"));
        assert!(found[0].problem.contains(&path) && found[0].problem.contains(problem), "{found:?}");
        assert!(found[0].remedy.contains("this user can read"), "{found:?}");
    }
}

#[test]
fn a_command_for_the_tables_needs_the_database_s_secret_only() {
    let variables = [("DATABASE_URL", "sqlite:x.db"), ("ARI_PASSWORD_FILE", "/no/such/file")];
    let compose = |variables: &[_]| result(compose(File::none(), &Variables::of(variables), Need::Database));
    let loaded = compose(&variables).expect("the password is not needed");
    assert_eq!(loaded.warnings[0].key, "ari.password_file");
    assert!(compose(&[("DATABASE_URL_FILE", "/no/such/file")]).is_err());
}

#[test]
fn systemd_s_credentials_need_no_setting() {
    let secrets = Secrets::new();
    secrets.write("ari.password", "loaded\n");
    secrets.write("unrelated", "x");
    let folder = secrets.path("");
    let credentials = ("CREDENTIALS_DIRECTORY", folder.as_str());
    let loaded = read("[ari]\npassword = \"inline\"\n", &[credentials]).expect("good");
    assert_eq!(password(&loaded), "loaded");
    assert_eq!(effective(&loaded, "ari.password"), ("«set»", "credential ari.password"));
    assert_eq!(password(&read("", &[credentials, PASSWORD]).expect("good")), "hunter2");
}

#[test]
fn a_file_that_every_user_can_read_is_warned_about() {
    let secrets = Secrets::new();
    let path = secrets.write("password", "x");
    let keys = |loaded: &Loaded| loaded.warnings.iter().map(|it| it.key.clone()).collect::<Vec<_>>();
    for (mode, expected) in [(0o600, &[][..]), (0o640, &[]), (0o644, &["ari.password_file"])] {
        secrets.mode("password", mode);
        assert_eq!(keys(&read("", &[("ARI_PASSWORD_FILE", &path)]).expect("good")), expected, "{mode:o}");
    }
    let config = secrets.write("vca.toml", "environment = \"development\"\n[ari]\npassword = \"x\"\n");
    for (mode, expected) in [(0o600, &[][..]), (0o644, &["ari.password"])] {
        secrets.mode("vca.toml", mode);
        let file = File::read(Path::new(&config)).expect("a file");
        let loaded = result(compose(file, &Variables::default(), Need::All)).expect("good");
        assert_eq!(keys(&loaded), expected, "{mode:o}");
    }
}

#[test]
fn variables_of_a_file_stand_in_for_those_that_are_not_set() {
    let secrets = Secrets::new();
    let path = secrets.write("env", "ARI_PASSWORD='of the file'\n\nARI_URL=ftp://x\nDEBUG=true\n");
    let file = || EnvFile::read(Path::new(&path)).expect("a file");
    let compose = |set: &[_]| result(compose(File::none(), &Variables::of(set).with_file(file()), Need::All));
    let faults = compose(&[DEVELOPMENT]).expect_err("no such scheme");
    assert_eq!((&*faults[0].key, &*faults[0].source), ("ari.url", &*format!("{path}:3 (ARI_URL)")));
    let loaded = compose(&[DEVELOPMENT, ("ARI_URL", "http://127.0.0.1:1"), ("DEBUG", "")]).expect("good");
    assert_eq!(password(&loaded), "of the file");
    assert_eq!(loaded.config.ari.url, "http://127.0.0.1:1");
    assert_eq!(loaded.config.log.filter, "debug");
}
