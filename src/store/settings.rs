//! Where the database is and how long to wait for it.

use std::path::{Path, absolute};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::connect::postgres_options;
use crate::transport::TlsFiles;

/// The settings of the store.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST:PORT/NAME`. Default: `sqlite:vca.db`.
    pub url: SecretString,
    /// PostgreSQL only: may the password cross a network unencrypted, because something else encrypts? Then a URL
    /// without `sslmode` means `prefer` instead of `verify-full`. Default: false.
    pub allow_plaintext: bool,
    /// PostgreSQL only: files for TLS, instead of `sslrootcert`, `sslcert` and `sslkey` in the URL. An authority is
    /// trusted beside the public ones. Default: none.
    pub tls: TlsFiles,
    /// How many connections the API and the jobs of the daemon may have open at once. Default: 8.
    pub max_connections: u32,
    /// How many connections calls and their records may have open, beside those: 2 at least. Default: 3.
    pub call_connections: u32,
    /// How long to wait for a connection, in milliseconds. Default: 3000.
    pub acquire_timeout_ms: u64,
    /// How long a transaction, and each of its statements, may take, in milliseconds. Default: 5000.
    pub query_timeout_ms: u64,
    /// SQLite only: how long to wait for another writer, in milliseconds. Shorter than
    /// `query_timeout_ms`, so that the wait ends in an orderly way. Default: 3000.
    pub busy_timeout_ms: u64,
    /// Who a daemon is among those that share the database: the same name after a restart, and no other's. Default:
    /// the host's name and that of the Stasis application, as in `pbx-1/vca`.
    pub daemon: Option<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            url: SecretString::from("sqlite:vca.db"),
            allow_plaintext: false,
            tls: TlsFiles::default(),
            max_connections: 8,
            call_connections: 3,
            acquire_timeout_ms: 3_000,
            query_timeout_ms: 5_000,
            busy_timeout_ms: 3_000,
            daemon: None,
        }
    }
}

impl Settings {
    /// The database as logs and messages name it, without a password: an SQLite file by its absolute path, since a relative
    /// one means another file in another working folder.
    pub fn location(&self) -> String {
        let url = self.url.expose_secret();
        if let Some(path) = self.file() {
            return absolute(path).unwrap_or(path.into()).display().to_string();
        }
        match postgres_options(self) {
            _ if url.starts_with("sqlite:") => "an SQLite database".to_owned(),
            Ok(options) if url.starts_with("postgres") => {
                let (user, host, port) = (options.get_username(), options.get_host(), options.get_port());
                format!("{user}@{host}:{port}/{}", options.get_database().unwrap_or(user))
            }
            _ => "the database".to_owned(),
        }
    }

    /// The file of an SQLite URL; `None` where the URL would have to be decoded to know it.
    pub fn file(&self) -> Option<&Path> {
        let rest = self.url.expose_secret().strip_prefix("sqlite:")?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        (!path.is_empty() && path != ":memory:" && !path.contains('%')).then(|| Path::new(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Settings {
        Settings { url: SecretString::from(url), ..Settings::default() }
    }

    #[test]
    fn the_file_of_a_url_is_known() {
        assert_eq!(at("sqlite:vca.db").file(), Some(Path::new("vca.db")));
        let with_mode = at("sqlite:///var/lib/vca/vca.db?mode=ro");
        assert_eq!(with_mode.file(), Some(Path::new("/var/lib/vca/vca.db")));
        for url in ["sqlite::memory:", "sqlite:", "sqlite:a%20b.db", "postgres://localhost/vca"] {
            assert_eq!(at(url).file(), None, "{url}");
        }
    }

    #[test]
    fn a_database_is_named_without_its_password() {
        let relative = at("sqlite:vca.db").location();
        assert!(relative.starts_with('/') && relative.ends_with("/vca.db"), "{relative}");
        let server = at("postgres://vca:secret@db.example.com:5433/calls?sslmode=require").location();
        assert_eq!(server, "vca@db.example.com:5433/calls");
        assert_eq!(at("sqlite::memory:").location(), "an SQLite database");
        assert_eq!(at("mysql://root:secret@localhost/").location(), "the database");
    }
}
