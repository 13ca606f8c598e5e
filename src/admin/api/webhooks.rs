//! Webhooks of a tenant's, and their delivery log.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::auth::{Administrator, Reader};
use super::extract::{Asked, Body, Ids, Listed, Paging};
use super::problem::{Problem, ProblemBody};
use crate::store::{DeliveryFilter, Issued, NewWebhook, WebhookChanges};
use crate::tenancy::{Delivery, DeliveryId, DeliveryStatus, EventType, TenantId, Webhook, WebhookId};

pub fn router() -> OpenApiRouter<Desk> {
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

/// A webhook with its secret, which is not shown again.
#[derive(Serialize, ToSchema)]
struct IssuedWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// Requests are signed with it, as Standard Webhooks has it: `whsec_` and base64.
    #[schema(examples("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"))]
    secret: String,
}

impl From<Issued> for Json<IssuedWebhook> {
    fn from(issued: Issued) -> Json<IssuedWebhook> {
        let secret = issued.secret.expose_secret().to_owned();
        Json(IssuedWebhook { webhook: issued.webhook, secret })
    }
}

/// Create a webhook. It starts out active; its secret is in the answer, and nowhere else.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/webhooks", tag = "webhooks", request_body = NewWebhook,
    params(("tenant_id" = TenantId, Path)),
    responses((status = 201, body = IssuedWebhook), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn create(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Body(new): Body<NewWebhook>,
) -> Result<(StatusCode, Json<IssuedWebhook>), Problem> {
    check_url(&desk, &new.url)?;
    Ok((StatusCode::CREATED, scope.create_webhook(&actor, new).await?.into()))
}

/// List webhooks, oldest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/webhooks", tag = "webhooks",
    params(("tenant_id" = TenantId, Path), Paging),
    responses((status = 200, body = Listed<Webhook>), (status = 404, body = ProblemBody)))]
async fn list(
    Reader { scope }: Reader,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Listed<Webhook>>, Problem> {
    Ok(scope.webhooks(paging.window()?).await?.into())
}

/// Show a webhook.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}", tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path)),
    responses((status = 200, body = Webhook), (status = 404, body = ProblemBody)))]
async fn show(Reader { scope }: Reader, Ids(path): Ids<OfWebhook>) -> Result<Json<Webhook>, Problem> {
    Ok(Json(scope.webhook(path.webhook_id).await?))
}

/// Change a webhook. Switched off, it is told nothing, and what was on its way is given up.
#[utoipa::path(patch, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}", tag = "webhooks",
    request_body = WebhookChanges,
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path)),
    responses((status = 200, body = Webhook), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn update(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfWebhook>,
    Body(changes): Body<WebhookChanges>,
) -> Result<Json<Webhook>, Problem> {
    if let Some(url) = &changes.url {
        check_url(&desk, url)?;
    }
    Ok(Json(scope.update_webhook(&actor, path.webhook_id, changes).await?))
}

/// Delete a webhook. What was on its way is given up.
#[utoipa::path(delete, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}", tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody)))]
async fn delete(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfWebhook>,
) -> Result<StatusCode, Problem> {
    scope.delete_webhook(&actor, path.webhook_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a webhook a new secret. For 24 hours requests are signed with the former one, too.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}/rotate-secret", tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path)),
    responses((status = 200, body = IssuedWebhook), (status = 404, body = ProblemBody)))]
async fn rotate_secret(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfWebhook>,
) -> Result<Json<IssuedWebhook>, Problem> {
    Ok(scope.rotate_webhook_secret(&actor, path.webhook_id).await?.into())
}

/// Send a webhook a test event, whatever it subscribes to. The delivery tells how that goes.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}/ping", tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path)),
    responses((status = 202, body = Delivery), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn ping(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfWebhook>,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(scope.ping_webhook(&actor, path.webhook_id).await?)))
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    status: Option<DeliveryStatus>,
    event_type: Option<EventType>,
}

/// Show a webhook's delivery log, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}/deliveries", tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path), Filter, Paging),
    responses((status = 200, body = Listed<Delivery>), (status = 404, body = ProblemBody)))]
async fn deliveries(
    Reader { scope }: Reader,
    Ids(path): Ids<OfWebhook>,
    Asked(Filter { status, event_type }): Asked<Filter>,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Listed<Delivery>>, Problem> {
    Ok(scope
        .deliveries(path.webhook_id, DeliveryFilter { status, event_type }, paging.window()?)
        .await?
        .into())
}

/// Send an event once more, at once, whether it was delivered or given up.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
    tag = "webhooks",
    params(("tenant_id" = TenantId, Path), ("webhook_id" = WebhookId, Path),
        ("delivery_id" = DeliveryId, Path)),
    responses((status = 202, body = Delivery), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
async fn retry(
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfDelivery>,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(scope.retry_delivery(&actor, path.webhook_id, path.delivery_id).await?)))
}

fn check_url(desk: &Desk, url: &str) -> Result<(), Problem> {
    desk.receivers.check(url).map(drop).map_err(|refused| Problem::field("url", refused))
}
