//! Limits on lookups of names. Each lookup occupies one of the runtime's 512 threads for blocking work until the system's
//! resolver gives up.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::net::lookup_host;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Names that are looked up at the same time.
const MOST: usize = 128;
/// Lookups of the same name at the same time: a name of which the servers do not answer leaves places for the others.
const MOST_OF_NAME: usize = 4;
/// Lookups for one tenant at the same time, whatever their names: they leave places for the other tenants.
const MOST_OF_TENANT: usize = 16;

tokio::task_local! {
    /// The tenant of the request that is being sent. A client of many tenants has one resolver, which sees only names.
    pub(super) static TENANT: Uuid;
}

/// The lookups in progress. Clones share the limits.
#[derive(Debug, Clone)]
pub(super) struct NameLookups {
    all: Arc<Semaphore>,
    by_tenant: Places<Uuid>,
    by_name: Places<String>,
}

/// The places of each tenant or name that is looked up or waits for a place.
type Places<K> = Arc<Mutex<HashMap<K, Weak<Semaphore>>>>;

impl Default for NameLookups {
    fn default() -> NameLookups {
        NameLookups {
            all: Arc::new(Semaphore::new(MOST)),
            by_tenant: Arc::default(),
            by_name: Arc::default(),
        }
    }
}

impl NameLookups {
    /// The addresses of a name, with port 0, for a request of a tenant. The lookup for a request that is given up keeps its
    /// places until it ends, in a task of its own.
    ///
    /// # Errors
    /// The resolver's.
    pub async fn look_up(&self, tenant: Option<Uuid>, host: &str) -> io::Result<Vec<SocketAddr>> {
        // The tenant's place first: a request that waits for it keeps no other tenant from the name.
        let tenants = match tenant {
            Some(tenant) => {
                let places = places(&self.by_tenant, tenant, MOST_OF_TENANT);
                Some(places.acquire_owned().await.map_err(io::Error::other)?)
            }
            None => None,
        };
        let own = places(&self.by_name, host.to_owned(), MOST_OF_NAME);
        let own = own.acquire_owned().await.map_err(io::Error::other)?;
        let shared = self.all.clone().acquire_owned().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        let lookup = async move {
            let _places = (tenants, own, shared);
            let found = lookup_host((host.as_str(), 0)).await?;
            Ok(found.collect())
        };
        tokio::spawn(lookup).await.map_err(io::Error::other)?
    }
}

/// The places of a tenant or a name.
fn places<K: Hash + Eq>(of: &Places<K>, key: K, most: usize) -> Arc<Semaphore> {
    let mut of = of.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(places) = of.get(&key).and_then(Weak::upgrade) {
        return places;
    }
    of.retain(|_, places| places.strong_count() > 0);
    let places = Arc::new(Semaphore::new(most));
    of.insert(key, Arc::downgrade(&places));
    places
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::OwnedSemaphorePermit;
    use tokio::time::timeout;

    use super::*;

    impl NameLookups {
        /// Takes all places of a tenant.
        pub async fn all_of_tenant(&self, tenant: Uuid) -> OwnedSemaphorePermit {
            let all = u32::try_from(MOST_OF_TENANT).expect("few");
            let places = places(&self.by_tenant, tenant, MOST_OF_TENANT);
            places.acquire_many_owned(all).await.expect("its places")
        }
    }

    async fn waits(lookups: &NameLookups, host: &str) -> bool {
        timeout(Duration::from_millis(200), lookups.look_up(None, host)).await.is_err()
    }

    #[tokio::test]
    async fn names_are_looked_up_while_there_are_places() {
        let lookups = NameLookups::default();
        assert!(lookups.look_up(None, "localhost").await.is_ok());
        let all = u32::try_from(MOST).expect("few");
        let places = lookups.all.clone().acquire_many_owned(all).await.expect("all places are free again");
        assert!(waits(&lookups, "localhost").await);
        drop(places);
        assert!(lookups.look_up(None, "localhost").await.is_ok());
    }

    #[tokio::test]
    async fn lookups_of_one_name_leave_places_for_the_others() {
        let lookups = NameLookups::default();
        let slow = places(&lookups.by_name, "localhost".to_owned(), MOST_OF_NAME);
        let all = u32::try_from(MOST_OF_NAME).expect("few");
        let held = slow.acquire_many_owned(all).await.expect("its places");
        assert!(waits(&lookups, "localhost").await);
        assert!(lookups.look_up(None, "127.0.0.1").await.is_ok());
        drop(held);
        assert!(lookups.look_up(None, "localhost").await.is_ok());
        drop(places(&lookups.by_name, "127.0.0.1".to_owned(), MOST_OF_NAME));
        assert_eq!(lookups.by_name.lock().expect("a lock").len(), 1, "names without lookups are forgotten");
    }
    #[tokio::test]
    async fn lookups_of_one_tenant_leave_places_for_the_others() {
        let lookups = NameLookups::default();
        let [one, other] = [(); 2].map(|()| Some(Uuid::now_v7()));
        let held = lookups.all_of_tenant(one.expect("a tenant")).await;
        for host in ["localhost", "127.0.0.1"] {
            let waiting = timeout(Duration::from_millis(100), lookups.look_up(one, host));
            assert!(waiting.await.is_err(), "{host}");
        }
        assert!(lookups.look_up(other, "localhost").await.is_ok());
        assert!(lookups.look_up(None, "localhost").await.is_ok());
        drop(held);
        assert!(lookups.look_up(one, "localhost").await.is_ok());
    }
}
