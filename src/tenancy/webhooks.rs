//! Webhooks: events, subscriptions and the delivery log.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::TenantId;
use super::kinds::{id, words};

id!(
    /// A webhook.
    WebhookId
);
id!(
    /// An event. Its id is the `webhook-id` by which receivers recognise duplicates.
    EventId
);
id!(
    /// The delivery of one event to one webhook.
    DeliveryId
);

words!(
    /// Type of an event. See the webhooks section for each type's payload. `ping` is sent on request only.
    EventType {
        /// A call has arrived.
        CallStarted = "call.started",
        CallAnswered = "call.answered",
        /// A caller reached the target of a transfer: it answered, or the caller was handed over. Once a call.
        CallTransferred = "call.transferred",
        /// A call has ended, in any way.
        CallEnded = "call.ended",
        /// An answered call has ended: its transcript.
        TranscriptReady = "transcript.ready",
        /// The analysis of a call has ended, with a result or without.
        CallAnalyzed = "call.analyzed",
        /// A quota of the plan is used up.
        QuotaReached = "quota.reached",
        /// Feedback on a call was stored.
        FeedbackReceived = "feedback.received",
        /// A number could not be registered with its provider, or unregistered.
        NumberRegistrationFailed = "number.registration_failed",
        /// A test. It is delivered to the tested webhook, regardless of its subscription.
        Ping = "ping",
    }
);

words!(
    /// State of a delivery. `pending`: the next attempt is due at `next_attempt_at`. `failed`: no further attempts.
    DeliveryStatus {
    Pending = "pending",
    Delivered = "delivered",
    /// Given up.
    Failed = "failed",
    }
);

impl EventId {
    /// The id of an event of a type about `subject`. It is derived from both, so an event that is written twice is
    /// the same event (UUID version 5, RFC 9562).
    pub fn of(subject: Uuid, kind: EventType) -> EventId {
        EventId(Uuid::new_v5(&subject, kind.as_str().as_bytes()))
    }
}

/// A tenant's URL that receives events, as Standard Webhooks specifies (<https://www.standardwebhooks.com>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    pub id: WebhookId,
    pub tenant_id: TenantId,
    #[schema(examples("https://example.com/hooks/vca"))]
    pub url: String,
    /// The event types it subscribes to.
    pub events: Vec<EventType>,
    /// False when a user disabled it, after days without a successful delivery, or after the response 410.
    pub is_active: bool,
    /// All deliveries since then have failed; `null` when the last one succeeded.
    pub failing_since: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// An entry of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    pub id: DeliveryId,
    pub webhook_id: WebhookId,
    /// The `webhook-id` of its requests.
    pub event_id: EventId,
    pub event_type: EventType,
    pub status: DeliveryStatus,
    pub attempts: u32,
    /// `null` when there are no further attempts.
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// HTTP status of the last response; `null` when there was none.
    pub response_status: Option<u16>,
    /// Time until the last response, in milliseconds.
    pub response_ms: Option<u32>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
    pub created_at: DateTime<Utc>,
}
