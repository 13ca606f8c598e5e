//! The `webhooks` section of the OpenAPI document: the requests that tenants' receivers get.

use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, Paths, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, HttpMethod, KnownFormat, PathItem, Ref, RefOr, Required, ResponseBuilder, Schema,
};

use crate::store::event_data;
use crate::tenancy::EventType;

const TAG: &str = "webhooks";

/// Headers of every request to a receiver, as Standard Webhooks defines them.
const HEADERS: [(&str, &str); 3] = [
    ("webhook-id", "Id of the event. A repeated delivery of the event has the same."),
    ("webhook-timestamp", "Time of the attempt, in seconds since 1970."),
    (
        "webhook-signature",
        "One or more signatures `v1,BASE64`, separated by spaces: HMAC-SHA256 by the webhook's secret.",
    ),
];

/// The requests by type of event, and the schemas that they refer to.
pub fn described() -> (Paths, Vec<(String, RefOr<Schema>)>) {
    let mut paths = PathsBuilder::new();
    let mut schemas = Vec::new();
    for kind in EventType::ALL {
        let data = event_data(*kind);
        let name = schema_name(*kind);
        schemas.extend(data.schemas);
        schemas.push((name.clone(), payload(*kind, &data.name)));
        paths = paths.path(kind.as_str(), request(*kind, &name));
    }
    (paths.build(), schemas)
}

fn about(kind: EventType) -> &'static str {
    match kind {
        EventType::CallStarted => "A call has come in.",
        EventType::CallAnswered => "A call was answered.",
        EventType::CallTransferred => "A caller reached the target of a transfer.",
        EventType::CallEnded => "A call has ended.",
        EventType::TranscriptReady => "An answered call has ended: its transcript.",
        EventType::CallAnalyzed => "The analysis of a call has ended: its result, or why there is none.",
        EventType::QuotaReached => "80 or 100 percent of the month's minutes are used.",
        EventType::FeedbackReceived => "A call was rated.",
        EventType::NumberRegistrationFailed => {
            "A number could not be registered or unregistered at its provider."
        }
        EventType::Ping => "A test event, sent on request.",
    }
}

/// `call.started`: `CallStartedEvent`
fn schema_name(kind: EventType) -> String {
    let parts = kind.as_str().split(['.', '_']);
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    parts.map(capital).collect::<String>() + "Event"
}

fn payload(kind: EventType, data: &str) -> RefOr<Schema> {
    let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([kind.as_str()]));
    let at = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("When it happened."));
    ObjectBuilder::new()
        .description(Some(about(kind)))
        .property("type", word)
        .property("timestamp", at)
        .property("data", Ref::from_schema_name(data))
        .required("type")
        .required("timestamp")
        .required("data")
        .into()
}

fn request(kind: EventType, schema: &str) -> PathItem {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let body =
        RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build();
    let headers = HEADERS.iter().map(|(name, about)| {
        ParameterBuilder::new()
            .name(*name)
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some(*about))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build()
    });
    let operation = OperationBuilder::new()
        .tag(TAG)
        .operation_id(Some(format!("on{}", schema.trim_end_matches("Event"))))
        .summary(Some(about(kind)))
        .parameters(Some(headers))
        .request_body(Some(body))
        .response("2XX", ResponseBuilder::new().description("Received: no further attempts."))
        .response("410", ResponseBuilder::new().description("No longer wanted: the webhook is switched off."))
        .response(
            "default",
            ResponseBuilder::new().description("Not received: the request is repeated later."),
        )
        .securities(Some([SecurityRequirement::default()]));
    PathItem::new(HttpMethod::Post, operation)
}
