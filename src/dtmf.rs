//! A key of a telephone keypad (DTMF).

use std::fmt;

use serde::{Deserialize, Serialize};

/// One key: `0` to `9`, `A` to `D`, `*` or `#` (RFC 4733, section 3.2). `Debug` does not show it, because callers enter card
/// numbers and PINs by keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "char", into = "char")]
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

/// A key to send, or a pause before the next one. `Debug` does not show the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tone {
    Key(Digit),
    /// Half a second, as Asterisk's `w`.
    Pause,
}

impl Tone {
    /// As Asterisk reads it.
    pub fn as_char(self) -> char {
        match self {
            Tone::Key(digit) => digit.as_char(),
            Tone::Pause => 'w',
        }
    }
}

impl TryFrom<char> for Tone {
    type Error = NotADigitError;

    fn try_from(character: char) -> Result<Self, NotADigitError> {
        match character {
            'w' | 'W' => Ok(Tone::Pause),
            key => Digit::try_from(key).map(Tone::Key),
        }
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

impl From<Digit> for char {
    fn from(digit: Digit) -> char {
        digit.0
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit(masked)")
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
        let stored = serde_json::to_string(&Digit::parse("#")).unwrap();
        assert_eq!(stored, "\"#\"");
        assert!(serde_json::from_str::<Digit>("\"E\"").is_err());
    }

    proptest! {
        #[test]
        fn any_other_text_is_refused(text in any::<String>()) {
            let is_key = text.chars().count() == 1 && KEYS.contains(&text.to_ascii_uppercase());
            prop_assert_eq!(Digit::parse(&text).is_some(), is_key);
        }
    }
}
