//! Redis, with memory beneath it: the loss of Redis costs a call one short timeout, once.
//!
//! Memory holds every conversation of this process, and Redis mirrors it. When Redis fails, the first call
//! that notices goes on after its timeout and the others do not ask at all; what Redis missed is noted, one
//! line a call, and written by a task of its own when Redis answers again. Until that is done, new writes
//! join the queue, so an old state never follows a newer one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::redis::Redis;
use super::{Conversation, ConversationState, Memory, Settings, StateError};
use crate::tenancy::CallId;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// Conversations in memory, mirrored in Redis whenever it can be reached.
pub struct Resilient {
    shared: Arc<Shared>,
    _writer: AbortOnDropHandle<()>,
}

struct Shared {
    memory: Memory,
    redis: Redis,
    capacity: usize,
    debts: Mutex<Debts>,
    lost: Notify,
}

/// What Redis does not know yet.
#[derive(Default)]
struct Debts {
    /// Redis failed, and not everything has been made good since.
    down: bool,
    owed: HashMap<CallId, Owed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Put,
    Remove,
}

impl Resilient {
    /// Connects, and starts the task that makes good what Redis missed.
    pub(super) async fn connect(memory: Memory, redis: Redis, settings: &Settings) -> Resilient {
        let shared = Arc::new(Shared {
            memory,
            redis,
            capacity: settings.capacity,
            debts: Mutex::default(),
            lost: Notify::new(),
        });
        let connected = shared.redis.connect().await;
        if let Err(error) = connected {
            shared.mark_down(&error);
        }
        let writer = AbortOnDropHandle::new(tokio::spawn(make_good(Arc::clone(&shared))));
        Resilient { shared, _writer: writer }
    }
}

impl Shared {
    /// Brings Redis up to date about one call, or notes that it is not.
    async fn mirror(&self, call: CallId, what: Owed) {
        if self.note_if_down(call, what) {
            return;
        }
        if let Err(error) = self.write(call, what).await {
            self.debts().note(call, what, self.capacity);
            self.mark_down(&error);
        }
    }

    async fn write(&self, call: CallId, what: Owed) -> Result<(), StateError> {
        match what {
            Owed::Remove => self.redis.remove(call).await,
            Owed::Put => match self.memory.known(call) {
                Some(conversation) => self.redis.put(call, &conversation).await,
                // Expired in the meantime; Redis forgets it by itself.
                None => Ok(()),
            },
        }
    }

    async fn load(&self, call: CallId) -> Option<Conversation> {
        // What this process wrote is never older than what Redis has of it.
        if let Some(known) = self.memory.known(call) {
            return Some(known);
        }
        if self.debts().down {
            return None;
        }
        match self.redis.fetch(call).await {
            Ok(found) => {
                let found = found?;
                self.memory.adopt(call, found.clone());
                Some(found)
            }
            Err(error) => {
                self.mark_down(&error);
                None
            }
        }
    }

    /// One lock for both: between a look and a note, the last debt might be settled and the note overlooked.
    fn note_if_down(&self, call: CallId, what: Owed) -> bool {
        let mut debts = self.debts();
        if debts.down {
            debts.note(call, what, self.capacity);
        }
        debts.down
    }

    fn mark_down(&self, error: &StateError) {
        let was_down = std::mem::replace(&mut self.debts().down, true);
        if !was_down {
            metrics::counter!("vca_redis_lost_total").increment(1);
            warn!(%error, "conversation state is kept in memory and written to Redis later");
            self.lost.notify_one();
        }
    }

    /// The next thing that Redis missed. When there is nothing left, Redis counts as up again.
    fn next_debt(&self) -> Option<(CallId, Owed)> {
        let mut debts = self.debts();
        let next = debts.owed.keys().next().copied();
        let debt = next.and_then(|call| debts.owed.remove_entry(&call));
        debts.down = debt.is_some();
        debt
    }

    /// Writes until nothing is owed.
    async fn settle(&self) -> Result<(), StateError> {
        self.redis.ping().await?;
        while let Some((call, what)) = self.next_debt() {
            if let Err(error) = self.write(call, what).await {
                if let Entry::Vacant(vacant) = self.debts().owed.entry(call) {
                    vacant.insert(what);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn debts(&self) -> MutexGuard<'_, Debts> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debts {
    /// A call more than fits is left to the time to live.
    fn note(&mut self, call: CallId, what: Owed, capacity: usize) {
        if self.owed.len() < capacity || self.owed.contains_key(&call) {
            self.owed.insert(call, what);
        }
    }
}

async fn make_good(shared: Arc<Shared>) {
    loop {
        shared.lost.notified().await;
        let mut delay = FIRST_DELAY;
        while shared.settle().await.is_err() {
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
        info!("Redis is back and up to date");
    }
}

impl ConversationState for Resilient {
    fn begin(&self, call: CallId, started_at: DateTime<Utc>) -> BoxFuture<'_, ()> {
        self.shared.memory.started(call, started_at);
        self.shared.mirror(call, Owed::Put).boxed()
    }

    fn save<'a>(&'a self, call: CallId, turns: u32, state: &'a Value) -> BoxFuture<'a, ()> {
        self.shared.memory.saved(call, turns, state);
        self.shared.mirror(call, Owed::Put).boxed()
    }

    fn load(&self, call: CallId) -> BoxFuture<'_, Option<Conversation>> {
        self.shared.load(call).boxed()
    }

    fn end(&self, call: CallId) -> BoxFuture<'_, ()> {
        self.shared.memory.forget(call);
        self.shared.mirror(call, Owed::Remove).boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StateError>> {
        self.shared.redis.ping().boxed()
    }
}
