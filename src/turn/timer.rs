//! The deadlines of a conversation, each with a name, all in one table.
//!
//! It does not know what a deadline means, only when it is.

use std::time::{Duration, Instant};

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The caller has been silent for long enough to have finished.
    Commit,
    /// The caller has spoken over the agent for long enough to be listened to.
    BargeIn,
    /// The caller has spoken over the agent for so long that it is an interruption.
    BargeInCertain,
    /// Playback has waited for words for long enough.
    BargeInWords,
    /// The reply is late.
    Filler,
    /// The caller has spoken without a pause for so long that it is hardly a question.
    Monologue,
    /// Nobody has said anything for a while.
    Silence,
    /// The time is nearly up.
    Warning,
    /// The time is up.
    Limit,
    /// The goodbye should have been played by now.
    Farewell,
}

impl Timer {
    const ALL: [Timer; 10] = [
        Timer::Commit,
        Timer::BargeIn,
        Timer::BargeInCertain,
        Timer::BargeInWords,
        Timer::Filler,
        Timer::Monologue,
        Timer::Silence,
        Timer::Warning,
        Timer::Limit,
        Timer::Farewell,
    ];
}

/// When each timer expires, if it runs.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    /// Starts `timer`, or starts it anew. A moment too far away to be told never comes.
    pub fn start(&mut self, timer: Timer, from: Instant, after: Duration) {
        self.0[timer as usize] = from.checked_add(after);
    }

    pub fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub fn stop_all(&mut self) {
        self.0 = Default::default();
    }

    /// The first moment at which a timer expires.
    pub fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Stops and returns the first timer that has expired by `now`.
    pub fn expire(&mut self, now: Instant) -> Option<Timer> {
        let due = |timer: &Timer| self.0[*timer as usize].filter(|at| *at <= now);
        let first = Timer::ALL.into_iter().filter(|timer| due(timer).is_some()).min_by_key(due)?;
        self.stop(first);
        Some(first)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some moment to count from")]
mod tests {
    use super::*;

    #[test]
    fn timers_expire_in_the_order_of_their_moments() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut timers = Timers::default();
        timers.start(Timer::Commit, start, ms(300));
        timers.start(Timer::Silence, start, ms(100));
        timers.start(Timer::Limit, start, ms(900));
        assert_eq!(timers.next(), Some(start + ms(100)));
        assert_eq!(timers.expire(start + ms(99)), None);
        assert_eq!(timers.expire(start + ms(300)), Some(Timer::Silence));
        assert_eq!(timers.expire(start + ms(300)), Some(Timer::Commit));
        assert_eq!(timers.expire(start + ms(300)), None);
        timers.stop_all();
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_moment_beyond_time_never_comes() {
        let mut timers = Timers::default();
        timers.start(Timer::Limit, Instant::now(), Duration::MAX);
        assert_eq!(timers.next(), None);
    }
}
