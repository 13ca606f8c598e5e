//! A histogram of how late frames leave a media thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds in microseconds. The last bucket has none.
const BOUNDS_US: [u64; 9] = [100, 250, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000];

/// Frames by lateness. Written by the media thread, read for metrics.
#[derive(Default)]
pub struct Lateness {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    total_us: AtomicU64,
}

impl Lateness {
    /// Adds `frames` that left `late` after they were due.
    pub fn record(&self, late: Duration, frames: u64) {
        let micros = late.as_micros() as u64;
        let bucket = BOUNDS_US.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].fetch_add(frames, Relaxed);
        self.total_us.fetch_add(micros.saturating_mul(frames), Relaxed);
    }

    /// Frames by upper bound in microseconds; the last bound is `u64::MAX`.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let bounds = BOUNDS_US.into_iter().chain([u64::MAX]);
        bounds.zip(self.buckets.iter().map(|bucket| bucket.load(Relaxed)))
    }

    pub fn total_us(&self) -> u64 {
        self.total_us.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_by_upper_bound() {
        let lateness = Lateness::default();
        lateness.record(Duration::from_micros(100), 3);
        lateness.record(Duration::from_micros(101), 2);
        lateness.record(Duration::from_secs(1), 1);
        let counted: Vec<_> = lateness.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(100, 3), (250, 2), (u64::MAX, 1)]);
        assert_eq!(lateness.total_us(), 300 + 202 + 1_000_000);
    }
}
