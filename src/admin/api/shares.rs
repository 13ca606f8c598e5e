//! How much the API does at the same time for one tenant, so that one tenant's requests leave room for the others'.
//!
//! A request beyond its tenant's share waits a moment, in a short queue. Reads of many rows have a narrower share, and
//! one for all tenants together. Operators' requests are limited among such reads alone.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::limits::Settings;
use super::problem::Problem;
use crate::tenancy::TenantId;

/// Requests that wait for a place, for each place of the share.
const WAITING_PER_PLACE: usize = 3;
/// For how long a request waits for its place.
const WAIT: Duration = Duration::from_secs(2);
/// With more than so many tenants in memory, those without a request in progress are forgotten.
const KNOWN: usize = 1_000;

/// Operations that read many rows for a small answer, by the paths of their routes.
pub const HEAVY: [&str; 6] = [
    "/api/analytics",
    "/api/tenants/{tenant_id}/analytics",
    "/api/tenants/{tenant_id}/analytics/results",
    "/api/usage",
    "/api/audit",
    "/api/tenants/{tenant_id}/audit",
];

pub struct Shares {
    all: Group,
    heavy: Group,
    heavy_of_all: TenantShare,
}

/// Held while a request is served.
#[derive(Debug)]
pub struct Permits(#[allow(dead_code, reason = "held for its drop")] Vec<OwnedSemaphorePermit>);

impl Shares {
    pub fn new(settings: &Settings) -> Shares {
        Shares {
            all: Group::new("admin.limits.concurrent_per_tenant", settings.concurrent_per_tenant),
            heavy: Group::new("admin.limits.heavy_per_tenant", settings.heavy_per_tenant),
            heavy_of_all: TenantShare::new("admin.limits.heavy", settings.heavy),
        }
    }

    /// Waits for a place for a request with a key of `tenant`, or of the operator, to the route at `path`.
    ///
    /// # Errors
    /// 429 when a share is used up and too many wait for it, or for too long.
    pub async fn admit(&self, tenant: Option<TenantId>, path: &str) -> Result<Permits, Problem> {
        let is_heavy = HEAVY.contains(&path);
        let mut permits = Vec::new();
        // The narrowest share of the tenant's own first: a request that waits for it occupies no other place.
        if is_heavy {
            permits.push(self.heavy.of(tenant).acquire().await?);
        }
        if tenant.is_some() {
            permits.push(self.all.of(tenant).acquire().await?);
        }
        if is_heavy {
            permits.push(self.heavy_of_all.acquire().await?);
        }
        Ok(Permits(permits))
    }
}

/// A share for each tenant, and one for the operator.
struct Group {
    setting: &'static str,
    places: NonZeroU32,
    members: Mutex<HashMap<Option<TenantId>, Arc<TenantShare>>>,
}

impl Group {
    fn new(setting: &'static str, places: NonZeroU32) -> Group {
        Group { setting, places, members: Mutex::default() }
    }

    fn of(&self, tenant: Option<TenantId>) -> Arc<TenantShare> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if members.len() > KNOWN {
            members.retain(|_, share| !share.is_unused());
        }
        members.entry(tenant).or_insert_with(|| Arc::new(TenantShare::new(self.setting, self.places))).clone()
    }
}

struct TenantShare {
    setting: &'static str,
    places: usize,
    free: Arc<Semaphore>,
    queue: Semaphore,
}

impl TenantShare {
    fn new(setting: &'static str, places: NonZeroU32) -> TenantShare {
        let places = usize::try_from(places.get()).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS / 4);
        TenantShare {
            setting,
            places,
            free: Arc::new(Semaphore::new(places)),
            queue: Semaphore::new(places * WAITING_PER_PLACE),
        }
    }

    /// A permit keeps its semaphore alive, so a share with a request in progress counts as used.
    fn is_unused(&self) -> bool {
        self.free.available_permits() == self.places
            && self.queue.available_permits() == self.places * WAITING_PER_PLACE
    }

    async fn acquire(&self) -> Result<OwnedSemaphorePermit, Problem> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _place = self.queue.try_acquire().map_err(|_| self.used_up())?;
        match timeout(WAIT, self.free.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(self.used_up()),
        }
    }

    fn used_up(&self) -> Problem {
        metrics::counter!("vca_admin_shares_used_up_total", "limit" => self.setting).increment(1);
        let (setting, places) = (self.setting, self.places);
        let detail = format!(
            "too many requests at the same time ({setting} = {places}): wait for the others' answers, then try again"
        );
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_at_once", detail);
        Problem { retry_after_s: Some(WAIT.as_secs()), ..problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(all: u32, heavy: u32, heavy_of_all: u32) -> Shares {
        let count = |count| NonZeroU32::new(count).unwrap();
        Shares::new(&Settings {
            concurrent_per_tenant: count(all),
            heavy_per_tenant: count(heavy),
            heavy: count(heavy_of_all),
            ..Settings::default()
        })
    }

    const LIGHT: &str = "/api/whoami";

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_uses_up_its_share_leaves_the_others_theirs() {
        let (shares, [one, other]) = (shares(2, 1, 2), [TenantId::new(), TenantId::new()].map(Some));
        let held = [shares.admit(one, LIGHT).await.unwrap(), shares.admit(one, LIGHT).await.unwrap()];
        let refused = shares.admit(one, LIGHT).await.unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.retry_after_s), (429, Some(2)));
        assert!(refused.detail.contains("admin.limits.concurrent_per_tenant = 2"), "{}", refused.detail);
        assert!(shares.admit(other, LIGHT).await.is_ok());
        assert!(shares.admit(None, LIGHT).await.is_ok(), "the operator has no such share");
        drop(held);
        assert!(shares.admit(one, LIGHT).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn heavy_reads_have_a_share_within_the_share() {
        let (shares, [one, other]) = (shares(8, 1, 2), [TenantId::new(), TenantId::new()].map(Some));
        let mut held = Vec::new();
        for tenant in [one, other] {
            held.push(shares.admit(tenant, HEAVY[1]).await.unwrap());
            let refused = shares.admit(tenant, HEAVY[1]).await.unwrap_err();
            assert!(refused.detail.contains("admin.limits.heavy_per_tenant"), "{}", refused.detail);
            assert!(shares.admit(tenant, LIGHT).await.is_ok(), "other reads go on");
        }
        let refused = shares.admit(None, HEAVY[0]).await.unwrap_err();
        assert!(refused.detail.contains("admin.limits.heavy = 2"), "{}", refused.detail);
        held.pop();
        assert!(shares.admit(None, HEAVY[0]).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_its_turn_and_the_queue_is_short() {
        let (shares, tenant) = (shares(1, 1, 1), Some(TenantId::new()));
        let first = shares.admit(tenant, LIGHT).await.unwrap();
        let mut waiting: Vec<_> =
            (0..WAITING_PER_PLACE).map(|_| Box::pin(shares.admit(tenant, LIGHT))).collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        let began = tokio::time::Instant::now();
        assert!(shares.admit(tenant, LIGHT).await.is_err());
        assert_eq!(began.elapsed(), Duration::ZERO, "refused at once");
        drop(first);
        assert!(waiting.swap_remove(0).await.is_ok());
    }

    #[tokio::test]
    async fn tenants_without_requests_are_forgotten() {
        let shares = shares(1, 1, 1);
        let held = shares.admit(Some(TenantId::new()), LIGHT).await.unwrap();
        for _ in 0..KNOWN * 2 {
            drop(shares.admit(Some(TenantId::new()), LIGHT).await.unwrap());
        }
        assert!(shares.all.members.lock().unwrap().len() <= KNOWN + 1);
        drop(held);
    }
}
