//! The state of conversations in this process, limited in number and time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::Value;
use tokio::time::Instant;

use super::{ConversationState, SavedConversation, Settings, StateError};
use crate::tenancy::CallId;

/// Conversations in a map. Lost when the process ends.
pub struct Memory {
    ttl: Duration,
    capacity: usize,
    held: Mutex<HashMap<CallId, HeldConversation>>,
}

struct HeldConversation {
    conversation: SavedConversation,
    expires_at: Instant,
}

impl Memory {
    pub fn new(settings: &Settings) -> Memory {
        Memory {
            ttl: Duration::from_secs(settings.ttl_s.into()),
            capacity: settings.capacity,
            held: Mutex::default(),
        }
    }

    pub(super) fn started(&self, call: CallId, started_at: DateTime<Utc>) {
        let now = Instant::now();
        let mut held = self.held();
        make_room(&mut held, self.capacity, call, now);
        let fresh = || HeldConversation {
            conversation: SavedConversation { started_at, turns: 0, state: Value::Null },
            expires_at: now,
        };
        let entry = held.entry(call).or_insert_with(fresh);
        entry.conversation.started_at = started_at;
        entry.expires_at = now + self.ttl;
    }

    pub(super) fn saved(&self, call: CallId, turns: u32, state: &Value) {
        let now = Instant::now();
        if let Some(held) = self.held().get_mut(&call).filter(|held| held.expires_at > now) {
            held.conversation.turns = turns;
            held.conversation.state = state.clone();
            held.expires_at = now + self.ttl;
        }
    }

    /// Adds a conversation that was read from Redis.
    pub(super) fn adopt(&self, call: CallId, conversation: SavedConversation) {
        let now = Instant::now();
        let mut held = self.held();
        make_room(&mut held, self.capacity, call, now);
        held.insert(call, HeldConversation { conversation, expires_at: now + self.ttl });
    }

    pub(super) fn known(&self, call: CallId) -> Option<SavedConversation> {
        let now = Instant::now();
        let held = self.held();
        held.get(&call).filter(|held| held.expires_at > now).map(|held| held.conversation.clone())
    }

    /// The calls of all conversations that have not expired.
    pub(super) fn calls(&self) -> Vec<CallId> {
        let now = Instant::now();
        self.held().iter().filter(|(_, held)| held.expires_at > now).map(|(call, _)| *call).collect()
    }

    pub(super) fn forget(&self, call: CallId) {
        self.held().remove(&call);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<CallId, HeldConversation>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for another conversation: drops expired ones and, if that is not enough, the one that would expire
/// first.
fn make_room(held: &mut HashMap<CallId, HeldConversation>, capacity: usize, call: CallId, now: Instant) {
    if held.len() < capacity || held.contains_key(&call) {
        return;
    }
    held.retain(|_, held| held.expires_at > now);
    if held.len() >= capacity {
        let first = held.iter().min_by_key(|(_, held)| held.expires_at).map(|(call, _)| *call);
        first.map(|call| held.remove(&call));
    }
}

impl ConversationState for Memory {
    fn begin(&self, call: CallId, started_at: DateTime<Utc>) -> BoxFuture<'_, ()> {
        self.started(call, started_at);
        ready(()).boxed()
    }

    fn save<'a>(&'a self, call: CallId, turns: u32, state: &'a Value) -> BoxFuture<'a, ()> {
        self.saved(call, turns, state);
        ready(()).boxed()
    }

    fn load(&self, call: CallId) -> BoxFuture<'_, Option<SavedConversation>> {
        ready(self.known(call)).boxed()
    }

    fn end(&self, call: CallId) -> BoxFuture<'_, ()> {
        self.forget(call);
        ready(()).boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StateError>> {
        ready(Ok(())).boxed()
    }

    fn set_server<'a>(&'a self, settings: &'a Settings) -> BoxFuture<'a, Result<(), StateError>> {
        let answer = match settings.redis_url {
            None => Ok(()),
            Some(_) => Err(StateError::Invalid("Redis is used after a restart".to_owned())),
        };
        ready(answer).boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn memory(capacity: usize) -> Memory {
        Memory::new(&Settings { capacity, ttl_s: 60, ..Settings::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_conversation_is_kept_for_its_time_after_each_save() {
        let (memory, call, start) = (memory(10), CallId::new(), Utc::now());
        memory.begin(call, start).await;
        tokio::time::advance(Duration::from_secs(59)).await;
        memory.save(call, 3, &json!({"said": "hello"})).await;
        tokio::time::advance(Duration::from_secs(59)).await;
        let found = memory.load(call).await.expect("saved 59 s ago");
        assert_eq!(found, SavedConversation { started_at: start, turns: 3, state: json!({"said": "hello"}) });
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(memory.load(call).await, None, "saved 60 s ago");
        memory.save(call, 4, &json!(null)).await;
        assert_eq!(memory.load(call).await, None, "an expired conversation does not come back");
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_recent_gives_way_when_there_is_no_room() {
        let (memory, calls) = (memory(2), [CallId::new(), CallId::new(), CallId::new()]);
        for call in &calls[..2] {
            memory.begin(*call, Utc::now()).await;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        memory.save(calls[0], 1, &json!(1)).await;
        memory.begin(calls[2], Utc::now()).await;
        let known = calls.map(|call| memory.known(call).is_some());
        assert_eq!(known, [true, false, true]);
    }

    #[tokio::test]
    async fn beginning_again_keeps_what_was_said_and_ending_forgets_it() {
        let (memory, call) = (memory(2), CallId::new());
        memory.begin(call, Utc::now()).await;
        memory.save(call, 2, &json!("kept")).await;
        memory.begin(call, Utc::now()).await;
        assert_eq!(memory.load(call).await.map(|found| (found.turns, found.state)), Some((2, json!("kept"))));
        memory.end(call).await;
        memory.end(call).await;
        assert_eq!(memory.load(call).await, None);
    }
}
