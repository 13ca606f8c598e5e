//! A dictionary of words that engines mispronounce.

use super::words::is_part_of_word;

/// Words and the text that is spoken in their place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Pronunciations {
    /// The longest word first.
    entries: Vec<(Vec<char>, String)>,
}

impl Pronunciations {
    /// A word may consist of several. Case does not matter.
    pub fn new<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Pronunciations {
        let lower = |word: &str| word.trim().chars().map(lower).collect::<Vec<char>>();
        let mut entries: Vec<(Vec<char>, String)> =
            entries.into_iter().map(|(word, spoken)| (lower(word), spoken.to_owned())).collect();
        entries.retain(|(word, _)| !word.is_empty());
        entries.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        Pronunciations { entries }
    }

    /// The text with each whole word replaced that the dictionary has.
    pub fn apply(&self, text: &str) -> String {
        let mut said = String::with_capacity(text.len());
        let (mut rest, mut is_within_word) = (text, false);
        while let Some(next) = rest.chars().next() {
            let found = if is_within_word { None } else { self.find(rest) };
            let (words, length) = found.unwrap_or((&rest[..next.len_utf8()], next.len_utf8()));
            said.push_str(words);
            is_within_word = rest[..length].chars().next_back().is_some_and(is_part_of_word);
            rest = &rest[length..];
        }
        said
    }

    /// Whether an entry of several words begins with this word.
    pub fn begins_with(&self, word: &str) -> bool {
        self.entries.iter().any(|(entry, _)| {
            let letters = word.chars().map(lower);
            let length = word.chars().count();
            entry.get(length).is_some_and(|next| !is_part_of_word(*next))
                && letters.eq(entry[..length].iter().copied())
        })
    }

    /// The spoken form of the word at the beginning of `text`, and the length of the word.
    fn find(&self, text: &str) -> Option<(&str, usize)> {
        self.entries.iter().find_map(|(word, spoken)| {
            let length = prefix(text, word)?;
            let ends = !text[length..].starts_with(is_part_of_word)
                || !word.last().copied().is_some_and(is_part_of_word);
            ends.then_some((spoken.as_str(), length))
        })
    }
}

/// The length of `word` at the beginning of `text`.
fn prefix(text: &str, word: &[char]) -> Option<usize> {
    let mut length = 0;
    let mut letters = text.chars();
    for expected in word {
        let letter = letters.next().filter(|letter| lower(*letter) == *expected)?;
        length += letter.len_utf8();
    }
    Some(length)
}

fn lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_words_are_replaced() {
        let dictionary = Pronunciations::new([
            ("Huber", "Hoober"),
            ("Huber & Co", "Hoober and company"),
            ("नमन", "न मन"),
            ("", "nothing"),
        ]);
        for (text, said) in [
            ("Huber, HUBER and Hubert.", "Hoober, Hoober and Hubert."),
            ("This is Huber & Co.", "This is Hoober and company."),
            ("**Huber**", "**Hoober**"),
            ("नमन, नमन्", "न मन, नमन्"),
        ] {
            assert_eq!(dictionary.apply(text), said);
        }
    }

    proptest! {
        #[test]
        fn an_empty_dictionary_changes_nothing(text in "\\PC{0,80}") {
            prop_assert_eq!(Pronunciations::default().apply(&text), text);
        }

        #[test]
        fn any_dictionary_is_survived(text in "\\PC{0,80}", word in "\\PC{0,6}", spoken in "\\PC{0,6}") {
            Pronunciations::new([(word.as_str(), spoken.as_str())]).apply(&text);
        }
    }
}
