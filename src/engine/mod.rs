//! What every speech or language engine has in common: how it fails, how it is retried, and the
//! HTTP endpoint of an OpenAI-compatible vendor.
//!
//! It knows nothing of calls or turns: an engine answers one question and forgets it.

use std::time::Duration;

/// Why an engine gave no answer.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// No answer within the engine's timeout.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Worth another try: a refused connection, HTTP 429 or 5xx, a killed process.
    #[error("temporary failure: {0}")]
    Temporary(String),
    /// Not worth another try: HTTP 4xx, a wrong key, a missing program or model.
    #[error("{0}")]
    Permanent(String),
}

impl EngineError {
    pub fn worth_retrying(&self) -> bool {
        !matches!(self, EngineError::Permanent(_))
    }
}
