//! Webhooks of a tenant's, and their delivery log.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Reader};
use super::extract::{Body, Ids, Listed, Paging, ValidQuery};
use super::idempotency::Unstored;
use super::preconditions::{IF_MATCH, Precondition, Tagged};
use super::problem::Problem;
use crate::control;
use crate::store::{DeliveryFilter, NewWebhook, WebhookChanges, WebhookWithSecret};
use crate::tenancy::{Delivery, DeliveryId, DeliveryStatus, EventType, TenantId, Webhook, WebhookId};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, update, delete))
        .routes(routes!(rotate_secret))
        .routes(routes!(ping))
        .routes(routes!(deliveries))
        .routes(routes!(retry))
}

#[derive(Deserialize)]
struct OfWebhook {
    webhook_id: WebhookId,
}

#[derive(Deserialize)]
struct OfDelivery {
    webhook_id: WebhookId,
    delivery_id: DeliveryId,
}

/// A webhook with its secret. The secret is not shown again.
#[derive(Serialize, ToSchema)]
struct IssuedWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// The key of the requests' signatures, as Standard Webhooks specifies: `whsec_` and base64.
    #[schema(examples("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"))]
    secret: String,
}

impl From<WebhookWithSecret> for Unstored<Json<IssuedWebhook>> {
    fn from(issued: WebhookWithSecret) -> Unstored<Json<IssuedWebhook>> {
        let secret = issued.secret.expose_secret().to_owned();
        Unstored(Json(IssuedWebhook { webhook: issued.webhook, secret }))
    }
}

/// Create a webhook. It starts as active. The response has its secret, which is not shown again.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/webhooks", operation_id = "createWebhook", tag = "webhooks",
    request_body = NewWebhook,
    params(("tenant_id" = TenantId, Path)),
    responses(
        (status = 201, description = "The webhook was created. Store the secret: it is not shown again.", body = IssuedWebhook)))]
async fn create(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Body(new): Body<NewWebhook>,
) -> Result<(StatusCode, Unstored<Json<IssuedWebhook>>), Problem> {
    let issued = control::create_webhook(&scope, &actor, &api.receivers, new).await?;
    Ok((StatusCode::CREATED, issued.into()))
}

/// List webhooks, oldest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/webhooks", operation_id = "listWebhooks", tag = "webhooks",
    params(("tenant_id" = TenantId, Path), Paging),
    responses((status = 200, description = "A page of webhooks.", body = Listed<Webhook>)))]
async fn list(
    Reader { scope }: Reader,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<Webhook>>, Problem> {
    Ok(scope.webhooks(paging.window()?).await?.into())
}

/// Show a webhook.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}", operation_id = "getWebhook",
    tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path)),
    responses((status = 200, description = "The webhook.", body = Webhook)))]
async fn show(Reader { scope }: Reader, Ids(path): Ids<OfWebhook>) -> Result<Tagged<Webhook>, Problem> {
    Ok(Tagged(scope.webhook(path.webhook_id).await?))
}

/// Change a webhook. An inactive webhook receives nothing, and its pending deliveries are given up.
#[utoipa::path(patch, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}", operation_id = "updateWebhook",
    tag = "webhooks", request_body = WebhookChanges,
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 200, description = "The webhook after the change.", body = Webhook)))]
async fn update(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfWebhook>,
    precondition: Precondition,
    Body(changes): Body<WebhookChanges>,
) -> Result<Tagged<Webhook>, Problem> {
    let precondition = |current: &Webhook| precondition.check(current);
    let changed =
        control::update_webhook(&scope, &actor, &api.receivers, path.webhook_id, changes, precondition);
    Ok(Tagged(changed.await?))
}

/// Delete a webhook. Its pending deliveries are given up.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}", operation_id = "deleteWebhook",
    tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path),
        ("If-Match" = Option<String>, Header, description = IF_MATCH)),
    responses((status = 204, description = "The webhook was deleted.")))]
async fn delete(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfWebhook>,
    precondition: Precondition,
) -> Result<StatusCode, Problem> {
    scope.delete_webhook_if(&actor, path.webhook_id, |current| precondition.check(current)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace a webhook's secret. For 24 hours requests are signed with the former one, too.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}/rotate-secret",
    operation_id = "rotateWebhookSecret", tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path)),
    responses(
        (status = 200, description = "The webhook with its new secret. Store the secret: it is not shown again.", body = IssuedWebhook)))]
async fn rotate_secret(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfWebhook>,
) -> Result<Unstored<Json<IssuedWebhook>>, Problem> {
    Ok(scope.rotate_webhook_secret(&actor, path.webhook_id).await?.into())
}

/// Send a test event to a webhook, regardless of its subscription. The delivery log has the result.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}/ping", operation_id = "pingWebhook",
    tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path)),
    responses((status = 202, description = "The delivery of the test event was queued.", body = Delivery)))]
async fn ping(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfWebhook>,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(scope.ping_webhook(&actor, path.webhook_id).await?)))
}

/// Conditions of a list of deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DeliveriesQuery {
    /// Only deliveries in this state.
    status: Option<DeliveryStatus>,
    /// Only deliveries of this type of event.
    event_type: Option<EventType>,
}

/// List a webhook's deliveries, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}/deliveries",
    operation_id = "listWebhookDeliveries", tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path), DeliveriesQuery, Paging),
    responses((status = 200, description = "A page of deliveries.", body = Listed<Delivery>)))]
async fn deliveries(
    Reader { scope }: Reader,
    Ids(path): Ids<OfWebhook>,
    ValidQuery(DeliveriesQuery { status, event_type }): ValidQuery<DeliveriesQuery>,
    ValidQuery(paging): ValidQuery<Paging>,
) -> Result<Json<Listed<Delivery>>, Problem> {
    Ok(scope
        .deliveries(path.webhook_id, DeliveryFilter { status, event_type }, paging.window()?)
        .await?
        .into())
}

/// Repeat a delivery now, whether it succeeded or was given up.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
    operation_id = "retryWebhookDelivery", tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path), ("delivery_id" = DeliveryId, Path)),
    responses((status = 202, description = "The delivery was queued again.", body = Delivery)))]
async fn retry(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfDelivery>,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(scope.retry_delivery(&actor, path.webhook_id, path.delivery_id).await?)))
}
