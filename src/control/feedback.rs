//! Feedback on calls.

use super::ControlError;
use crate::store::{NewFeedback, Scope};
use crate::tenancy::{Actor, CallId, Feedback, check_comment, check_name};
use crate::violation::Violation;

/// The most characters of a comment, and of the name of its source.
const LONGEST_COMMENT: usize = 4_000;
const LONGEST_SOURCE: usize = 100;

/// Records feedback on a call.
///
/// # Errors
/// `Invalid` with all violations; `NotFound` when the tenant has no such call; `LimitReached`; those of the database.
pub async fn create_feedback(
    scope: &Scope,
    actor: &Actor,
    call: CallId,
    new: NewFeedback,
) -> Result<Feedback, ControlError> {
    let rating = (!(1..=5).contains(&new.rating)).then(|| Violation::new("rating", "1 to 5"));
    let comment = new.comment.as_deref().and_then(|it| check_comment("comment", it, LONGEST_COMMENT));
    let source = check_name("source", &new.source, LONGEST_SOURCE);
    ControlError::unless_none([rating, comment, source].into_iter().flatten())?;
    Ok(scope.create_feedback(actor, call, new).await?)
}
