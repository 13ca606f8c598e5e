//! Pre-call webhooks of numbers and tenants: where they may lead, and trials.

use std::time::Instant;

use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;

use super::ControlError;
use crate::egress::DestinationPolicy;
use crate::store::{IssuedPreCall, Scope, Store, StoreError};
use crate::tenancy::{
    Actor, AgentChanges, CallId, Label, NumberId, PRE_CALL_TIMEOUT_MS, PreCallInstruction, PreCallOutcome,
    PreCallOwner, PreCallRequest, PreCallRequestType, PreCallWebhook, RejectCause, TransferRules,
};
use crate::violation::Violation;
use crate::webhooks::{PreCallClient, PreCallFailure};

/// The result of a trial of a pre-call webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PreCallTrial {
    pub outcome: PreCallOutcome,
    /// Why the response would have no effect.
    pub problem: Option<String>,
    /// Time until the complete response, in milliseconds.
    pub duration_ms: u32,
    /// How the agent would differ from the number's; `null` where none would answer, or without a valid response.
    pub agent: Option<AgentChanges>,
    /// The transfer target that the call would go to.
    pub forward: Option<Label>,
    /// Why the call would be refused.
    pub reject: Option<RejectCause>,
}

/// Sets the pre-call webhook of a number or of the tenant. `precondition` gets it as it is, in the transaction that
/// changes it.
///
/// # Errors
/// `Invalid` for a URL that may not be called and for a time that is not allowed; `NotFound` when the tenant does not have the
/// number; those of `precondition` and of the database.
pub async fn set_pre_call_webhook<E: From<StoreError> + From<ControlError>>(
    scope: &Scope,
    actor: &Actor,
    receivers: &DestinationPolicy,
    (owner, url, timeout_ms): (PreCallOwner, &str, u32),
    precondition: impl FnOnce(Option<&PreCallWebhook>) -> Result<(), E>,
) -> Result<IssuedPreCall, E> {
    if let PreCallOwner::Number(number) = owner {
        scope.number(number).await?;
    }
    let wrong_url = receivers.check(url).err().map(|error| Violation::new("url", error.to_string()));
    let wrong_time = (!PRE_CALL_TIMEOUT_MS.contains(&timeout_ms)).then(|| {
        let (least, most) = (PRE_CALL_TIMEOUT_MS.start(), PRE_CALL_TIMEOUT_MS.end());
        Violation::new("timeout_ms", format!("{least} to {most}"))
    });
    ControlError::unless_none(wrong_url.into_iter().chain(wrong_time))?;
    scope.set_pre_call_webhook_if(actor, owner, url, timeout_ms, precondition).await
}

/// Asks the webhook of a number, or the tenant's that applies to it, about a call that does not exist. The audit log
/// has the trial.
///
/// # Errors
/// `NotFound` when the tenant does not have the number, or no webhook is asked about its calls; those of the database.
pub async fn test_pre_call_webhook(
    store: &Store,
    scope: &Scope,
    actor: &Actor,
    (client, rules): (&PreCallClient, &TransferRules),
    (number, caller): (NumberId, Option<String>),
) -> Result<PreCallTrial, StoreError> {
    let number = scope.number(number).await?;
    let stored = scope.pre_call_for(&number).await?;
    scope.note_access(actor, "test_webhook", "phone_number", number.id.0).await?;
    let request = PreCallRequest {
        kind: PreCallRequestType::Test,
        call_id: CallId::new(),
        tenant_id: number.tenant_id,
        phone_number_id: number.id,
        called_number: number.did,
        caller_number: caller,
        sip_headers: Default::default(),
        at: Utc::now(),
    };
    let began = Instant::now();
    let asked = match store.open_pre_call_secrets(&stored, request.at) {
        Ok(secrets) => client.ask(&stored.webhook, &secrets, &request).await,
        Err(_) => Err(PreCallFailure::new(PreCallOutcome::Failed, "the webhook's secret cannot be opened")),
    };
    let duration_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    let usable = match asked {
        Ok(instruction) => usable(scope, rules, instruction).await?,
        Err(failure) => Err(failure),
    };
    Ok(PreCallTrial::new(usable, duration_ms))
}

impl PreCallTrial {
    fn new(result: Result<PreCallInstruction, PreCallFailure>, duration_ms: u32) -> PreCallTrial {
        let outcome = match &result {
            Ok(instruction) => instruction.outcome(),
            Err(failure) => failure.outcome,
        };
        let trial =
            PreCallTrial { outcome, problem: None, duration_ms, agent: None, forward: None, reject: None };
        match result {
            Ok(PreCallInstruction::Answer(changes)) => PreCallTrial { agent: Some(changes), ..trial },
            Ok(PreCallInstruction::Forward(target)) => PreCallTrial { forward: Some(target), ..trial },
            Ok(PreCallInstruction::Reject(cause)) => PreCallTrial { reject: Some(cause), ..trial },
            Err(PreCallFailure { problem, detail, .. }) => {
                let problem = match detail {
                    Some(detail) => format!("{problem}: {detail}"),
                    None => problem,
                };
                PreCallTrial { problem: Some(problem), ..trial }
            }
        }
    }
}

/// Does the tenant have the profile, and can a call be forwarded to the target at present?
async fn usable(
    scope: &Scope,
    rules: &TransferRules,
    instruction: PreCallInstruction,
) -> Result<Result<PreCallInstruction, PreCallFailure>, StoreError> {
    let invalid = |what: &str| Ok(Err(PreCallFailure::new(PreCallOutcome::Invalid, what)));
    match &instruction {
        PreCallInstruction::Answer(changes) => {
            if let Some(named) = &changes.profile
                && scope.named_profile(named).await?.is_none()
            {
                return invalid("the tenant has no such profile or version, or several of the name");
            }
        }
        PreCallInstruction::Forward(target) => {
            let targets = scope.targets().await?;
            if let Err(problem) = rules.forward_target(&targets, target, Utc::now()) {
                return invalid(&problem);
            }
        }
        PreCallInstruction::Reject(_) => {}
    }
    Ok(Ok(instruction))
}
