//! Who may ask an engine at present: its circuit breaker, the share of a tenant, and the slots for all of them. Failures of
//! sessions and streams that had begun count as well.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::super::breaker::{BreakerChange, BreakerLimits, Permit};
use super::super::capacity::{EngineCapacity, EngineSlot};
use super::super::shares::{self, EnginePlace, Stage};
use super::{EngineError, LONGEST_DELAY, Policy, STALLED, label};

/// Held while a request is in progress: a place among those of its tenant, and a slot of the engine's.
#[derive(Debug)]
pub struct HeldPlace {
    tenant: Option<EnginePlace>,
    _slot: Option<EngineSlot>,
}

impl HeldPlace {
    /// Whether the request may be repeated: a repetition counts against the tenant's share as a request does.
    pub(super) fn may_repeat(&self) -> bool {
        self.tenant.as_ref().is_none_or(EnginePlace::count_repetition)
    }
}

/// The permissions of the engine's circuit breaker and of the tenant's.
pub(super) struct Permits {
    engine: Permit,
    tenant: Option<Permit>,
}

impl Permits {
    /// Whether the request is to find out if the engine works again.
    pub(super) fn are_trial(&self) -> bool {
        self.engine.is_trial() || self.tenant.as_ref().is_some_and(Permit::is_trial)
    }
}

impl Policy {
    /// Waits for a place among the tenant's requests of a stage, and for a slot of the engine's.
    ///
    /// # Errors
    /// [`EngineError::Limited`] or [`EngineError::Full`]: there is none within `engine_shares.wait_ms`.
    pub async fn enter(&self, stage: Stage) -> Result<HeldPlace, EngineError> {
        let begun = Instant::now();
        let tenant = match &self.shares {
            Some(shares) => Some(shares.admit(stage, &self.engine).await),
            None => None,
        };
        let tenant = tenant.transpose().inspect_err(|error| self.count(error.outcome()))?;
        let slot = match &self.capacity {
            Some(capacity) => Some(self.slot(capacity, begun).await?),
            None => None,
        };
        Ok(HeldPlace { tenant, _slot: slot })
    }

    /// A slot within the wait that began at `begun`.
    async fn slot(&self, capacity: &EngineCapacity, begun: Instant) -> Result<EngineSlot, EngineError> {
        let tenant = self.shares.as_ref().map(|shares| shares.tenant());
        let wait = self.shares.as_ref().map_or_else(shares::default_wait, |shares| shares.wait());
        let slot = capacity.take(tenant, wait.saturating_sub(begun.elapsed())).await;
        slot.ok_or_else(|| self.refuse_beyond(capacity))
    }

    /// Counts a request beyond the engine's slots.
    fn refuse_beyond(&self, capacity: &EngineCapacity) -> EngineError {
        let error = EngineError::Full(capacity.most());
        self.count(error.outcome());
        metrics::counter!("vca_engine_full_total", "engine" => label(&self.engine), "kind" => self.kind.as_str())
            .increment(1);
        if capacity.is_to_be_logged() {
            tracing::warn!(
                engine = %self.engine, kind = %self.kind, max_concurrent = capacity.most(),
                "the engine has as many requests as the operator allows: more of them fail"
            );
        }
        error
    }

    /// # Errors
    /// The engine is left alone; the time until the next trial.
    pub(super) fn admit(&self) -> Result<Permit, Duration> {
        self.breaker.admit(Instant::now(), self.has_fallback)
    }

    /// Adds the permission of the tenant that has the place.
    ///
    /// # Errors
    /// The engine refused the tenant's requests as too many; the time until the next trial.
    pub(super) fn admit_tenant(&self, engine: Permit, place: &HeldPlace) -> Result<Permits, Duration> {
        let (tenant, now) = (place.tenant.as_ref(), Instant::now());
        let tenant = tenant.map(|place| place.breaker().admit(now, self.has_fallback)).transpose()?;
        Ok(Permits { tenant, engine })
    }

    /// Lets the breakers know how a question ended. Too many requests of a tenant are not the engine's failure.
    pub(super) fn settle(&self, permits: Permits, error: Option<&EngineError>, failures: u32) {
        let Permits { engine, tenant } = permits;
        match (tenant, error) {
            (Some(tenant), Some(EngineError::RateLimited(_))) => self.settle_tenant(tenant, failures),
            (Some(tenant), None) => {
                tenant.succeeded();
                self.settle_engine(engine, None, failures);
            }
            _ => self.settle_engine(engine, error, failures),
        }
    }

    /// The vendor refused a tenant's requests as too many, and did not ask for a delay.
    fn settle_tenant(&self, permit: Permit, failures: u32) {
        let change = permit.failed(failures, None, self.breaker_limits(), Instant::now());
        if let BreakerChange::Opened(pause) = change {
            tracing::warn!(
                engine = %self.engine, kind = %self.kind, ?pause, "engine not asked by this tenant for a while: too many requests"
            );
        }
    }

    fn breaker_limits(&self) -> BreakerLimits {
        let pause = Duration::from_millis(self.settings.breaker_ms);
        BreakerLimits { failures: self.settings.breaker_failures, pause }
    }

    /// Lets the engine's breaker know how a question ended. A refusal proves that the engine works.
    fn settle_engine(&self, permit: Permit, error: Option<&EngineError>, failures: u32) {
        let change = match error.filter(|error| error.worth_retrying()) {
            None => permit.succeeded(),
            Some(error) => {
                let delay = match error {
                    EngineError::Busy { after, .. } => Some((*after).min(LONGEST_DELAY)),
                    _ => None,
                };
                permit.failed(failures, delay, self.breaker_limits(), Instant::now())
            }
        };
        match change {
            BreakerChange::None => return,
            BreakerChange::Opened(pause) => {
                tracing::warn!(engine = %self.engine, kind = %self.kind, ?pause, "engine not asked for a while: it failed");
            }
            BreakerChange::Closed => {
                tracing::info!(engine = %self.engine, kind = %self.kind, "engine works again")
            }
        }
        let is_open = if change == BreakerChange::Closed { 0.0 } else { 1.0 };
        if let Some(engine) = self.gauge_label() {
            metrics::gauge!("vca_engine_open", "engine" => engine, "kind" => self.kind.as_str()).set(is_open);
        }
    }

    /// A part of a session's work is done.
    pub fn session_works(&self) {
        self.count("ok");
        self.count_health(true);
        self.broken.store(0, Ordering::Relaxed);
    }

    /// A session that was open broke off or stalled.
    pub fn session_broke(&self, error: &EngineError) {
        let reason = error.reason().as_str();
        metrics::counter!(
            "vca_engine_failures_total", "engine" => label(&self.engine), "kind" => self.kind.as_str(), "reason" => reason
        )
        .increment(1);
        self.count("broken");
        self.broke_off();
    }

    /// A stream broke off or stalled. An engine of which several do so in a row is left alone for a while.
    pub(super) fn broke_off(&self) {
        self.count_health(false);
        let failures = self.broken.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let most = self.settings.breaker_failures;
        if most > 0
            && failures >= most
            && let Ok(permit) = self.breaker.admit(Instant::now(), self.has_fallback)
        {
            self.broken.store(0, Ordering::Relaxed);
            self.settle_engine(permit, Some(&EngineError::Timeout(STALLED)), failures);
        }
    }
}
