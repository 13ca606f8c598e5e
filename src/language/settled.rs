//! The beginning of an unfinished text that can be spoken at once.

use super::Pronunciations;
use super::words::is_part_of_word;

/// The beginning of an unfinished text that is spoken in the same way however it goes on, with the space after it: plain
/// words in one line, each followed by another word.
///
/// A word with a digit or a mark may belong to a number, a date, an amount, an abbreviation, Markdown or the end of a
/// clause; a word before a digit may be a currency; a word that begins an entry of the dictionary may be replaced together
/// with the next one. Nothing from there on is settled.
pub fn settled<'a>(text: &'a str, pronunciations: Option<&Pronunciations>) -> &'a str {
    let mut end = text.len() - text.trim_start_matches(' ').len();
    let mut has_words = false;
    while let Some(length) = settled_word(&text[end..], pronunciations) {
        end += length;
        has_words = true;
    }
    if has_words { &text[..end] } else { "" }
}

/// The length of a settled word at the beginning of `text`, with the space after it.
fn settled_word(text: &str, pronunciations: Option<&Pronunciations>) -> Option<usize> {
    let (word, rest) = text.split_at(text.find(|c| !is_plain(c))?);
    let next = rest.trim_start_matches(' ');
    let is_spaced = next.len() < rest.len() && next.starts_with(char::is_alphabetic);
    let is_word = word.starts_with(char::is_alphabetic);
    let is_begun = pronunciations.is_some_and(|dictionary| dictionary.begins_with(word));
    (is_word && is_spaced && !is_begun).then(|| text.len() - next.len())
}

fn is_plain(c: char) -> bool {
    (is_part_of_word(c) && !c.is_numeric()) || matches!(c, '\'' | '’' | '-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::language::{Language, spoken};

    #[test]
    fn plain_words_are_settled_once_the_next_one_begins() {
        for (text, expected) in [
            ("We", ""),
            ("We ", ""),
            ("We a", "We "),
            (" We are open", " We are "),
            ("We're open at nine", "We're open at "),
            ("We are open, and", "We are "),
            ("It is 5 p.m. now", "It "),
            ("It costs EUR 20 in all", "It costs "),
            ("Ask Dr. Smith", "Ask "),
            ("We have *two* rooms", "We "),
            ("We have e-mail and more", "We have e-mail and "),
            ("- We are open", ""),
            ("We are\nopen now", "We "),
            ("Am 3. Mai um", ""),
            ("हम आज खुले हैं।", "हम आज खुले "),
            ("はい、九時です", ""),
            ("", ""),
        ] {
            assert_eq!(settled(text, None), expected, "{text}");
        }
    }

    #[test]
    fn a_word_that_begins_an_entry_of_several_waits_for_the_others() {
        let dictionary = Pronunciations::new([("Huber Linde", "Hoober Lindy"), ("Acme", "Ackmee")]);
        let settled = |text| settled(text, Some(&dictionary));
        assert_eq!(settled("This is Huber Linde here"), "This is ");
        assert_eq!(settled("This is Acme in town"), "This is Acme in ");
        assert_eq!(settled("This is Hub and more"), "This is Hub and ");
    }

    proptest! {
        #[test]
        fn a_settled_beginning_is_spoken_in_the_same_way_in_the_whole_text(
            text in "([a-zA-Zäé]{1,6}|EUR|Rs|No|[0-9]{1,4}|₹5|5 p\\.m\\.|e\\.g\\.|,|&|-|\\*)( ([a-zA-Zäé]{1,6}|EUR|Rs|No|[0-9:.]{1,5}|\\$3|am|kg|,|&)){0,8}",
            tag in "en|de|hi|es|fr|pt|xx",
        ) {
            let language = Language::of(Some(&tag));
            let begun = settled(&text, None);
            let said = format!("{} ", spoken(begun, language));
            prop_assert!(begun.is_empty() || spoken(&text, language).starts_with(&said), "{:?} of {:?}", said, text);
        }

        #[test]
        fn any_text_has_a_beginning(text in "\\PC{0,80}") {
            prop_assert!(text.starts_with(settled(&text, None)));
        }
    }
}
