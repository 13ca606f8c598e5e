//! How a connection to the database is made: files that others cannot read, and TLS to another machine.

use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{Settings, StoreError};
use crate::transport::{HostPlace, place};

/// How the connection to the database is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// It does not leave this machine.
    Local,
    /// TLS; the server's certificate and name are verified.
    Verified,
    /// TLS, but another server can pretend to be the database (`sslmode=require`, `verify-ca`).
    Unverified,
    /// Nothing, or nothing when the server wants it so (`sslmode=disable`, `allow`, `prefer`).
    Plaintext,
}

impl Settings {
    /// How the connection to the database is protected. `Local` where the URL cannot be understood: opening it says why.
    pub fn protection(&self) -> Protection {
        let url = self.url.expose_secret();
        if !(url.starts_with("postgres:") || url.starts_with("postgresql:")) {
            return Protection::Local;
        }
        match postgres_options(self) {
            Ok(options) if is_local(&options) => Protection::Local,
            Ok(options) => match options.get_ssl_mode() {
                PgSslMode::VerifyFull => Protection::Verified,
                PgSslMode::VerifyCa | PgSslMode::Require => Protection::Unverified,
                PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => Protection::Plaintext,
            },
            Err(_) => Protection::Local,
        }
    }

    /// Would the password cross a network unencrypted, although that is not allowed?
    pub fn is_exposed(&self) -> bool {
        !self.allow_plaintext && self.protection() == Protection::Plaintext
    }
}

/// The options for PostgreSQL. Where the URL names no `sslmode`, a certificate of `tls.ca` is verified, and so is that
/// of a server on another machine unless plaintext is allowed.
///
/// # Errors
/// `Invalid` for a URL that cannot be understood.
pub(super) fn postgres_options(settings: &Settings) -> Result<PgConnectOptions, StoreError> {
    let url = settings.url.expose_secret();
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        StoreError::invalid(
            "the PostgreSQL URL cannot be understood; write postgres://USER:PASSWORD@HOST:PORT/NAME, \
             with special characters of the password percent-encoded",
        )
    })?;
    let tls = &settings.tls;
    let options = tls.ca.iter().fold(options, |options, path| options.ssl_root_cert(path));
    let options = tls.certificate.iter().fold(options, |options, path| options.ssl_client_cert(path));
    let options = tls.key.iter().fold(options, |options, path| options.ssl_client_key(path));
    let must_verify = tls.ca.is_some() || !(is_local(&options) || settings.allow_plaintext);
    let mode = match options.get_ssl_mode() {
        PgSslMode::Prefer if must_verify && !names_mode(url) && !is_socket(&options) => PgSslMode::VerifyFull,
        // As libpq does: with an authority, `require` means `verify-ca`.
        PgSslMode::Require if names_authority(url) || tls.ca.is_some() => PgSslMode::VerifyCa,
        mode => mode,
    };
    Ok(options.ssl_mode(mode).application_name("vca"))
}

fn is_local(options: &PgConnectOptions) -> bool {
    is_socket(options) || place(options.get_host()) == HostPlace::ThisMachine
}

fn is_socket(options: &PgConnectOptions) -> bool {
    options.get_socket().is_some() || options.get_host().starts_with('/')
}

fn names_mode(url: &str) -> bool {
    parameters(url).any(|name| matches!(name, "sslmode" | "ssl-mode"))
}

fn names_authority(url: &str) -> bool {
    parameters(url).any(|name| matches!(name, "sslrootcert" | "ssl-root-cert" | "ssl-ca"))
}

fn parameters(url: &str) -> impl Iterator<Item = &str> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
}

/// Creates an SQLite file that only this user can read, in a folder of the same kind, where there is none. SQLite gives
/// its write-ahead log the permissions of the file.
pub(super) async fn create_sqlite_file(path: &Path) -> Result<(), StoreError> {
    let path = path.to_owned();
    let created = tokio::task::spawn_blocking(move || create_private(&path)).await;
    created.unwrap_or_else(|error| Err(StoreError::Other(error.to_string())))
}

fn create_private(path: &Path) -> Result<(), StoreError> {
    let failed = |path: &Path, error: std::io::Error| StoreError::Unavailable {
        what: format!("cannot create {} ({error}); create it, writable for this user", path.display()),
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder).map_err(|error| failed(folder, error))?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::SecretString;

    use super::*;
    use crate::transport::TlsFiles;

    fn settings(url: &str) -> Settings {
        Settings { url: SecretString::from(url), ..Settings::default() }
    }

    #[test]
    fn another_machine_is_verified_unless_the_url_says_otherwise() {
        for (url, expected) in [
            ("sqlite:vca.db", Protection::Local),
            ("postgres://u:p@localhost/vca", Protection::Local),
            ("postgres://u:p@127.0.0.1:5432/vca?sslmode=disable", Protection::Local),
            ("postgres:///vca?host=/run/postgresql", Protection::Local),
            ("postgres://u:p@%2Frun%2Fpostgresql/vca", Protection::Local),
            ("postgres://u:p@db.example.com/vca", Protection::Verified),
            ("postgresql://u:p@10.0.0.5/vca", Protection::Verified),
            ("postgres:///vca?host=10.0.0.5", Protection::Verified),
            ("postgres://u:p@localhost/vca?hostaddr=10.0.0.5", Protection::Verified),
            ("postgres://u:p@db/vca?sslmode=verify-full", Protection::Verified),
            ("postgres://u:p@db/vca?sslmode=verify-ca", Protection::Unverified),
            ("postgres://u:p@db/vca?sslmode=require", Protection::Unverified),
            ("postgres://u:p@db/vca?sslmode=prefer", Protection::Plaintext),
            ("postgres://u:p@db/vca?ssl-mode=allow", Protection::Plaintext),
            ("postgres://u:p@db/vca?application_name=x&sslmode=disable", Protection::Plaintext),
        ] {
            let settings = settings(url);
            assert_eq!(settings.protection(), expected, "{url}");
            assert_eq!(settings.is_exposed(), expected == Protection::Plaintext, "{url}");
            assert!(!Settings { allow_plaintext: true, ..settings }.is_exposed(), "{url}");
        }
    }

    #[test]
    fn an_authority_is_verified_on_this_machine_too() {
        let with_ca = |url: &str| {
            let tls = TlsFiles { ca: Some("ca.pem".into()), ..TlsFiles::default() };
            postgres_options(&Settings { tls, ..settings(url) }).expect("a good URL").get_ssl_mode()
        };
        assert!(matches!(with_ca("postgres://u:p@127.0.0.1/vca"), PgSslMode::VerifyFull));
        assert!(matches!(with_ca("postgres:///vca?host=/run/postgresql"), PgSslMode::Prefer));
        assert!(matches!(with_ca("postgres://u:p@db/vca?sslmode=require"), PgSslMode::VerifyCa));
        let named = settings("postgres://u:p@db/vca?sslmode=require&sslrootcert=ca.pem");
        assert!(matches!(postgres_options(&named).expect("good").get_ssl_mode(), PgSslMode::VerifyCa));
    }

    #[tokio::test]
    async fn an_sqlite_file_is_its_owners_from_the_first_byte() {
        let outer = std::env::temp_dir().join(format!("vca-connect-{:016x}", rand::random::<u64>()));
        let path = outer.join("inner/vca.db");
        create_sqlite_file(&path).await.expect("created");
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&outer), mode(&outer.join("inner")), mode(&path)), (0o700, 0o700, 0o600));
        std::fs::write(&path, "kept").expect("written");
        create_sqlite_file(&path).await.expect("there already");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "kept");
        std::fs::remove_dir_all(&outer).expect("removed");
    }
}
