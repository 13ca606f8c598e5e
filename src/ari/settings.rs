//! The settings of the connection to Asterisk's ARI.

use secrecy::SecretString;
use serde::Deserialize;

use crate::transport::TlsFiles;

/// The connection to one Asterisk.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Scheme, host and port of Asterisk's HTTP server, and its `prefix` where one is set; `https` for TLS.
    /// Default `http://127.0.0.1:8088`.
    pub url: String,
    /// A user of `ari.conf`. Default `vca`.
    pub username: String,
    /// That user's password. Default empty.
    pub password: SecretString,
    /// May the password cross a network unencrypted, because something else encrypts? Default false.
    pub allow_plaintext: bool,
    /// Files for an `https` URL. Default: none.
    pub tls: TlsFiles,
    /// The Stasis application's name, as the dialplan has it. Default `vca`.
    pub app: String,
    /// The lowest and the highest of Asterisk's RTP ports; 0 and 0 stand for those of `rtp.conf`. Default 0, 0.
    pub rtp_ports: (u16, u16),
    /// Limit of one request in ms, connecting and waiting for a free place included. Default 2000.
    pub request_timeout_ms: u64,
    /// Requests under way at once. Default 64.
    pub max_requests: usize,
    /// Limit of a call's set-up in ms, from its ring to its answer, admission included. Default 5000.
    pub set_up_timeout_ms: u64,
    /// Pause between our own pings on the event WebSocket, in ms. Default 5000.
    pub ping_interval_ms: u64,
    /// The event WebSocket counts as dead after this time without a frame, in ms. Default 15000.
    pub idle_limit_ms: u64,
    /// Interval of probes whether Asterisk carries out requests, in ms. Default 5000.
    pub probe_interval_ms: u64,
    /// First pause before connecting again, in ms; it doubles. Default 250.
    pub reconnect_min_ms: u64,
    /// Longest pause before connecting again, in ms. Default 10000.
    pub reconnect_max_ms: u64,
    /// Largest event, in bytes; a larger one costs the connection. Default 1 MiB.
    pub max_event_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            url: "http://127.0.0.1:8088".into(),
            username: "vca".into(),
            password: SecretString::default(),
            allow_plaintext: false,
            tls: TlsFiles::default(),
            app: "vca".into(),
            rtp_ports: (0, 0),
            request_timeout_ms: 2_000,
            max_requests: 64,
            set_up_timeout_ms: 5_000,
            ping_interval_ms: 5_000,
            idle_limit_ms: 15_000,
            probe_interval_ms: 5_000,
            reconnect_min_ms: 250,
            reconnect_max_ms: 10_000,
            max_event_bytes: 1 << 20,
        }
    }
}
