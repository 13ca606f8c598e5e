//! The first prompt of a call is synthesised before the call is answered, so that no call begins with silence.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tracing::Instrument;

use super::prompt_cache::PromptUse;
use super::{Agent, PromptCache};
use crate::engines::core::EngineError;

/// The longest wait for the rest of a prompt after its first samples. A prompt that is cached as a whole is not synthesised
/// again, but a slow engine must not delay the answer.
const REST: Duration = Duration::from_millis(700);

/// The first event of a synthesis.
enum GreetingProgress {
    Begun,
    Over(Result<(), EngineError>),
}

/// Has a prompt synthesised and cached. Returns once its first samples exist, and its rest if that is quick. The synthesis
/// goes on for later calls.
///
/// # Errors
/// The engine's, or a timeout when no samples exist after `limit`.
pub async fn synthesise(
    agent: Arc<Agent>,
    prompts: Arc<PromptCache>,
    (text, usage): (Arc<str>, PromptUse),
    limit: Duration,
) -> Result<(), EngineError> {
    let (begun, mut beginning) = watch::channel(false);
    let synthesis = async move { prompts.obtain(agent.prompt_voice(), (&text, usage), &begun).await };
    let mut whole: JoinHandle<_> = tokio::spawn(synthesis.in_current_span());
    let first = async {
        tokio::select! {
            outcome = &mut whole => GreetingProgress::Over(joined(outcome)),
            Ok(()) = beginning.changed() => GreetingProgress::Begun,
        }
    };
    match timeout(limit, first).await {
        Err(_) => Err(EngineError::Timeout(limit)),
        Ok(GreetingProgress::Over(outcome)) => outcome,
        Ok(GreetingProgress::Begun) => timeout(REST, whole).await.map_or(Ok(()), joined),
    }
}

fn joined(outcome: Result<Result<(), EngineError>, JoinError>) -> Result<(), EngineError> {
    outcome.unwrap_or_else(|error| Err(EngineError::Temporary(error.to_string())))
}
