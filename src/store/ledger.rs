//! What running calls write into the database, without ever waiting for it.
//!
//! One task writes in the order in which things were recorded. While the database is away entries wait in
//! a bounded queue; when that is full, what calls have taken of engines so far gives way first, then turns: a call
//! record without one of its turns says more than a turn without its call.
//!
//! It does not know what the entries mean.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::{Store, StoreError};
use crate::tenancy::{Call, CallId, CallTurn, EngineUse, TenantId};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// One thing to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A call is there.
    Begin(Call),
    /// How it stands now.
    Update(Call),
    /// It is over, and took this of engines.
    End(Call, Vec<EngineUse>),
    Turn(CallTurn),
    /// What it has taken of engines so far.
    Taken(TenantId, CallId, Vec<EngineUse>),
}

impl Entry {
    fn call(&self) -> CallId {
        match self {
            Entry::Begin(call) | Entry::Update(call) | Entry::End(call, _) => call.id,
            Entry::Turn(turn) => turn.call_id,
            Entry::Taken(_, call, _) => *call,
        }
    }

    fn is_taken(&self) -> bool {
        matches!(self, Entry::Taken(..))
    }

    fn is_turn(&self) -> bool {
        matches!(self, Entry::Turn(_))
    }
}

/// The way from running calls to the database. Cloning it is cheap; all clones feed one queue.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

struct Shared {
    store: Store,
    capacity: usize,
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// One entry is out of the queue but not in the database yet.
    writing: bool,
    closing: bool,
    dropped: u64,
}

impl Ledger {
    /// Starts the writer on the current runtime. At most `capacity` entries wait at once.
    pub fn new(store: Store, capacity: usize) -> Ledger {
        let shared = Arc::new(Shared { store, capacity, queue: Mutex::default(), changed: Notify::new() });
        let writer = tokio::spawn(write_all(Arc::clone(&shared)));
        Ledger { shared, writer: Arc::new(Mutex::new(Some(writer))) }
    }

    /// Takes an entry and returns at once. When there is no room, something is dropped, counted and logged.
    pub fn record(&self, entry: Entry) {
        let dropped = self.shared.queue().push(entry, self.shared.capacity);
        if let Some(entry) = dropped {
            metrics::counter!("vca_ledger_dropped_total").increment(1);
            error!(call_id = %entry.call(), "no room to keep a record until the database is back: dropped");
        }
        self.shared.changed.notify_one();
    }

    /// How many entries are not in the database yet.
    pub fn pending(&self) -> usize {
        self.shared.queue().pending()
    }

    /// How many entries were dropped since the start, for want of room or because the database refused them.
    pub fn dropped(&self) -> u64 {
        self.shared.queue().dropped
    }

    /// Writes what is left, but for no longer than `deadline`; what is recorded from now on is dropped.
    /// The answer is how many entries could not be written.
    pub async fn close(&self, deadline: Duration) -> usize {
        self.shared.queue().closing = true;
        self.shared.changed.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut writer) = writer
            && tokio::time::timeout(deadline, &mut writer).await.is_err()
        {
            writer.abort();
        }
        let left = self.pending();
        if left > 0 {
            error!(entries = left, "the database did not come back in time: call records are lost");
        }
        left
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next entry to write; `None` when all is written and no more will come.
    async fn next(&self) -> Option<Entry> {
        loop {
            {
                let mut queue = self.queue();
                if let Some(entry) = queue.entries.pop_front() {
                    queue.writing = true;
                    return Some(entry);
                }
                if queue.closing {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Tries until the database has said yes or no.
    async fn write(&self, entry: &Entry) -> Result<(), StoreError> {
        let mut delay = FIRST_DELAY;
        loop {
            match self.store.keep(entry).await {
                Err(StoreError::Unavailable { what }) => {
                    if delay == FIRST_DELAY {
                        warn!(%what, "the database is away: call records are kept and written later");
                    }
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
                answer => {
                    if delay > FIRST_DELAY {
                        info!(pending = self.queue().pending(), "the database is back");
                    }
                    return answer;
                }
            }
        }
    }
}

impl Queue {
    /// Takes an entry in; what had to give way for it, or it itself, comes back.
    fn push(&mut self, entry: Entry, capacity: usize) -> Option<Entry> {
        if entry.is_taken() && !self.closing {
            // What a call has taken since holds what it had taken before.
            self.entries.retain(|it| !(it.is_taken() && it.call() == entry.call()));
        }
        let dropped = if self.closing {
            Some(entry)
        } else if self.entries.len() < capacity {
            self.entries.push_back(entry);
            None
        } else {
            self.give_way(entry)
        };
        self.dropped += u64::from(dropped.is_some());
        dropped
    }

    fn give_way(&mut self, entry: Entry) -> Option<Entry> {
        let oldest = |kind: fn(&Entry) -> bool| self.entries.iter().position(kind);
        let oldest = oldest(Entry::is_taken).or_else(|| oldest(Entry::is_turn).filter(|_| !entry.is_taken()));
        let Some(oldest) = oldest else { return Some(entry) };
        let gone = self.entries.remove(oldest);
        self.entries.push_back(entry);
        gone
    }

    fn pending(&self) -> usize {
        self.entries.len() + usize::from(self.writing)
    }
}

impl Store {
    async fn keep(&self, entry: &Entry) -> Result<(), StoreError> {
        match entry {
            Entry::Begin(call) => self.scope(call.tenant_id).begin_call(call).await,
            Entry::Update(call) => self.scope(call.tenant_id).update_call(call).await,
            Entry::End(call, usage) => self.scope(call.tenant_id).end_call(call, usage).await,
            Entry::Turn(turn) => self.scope(turn.tenant_id).add_turn(turn).await,
            Entry::Taken(tenant, call, engines) => self.scope(*tenant).keep_taken(*call, engines).await,
        }
    }
}

async fn write_all(shared: Arc<Shared>) {
    while let Some(entry) = shared.next().await {
        let outcome = shared.write(&entry).await;
        let mut queue = shared.queue();
        queue.writing = false;
        if let Err(refusal) = outcome {
            queue.dropped += 1;
            metrics::counter!("vca_ledger_dropped_total").increment(1);
            error!(call_id = %entry.call(), %refusal, "the database refused a call record: dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::values;

    #[test]
    fn turns_give_way_when_there_is_no_room() {
        let call = values::call();
        let turn = |n| Entry::Turn(values::turn(&call, n));
        let mut queue = Queue::default();
        assert_eq!(queue.push(Entry::Begin(call.clone()), 3), None);
        assert_eq!(queue.push(turn(1), 3), None);
        assert_eq!(queue.push(turn(2), 3), None);
        assert_eq!(queue.push(turn(3), 3), Some(turn(1)));
        assert_eq!(queue.push(Entry::Update(call.clone()), 3), Some(turn(2)));
        assert_eq!(queue.push(Entry::Update(call.clone()), 3), Some(turn(3)));
        assert_eq!(queue.push(turn(4), 3), Some(turn(4)), "calls do not give way to turns");
        assert_eq!((queue.pending(), queue.dropped), (3, 4));
    }

    #[test]
    fn the_use_of_engines_gives_way_to_what_was_said() {
        let call = values::call();
        let turn = |n| Entry::Turn(values::turn(&call, n));
        let taken = |call| Entry::Taken(TenantId::new(), call, Vec::new());
        let (first, second, another) = (taken(call.id), taken(call.id), taken(CallId::new()));
        let mut queue = Queue::default();
        for entry in [turn(1), first, turn(2), second.clone()] {
            assert_eq!(queue.push(entry, 3), None);
        }
        assert_eq!(queue.entries, [turn(1), turn(2), second.clone()], "the latest is enough");
        assert_eq!(queue.push(turn(3), 3), Some(second));
        assert_eq!(queue.push(another.clone(), 3), Some(another), "no words are lost for it");
    }
}
