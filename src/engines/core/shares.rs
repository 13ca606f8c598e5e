//! Each tenant's share of the operator's engines: requests a minute and at the same time, to each engine apart, so that one
//! tenant's requests leave the engines to the others.
//!
//! A share grows with the calls that the tenant may have at once. A request beyond it waits a short time; then it fails, and
//! its caller is served by the fallback or hears that the agent has a problem. A vendor that refuses a tenant's requests as
//! too many without asking for a delay pauses the engine for that tenant alone.

mod limits;
mod minute;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use metrics::SharedString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::EngineError;
use super::breaker::Breaker;

pub use limits::{Limit, Scale, Settings, Stage, StageLimits};
use minute::MinuteCount;

/// With more than so many tenants in memory, those without requests are forgotten.
const KNOWN: usize = 1_000;
/// Tenants with a metrics label of their own.
const MOST_LABELS: usize = 500;
/// The label of all other tenants.
const OTHER: &str = "other";
/// A full minute refills every share.
const MINUTE: Duration = Duration::from_secs(60);

/// The shares of all tenants. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct EngineShares(Arc<Mutex<Tenants>>);

#[derive(Debug, Default)]
struct Tenants {
    by_id: HashMap<Uuid, Arc<TenantShares>>,
    labelled: HashSet<Uuid>,
}

impl EngineShares {
    /// The shares of a tenant, of this size and by these settings. They apply to the requests of its live calls, too.
    pub fn of(&self, tenant: Uuid, settings: &Arc<Settings>, scale: Scale) -> Arc<TenantShares> {
        let shares = self.tenants().of(tenant);
        shares.set_terms(ShareTerms { settings: settings.clone(), scale });
        shares
    }

    /// The size of a tenant's shares as it was set last; none when the tenant is not known.
    pub fn scale_of(&self, tenant: Uuid) -> Option<Scale> {
        let tenants = self.tenants();
        tenants.by_id.get(&tenant).map(|shares| shares.terms().scale)
    }

    /// A tenant's use of each engine that it has used since the daemon started, or since it was last forgotten.
    pub fn uses_of(&self, tenant: Uuid) -> Vec<ShareUse> {
        let shares = self.tenants().by_id.get(&tenant).cloned();
        shares.map(|shares| shares.uses()).unwrap_or_default()
    }

    fn tenants(&self) -> MutexGuard<'_, Tenants> {
        lock(&self.0)
    }
}

/// A tenant's use of its share of one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareUse {
    pub stage: Stage,
    pub engine: Arc<str>,
    /// Requests of the last minute, to ten seconds.
    pub last_minute: u32,
    /// Requests in progress.
    pub in_progress: u32,
}

impl Tenants {
    fn of(&mut self, tenant: Uuid) -> Arc<TenantShares> {
        if let Some(shares) = self.by_id.get(&tenant) {
            return shares.clone();
        }
        if self.by_id.len() >= KNOWN {
            self.by_id.retain(|_, shares| Arc::strong_count(shares) > 1 || shares.is_in_use());
        }
        let is_labelled = self.labelled.contains(&tenant)
            || (self.labelled.len() < MOST_LABELS && self.labelled.insert(tenant));
        let label = if is_labelled { tenant.to_string().into() } else { SharedString::const_str(OTHER) };
        let shares = Arc::new(TenantShares::new(tenant, label));
        self.by_id.insert(tenant, shares.clone());
        shares
    }
}

/// A stage, and the name of its engine.
type EngineOfStage = (Stage, Arc<str>);

/// The settings and the size by which a tenant's shares are computed.
#[derive(Debug, Clone, Default)]
struct ShareTerms {
    settings: Arc<Settings>,
    scale: Scale,
}

/// One tenant's shares of all engines.
#[derive(Debug)]
pub struct TenantShares {
    tenant: Uuid,
    label: SharedString,
    terms: Mutex<ShareTerms>,
    shares: Mutex<BTreeMap<EngineOfStage, Arc<Share>>>,
}

impl TenantShares {
    fn new(tenant: Uuid, label: SharedString) -> TenantShares {
        TenantShares { tenant, label, terms: Mutex::default(), shares: Mutex::default() }
    }

    fn set_terms(&self, terms: ShareTerms) {
        *lock(&self.terms) = terms;
    }

    fn terms(&self) -> ShareTerms {
        lock(&self.terms).clone()
    }

    /// The tenant's id.
    pub fn tenant(&self) -> Uuid {
        self.tenant
    }

    /// How long a request waits for its turn.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.terms().settings.wait_ms)
    }

    /// Waits until the tenant may send a request to an engine.
    ///
    /// # Errors
    /// [`EngineError::Limited`]: it may not within `engine_shares.wait_ms`.
    pub async fn admit(&self, stage: Stage, engine: &Arc<str>) -> Result<EnginePlace, EngineError> {
        let ShareTerms { settings, scale } = self.terms();
        let share = self.share(stage, engine, settings.limits(stage, scale));
        let end = Instant::now() + Duration::from_millis(settings.wait_ms);
        share.admit(end).await.map_err(|limit| {
            self.count(stage, engine, limit, &share);
            EngineError::Limited { stage: stage.as_str(), limit }
        })
    }

    /// The share of an engine. One with former limits is replaced; its requests in progress go on.
    fn share(&self, stage: Stage, engine: &Arc<str>, limits: StageLimits) -> Arc<Share> {
        let mut shares = lock(&self.shares);
        match shares.get(&(stage, engine.clone())) {
            Some(share) if share.limits == limits => share.clone(),
            former => {
                let breaker = former.map(|former| former.breaker.clone()).unwrap_or_default();
                let share = Arc::new(Share::new(limits, breaker));
                shares.insert((stage, engine.clone()), share.clone());
                share
            }
        }
    }

    fn uses(&self) -> Vec<ShareUse> {
        let shares = lock(&self.shares);
        let uses = shares.iter().map(|((stage, engine), share)| ShareUse {
            stage: *stage,
            engine: engine.clone(),
            last_minute: lock(&share.recent).total(Instant::now()),
            in_progress: share.in_progress(),
        });
        uses.collect()
    }

    fn is_in_use(&self) -> bool {
        lock(&self.shares).values().any(|share| Arc::strong_count(share) > 1 || share.is_recent())
    }

    fn count(&self, stage: Stage, engine: &Arc<str>, limit: Limit, share: &Share) {
        let stage = stage.as_str();
        metrics::counter!("vca_engine_limited_total", "tenant" => self.label.clone(), "stage" => stage)
            .increment(1);
        if share.is_to_be_logged() {
            let StageLimits { per_minute, concurrent } = share.limits;
            tracing::warn!(
                tenant_id = %self.tenant, %engine, stage, %limit, per_minute, concurrent,
                "the tenant's share of the engine is used up: its requests fail"
            );
        }
    }
}

/// The time of [`tokio`], which tests control.
#[derive(Debug, Clone)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

/// One tenant's share of one engine.
#[derive(Debug)]
struct Share {
    limits: StageLimits,
    clock: TokioClock,
    rate: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    places: Arc<Semaphore>,
    breaker: Breaker,
    used_at: Mutex<Instant>,
    recent: Mutex<MinuteCount>,
    logged_at: Mutex<Option<Instant>>,
}

impl Share {
    fn new(limits: StageLimits, breaker: Breaker) -> Share {
        let now = Instant::now();
        let clock = TokioClock(now);
        Share {
            limits,
            rate: RateLimiter::direct_with_clock(Quota::per_minute(limits.per_minute), clock.clone()),
            clock,
            places: Arc::new(Semaphore::new(places(limits))),
            breaker,
            used_at: Mutex::new(now),
            recent: Mutex::new(MinuteCount::new(now)),
            logged_at: Mutex::default(),
        }
    }

    /// # Errors
    /// The limit that the request would exceed until `end`.
    async fn admit(self: &Arc<Share>, end: Instant) -> Result<EnginePlace, Limit> {
        let place = timeout_at(end, self.places.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = place else { return Err(Limit::Concurrent) };
        while let Err(early) = self.rate.check() {
            let wait = early.wait_time_from(self.clock.now());
            if Instant::now() + wait > end {
                return Err(Limit::PerMinute);
            }
            sleep(wait).await;
        }
        self.note_use();
        Ok(EnginePlace { share: self.clone(), _permit: permit })
    }

    /// A request is sent.
    fn note_use(&self) {
        let now = Instant::now();
        *lock(&self.used_at) = now;
        lock(&self.recent).add(now);
    }

    /// Requests in progress, of those that these limits admitted.
    fn in_progress(&self) -> u32 {
        let held = places(self.limits).saturating_sub(self.places.available_permits());
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// Whether its rate may not be as that of a new one.
    fn is_recent(&self) -> bool {
        lock(&self.used_at).elapsed() < MINUTE
    }

    /// Whether a line about it is due: one a minute at most.
    fn is_to_be_logged(&self) -> bool {
        let mut logged_at = lock(&self.logged_at);
        let is_due = logged_at.is_none_or(|at| at.elapsed() >= MINUTE);
        if is_due {
            *logged_at = Some(Instant::now());
        }
        is_due
    }
}

/// Held while a request is in progress.
#[derive(Debug)]
pub struct EnginePlace {
    share: Arc<Share>,
    _permit: OwnedSemaphorePermit,
}

impl EnginePlace {
    /// Opens when the vendor refuses the tenant's requests as too many.
    pub fn breaker(&self) -> &Breaker {
        &self.share.breaker
    }

    /// Counts a repetition of the request as one of the minute. Returns false, and counts none, where the share has none left.
    pub fn count_repetition(&self) -> bool {
        let is_admitted = self.share.rate.check().is_ok();
        if is_admitted {
            self.share.note_use();
        }
        is_admitted
    }
}

/// The places of a share for requests at the same time.
fn places(limits: StageLimits) -> usize {
    usize::try_from(limits.concurrent.get()).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// How long a request waits for its turn that is not a tenant's.
pub fn default_wait() -> Duration {
    Duration::from_millis(Settings::default().wait_ms)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
