//! Keeps requests with invented keys from occupying the database: of keys that have not been valid lately, a few are
//! looked up at a time. A key that was valid a moment ago waits for none of them.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::problem::Problem;

/// Keys looked up at once that have not been valid lately.
const AT_ONCE: usize = 2;
/// For how long such a request waits for its turn. More than 100 a second are not served, each of which takes
/// milliseconds.
const WAIT: Duration = Duration::from_secs(2);
/// Requests that wait at once.
const WAITING: usize = 256;
/// Keys in memory, about 16 bytes each.
const KNOWN: usize = 10_000;

pub struct Lookups {
    /// Hashes of keys that were valid when last seen. The seed of the hash is random and of this process alone.
    valid: Mutex<HashSet<u64>>,
    hasher: RandomState,
    turns: Semaphore,
    queue: Semaphore,
}

impl Default for Lookups {
    fn default() -> Lookups {
        Lookups {
            valid: Mutex::default(),
            hasher: RandomState::new(),
            turns: Semaphore::new(AT_ONCE),
            queue: Semaphore::new(WAITING),
        }
    }
}

impl Lookups {
    /// Waits until this key may be looked up; the lookup ends when the permit is dropped.
    ///
    /// # Errors
    /// 429 when too many requests with keys that are not known to be valid wait already.
    pub async fn admit(&self, secret: &str) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        if self.valid().contains(&self.hasher.hash_one(secret)) {
            return Ok(None);
        }
        let _place = self.queue.try_acquire().map_err(|_| too_many())?;
        match timeout(WAIT, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(Some(turn)),
            Ok(Err(_)) | Err(_) => Err(too_many()),
        }
    }

    pub fn note(&self, secret: &str, is_valid: bool) {
        let hash = self.hasher.hash_one(secret);
        let mut valid = self.valid();
        if !is_valid {
            valid.remove(&hash);
            return;
        }
        if valid.len() >= KNOWN {
            valid.clear();
        }
        valid.insert(hash);
    }

    fn valid(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.valid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many() -> Problem {
    let detail = "too many requests with unknown API keys at the moment: try again in 1 s";
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
    Problem { retry_after_s: Some(1), ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_that_was_valid_waits_for_no_invented_ones() {
        let lookups = Lookups::default();
        lookups.note("good", true);
        let held = [lookups.admit("bad").await.unwrap(), lookups.admit("worse").await.unwrap()];
        assert!(lookups.admit("good").await.unwrap().is_none());
        assert_eq!(lookups.admit("new").await.unwrap_err().status, 429, "it has waited");
        drop(held);
        assert!(lookups.admit("new").await.is_ok());
        lookups.note("good", false);
        assert!(lookups.admit("good").await.unwrap().is_some(), "it is looked up like any other");
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded() {
        let lookups = Lookups::default();
        let _held = [lookups.admit("bad").await.unwrap(), lookups.admit("worse").await.unwrap()];
        let waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(lookups.admit("x"))).collect();
        let mut waiting = futures_util::future::join_all(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let began = tokio::time::Instant::now();
        assert!(lookups.admit("y").await.is_err());
        assert_eq!(began.elapsed(), Duration::ZERO, "refused at once");
    }
}
