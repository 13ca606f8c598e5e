//! A circuit breaker: an engine that fails again and again, or asks for a long delay, is left alone for a while.
//!
//! Closed, it lets every request pass. It opens after some consecutive failures, or at once for as long as a server asks for.
//! Open, it refuses requests, so that callers are served by the fallback without a delay. When its time is over it lets one
//! request pass: success closes it, failure opens it for longer. Where no fallback follows, every request is such a trial,
//! unless the server asked for the delay: to refuse it would not help the caller. After a delay that the server asked for every
//! request passes: to refuse one any longer is not what it asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many times longer the pause becomes, at most, while trials fail.
const LONGEST: u32 = 8;

/// The state of one engine. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Breaker(Arc<Mutex<State>>);

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        /// Consecutive ones.
        failures: u32,
    },
    Open {
        until: Instant,
        /// Trials that failed since it opened.
        trials: u32,
        /// The server asked for the delay.
        is_asked: bool,
    },
    /// One request is under way to find out.
    Trial,
}

impl Default for State {
    fn default() -> State {
        State::Closed { failures: 0 }
    }
}

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Consecutive failures that open it; 0 disables it.
    pub failures: u32,
    pub pause: Duration,
}

/// The permission for one request. Dropped without a result, it leaves a breaker as it was.
#[derive(Debug)]
pub struct Permit {
    breaker: Breaker,
    trials: Option<u32>,
}

/// The change that a result has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerChange {
    None,
    Opened(Duration),
    Closed,
}

impl Breaker {
    /// Lets a request pass. `has_fallback` is whether another engine can answer in place of this one.
    ///
    /// # Errors
    /// It is open; the time until the next trial.
    pub fn admit(&self, now: Instant, has_fallback: bool) -> Result<Permit, Duration> {
        let mut state = self.state();
        let trials = match *state {
            State::Closed { .. } => None,
            State::Open { until, is_asked, .. } if now < until && (has_fallback || is_asked) => {
                return Err(until - now);
            }
            State::Trial if has_fallback => return Err(Duration::ZERO),
            State::Open { trials, is_asked: true, .. } => Some(trials),
            State::Open { trials, .. } => {
                *state = State::Trial;
                Some(trials)
            }
            State::Trial => Some(0),
        };
        Ok(Permit { breaker: self.clone(), trials })
    }

    /// Whether the next request would be refused.
    pub fn is_open(&self, now: Instant) -> bool {
        match *self.state() {
            State::Closed { .. } => false,
            State::Open { until, .. } => now < until,
            State::Trial => true,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Whether this request is to find out if the engine works again.
    pub fn is_trial(&self) -> bool {
        self.trials.is_some()
    }

    pub fn succeeded(mut self) -> BreakerChange {
        let was_trial = self.trials.take().is_some();
        *self.breaker.state() = State::default();
        if was_trial { BreakerChange::Closed } else { BreakerChange::None }
    }

    /// The request failed. `failures` is its number of failed attempts, `delay` the time that the server asked for.
    pub fn failed(
        mut self,
        failures: u32,
        delay: Option<Duration>,
        limits: BreakerLimits,
        now: Instant,
    ) -> BreakerChange {
        let trials = self.trials.take();
        if limits.failures == 0 {
            *self.breaker.state() = State::default();
            return BreakerChange::None;
        }
        let mut state = self.breaker.state();
        let (pause, trials) = match (*state, trials) {
            (_, Some(trials)) => (limits.pause * 2_u32.saturating_pow(trials + 1).min(LONGEST), trials + 1),
            (State::Closed { failures: before }, None) => {
                let failures = before.saturating_add(failures);
                if failures < limits.failures && delay.is_none() {
                    *state = State::Closed { failures };
                    return BreakerChange::None;
                }
                (limits.pause, 0)
            }
            // Another request has opened it meanwhile.
            (State::Open { .. } | State::Trial, None) => return BreakerChange::None,
        };
        let pause = delay.unwrap_or(pause);
        *state = State::Open { until: now + pause, trials, is_asked: delay.is_some() };
        BreakerChange::Opened(pause)
    }
}

impl Drop for Permit {
    /// A trial without a result, as of a call that ended, leaves the trial to the next request.
    fn drop(&mut self) {
        let Some(trials) = self.trials.take() else { return };
        let mut state = self.breaker.state();
        if matches!(*state, State::Trial) {
            *state = State::Open { until: Instant::now(), trials, is_asked: false };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits { failures: 2, pause: Duration::from_secs(30) };

    fn fail(breaker: &Breaker, now: Instant) -> BreakerChange {
        breaker.admit(now, true).expect("it is closed").failed(1, None, LIMITS, now)
    }

    #[test]
    fn opens_after_consecutive_failures_only() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert_eq!(fail(&breaker, now), BreakerChange::None);
        assert_eq!(breaker.admit(now, true).expect("closed").succeeded(), BreakerChange::None);
        assert_eq!(fail(&breaker, now), BreakerChange::None);
        assert_eq!(fail(&breaker, now), BreakerChange::Opened(LIMITS.pause));
        assert_eq!(
            breaker.admit(now + Duration::from_secs(10), true).expect_err("open"),
            Duration::from_secs(20)
        );
    }

    #[test]
    fn one_request_is_the_trial() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.admit(now, true).expect("closed").failed(2, None, LIMITS, now);
        let later = now + LIMITS.pause;
        let trial = breaker.admit(later, true).expect("its time is over");
        assert!(trial.is_trial() && breaker.admit(later, true).is_err(), "a second request has to wait");
        assert_eq!(trial.failed(1, None, LIMITS, later), BreakerChange::Opened(LIMITS.pause * 2));
        let later = later + LIMITS.pause * 2;
        assert_eq!(breaker.admit(later, true).expect("a trial").succeeded(), BreakerChange::Closed);
        assert!(!breaker.admit(later, true).expect("closed").is_trial());
    }

    #[test]
    fn pauses_are_bounded() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        breaker.admit(now, true).expect("closed").failed(2, None, LIMITS, now);
        for _ in 0..40 {
            now += LIMITS.pause * LONGEST;
            breaker.admit(now, true).expect("a trial").failed(1, None, LIMITS, now);
        }
        assert!(breaker.admit(now + LIMITS.pause * LONGEST, true).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_without_a_result_is_given_to_the_next_request() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.admit(now, true).expect("closed").failed(2, None, LIMITS, now);
        tokio::time::advance(LIMITS.pause).await;
        drop(breaker.admit(Instant::now(), true).expect("a trial"));
        assert!(breaker.admit(Instant::now(), true).expect("another trial").is_trial());
    }

    #[test]
    fn a_delay_that_the_server_asks_for_opens_it_at_once() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let delay = Some(Duration::from_secs(120));
        let opened = breaker.admit(now, true).expect("closed").failed(1, delay, LIMITS, now);
        assert_eq!(opened, BreakerChange::Opened(Duration::from_secs(120)));
        assert!(breaker.is_open(now + Duration::from_secs(119)));
        let later = now + Duration::from_secs(120);
        let all = [(); 3].map(|()| breaker.admit(later, true).expect("the delay is over"));
        let [first, second, third] = all;
        drop(first);
        assert!(breaker.admit(later, true).is_ok(), "one without a result refuses no other");
        assert_eq!(second.succeeded(), BreakerChange::Closed);
        drop(third);
        assert!(!breaker.admit(later, true).expect("closed").is_trial());
    }

    #[test]
    fn without_a_fallback_every_request_is_a_trial() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.admit(now, false).expect("closed").failed(2, None, LIMITS, now);
        let (first, second) =
            (breaker.admit(now, false).expect("one"), breaker.admit(now, false).expect("two"));
        assert!(first.is_trial() && second.is_trial());
        assert_eq!(first.succeeded(), BreakerChange::Closed);
        drop(second);
        breaker.admit(now, false).expect("open").failed(1, Some(LIMITS.pause), LIMITS, now);
        assert!(breaker.admit(now, false).is_err(), "the server asked for the delay");
    }

    #[test]
    fn zero_failures_disable_it() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let limits = BreakerLimits { failures: 0, ..LIMITS };
        for _ in 0..9 {
            assert_eq!(
                breaker.admit(now, true).expect("closed").failed(3, None, limits, now),
                BreakerChange::None
            );
        }
    }
}
