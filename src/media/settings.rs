//! `[media]`

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

/// `[media]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Media threads; each carries over a thousand calls on a core of its own, as `./dev bench media` measures.
    /// Default 1.
    pub threads: usize,
    /// The address on which RTP from Asterisk is received. Default 127.0.0.1.
    pub bind_address: IpAddr,
    /// The address that Asterisk is to send to, if it is not `bind_address` (NAT, or 0.0.0.0).
    pub public_address: Option<IpAddr>,
    /// The lowest and the highest UDP port to use; 0 and 0 let the system choose. Default 0, 0.
    pub ports: (u16, u16),
    /// Calls a thread carries at most. Default 1,500.
    pub calls_per_thread: usize,
    /// A call without a packet for this long after its answer is reported, in milliseconds; 0 switches that off.
    /// Default 5,000.
    pub no_media_ms: u64,
    /// The agent's first sound leaves this long after the answer, in milliseconds. Default 350.
    pub first_sound_delay_ms: u64,
    /// The agent's own voice, returned by the caller's telephone, is not taken for the caller's. Default true.
    pub echo_detection: bool,
    /// Calls per thread whose noise is suppressed at most; others are carried with their noise. Default 300.
    pub noise_suppression_calls: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            threads: 1,
            bind_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            public_address: None,
            ports: (0, 0),
            calls_per_thread: 1_500,
            no_media_ms: 5_000,
            first_sound_delay_ms: 350,
            echo_detection: true,
            noise_suppression_calls: 300,
        }
    }
}
