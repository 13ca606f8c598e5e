//! The API's description: what the routes do not say of themselves, and the pages on which people read it.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::server::ServerBuilder;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
};
use utoipa::openapi::{Content, ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::ProblemBody;
use crate::tenancy::Flaw;

const ABOUT: &str = "\
The control plane of VCA, a voice agent for Asterisk.

Every request carries an API key, `Authorization: Bearer vca_…`; `vca key create --operator` makes the first one. \
What belongs to another tenant is not there: 404. Errors are problem details (RFC 9457) with a stable `code`. Lists \
come in pages: give `next_cursor` of one as `cursor` of the next. A key and an address may ask so often a minute; \
beyond that the answer is 429 with `Retry-After`.";

const TAGS: [(&str, &str); 13] = [
    ("tenants", "Who uses the machine. The operator makes, suspends and deletes them."),
    ("phone numbers", "Numbers, each of which leads to one tenant."),
    ("AI profiles", "Who answers: with which words, voice and engines."),
    ("calls", "The record of calls."),
    ("live calls", "Calls under way: watched, and ended."),
    ("analytics", "Calls, durations and latencies in numbers."),
    ("usage", "What is billed, and quotas."),
    ("webhooks", "Events that are sent to a tenant's own server."),
    ("feedback", "What people thought of a call."),
    ("retention", "For how long things are kept."),
    ("keys", "API keys. A secret is shown once."),
    ("audit", "Who changed what, and when."),
    ("telephony", "What Asterisk's dialplan tells beforehand."),
];

/// The one way to say who one is.
const SCHEME: &str = "api_key";

/// The document before any route has described itself.
pub fn begun() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("VCA")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .contact(Some(ContactBuilder::new().name(Some("The operator of this machine")).build()))
        .license(Some(license))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("vca_…")
        .description(Some("An API key."))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme(SCHEME, SecurityScheme::Http(bearer))
        .schema(ProblemBody::name(), ProblemBody::schema())
        .schema(Flaw::name(), Flaw::schema())
        .build();
    let here = ServerBuilder::new().url("/").description(Some("This machine")).build();
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([here]))
        .components(Some(components))
        .security(Some([SecurityRequirement::new::<_, [String; 0], String>(SCHEME, [])]))
        .build()
}

/// Adds to each route what holds for all of them, and the tags that are in use.
pub fn completed(mut document: OpenApi) -> OpenApi {
    let mut used = Vec::new();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            used.extend(operation.tags.iter().flatten().cloned());
            complete(operation);
        }
    }
    let tags = TAGS.iter().filter(|(name, _)| used.iter().any(|tag| tag == name));
    let tag = |(name, about): &(&str, &str)| TagBuilder::new().name(*name).description(Some(*about)).build();
    document.tags = Some(tags.map(tag).collect());
    document
}

/// What any request may meet, where the route does not say it itself.
fn complete(operation: &mut Operation) {
    let common = [
        ("401", "No key, or one that opens nothing."),
        ("403", "The key may not do this."),
        ("429", "Too often: `Retry-After` says when to come again."),
        ("500", "A fault of the daemon's, told in its log under the request's id."),
        ("503", "The database does not answer: try again."),
    ];
    let is_open = operation.security.as_ref().is_some_and(Vec::is_empty);
    for (status, about) in common {
        if !(is_open && matches!(status, "401" | "403")) {
            let problem =
                ResponseBuilder::new().description(about).content("application/problem+json", problem());
            operation.responses.responses.entry(status.to_owned()).or_insert_with(|| problem.build().into());
        }
    }
    for response in operation.responses.responses.values_mut() {
        // Routes name the type of the body alone, and problems have a media type of their own.
        if let RefOr::T(response) = response
            && let Some(content) = response.content.get("application/json")
            && is_problem(content)
            && let Some(content) = response.content.shift_remove("application/json")
        {
            response.content.insert("application/problem+json".to_owned(), content);
        }
    }
}

fn problem() -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build()
}

fn is_problem(content: &RefOr<Content>) -> bool {
    let named = Ref::from_schema_name(ProblemBody::name()).ref_location;
    let RefOr::T(Content { schema: Some(RefOr::Ref(schema)), .. }) = content else { return false };
    schema.ref_location == named
}

/// The interactive pages at `/docs`. All that they consist of is in this program.
pub fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let config = Config::new(["/openapi.json"])
        .validator_url("none")
        .display_request_duration(true)
        .doc_expansion("none")
        .filter(true);
    let pages: Router<S> = SwaggerUi::new("/docs").config(config).into();
    pages.layer(map_response(allow_own_scripts))
}

/// Scripts, styles and requests of this origin, and nothing from elsewhere. (Swagger UI sets styles by script, and
/// has its icons in `data:` URLs.)
async fn allow_own_scripts(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
        img-src 'self' data:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
        form-action 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
