//! The limit of calls with noise suppression, which takes more of a media thread's time than the rest of the frame path.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use metrics::counter;

use super::leg::NoiseSuppression;

/// Counts the calls with noise suppression. Clones share the count.
#[derive(Clone)]
pub struct SuppressionPlaces {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

/// The place of one call, until it is dropped.
pub struct SuppressionPlace(Arc<AtomicUsize>);

impl Drop for SuppressionPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl SuppressionPlaces {
    pub fn new(limit: usize) -> SuppressionPlaces {
        SuppressionPlaces { taken: Arc::default(), limit }
    }

    /// The suppression that a call gets: what it wants, with a place, or none where every place is taken.
    pub fn take(&self, wanted: NoiseSuppression) -> (NoiseSuppression, Option<SuppressionPlace>) {
        if wanted == NoiseSuppression::Off {
            return (wanted, None);
        }
        let taken = self.taken.fetch_add(1, Relaxed);
        let place = SuppressionPlace(self.taken.clone());
        if taken < self.limit {
            return (wanted, Some(place));
        }
        counter!("vca_calls_without_noise_suppression_total").increment(1);
        tracing::warn!("noise is not suppressed: media.noise_suppression_calls is reached");
        (NoiseSuppression::Off, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::codec::Format;
    use crate::media::link;

    #[test]
    fn a_call_that_needs_no_place_any_more_leaves_it_to_others() {
        let places = SuppressionPlaces::new(1);
        let (mut port, _back) = link(Format::Ulaw);
        port.share_places(&places);
        for kind in [NoiseSuppression::Recognition, NoiseSuppression::RecognitionAndVoice] {
            port.suppress_noise(kind);
            assert_eq!(places.take(kind).0, NoiseSuppression::Off);
        }
        port.suppress_noise(NoiseSuppression::Off);
        let (kind, place) = places.take(NoiseSuppression::Recognition);
        assert_eq!(kind, NoiseSuppression::Recognition);
        port.suppress_noise(NoiseSuppression::Recognition);
        drop((place, port));
        assert!(places.take(NoiseSuppression::Recognition).1.is_some());
    }

    #[test]
    fn calls_beyond_the_limit_are_carried_with_their_noise() {
        let places = SuppressionPlaces::new(1);
        let take = || places.take(NoiseSuppression::Recognition);
        assert!(places.take(NoiseSuppression::Off).1.is_none());
        let (first, place) = take();
        assert_eq!((first, take().0), (NoiseSuppression::Recognition, NoiseSuppression::Off));
        drop(place);
        assert_eq!(take().0, NoiseSuppression::Recognition, "the place is free again");
    }
}
