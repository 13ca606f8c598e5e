//! Commands to calls in progress: words for the caller, notes for the agent, mute, transfer, end.
//!
//! Each is limited by tenant, and written to the audit log before it is given, without its words.

use axum::extract::State;
use axum::http::StatusCode;
use metrics::counter;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::Administrator;
use super::calls::OfCall;
use super::extract::{Body, Ids, ValidQuery};
use super::live::check_live;
use super::problem::{Problem, ProblemBody};
use crate::store::Scope;
use crate::tenancy::{
    AddNoteRequest, CallId, LiveCommand, LiveRefusal, MuteAgentRequest, SayToCallerRequest, TenantId,
    TransferCallerRequest, TransferTarget,
};
use crate::violation::Violation;

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(say))
        .routes(routes!(add_note))
        .routes(routes!(mute))
        .routes(routes!(unmute))
        .routes(routes!(transfer))
        .routes(routes!(cancel_transfer))
        .routes(routes!(hang_up))
}

/// Say something to the caller of a call in progress, in the agent's voice.
///
/// The transcript marks the words as an operator's. A muted agent says them as well.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/say", operation_id = "sayToCaller",
    tag = "live calls", request_body = SayToCallerRequest,
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 202, description = "The words will be said."),
        (status = 409, body = ProblemBody, description = "The call does not accept it: `call_not_live`, `call_not_answered`, `call_ending`, `call_transferring`, `too_many_commands`."),
        (status = 503, body = ProblemBody, description = "The call did not respond in time: `call_busy`.")))]
async fn say(
    State(api): State<ApiState>,
    administrator: Administrator,
    Ids(path): Ids<OfCall>,
    Body(request): Body<SayToCallerRequest>,
) -> Result<StatusCode, Problem> {
    give(&api, administrator, path.call_id, request.command().map_err(refused)?).await
}

/// Add a note for the agent of a call in progress.
///
/// The caller does not hear it. The agent reads it beside its system prompt, from its next response on.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/notes", operation_id = "addCallNote",
    tag = "live calls", request_body = AddNoteRequest,
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 202, description = "The agent has the note."),
        (status = 409, body = ProblemBody, description = "The call does not accept it: `call_not_live`, `call_not_answered`, `call_ending`, `call_transferring`, `too_many_commands`."),
        (status = 503, body = ProblemBody, description = "The call did not respond in time: `call_busy`.")))]
async fn add_note(
    State(api): State<ApiState>,
    administrator: Administrator,
    Ids(path): Ids<OfCall>,
    Body(request): Body<AddNoteRequest>,
) -> Result<StatusCode, Problem> {
    give(&api, administrator, path.call_id, request.command().map_err(refused)?).await
}

/// Mute the agent of a call in progress: it neither hears nor answers.
///
/// The agent hears again after the given time, or after `unmuteAgent`. A repetition begins the time anew.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/mute", operation_id = "muteAgent",
    tag = "live calls", request_body = MuteAgentRequest,
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 202, description = "The agent is muted."),
        (status = 409, body = ProblemBody, description = "The call does not accept it: `call_not_live`, `call_not_answered`, `call_ending`, `call_transferring`."),
        (status = 503, body = ProblemBody, description = "The call did not respond in time: `call_busy`.")))]
async fn mute(
    State(api): State<ApiState>,
    administrator: Administrator,
    Ids(path): Ids<OfCall>,
    Body(request): Body<MuteAgentRequest>,
) -> Result<StatusCode, Problem> {
    give(&api, administrator, path.call_id, request.command().map_err(refused)?).await
}

/// Let the agent of a call in progress hear again.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/unmute", operation_id = "unmuteAgent",
    tag = "live calls",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 202, description = "The agent hears the caller."),
        (status = 409, body = ProblemBody, description = "The call does not accept it: `call_not_live`, `call_not_answered`, `call_ending`, `call_transferring`."),
        (status = 503, body = ProblemBody, description = "The call did not respond in time: `call_busy`.")))]
async fn unmute(
    State(api): State<ApiState>,
    administrator: Administrator,
    Ids(path): Ids<OfCall>,
) -> Result<StatusCode, Problem> {
    give(&api, administrator, path.call_id, LiveCommand::Unmute).await
}

/// Transfer the caller of a call in progress to one of the tenant's targets.
///
/// The operator's rules of transfers apply. With `take_over` the agent is silent at once. If the target is not reached, the agent
/// has the caller again and knows why. The events and the record of the call have the outcome.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/transfer", operation_id = "transferCaller",
    tag = "live calls", request_body = TransferCallerRequest,
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 202, description = "The transfer will begin."),
        (status = 409, body = ProblemBody, description = "The call does not accept it: `call_not_live`, `call_not_answered`, `call_ending`, `call_transferring`, `too_many_commands`, `target_unavailable`; or the tenant has no such target: `unknown_target`."),
        (status = 503, body = ProblemBody, description = "The call did not respond in time: `call_busy`.")))]
async fn transfer(
    State(api): State<ApiState>,
    administrator: Administrator,
    Ids(path): Ids<OfCall>,
    Body(request): Body<TransferCallerRequest>,
) -> Result<StatusCode, Problem> {
    check_live(&api, &administrator.scope, path.call_id).await?;
    let target = target(&administrator.scope, &request).await?;
    give(&api, administrator, path.call_id, LiveCommand::transfer(target, request.take_over)).await
}

/// Cancel the transfer of a call in progress, while the target rings or is asked to accept the call.
///
/// The caller returns to the agent, which knows that an operator cancelled it.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/cancel-transfer", operation_id = "cancelTransfer",
    tag = "live calls",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 202, description = "The caller returns to the agent."),
        (status = 409, body = ProblemBody, description = "The call does not accept it: `call_not_live`; or there is no transfer, or none that can be cancelled: `no_transfer`."),
        (status = 503, body = ProblemBody, description = "The call did not respond in time: `call_busy`.")))]
async fn cancel_transfer(
    State(api): State<ApiState>,
    administrator: Administrator,
    Ids(path): Ids<OfCall>,
) -> Result<StatusCode, Problem> {
    give(&api, administrator, path.call_id, LiveCommand::CancelTransfer).await
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HangUpQuery {
    /// `false`: the call ends at once. Default: the agent says goodbye.
    goodbye: Option<bool>,
}

/// End a call in progress: the agent says goodbye and hangs up.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/hang-up", operation_id = "hangUpCall",
    tag = "live calls",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path), HangUpQuery),
    responses((status = 202, description = "The call is being ended."),
        (status = 409, body = ProblemBody, description = "The call is not in progress, or is over already: `call_not_live`, `call_ending`."),
        (status = 503, body = ProblemBody, description = "The call did not respond in time: `call_busy`.")))]
async fn hang_up(
    State(api): State<ApiState>,
    administrator: Administrator,
    Ids(path): Ids<OfCall>,
    ValidQuery(HangUpQuery { goodbye }): ValidQuery<HangUpQuery>,
) -> Result<StatusCode, Problem> {
    give(&api, administrator, path.call_id, LiveCommand::end(goodbye.unwrap_or(true))).await
}

fn refused(violation: Violation) -> Problem {
    Problem::fields(vec![violation])
}

async fn target(scope: &Scope, request: &TransferCallerRequest) -> Result<TransferTarget, Problem> {
    let found = scope.targets().await?.into_iter().find(|target| target.name == request.target);
    found.ok_or_else(|| {
        Problem::new(StatusCode::CONFLICT, "unknown_target", "there is no transfer target of this name")
    })
}

/// Gives a command to a call.
///
/// # Errors
/// 404 when the tenant has no such call; 409 or 503 with the call's refusal; 429 when the tenant has given too many.
async fn give(
    api: &ApiState,
    Administrator { scope, actor }: Administrator,
    call: CallId,
    command: LiveCommand,
) -> Result<StatusCode, Problem> {
    check_live(api, &scope, call).await?;
    api.limits.admit_command(scope.tenant_id())?;
    let name = command.as_str();
    // Before the act, so that none is without its entry. A call that ends by itself meanwhile has one, too.
    scope.note_access(&actor, name, "call", call.0).await?;
    let outcome = api.live.command(scope.tenant_id(), call, command).await;
    let label = outcome.as_ref().err().map_or("accepted", LiveRefusal::as_str);
    counter!("vca_live_commands_total", "command" => name, "outcome" => label).increment(1);
    outcome.map(|()| StatusCode::ACCEPTED).map_err(|refusal| problem(&refusal))
}

fn problem(refusal: &LiveRefusal) -> Problem {
    match refusal {
        LiveRefusal::NoResponse => Problem::unavailable(refusal.as_str(), &refusal.to_string()),
        _ => Problem::new(StatusCode::CONFLICT, refusal.as_str(), refusal.to_string()),
    }
}
