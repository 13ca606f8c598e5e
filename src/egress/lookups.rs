//! Limits on lookups of names. Each lookup occupies one of the runtime's 512 threads for blocking work until the system's
//! resolver gives up.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::net::lookup_host;
use tokio::sync::Semaphore;

/// Names that are looked up at the same time.
const MOST: usize = 128;
/// Lookups of the same name at the same time: a name of which the servers do not answer leaves places for the others.
const MOST_OF_NAME: usize = 4;

/// The lookups in progress. Clones share the limits.
#[derive(Debug, Clone)]
pub(super) struct NameLookups {
    all: Arc<Semaphore>,
    /// The places of each name that is looked up or waits for a place.
    by_name: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

impl Default for NameLookups {
    fn default() -> NameLookups {
        NameLookups { all: Arc::new(Semaphore::new(MOST)), by_name: Arc::default() }
    }
}

impl NameLookups {
    /// The addresses of a name, with port 0. The lookup for a request that is given up keeps its places until it ends, in a task
    /// of its own.
    ///
    /// # Errors
    /// The resolver's.
    pub async fn look_up(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        let own = self.places_of(host).acquire_owned().await.map_err(io::Error::other)?;
        let shared = self.all.clone().acquire_owned().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        let lookup = async move {
            let _places = (own, shared);
            let found = lookup_host((host.as_str(), 0)).await?;
            Ok(found.collect())
        };
        tokio::spawn(lookup).await.map_err(io::Error::other)?
    }

    fn places_of(&self, host: &str) -> Arc<Semaphore> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = by_name.get(host).and_then(Weak::upgrade) {
            return places;
        }
        by_name.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(MOST_OF_NAME));
        by_name.insert(host.to_owned(), Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn waits(lookups: &NameLookups, host: &str) -> bool {
        timeout(Duration::from_millis(200), lookups.look_up(host)).await.is_err()
    }

    #[tokio::test]
    async fn names_are_looked_up_while_there_are_places() {
        let lookups = NameLookups::default();
        assert!(lookups.look_up("localhost").await.is_ok());
        let all = u32::try_from(MOST).expect("few");
        let places = lookups.all.clone().acquire_many_owned(all).await.expect("all places are free again");
        assert!(waits(&lookups, "localhost").await);
        drop(places);
        assert!(lookups.look_up("localhost").await.is_ok());
    }

    #[tokio::test]
    async fn lookups_of_one_name_leave_places_for_the_others() {
        let lookups = NameLookups::default();
        let slow = lookups.places_of("localhost");
        let all = u32::try_from(MOST_OF_NAME).expect("few");
        let places = slow.acquire_many_owned(all).await.expect("its places");
        assert!(waits(&lookups, "localhost").await);
        assert!(lookups.look_up("127.0.0.1").await.is_ok());
        drop(places);
        assert!(lookups.look_up("localhost").await.is_ok());
        drop(lookups.places_of("127.0.0.1"));
        assert_eq!(lookups.by_name.lock().expect("a lock").len(), 1, "names without lookups are forgotten");
    }
}
