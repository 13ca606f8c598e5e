//! The queue of call records to the database, which a call never waits for.
//!
//! One task writes the entries in their order, all waiting ones in one transaction. While the database is not
//! available, entries wait in a bounded queue; when it is full, engine usage is dropped first, then turns, because
//! a call without a turn is worth more than a turn without its call. An entry that the database refuses for its
//! own data is set aside as a dead letter.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::{Store, StoreError};
use crate::tenancy::{Call, CallId, CallTurn, EngineUse, Feedback, TenantId};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// The most entries of one transaction: it is written within a fraction of a second.
const BATCH: usize = 500;

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A call has begun.
    Begin(Call),
    /// The call's present state.
    Update(Call),
    /// The call has ended, and took this of its engines.
    End(Call, Vec<EngineUse>),
    Turn(CallTurn),
    /// The call has taken this of its engines so far.
    Taken(TenantId, CallId, Vec<EngineUse>),
    /// The caller has rated the call.
    Rated(Feedback),
}

impl Entry {
    pub(super) fn call(&self) -> CallId {
        match self {
            Entry::Begin(call) | Entry::Update(call) | Entry::End(call, _) => call.id,
            Entry::Turn(turn) => turn.call_id,
            Entry::Taken(_, call, _) => *call,
            Entry::Rated(feedback) => feedback.call_id,
        }
    }

    pub(super) fn tenant(&self) -> TenantId {
        match self {
            Entry::Begin(call) | Entry::Update(call) | Entry::End(call, _) => call.tenant_id,
            Entry::Turn(turn) => turn.tenant_id,
            Entry::Taken(tenant, ..) => *tenant,
            Entry::Rated(feedback) => feedback.tenant_id,
        }
    }

    /// The kind of entry, in snake case.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Entry::Begin(_) => "begin",
            Entry::Update(_) => "update",
            Entry::End(..) => "end",
            Entry::Turn(_) => "turn",
            Entry::Taken(..) => "taken",
            Entry::Rated(_) => "rated",
        }
    }

    fn is_taken(&self) -> bool {
        matches!(self, Entry::Taken(..))
    }

    fn is_turn(&self) -> bool {
        matches!(self, Entry::Turn(_))
    }
}

/// Takes records of calls and writes them to the database. Cloning it is cheap; all clones feed one queue.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<LedgerShared>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

struct LedgerShared {
    store: Store,
    capacity: usize,
    batch: usize,
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// Entries that were taken out of the queue and are not in the database yet.
    writing: usize,
    closing: bool,
    dropped: u64,
    dead_letters: u64,
}

impl Ledger {
    /// Starts the writer on the current runtime. At most `capacity` entries wait at once.
    pub fn new(store: Store, capacity: usize) -> Ledger {
        Ledger::with_batches(store, capacity, BATCH)
    }

    /// The same with at most `batch` entries in a transaction.
    pub fn with_batches(store: Store, capacity: usize, batch: usize) -> Ledger {
        metrics::counter!("vca_ledger_dropped_total").increment(0);
        metrics::counter!("vca_ledger_dead_letters_total").increment(0);
        let (queue, changed) = (Mutex::default(), Notify::new());
        let shared = Arc::new(LedgerShared { store, capacity, batch: batch.max(1), queue, changed });
        let writer = tokio::spawn(write_all(Arc::clone(&shared)));
        Ledger { shared, writer: Arc::new(Mutex::new(Some(writer))) }
    }

    /// Takes an entry and returns at once. When there is no room, something is dropped, counted and logged.
    pub fn record(&self, entry: Entry) {
        let dropped = self.shared.queue().push(entry, self.shared.capacity);
        if let Some(entry) = dropped {
            metrics::counter!("vca_ledger_dropped_total").increment(1);
            error!(call_id = %entry.call(), entry = entry.kind(), "ledger full: record of a call dropped");
        }
        self.shared.changed.notify_one();
    }

    /// How many entries are not in the database yet.
    pub fn pending(&self) -> usize {
        self.shared.queue().pending()
    }

    /// How many entries were dropped since the start because there was no room for them.
    pub fn dropped(&self) -> u64 {
        self.shared.queue().dropped
    }

    /// How many entries the database has refused since the start: they are dead letters.
    pub fn dead_letters(&self) -> u64 {
        self.shared.queue().dead_letters
    }

    /// Writes the entries that are left, for `deadline` at most; entries that are recorded from now on are dropped.
    /// Returns how many could not be written.
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
            error!(entries = left, "the database did not return in time: records of calls are lost");
        }
        left
    }
}

impl LedgerShared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next entries to write; `None` when the ledger is closed and all are written.
    async fn next(&self) -> Option<Vec<Entry>> {
        loop {
            {
                let mut queue = self.queue();
                if !queue.entries.is_empty() {
                    let size = self.batch.min(queue.entries.len());
                    queue.writing = size;
                    return Some(queue.entries.drain(..size).collect());
                }
                if queue.closing {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Writes entries, in as many transactions as it takes to set aside those that the database refuses.
    async fn write(&self, entries: Vec<Entry>) {
        let mut parts = vec![entries];
        while let Some(mut part) = parts.pop() {
            match self.until_answered(WriteAttempt::Write(&part)).await {
                Ok(()) => self.queue().writing -= part.len(),
                Err(_) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(refusal) => {
                    self.set_aside(&part[0], &refusal).await;
                    self.queue().writing -= 1;
                }
            }
        }
    }

    async fn set_aside(&self, entry: &Entry, refusal: &StoreError) {
        let (call_id, kind, problem) = (entry.call(), entry.kind(), refusal.to_string());
        match self.until_answered(WriteAttempt::SetAside(entry, &problem)).await {
            Ok(()) => {
                self.queue().dead_letters += 1;
                metrics::counter!("vca_ledger_dead_letters_total").increment(1);
                error!(%call_id, entry = kind, %refusal, "record of a call refused by the database: see `vca ledger list`");
            }
            Err(error) => {
                self.queue().dropped += 1;
                metrics::counter!("vca_ledger_dropped_total").increment(1);
                error!(%call_id, entry = kind, %refusal, %error, "record of a call refused by the database and dropped");
            }
        }
    }

    /// Tries until the database accepts or refuses. Several entries that take too long are better written apart, so
    /// that is an answer, too.
    async fn until_answered(&self, attempt: WriteAttempt<'_>) -> Result<(), StoreError> {
        let mut delay = FIRST_DELAY;
        loop {
            match attempt.make(&self.store).await {
                Err(StoreError::TooSlow { limit }) if attempt.can_be_split() => {
                    return Err(StoreError::TooSlow { limit });
                }
                Err(error) if error.is_away() => {
                    if delay == FIRST_DELAY {
                        warn!(%error, "database unavailable: records of calls wait");
                    }
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
                answer => {
                    if delay > FIRST_DELAY {
                        info!(pending = self.queue().pending(), "database available again");
                    }
                    return answer;
                }
            }
        }
    }
}

/// A write that is repeated while the database is away.
#[derive(Clone, Copy)]
enum WriteAttempt<'a> {
    Write(&'a [Entry]),
    SetAside(&'a Entry, &'a str),
}

impl WriteAttempt<'_> {
    async fn make(self, store: &Store) -> Result<(), StoreError> {
        match self {
            WriteAttempt::Write(entries) => store.write(entries).await,
            WriteAttempt::SetAside(entry, problem) => store.add_dead_letter(entry, problem).await,
        }
    }

    fn can_be_split(self) -> bool {
        matches!(self, WriteAttempt::Write([_, _, ..]))
    }
}

impl Queue {
    /// Adds an entry. Returns the entry that gave way for it, or itself when there is no room for it.
    fn push(&mut self, entry: Entry, capacity: usize) -> Option<Entry> {
        if entry.is_taken() && !self.closing {
            // A call's usage includes its earlier usage.
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
        self.entries.len() + self.writing
    }
}

async fn write_all(shared: Arc<LedgerShared>) {
    while let Some(entries) = shared.next().await {
        shared.write(entries).await;
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
