//! The words of a text, in the form in which the lists have them.

/// The words of `text` in lower case, without punctuation and without nukta.
pub fn words(text: &str) -> Vec<String> {
    let words = text.split(|c| !is_part_of_word(c)).filter(|word| word.contains(char::is_alphanumeric));
    words.map(fold).collect()
}

/// A word in lower case. Devanagari letters are without nukta, which recognisers write or omit as they like.
pub fn fold(word: &str) -> String {
    let letters = word.chars().filter_map(without_nukta);
    letters.flat_map(char::to_lowercase).collect()
}

/// Letters and digits, and the signs within a syllable of the Indic scripts that Unicode does not count as alphabetic:
/// nukta, virama, joiners.
pub(super) fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, NUKTA | '\u{94d}' | '\u{200c}' | '\u{200d}') || is_virama(c)
}

const NUKTA: char = '\u{93c}';

/// Virama of Bengali, Gurmukhi, Gujarati, Oriya, Tamil, Telugu, Kannada and Malayalam.
fn is_virama(c: char) -> bool {
    matches!(c, '\u{9cd}' | '\u{a4d}' | '\u{acd}' | '\u{b4d}' | '\u{bcd}' | '\u{c4d}' | '\u{ccd}' | '\u{d4d}')
}

/// The letter without nukta; `None` for the nukta and the joiners themselves.
fn without_nukta(c: char) -> Option<char> {
    match c {
        NUKTA | '\u{200c}' | '\u{200d}' => None,
        '\u{958}' => Some('क'),
        '\u{959}' => Some('ख'),
        '\u{95a}' => Some('ग'),
        '\u{95b}' => Some('ज'),
        '\u{95c}' => Some('ड'),
        '\u{95d}' => Some('ढ'),
        '\u{95e}' => Some('फ'),
        '\u{95f}' => Some('य'),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_syllable_is_not_divided() {
        assert_eq!(words("अच्छा, ठीक है।"), ["अच्छा", "ठीक", "है"]);
        assert_eq!(words("आवाज़ आवा\u{95b}"), ["आवाज", "आवाज"]);
        assert_eq!(words("D'accord, OK?"), ["d", "accord", "ok"]);
        assert_eq!(words(" \u{94d} ... "), [] as [&str; 0]);
    }

    proptest! {
        #[test]
        fn every_word_is_folded(text in "\\PC{0,60}") {
            for word in words(&text) {
                prop_assert!(!word.is_empty());
                prop_assert_eq!(fold(&word), word);
            }
        }
    }
}
