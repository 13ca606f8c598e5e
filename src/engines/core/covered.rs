//! Failures of engines that callers did not notice, because a fallback answered in their place.

use std::sync::atomic::{AtomicBool, Ordering};
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
    /// The engine that answered, where it is known.
    pub served_by: Option<Arc<str>>,
}

/// The place of an engine among those that are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The engine asked first. The names of models and voices that were chosen mean nothing to the others.
    pub is_first: bool,
    /// No other engine answers when this one does not.
    pub is_last: bool,
}

/// An engine with a name.
pub trait NamedEngine {
    fn engine_name(&self) -> &Arc<str>;
}

/// The failures of one call. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct CoveredFailures {
    failures: Arc<Mutex<Vec<CoveredFailure>>>,
    /// Whether one was noted through this value or a clone of it.
    is_noted: Arc<AtomicBool>,
}

impl CoveredFailures {
    /// The same failures, for one piece of work.
    #[must_use]
    pub fn watched(&self) -> CoveredFailures {
        CoveredFailures { failures: self.failures.clone(), is_noted: Arc::default() }
    }

    /// Whether a failure was noted in this piece of work.
    pub fn is_noted(&self) -> bool {
        self.is_noted.load(Ordering::Relaxed)
    }

    /// Asks engines in order until one answers, and notes the failures of those before it; the first [`MOST`] are kept.
    ///
    /// # Errors
    /// The last engine's, or that there is no engine.
    pub async fn first_answer<'a, E: NamedEngine + 'a, T, F>(
        &self,
        kind: Kind,
        engines: impl Iterator<Item = &'a E>,
        ask: impl Fn(&'a E, Place) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let mut failed: Vec<(&'a E, EngineError)> = Vec::new();
        let mut engines = engines.peekable();
        while let Some(engine) = engines.next() {
            let place = Place { is_first: failed.is_empty(), is_last: engines.peek().is_none() };
            match ask(engine, place).await {
                Ok(answer) => {
                    let names = failed.iter().map(|(engine, error)| (engine.engine_name(), error));
                    names.for_each(|(name, error)| self.add(kind, name, error, Some(engine.engine_name())));
                    return Ok(answer);
                }
                Err(error) => failed.push((engine, error)),
            }
        }
        Err(failed.pop().map_or_else(|| EngineError::Permanent("there is no engine".into()), |(_, it)| it))
    }

    /// Notes that another engine answered, where it is known by which name; the first [`MOST`] failures are kept.
    pub fn add(&self, kind: Kind, engine: &Arc<str>, error: &EngineError, served_by: Option<&Arc<str>>) {
        self.is_noted.store(true, Ordering::Relaxed);
        let mut failures = self.failures();
        if failures.len() < MOST {
            let (engine, reason, served_by) = (engine.clone(), error.reason(), served_by.cloned());
            failures.push(CoveredFailure { kind, engine, reason, at: Instant::now(), served_by });
        }
    }

    /// The failures since the last call of this function, oldest first.
    pub fn take(&self) -> Vec<CoveredFailure> {
        std::mem::take(&mut *self.failures())
    }

    fn failures(&self) -> MutexGuard<'_, Vec<CoveredFailure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_taken_once_and_bounded() {
        let failures = CoveredFailures::default();
        for _ in 0..MOST + 1 {
            failures.clone().add(Kind::Llm, &"openai".into(), &EngineError::Permanent("no".into()), None);
        }
        let taken = failures.take();
        assert_eq!((taken.len(), taken[0].reason), (MOST, FailureReason::Refused));
        assert!(failures.take().is_empty());
    }
}
