//! Checks a conversation's settings.

use std::time::Duration;

use super::Settings;
use crate::violation::Violation;

/// No conversation, and nothing in one, lasts longer than a day.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings that must not be 0.
pub(super) const NON_ZERO: [&str; 10] = [
    "max_turns",
    "max_duration_ms",
    "max_failures",
    "commit_ms",
    "commit_finished_ms",
    "commit_trailing_ms",
    "commit_engine_ms",
    "silence_ms",
    "barge_in_ms",
    "barge_in_words_ms",
];

impl Settings {
    /// The settings that cannot work.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = self.zeros();
        found.extend(self.disorders());
        found.extend(self.hasty_cut());
        let endless = self.times().into_iter().filter(|(_, time)| *time > LONGEST);
        found.extend(endless.map(|(key, time)| {
            Violation::with_remedy(
                key,
                format!("{} ms are more than a day", time.as_millis()),
                format!("set it to {} or less", LONGEST.as_millis()),
            )
        }));
        found
    }

    fn zeros(&self) -> Vec<Violation> {
        let counts = [("max_turns", self.max_turns), ("max_failures", self.max_failures)];
        let zero_counts = counts.into_iter().filter(|(_, count)| *count == 0).map(|(key, _)| key);
        let zero_times = self.times().into_iter().filter(|(_, time)| time.is_zero()).map(|(key, _)| key);
        let zeros: Vec<&str> = zero_counts.chain(zero_times).collect();
        let forbidden = NON_ZERO.into_iter().filter(|key| zeros.contains(key));
        forbidden
            .map(|key| Violation::with_remedy(key, "0 makes no sense here", "set it to 1 or more"))
            .collect()
    }

    /// A caller who is cut sooner than a pause may last is cut again and again, and each time engines are asked.
    fn hasty_cut(&self) -> Option<Violation> {
        let (longest, pause) = (self.max_speech_ms, self.commit_trailing_ms);
        (longest < pause).then(|| {
            let (longest, pause) = (longest.as_millis(), pause.as_millis());
            let problem = format!("{longest} is less than turn.commit_trailing_ms, which is {pause}");
            Violation::with_remedy("max_speech_ms", problem, "raise it, or lower turn.commit_trailing_ms")
        })
    }

    /// Pairs with a first value greater than the second.
    fn disorders(&self) -> Vec<Violation> {
        let pairs = [
            ("commit_finished_ms", self.commit_finished_ms, "commit_ms", self.commit_ms),
            ("commit_ms", self.commit_ms, "commit_trailing_ms", self.commit_trailing_ms),
            (
                "barge_in_words_ms",
                self.barge_in_words_ms,
                "barge_in_words_max_ms",
                self.barge_in_words_max_ms,
            ),
            ("barge_in_ms", self.barge_in_ms, "barge_in_certain_ms", self.barge_in_certain_ms),
        ];
        let wrong = pairs.into_iter().filter(|(_, low, _, high)| low > high);
        wrong
            .map(|(key, low, other, high)| {
                let (low, high) = (low.as_millis(), high.as_millis());
                let problem = format!("{low} is more than turn.{other}, which is {high}");
                Violation::with_remedy(key, problem, format!("lower it, or raise turn.{other}"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(change: impl FnOnce(&mut Settings)) -> Vec<String> {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.violations().into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn the_defaults_work() {
        assert!(keys(|_| {}).is_empty());
    }

    #[test]
    fn speech_is_not_cut_sooner_than_a_pause_may_last() {
        assert_eq!(keys(|settings| settings.max_speech_ms = Duration::ZERO), ["max_speech_ms"]);
        assert_eq!(keys(|settings| settings.max_speech_ms = Duration::from_millis(1_199)), ["max_speech_ms"]);
        assert!(keys(|settings| settings.max_speech_ms = Duration::from_millis(1_200)).is_empty());
    }
}
