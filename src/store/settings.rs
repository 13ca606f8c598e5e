//! Where the database is and how long to wait for it.

use secrecy::SecretString;
use serde::Deserialize;

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
