//! When the words of a speech are heard, as its engine reports.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most words of one speech that are kept.
const MOST: usize = 2_000;

/// The end of a word in a speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordEnd {
    /// Letters and digits of the spoken text up to this word, with those of it.
    pub letters: u32,
    /// Since the beginning of the speech.
    pub at: Duration,
}

/// How many letters and digits a text has: the other characters may be missing in an engine's report.
pub fn letters(text: &str) -> u32 {
    let count = text.chars().filter(|letter| letter.is_alphanumeric()).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The words of one speech that is being synthesised, as far as its engine reports them. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct SpeechTiming(Arc<Mutex<Vec<WordEnd>>>);

impl SpeechTiming {
    /// The speech begins anew.
    pub fn restart(&self) {
        self.ends().clear();
    }

    /// Adds a word, in the order of the text. One that ends before the word before it ends with that.
    pub fn add(&self, letters: u32, at: Duration) {
        let mut ends = self.ends();
        if ends.len() >= MOST {
            return;
        }
        let last = ends.last().copied().unwrap_or(WordEnd { letters: 0, at: Duration::ZERO });
        ends.push(WordEnd { letters: last.letters.saturating_add(letters), at: at.max(last.at) });
    }

    /// The number of words so far.
    pub fn count(&self) -> usize {
        self.ends().len()
    }

    /// The words so far.
    pub fn words(&self) -> Vec<WordEnd> {
        self.ends().clone()
    }

    fn ends(&self) -> MutexGuard<'_, Vec<WordEnd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn words_are_counted_by_their_letters_and_in_order() {
        let timing = SpeechTiming::default();
        for (word, at) in [("It's", 200), ("3", 150), ("o'clock.", 900)] {
            timing.clone().add(letters(word), ms(at));
        }
        let expected = [(3, 200), (4, 200), (10, 900)].map(|(letters, at)| WordEnd { letters, at: ms(at) });
        assert_eq!(timing.words(), expected);
        timing.restart();
        assert_eq!(timing.count(), 0);
    }

    proptest! {
        #[test]
        fn any_report_is_ordered_and_bounded(words in proptest::collection::vec((0..u32::MAX, 0..u64::MAX), 0..40)) {
            let timing = SpeechTiming::default();
            words.iter().for_each(|(letters, at)| timing.add(*letters, ms(*at)));
            let is_ordered = |pair: &[WordEnd]| pair[0].letters <= pair[1].letters && pair[0].at <= pair[1].at;
            prop_assert!(timing.words().windows(2).all(is_ordered));
        }
    }
}
