//! How often one key and one address may ask.

use std::net::{IpAddr, Ipv6Addr};
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
    /// For one address, with or without a key; of IPv6, for one network of 64 bits. Default 1,200.
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
        let admitted = self.addresses.check_key(&counted(address));
        admitted.map_err(|until| self.too_many(until.wait_time_from(self.clock.now())))
    }

    fn too_many(&self, wait: std::time::Duration) -> Problem {
        let seconds = wait.as_secs() + 1;
        let detail = format!("too many requests: try again in {seconds} s");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
        Problem { retry_after_s: Some(seconds), ..problem }
    }
}

/// Whose requests an address's count with. Of IPv6 the least that anybody has is a network of 64 bits, with more
/// addresses in it than could ever be counted one by one.
fn counted(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = u128::MAX << 64;
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let settings = Settings { per_address: NonZeroU32::MIN, ..Settings::default() };
        let limits = Limits::new(&settings);
        let is_admitted = |address: &str| limits.admit_address(address.parse().unwrap()).is_ok();
        assert!(is_admitted("2001:db8::1"));
        assert!(!is_admitted("2001:db8::1"));
        assert!(!is_admitted("2001:db8::ffff:0:0:2"), "of the same 64 bits");
        assert!(is_admitted("2001:db8:0:1::1"), "of others");
        assert!(is_admitted("::ffff:192.0.2.1"));
        assert!(!is_admitted("192.0.2.1"), "the same address, written as IPv4");
        assert!(is_admitted("192.0.2.2"));
        assert!(is_admitted("::ffff:192.0.2.3"), "addresses of IPv4 count one by one");
    }
}
