//! Webhooks: delivery from the outbox in the database to tenants' receivers, by Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! Every event is delivered at least once, or given up after days; a duplicate has the same id. The addresses of receivers
//! are checked by `egress`. The content of events is opaque here.

mod deliverer;
mod pre_call;
mod schedule;
mod sender;
mod signature;
mod slots;

pub use deliverer::Deliverer;
pub use pre_call::{PreCallClient, PreCallFailure};
pub use signature::sign;

use serde::Deserialize;

use crate::egress::DestinationPolicy;

/// `[webhooks]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether receivers may be loopback, private and other addresses that are not public. Default false.
    pub allow_private_targets: bool,
    /// Whether receivers may be reached without TLS. Default false.
    pub allow_http: bool,
    /// The timeout of a request, connecting included. Milliseconds, 15000 by default.
    pub timeout_ms: u64,
    /// Requests in progress at once. Default 128.
    pub max_concurrent: usize,
    /// Requests in progress at once to one webhook; a failing one gets one at a time. Default 4.
    pub max_concurrent_per_webhook: usize,
    /// Requests in progress at once to a tenant's pre-call webhooks; further calls are answered without one. Default 10.
    pub max_pre_call_per_tenant: usize,
    /// The interval between polls of the outbox, for retries and for events of other processes. Milliseconds, 1000
    /// by default.
    pub poll_interval_ms: u64,
    /// The number of days for which finished deliveries are kept. Default 30.
    pub keep_days: u32,
    /// The number of days with failures only, after which a webhook is disabled. Default 5.
    pub disable_after_days: u32,
}

impl Settings {
    /// The receivers that tenants may name.
    pub fn destinations(&self) -> DestinationPolicy {
        DestinationPolicy { allow_private: self.allow_private_targets, allow_http: self.allow_http }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            allow_private_targets: false,
            allow_http: false,
            timeout_ms: 15_000,
            max_concurrent: 128,
            max_concurrent_per_webhook: 4,
            max_pre_call_per_tenant: 10,
            poll_interval_ms: 1_000,
            keep_days: 30,
            disable_after_days: 5,
        }
    }
}
