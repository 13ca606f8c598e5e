//! The operator's limit on requests at the same time to one engine, over all tenants.
//!
//! A request beyond it waits. A slot that becomes free is that of the tenant with the fewest requests in progress, and of its
//! oldest request: a tenant with many requests delays the others' by one of them at most. Connections that last as long as a call
//! keep their slots for that time.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// The most requests that wait for one engine; one more is refused at once.
const MOST_WAITING: usize = 1_024;
/// Those of one tenant, so that its requests leave room in the queue to the others.
const MOST_WAITING_OF_TENANT: usize = MOST_WAITING / 8;
/// The interval of lines in the log about one engine.
const LOGGED_EVERY: Duration = Duration::from_secs(60);

/// The slots of one engine. Clones share them.
#[derive(Debug, Clone)]
pub struct EngineCapacity {
    most: NonZeroU32,
    slots: Arc<Mutex<EngineSlots>>,
}

#[derive(Debug)]
struct EngineSlots {
    free: u32,
    /// The requests in progress of each tenant; those of the daemon itself have none.
    held: HashMap<Option<Uuid>, u32>,
    /// Oldest first.
    waiting: VecDeque<SlotRequest>,
    logged_at: Option<Instant>,
}

#[derive(Debug)]
struct SlotRequest {
    tenant: Option<Uuid>,
    granted: oneshot::Sender<EngineSlot>,
}

/// Held while a request is in progress.
#[derive(Debug)]
pub struct EngineSlot {
    capacity: EngineCapacity,
    tenant: Option<Uuid>,
}

impl EngineCapacity {
    /// Room for so many requests.
    pub fn new(most: NonZeroU32) -> EngineCapacity {
        let (held, waiting) = (HashMap::new(), VecDeque::new());
        let slots = EngineSlots { free: most.get(), held, waiting, logged_at: None };
        EngineCapacity { most, slots: Arc::new(Mutex::new(slots)) }
    }

    /// The most requests at the same time.
    pub fn most(&self) -> NonZeroU32 {
        self.most
    }

    /// Waits for a slot for a request of a tenant, or of the daemon itself. None when there is none within `wait`.
    pub async fn take(&self, tenant: Option<Uuid>, wait: Duration) -> Option<EngineSlot> {
        let granted = {
            let mut slots = self.slots();
            if slots.free > 0 {
                slots.occupy(tenant);
                return Some(EngineSlot { capacity: self.clone(), tenant });
            }
            slots.wait(tenant)?
        };
        timeout(wait, granted).await.ok()?.ok()
    }

    /// Whether a line about a refusal is due: one a minute at most.
    pub fn is_to_be_logged(&self) -> bool {
        let mut slots = self.slots();
        let is_due = slots.logged_at.is_none_or(|at| at.elapsed() >= LOGGED_EVERY);
        if is_due {
            slots.logged_at = Some(Instant::now());
        }
        is_due
    }

    /// Hands a free slot to the next request. One that was given up meanwhile drops it, which hands it on.
    fn grant(&self) {
        let next = self.slots().take_next();
        if let Some(SlotRequest { tenant, granted }) = next {
            drop(granted.send(EngineSlot { capacity: self.clone(), tenant }));
        }
    }

    fn slots(&self) -> MutexGuard<'_, EngineSlots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EngineSlots {
    fn occupy(&mut self, tenant: Option<Uuid>) {
        self.free -= 1;
        *self.held.entry(tenant).or_default() += 1;
    }

    fn vacate(&mut self, tenant: Option<Uuid>) {
        self.free += 1;
        if let Some(count) = self.held.get_mut(&tenant) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&tenant);
            }
        }
    }

    /// Adds a request to those that wait; none when there are too many of all, or of the tenant's.
    fn wait(&mut self, tenant: Option<Uuid>) -> Option<oneshot::Receiver<EngineSlot>> {
        self.waiting.retain(|request| !request.granted.is_closed());
        let of_tenant = self.waiting.iter().filter(|request| request.tenant == tenant).count();
        if self.waiting.len() >= MOST_WAITING || of_tenant >= MOST_WAITING_OF_TENANT {
            return None;
        }
        let (granted, receiver) = oneshot::channel();
        self.waiting.push_back(SlotRequest { tenant, granted });
        Some(receiver)
    }

    /// The request that is next, with a slot occupied for it.
    fn take_next(&mut self) -> Option<SlotRequest> {
        self.waiting.retain(|request| !request.granted.is_closed());
        let held = |request: &SlotRequest| self.held.get(&request.tenant).copied().unwrap_or_default();
        let (at, _) = self.waiting.iter().enumerate().min_by_key(|(_, request)| held(request))?;
        if self.free == 0 {
            return None;
        }
        let next = self.waiting.remove(at)?;
        self.occupy(next.tenant);
        Some(next)
    }
}

impl Drop for EngineSlot {
    fn drop(&mut self) {
        self.capacity.slots().vacate(self.tenant);
        self.capacity.grant();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const WAIT: Duration = Duration::from_millis(500);

    fn capacity(most: u32) -> EngineCapacity {
        EngineCapacity::new(NonZeroU32::new(most).expect("not zero"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_beyond_the_limit_waits_and_is_refused() {
        let (capacity, tenant, begun) = (capacity(1), Some(Uuid::now_v7()), Instant::now());
        let held = capacity.take(tenant, WAIT).await.expect("a slot");
        assert!(capacity.take(None, WAIT).await.is_none());
        assert_eq!(begun.elapsed(), WAIT);
        let (next, ()) = tokio::join!(capacity.take(tenant, WAIT), async {
            tokio::time::sleep(WAIT / 2).await;
            drop(held);
        });
        assert!(next.is_some() && begun.elapsed() == WAIT + WAIT / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_slot_is_that_of_the_tenant_with_the_fewest_requests() {
        let (capacity, talker, other) = (capacity(3), Some(Uuid::now_v7()), Some(Uuid::now_v7()));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(capacity.take(talker, WAIT).await.expect("a slot"));
        }
        let mut waiting: Vec<_> = (0..5).map(|_| capacity.take(talker, WAIT).boxed()).collect();
        waiting.push(capacity.take(other, WAIT).boxed());
        assert!(waiting.iter_mut().all(|request| request.now_or_never().is_none()));
        held.pop();
        let granted = waiting.pop().and_then(|request| request.now_or_never()).flatten();
        assert!(granted.is_some_and(|slot| slot.tenant == other), "the last to ask has none yet");
        // Its slot is free again, and goes to the oldest of the others.
        assert!(waiting.remove(0).now_or_never().flatten().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_are_given_up_lose_no_slot() {
        let capacity = capacity(1);
        let held = capacity.take(None, WAIT).await;
        let mut given_up: Vec<_> = (0..3).map(|_| capacity.take(None, WAIT).boxed()).collect();
        assert!(given_up.iter_mut().all(|request| request.now_or_never().is_none()));
        drop(given_up.pop());
        drop(held);
        // The first has been granted the slot, and is dropped before it takes it.
        drop(given_up);
        assert!(capacity.take(None, Duration::ZERO).await.is_some());
        assert_eq!(capacity.slots().held.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded() {
        let capacity = capacity(1);
        let _held = capacity.take(None, WAIT).await;
        let ask = |_| capacity.take(Some(Uuid::now_v7()), WAIT).boxed();
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(ask).collect();
        assert!(waiting.iter_mut().all(|request| request.now_or_never().is_none()));
        assert!(ask(0).now_or_never().expect("no wait").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_fills_its_part_of_the_queue_only() {
        let (capacity, talker, other) = (capacity(1), Some(Uuid::now_v7()), Some(Uuid::now_v7()));
        let _held = capacity.take(talker, WAIT).await;
        let ask = |tenant| capacity.take(tenant, WAIT).boxed();
        let mut waiting: Vec<_> = (0..MOST_WAITING_OF_TENANT).map(|_| ask(talker)).collect();
        assert!(waiting.iter_mut().all(|request| request.now_or_never().is_none()));
        assert!(ask(talker).now_or_never().expect("no wait").is_none());
        assert!(ask(other).now_or_never().is_none(), "another tenant's request waits");
        drop(waiting.pop());
        assert!(ask(talker).now_or_never().is_none(), "one was given up");
    }
}
