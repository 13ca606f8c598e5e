//! Common to all engines: errors, retries, usage meters, local programs, and vendors' servers with their HTTP endpoints.

pub mod extra;
pub mod openai;
pub mod process;
pub mod retry;
pub mod server;
pub mod usage;
pub mod wav;

#[cfg(test)]
pub mod vendor;

use std::time::Duration;

/// Why an engine gave no answer.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// No answer within the engine's timeout.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Worth another try: a refused connection, HTTP 5xx, a killed process.
    #[error("temporary failure: {0}")]
    Temporary(String),
    /// Worth another try, but not before `after`: HTTP 429 with `Retry-After` (RFC 9110, 10.2.3).
    #[error("asked to wait {after:?}: {reason}")]
    Busy { after: Duration, reason: String },
    /// A local program is not installed.
    #[error("the program {program} is not there: install the package {package}")]
    Missing { program: String, package: &'static str },
    /// Not worth another try: HTTP 4xx, a wrong key, a missing model.
    #[error("{0}")]
    Permanent(String),
}

impl EngineError {
    /// A voice or model that the engine does not accept.
    pub fn name(kind: &str, error: &dyn std::fmt::Display) -> EngineError {
        EngineError::Permanent(format!("the {kind} {error}"))
    }

    pub fn worth_retrying(&self) -> bool {
        !matches!(self, EngineError::Permanent(_) | EngineError::Missing { .. })
    }

    /// The word by which metrics and logs count it.
    pub fn outcome(&self) -> &'static str {
        match self {
            EngineError::Timeout(_) => "timeout",
            EngineError::Temporary(_) => "temporary",
            EngineError::Busy { .. } => "busy",
            EngineError::Missing { .. } | EngineError::Permanent(_) => "permanent",
        }
    }
}
