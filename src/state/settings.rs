//! Settings: where conversation state is kept, and for how long.

use secrecy::SecretString;
use serde::Deserialize;

use super::redis;
use crate::transport::TlsFiles;

/// The settings of conversation state.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `redis://[USER:PASSWORD@]HOST:PORT/DATABASE`, or `rediss://` for TLS. Default: none, in memory only.
    pub redis_url: Option<SecretString>,
    /// Whether Redis's password and callers' words may cross a network unencrypted, because another layer
    /// encrypts. Default: false.
    pub allow_plaintext: bool,
    /// Files for a `rediss` URL. Default: none.
    pub tls: TlsFiles,
    /// Seconds for which a state is kept after its last save. Default: 3600.
    pub ttl_s: u32,
    /// How long a call waits for Redis, in milliseconds. Default: 200.
    pub timeout_ms: u64,
    /// The number of conversations in memory; beyond that, the one with the oldest save is dropped. Default:
    /// 10000.
    pub capacity: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            redis_url: None,
            allow_plaintext: false,
            tls: TlsFiles::default(),
            ttl_s: 3_600,
            timeout_ms: 200,
            capacity: 10_000,
        }
    }
}

impl Settings {
    /// Whether words and passwords would cross a network unencrypted although that is not allowed.
    pub fn is_exposed(&self) -> bool {
        !self.allow_plaintext && self.redis_url.as_ref().is_some_and(redis::is_plaintext_remote)
    }
}
