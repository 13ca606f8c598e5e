//! Called numbers that no tenant has. Calls to them have no record, because a record belongs to a tenant.
//!
//! They are counted in memory, so that a call does not wait for the database, and written by one task. Both are bounded: a
//! scanner that tries many numbers displaces the oldest ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::warn;

use super::statement::{Value, rows, sql};
use super::tx::{Access, RowScope};
use super::{Store, StoreError};

/// How many numbers the database keeps, and as many are kept in memory until they are written.
const MOST: usize = 1_000;
/// Characters of a called text that are kept.
const LONGEST: usize = 40;
/// The pause after a write, and after one that failed.
const PAUSE: Duration = Duration::from_secs(1);
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// A called text that is the number of no tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UnmatchedNumber {
    /// As the dialplan passed it; not necessarily a phone number.
    pub called: String,
    /// Refused calls since `first_at`.
    pub calls: u64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// Counts calls to numbers that no tenant has. Cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct UnmatchedCounter(Arc<Counter>);

#[derive(Debug, Default)]
struct Counter {
    waiting: Mutex<HashMap<String, UnmatchedNumber>>,
    changed: Notify,
}

impl UnmatchedCounter {
    /// Counts a call. Beyond the number of texts that are kept, a new text is not counted.
    pub fn add(&self, called: &str, at: DateTime<Utc>) {
        let called: String = called.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        self.merge(UnmatchedNumber { called, calls: 1, first_at: at, last_at: at });
        self.0.changed.notify_one();
    }

    fn merge(&self, new: UnmatchedNumber) {
        let mut waiting = self.waiting();
        if let Some(known) = waiting.get_mut(&new.called) {
            known.calls += new.calls;
            known.first_at = known.first_at.min(new.first_at);
            known.last_at = known.last_at.max(new.last_at);
        } else if waiting.len() < MOST {
            waiting.insert(new.called.clone(), new);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, UnmatchedNumber>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the counts until it is dropped. Counts that the database does not take are kept and written later.
    pub async fn write_to(self, store: Store) {
        loop {
            self.0.changed.notified().await;
            while let Err(error) = self.write(&store).await {
                warn!(%error, "counts of unmatched numbers not written: trying again");
                tokio::time::sleep(AFTER_ERROR).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Writes the counts that wait.
    ///
    /// # Errors
    /// The database's; then the counts wait again.
    pub async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let counts: Vec<UnmatchedNumber> = self.waiting().drain().map(|(_, count)| count).collect();
        let outcome = store.add_unmatched_numbers(&counts).await;
        if outcome.is_err() {
            counts.into_iter().for_each(|count| self.merge(count));
        }
        outcome
    }
}

impl Store {
    /// The numbers that were called and that no tenant has, the latest first.
    pub async fn unmatched_numbers(&self) -> Result<Vec<UnmatchedNumber>, StoreError> {
        const SELECT: &str =
            "SELECT called, calls, first_at, last_at FROM unmatched_numbers ORDER BY last_at DESC, called";
        Ok(self.all::<Row>(sql(SELECT)).await?.into_iter().map(UnmatchedNumber::from).collect())
    }

    async fn add_unmatched_numbers(&self, counts: &[UnmatchedNumber]) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO unmatched_numbers (called, calls, first_at, last_at) VALUES";
        const CHANGE: &str = "ON CONFLICT (called) DO UPDATE SET calls = unmatched_numbers.calls + excluded.calls, \
            last_at = excluded.last_at";
        const TRIM: &str = "DELETE FROM unmatched_numbers WHERE called NOT IN \
            (SELECT called FROM unmatched_numbers ORDER BY last_at DESC, called LIMIT $1)";
        if counts.is_empty() {
            return Ok(());
        }
        // In the order of the key, so that two daemons do not wait for each other.
        let mut counts: Vec<&UnmatchedNumber> = counts.iter().collect();
        counts.sort_by(|one, other| one.called.cmp(&other.called));
        let row = |count: &UnmatchedNumber| -> Vec<Value> {
            let calls = i64::try_from(count.calls).unwrap_or(i64::MAX);
            vec![count.called.clone().into(), calls.into(), count.first_at.into(), count.last_at.into()]
        };
        let mut tx = self.begin(Access::Write).await?;
        tx.execute_all(rows(INSERT, counts.into_iter().map(row).collect(), CHANGE)).await?;
        tx.execute(sql(TRIM).bind(i64::try_from(MOST).unwrap_or(i64::MAX))).await?;
        tx.commit().await
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    called: String,
    calls: i64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
}

impl From<Row> for UnmatchedNumber {
    fn from(row: Row) -> UnmatchedNumber {
        let Row { called, calls, first_at, last_at } = row;
        UnmatchedNumber { called, calls: calls.max(0).unsigned_abs(), first_at, last_at }
    }
}
