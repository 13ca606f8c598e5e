//! Webhooks: what tenants are told of, where to, and how that went.

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
    /// An event. It is the `webhook-id` by which receivers recognise duplicates.
    EventId
);
id!(
    /// The delivery of one event to one webhook.
    DeliveryId
);

words!(
    /// Type of an event. See the webhooks section for each type's payload. `ping` is sent on request only.
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
    /// The event of a type that befell `subject`: always the same, so that what is written twice happens once
    /// (UUID version 5, RFC 9562).
    pub fn of(subject: Uuid, kind: EventType) -> EventId {
        EventId(Uuid::new_v5(&subject, kind.word().as_bytes()))
    }
}

/// A URL of the tenant that receives events, as Standard Webhooks specifies
/// (<https://www.standardwebhooks.com>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    pub id: WebhookId,
    pub tenant_id: TenantId,
    #[schema(examples("https://example.com/hooks/vca"))]
    pub url: String,
    /// The event types it subscribes to.
    pub events: Vec<EventType>,
    /// False when it was switched off by a user, after days without a successful delivery, or after the answer 410.
    pub is_active: bool,
    /// Every delivery since then has failed; `null` when the last one succeeded.
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
    /// `null` when no attempt is left.
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
