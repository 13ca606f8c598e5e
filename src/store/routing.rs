//! Routing that survives the loss of the database: the last good result for each number is cached.
//!
//! The database is always queried first, so a suspension takes effect at once; a cached result is used only when
//! the query fails, for any reason.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;

use super::{Store, StoreError, UnmatchedCounter};
use crate::tenancy::{AiProfile, Did, NamedProfile, Numbering, Route, StoredPreCall, TenantId};

/// The settings of cached routing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingSettings {
    /// How long an arriving call may wait for the database, in milliseconds. Default: 500.
    pub timeout_ms: u64,
    /// How old a kept answer may be, in seconds. Default: 86400 (a day).
    pub max_age_s: u64,
    /// For how many numbers an answer is kept. Default: 10000.
    pub capacity: usize,
}

impl Default for RoutingSettings {
    fn default() -> RoutingSettings {
        RoutingSettings { timeout_ms: 500, max_age_s: 86_400, capacity: 10_000 }
    }
}

/// Resolves called numbers to tenants.
pub struct Routing {
    store: Store,
    timeout: Duration,
    numbering: Numbering,
    cache: Mutex<Cache>,
    unmatched: UnmatchedCounter,
}

impl Routing {
    pub fn new(store: Store, settings: &RoutingSettings) -> Routing {
        let timeout = Duration::from_millis(settings.timeout_ms);
        Routing {
            // A look-up that nothing waits for any more frees its connection.
            store: store.limited_to(timeout),
            timeout,
            numbering: Numbering::default(),
            cache: Mutex::new(Cache {
                max_age: Duration::from_secs(settings.max_age_s),
                capacity: settings.capacity,
                routes: HashMap::new(),
            }),
            unmatched: UnmatchedCounter::default(),
        }
    }

    /// How called numbers are written.
    pub fn with_numbering(self, numbering: Numbering) -> Routing {
        Routing { numbering, ..self }
    }

    /// Calls to numbers that no tenant has.
    pub fn unmatched(&self) -> UnmatchedCounter {
        self.unmatched.clone()
    }

    /// The route of a dialled text, and the number that it was read as; `None` when no tenant has it, or when it is not a number, which is
    /// counted.
    ///
    /// # Errors
    /// As of [`Routing::resolve`].
    pub async fn dialled(&self, text: &str) -> Result<Option<(Did, Arc<Route>)>, StoreError> {
        let route = self.lookup(&self.numbering.called(text)).await?;
        if route.is_none() {
            self.unmatched.add(text, Utc::now());
        }
        Ok(route.map(|route| (route.number.did.clone(), route)))
    }

    /// The numbers that a dialled text can mean, in the order in which they are looked up; none if it is not a number.
    pub fn candidates(&self, text: &str) -> Vec<Did> {
        self.numbering.called(text)
    }

    /// The route of a called number; `None` when no tenant has it.
    ///
    /// # Errors
    /// The database's, when it does not respond in time for any reason, and its last result is not cached.
    pub async fn resolve(&self, did: &Did) -> Result<Option<Arc<Route>>, StoreError> {
        self.lookup(std::slice::from_ref(did)).await
    }

    /// The tenant's profile that a pre-call webhook names; `None` when it has none such.
    ///
    /// # Errors
    /// The database's, also when it does not respond in time.
    pub async fn named_profile(
        &self,
        tenant: TenantId,
        named: &NamedProfile,
    ) -> Result<Option<AiProfile>, StoreError> {
        let scope = self.store.scope(tenant);
        let asked = tokio::time::timeout(self.timeout, scope.named_profile(named)).await;
        asked.unwrap_or_else(|_| Err(StoreError::no_answer(self.timeout)))
    }

    /// The secrets that a request to a pre-call webhook is signed with.
    ///
    /// # Errors
    /// As of [`Store::open_pre_call_secrets`].
    pub fn pre_call_secrets(&self, stored: &StoredPreCall) -> Result<Vec<SecretString>, StoreError> {
        self.store.open_pre_call_secrets(stored, Utc::now())
    }

    /// Looks up the numbers that a text may mean with one query.
    async fn lookup(&self, dids: &[Did]) -> Result<Option<Arc<Route>>, StoreError> {
        if dids.is_empty() {
            return Ok(None);
        }
        let asked = tokio::time::timeout(self.timeout, self.store.first_route(dids)).await;
        match asked.unwrap_or_else(|_| Err(StoreError::no_answer(self.timeout))) {
            Ok(route) => {
                let route = route.map(Arc::new);
                self.cache().learn(dids, route.as_ref(), Instant::now());
                Ok(route)
            }
            Err(error) => {
                let Some(route) = self.cache().first_fresh(dids, Instant::now()) else { return Err(error) };
                metrics::counter!("vca_routing_from_cache_total").increment(1);
                warn!(did = %route.number.did, %error, "database unavailable: call routed by the cached result");
                Ok(Some(route))
            }
        }
    }

    /// Can a number be routed while the database is away?
    pub fn has_cached_routes(&self) -> bool {
        let now = Instant::now();
        let cache = self.cache();
        cache.routes.values().any(|(_, at)| now.duration_since(*at) <= cache.max_age)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Cache {
    max_age: Duration,
    capacity: usize,
    routes: HashMap<Did, (Arc<Route>, Instant)>,
}

impl Cache {
    /// Keeps the database's answer for these numbers: one leads to the route, and no tenant has those before it.
    fn learn(&mut self, dids: &[Did], route: Option<&Arc<Route>>, now: Instant) {
        for did in dids {
            match route {
                Some(route) if route.number.did == *did => {
                    return self.put(did.clone(), Arc::clone(route), now);
                }
                _ => self.routes.remove(did),
            };
        }
    }

    /// The first of these numbers with a cached route.
    fn first_fresh(&self, dids: &[Did], now: Instant) -> Option<Arc<Route>> {
        dids.iter().find_map(|did| self.fresh(did, now))
    }

    fn put(&mut self, did: Did, route: Arc<Route>, now: Instant) {
        if self.routes.len() >= self.capacity && !self.routes.contains_key(&did) {
            // Rare and short: only for a number that is called for the first time, when the map is full.
            let oldest = self.routes.iter().min_by_key(|(_, (_, at))| *at).map(|(did, _)| did.clone());
            oldest.map(|did| self.routes.remove(&did));
        }
        self.routes.insert(did, (route, now));
    }

    fn fresh(&self, did: &Did, now: Instant) -> Option<Arc<Route>> {
        let (route, at) = self.routes.get(did)?;
        (now.duration_since(*at) <= self.max_age).then(|| Arc::clone(route))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::values;

    #[test]
    fn the_cache_keeps_the_newest_answers_for_a_while() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut cache = Cache { max_age: Duration::from_secs(60), capacity: 2, routes: HashMap::new() };
        let route = Arc::new(values::route());
        let did = |n: u32| values::did(n);
        cache.put(did(1), Arc::clone(&route), at(0));
        cache.put(did(2), Arc::clone(&route), at(1));
        cache.put(did(1), Arc::clone(&route), at(2));
        cache.put(did(3), Arc::clone(&route), at(3));
        assert!(cache.fresh(&did(2), at(3)).is_none(), "the answer that is longest ago makes room");
        assert!(cache.fresh(&did(1), at(62)).is_some());
        assert!(cache.fresh(&did(1), at(63)).is_none(), "older than the maximum");
        assert_eq!(cache.routes.len(), 2);
    }
}
