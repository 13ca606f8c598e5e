//! DTMF: the keys of a telephone keypad, and how they are sent.
//!
//! Callers enter card numbers and PINs by keys, so no `Debug` output shows one.

use std::fmt;
use std::time::Duration;

/// One key: `0` to `9`, `A` to `D`, `*` or `#` (RFC 4733, section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(char);

impl Digit {
    /// Reads a key; `None` for any other text. Asterisk reports one character.
    pub fn parse(text: &str) -> Option<Digit> {
        let mut characters = text.chars();
        let first = characters.next().filter(|_| characters.next().is_none())?;
        Digit::try_from(first).ok()
    }

    pub fn as_char(self) -> char {
        self.0
    }
}

/// A character that is not on a telephone keypad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key of a telephone keypad")]
pub struct NotADigitError;

impl TryFrom<char> for Digit {
    type Error = NotADigitError;

    fn try_from(character: char) -> Result<Self, NotADigitError> {
        match character.to_ascii_uppercase() {
            key @ ('0'..='9' | 'A'..='D' | '*' | '#') => Ok(Digit(key)),
            _ => Err(NotADigitError),
        }
    }
}

/// Masked.
impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit(masked)")
    }
}

/// How long keys are held when VCA sends them, and the pause between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DtmfTiming {
    pub tone: Duration,
    pub pause: Duration,
}

impl Default for DtmfTiming {
    /// Asterisk's own defaults, 100 ms each. Receivers recognise tones from 40 ms (ITU-T Q.24).
    fn default() -> Self {
        DtmfTiming { tone: Duration::from_millis(100), pause: Duration::from_millis(100) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: &str = "0123456789ABCD*#";

    #[test]
    fn each_key_is_read_and_not_shown() {
        for key in KEYS.chars() {
            let digit = Digit::parse(&key.to_string()).unwrap();
            assert_eq!(digit.as_char(), key);
            assert_eq!(format!("{digit:?}"), "Digit(masked)");
        }
        assert_eq!(Digit::parse("b").map(Digit::as_char), Some('B'));
    }

    proptest! {
        #[test]
        fn any_other_text_is_refused(text in any::<String>()) {
            let is_key = text.chars().count() == 1 && KEYS.contains(&text.to_ascii_uppercase());
            prop_assert_eq!(Digit::parse(&text).is_some(), is_key);
        }
    }
}
