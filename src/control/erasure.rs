//! Erasing the personal data of a call or of a caller.

use serde::Deserialize;
use tracing::info;
use utoipa::ToSchema;

use super::ControlError;
use crate::state::ConversationState;
use crate::store::{Erased, Scope, StoreError, Subject};
use crate::tenancy::{Actor, Call, CallId};

/// Whose data is to be erased: exactly one of `call_id` and `caller_number`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ErasureRequest {
    /// One call.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub call_id: Option<CallId>,
    /// All calls of a caller, with or without a plus sign.
    #[schema(min_length = 3, max_length = 20, pattern = r"^\+?[0-9]{3,19}$", examples("+15550123"))]
    pub caller_number: Option<String>,
    /// Only count what would be erased.
    pub dry_run: bool,
}

impl ErasureRequest {
    fn subject(&self) -> Result<Subject, ControlError> {
        match (self.call_id, self.caller_number.as_deref()) {
            (Some(call), None) => Ok(Subject::Call(call)),
            (None, Some(number)) if is_number(number) => Ok(Subject::Caller(number.to_owned())),
            (None, Some(_)) => Err(ControlError::field("caller_number", "3 to 19 digits, with or without +")),
            _ => Err(ControlError::field("call_id", "give either call_id or caller_number")),
        }
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (3..=19).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Erases what is stored of a call or a caller. `live` are the tenant's calls in progress, where they are known.
///
/// # Errors
/// `Invalid` for a request that names nothing or both; `NotFound` when the tenant has no such call; `Refused`
/// (`call_live`) when a call is in progress; those of the database.
pub async fn erase(
    scope: &Scope,
    state: Option<&dyn ConversationState>,
    live: &[Call],
    actor: &Actor,
    request: &ErasureRequest,
) -> Result<Erased, ControlError> {
    let subject = request.subject()?;
    if let Some(call) = live.iter().find(|call| is_of(call, &subject)) {
        let what = format!("the call {} is in progress: erase it when it is over", call.id);
        return Err(StoreError::Refused { code: "call_live", what }.into());
    }
    let erased = scope.erase(actor, &subject, request.dry_run).await?;
    if let Some(state) = state.filter(|_| !request.dry_run) {
        for call in &erased.ids {
            state.end(*call).await;
        }
    }
    info!(tenant_id = %scope.tenant_id(), calls = erased.calls, dry_run = request.dry_run, "personal data erased");
    Ok(erased)
}

fn is_of(call: &Call, subject: &Subject) -> bool {
    let plain = |number: &str| number.trim_start_matches('+').to_owned();
    call.ended_at.is_none()
        && match subject {
            Subject::Call(id) => call.id == *id,
            Subject::Caller(number) => call.caller_number.as_deref().map(plain) == Some(plain(number)),
        }
}
