//! The program in its environment: variables, files and what is refused before anything is opened.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A working folder that is deleted when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("vca-environment-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&path).expect("a folder");
        std::fs::write(path.join("vca.toml"), "").expect("a file");
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("a file");
    }

    /// Runs `vca` here, with these variables alone and an empty configuration file.
    fn vca(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vca"));
        command.current_dir(&self.0).env_clear().envs(variables.iter().copied());
        command.args(["--config", "vca.toml"]).args(args).output().expect("vca can be run")
    }

    fn mode(&self, name: &str) -> u32 {
        let path: &Path = &self.0.join(name);
        std::fs::metadata(path).unwrap_or_else(|e| panic!("{name}: {e}")).permissions().mode() & 0o777
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_start_that_would_send_a_password_in_plaintext_is_refused() {
    let folder = Folder::new();
    let plain = [
        ("ARI_URL", "http://192.0.2.1:8088"),
        ("ARI_PASSWORD", "hunter2"),
        ("DATABASE_URL", "postgres://vca:hunter3@192.0.2.2/vca?sslmode=disable"),
        ("REDIS_URL", "redis://:hunter4@192.0.2.3"),
    ];
    for command in [&["serve"][..], &["config", "check"], &["doctor"]] {
        let refused = folder.vca(command, &plain);
        let text = complaint(&refused);
        assert_eq!(refused.status.code(), Some(64), "{text}");
        for key in ["ari.url", "database.url", "state.redis_url"] {
            assert!(text.contains(&format!("{key}: it leads to another machine")), "{text}");
        }
        assert!(text.contains("ari.allow_plaintext = true") && !text.contains("hunter"), "{text}");
    }
    let refused = folder.vca(&["tenant", "list"], &plain);
    let text = complaint(&refused);
    assert_eq!(refused.status.code(), Some(64), "{text}");
    assert!(text.contains("database.url") && !text.contains("ari.url"), "a command for the tables: {text}");
}

#[test]
fn a_new_sqlite_database_is_its_owner_s_alone() {
    let folder = Folder::new();
    let migrated = folder.vca(&["migrate"], &[("DATABASE_URL", "sqlite:data/deep/vca.db")]);
    assert!(migrated.status.success(), "{}", complaint(&migrated));
    assert_eq!(
        [folder.mode("data"), folder.mode("data/deep"), folder.mode("data/deep/vca.db")],
        [0o700, 0o700, 0o600]
    );
}

#[test]
fn variables_of_a_file_are_read_where_they_are_named_or_in_development() {
    let folder = Folder::new();
    folder.write(".env", "DATABASE_URL=sqlite:developer.db\n");
    folder.write("service.env", "export DATABASE_URL='sqlite:service.db' # the service's\n");
    let made = |name: &str| folder.0.join(name).exists();
    let production = folder.vca(&["migrate"], &[]);
    assert_eq!(production.status.code(), Some(64), "{}", complaint(&production));
    assert!(complaint(&production).contains("set database.url (DATABASE_URL)") && !made("developer.db"));
    for arguments in [&["migrate", "--env-file", "service.env"][..], &["migrate"]] {
        let named = folder.vca(arguments, &[("VCA_ENV_FILE", "service.env")]);
        assert!(named.status.success() && made("service.db"), "{}", complaint(&named));
    }
    let development = folder.vca(&["migrate"], &[("APP_ENV", "development")]);
    assert!(development.status.success() && made("developer.db"), "{}", complaint(&development));
    let set = [("APP_ENV", "development"), ("DATABASE_URL", "sqlite:set.db")];
    assert!(
        folder.vca(&["migrate"], &set).status.success() && made("set.db"),
        "a variable goes before the file"
    );
    folder.write(".env", "not a variable\n");
    let broken = folder.vca(&["migrate"], &[("APP_ENV", "development")]);
    assert_eq!(broken.status.code(), Some(64));
    assert!(complaint(&broken).contains(".env:1"), "{}", complaint(&broken));
}

#[test]
fn warnings_leave_the_report_for_programs_as_it_is() {
    let folder = Folder::new();
    folder.write("password", "hunter2\n");
    let path = folder.0.join("password");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("our file");
    let variables = [("APP_ENV", "development"), ("ARI_PASSWORD_FILE", "password")];
    let checked = folder.vca(&["config", "check", "--json"], &variables);
    assert!(checked.status.success(), "{}", complaint(&checked));
    serde_json::from_slice::<Vec<serde_json::Value>>(&checked.stdout).expect("a list of values");
    assert!(
        complaint(&checked).contains("warning: ari.password_file: password holds a secret"),
        "{}",
        complaint(&checked)
    );
    assert!(!complaint(&checked).contains("hunter2"));
    folder.write("service.env", "\nVCA__ARI__PASSWORD=hunter3\n");
    let service = folder.0.join("service.env");
    for (mode, is_public) in [(0o644, true), (0o640, false)] {
        std::fs::set_permissions(&service, std::fs::Permissions::from_mode(mode)).expect("our file");
        let checked =
            folder.vca(&["config", "check", "--env-file", "service.env"], &[("APP_ENV", "development")]);
        let text = complaint(&checked);
        assert!(checked.status.success(), "{text}");
        assert_eq!(text.contains("ari.password: service.env holds a secret"), is_public, "{mode:o}: {text}");
        assert_eq!(text.contains("service.env:2"), is_public, "{mode:o}: {text}");
    }
}

#[test]
fn the_reference_needs_no_configuration() {
    let folder = Folder::new();
    assert!(folder.vca(&["config", "reference"], &[]).status.success());
}

#[test]
fn a_key_of_the_environment_seals_webhook_secrets_and_rotates() {
    const OLD: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const NEW: &str = "2222222222222222222222222222222222222222222222222222222222222222";
    let folder = Folder::new();
    folder.write("key", &format!("{OLD}\n"));
    let vca = |args: &[&str], seal: &[(&str, &str)]| {
        folder.vca(args, &[&[("DATABASE_URL", "sqlite:vca.db")], seal].concat())
    };
    let old = [("VCA_SEAL_KEY_FILE", "key")];
    let create =
        ["webhook", "create", "--tenant", "Acme", "--url", "https://example.com/", "--event", "call.ended"];
    for command in [&["migrate"][..], &["tenant", "create", "--name", "Acme"], &create] {
        let done = vca(command, &old);
        assert!(done.status.success(), "{command:?}: {}", complaint(&done));
    }
    // Until a checkpoint the newest pages are in the write-ahead log.
    let log = std::fs::read(folder.0.join("vca.db-wal")).unwrap_or_default();
    let stored = [std::fs::read(folder.0.join("vca.db")).expect("the database"), log].concat();
    let holds = |text: &str| stored.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds("sealed:v1:") && !holds("whsec_"));

    let reseal = |dry_run: bool, seal: &[(&str, &str)]| {
        let args: &[&str] =
            if dry_run { &["secrets", "reseal", "--dry-run"] } else { &["secrets", "reseal"] };
        let done = vca(args, seal);
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned() + &complaint(&done))
    };
    let (code, text) = reseal(true, &[]);
    assert!(code == Some(1) && text.contains("1 cannot be opened"), "{text}");
    let (code, text) = reseal(false, &[]);
    assert!(code == Some(65) && text.contains("VCA_SEAL_KEY"), "{text}");
    let both = [("VCA_SEAL_KEY", NEW), ("VCA_SEAL_FORMER_KEYS", OLD)];
    for (dry_run, verb) in [(true, "would be"), (false, "were")] {
        let (code, text) = reseal(dry_run, &both);
        assert!(code == Some(0) && text.contains(&format!("1 {verb} sealed")), "{text}");
    }
    let (code, text) = reseal(true, &[("VCA_SEAL_KEY", NEW)]);
    assert!(code == Some(0) && text.contains("0 would be sealed"), "{text}");
}
