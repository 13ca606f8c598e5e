//! The message of a failover route: fixed words that callers hear in place of a conversation, or of a goodbye.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{LONGEST_PHRASE, LineBreaks, required};

/// Words of 1 to 1,000 characters, without variables: they are spoken as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 1000, examples("We are closed until Monday."))]
pub struct FailoverMessage(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailoverMessageError {
    #[error("a message has no variables: remove {{{{")]
    HasVariable,
    /// With the rule that they break.
    #[error("a message has 1 to {LONGEST_PHRASE} characters: {0}")]
    Text(String),
}

impl FailoverMessage {
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }
}

impl TryFrom<String> for FailoverMessage {
    type Error = FailoverMessageError;

    fn try_from(text: String) -> Result<FailoverMessage, FailoverMessageError> {
        if let Some(violation) = required("say", &text, LONGEST_PHRASE, LineBreaks::Allowed) {
            return Err(FailoverMessageError::Text(violation.problem));
        }
        if text.contains("{{") {
            Err(FailoverMessageError::HasVariable)
        } else {
            Ok(FailoverMessage(text.into()))
        }
    }
}

impl From<FailoverMessage> for String {
    fn from(message: FailoverMessage) -> String {
        message.0.as_ref().to_owned()
    }
}

impl fmt::Display for FailoverMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_words_and_no_variables() {
        let message = |text: &str| FailoverMessage::try_from(text.to_owned());
        assert_eq!(String::from(message("We are closed.").unwrap()), "We are closed.");
        assert!(message(&"ö".repeat(LONGEST_PHRASE)).is_ok());
        for wrong in ["", "  ", "a\u{7}b", &"x".repeat(LONGEST_PHRASE + 1)] {
            assert!(matches!(message(wrong), Err(FailoverMessageError::Text(_))), "{wrong:?}");
        }
        assert_eq!(message("Hello {{caller}}"), Err(FailoverMessageError::HasVariable));
        assert_eq!(FailoverMessageError::HasVariable.to_string(), "a message has no variables: remove {{");
    }
}
