//! Bounds the look-ups of API keys that were not valid lately, so that requests with invented keys do not occupy the
//! database: a few at a time, and a few waiting for each address. A key that was valid lately waits for none of them.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::problem::Problem;
use crate::admin::client::counted;
use crate::tenancy::ApiKey;

/// Keys looked up at once that have not been valid lately.
const AT_ONCE: usize = 2;
/// For how long such a request waits for its turn. A look-up takes milliseconds, unless the machine is overloaded.
const WAIT: Duration = Duration::from_secs(5);
/// Requests that wait at once.
const WAITING: usize = 256;
/// Of these, requests from one address (of IPv6, from one network of 64 bits): a client may open many connections at once.
const WAITING_OF_ADDRESS: usize = 224;
/// Keys in memory, some hundred bytes each.
const KNOWN: usize = 10_000;

pub struct Lookups {
    /// Keys that were valid when last seen, by the hash of their secret. Its seed is random and of this process alone.
    valid: Mutex<HashMap<u64, Arc<ApiKey>>>,
    hasher: RandomState,
    turns: Semaphore,
    queue: Semaphore,
    /// How many requests wait from each address; no address has none.
    waiting: Mutex<HashMap<IpAddr, usize>>,
}

impl Default for Lookups {
    fn default() -> Lookups {
        Lookups {
            valid: Mutex::default(),
            hasher: RandomState::new(),
            turns: Semaphore::new(AT_ONCE),
            queue: Semaphore::new(WAITING),
            waiting: Mutex::default(),
        }
    }
}

impl Lookups {
    /// The key, if it was valid when last seen. Then it is looked up without waiting.
    pub fn known(&self, secret: &str) -> Option<Arc<ApiKey>> {
        self.valid().get(&self.hasher.hash_one(secret)).cloned()
    }

    /// Waits until another key may be looked up; the look-up ends when the permit is dropped.
    ///
    /// # Errors
    /// 429 when too many such requests wait already, from the address or from all of them.
    pub async fn admit(&self, address: Option<IpAddr>) -> Result<SemaphorePermit<'_>, Problem> {
        let _of_address = address.map(|address| self.wait_from(counted(address))).transpose()?;
        let _place = self.queue.try_acquire().map_err(|_| too_many())?;
        match timeout(WAIT, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(too_many()),
        }
    }

    fn wait_from(&self, address: IpAddr) -> Result<WaitingRequest<'_>, Problem> {
        let mut waiting = self.waiting();
        let count = waiting.entry(address).or_default();
        if *count >= WAITING_OF_ADDRESS {
            return Err(too_many());
        }
        *count += 1;
        Ok(WaitingRequest { lookups: self, address })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a valid key; forgets the secret of an invalid one.
    pub fn note(&self, secret: &str, valid_key: Option<&ApiKey>) {
        let hash = self.hasher.hash_one(secret);
        let mut valid = self.valid();
        let Some(key) = valid_key else {
            valid.remove(&hash);
            return;
        };
        if valid.len() >= KNOWN {
            valid.clear();
        }
        valid.insert(hash, Arc::new(key.clone()));
    }

    fn valid(&self) -> MutexGuard<'_, HashMap<u64, Arc<ApiKey>>> {
        self.valid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits; counted with its address until it is dropped.
struct WaitingRequest<'a> {
    lookups: &'a Lookups,
    address: IpAddr,
}

impl Drop for WaitingRequest<'_> {
    fn drop(&mut self) {
        let mut waiting = self.lookups.waiting();
        match waiting.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(waiting.remove(&self.address)),
        }
    }
}

fn too_many() -> Problem {
    let detail = "too many requests with unknown API keys at the moment: try again in 1 s";
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
    Problem { retry_after_s: Some(1), ..problem }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::tenancy::{KeyId, Role};

    /// The addresses of as many clients.
    fn addresses() -> impl Iterator<Item = Option<IpAddr>> {
        (0_u32..).map(|n| Some(IpAddr::from(n.to_be_bytes())))
    }

    fn key() -> ApiKey {
        ApiKey {
            id: KeyId(Uuid::nil()),
            tenant_id: None,
            role: Role::Operator,
            name: "ops".into(),
            prefix: "vca_1a2b3c4d".into(),
            created_by: "cli root".into(),
            created_at: Default::default(),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_waits_for_the_look_ups_of_others() {
        let lookups = Lookups::default();
        assert_eq!(lookups.known("good"), None);
        lookups.note("good", Some(&key()));
        assert_eq!(lookups.known("good").as_deref(), Some(&key()));
        let held = [lookups.admit(None).await.unwrap(), lookups.admit(None).await.unwrap()];
        assert_eq!(lookups.admit(None).await.unwrap_err().status, 429, "it has waited");
        drop(held);
        assert!(lookups.admit(None).await.is_ok());
        lookups.note("good", None);
        assert_eq!(lookups.known("good"), None, "it is looked up like any other");
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded() {
        let lookups = Lookups::default();
        let _held = [lookups.admit(None).await.unwrap(), lookups.admit(None).await.unwrap()];
        let waiting: Vec<_> =
            addresses().take(WAITING).map(|address| Box::pin(lookups.admit(address))).collect();
        let mut waiting = futures_util::future::join_all(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let began = tokio::time::Instant::now();
        assert!(lookups.admit(None).await.is_err());
        assert_eq!(began.elapsed(), Duration::ZERO, "refused at once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_leaves_room_in_the_queue_for_others() {
        let lookups = Lookups::default();
        let held = [lookups.admit(None).await.unwrap(), lookups.admit(None).await.unwrap()];
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from([192, 0, 2, last])));
        let waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(lookups.admit(one))).collect();
        let mut waiting = futures_util::future::join_all(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert!(lookups.admit(one).await.is_err(), "its own places are taken");
        let mut admitted = Box::pin(lookups.admit(other));
        assert!(futures_util::poll!(&mut admitted).is_pending(), "it has a place");
        drop((waiting, held));
        assert!(admitted.await.is_ok());
        assert!(lookups.waiting().is_empty(), "addresses without requests are forgotten");
    }
}
