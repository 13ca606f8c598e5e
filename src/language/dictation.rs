//! Digits that a caller says in place of keys.

use super::{Language, words};

/// The digits of a text that has nothing else: "four seven, one one", "4711", "um, double four". `None` where other words show
/// that the caller says something else, such as "one moment".
pub fn dictated_digits(text: &str, language: &Language) -> Option<String> {
    let (mut digits, mut times) = (String::new(), 1);
    for word in words(text) {
        let word = word.as_str();
        if let Some(number) = digit(word, language) {
            digits.extend(std::iter::repeat_n(number, times));
            times = 1;
        } else if let Some(numerals) = numerals(word) {
            digits.push_str(&numerals);
        } else if let Some(count) = repetition(word, language) {
            times = count;
        } else if !language.trailing.contains(&word) && !language.number_words.contains(&word) {
            return None;
        }
    }
    (!digits.is_empty()).then_some(digits)
}

fn digit(word: &str, language: &Language) -> Option<char> {
    let names = language.ratings.iter().chain(language.other_digits);
    let (_, digit) = names.into_iter().find(|(name, _)| *name == word)?;
    char::from_digit(u32::from(*digit), 10)
}

/// A word of numerals, in ASCII. Recognisers of Hindi may write Devanagari ones.
fn numerals(word: &str) -> Option<String> {
    let ascii = |c: char| match c {
        '०'..='९' => char::from_digit(u32::from(c) - u32::from('०'), 10),
        _ => Some(c).filter(char::is_ascii_digit),
    };
    word.chars().map(ascii).collect()
}

/// How often the next digit is meant: "double", "triple".
fn repetition(word: &str, language: &Language) -> Option<usize> {
    let count = match word {
        "double" | "डबल" => 2,
        "triple" | "ट्रिपल" => 3,
        _ => return None,
    };
    language.digits.contains(&word).then_some(count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_are_read_in_each_language() {
        for (tag, text, digits) in [
            ("en", "One.", Some("1")),
            ("en", "four seven, one one", Some("4711")),
            ("en", "4711", Some("4711")),
            ("en", "47-11.", Some("4711")),
            ("en", "Um, double four, oh", Some("440")),
            ("en", "number 3", Some("3")),
            ("en", "one moment please", None),
            ("en", "forty-seven", None),
            ("en", "yes", None),
            ("en", "the", None),
            ("en", "", None),
            ("de", "vier sieben zwo null", Some("4720")),
            ("de", "eine Sekunde", None),
            ("es", "ocho, nueve", Some("89")),
            ("fr", "un six", Some("16")),
            ("pt", "meia sete", Some("67")),
            ("hi", "शून्य ek नौ", Some("019")),
            ("hi", "४७", Some("47")),
            ("it", "12", Some("12")),
        ] {
            assert_eq!(dictated_digits(text, Language::of(Some(tag))).as_deref(), digits, "{tag}: {text}");
        }
    }

    #[test]
    fn each_digit_has_a_name_in_each_built_in_language() {
        for language in super::super::LANGUAGES {
            for wanted in 0..=9 {
                let mut named = language.ratings.iter().chain(language.other_digits);
                assert!(named.any(|(_, digit)| *digit == wanted), "{}: {wanted}", language.tag);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_yields_digits_alone(text in "\\PC{0,60}", tag in "(en|de|es|fr|hi|pt|xx)") {
            let digits = dictated_digits(&text, Language::of(Some(&tag)));
            prop_assert!(digits.is_none_or(|it| !it.is_empty() && it.chars().all(|c| c.is_ascii_digit())));
        }
    }
}
