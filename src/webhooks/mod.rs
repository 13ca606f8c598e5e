//! Webhooks: from the outbox in the database to the receivers of tenants, by the rules of Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! Every event arrives at least once, or is given up after days; a duplicate bears the same id. What a tenant
//! names as a receiver is reached only where [`Guard`] lets it. It does not know what the events mean.

mod courier;
mod deliverer;
mod guard;
mod schedule;
mod signature;
mod slots;

pub use deliverer::Deliverer;
pub use guard::{Guard, Refused};
pub use signature::sign;

use serde::Deserialize;

/// `[webhooks]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// May receivers be loopback, private and other addresses that are not public? Default false.
    pub allow_private_targets: bool,
    /// May receivers be reached without TLS? Default false.
    pub allow_http: bool,
    /// How long a receiver may take to answer, connecting included. Milliseconds, 15000 by default.
    pub timeout_ms: u64,
    /// Requests under way at once. Default 128.
    pub max_concurrent: usize,
    /// Requests under way at once to one webhook; one that fails gets one at a time. Default 4.
    pub max_concurrent_per_webhook: usize,
    /// How often the outbox is looked into when nothing stirs: for what another process has put there, and for
    /// repetitions. Milliseconds, 1000 by default.
    pub poll_interval_ms: u64,
    /// For how many days deliveries that are over are kept. Default 30.
    pub keep_days: u32,
    /// After how many days of nothing but failures a webhook is switched off. Default 5.
    pub disable_after_days: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            allow_private_targets: false,
            allow_http: false,
            timeout_ms: 15_000,
            max_concurrent: 128,
            max_concurrent_per_webhook: 4,
            poll_interval_ms: 1_000,
            keep_days: 30,
            disable_after_days: 5,
        }
    }
}
