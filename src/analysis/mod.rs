//! Analysis of calls after their end: a language model answers a profile's questions about the transcript.
//!
//! The transaction that counts a call queues its analysis (`store`). Here are the questions as a JSON schema, the request to the
//! model, the check of its reply, and the workers. Nothing here is on the path of a call: the workers are few, have their own
//! time limits and retries, and ask engines without the circuit breakers of calls.

mod asking;
mod prompt;
mod questions;
mod reply;
mod trial;
mod worker;

#[cfg(test)]
mod tests;

pub use trial::{AnalysisTrial, AnalysisTrials, TrialPlace};
pub use worker::{Analyst, FindModel, Model};

use serde::Deserialize;

/// `[analysis]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Analyses at once, of different tenants; 0 switches the workers off, and analyses wait. Default 4.
    pub max_concurrent: usize,
    /// The timeout of an attempt, the correction of a reply included. Milliseconds, 60000 by default.
    pub timeout_ms: u64,
    /// The longest reply, in tokens. Default 2000.
    pub max_tokens: u32,
    /// The interval between looks for analyses that are due. Milliseconds, 1000 by default.
    pub poll_interval_ms: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { max_concurrent: 4, timeout_ms: 60_000, max_tokens: 2_000, poll_interval_ms: 1_000 }
    }
}
