//! Rate limits of keys and addresses, and of log lines about refused requests.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::Deserialize;

use super::lookups::Lookups;
use super::problem::Problem;
use super::shares::Shares;
use crate::admin::client::{Client, counted};
use crate::tenancy::{KeyId, TenantId};

/// `[admin.limits]`: requests a minute, of which a minute's worth may arrive at once; and requests at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Requests a minute with one API key. Default 600.
    pub per_key: NonZeroU32,
    /// Requests a minute from one address without a valid key; of IPv6, from one network of 64 bits. Default 1,200.
    pub per_address: NonZeroU32,
    /// Requests of one tenant's keys that are served at the same time. Default 8.
    pub concurrent_per_tenant: NonZeroU32,
    /// Of these, analytics and other reads of many rows, each of which can occupy a core of the database. Default 1.
    pub heavy_per_tenant: NonZeroU32,
    /// Such reads of all tenants and of the operator that are served at the same time. Default 4.
    pub heavy: NonZeroU32,
    /// Commands a minute to the live calls of one tenant. Default 120.
    pub commands_per_tenant: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Settings {
        let count = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Settings {
            per_key: count(600),
            per_address: count(1_200),
            concurrent_per_tenant: count(8),
            heavy_per_tenant: count(1),
            heavy: count(4),
            commands_per_tenant: count(120),
        }
    }
}

/// Request limits of clients, and their counters.
pub struct Limits {
    keys: Rates<KeyId>,
    addresses: Rates<IpAddr>,
    commands: Rates<TenantId>,
    pub(super) lookups: Lookups,
    pub(super) shares: Shares,
    pub(super) warnings: Warnings,
}

impl Limits {
    pub fn new(settings: &Settings) -> Limits {
        Limits {
            keys: Rates::new(settings.per_key),
            addresses: Rates::new(settings.per_address),
            commands: Rates::new(settings.commands_per_tenant),
            lookups: Lookups::default(),
            shares: Shares::new(settings),
            warnings: Warnings::default(),
        }
    }

    /// # Errors
    /// 429 when the key exceeds its rate limit.
    pub fn admit_key(&self, key: KeyId) -> Result<(), Problem> {
        self.keys.admit(&key)
    }

    /// Counts a command to a live call.
    ///
    /// # Errors
    /// 429 when the tenant's calls got too many.
    pub fn admit_command(&self, tenant: TenantId) -> Result<(), Problem> {
        self.commands.admit(&tenant)
    }

    /// Is a warning about this client to be logged, or were there enough of late?
    pub fn warns_of(&self, client: Client) -> bool {
        self.warnings.admit(client.address())
    }

    /// Counts a request without a valid key.
    ///
    /// # Errors
    /// 429 when there were too many from the address.
    pub fn admit_address(&self, address: IpAddr) -> Result<(), Problem> {
        self.addresses.admit(&counted(address))
    }
}

/// Requests a minute of each of many.
pub struct Rates<K: Hash + Eq + Clone> {
    each: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
}

/// With more than so many in memory, those that have not asked for a while are forgotten.
const KNOWN: usize = 10_000;

impl<K: Hash + Eq + Clone> Rates<K> {
    pub fn new(per_minute: NonZeroU32) -> Rates<K> {
        Rates { each: RateLimiter::keyed(Quota::per_minute(per_minute)), clock: DefaultClock::default() }
    }

    /// # Errors
    /// 429 when this one has asked too often.
    pub fn admit(&self, one: &K) -> Result<(), Problem> {
        if self.each.len() > KNOWN {
            self.each.retain_recent();
        }
        self.each.check_key(one).map_err(|until| too_many(until.wait_time_from(self.clock.now())))
    }
}

fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    let detail = format!("too many requests: try again in {seconds} s");
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
    Problem { retry_after_s: Some(seconds), ..problem }
}

/// Keeps warnings that clients can cause from filling the log: a few a minute for each address, more for all.
pub struct Warnings {
    addresses: Rates<IpAddr>,
    all: DefaultDirectRateLimiter,
}

impl Default for Warnings {
    fn default() -> Warnings {
        const EACH: NonZeroU32 = NonZeroU32::new(5).unwrap();
        const ALL: NonZeroU32 = NonZeroU32::new(60).unwrap();
        Warnings { addresses: Rates::new(EACH), all: RateLimiter::direct(Quota::per_minute(ALL)) }
    }
}

impl Warnings {
    /// Is a warning about this address to be logged?
    pub fn admit(&self, address: IpAddr) -> bool {
        self.addresses.admit(&counted(address)).is_ok() && self.all.check().is_ok()
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

    #[test]
    fn warnings_are_few() {
        let warnings = Warnings::default();
        let logged = |last: u8| (0..100).filter(|_| warnings.admit(IpAddr::from([192, 0, 2, last]))).count();
        assert_eq!(logged(1), 5);
        assert_eq!((2..=255).map(logged).sum::<usize>(), 55, "sixty of all addresses");
    }
}
