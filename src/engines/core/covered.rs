//! Failures of engines that callers did not notice, because a fallback answered in their place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::retry::Kind;
use super::{EngineError, FailureReason};

/// The most failures that are kept until they are taken.
const MOST: usize = 64;

/// A failed request that a fallback answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoveredFailure {
    pub kind: Kind,
    /// The engine that failed.
    pub engine: Arc<str>,
    pub reason: FailureReason,
    pub at: Instant,
}

/// The failures of one call. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct CoveredFailures(Arc<Mutex<Vec<CoveredFailure>>>);

impl CoveredFailures {
    /// Notes that another engine answered; the first [`MOST`] failures are kept.
    pub fn add(&self, kind: Kind, engine: &Arc<str>, error: &EngineError) {
        let mut failures = self.failures();
        if failures.len() < MOST {
            let (engine, reason) = (engine.clone(), error.reason());
            failures.push(CoveredFailure { kind, engine, reason, at: Instant::now() });
        }
    }

    /// The failures since the last call of this function, oldest first.
    pub fn take(&self) -> Vec<CoveredFailure> {
        std::mem::take(&mut *self.failures())
    }

    fn failures(&self) -> MutexGuard<'_, Vec<CoveredFailure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_taken_once_and_bounded() {
        let failures = CoveredFailures::default();
        for _ in 0..MOST + 1 {
            failures.clone().add(Kind::Llm, &"openai".into(), &EngineError::Permanent("no".into()));
        }
        let taken = failures.take();
        assert_eq!((taken.len(), taken[0].reason), (MOST, FailureReason::Refused));
        assert!(failures.take().is_empty());
    }
}
