//! The HTTP API of the operator and of the tenants' administrators.
//!
//! One file a resource, each with its own `router()`; the scope of a handler is an argument from `auth`. The OpenAPI
//! document is made from the same routes.

mod analytics;
mod audit;
mod auth;
mod calls;
mod document;
mod engines;
mod erasures;
mod events;
mod expected;
mod extract;
mod feedback;
mod idempotency;
mod inbound;
mod inventory;
mod keys;
mod last_use;
mod limits;
mod live;
mod live_commands;
mod lookups;
mod numbers;
mod patch;
mod pre_call;
mod preconditions;
mod problem;
mod profiles;
mod registrations;
mod responses;
mod results_page;
mod retention;
mod routing;
mod shares;
mod targets;
mod tenants;
mod tools;
mod unmatched;
mod usage;
mod webhooks;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tracing::Instrument;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

pub(super) use auth::client;
use auth::{Operator, RequestPlace};
pub use extract::BodyTimeout;
pub use inbound::Inbound;
pub use last_use::LastUse;
pub use limits::{Limits, Settings as LimitSettings};
use problem::Problem;
pub use shares::HEAVY;

use crate::admin::LiveCalls;
use crate::analysis::AnalysisTrials;
use crate::billing::Billing;
use crate::control::TenantEngines;
use crate::current::Current;
use crate::egress::DestinationPolicy;
use crate::state::ConversationState;
use crate::store::Store;
use crate::telephony::Registrar;
use crate::tenancy::{Numbering, Permitted, TransferRules};
use crate::tools::ToolServices;
use crate::webhooks::PreCallClient;

/// The state shared by handlers.
#[derive(Clone)]
pub struct ApiState {
    pub store: Store,
    pub limits: Arc<Limits>,
    pub last_use: Arc<LastUse>,
    /// The addresses that webhooks may have.
    pub receivers: DestinationPolicy,
    pub billing: Current<Billing>,
    pub live: Arc<dyn LiveCalls>,
    /// The state of conversations, which an erasure deletes as well.
    pub state: Arc<dyn ConversationState>,
    pub registrar: Arc<Registrar>,
    /// Absent where no dialplan may announce calls.
    pub inbound: Option<Arc<Inbound>>,
    /// How numbers are written.
    pub numbering: Numbering,
    /// The engines, names and limits that a profile can ask for.
    pub permitted: Current<Permitted>,
    /// For trials of tools.
    pub tools: Arc<ToolServices>,
    /// For trials of pre-call webhooks.
    pub pre_call: Arc<PreCallClient>,
    /// Trials of analyses.
    pub analysis_trials: Arc<AnalysisTrials>,
    /// Engines of tenants' own accounts.
    pub tenant_engines: Arc<dyn TenantEngines>,
    /// The operator's ceilings for transfer targets.
    pub transfer: Current<TransferRules>,
}

/// The id of a request, in its response and in the log.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

impl RequestId {
    pub fn fresh() -> RequestId {
        RequestId(Uuid::now_v7().to_string())
    }

    /// Puts it into the response's headers.
    fn name(&self, response: &mut Response) {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
    }
}

/// The largest request body, in bytes.
const LARGEST_BODY: usize = 256 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// All routes, and the document that describes them.
pub fn router(api: ApiState) -> (Router, OpenApi) {
    let (router, document) = described();
    let described = Json(document.clone());
    let router = router
        .route_layer(from_fn_with_state(api.clone(), idempotency::apply))
        .route("/openapi.json", get(|| async { described }))
        .merge(document::pages())
        .merge(results_page::pages())
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(api.clone(), request_middleware))
        .with_state(api);
    (router, document)
}

/// The OpenAPI document, without a database to serve from.
pub fn document() -> OpenApi {
    described().1
}

fn described() -> (Router<ApiState>, OpenApi) {
    let routes = OpenApiRouter::with_openapi(document::begun())
        .merge(tenants::router())
        .merge(numbers::router())
        .merge(inventory::router())
        .merge(unmatched::router())
        .merge(profiles::router())
        .merge(registrations::router())
        .merge(inbound::router())
        .merge(calls::router())
        .merge(live::router())
        .merge(live_commands::router())
        .merge(erasures::router())
        .merge(feedback::router())
        .merge(analytics::router())
        .merge(usage::router())
        .merge(webhooks::router())
        .merge(tools::router())
        .merge(engines::router())
        .merge(targets::router())
        .merge(retention::router())
        .merge(routing::router())
        .merge(pre_call::router())
        .merge(keys::router())
        .merge(audit::router());
    let (router, document) = routes.split_for_parts();
    let router = router.route_layer(from_fn(extract::refuse_unknown_parameters));
    (router, document::completed(document))
}

/// Checks for an operator's key, outside the API's own routes.
pub(super) async fn admit_operator(api: &ApiState, parts: &mut Parts) -> Result<(), Response> {
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::fresh);
    let admitted = Operator::from_request_parts(parts, api).await;
    admitted.map(drop).map_err(|problem| named(problem, &id))
}

/// The response to a request that exceeded its timeout.
pub(super) fn too_slow(id: &RequestId) -> Response {
    named(Problem::unavailable("timed_out", "this took too long: try again"), id)
}

/// The response to a request with headers that name two clients.
pub(super) fn conflicting_headers(id: &RequestId) -> Response {
    let detail = "Forwarded and X-Forwarded-For name different clients: have the proxy remove the one that it does \
        not write itself";
    named(Problem::new(StatusCode::BAD_REQUEST, "conflicting_headers", detail), id)
}

fn named(problem: Problem, id: &RequestId) -> Response {
    let mut response = problem.respond(&id.0);
    id.name(&mut response);
    response
}

/// Gives a request its span in the log and writes problems out. The id is the guard's, where there is one.
async fn request_middleware(State(api): State<ApiState>, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_else(RequestId::fresh);
    let span = tracing::info_span!("request", request_id = %id.0, method = %request.method(), path = request.uri().path());
    let mut response = serve(&api, id.clone(), request, next).instrument(span).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.respond(&id.0);
    }
    id.name(&mut response);
    response
}

async fn serve(api: &ApiState, id: RequestId, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    if !counts_itself(&parts)
        && let Some(client) = auth::client(&parts)
        && let Err(problem) = api.limits.admit_address(client.address())
    {
        return problem.into_response();
    }
    // The place is kept until here, where the response has begun, and not by the handler's parts of the request.
    let place = RequestPlace::default();
    parts.extensions.insert(id);
    parts.extensions.insert(place.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    drop(place);
    response
}

/// Operations count a request once they know whether it carries a valid key; the dialplan's has a limit of its own.
/// Everything else (documentation, unknown paths) needs no key and counts with the client's address.
fn counts_itself(parts: &Parts) -> bool {
    let path = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    path.is_some_and(|path| path.starts_with("/api/") || path == inbound::PATH)
}
