//! Takes due deliveries from the outbox, a few at a time for each webhook, and sends them to their receivers.
//!
//! A failure here loses no delivery: a claimed one becomes due again when its lease ends.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use metrics::{counter, gauge, histogram};
use rand::seq::SliceRandom;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Settings;
use super::schedule::outcome;
use super::sender::{HttpSender, SendResult};
use super::slots::Slots;
use crate::store::{ClaimedDelivery, DeliveryAttempt, DeliveryOutcome, Store, StoreError, WaitingWebhook};

/// The lease is longer than the timeout of a request by this.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// The time limit of the last round, after the deliverer is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
const UPKEEP_INTERVAL: Duration = Duration::from_secs(10);
const CLEAR_INTERVAL: Duration = Duration::from_secs(3_600);
/// The number of batches after which a cleanup is interrupted until the next one.
const MAX_BATCHES: usize = 20;

pub struct Deliverer {
    store: Store,
    settings: Settings,
    sender: Arc<HttpSender>,
    in_progress: JoinSet<(ClaimedDelivery, SendResult)>,
    slots: Slots,
    cleared: Option<Instant>,
    /// The database is not available.
    is_unavailable: bool,
}

impl Deliverer {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(store: Store, settings: Settings) -> Result<Deliverer, reqwest::Error> {
        let sender = Arc::new(HttpSender::new(&settings)?);
        let (in_progress, slots) = (JoinSet::new(), Slots::new(settings.max_concurrent));
        Ok(Deliverer { store, settings, sender, in_progress, slots, cleared: None, is_unavailable: false })
    }

    /// Delivers until `stop`; then makes one last round over the outbox, within some seconds.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(Duration::from_millis(self.settings.poll_interval_ms));
        let mut upkeep = interval(UPKEEP_INTERVAL);
        while !stop.is_cancelled() {
            let filled = self.fill(Utc::now()).await;
            self.log_availability(filled);
            let store = self.store.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                Some(done) = self.in_progress.join_next_with_id() => self.settle(done, Utc::now()).await,
                () = store.outbox_filled() => {}
                _ = ticks.tick() => {}
                _ = upkeep.tick() => self.keep_up().await,
            }
        }
        if timeout(STOP_TIMEOUT, self.round(Utc::now())).await.is_err() {
            info!(
                in_progress = self.in_progress.len(),
                "webhook deliveries in progress are repeated after the next start"
            );
        }
    }

    /// Sends the deliveries that are due at `now`, and waits for their results.
    ///
    /// # Errors
    /// When the database does not respond.
    pub async fn round(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        loop {
            self.fill(now).await?;
            match self.in_progress.join_next_with_id().await {
                Some(done) => self.settle(done, now).await,
                None => return Ok(()),
            }
        }
    }

    /// Claims due deliveries, as far as there is room, and sends them.
    async fn fill(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        if self.slots.free() == 0 {
            return Ok(());
        }
        let mut waiting = self.store.webhooks_waiting(now).await?;
        // Webhooks of one tenant, and tenants without any receiver time, take turns at random.
        waiting.shuffle(&mut rand::rng());
        let moment = Instant::now();
        waiting.sort_by(|one, other| {
            let taken = |waiting: &WaitingWebhook| self.slots.taken(waiting.tenant(), moment);
            taken(one).total_cmp(&taken(other))
        });
        let lease = now + Duration::from_millis(self.settings.timeout_ms) + LEASE_MARGIN;
        for webhook in waiting {
            let Some(limit) = u32::try_from(self.room(&webhook)).ok().filter(|room| *room > 0) else {
                continue;
            };
            let scope = self.store.scope(webhook.tenant());
            for claimed in scope.claim_deliveries(webhook.webhook(), now, lease, limit).await? {
                self.start_request(claimed);
            }
        }
        Ok(())
    }

    /// The number of requests to a webhook that may start now.
    fn room(&self, webhook: &WaitingWebhook) -> usize {
        let at_once = if webhook.is_failing { 1 } else { self.settings.max_concurrent_per_webhook };
        let held = self.slots.held_by_webhook(webhook.webhook());
        at_once.saturating_sub(held).min(self.slots.share(webhook.tenant()))
    }

    fn start_request(&mut self, claimed: ClaimedDelivery) {
        let (sender, tenant, webhook) = (Arc::clone(&self.sender), claimed.tenant, claimed.webhook);
        let task = self.in_progress.spawn(async move {
            let result = sender.deliver(&claimed).await;
            (claimed, result)
        });
        self.slots.take(task.id(), tenant, webhook, Instant::now());
    }

    /// Records the result of a request. If that fails, the delivery becomes due again when its lease ends; the
    /// receiver recognises the duplicate by its id.
    async fn settle(
        &mut self,
        done: Result<(Id, (ClaimedDelivery, SendResult)), JoinError>,
        now: DateTime<Utc>,
    ) {
        let (claimed, result) = match done {
            Ok((id, done)) => {
                self.slots.release(id, Instant::now());
                done
            }
            Err(failure) => {
                self.slots.release(failure.id(), Instant::now());
                return warn!(%failure, "a webhook request panicked");
            }
        };
        let outcome = outcome(result.status, result.retry_after, claimed.attempts, now, rand::random());
        count(outcome, &result);
        let attempt = DeliveryAttempt {
            at: now,
            response_status: result.status,
            response_ms: result.status.map(|_| result.took.as_millis().try_into().unwrap_or(u32::MAX)),
            problem: result.problem,
            outcome,
        };
        let (webhook_id, tenant_id) = (claimed.webhook, claimed.tenant);
        debug!(%webhook_id, %tenant_id, event_id = %claimed.event, ?attempt, "webhook delivery attempted");
        let disable_since = now - TimeDelta::days(self.settings.disable_after_days.into());
        match self.store.scope(claimed.tenant).settle_delivery(&claimed, &attempt, disable_since).await {
            Ok(true) => {
                warn!(%webhook_id, %tenant_id, problem = attempt.problem, "webhook disabled after repeated failures")
            }
            Ok(false) => {}
            Err(error) => {
                warn!(%webhook_id, %tenant_id, %error, "result of a webhook delivery not recorded; it will be repeated")
            }
        }
    }

    async fn keep_up(&mut self) {
        self.slots.drop_negligible(Instant::now());
        if let Ok(pending) = self.store.deliveries_pending().await {
            gauge!("vca_webhook_deliveries_pending").set(pending as f64);
        }
        if self.cleared.is_none_or(|at| at.elapsed() > CLEAR_INTERVAL) {
            let kept = self.clear(Utc::now()).await;
            self.log_availability(kept);
        }
    }

    /// Deletes finished deliveries that are older than `keep_days`.
    ///
    /// # Errors
    /// When the database does not respond.
    pub async fn clear(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let before = now - TimeDelta::days(self.settings.keep_days.into());
        for _ in 0..MAX_BATCHES {
            if self.store.clear_deliveries(before).await? == 0 {
                self.cleared = Some(Instant::now());
                break;
            }
        }
        Ok(())
    }

    /// Logs once that the database is not available, and once that it is again.
    fn log_availability(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) if self.is_unavailable => info!("webhook deliveries resumed"),
            Err(ref error) if !self.is_unavailable => {
                warn!(%error, "webhook deliveries are waiting for the database")
            }
            _ => {}
        }
        self.is_unavailable = result.is_err();
    }
}

fn count(outcome: DeliveryOutcome, result: &SendResult) {
    let label = match outcome {
        DeliveryOutcome::Delivered => "delivered",
        DeliveryOutcome::Again(_) => "failed",
        DeliveryOutcome::GivenUp | DeliveryOutcome::Unsubscribed => "given_up",
    };
    counter!("vca_webhook_attempts_total", "outcome" => label).increment(1);
    histogram!("vca_webhook_attempt_seconds").record(result.took.as_secs_f64());
}
