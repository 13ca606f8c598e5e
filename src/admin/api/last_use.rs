//! When each API key was last used: kept in memory, to the minute, and written to the database in the background, so
//! that no request waits for a write. While the database takes no writes, the newest uses are lost; they are
//! remembered for people who tidy up keys.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use metrics::counter;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::store::Store;
use crate::tenancy::{ApiKey, KeyId};

/// A key in constant use is written once in so long.
const PRECISION: TimeDelta = TimeDelta::minutes(1);
/// Uses that wait to be written.
const WAITING: usize = 1_000;
/// Keys in memory, about 32 bytes each.
const KNOWN: usize = 10_000;

/// A use of a key.
type Use = (KeyId, DateTime<Utc>);

pub struct LastUse {
    noted: Mutex<HashMap<KeyId, DateTime<Utc>>>,
    writer: Sender<Use>,
}

impl LastUse {
    /// Starts the task that writes. It ends when this is dropped and all that waits is written.
    pub fn start(store: Store) -> LastUse {
        let (writer, uses) = channel(WAITING);
        tokio::spawn(write(store, uses));
        LastUse { noted: Mutex::default(), writer }
    }

    /// Notes that a key was used at `now`.
    pub(super) fn note(&self, key: &ApiKey, now: DateTime<Utc>) {
        if self.is_news(key, now) && self.writer.try_send((key.id, now)).is_err() {
            counter!("vca_admin_key_uses_lost_total").increment(1);
        }
    }

    fn is_news(&self, key: &ApiKey, now: DateTime<Utc>) -> bool {
        let is_recent = |last: DateTime<Utc>| now - last < PRECISION;
        if key.last_used_at.is_some_and(is_recent) {
            return false;
        }
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(&key.id).copied().is_some_and(is_recent) {
            return false;
        }
        if noted.len() >= KNOWN {
            noted.retain(|_, last| is_recent(*last));
        }
        if noted.len() >= KNOWN {
            return false;
        }
        noted.insert(key.id, now);
        true
    }
}

async fn write(store: Store, mut uses: Receiver<Use>) {
    while let Some((key, at)) = uses.recv().await {
        if let Err(error) = store.touch_key(key, at).await {
            counter!("vca_admin_key_uses_lost_total").increment(1);
            tracing::debug!(%key, %error, "the last use of a key could not be written");
        }
    }
}
