//! The places for connections to the port, and the replacement of connections when all are taken.
//!
//! On a full port a new connection replaces one with a peer that does not read its response, or else the longest
//! idle one of the address with the most connections, if the new one's address has at least two fewer. So a few
//! addresses cannot lock others out, however many connections they hold.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::client::counted;

/// A peer that has not read for so long can be replaced by a new connection. It is shorter than the usual timeout of a health probe.
const STALLED: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub struct Places {
    /// Connections at once.
    pub all: usize,
    /// Of these, for loopback addresses alone.
    pub reserved: usize,
    /// For one address, of IPv6 for one network of 64 bits; trusted proxies have no such limit.
    pub per_address: usize,
    began: Instant,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    newest: u64,
    links: HashMap<u64, Arc<Link>>,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRefusal {
    Full,
    TooManyOfAddress,
}

impl ConnectionRefusal {
    pub fn as_str(self) -> &'static str {
        match self {
            ConnectionRefusal::Full => "full",
            ConnectionRefusal::TooManyOfAddress => "address",
        }
    }
}

impl Places {
    pub fn new(all: usize, reserved: usize, per_address: usize) -> Places {
        Places { all, reserved, per_address, began: Instant::now(), held: Mutex::default() }
    }

    /// Takes a place for a connection from `peer`. A trusted proxy's connections are its clients': they are limited by
    /// the number of all alone, and make room only when they are stalled.
    pub fn take(self: &Arc<Places>, peer: IpAddr, is_proxy: bool) -> Result<Place, ConnectionRefusal> {
        let address = counted(peer);
        let mut held = self.held();
        let own = held.by_address.get(&address).copied().unwrap_or(0);
        if !is_proxy && own >= self.per_address {
            return Err(ConnectionRefusal::TooManyOfAddress);
        }
        let reserved = if peer.to_canonical().is_loopback() { 0 } else { self.reserved };
        if held.links.len() + reserved >= self.all {
            let now = self.elapsed();
            let victim = held.stalled(now).or_else(|| held.quietest_of_largest(own + 2));
            held.evict(victim.ok_or(ConnectionRefusal::Full)?);
        }
        let link = Arc::new(Link::new(address, is_proxy, self.elapsed()));
        let id = held.add(Arc::clone(&link));
        Ok(Place { places: Arc::clone(self), id, link })
    }

    /// Milliseconds since this was made.
    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn add(&mut self, link: Arc<Link>) -> u64 {
        self.newest += 1;
        *self.by_address.entry(link.address).or_insert(0) += 1;
        self.links.insert(self.newest, link);
        self.newest
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Link>> {
        let link = self.links.remove(&id)?;
        if let Some(own) = self.by_address.get_mut(&link.address) {
            *own -= 1;
            if *own == 0 {
                self.by_address.remove(&link.address);
            }
        }
        Some(link)
    }

    /// The connection that has been stalled for longest, and long enough.
    fn stalled(&self, now: u64) -> Option<u64> {
        let limit = u64::try_from(STALLED.as_millis()).unwrap_or(u64::MAX);
        let stalled = self.links.iter().filter_map(|(id, link)| Some((link.stalled_since()?, *id)));
        stalled.min().filter(|(since, _)| now.saturating_sub(*since) >= limit).map(|(_, id)| id)
    }

    /// The connection that has been quiet for longest, of the address with the most if that has at least so many.
    fn quietest_of_largest(&self, least: usize) -> Option<u64> {
        let of_clients = self.links.values().filter(|link| !link.is_proxy);
        let count = |link: &Arc<Link>| self.by_address.get(&link.address).copied().unwrap_or(0);
        let largest = of_clients.max_by_key(|link| count(link)).filter(|link| count(link) >= least)?.address;
        let candidates = self.links.iter().filter(|(_, link)| link.address == largest && !link.is_proxy);
        let quietest = candidates.map(|(id, link)| (link.moved.load(Ordering::Relaxed), *id)).min();
        quietest.map(|(_, id)| id)
    }

    fn evict(&mut self, id: u64) {
        if let Some(link) = self.remove(id) {
            link.is_evicted.store(true, Ordering::Release);
            link.waker.wake();
        }
    }
}

/// A connection as the others see it. Times are milliseconds since [`Places`] was made.
#[derive(Debug)]
struct Link {
    address: IpAddr,
    is_proxy: bool,
    /// When bytes moved last, in either direction.
    moved: AtomicU64,
    /// When a write began to wait for the peer; [`u64::MAX`] while none does.
    stalled: AtomicU64,
    is_evicted: AtomicBool,
    waker: AtomicWaker,
}

impl Link {
    fn new(address: IpAddr, is_proxy: bool, now: u64) -> Link {
        Link {
            address,
            is_proxy,
            moved: AtomicU64::new(now),
            stalled: AtomicU64::new(u64::MAX),
            is_evicted: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    fn stalled_since(&self) -> Option<u64> {
        let since = self.stalled.load(Ordering::Relaxed);
        (since != u64::MAX).then_some(since)
    }
}

/// A connection's place, free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    id: u64,
    link: Arc<Link>,
}

impl Place {
    /// The peer has sent something. That it reads nothing is not excused by it.
    pub fn note_read(&self) {
        self.link.moved.store(self.places.elapsed(), Ordering::Relaxed);
    }

    /// The peer takes what is written.
    pub fn note_progress(&self) {
        self.link.moved.store(self.places.elapsed(), Ordering::Relaxed);
        self.link.stalled.store(u64::MAX, Ordering::Relaxed);
    }

    /// A write waits for the peer.
    pub fn note_stall(&self) {
        if self.link.stalled_since().is_none() {
            self.link.stalled.store(self.places.elapsed(), Ordering::Relaxed);
        }
    }

    /// Has another connection taken the place? If not yet, `waker` is woken when one does.
    pub fn is_lost(&self, waker: &Waker) -> bool {
        self.link.waker.register(waker);
        self.link.is_evicted.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(all: usize, reserved: usize, per_address: usize) -> Arc<Places> {
        Arc::new(Places::new(all, reserved, per_address))
    }

    fn take(places: &Arc<Places>, address: &str) -> Result<Place, ConnectionRefusal> {
        places.take(address.parse().unwrap(), false)
    }

    /// As many connections as the address gets without anyone's place.
    fn flood(places: &Arc<Places>, address: &str) -> Vec<Place> {
        let free = || places.held().links.len() < places.all;
        std::iter::from_fn(|| free().then(|| take(places, address).ok()).flatten()).collect()
    }

    fn lost(held: &[Place]) -> usize {
        held.iter().filter(|place| place.is_lost(Waker::noop())).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_takes_a_place_of_the_address_with_the_most() {
        let places = places(12, 0, 8);
        let (most, some) = (flood(&places, "192.0.2.1"), flood(&places, "192.0.2.2"));
        assert_eq!((most.len(), some.len()), (8, 4));
        tokio::time::advance(Duration::from_secs(1)).await;
        most[0].note_progress();
        let newcomer = take(&places, "192.0.2.3").unwrap();
        assert_eq!((lost(&most), lost(&some)), (1, 0));
        assert!(!most[0].is_lost(Waker::noop()), "its bytes have moved just now");
        assert_eq!(places.held().links.len(), 12);
        drop((most, some, newcomer));
        assert!(places.held().links.is_empty() && places.held().by_address.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_with_as_many_keep_their_places() {
        let places = places(4, 0, 8);
        let held = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"].map(|it| take(&places, it).unwrap());
        assert_eq!(take(&places, "192.0.2.5").unwrap_err(), ConnectionRefusal::Full);
        assert_eq!(take(&places, "192.0.2.1").unwrap_err(), ConnectionRefusal::Full);
        assert_eq!(lost(&held), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_loses_its_place() {
        let places = places(2, 0, 8);
        let held = ["192.0.2.1", "192.0.2.2"].map(|address| take(&places, address).unwrap());
        held[1].note_stall();
        tokio::time::advance(STALLED - Duration::from_millis(1)).await;
        held[1].note_stall();
        assert!(take(&places, "192.0.2.3").is_err(), "it may be about to read");
        tokio::time::advance(Duration::from_millis(1)).await;
        let newcomer = take(&places, "192.0.2.3").unwrap();
        assert!(held[1].is_lost(Waker::noop()) && !held[0].is_lost(Waker::noop()));
        held[0].note_stall();
        held[0].note_progress();
        tokio::time::advance(STALLED).await;
        assert!(take(&places, "192.0.2.4").is_err(), "it reads again");
        drop(newcomer);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_kept_for_this_machine() {
        let places = places(64, 4, 64);
        let networks = (0..1_000).map(|network| take(&places, &format!("2001:db8:0:{network:x}::1")));
        let held: Vec<Place> = networks.filter_map(Result::ok).collect();
        assert_eq!((held.len(), lost(&held)), (60, 0));
        assert!(
            ["127.0.0.1", "127.0.0.2", "::1", "::1"].map(|it| take(&places, it)).iter().all(Result::is_ok)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_a_limit_and_a_proxy_has_that_of_all() {
        let places = places(100, 0, 10);
        let _held = flood(&places, "192.0.2.1");
        assert_eq!(take(&places, "192.0.2.1").unwrap_err(), ConnectionRefusal::TooManyOfAddress);
        let proxy = "10.0.0.1".parse().unwrap();
        let through: Vec<_> = (0..90).map(|_| places.take(proxy, true).unwrap()).collect();
        assert_eq!(lost(&through), 0);
        let newcomer = take(&places, "192.0.2.2").unwrap();
        assert_eq!((lost(&through), lost(&_held)), (0, 1), "a proxy's are many clients'");
        drop(newcomer);
    }
}
