//! Webhooks: where they may lead, and the events to which they subscribe.

use super::ControlError;
use crate::egress::DestinationPolicy;
use crate::store::{NewWebhook, Scope, StoreError, WebhookChanges, WebhookWithSecret};
use crate::tenancy::{Actor, EventType, Webhook, WebhookId};
use crate::violation::Violation;

/// The most event types in one request; there are far fewer.
const MOST_EVENTS: usize = 100;

/// Creates a webhook.
///
/// # Errors
/// `Invalid` for a URL that may not be called or for events that cannot be subscribed to; `LimitReached`; those of the
/// database.
pub async fn create_webhook(
    scope: &Scope,
    actor: &Actor,
    receivers: &DestinationPolicy,
    new: NewWebhook,
) -> Result<WebhookWithSecret, ControlError> {
    ControlError::unless_none(violations(receivers, Some(&new.url), Some(&new.events)))?;
    Ok(scope.create_webhook(actor, new).await?)
}

/// Changes a webhook. `precondition` gets it as it is, in the transaction that changes it.
///
/// # Errors
/// As of [`create_webhook`]; those of `precondition`; `NotFound` when there is no such webhook.
pub async fn update_webhook<E: From<StoreError> + From<ControlError>>(
    scope: &Scope,
    actor: &Actor,
    receivers: &DestinationPolicy,
    id: WebhookId,
    changes: WebhookChanges,
    precondition: impl FnOnce(&Webhook) -> Result<(), E>,
) -> Result<Webhook, E> {
    ControlError::unless_none(violations(receivers, changes.url.as_deref(), changes.events.as_deref()))?;
    let decide = |current: &Webhook| -> Result<WebhookChanges, E> {
        precondition(current)?;
        Ok(changes)
    };
    scope.update_webhook_if(actor, id, decide).await
}

fn violations(
    receivers: &DestinationPolicy,
    url: Option<&str>,
    events: Option<&[EventType]>,
) -> Vec<Violation> {
    let url =
        url.and_then(|url| receivers.check(url).err()).map(|error| Violation::new("url", error.to_string()));
    url.into_iter().chain(events.and_then(events_violation)).collect()
}

fn events_violation(events: &[EventType]) -> Option<Violation> {
    let problem = if events.is_empty() {
        "a webhook subscribes to at least one type of event".to_owned()
    } else if events.contains(&EventType::Ping) {
        "ping cannot be subscribed to: it is sent to the webhook that is tested".to_owned()
    } else if events.len() > MOST_EVENTS {
        format!("{MOST_EVENTS} at most")
    } else {
        return None;
    };
    Some(Violation::new("events", problem))
}
