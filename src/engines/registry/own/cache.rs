//! Built engines, a bounded number of them: the one that was used longest ago makes room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::OwnAccount;
use crate::engines::core::retry::Policy;
use crate::violation::Violation;

/// Engines of one kind, by the account's id.
pub(super) struct Cache<T: ?Sized> {
    capacity: usize,
    entries: Mutex<Entries<T>>,
}

struct Entries<T: ?Sized> {
    by_id: HashMap<Arc<str>, Kept<T>>,
    /// Counts uses.
    clock: u64,
}

struct Kept<T: ?Sized> {
    version: u32,
    engine: Arc<T>,
    policy: Policy,
    used_at: u64,
}

impl<T: ?Sized> Cache<T> {
    pub fn new(capacity: usize) -> Cache<T> {
        Cache { capacity: capacity.max(1), entries: Mutex::new(Entries { by_id: HashMap::new(), clock: 0 }) }
    }

    /// The engine of this version of an account, built if it is not kept. The former version is dropped.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn get(
        &self,
        account: &OwnAccount,
        build: impl FnOnce() -> Result<(Arc<T>, Policy), Violation>,
    ) -> Result<Arc<T>, Violation> {
        if let Some(engine) = self.entries().find(&account.id, account.version) {
            return Ok(engine);
        }
        // Building takes milliseconds, with TLS to set up: not under the lock.
        let (engine, policy) = build()?;
        let kept = Kept { version: account.version, engine: engine.clone(), policy, used_at: 0 };
        self.entries().keep(account.id.clone(), kept, self.capacity);
        Ok(engine)
    }

    /// The limits and state of an engine that is kept.
    pub fn policy(&self, id: &str, version: u32) -> Option<Policy> {
        let entries = self.entries();
        entries.by_id.get(id).filter(|kept| kept.version == version).map(|kept| kept.policy.clone())
    }

    fn entries(&self) -> MutexGuard<'_, Entries<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> Entries<T> {
    fn find(&mut self, id: &str, version: u32) -> Option<Arc<T>> {
        self.clock += 1;
        let kept = self.by_id.get_mut(id).filter(|kept| kept.version == version)?;
        kept.used_at = self.clock;
        Some(kept.engine.clone())
    }

    /// Keeps an engine, unless another call has kept a later version meanwhile.
    fn keep(&mut self, id: Arc<str>, kept: Kept<T>, capacity: usize) {
        if self.by_id.get(&id).is_some_and(|other| other.version > kept.version) {
            return;
        }
        if self.by_id.len() >= capacity && !self.by_id.contains_key(&id) {
            let oldest = self.by_id.iter().min_by_key(|(_, kept)| kept.used_at).map(|(id, _)| id.clone());
            oldest.map(|id| self.by_id.remove(&id));
        }
        self.by_id.insert(id, Kept { used_at: self.clock, ..kept });
    }
}
