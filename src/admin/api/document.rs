//! The OpenAPI document: its frame, and the rules that complete what the routes say of themselves. Also the pages on
//! which people read it.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::server::ServerBuilder;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Ref,
    RefOr, Schema,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::ProblemBody;
use super::{events, idempotency, responses};
use crate::tenancy::Opening;
use crate::violation::Violation;

const ABOUT: &str = "\
The control plane of VCA, a voice agent for Asterisk.

Every request carries an API key, `Authorization: Bearer vca_…`. `vca key create --operator` creates the first one. \
A resource of another tenant is answered like one that does not exist: 404. Errors are problem details (RFC 9457) \
with a stable `code`. A POST with an `Idempotency-Key` can be repeated: it is carried out once. Lists are paged: pass `next_cursor` of one page as `cursor` of the next. Unknown fields and \
unknown query parameters are refused. A key and an address have a limit of requests a minute; beyond it the answer is \
429 with `Retry-After`. A method that a path does not have is answered with 405.";

const TAGS: [(&str, &str); 17] = [
    ("tenants", "The customers of this machine. The operator creates, suspends and deletes them."),
    ("phone numbers", "Phone numbers. Each belongs to one tenant."),
    ("AI profiles", "Agents: their prompts, voices, engines and behaviour."),
    ("calls", "Call records and transcripts."),
    ("live calls", "Calls in progress: watch them, listen to them, intervene, end them."),
    ("analytics", "Calls, durations and latencies of a period."),
    ("usage", "Usage, costs, quotas and statements."),
    ("tools", "Secrets and trials of the HTTP tools and MCP servers that agents call."),
    ("engine credentials", "A tenant's own accounts at vendors of engines, where the operator allows them."),
    ("engines", "A tenant's shares of the operator's engines."),
    (
        "transfer targets",
        "People and queues that agents may transfer callers to, within the operator's limits.",
    ),
    ("webhooks", "Events that are sent to a tenant's own server."),
    ("feedback", "Ratings of calls."),
    ("retention", "How long records are kept."),
    ("keys", "API keys. A secret is shown once."),
    ("audit", "Who changed what, and when."),
    ("telephony", "Calls announced by Asterisk's dialplan."),
];

/// Descriptions of path parameters.
const PATH_PARAMETERS: [(&str, &str); 12] = [
    ("month", "The month (UTC)."),
    ("tenant_id", "The tenant."),
    ("phone_number_id", "The phone number."),
    ("ai_profile_id", "The profile."),
    ("version", "The version of the profile or of the number's routing, from 1."),
    ("call_id", "The call."),
    ("webhook_id", "The webhook."),
    ("tool_secret_id", "The secret."),
    ("engine_credential_id", "The engine credentials."),
    ("transfer_target_id", "The transfer target."),
    ("delivery_id", "The delivery."),
    ("key_id", "The API key."),
];

/// The security scheme of all operations but one.
const API_KEY: &str = "api_key";

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
    let components = ComponentsBuilder::new()
        .security_scheme(API_KEY, bearer("vca_…", "An API key."))
        .security_scheme(super::inbound::SCHEME, secret_header())
        .security_scheme(
            super::inbound::BEARER_SCHEME,
            bearer("secret", "The secret of `telephony.inbound`."),
        )
        .schema(ProblemBody::name(), ProblemBody::schema())
        .schema(Violation::name(), Violation::schema())
        // Referred to by a schema that is written by hand.
        .schema(Opening::name(), Opening::schema());
    let components = responses::components()
        .fold(components, |components, (name, response)| components.response(name, response));
    let here = ServerBuilder::new().url("/").description(Some("This machine")).build();
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([here]))
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new::<_, [String; 0], String>(API_KEY, [])]))
        .build()
}

fn bearer(format: &str, about: &str) -> SecurityScheme {
    let scheme =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format).description(Some(about));
    SecurityScheme::Http(scheme.build())
}

fn secret_header() -> SecurityScheme {
    let about = "The secret of `telephony.inbound`.";
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(super::inbound::SECRET, about)))
}

/// Adds to each operation what holds for all of them, the tags that are in use, and the section of webhooks.
pub fn completed(mut document: OpenApi) -> OpenApi {
    let mut used = Vec::new();
    for item in document.paths.paths.values_mut() {
        let reads = item.get.as_ref().and_then(|operation| operation.operation_id.clone());
        let deletes = item.delete.as_ref().and_then(|operation| operation.operation_id.clone());
        let is_tagged = operations(item).any(|operation| responses::has_if_match(operation));
        if let Some(post) = item.post.as_mut().filter(|operation| operation.security.is_none()) {
            idempotency::document(post);
        }
        for operation in operations(item) {
            used.extend(operation.tags.iter().flatten().cloned());
            operation.parameters.iter_mut().flatten().for_each(complete_parameter);
            responses::complete(operation, operation.operation_id != reads);
            if is_tagged && operation.operation_id != deletes {
                responses::add_etag(operation);
            }
            rename_pages_of(operation);
        }
    }
    let tags = TAGS.iter().filter(|(name, _)| used.iter().any(|tag| tag == name));
    let tag = |(name, about): &(&str, &str)| TagBuilder::new().name(*name).description(Some(*about)).build();
    document.tags = Some(tags.map(tag).collect());
    let (webhooks, schemas) = events::described();
    document.webhooks = Some(webhooks);
    let components = document.components.get_or_insert_default();
    components.schemas.extend(schemas);
    let named = std::mem::take(&mut components.schemas).into_iter();
    let named = named.map(|(name, schema)| (page_name(&name).unwrap_or(name), without_defaults(schema)));
    components.schemas = named.collect();
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
    all.into_iter().flatten()
}

/// An optional parameter is absent, never `null`, which its Rust type cannot say.
fn complete_parameter(parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else { return };
    let about = PATH_PARAMETERS.iter().find(|(name, _)| *name == parameter.name);
    if let Some((_, about)) = about
        && parameter.description.is_none()
    {
        parameter.description = Some((*about).to_owned());
    }
    parameter.schema = parameter.schema.take().map(without_null);
}

fn without_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Array(types) = &object.schema_type
                && let Some(kind) = types.iter().find(|kind| **kind != Type::Null)
            {
                object.schema_type = SchemaType::Type(kind.clone());
            }
            Schema::Object(object).into()
        }
        RefOr::T(Schema::OneOf(one_of)) => {
            let is_null = |item: &RefOr<Schema>| matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null));
            let mut others = one_of.items.iter().filter(|item| !is_null(item));
            match (others.next(), others.next()) {
                (Some(only), None) => only.clone(),
                _ => Schema::OneOf(one_of).into(),
            }
        }
        other => other,
    }
}

/// `Listed_Call`, as the derive names a page, is `CallPage` in the document.
fn page_name(name: &str) -> Option<String> {
    Some(format!("{}Page", name.strip_prefix("Listed_")?))
}

/// Generators of clients take a field with a default for one that is always there, in requests, too. Descriptions name
/// defaults.
fn without_defaults(mut schema: RefOr<Schema>) -> RefOr<Schema> {
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        for field in object.properties.values_mut() {
            match field {
                RefOr::T(Schema::Object(object)) => object.default = None,
                RefOr::T(Schema::Array(array)) => array.default = None,
                RefOr::T(Schema::OneOf(one_of)) => one_of.default = None,
                RefOr::Ref(reference) => reference.default = None,
                RefOr::T(_) => {}
            }
        }
    }
    schema
}

fn rename_pages_of(operation: &mut Operation) {
    let responses = operation.responses.responses.values_mut();
    let contents = responses.filter_map(|response| match response {
        RefOr::T(response) => Some(response.content.values_mut()),
        RefOr::Ref(_) => None,
    });
    for content in contents.flatten() {
        if let RefOr::T(content) = content
            && let Some(RefOr::Ref(reference)) = &mut content.schema
            && let Some(name) = reference.ref_location.rsplit('/').next().and_then(page_name)
        {
            *reference = Ref::from_schema_name(name);
        }
    }
}

/// The interactive pages at `/docs`, with all of their files in this program.
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
