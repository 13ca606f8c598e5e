//! How often one key and one address may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;

use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::Deserialize;

use super::problem::Problem;
use crate::tenancy::KeyId;

/// `[admin.limits]`: requests a minute. A burst of a minute's worth is let through at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// For one API key. Default 600.
    pub per_key: NonZeroU32,
    /// For one address, with or without a key. Default 1,200.
    pub per_address: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Settings {
        let minute = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Settings { per_key: minute(600), per_address: minute(1_200) }
    }
}

/// Whoever is not seen for a while is forgotten once this many are known.
const KNOWN: usize = 10_000;

pub struct Limits {
    keys: DefaultKeyedRateLimiter<KeyId>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
}

impl Limits {
    pub fn new(settings: &Settings) -> Limits {
        Limits {
            keys: RateLimiter::keyed(Quota::per_minute(settings.per_key)),
            addresses: RateLimiter::keyed(Quota::per_minute(settings.per_address)),
            clock: DefaultClock::default(),
        }
    }

    /// # Errors
    /// 429 when the key has asked too often.
    pub fn admit_key(&self, key: KeyId) -> Result<(), Problem> {
        if self.keys.len() > KNOWN {
            self.keys.retain_recent();
        }
        self.keys.check_key(&key).map_err(|until| self.too_many(until.wait_time_from(self.clock.now())))
    }

    /// # Errors
    /// 429 when the address has asked too often.
    pub fn admit_address(&self, address: IpAddr) -> Result<(), Problem> {
        if self.addresses.len() > KNOWN {
            self.addresses.retain_recent();
        }
        let admitted = self.addresses.check_key(&address);
        admitted.map_err(|until| self.too_many(until.wait_time_from(self.clock.now())))
    }

    fn too_many(&self, wait: std::time::Duration) -> Problem {
        let seconds = wait.as_secs() + 1;
        let detail = format!("too many requests: try again in {seconds} s");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
        Problem { retry_after_s: Some(seconds), ..problem }
    }
}
