//! JSON schemas of the `data` of webhook events. They derive from the types that the outbox serialises.

use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::analyses::AnalysisPayload;
use super::call_events::{CallPayload, TranscriptPayload};
use super::counting::QuotaReached;
use super::registrations::RegistrationFailure;
use super::webhooks::PingData;
use crate::tenancy::{EventType, Feedback};

/// The schema of an event's `data`.
pub struct EventData {
    /// The schema's name.
    pub name: String,
    /// The schema and those that it refers to, by name.
    pub schemas: Vec<(String, RefOr<Schema>)>,
}

/// The schema of the `data` of events of a type.
pub fn event_data(kind: EventType) -> EventData {
    match kind {
        EventType::CallStarted
        | EventType::CallAnswered
        | EventType::CallTransferred
        | EventType::CallEnded => of::<CallPayload<'_>>(),
        EventType::TranscriptReady => of::<TranscriptPayload<'_>>(),
        EventType::CallAnalyzed => of::<AnalysisPayload<'_>>(),
        EventType::QuotaReached => of::<QuotaReached>(),
        EventType::FeedbackReceived => of::<Feedback>(),
        EventType::NumberRegistrationFailed => of::<RegistrationFailure<'_>>(),
        EventType::Ping => of::<PingData>(),
    }
}

fn of<T: ToSchema>() -> EventData {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    EventData { name: T::name().into_owned(), schemas }
}
