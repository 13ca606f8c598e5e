//! The times of words in a speech, as vendors report them beside its audio.

use std::time::Duration;

use crate::engines::core::timing::{SpeechTiming, letters};

/// The latest time that is believed: no speech is longer.
const LONGEST_S: f64 = 600.0;

/// The beginning from which times count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOrigin {
    /// The audio of the whole context.
    Context,
    /// The audio of the same message.
    Message,
}

/// The ends of words, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alignment {
    origin: TimeOrigin,
    words: Vec<(u32, Duration)>,
}

impl Alignment {
    /// Words, each with its end in seconds. None where a time is negative, no number or later than any speech: then no time of
    /// the message is believed.
    pub fn new<'a>(origin: TimeOrigin, words: impl IntoIterator<Item = (&'a str, f64)>) -> Option<Alignment> {
        let word = |(word, end): (&str, f64)| {
            let is_time = (0.0..=LONGEST_S).contains(&end);
            is_time.then(|| (letters(word), Duration::from_secs_f64(end)))
        };
        let words: Option<Vec<_>> = words.into_iter().map(word).collect();
        words.filter(|words| !words.is_empty()).map(|words| Alignment { origin, words })
    }

    /// Adds the words to those of a speech. The audio of the message begins at `position`.
    pub fn add_to(&self, timing: &SpeechTiming, position: Duration) {
        let start = match self.origin {
            TimeOrigin::Context => Duration::ZERO,
            TimeOrigin::Message => position,
        };
        for (letters, end) in &self.words {
            timing.add(*letters, start.saturating_add(*end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::core::timing::WordEnd;

    #[test]
    fn times_count_from_the_context_or_from_the_message() {
        for (origin, expected) in [(TimeOrigin::Context, [300, 500]), (TimeOrigin::Message, [1_300, 1_500])] {
            let timing = SpeechTiming::default();
            let alignment = Alignment::new(origin, [("Hello,", 0.3), ("you.", 0.5)]).expect("an alignment");
            alignment.add_to(&timing, Duration::from_secs(1));
            let ends: Vec<u128> = timing.words().iter().map(|word: &WordEnd| word.at.as_millis()).collect();
            assert_eq!(ends, expected);
            assert_eq!(timing.words()[1].letters, 8);
        }
    }

    #[test]
    fn times_that_cannot_be_are_not_believed() {
        for end in [-0.1, f64::NAN, f64::INFINITY, 601.0] {
            assert_eq!(Alignment::new(TimeOrigin::Context, [("Hello", 0.3), ("you", end)]), None, "{end}");
        }
        assert_eq!(Alignment::new(TimeOrigin::Context, []), None);
    }
}
