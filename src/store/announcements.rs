//! Assigns channels to records, for calls that are announced over HTTP and arrive as a channel a moment later.
//!
//! The first of the two, announcement or channel, creates the id of the record, and the other joins it. The
//! assignment is in memory, so that an arriving call waits for nothing; the daemon's start fills it from the
//! database. A call without a channel after a minute is closed.
//!
//! A channel joins only a record with the called number as it was written, so that no call joins another tenant's
//! record: the same written number always leads to the same tenant, while a number that is dialled within a
//! country may have several readings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{Entry as Record, Ledger, Store, StoreError};
use crate::tenancy::{Call, CallId, CallStatus, Did, EndedBy, TenantId};

/// How long a channel may take from its announcement.
const PATIENCE: TimeDelta = TimeDelta::seconds(60);
/// The interval between searches for missing calls, and the number of searches between two full cleanups.
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS_TO_CLEANING: u32 = 720;
/// The time for which the database remembers announcements, to recognise repeated ones.
const REMEMBERED: TimeDelta = TimeDelta::days(1);
/// The disposition of a call without a channel.
pub const NEVER_ARRIVED: &str = "never_arrived";

/// The daemon's memory of announcements. Cloning it is cheap.
#[derive(Clone)]
pub struct Announcements(Arc<Mutex<AnnouncementTable>>);

struct AnnouncementTable {
    capacity: usize,
    entries: HashMap<String, AnnouncedCall>,
}

struct AnnouncedCall {
    call: CallId,
    called: Did,
    at: DateTime<Utc>,
    /// The tenant of a record that waits for its channel; `None` once the channel has arrived.
    waits: Option<TenantId>,
}

/// An announced call that did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missing {
    tenant: TenantId,
    call: CallId,
    channel: String,
    called: Did,
    at: DateTime<Utc>,
}

impl Announcements {
    /// At most `capacity` are remembered at once; a call beyond that has a record of its own.
    pub fn new(capacity: usize) -> Announcements {
        Announcements(Arc::new(Mutex::new(AnnouncementTable { capacity, entries: HashMap::new() })))
    }

    /// Adds the announcement of a channel. Returns the id of its record.
    pub fn expect(&self, channel: &str, called: &Did, tenant: TenantId, now: DateTime<Utc>) -> CallId {
        let mut table = self.table();
        match table.entries.get(channel) {
            Some(entry) if entry.called == *called => entry.call,
            Some(_) => CallId::new(),
            None => table.note(channel, called, Some(tenant), now),
        }
    }

    /// A channel has arrived. Returns the id of its call; a channel that arrives a second time is another call.
    pub fn arrive(&self, channel: &str, called: &str, now: DateTime<Utc>) -> CallId {
        let Ok(called) = called.parse() else { return CallId::new() };
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(channel) {
            if entry.called != called {
                return CallId::new();
            }
            if entry.waits.take().is_some() {
                return entry.call;
            }
        }
        table.note(channel, &called, None, now)
    }

    /// The database says which record it is: it may know more than memory does.
    pub fn settle(&self, channel: &str, call: CallId) {
        if let Some(entry) = self.table().entries.get_mut(channel).filter(|entry| entry.waits.is_some()) {
            entry.call = call;
        }
    }

    /// Removes an announcement without a call.
    pub fn withdraw(&self, channel: &str) {
        let mut table = self.table();
        if table.entries.get(channel).is_some_and(|entry| entry.waits.is_some()) {
            table.entries.remove(channel);
        }
    }

    /// Restores the announcements of an earlier daemon.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn refill(&self, store: &Store) -> Result<usize, StoreError> {
        let capacity = self.table().capacity;
        let outstanding = store.outstanding(capacity).await?;
        let mut table = self.table();
        for it in &outstanding {
            let entry =
                AnnouncedCall { call: it.call, called: it.called.clone(), at: it.at, waits: Some(it.tenant) };
            table.entries.insert(it.channel.clone(), entry);
        }
        Ok(outstanding.len())
    }

    /// Closes, forever, the records of calls that did not arrive.
    pub async fn watch(self, store: Store, ledger: Ledger) {
        let mut rounds = tokio::time::interval(ROUND);
        for round in 0_u32.. {
            rounds.tick().await;
            let now = Utc::now();
            self.close_missing(&store, &ledger, now).await;
            if round.is_multiple_of(ROUNDS_TO_CLEANING)
                && let Err(error) = store.forget_announcements(now - REMEMBERED).await
            {
                warn!(%error, "old announcements cannot be forgotten yet");
            }
        }
    }

    /// Closes the records of calls that were announced a minute before `now` and have not arrived.
    pub async fn close_missing(&self, store: &Store, ledger: &Ledger, now: DateTime<Utc>) {
        let missing = self.table().overdue(now);
        for it in missing {
            match store.scope(it.tenant).call(it.call).await {
                Ok(Some((call, _))) if call.status == CallStatus::Ringing => {
                    info!(call_id = %it.call, tenant_id = %it.tenant, "announced call did not arrive");
                    ledger.record(Record::Update(closed(call, now)));
                }
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "a call that never came cannot be closed yet");
                    self.table().put_back(it);
                }
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, AnnouncementTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed(call: Call, now: DateTime<Utc>) -> Call {
    Call {
        status: CallStatus::Failed,
        ended_by: Some(EndedBy::System),
        disposition: Some(NEVER_ARRIVED.to_owned()),
        ended_at: Some(now),
        ..call
    }
}

impl AnnouncementTable {
    /// A new call, remembered if there is room.
    fn note(&mut self, channel: &str, called: &Did, waits: Option<TenantId>, now: DateTime<Utc>) -> CallId {
        let call = CallId::new();
        let is_full = |table: &AnnouncementTable| {
            table.entries.len() >= table.capacity && !table.entries.contains_key(channel)
        };
        if is_full(self) {
            self.entries.retain(|_, entry| entry.waits.is_some() || now - entry.at < PATIENCE);
        }
        if is_full(self) {
            metrics::counter!("vca_announcements_dropped_total").increment(1);
            return call;
        }
        self.entries
            .insert(channel.to_owned(), AnnouncedCall { call, called: called.clone(), at: now, waits });
        call
    }

    /// Takes out all entries older than a minute; those that still wait for their channel are returned.
    fn overdue(&mut self, now: DateTime<Utc>) -> Vec<Missing> {
        let old = self.entries.extract_if(|_, entry| now - entry.at >= PATIENCE);
        let missing = old.filter_map(|(channel, entry)| {
            let AnnouncedCall { call, called, at, waits } = entry;
            waits.map(|tenant| Missing { tenant, call, channel, called, at })
        });
        missing.collect()
    }

    fn put_back(&mut self, Missing { tenant, call, channel, called, at }: Missing) {
        self.entries.entry(channel).or_insert(AnnouncedCall { call, called, at, waits: Some(tenant) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(n: u8) -> Did {
        format!("+4930555010{n}").parse().expect("a DID")
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn whoever_comes_first_names_the_record() {
        let (table, tenant) = (Announcements::new(10), TenantId::new());
        let told = table.expect("1.1", &did(1), tenant, at(0));
        assert_eq!(table.expect("1.1", &did(1), tenant, at(1)), told, "told twice");
        assert_eq!(table.arrive("1.1", "4930 5550101", at(2)), told, "written in another way");
        let arrived = table.arrive("1.2", "+49305550101", at(0));
        assert_eq!(table.expect("1.2", &did(1), tenant, at(1)), arrived, "told too late");
        assert!(table.table().overdue(at(100)).is_empty(), "both have come");
    }

    #[test]
    fn a_channel_joins_no_other_numbers_record() {
        let (table, tenant) = (Announcements::new(10), TenantId::new());
        let told = table.expect("1.1", &did(1), tenant, at(0));
        assert_ne!(table.arrive("1.1", "+49305550102", at(1)), told);
        assert_ne!(table.arrive("1.1", "s", at(1)), told);
        assert_eq!(table.table().overdue(at(60)).len(), 1, "it is still missing");
    }

    #[test]
    fn the_database_knows_better_until_the_channel_is_there() {
        let (table, tenant, older) = (Announcements::new(10), TenantId::new(), CallId::new());
        table.expect("1.1", &did(1), tenant, at(0));
        table.settle("1.1", older);
        assert_eq!(table.arrive("1.1", "+49305550101", at(1)), older);
        table.settle("1.1", CallId::new());
        table.withdraw("1.1");
        assert_eq!(table.expect("1.1", &did(1), tenant, at(2)), older, "told again");
        assert_ne!(
            table.arrive("1.1", "+49305550101", at(2)),
            older,
            "the channel comes again: another call"
        );
        table.expect("1.2", &did(1), tenant, at(0));
        table.withdraw("1.2");
        assert!(table.table().overdue(at(60)).is_empty());
    }

    #[test]
    fn a_minute_is_waited_and_announcements_are_bounded() {
        let (table, tenant) = (Announcements::new(2), TenantId::new());
        let first = table.expect("1.1", &did(1), tenant, at(0));
        table.arrive("1.2", "+49305550101", at(0));
        let third = table.expect("1.3", &did(1), tenant, at(1));
        assert_ne!(third, table.arrive("1.3", "+49305550101", at(1)), "the table is full");
        assert!(table.table().overdue(at(59)).is_empty());
        table.arrive("1.4", "+49305550101", at(61));
        assert_eq!(table.table().entries.len(), 2, "what has come makes room");
        let missing = table.table().overdue(at(60));
        assert_eq!(missing.iter().map(|it| it.call).collect::<Vec<_>>(), [first]);
        table.table().put_back(missing[0].clone());
        assert_eq!(table.arrive("1.1", "+49305550101", at(62)), first);
    }
}
