//! The media quality of a call, for its record.

use serde::Serialize;

/// The media quality of a leg, for the call record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub format: &'static str,
    pub received: u64,
    pub lost: u64,
    pub late: u64,
    pub duplicate: u64,
    /// No RTP, or not of the call's format.
    pub malformed: u64,
    /// Packets from other addresses than Asterisk's, which were dropped.
    pub unexpected: u64,
    pub sent: u64,
    pub jitter_ms: f64,
    /// Estimated mean opinion score of the received audio, 1.0 to 4.5; absent when nothing was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mos: Option<f64>,
    /// The agent's voice as the caller's telephone returns it; absent when no echo was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo: Option<EchoReport>,
}

/// An echo of the agent in the caller's audio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EchoReport {
    /// Between sending and receiving.
    pub delay_ms: u64,
    /// How much fainter than the agent it is.
    pub attenuation_db: f64,
}
