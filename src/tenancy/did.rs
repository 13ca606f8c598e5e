//! Called numbers. Logs show them in full, and callers' numbers masked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A called number in E.164: `+` and 3 to 15 digits. In memory it has no plus sign.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = r"^\+[0-9]{3,15}$", examples("+493055500100"))]
pub struct Did(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a phone number: it takes 3 to 15 digits, with or without a leading +")]
pub struct DidError(pub String);

impl Did {
    /// The digits, without a plus sign.
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// The digits of a text that contains only digits and characters of formatting.
    pub(super) fn bare(text: &str) -> Option<String> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '(' | ')')).collect();
        digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)
    }
}

impl FromStr for Did {
    type Err = DidError;

    /// Accepts the number with or without a leading `+`, and with spaces, dots, dashes and brackets.
    fn from_str(text: &str) -> Result<Did, DidError> {
        let trimmed = text.trim();
        let digits = Did::bare(trimmed.strip_prefix('+').unwrap_or(trimmed));
        let digits = digits.filter(|digits| (3..=15).contains(&digits.len()));
        digits.map(Did).ok_or_else(|| DidError(text.chars().take(32).collect()))
    }
}

impl TryFrom<String> for Did {
    type Error = DidError;
    fn try_from(text: String) -> Result<Did, DidError> {
        text.parse()
    }
}

impl From<Did> for String {
    fn from(did: Did) -> String {
        did.to_string()
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Did(+{})", self.0)
    }
}

/// A caller's number for a log: the last two digits, and dots for the rest.
pub fn mask(number: &str) -> String {
    let shown = number.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
    let hidden = number[..shown].chars().count();
    format!("{}{}", "·".repeat(hidden), &number[shown..])
}
