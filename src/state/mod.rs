//! The state of conversations under way: what another daemon would need to take a call up.
//!
//! In this process by default; in Redis as well when there is one. A call never waits for Redis by more
//! than a small timeout and never fails with it, so nothing here but [`ConversationState::ping`] can fail.
//!
//! It does not know what is in a state.

mod memory;
mod redis;
mod resilient;
mod settings;

#[cfg(test)]
mod tests;

pub use memory::Memory;
pub use resilient::Resilient;
pub use settings::Settings;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::tenancy::CallId;

/// How far a conversation has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// Whole seconds when it comes from Redis.
    pub started_at: DateTime<Utc>,
    pub turns: u32,
    /// `Null` until it is first saved.
    pub state: Value,
}

/// Keeps the state of conversations for a time after they were last saved. All writes may be repeated.
pub trait ConversationState: Send + Sync {
    /// A call begins. For a call that has begun already, only the time is taken over.
    fn begin(&self, call: CallId, started_at: DateTime<Utc>) -> BoxFuture<'_, ()>;

    /// Replaces a call's state. Nothing is kept of a call that has not begun, or is forgotten.
    fn save<'a>(&'a self, call: CallId, turns: u32, state: &'a Value) -> BoxFuture<'a, ()>;

    /// What was last saved; `None` when nothing is known of the call.
    fn load(&self, call: CallId) -> BoxFuture<'_, Option<Conversation>>;

    /// Forgets a call.
    fn end(&self, call: CallId) -> BoxFuture<'_, ()>;

    /// Asks the server behind it, if any, for a sign of life.
    fn ping(&self) -> BoxFuture<'_, Result<(), StateError>>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The URL cannot be understood.
    #[error("{0}")]
    Invalid(String),
    /// Redis does not answer.
    #[error("Redis is unavailable: {0}")]
    Unavailable(String),
}

/// The state store that the settings ask for. A Redis that is not there (yet) is no error: its calls are
/// kept in memory and written to it when it comes.
///
/// # Errors
/// `Invalid` for a Redis URL that cannot be understood.
pub async fn connect(settings: &Settings) -> Result<Arc<dyn ConversationState>, StateError> {
    let memory = Memory::new(settings);
    Ok(match &settings.redis_url {
        None => Arc::new(memory),
        Some(url) => Arc::new(Resilient::connect(memory, redis::Redis::new(url, settings)?, settings).await),
    })
}
