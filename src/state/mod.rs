//! The state of live conversations, as another daemon needs it to continue a call.
//!
//! In this process by default, and in Redis as well where one is configured. A call waits for Redis for a short
//! timeout at most and does not fail with it, so only [`ConversationState::ping`] returns an error.
//!
//! The content of a state is opaque here.

mod memory;
mod redis;
mod resilient;
mod settings;

#[cfg(test)]
mod tests;

pub use memory::Memory;
pub use resilient::MirroredState;
pub use settings::Settings;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::tenancy::CallId;
use crate::transport::LoginAttempt;

/// The saved state of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedConversation {
    /// In whole seconds when read from Redis.
    pub started_at: DateTime<Utc>,
    pub turns: u32,
    /// `Null` until the first save.
    pub state: Value,
}

/// Keeps the states of conversations for a time after their last save. All writes can be repeated.
pub trait ConversationState: Send + Sync {
    /// Begins a call. For a call that has begun already, only the time is updated.
    fn begin(&self, call: CallId, started_at: DateTime<Utc>) -> BoxFuture<'_, ()>;

    /// Replaces a call's state. Ignored for a call that has not begun or has expired.
    fn save<'a>(&'a self, call: CallId, turns: u32, state: &'a Value) -> BoxFuture<'a, ()>;

    /// The last saved state; `None` for an unknown call.
    fn load(&self, call: CallId) -> BoxFuture<'_, Option<SavedConversation>>;

    /// Deletes a call's state.
    fn end(&self, call: CallId) -> BoxFuture<'_, ()>;

    /// Checks that the server, if any, responds.
    fn ping(&self) -> BoxFuture<'_, Result<(), StateError>>;

    /// Uses the Redis of other settings from now on, and writes all conversations there.
    ///
    /// # Errors
    /// `Invalid` for a URL that is not valid, and where one side has a Redis and the other has none.
    fn set_server<'a>(&'a self, settings: &'a Settings) -> BoxFuture<'a, Result<(), StateError>>;
}

/// Logs in to the Redis of the settings, on a connection of its own. Without one, there is nothing to refuse.
pub async fn try_login(settings: &Settings) -> LoginAttempt {
    match &settings.redis_url {
        Some(url) => redis::Redis::try_login(url, settings).await,
        None => LoginAttempt::Accepted,
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The URL is not valid.
    #[error("{0}")]
    Invalid(String),
    /// Redis does not respond.
    #[error("Redis is unavailable: {0}")]
    Unavailable(String),
}

/// The state store of the settings. A Redis that is not reachable (yet) is not an error: states are kept in memory
/// and written to it later.
///
/// # Errors
/// `Invalid` for a Redis URL that is not valid.
pub async fn connect(settings: &Settings) -> Result<Arc<dyn ConversationState>, StateError> {
    let memory = Memory::new(settings);
    Ok(match &settings.redis_url {
        None => Arc::new(memory),
        Some(url) => {
            Arc::new(MirroredState::connect(memory, redis::Redis::new(url, settings)?, settings).await)
        }
    })
}
