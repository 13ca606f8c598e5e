//! The number of requests in the last minute.

use tokio::time::Instant;

/// The minute is counted in slots of ten seconds.
const SLOTS: u64 = 6;
const SLOT_SECONDS: u64 = 10;

/// Requests of the last minute, to ten seconds.
#[derive(Debug)]
pub struct MinuteCount {
    since: Instant,
    /// The number of the present slot since then.
    slot: u64,
    counts: [u32; SLOTS as usize],
}

impl MinuteCount {
    pub fn new(now: Instant) -> MinuteCount {
        MinuteCount { since: now, slot: 0, counts: [0; SLOTS as usize] }
    }

    /// Counts a request.
    pub fn add(&mut self, now: Instant) {
        self.advance(now);
        let count = &mut self.counts[(self.slot % SLOTS) as usize];
        *count = count.saturating_add(1);
    }

    /// The requests of the last minute.
    pub fn total(&mut self, now: Instant) -> u32 {
        self.advance(now);
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Empties the slots that have passed.
    fn advance(&mut self, now: Instant) {
        let slot = now.duration_since(self.since).as_secs() / SLOT_SECONDS;
        let passed = slot.saturating_sub(self.slot).min(SLOTS);
        for ahead in 1..=passed {
            self.counts[((self.slot + ahead) % SLOTS) as usize] = 0;
        }
        self.slot = slot;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn requests_of_more_than_a_minute_ago_are_forgotten() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut count = MinuteCount::new(begun);
        for second in [0, 9, 10, 55] {
            count.add(at(second));
        }
        assert_eq!(
            [55, 59, 60, 69, 70, 109, 110].map(|second| count.total(at(second))),
            [4, 4, 2, 2, 1, 1, 0]
        );
        count.add(at(1_000));
        assert_eq!([1_000, 2_000].map(|second| count.total(at(second))), [1, 0]);
    }
}
