//! The deadlines of a conversation, one a reason, in one table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::At;

/// The reason of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timer {
    /// The caller has been silent for long enough to have finished.
    Commit,
    /// The caller has paused for longer than within a sentence: words are asked for again, and unclear ones are answered.
    Ask,
    /// The caller has spoken over the agent for long enough to be listened to.
    BargeIn,
    /// The caller has spoken over the agent for so long that it is an interruption.
    BargeInCertain,
    /// Playback has been paused for words for long enough.
    BargeInWords,
    /// The response is late.
    Filler,
    /// Nothing more of a response that has begun has arrived for a while, and nothing plays.
    Stall,
    /// The caller has spoken without a pause for too long to be asking something.
    Monologue,
    /// The caller has pressed no further key for a while.
    Keys,
    /// Both sides have been silent for a while.
    Silence,
    /// The caller's hold has lasted too long.
    Hold,
    /// The operator has muted the agent for long enough.
    Mute,
    /// The time limit is near.
    Warning,
    /// The time limit is reached.
    Limit,
    /// The goodbye should have been played by now.
    Goodbye,
}

impl Timer {
    const ALL: [Timer; 15] = [
        Timer::Commit,
        Timer::Ask,
        Timer::BargeIn,
        Timer::BargeInCertain,
        Timer::BargeInWords,
        Timer::Filler,
        Timer::Stall,
        Timer::Monologue,
        Timer::Keys,
        Timer::Silence,
        Timer::Hold,
        Timer::Mute,
        Timer::Warning,
        Timer::Limit,
        Timer::Goodbye,
    ];
}

/// When each timer expires, if it runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Timers([Option<At>; Timer::ALL.len()]);

impl Timers {
    /// Starts `timer`, or starts it anew. A moment beyond the range of time never arrives.
    pub fn start(&mut self, timer: Timer, from: At, after: Duration) {
        self.0[timer as usize] = from.checked_add(after);
    }

    /// Starts `timer` anew unless it expires later.
    pub fn extend(&mut self, timer: Timer, from: At, after: Duration) {
        let moment = from.checked_add(after);
        self.0[timer as usize] = self.0[timer as usize].max(moment);
    }

    pub fn is_running(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    pub fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub fn stop_all(&mut self) {
        self.0 = Default::default();
    }

    /// The first timer to expire, and when.
    pub fn next(&self) -> Option<(At, Timer)> {
        let running = Timer::ALL.into_iter().filter_map(|timer| Some((self.0[timer as usize]?, timer)));
        running.min_by_key(|(at, _)| *at)
    }

    /// Stops and returns the first timer that has expired by `now`.
    pub fn expire(&mut self, now: At) -> Option<Timer> {
        let (_, timer) = self.next().filter(|(at, _)| *at <= now)?;
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn timers_expire_in_the_order_of_their_moments() {
        let start = At(ms(5_000));
        let at = |after| start.saturating_add(ms(after));
        let mut timers = Timers::default();
        timers.start(Timer::Commit, start, ms(300));
        timers.start(Timer::Silence, start, ms(100));
        timers.start(Timer::Limit, start, ms(900));
        assert_eq!(timers.next(), Some((at(100), Timer::Silence)));
        assert_eq!(timers.expire(at(99)), None);
        assert_eq!(timers.expire(at(300)), Some(Timer::Silence));
        assert_eq!(timers.expire(at(300)), Some(Timer::Commit));
        assert_eq!(timers.expire(at(300)), None);
        timers.stop_all();
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_moment_beyond_the_range_of_time_never_arrives() {
        let mut timers = Timers::default();
        timers.start(Timer::Limit, At(ms(1)), Duration::MAX);
        assert_eq!(timers.next(), None);
    }
}
