//! The limit of calls with noise suppression, which takes more of a media thread's time than the rest of the frame path.
//!
//! All tenants share the places, over all media threads. A tenant gets another one while it has fewer than are free: one tenant
//! alone gets half of them, and leaves some to the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use uuid::Uuid;

use super::leg::NoiseSuppression;

/// The calls with noise suppression by tenant; none of them is zero.
type Held = Arc<Mutex<BTreeMap<Uuid, usize>>>;

/// Counts the calls with noise suppression. Clones share the count.
#[derive(Clone)]
pub struct SuppressionPlaces {
    held: Held,
    limit: usize,
}

/// The place of one call, until it is dropped.
struct SuppressionPlace {
    held: Held,
    tenant: Uuid,
}

impl Drop for SuppressionPlace {
    fn drop(&mut self) {
        let mut held = locked(&self.held);
        if let Some(count) = held.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.tenant);
            }
        }
    }
}

impl SuppressionPlaces {
    pub fn new(limit: usize) -> SuppressionPlaces {
        SuppressionPlaces { held: Arc::default(), limit }
    }

    /// The suppression that a call of the tenant gets: what it wants, with a place, or none where no place is left for it.
    fn take(&self, tenant: Uuid, wanted: NoiseSuppression) -> (NoiseSuppression, Option<SuppressionPlace>) {
        if wanted == NoiseSuppression::Off {
            return (wanted, None);
        }
        let mut held = locked(&self.held);
        let free = self.limit.saturating_sub(held.values().sum());
        let own = held.get(&tenant).copied().unwrap_or(0);
        if own < free {
            held.insert(tenant, own + 1);
            return (wanted, Some(SuppressionPlace { held: self.held.clone(), tenant }));
        }
        counter!("vca_calls_without_noise_suppression_total").increment(1);
        let problem = if free == 0 { "all places are taken" } else { "the tenant has its share" };
        tracing::warn!(problem, "noise is not suppressed: see media.noise_suppression_calls");
        (NoiseSuppression::Off, None)
    }
}

/// The noise suppression of one call: what it wants, and its place.
pub struct CallSuppression {
    places: SuppressionPlaces,
    tenant: Uuid,
    wanted: NoiseSuppression,
    place: Option<SuppressionPlace>,
}

impl Default for CallSuppression {
    /// Of a call that shares its places with no other.
    fn default() -> CallSuppression {
        CallSuppression::new(&SuppressionPlaces::new(usize::MAX), Uuid::nil())
    }
}

impl CallSuppression {
    /// Of a tenant's call, which has none at first.
    pub fn new(places: &SuppressionPlaces, tenant: Uuid) -> CallSuppression {
        CallSuppression { places: places.clone(), tenant, wanted: NoiseSuppression::Off, place: None }
    }

    /// The suppression that the call gets from now on; `None` where it wants what it wanted before. A place that it has stays its
    /// own while it wants any.
    pub fn change(&mut self, wanted: NoiseSuppression) -> Option<NoiseSuppression> {
        if std::mem::replace(&mut self.wanted, wanted) == wanted {
            return None;
        }
        if self.place.is_some() && wanted != NoiseSuppression::Off {
            return Some(wanted);
        }
        self.place = None;
        let (kind, place) = self.places.take(self.tenant, wanted);
        self.place = place;
        Some(kind)
    }
}

fn locked(held: &Held) -> MutexGuard<'_, BTreeMap<Uuid, usize>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::codec::Format;
    use crate::media::link;

    const WANTED: NoiseSuppression = NoiseSuppression::Recognition;

    fn tenant(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn a_call_that_needs_no_place_any_more_leaves_it_to_others() {
        let places = SuppressionPlaces::new(1);
        let (mut port, _back) = link(Format::Ulaw);
        port.share_places(CallSuppression::new(&places, tenant(1)));
        for kind in [NoiseSuppression::Recognition, NoiseSuppression::RecognitionAndVoice] {
            port.suppress_noise(kind);
            assert_eq!(places.take(tenant(2), kind).0, NoiseSuppression::Off);
        }
        port.suppress_noise(NoiseSuppression::Off);
        let (kind, place) = places.take(tenant(2), WANTED);
        assert_eq!(kind, WANTED);
        port.suppress_noise(WANTED);
        drop((place, port));
        assert!(places.take(tenant(2), WANTED).1.is_some());
    }

    #[test]
    fn calls_beyond_the_limit_are_carried_with_their_noise() {
        let places = SuppressionPlaces::new(1);
        let take = |n| places.take(tenant(n), WANTED);
        assert!(places.take(tenant(1), NoiseSuppression::Off).1.is_none());
        let (first, place) = take(1);
        assert_eq!((first, take(2).0), (WANTED, NoiseSuppression::Off));
        drop(place);
        assert_eq!(take(2).0, WANTED, "the place is free again");
    }

    #[test]
    fn a_tenant_takes_fewer_places_than_are_free() {
        let places = SuppressionPlaces::new(8);
        let mut held = Vec::new();
        let mut taken = |n: u128| {
            let (_, place) = places.take(tenant(n), WANTED);
            let is_taken = place.is_some();
            held.extend(place);
            is_taken
        };
        let count = |taken: &mut dyn FnMut(u128) -> bool, n| (0..10).filter(|_| taken(n)).count();
        // 4 of 8 to the first, then 2 of 4, 1 of 2 and the last one.
        assert_eq!([1, 2, 3, 4, 5].map(|n| count(&mut taken, n)), [4, 2, 1, 1, 0]);
        held.remove(0);
        assert!(places.take(tenant(1), WANTED).1.is_none(), "it has three, and one is free");
        assert!(places.take(tenant(5), WANTED).1.is_some());
    }

    #[test]
    fn a_call_keeps_its_place_when_it_wants_another_suppression() {
        let places = SuppressionPlaces::new(4);
        let (mut port, _back) = link(Format::Ulaw);
        port.share_places(CallSuppression::new(&places, tenant(1)));
        port.suppress_noise(WANTED);
        // All places are taken. Of a place that was given up, the tenant would not get another one.
        let others = [1, 2, 3].map(|n| places.take(tenant(n), WANTED).1.expect("a place"));
        port.suppress_noise(NoiseSuppression::RecognitionAndVoice);
        assert!(places.take(tenant(4), WANTED).1.is_none());
        drop(others);
    }
}
