//! Where conversation state is kept, and for how long.

use secrecy::SecretString;
use serde::Deserialize;

/// The settings of conversation state.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `redis://[USER:PASSWORD@]HOST:PORT/DATABASE`, or `rediss://` for TLS. Default: none, in memory only.
    pub redis_url: Option<SecretString>,
    /// How long a state is kept after it was last saved, in seconds. Default: 3600.
    pub ttl_s: u32,
    /// How long a call may wait for Redis, in milliseconds. Default: 200.
    pub timeout_ms: u64,
    /// How many conversations are kept in memory; beyond that, the one that was saved least recently
    /// is forgotten. Default: 10000.
    pub capacity: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { redis_url: None, ttl_s: 3_600, timeout_ms: 200, capacity: 10_000 }
    }
}
