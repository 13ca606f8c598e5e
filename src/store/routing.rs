//! Routing that survives the loss of the database: its last good answer for each number is kept.
//!
//! The database is always asked first, so a tenant that was suspended a moment ago is suspended; a kept answer is used
//! only when asking fails, whatever the reason.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;

use super::{Store, StoreError};
use crate::tenancy::{Did, Numbering, Route};

/// The settings of cached routing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingSettings {
    /// How long a call may wait for the database on its way in, in milliseconds. Default: 500.
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

/// Answers where a called number leads.
pub struct Routing {
    store: Store,
    timeout: Duration,
    numbering: Numbering,
    cache: Mutex<Cache>,
}

impl Routing {
    pub fn new(store: Store, settings: &RoutingSettings) -> Routing {
        Routing {
            store,
            timeout: Duration::from_millis(settings.timeout_ms),
            numbering: Numbering::default(),
            cache: Mutex::new(Cache {
                max_age: Duration::from_secs(settings.max_age_s),
                capacity: settings.capacity,
                routes: HashMap::new(),
            }),
        }
    }

    /// How called numbers are written.
    pub fn with_numbering(self, numbering: Numbering) -> Routing {
        Routing { numbering, ..self }
    }

    /// Where what was dialled leads, and as which number; `None` when it is nobody's, or no number. While the database
    /// is away, one whose answer is kept will do: nobody's number is kept by nobody.
    ///
    /// # Errors
    /// As of [`Routing::resolve`], when none of the numbers that it may be leads anywhere.
    pub async fn dialled(&self, text: &str) -> Result<Option<(Did, Arc<Route>)>, StoreError> {
        let mut failed = None;
        for did in self.numbering.called(text) {
            match self.resolve(&did).await {
                Ok(Some(route)) => return Ok(Some((did, route))),
                Ok(None) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Where a called number leads; `None` when nobody has it.
    ///
    /// # Errors
    /// The database's, when it cannot say in time, for whatever reason, and no earlier answer is kept.
    pub async fn resolve(&self, did: &Did) -> Result<Option<Arc<Route>>, StoreError> {
        let asked = tokio::time::timeout(self.timeout, self.store.route(did)).await;
        match asked.unwrap_or_else(|_| Err(StoreError::no_answer(self.timeout))) {
            Ok(Some(route)) => {
                let route = Arc::new(route);
                self.cache().put(did.clone(), Arc::clone(&route), Instant::now());
                Ok(Some(route))
            }
            Ok(None) => {
                self.cache().routes.remove(did);
                Ok(None)
            }
            Err(error) => {
                let Some(kept) = self.cache().fresh(did, Instant::now()) else { return Err(error) };
                metrics::counter!("vca_routing_from_cache_total").increment(1);
                warn!(?did, %error, "the database cannot be asked: call routed by its last answer");
                Ok(Some(kept))
            }
        }
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
