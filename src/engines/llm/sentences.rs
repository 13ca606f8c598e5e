//! Keeps back a sentence until it is complete, so that a reply that was cut off does not end in the middle of one.
//!
//! The first sentence passes at once, because it is spoken from its first clause on. The others are spoken as a whole anyway, so
//! that keeping them back delays nothing.

use crate::language::{CLOSERS, TERMINALS, ends_without_space};

/// How far back the end of a sentence is looked for, in bytes.
const CONTEXT: usize = 48;

/// A text that ends the sentence before it, where that is complete. A digit, because "It costs 3." may be cut off.
const NEXT_SENTENCE: &str = " 0";

/// The sentences of a reply.
#[derive(Debug, Default)]
pub struct Sentences {
    text: String,
    /// Where the text for the caller begins, in bytes.
    start: usize,
    /// How much of the text has passed, in bytes.
    passed: usize,
    /// A sentence is complete.
    has_sentence: bool,
}

impl Sentences {
    /// Takes the next piece; the text that passes.
    pub fn push(&mut self, piece: &str) -> String {
        self.text.push_str(piece);
        let from = self.text.floor_char_boundary(self.passed.saturating_sub(CONTEXT)).max(self.start);
        let end = last_end(&self.text[from..]).map(|end| from + end);
        self.has_sentence |= end.is_some();
        let until = match end {
            Some(end) => end.max(self.passed),
            None if self.has_sentence => self.passed,
            None => self.text.len(),
        };
        self.pass(until)
    }

    /// Whether text is kept back; then the text that has passed ends with a sentence.
    pub fn keeps_back(&self) -> bool {
        self.passed < self.text.len()
    }

    /// The reply is complete: all that was kept back passes.
    pub fn end(&mut self) -> String {
        self.pass(self.text.len())
    }

    /// The reply was cut off: an unfinished sentence is dropped where a finished one exists.
    pub fn cut(&mut self) -> String {
        if !self.has_sentence {
            return String::new(); // all has passed already
        }
        self.push(NEXT_SENTENCE).trim_end().to_owned()
    }

    /// The text so far was not for the caller: drops what was kept back. The next sentence is a first one again.
    pub fn retract(&mut self) {
        self.text.truncate(self.passed);
        if self.passed > 0 {
            self.text.push('\n');
        }
        self.start = self.text.len();
        self.has_sentence = false;
    }

    /// Whether a piece has passed.
    pub fn has_begun(&self) -> bool {
        self.passed > 0
    }

    /// Whether anything but white space has passed.
    pub fn has_words(&self) -> bool {
        !self.text[..self.passed].trim().is_empty()
    }

    fn pass(&mut self, until: usize) -> String {
        let passing = self.text[self.passed..until].to_owned();
        self.passed = until;
        passing
    }
}

/// Where the last complete sentence ends, in bytes: after a mark that white space follows, or one that needs none, and after the
/// quotes and brackets behind it. A full stop ends no sentence that goes on in lower case.
fn last_end(text: &str) -> Option<usize> {
    let (at, mark) = text.char_indices().rev().find(|(at, mark)| is_end(text, *at, *mark))?;
    Some(text.len() - behind(text, at, mark).len())
}

/// The text behind a mark, and behind the quotes and brackets that belong to it.
fn behind(text: &str, at: usize, mark: char) -> &str {
    text[at + mark.len_utf8()..].trim_start_matches(CLOSERS)
}

fn is_end(text: &str, at: usize, mark: char) -> bool {
    let before = &text[..at];
    let after = behind(text, at, mark);
    let is_followed = after.starts_with(char::is_whitespace);
    match mark {
        _ if ends_without_space(mark) => true,
        '.' => is_followed && begins_sentence(after) && !is_abbreviation(before, after),
        '\n' => !before.trim().is_empty(),
        _ => is_followed && (TERMINALS.contains(&mark) || mark == '…'),
    }
}

/// Undecided until the next word has begun.
fn begins_sentence(after: &str) -> bool {
    after.trim_start().chars().next().is_some_and(|first| !first.is_lowercase())
}

/// An ordinal or a single letter, as in "the 3. of May" or "z. B.", or a short title, as in "Dr."
fn is_abbreviation(before: &str, after: &str) -> bool {
    const TITLES: [&str; 8] = ["Dr", "Mr", "Mrs", "Ms", "Prof", "St", "Hr", "Fr"];
    let word = before.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return may_be_ordinal(before, word, after);
    }
    let is_letter = word.chars().count() == 1 && !is_contraction(before, word);
    is_letter || TITLES.contains(&word)
}

/// Whether the `number` at the end of `before` may be that of a day or of a list's item, or the beginning of a decimal
/// fraction. A longer number is none of these, nor is a part of one, as in "17:30", nor a number before a word in upper
/// case, except in the places of ordinals.
fn may_be_ordinal(before: &str, number: &str, after: &str) -> bool {
    /// In German, where words in upper case follow: "am 3. Mai".
    const BEFORE_ORDINALS: [&str; 14] =
        ["ab", "am", "beim", "bis", "das", "dem", "den", "der", "des", "die", "im", "seit", "vom", "zum"];
    let head = before.strip_suffix(number).unwrap_or(before);
    let stands_alone = head.is_empty() || head.ends_with(char::is_whitespace);
    if number.len() > 2 || !stands_alone {
        return false;
    }
    let is_followed_by_word = after.trim_start().starts_with(char::is_alphabetic);
    let begins_line = head.trim_end_matches(' ').ends_with('\n');
    let preceding = head.trim_end();
    let word = preceding.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
    !is_followed_by_word || begins_line || word.is_empty() || BEFORE_ORDINALS.contains(&&*word)
}

/// As in "Lee's" or "don't", but not in "d'A. Dumas".
fn is_contraction(before: &str, word: &str) -> bool {
    let stem = before.strip_suffix(word).and_then(|rest| rest.strip_suffix(['\'', '’']));
    word.starts_with(char::is_lowercase) && stem.is_some_and(|stem| stem.ends_with(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&str]) -> String {
        let mut sentences = Sentences::default();
        let passed: String = pieces.iter().map(|piece| sentences.push(piece)).collect();
        passed + &sentences.cut()
    }

    #[test]
    fn an_unfinished_sentence_is_dropped_after_a_finished_one() {
        for (text, spoken) in [
            ("We are open today. On Sundays we are", "We are open today."),
            ("We are open today. On Sundays, too.", "We are open today. On Sundays, too."),
            ("We are open from nine to", "We are open from nine to"),
            ("We are open.", "We are open."),
            ("  ", "  "),
            ("", ""),
            ("Ask Dr. Smith on the 3. of May", "Ask Dr. Smith on the 3. of May"),
            ("The room is 42. On Sundays we", "The room is 42."),
            ("It closed in 2026. Then", "It closed in 2026."),
            ("We close at 17:30. On Sun", "We close at 17:30."),
            ("Yes. It costs 3.50. Shall", "Yes. It costs 3.50."),
            ("Yes. It closed in 2026.", "Yes. It closed in 2026."),
            ("Yes. It costs 3.", "Yes."),
            ("Ja. Am 3. Mai um", "Ja."),
            ("Ja. Montag, 3. Mai um", "Ja."),
            ("Yes. There are: 1. Soup", "Yes."),
            ("Really? \"Yes!\" And th", "Really? \"Yes!\""),
            ("はい。そして", "はい。"),
            ("「はい！」そして", "「はい！」"),
            ("کیا؟ جی ہاں۔ اور", "کیا؟ جی ہاں۔"),
            ("राम॥ और", "राम॥"),
            ("(We are open.) On Sun", "(We are open.)"),
            ("First line\nsecond", "First line\n"),
        ] {
            assert_eq!(cut(&[text]), spoken, "{text}");
        }
    }

    #[test]
    fn the_first_sentence_passes_at_once_and_the_others_whole() {
        let mut sentences = Sentences::default();
        assert_eq!(sentences.push("We are"), "We are");
        assert_eq!(sentences.push(" open."), " open.");
        assert_eq!(sentences.push(" On Sun"), "");
        assert_eq!(sentences.push("days, too. B"), " On Sundays, too.");
        assert_eq!(sentences.end(), " B");
    }

    #[test]
    fn the_next_sentence_begins_with_a_word_that_is_not_in_lower_case() {
        for (text, passed) in [
            ("We are open.", "We are open."),
            ("We are open. ", "We are open. "),
            ("We are open. O", "We are open."),
            ("It takes approx. five days. A", "It takes approx. five days."),
            ("From 9 a.m. to five. A", "From 9 a.m. to five."),
            ("It costs 3. 50 or so", "It costs 3. 50 or so"),
            ("Come to Dr. Lee's. O", "Come to Dr. Lee's."),
            ("No, I can’t. O", "No, I can’t."),
            ("A novel of d'A. Dumas or so", "A novel of d'A. Dumas or so"),
            ("Plan 'B. Two' or so", "Plan 'B. Two' or so"),
        ] {
            for size in [1, 5, 100] {
                let letters: Vec<char> = text.chars().collect();
                let mut sentences = Sentences::default();
                let pieces = letters.chunks(size).map(|piece| piece.iter().collect::<String>());
                let so_far: String = pieces.map(|piece| sentences.push(&piece)).collect();
                assert_eq!(so_far.trim_end(), passed.trim_end(), "{text:?} in pieces of {size}");
                assert_eq!(sentences.keeps_back(), text.trim_end().ends_with(['O', 'A']), "{text:?}");
            }
        }
    }

    #[test]
    fn a_retracted_text_does_not_pass() {
        let mut sentences = Sentences::default();
        assert_eq!(sentences.push("The caller asks. Their"), "The caller asks.");
        sentences.retract();
        assert_eq!(sentences.push("We are"), "\nWe are", "a new first sentence");
        let mut unheard = Sentences::default();
        unheard.retract();
        assert_eq!(unheard.push("Yes."), "Yes.");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_added(pieces in proptest::collection::vec("[a-zA-Z0-9.!?。\n \"]{0,12}", 0..8)) {
            let mut sentences = Sentences::default();
            let passed: String = pieces.iter().map(|piece| sentences.push(piece)).collect();
            prop_assert_eq!(passed + &sentences.end(), pieces.concat());
        }
    }
}
