//! How long the recogniser of this call takes for its words.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many of the latest times count: engines grow slower and faster during a call.
const KEPT: usize = 16;

/// The time for the words of a wait that includes their delivery.
const MARGIN: Duration = Duration::from_millis(100);

/// The latest times from the end of the caller's speech to its words, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct RecognitionTimes(Vec<Duration>);

impl RecognitionTimes {
    pub fn add(&mut self, time: Duration) {
        if self.0.len() >= KEPT {
            self.0.remove(0);
        }
        self.0.push(time);
    }

    /// How long to wait for words, from `least` to `most`: nine of ten have arrived by then. `most` before anything was
    /// recognised.
    pub fn wait(&self, least: Duration, most: Duration) -> Duration {
        let mut times = self.0.clone();
        times.sort_unstable();
        let usual = times.len().checked_sub(1).map(|last| times[last * 9 / 10].saturating_add(MARGIN));
        usual.unwrap_or(most).min(most).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_wait_follows_the_latest_times_within_its_bounds() {
        let mut times = RecognitionTimes::default();
        let wait = |times: &RecognitionTimes| times.wait(ms(600), ms(1_500)).as_millis();
        assert_eq!(wait(&times), 1_500, "nothing is known yet");
        times.add(ms(200));
        assert_eq!(wait(&times), 600);
        (0..9).for_each(|_| times.add(ms(900)));
        times.add(ms(9_000));
        assert_eq!(wait(&times), 1_000, "one of ten is an exception");
        (0..5).for_each(|_| times.add(ms(9_000)));
        assert_eq!(wait(&times), 1_500);
        (0..KEPT).for_each(|_| times.add(ms(300)));
        assert_eq!((wait(&times), times.0.len()), (600, KEPT));
    }
}
