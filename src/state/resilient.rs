//! Redis with memory as its fallback: a loss of Redis costs one call one short timeout.
//!
//! Memory holds all conversations of this process, and Redis mirrors it. When Redis fails, the first call that
//! notices continues after its timeout, and the others do not try Redis at all. The missed writes are queued, one
//! per call, and a task writes them when Redis responds again. Until the queue is empty, new writes join it, so an
//! old state never replaces a newer one.

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
use super::{ConversationState, Memory, SavedConversation, Settings, StateError};
use crate::current::Current;
use crate::tenancy::CallId;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// Conversations in memory, mirrored to Redis while it is reachable.
pub struct MirroredState {
    shared: Arc<MirrorShared>,
    _writer: AbortOnDropHandle<()>,
}

struct MirrorShared {
    memory: Memory,
    redis: Current<Redis>,
    capacity: usize,
    debts: Mutex<Debts>,
    lost: Notify,
}

/// Writes that Redis has missed.
#[derive(Default)]
struct Debts {
    /// Redis has failed, and not all missed writes are done yet.
    down: bool,
    owed: HashMap<CallId, Owed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Put,
    Remove,
}

impl MirroredState {
    /// Connects, and starts the task that repeats missed writes.
    pub(super) async fn connect(memory: Memory, redis: Redis, settings: &Settings) -> MirroredState {
        let shared = Arc::new(MirrorShared {
            memory,
            redis: Current::new(redis),
            capacity: settings.capacity,
            debts: Mutex::default(),
            lost: Notify::new(),
        });
        let connected = shared.redis.get().connect().await;
        if let Err(error) = connected {
            shared.mark_down(&error);
        }
        let writer = AbortOnDropHandle::new(tokio::spawn(make_good(Arc::clone(&shared))));
        MirroredState { shared, _writer: writer }
    }
}

impl MirrorShared {
    /// Writes a call's state to Redis, or queues the write.
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
            Owed::Remove => self.redis.get().remove(call).await,
            Owed::Put => match self.memory.known(call) {
                Some(conversation) => self.redis.get().put(call, &conversation).await,
                // Expired in the meantime; it expires in Redis as well.
                None => Ok(()),
            },
        }
    }

    async fn load(&self, call: CallId) -> Option<SavedConversation> {
        // The state in memory is never older than the one in Redis.
        if let Some(known) = self.memory.known(call) {
            return Some(known);
        }
        if self.debts().down {
            return None;
        }
        match self.redis.get().fetch(call).await {
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

    /// Checks and queues under one lock: otherwise the last missed write might be done in between, and the new one
    /// never.
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

    /// Uses another client. New writes wait until the former one has sent its last; then all conversations are written, as
    /// the other server may have none of them.
    async fn replace(&self, redis: Redis) {
        self.debts().down = true;
        let former = self.redis.get();
        self.redis.set(redis);
        former.close().await;
        // Connects in the background where it takes longer.
        let _ = self.redis.get().connect().await;
        let mut debts = self.debts();
        debts.down = true;
        for call in self.memory.calls() {
            debts.note(call, Owed::Put, self.capacity);
        }
        drop(debts);
        self.lost.notify_one();
    }

    /// The next missed write. If there is none, Redis counts as available again.
    fn next_debt(&self) -> Option<(CallId, Owed)> {
        let mut debts = self.debts();
        let next = debts.owed.keys().next().copied();
        let debt = next.and_then(|call| debts.owed.remove_entry(&call));
        debts.down = debt.is_some();
        debt
    }

    /// Repeats missed writes until there are none.
    async fn settle(&self) -> Result<(), StateError> {
        self.redis.get().ping().await?;
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
    /// Beyond the capacity, a call's state in Redis is left to expire.
    fn note(&mut self, call: CallId, what: Owed, capacity: usize) {
        if self.owed.len() < capacity || self.owed.contains_key(&call) {
            self.owed.insert(call, what);
        }
    }
}

async fn make_good(shared: Arc<MirrorShared>) {
    loop {
        shared.lost.notified().await;
        let mut delay = FIRST_DELAY;
        while shared.settle().await.is_err() {
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
        info!("Redis is available again and up to date");
    }
}

impl ConversationState for MirroredState {
    fn begin(&self, call: CallId, started_at: DateTime<Utc>) -> BoxFuture<'_, ()> {
        self.shared.memory.started(call, started_at);
        self.shared.mirror(call, Owed::Put).boxed()
    }

    fn save<'a>(&'a self, call: CallId, turns: u32, state: &'a Value) -> BoxFuture<'a, ()> {
        self.shared.memory.saved(call, turns, state);
        self.shared.mirror(call, Owed::Put).boxed()
    }

    fn load(&self, call: CallId) -> BoxFuture<'_, Option<SavedConversation>> {
        self.shared.load(call).boxed()
    }

    fn end(&self, call: CallId) -> BoxFuture<'_, ()> {
        self.shared.memory.forget(call);
        self.shared.mirror(call, Owed::Remove).boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StateError>> {
        async { self.shared.redis.get().ping().await }.boxed()
    }
    fn set_server<'a>(&'a self, settings: &'a Settings) -> BoxFuture<'a, Result<(), StateError>> {
        async move {
            let missing = || StateError::Invalid("Redis is no longer used only after a restart".to_owned());
            let url = settings.redis_url.as_ref().ok_or_else(missing)?;
            self.shared.replace(Redis::new(url, settings)?).await;
            Ok(())
        }
        .boxed()
    }
}
