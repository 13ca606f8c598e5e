//! Time limits, retries and the circuit breaker of an engine.
//!
//! An attempt has a time limit. Failed attempts are repeated after a growing, jittered delay, until one fails for good, none is
//! left, or the next one would begin after the budget. A stream is repeated only until its first piece, for played words
//! cannot be taken back; from then on only its stalls are watched. Questions and answers are not logged.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::breaker::Breaker;
use super::capacity::EngineCapacity;
use super::health::HealthFigure;
use super::shares::TenantShares;
use super::{EngineError, label};
use crate::names::is_own;

mod admission;
mod streams;

pub use admission::HeldPlace;

/// Time limits, retries and circuit breaker of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long one attempt may take until its answer, or the first piece of it; and how long the
    /// stream may then pause between pieces. Milliseconds, 8000 by default.
    pub timeout_ms: u64,
    /// How long all attempts together may take until the answer, or the first piece of it: a caller waits
    /// for it. Milliseconds, 10000 by default.
    pub budget_ms: u64,
    /// How many more attempts follow a failed one. 2 by default.
    pub retries: u32,
    /// The pause before the first repetition; each further one doubles it. Milliseconds, 200 by default.
    pub backoff_ms: u64,
    /// The longest pause. Milliseconds, 2000 by default.
    pub max_backoff_ms: u64,
    /// Consecutive failed attempts after which the engine is left alone; 0 disables this. 2 by default.
    pub breaker_failures: u32,
    /// How long it is left alone before one request tries it again; it doubles while that fails. Milliseconds, 30000 by
    /// default.
    pub breaker_ms: u64,
    /// The most requests at the same time to the engine, over all tenants; 0 for no limit. 0 by default.
    pub max_concurrent: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            timeout_ms: 8_000,
            budget_ms: 10_000,
            retries: 2,
            backoff_ms: 200,
            max_backoff_ms: 2_000,
            breaker_failures: 2,
            breaker_ms: 30_000,
            max_concurrent: 0,
        }
    }
}

/// The purpose of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Stt,
    Llm,
    Tts,
    /// Speech to speech.
    Realtime,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Stt => "stt",
            Kind::Llm => "llm",
            Kind::Tts => "tts",
            Kind::Realtime => "realtime",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state of an engine, for reports.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineState {
    pub kind: Kind,
    pub engine: Arc<str>,
    /// The share of recent attempts that succeeded, 0.0 to 1.0.
    pub health: f64,
    /// It is left alone at present.
    pub is_open: bool,
    /// The engines that are asked when it fails, in order.
    pub fallbacks: Vec<Arc<str>>,
}

/// A stream that has sent nothing for this long has stalled: one that is given up then counts as a failure.
pub const STALLED: Duration = Duration::from_secs(2);

/// The longest time that an engine is left alone because it asked for it.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// Time limits, retries and circuit breaker of one engine. Clones share the breaker and the limit on requests at once.
#[derive(Debug, Clone)]
pub struct Policy {
    kind: Kind,
    engine: Arc<str>,
    settings: Settings,
    breaker: Breaker,
    health: HealthFigure,
    /// Streams in a row that broke off or stalled after they had begun.
    broken: Arc<AtomicU32>,
    /// Another engine answers when this one does not.
    has_fallback: bool,
    /// The tenant whose requests are limited, where they are.
    shares: Option<Arc<TenantShares>>,
    /// The slots for the requests of all tenants, where they are limited.
    capacity: Option<EngineCapacity>,
}

impl Policy {
    pub fn new(kind: Kind, engine: Arc<str>, settings: Settings) -> Policy {
        let (breaker, health) = (Breaker::default(), HealthFigure::default());
        let capacity = NonZeroU32::new(settings.max_concurrent).map(EngineCapacity::new);
        let broken = Arc::default();
        Policy {
            kind,
            engine,
            settings,
            breaker,
            health,
            broken,
            has_fallback: false,
            shares: None,
            capacity,
        }
    }

    /// The same engine for the requests of one tenant. An engine of a tenant's own account is not limited.
    #[must_use]
    pub fn with_shares(self, shares: &Arc<TenantShares>) -> Policy {
        let shares = (!is_own(&self.engine)).then(|| shares.clone());
        Policy { shares, ..self }
    }

    /// Whether requests are limited, those of the tenant or those of all.
    pub fn is_limited(&self) -> bool {
        self.shares.is_some() || self.capacity.is_some()
    }

    /// The same engine, with or without another one that answers when this one does not.
    pub fn with_fallback(self, has_fallback: bool) -> Policy {
        Policy { has_fallback, ..self }
    }

    /// How long an attempt may take.
    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.settings.timeout_ms)
    }

    /// The state of the engine, for reports.
    pub fn engine_state(&self) -> EngineState {
        EngineState {
            kind: self.kind,
            engine: self.engine.clone(),
            health: self.health.get(),
            is_open: self.is_open(),
            fallbacks: Vec::new(),
        }
    }

    /// Whether the engine is left alone at present.
    pub fn is_open(&self) -> bool {
        self.breaker.is_open(Instant::now())
    }

    /// Asks until there is an answer, a permanent failure, no attempt left or the budget spent.
    ///
    /// # Errors
    /// The last attempt's, that the engine is left alone at present, that the tenant's share is used up, or that the engine has
    /// as many requests as the operator allows.
    pub async fn answer<T, F>(&self, ask: impl FnMut() -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        self.hold(ask).await.map(|(answer, _)| answer)
    }

    /// The same for an answer that occupies the engine for longer: its place among the requests is held meanwhile.
    ///
    /// # Errors
    /// As of [`Policy::answer`].
    pub async fn hold<T, F>(&self, ask: impl FnMut() -> F) -> Result<(T, HeldPlace), EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        self.hold_from(None, ask).await
    }

    /// The same from a place that is held already, else from a new one.
    async fn hold_from<T, F>(
        &self,
        place: Option<HeldPlace>,
        ask: impl FnMut() -> F,
    ) -> Result<(T, HeldPlace), EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let left_alone = |wait| {
            self.count("open");
            EngineError::Open(wait)
        };
        let permit = self.admit().map_err(left_alone)?;
        let place = match place {
            Some(place) => place,
            None => self.enter(self.kind.into()).await?,
        };
        let permits = self.admit_tenant(permit, &place).map_err(left_alone)?;
        let budget = Duration::from_millis(self.settings.budget_ms);
        let (mut failures, is_trial) = (0, permits.are_trial());
        let answer = timeout(budget, self.attempts(ask, (&place, is_trial), &mut failures)).await;
        let answer = answer.unwrap_or_else(|_| {
            tracing::warn!(engine = %self.engine, kind = %self.kind, ?budget, "engine given up: its budget is spent");
            failures += 1;
            Err(EngineError::Timeout(budget))
        });
        self.settle(permits, answer.as_ref().err(), failures);
        Ok((answer?, place))
    }

    async fn attempts<T, F>(
        &self,
        mut ask: impl FnMut() -> F,
        (place, is_trial): (&HeldPlace, bool),
        failures: &mut u32,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let end = Instant::now() + Duration::from_millis(self.settings.budget_ms);
        // A caller waits for a trial, too: it is short.
        let (retries, limit) =
            if is_trial { (0, self.limit() / 2) } else { (self.settings.retries, self.limit()) };
        loop {
            let error = match self.attempt(ask(), limit).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            *failures += 1;
            let pause = self.pause(*failures, &error);
            let last = !error.worth_retrying()
                || *failures > retries
                || Instant::now() + pause >= end
                || !place.may_repeat();
            tracing::warn!(
                engine = %self.engine, kind = %self.kind, attempt = *failures, last, reason = error.reason().as_str(), %error,
                "engine failed"
            );
            if last {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    /// A single attempt that is neither repeated nor counted.
    pub async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        limited(answer, self.limit()).await
    }

    async fn attempt<T>(
        &self,
        answer: impl Future<Output = Result<T, EngineError>>,
        limit: Duration,
    ) -> Result<T, EngineError> {
        let begun = Instant::now();
        let result = limited(answer, limit).await;
        self.count(result.as_ref().map_or_else(EngineError::outcome, |_| "ok"));
        self.count_health(result.is_ok());
        if let Err(error) = &result {
            let reason = error.reason().as_str();
            metrics::counter!(
                "vca_engine_failures_total", "engine" => label(&self.engine), "kind" => self.kind.as_str(), "reason" => reason
            )
            .increment(1);
        }
        metrics::histogram!("vca_engine_seconds", "engine" => label(&self.engine), "kind" => self.kind.as_str())
            .record(begun.elapsed());
        result
    }

    fn count_health(&self, succeeded: bool) {
        let health = self.health.count(succeeded);
        if let Some(engine) = self.gauge_label() {
            metrics::gauge!("vca_engine_health", "engine" => engine, "kind" => self.kind.as_str())
                .set(health);
        }
    }

    /// The label of this engine's gauges. One of a tenant's own has none: it would share them with the others.
    fn gauge_label(&self) -> Option<Arc<str>> {
        (!is_own(&self.engine)).then(|| self.engine.clone())
    }

    fn count(&self, outcome: &'static str) {
        metrics::counter!(
            "vca_engine_requests_total", "engine" => label(&self.engine), "kind" => self.kind.as_str(), "outcome" => outcome
        )
        .increment(1);
    }

    /// Half to all of the doubled pause, or what a vendor asked for.
    fn pause(&self, failures: u32, error: &EngineError) -> Duration {
        if let EngineError::Busy { after, .. } = error {
            return *after;
        }
        let doubled = self.settings.backoff_ms.saturating_mul(1 << (failures - 1).min(16));
        let pause = Duration::from_millis(doubled.min(self.settings.max_backoff_ms));
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }
}

async fn limited<T>(
    answer: impl Future<Output = Result<T, EngineError>>,
    limit: Duration,
) -> Result<T, EngineError> {
    timeout(limit, answer).await.unwrap_or(Err(EngineError::Timeout(limit)))
}

#[cfg(test)]
mod tests;
