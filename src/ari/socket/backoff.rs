//! Pauses between connection attempts: doubling, with jitter, so that many daemons do not connect at once.

use std::time::Duration;

pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration) -> Backoff {
        Backoff { min, max: max.max(min), next: min }
    }

    /// The next pause: between half of the current step and the whole of it, by `chance` of 0 to 1.
    pub fn next(&mut self, chance: f64) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.max);
        step.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_limit_and_begins_again() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(250), ms(1_500));
        let pauses: Vec<_> = (0..5).map(|_| backoff.next(1.0)).collect();
        assert_eq!(pauses, [ms(250), ms(500), ms(1_000), ms(1_500), ms(1_500)]);
        assert_eq!(backoff.next(0.0), ms(750));
        backoff.reset();
        assert_eq!(backoff.next(1.0), ms(250));
    }
}
