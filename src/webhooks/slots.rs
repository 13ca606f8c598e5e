//! Requests in progress, and the number that each tenant may start.
//!
//! All tenants share one number of slots. A tenant may start a request while it holds fewer slots than are free:
//! alone it holds at most half of them, two tenants hold three quarters at first and two thirds in the long run,
//! and so on, so a few tenants with slow receivers leave room for the others. (Choudhury and Hahne, "Dynamic queue
//! length thresholds for shared-memory packet switches", 1998.) Where several wait, the tenant with the least
//! receiver time of late is served first, so slow receivers do not take the turns of fast ones.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::Id;
use tokio::time::Instant;

use crate::tenancy::{TenantId, WebhookId};

/// Receiver time of this age counts half.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// Receiver time below this is dropped. Seconds.
const NEGLIGIBLE: f64 = 0.01;

/// The slots of a deliverer.
#[derive(Debug)]
pub struct Slots {
    total: usize,
    in_progress: HashMap<Id, RequestSlot>,
    taken: HashMap<TenantId, Taken>,
}

/// A request in progress.
#[derive(Debug, Clone, Copy)]
struct RequestSlot {
    tenant: TenantId,
    webhook: WebhookId,
    since: Instant,
}

/// The duration of a tenant's finished requests, as of a moment.
#[derive(Debug, Clone, Copy)]
struct Taken {
    seconds: f64,
    at: Instant,
}

impl Taken {
    fn seconds_at(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at);
        self.seconds * (-age.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
    }
}

impl Slots {
    pub fn new(total: usize) -> Slots {
        Slots { total, in_progress: HashMap::new(), taken: HashMap::new() }
    }

    pub fn free(&self) -> usize {
        self.total.saturating_sub(self.in_progress.len())
    }

    /// Requests in progress to a webhook.
    pub fn held_by_webhook(&self, webhook: WebhookId) -> usize {
        self.in_progress.values().filter(|slot| slot.webhook == webhook).count()
    }

    /// The number of requests that a tenant may start now. Each started one leaves one slot fewer free, and one
    /// more held.
    pub fn share(&self, tenant: TenantId) -> usize {
        let held = self.in_progress.values().filter(|slot| slot.tenant == tenant).count();
        self.free().saturating_sub(held).div_ceil(2)
    }

    /// A tenant's receiver time of late, including requests in progress. Seconds.
    pub fn taken(&self, tenant: TenantId, now: Instant) -> f64 {
        let before = self.taken.get(&tenant).map_or(0.0, |taken| taken.seconds_at(now));
        let held = self.in_progress.values().filter(|slot| slot.tenant == tenant);
        before + held.map(|slot| now.saturating_duration_since(slot.since).as_secs_f64()).sum::<f64>()
    }

    /// Adds a request.
    pub fn take(&mut self, task: Id, tenant: TenantId, webhook: WebhookId, now: Instant) {
        self.in_progress.insert(task, RequestSlot { tenant, webhook, since: now });
    }

    /// Removes a finished request.
    pub fn release(&mut self, task: Id, now: Instant) {
        let Some(slot) = self.in_progress.remove(&task) else { return };
        let took = now.saturating_duration_since(slot.since).as_secs_f64();
        let taken = self.taken.entry(slot.tenant).or_insert(Taken { seconds: 0.0, at: now });
        *taken = Taken { seconds: taken.seconds_at(now) + took, at: now };
    }

    /// Drops entries that no longer count.
    pub fn drop_negligible(&mut self, now: Instant) {
        self.taken.retain(|_, taken| taken.seconds_at(now) > NEGLIGIBLE);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ids of tasks, which only a runtime gives out.
    async fn tasks(count: usize) -> Vec<Id> {
        (0..count).map(|_| tokio::spawn(async {}).id()).collect()
    }

    fn start_all(slots: &mut Slots, tenant: TenantId, tasks: &mut Vec<Id>, now: Instant) {
        while slots.share(tenant) > 0 {
            slots.take(tasks.pop().expect("a task"), tenant, WebhookId::new(), now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_slow_tenants_leave_room_for_a_third_at_every_moment() {
        let (mut slots, mut free) = (Slots::new(128), tasks(400).await);
        let slow = [TenantId::new(), TenantId::new()];
        let third = TenantId::new();
        // 14 seconds a request: those of one second are over 14 seconds later, and both start what they may at once.
        let mut ends: Vec<(u64, Id)> = Vec::new();
        for second in 0..120 {
            let now = Instant::now();
            let (over, left) = ends.into_iter().partition::<Vec<_>, _>(|(end, _)| *end <= second);
            ends = left;
            for (_, task) in over {
                slots.release(task, now);
                free.push(task);
            }
            for tenant in slow {
                let before = free.len();
                let held: Vec<Id> = free.clone();
                start_all(&mut slots, tenant, &mut free, now);
                ends.extend(held[free.len()..before].iter().map(|task| (second + 14, *task)));
            }
            assert!(slots.share(third) > 0, "second {second}: {} slots are free", slots.free());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(slots.taken(slow[0], Instant::now()) > 60.0);
        assert_eq!(slots.taken(third, Instant::now()), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn receiver_time_decays_and_is_dropped() {
        let (mut slots, task) = (Slots::new(4), tasks(1).await[0]);
        let tenant = TenantId::new();
        slots.take(task, tenant, WebhookId::new(), Instant::now());
        tokio::time::advance(Duration::from_secs(14)).await;
        slots.release(task, Instant::now());
        assert!((slots.taken(tenant, Instant::now()) - 14.0).abs() < 0.1);
        tokio::time::advance(HALF_LIFE).await;
        assert!((slots.taken(tenant, Instant::now()) - 7.0).abs() < 0.1);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        slots.drop_negligible(Instant::now());
        assert!(slots.taken.is_empty());
    }

    proptest! {
        #[test]
        fn few_tenants_cannot_fill_the_slots(
            total in 1_usize..40, starts in proptest::collection::vec(0_u128..8, 0..200),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let (mut slots, mut tasks) = (Slots::new(total), tasks(200).await);
                for n in starts {
                    let tenant = TenantId(uuid::Uuid::from_u128(n));
                    if slots.share(tenant) > 0 {
                        slots.take(tasks.pop().expect("a task"), tenant, WebhookId::new(), Instant::now());
                    }
                }
                let mut held: HashMap<TenantId, usize> = HashMap::new();
                for slot in slots.in_progress.values() {
                    *held.entry(slot.tenant).or_default() += 1;
                }
                assert!(held.values().all(|held| *held <= total.div_ceil(2)), "{held:?} of {total}");
                assert!(slots.free() > 0 || (1 << held.len()) > total, "{held:?} fill {total}");
            });
        }
    }
}
