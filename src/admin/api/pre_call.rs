//! The pre-call webhooks of phone numbers, and that of the tenant for numbers without their own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Reader};
use super::extract::{Body, Ids};
use super::idempotency::Unstored;
use super::preconditions::{IF_MATCH, Precondition, Tagged, entity_tag};
use super::problem::Problem;
use crate::control::{self, PreCallTrial};
use crate::store::{IssuedPreCall, Scope};
use crate::tenancy::{Actor, NumberId, PreCallOwner, PreCallWebhook, TenantId};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(show, replace, delete))
        .routes(routes!(rotate_secret))
        .routes(routes!(test))
        .routes(routes!(show_tenants, replace_tenants, delete_tenants))
        .routes(routes!(rotate_tenants_secret))
}

#[derive(Deserialize)]
struct OfNumber {
    phone_number_id: NumberId,
}

impl OfNumber {
    fn owner(&self) -> PreCallOwner {
        PreCallOwner::Number(self.phone_number_id)
    }
}

/// Where calls are asked about.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetPreCallWebhookRequest {
    /// An `https` URL on a public address, without user and password.
    #[schema(max_length = 2000, pattern = "^https?://", examples("https://example.com/calls"))]
    url: String,
    /// How long it has for its response, in milliseconds. The caller hears ringing meanwhile. Default: 2000.
    #[serde(default = "two_seconds")]
    #[schema(value_type = i64, minimum = 100, maximum = 5000)]
    timeout_ms: u32,
}

fn two_seconds() -> u32 {
    2_000
}

/// A pre-call webhook, with its secret where it is new.
#[derive(Serialize, ToSchema)]
struct IssuedPreCallWebhook {
    #[serde(flatten)]
    webhook: PreCallWebhook,
    /// The key of the requests' signatures, as Standard Webhooks specifies; only in the response that creates the
    /// webhook or replaces the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<IssuedPreCall> for IssuedPreCallWebhook {
    fn from(IssuedPreCall { webhook, secret }: IssuedPreCall) -> IssuedPreCallWebhook {
        IssuedPreCallWebhook { webhook, secret: secret.map(|secret| secret.expose_secret().to_owned()) }
    }
}

/// Sets a webhook: 201 with the secret of a new one, 200 otherwise.
async fn set(
    api: &ApiState,
    (scope, actor): (&Scope, &Actor),
    owner: PreCallOwner,
    precondition: &Precondition,
    wanted: &SetPreCallWebhookRequest,
) -> Result<Response, Problem> {
    let check = |current: Option<&PreCallWebhook>| precondition.check_if_any(current);
    let wanted = (owner, wanted.url.as_str(), wanted.timeout_ms);
    let set = control::set_pre_call_webhook(scope, actor, &api.receivers, wanted, check).await?;
    let status = if set.secret.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    let tag = entity_tag(&set.webhook);
    Ok((status, tag, Json(IssuedPreCallWebhook::from(set))).into_response())
}

/// Show a phone number's pre-call webhook.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/pre-call-webhook",
    operation_id = "getPreCallWebhook", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, description = "The webhook.", body = PreCallWebhook)))]
async fn show(
    Reader { scope }: Reader,
    Ids(number): Ids<OfNumber>,
) -> Result<Tagged<PreCallWebhook>, Problem> {
    Ok(Tagged(scope.pre_call_webhook(number.owner()).await?))
}

/// Set a phone number's pre-call webhook, which is asked about each call while it rings.
///
/// The request is signed as webhooks are (Standard Webhooks) and has `type`, `call_id`, `tenant_id`, `phone_number_id`,
/// `called_number`, `caller_number`, `sip_headers` and `at`. The response, JSON of at most 16 KiB with status 200, or 204, may choose
/// `profile` (id or name) with `version`, `variables` and `overrides` (`greeting`, `language`, `voice`); or `forward` the call to a
/// transfer target; or `reject` it (`busy`, `declined`, `unavailable`, `unknown_number`). Where it is late or invalid the call is answered
/// as without it, and the call's record has the reason in `pre_call`.
#[utoipa::path(put, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/pre-call-webhook",
    operation_id = "setPreCallWebhook", tag = "phone numbers", request_body = SetPreCallWebhookRequest,
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses(
        (status = 200, description = "The webhook after the change. It keeps its secret.", body = IssuedPreCallWebhook),
        (status = 201, description = "The webhook was created. Store the secret: it is not shown again.",
            body = IssuedPreCallWebhook)))]
async fn replace(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(number): Ids<OfNumber>,
    precondition: Precondition,
    Body(wanted): Body<SetPreCallWebhookRequest>,
) -> Result<Response, Problem> {
    set(&api, (&scope, &actor), number.owner(), &precondition, &wanted).await
}

/// Remove a phone number's pre-call webhook.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/pre-call-webhook",
    operation_id = "deletePreCallWebhook", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 204, description = "The webhook was removed.")))]
async fn delete(
    Administrator { scope, actor }: Administrator,
    Ids(number): Ids<OfNumber>,
    precondition: Precondition,
) -> Result<StatusCode, Problem> {
    let check = |current: &PreCallWebhook| precondition.check(current);
    scope.delete_pre_call_webhook_if(&actor, number.owner(), check).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace the secret of a phone number's pre-call webhook. For 24 hours requests are signed with the former one, too.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/pre-call-webhook/rotate-secret",
    operation_id = "rotatePreCallWebhookSecret", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, description = "The webhook with its new secret. Store the secret: it is not shown again.",
        body = IssuedPreCallWebhook)))]
async fn rotate_secret(
    Administrator { scope, actor }: Administrator,
    Ids(number): Ids<OfNumber>,
) -> Result<Unstored<Json<IssuedPreCallWebhook>>, Problem> {
    let issued = scope.rotate_pre_call_secret(&actor, number.owner()).await?;
    Ok(Unstored(Json(issued.into())))
}

/// Show the tenant's pre-call webhook.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/pre-call-webhook", operation_id = "getTenantPreCallWebhook",
    tag = "phone numbers", params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The webhook.", body = PreCallWebhook)))]
async fn show_tenants(Reader { scope }: Reader) -> Result<Tagged<PreCallWebhook>, Problem> {
    Ok(Tagged(scope.pre_call_webhook(PreCallOwner::Tenant).await?))
}

/// Set the tenant's pre-call webhook, which is asked about calls to numbers without a webhook of their own.
///
/// A number with `uses_tenant_webhook: false` is left out. Request and response are those of a number's webhook.
#[utoipa::path(put, path = "/api/tenants/{tenant_id}/pre-call-webhook", operation_id = "setTenantPreCallWebhook",
    tag = "phone numbers", request_body = SetPreCallWebhookRequest,
    params(("tenant_id" = TenantId, Path), ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses(
        (status = 200, description = "The webhook after the change. It keeps its secret.", body = IssuedPreCallWebhook),
        (status = 201, description = "The webhook was created. Store the secret: it is not shown again.",
            body = IssuedPreCallWebhook)))]
async fn replace_tenants(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    precondition: Precondition,
    Body(wanted): Body<SetPreCallWebhookRequest>,
) -> Result<Response, Problem> {
    set(&api, (&scope, &actor), PreCallOwner::Tenant, &precondition, &wanted).await
}

/// Remove the tenant's pre-call webhook.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/pre-call-webhook", operation_id = "deleteTenantPreCallWebhook",
    tag = "phone numbers",
    params(("tenant_id" = TenantId, Path), ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 204, description = "The webhook was removed.")))]
async fn delete_tenants(
    Administrator { scope, actor }: Administrator,
    precondition: Precondition,
) -> Result<StatusCode, Problem> {
    let check = |current: &PreCallWebhook| precondition.check(current);
    scope.delete_pre_call_webhook_if(&actor, PreCallOwner::Tenant, check).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace the secret of the tenant's pre-call webhook. For 24 hours requests are signed with the former one, too.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/pre-call-webhook/rotate-secret",
    operation_id = "rotateTenantPreCallWebhookSecret", tag = "phone numbers",
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The webhook with its new secret. Store the secret: it is not shown again.",
        body = IssuedPreCallWebhook)))]
async fn rotate_tenants_secret(
    Administrator { scope, actor }: Administrator,
) -> Result<Unstored<Json<IssuedPreCallWebhook>>, Problem> {
    let issued = scope.rotate_pre_call_secret(&actor, PreCallOwner::Tenant).await?;
    Ok(Unstored(Json(issued.into())))
}

/// A call to try the webhook with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TestPreCallWebhookRequest {
    /// The caller's number in the request. Default: `null`, as for a withheld one.
    #[serde(default)]
    #[schema(max_length = 40, pattern = r"^\+?[0-9]{1,39}$", examples("+493055500199"))]
    caller_number: Option<String>,
}

/// Ask the pre-call webhook of a phone number, or the tenant's that applies to it, about a call that does not exist:
/// `type` is `call.test`, and nothing is done with the response.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/phone-numbers/{phone_number_id}/pre-call-webhook/test",
    operation_id = "testPreCallWebhook", tag = "phone numbers", request_body = TestPreCallWebhookRequest,
    params(("tenant_id" = TenantId, Path), ("phone_number_id" = NumberId, Path)),
    responses((status = 200, description = "The result.", body = PreCallTrial)))]
async fn test(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(OfNumber { phone_number_id }): Ids<OfNumber>,
    Body(TestPreCallWebhookRequest { caller_number }): Body<TestPreCallWebhookRequest>,
) -> Result<Json<PreCallTrial>, Problem> {
    if caller_number.as_deref().is_some_and(|number| !is_number(number)) {
        return Err(Problem::field("caller_number", "digits, with a plus sign or not"));
    }
    let rules = api.transfer.get();
    let (asked, tried) = ((&*api.pre_call, &*rules), (phone_number_id, caller_number));
    Ok(Json(control::test_pre_call_webhook(&api.store, &scope, &actor, asked, tried).await?))
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (1..=39).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}
