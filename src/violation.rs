//! A value that breaks a rule, as settings, requests and profiles report it.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

/// A violation of one field. It never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct Violation {
    /// Path of the field, such as `settings.turn.max_turns`.
    pub field: String,
    /// The problem, and the expectation.
    pub problem: String,
    /// How to mend it, where the problem does not say so already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub remedy: Option<String>,
}

impl Violation {
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Violation {
        Violation { field: field.into(), problem: problem.into(), remedy: None }
    }

    pub fn with_remedy(
        field: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Violation {
        Violation { remedy: Some(remedy.into()), ..Violation::new(field, problem) }
    }

    /// The same violation with a path that begins at `parent`.
    pub fn below(self, parent: &str) -> Violation {
        Violation { field: format!("{parent}.{}", self.field), ..self }
    }
}

/// `field: problem; remedy`.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "; {remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_one_line() {
        let plain = Violation::new("name", "it is empty").below("profile");
        assert_eq!(plain.to_string(), "profile.name: it is empty");
        let curable =
            Violation::with_remedy("turn.max_turns", "0 makes no sense here", "set it to 1 or more");
        assert_eq!(curable.to_string(), "turn.max_turns: 0 makes no sense here; set it to 1 or more");
    }
}
