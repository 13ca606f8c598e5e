//! Labels: words that tenants choose and that reach the dialplan or a model's schema.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A word of 1 to 40 of the characters `a` to `z`, digits, `_` and `-`, so that it can contain neither a variable nor a
/// separator of a dialplan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 40, pattern = "^[a-z0-9_-]{1,40}$", examples("night"))]
pub struct Label(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a label has 1 to 40 of the characters a to z, 0 to 9, _ and -")]
pub struct LabelError;

impl Label {
    const LONGEST: usize = 40;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Label, LabelError> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let is_label = !text.is_empty() && text.len() <= Label::LONGEST && text.bytes().all(is_allowed);
        if is_label { Ok(Label(text)) } else { Err(LabelError) }
    }
}

impl std::str::FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Label, LabelError> {
        text.to_owned().try_into()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> String {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_label_contains_nothing_that_the_dialplan_reads(text in ".{0,50}") {
            if let Ok(label) = text.parse::<Label>() {
                prop_assert!(label.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)));
                prop_assert!((1..=40).contains(&label.as_str().len()));
            }
        }
    }
}
