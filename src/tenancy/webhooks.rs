//! Webhooks: what tenants are told of, where to, and how that went.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::TenantId;
use super::kinds::{id, words};

id!(WebhookId);
id!(
    /// Something that happened. It is the `webhook-id` that receivers know duplicates by.
    EventId
);
id!(
    /// One event on its way to one webhook.
    DeliveryId
);

words!(
    /// What a webhook can be told of.
    EventType {
        /// A call has come in.
        CallStarted = "call.started",
        CallAnswered = "call.answered",
        /// A call is over, however it ended.
        CallEnded = "call.ended",
        /// An answered call is over: what was said.
        TranscriptReady = "transcript.ready",
        /// A quota of the plan is used up.
        QuotaReached = "quota.reached",
        /// Somebody said how a call was.
        FeedbackReceived = "feedback.received",
        /// A number's provider could not be brought to take it on, or to let it go.
        NumberRegistrationFailed = "number.registration_failed",
        /// A test. It goes to the webhook that is tested, whatever that one subscribes to.
        Ping = "ping",
    }
);

words!(DeliveryStatus {
    /// To be sent, now or again later.
    Pending = "pending",
    Delivered = "delivered",
    /// Given up.
    Failed = "failed",
});

impl EventId {
    /// The event of a type that befell `subject`: always the same, so that what is written twice happens once
    /// (UUID version 5, RFC 9562).
    pub fn of(subject: Uuid, kind: EventType) -> EventId {
        EventId(Uuid::new_v5(&subject, kind.word().as_bytes()))
    }
}

/// A URL of the tenant's that is told of events, by the rules of Standard Webhooks
/// (<https://www.standardwebhooks.com>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    pub id: WebhookId,
    pub tenant_id: TenantId,
    #[schema(examples("https://example.com/hooks/vca"))]
    pub url: String,
    /// What it subscribes to.
    pub events: Vec<EventType>,
    /// Switched off by its owner, or after days of nothing but failures, or because its receiver answered 410.
    pub is_active: bool,
    /// Since then no delivery has succeeded; absent when the last one did.
    pub failing_since: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// One line of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    pub id: DeliveryId,
    pub webhook_id: WebhookId,
    /// The `webhook-id` of its requests.
    pub event_id: EventId,
    pub event_type: EventType,
    pub status: DeliveryStatus,
    pub attempts: u32,
    /// Absent once it is over.
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last answer; absent when there was none.
    pub response_status: Option<u16>,
    /// How long the last answer took, in milliseconds.
    pub response_ms: Option<u32>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
    pub created_at: DateTime<Utc>,
}
