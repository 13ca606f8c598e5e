//! Common to all engines: errors, retries, usage meters, local programs, and vendors' servers with their HTTP endpoints.

pub mod breaker;
pub mod capacity;
pub mod covered;
mod delay;
pub mod error_body;
mod exchange;
pub mod extra;
pub mod health;
pub mod languages;
pub mod openai;
pub mod process;
pub mod retry;
pub mod server;
pub mod shares;
pub mod timing;
pub mod usage;
pub mod wav;
pub mod websocket;

#[cfg(test)]
pub mod vendor;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use metrics::SharedString;

use self::shares::Limit;
use crate::names::is_own;

/// The label of an engine in metrics. Engines of tenants' own accounts share one: their names are the tenants', and many.
pub fn label(engine: &Arc<str>) -> SharedString {
    if is_own(engine) { SharedString::const_str("own") } else { SharedString::from_shared(engine.clone()) }
}

/// Why an engine gave no answer.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// No answer within the engine's timeout.
    #[error("no response within {0:?}")]
    Timeout(Duration),
    /// Worth another try: a refused connection, HTTP 5xx, a killed process.
    #[error("temporary failure: {0}")]
    Temporary(String),
    /// Worth another try, but not before `after`: HTTP 429 or 503 with `Retry-After` (RFC 9110, 10.2.3).
    #[error("asked to wait {after:?}: {reason}")]
    Busy { after: Duration, reason: String },
    /// Worth another try: HTTP 429 without a delay, as of vendors that limit concurrent requests.
    #[error("too many requests: {0}")]
    RateLimited(String),
    /// The tenant has used its share of the engine up (see [`shares`]).
    #[error("not asked: the tenant's share is used up (engine_shares.{stage}_{limit})")]
    Limited { stage: &'static str, limit: Limit },
    /// All tenants together have as many requests in progress as the operator allows (see [`capacity`]).
    #[error(
        "not asked: {0} requests to it are in progress, the most that the operator allows (retry.max_concurrent)"
    )]
    Full(NonZeroU32),
    /// The engine failed before, and is not asked for now (see [`breaker`]).
    #[error("not asked: it failed before, and is tried again in {0:?}")]
    Open(Duration),
    /// A local program is not installed.
    #[error("the program {program} is not there: install the package {package}")]
    Missing { program: String, package: &'static str },
    /// Not worth another try, for a reason that is known.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// Not worth another try.
    #[error("{0}")]
    Permanent(String),
}

/// An answer that repeating the request does not change.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{text}")]
pub struct Refusal {
    pub reason: FailureReason,
    /// The parameter of the request that the server does not support, where it names one.
    pub parameter: Option<String>,
    pub text: String,
}

/// Why an engine failed, as records, metrics and logs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureReason {
    /// The key is wrong, missing or without permission.
    Auth,
    /// The account is out of credit.
    Quota,
    /// Too many requests.
    Busy,
    /// The tenant has used its share of requests up, or all tenants together have as many as the operator allows.
    Limited,
    /// No answer in time.
    Timeout,
    /// The server could not be reached, failed, or broke off its answer.
    Unavailable,
    /// The request was refused.
    Refused,
    /// The answer had no content.
    Empty,
    /// The model or the voice does not exist or is not allowed.
    Model,
    /// A local program is not installed.
    Missing,
}

impl FailureReason {
    pub fn as_str(self) -> &'static str {
        match self {
            FailureReason::Auth => "auth",
            FailureReason::Quota => "quota",
            FailureReason::Busy => "busy",
            FailureReason::Limited => "limited",
            FailureReason::Timeout => "timeout",
            FailureReason::Unavailable => "unavailable",
            FailureReason::Refused => "refused",
            FailureReason::Empty => "empty",
            FailureReason::Model => "model",
            FailureReason::Missing => "missing",
        }
    }
}

impl EngineError {
    /// A voice or model that the engine does not accept.
    pub fn name(kind: &str, error: &dyn std::fmt::Display) -> EngineError {
        EngineError::refused(FailureReason::Model, format!("the {kind} {error}"))
    }

    /// A failure that repeating does not cure.
    pub fn refused(reason: FailureReason, text: impl Into<String>) -> EngineError {
        EngineError::Refused(Box::new(Refusal { reason, parameter: None, text: text.into() }))
    }

    /// The parameter of the request that the server does not support, where it names one.
    pub fn unsupported_parameter(&self) -> Option<&str> {
        match self {
            EngineError::Refused(refusal) => refusal.parameter.as_deref(),
            _ => None,
        }
    }

    pub fn worth_retrying(&self) -> bool {
        matches!(
            self,
            EngineError::Timeout(_)
                | EngineError::Temporary(_)
                | EngineError::Busy { .. }
                | EngineError::RateLimited(_)
        )
    }

    pub fn reason(&self) -> FailureReason {
        match self {
            EngineError::Timeout(_) => FailureReason::Timeout,
            EngineError::Temporary(_) | EngineError::Open(_) => FailureReason::Unavailable,
            EngineError::Busy { .. } | EngineError::RateLimited(_) => FailureReason::Busy,
            EngineError::Limited { .. } | EngineError::Full(_) => FailureReason::Limited,
            EngineError::Missing { .. } => FailureReason::Missing,
            EngineError::Refused(refusal) => refusal.reason,
            EngineError::Permanent(_) => FailureReason::Refused,
        }
    }

    /// The word by which metrics and logs count it.
    pub fn outcome(&self) -> &'static str {
        match self {
            EngineError::Timeout(_) => "timeout",
            EngineError::Temporary(_) => "temporary",
            EngineError::Busy { .. } | EngineError::RateLimited(_) => "busy",
            EngineError::Limited { .. } | EngineError::Full(_) => "limited",
            EngineError::Open(_) => "open",
            EngineError::Missing { .. } | EngineError::Refused(_) | EngineError::Permanent(_) => "permanent",
        }
    }
}
