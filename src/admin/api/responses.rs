//! Error responses of the OpenAPI document: defined once, referred to by every operation that can return them.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::idempotency;
use super::problem::ProblemBody;

const PROBLEM: &str = "application/problem+json";

/// Which operations can return a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Every operation.
    Always,
    /// Operations that take an API key.
    WithKey,
    /// Operations with an id in their path.
    WithPathParameter,
    /// Operations of a tenant's that change something.
    WithTenantAndChange,
    /// Operations with the header `If-Match`.
    WithIfMatch,
    /// Operations with the header `Idempotency-Key`.
    WithIdempotencyKey,
    /// Operations with a request body.
    WithBody,
    /// Operations with an API key and a request body.
    WithKeyAndBody,
}

/// A shared response: status, name of the component, condition, description.
type SharedResponse = (&'static str, &'static str, When, &'static str);

const SHARED: [SharedResponse; 13] = [
    (
        "400",
        "InvalidRequest",
        When::Always,
        "The request is not acceptable. `code` is `invalid_body` (not a JSON object), `invalid_query`, \
         `invalid_idempotency_key`, or `invalid_value`; `errors` lists the fields.",
    ),
    (
        "401",
        "Unauthorized",
        When::WithKey,
        "The API key is missing, unknown, expired or revoked: `unauthorized`.",
    ),
    (
        "403",
        "Forbidden",
        When::WithKey,
        "The API key may not do this: `operator_only`, `read_only_key` or `tenant_suspended`.",
    ),
    (
        "404",
        "NotFound",
        When::WithPathParameter,
        "There is no such resource, or it belongs to another tenant: `not_found`.",
    ),
    ("408", "BodyTimeout", When::WithBody, "The request body did not arrive in time: `body_too_slow`."),
    (
        "409",
        "LimitReached",
        When::WithTenantAndChange,
        "The tenant has as much as the operator allows, or has made as many changes today: `limit_reached`; `errors` \
         names the limit.",
    ),
    (
        "412",
        "PreconditionFailed",
        When::WithIfMatch,
        "The resource has another `ETag` than `If-Match` names: `changed_meanwhile`.",
    ),
    ("413", "BodyTooLarge", When::WithBody, "The request body is larger than 256 KiB: `body_too_large`."),
    (
        "415",
        "UnsupportedMediaType",
        When::WithKeyAndBody,
        "The request body is not `application/json`: `unsupported_media_type`.",
    ),
    (
        "422",
        "IdempotencyKeyReused",
        When::WithIdempotencyKey,
        "The `Idempotency-Key` was used for another request: `idempotency_key_reused`.",
    ),
    (
        "429",
        "TooManyRequests",
        When::Always,
        "The API key or the address exceeds its limit: `too_many_requests`.",
    ),
    ("500", "InternalError", When::Always, "Internal error: see the daemon's log under `request_id`."),
    (
        "503",
        "Unavailable",
        When::Always,
        "Not available at the moment, try again: `database_unavailable` or `timed_out`.",
    ),
];

/// The shared responses by their names.
pub fn components() -> impl Iterator<Item = (&'static str, Response)> {
    SHARED.iter().map(|(status, name, _, about)| (*name, response(status, about)))
}

/// Adds to an operation the shared responses that it can return and does not describe itself, and gives those that it
/// describes the media type of problems. `is_change` is false for methods that only read.
pub fn complete(operation: &mut Operation, is_change: bool) {
    let has_path_parameter = parameters(operation).any(|it| it.parameter_in == ParameterIn::Path);
    let has_tenant = parameters(operation).any(|it| it.name == "tenant_id");
    let has_if_match = has_if_match(operation);
    let has_idempotency_key = parameters(operation).any(|it| it.name == "Idempotency-Key");
    let takes_key = operation.security.is_none();
    let has_body = operation.request_body.is_some();
    for (status, name, when, _) in SHARED {
        let can_happen = match when {
            When::Always => true,
            When::WithKey => takes_key,
            When::WithPathParameter => has_path_parameter,
            When::WithTenantAndChange => has_tenant && is_change,
            When::WithIfMatch => has_if_match,
            When::WithIdempotencyKey => has_idempotency_key,
            When::WithBody => has_body,
            When::WithKeyAndBody => takes_key && has_body,
        };
        if can_happen {
            let reference = || RefOr::Ref(Ref::from_response_name(name));
            operation.responses.responses.entry(status.to_owned()).or_insert_with(reference);
        }
    }
    if has_idempotency_key {
        add_conflicts(operation);
    }
    for (status, described) in &mut operation.responses.responses {
        if let RefOr::T(described) = described
            && status.as_str() >= "400"
        {
            *described = response(status, &described.description);
        }
    }
}

/// Adds the conflicts of `Idempotency-Key` to an operation's own 409, or to the shared one.
fn add_conflicts(operation: &mut Operation) {
    const STATUS: &str = "409";
    let own = match operation.responses.responses.get(STATUS) {
        Some(RefOr::T(own)) => own.description.clone(),
        Some(RefOr::Ref(_)) => {
            SHARED.iter().find(|shared| shared.0 == STATUS).map_or("", |shared| shared.3).to_owned()
        }
        None => String::new(),
    };
    let about = [own.as_str(), idempotency::CONFLICTS].join(" ").trim().to_owned();
    let conflict = ResponseBuilder::new().description(about).build();
    operation.responses.responses.insert(STATUS.to_owned(), conflict.into());
}

fn parameters(operation: &Operation) -> impl Iterator<Item = &Parameter> {
    operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

/// Does an operation take an entity tag?
pub fn has_if_match(operation: &Operation) -> bool {
    parameters(operation).any(|parameter| parameter.name == "If-Match")
}

/// Adds the entity tag to the successes of an operation that have a body.
pub fn add_etag(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with('2')
            && !response.content.is_empty()
        {
            let header = header(String::schema(), "The entity tag of the resource, for `If-Match`.");
            response.headers.insert("ETag".to_owned(), header.into());
        }
    }
}

fn response(status: &str, about: &str) -> Response {
    let schema = Ref::from_schema_name(ProblemBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let id = header(String::schema(), "The id of the request in the daemon's log.");
    let response =
        ResponseBuilder::new().description(about).content(PROBLEM, content).header("X-Request-Id", id);
    let response = match status {
        "401" => response.header("WWW-Authenticate", header(String::schema(), "`Bearer`")),
        "409" if about.contains(idempotency::CONFLICTS) => response.header(
            "Retry-After",
            header(seconds(), "Seconds until the next attempt, with `request_in_progress`."),
        ),
        "429" | "503" => {
            response.header("Retry-After", header(seconds(), "Seconds until the next attempt is worthwhile."))
        }
        _ => response,
    };
    response.build()
}

fn header(schema: RefOr<utoipa::openapi::Schema>, about: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build()
}

fn seconds() -> RefOr<utoipa::openapi::Schema> {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).into()
}
