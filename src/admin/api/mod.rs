//! The HTTP API of the operator and of the tenants' administrators.
//!
//! One file a resource, each with its own `router()`; what a handler may reach comes to it as an argument from
//! `auth`. The OpenAPI document is made from these very routes. It holds no SQL and decides nothing that a room
//! decides.

mod analytics;
mod audit;
mod auth;
mod calls;
mod document;
mod erasures;
mod events;
mod expected;
mod extract;
mod feedback;
mod inbound;
mod inventory;
mod keys;
mod limits;
mod live;
mod numbers;
mod patch;
mod preconditions;
mod problem;
mod profiles;
mod registrations;
mod responses;
mod retention;
mod tenants;
mod usage;
mod webhooks;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
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

use auth::Operator;
pub use extract::BodyPatience;
pub use inbound::Inbound;
pub use limits::{Limits, Settings as LimitSettings};
use problem::Problem;

use crate::admin::LiveCalls;
use crate::billing::Billing;
use crate::state::ConversationState;
use crate::store::Store;
use crate::telephony::Registrar;
use crate::tenancy::{Numbering, Permitted};
use crate::webhooks::Guard;

/// What the handlers share.
#[derive(Clone)]
pub struct Desk {
    pub store: Store,
    pub limits: Arc<Limits>,
    /// Where webhooks may lead.
    pub receivers: Guard,
    pub billing: Arc<Billing>,
    pub live: Arc<dyn LiveCalls>,
    /// The state of conversations, which an erasure deletes as well.
    pub state: Arc<dyn ConversationState>,
    pub registrar: Arc<Registrar>,
    /// Absent where no dialplan may tell of calls.
    pub inbound: Option<Arc<Inbound>>,
    /// How numbers are written.
    pub numbering: Numbering,
    /// The engines, names and limits that a profile can ask for.
    pub permitted: Arc<Permitted>,
}

/// Names a request, in its answer and in the log.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

impl RequestId {
    pub fn fresh() -> RequestId {
        RequestId(Uuid::now_v7().to_string())
    }

    /// Puts it on the answer.
    fn name(&self, answer: &mut Response) {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            answer.headers_mut().insert(REQUEST_ID, value);
        }
    }
}

/// The most bytes that a request may bring.
const LARGEST_BODY: usize = 256 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// All routes, and the document that describes them.
pub fn router(desk: Desk) -> (Router, OpenApi) {
    let (router, document) = described();
    let described = Json(document.clone());
    let router = router
        .route("/openapi.json", get(|| async { described }))
        .merge(document::pages())
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(desk.clone(), attend))
        .with_state(desk);
    (router, document)
}

/// The OpenAPI document, without a database to serve from.
pub fn document() -> OpenApi {
    described().1
}

fn described() -> (Router<Desk>, OpenApi) {
    let routes = OpenApiRouter::with_openapi(document::begun())
        .merge(tenants::router())
        .merge(numbers::router())
        .merge(inventory::router())
        .merge(profiles::router())
        .merge(registrations::router())
        .merge(inbound::router())
        .merge(calls::router())
        .merge(live::router())
        .merge(erasures::router())
        .merge(feedback::router())
        .merge(analytics::router())
        .merge(usage::router())
        .merge(webhooks::router())
        .merge(retention::router())
        .merge(keys::router())
        .merge(audit::router());
    let (router, document) = routes.split_for_parts();
    let router = router.route_layer(from_fn(extract::refuse_unknown_parameters));
    (router, document::completed(document))
}

/// Lets an operator pass; anybody else gets the answer that they would get everywhere.
pub(super) async fn admit_operator(desk: &Desk, parts: &mut Parts) -> Result<(), Response> {
    let admitted = match auth::address(parts).map(|address| desk.limits.admit_address(address)) {
        Some(Err(problem)) => Err(problem),
        _ => Operator::from_request_parts(parts, desk).await.map(drop),
    };
    admitted.map_err(|problem| problem.respond(&Uuid::now_v7().to_string()))
}

/// The answer to a request that has taken too long.
pub(super) fn too_slow(id: &RequestId) -> Response {
    let problem = Problem::unavailable("timed_out", "this took too long: try again");
    let mut response = problem.respond(&id.0);
    id.name(&mut response);
    response
}

/// Gives a request its place in the log, counts it against its address, and writes problems out. It has its id from
/// the guard already, where there is one.
async fn attend(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_else(RequestId::fresh);
    let span = tracing::info_span!("request", request_id = %id.0, method = %request.method(), path = request.uri().path());
    let mut response = serve(&desk, id.clone(), request, next).instrument(span).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.respond(&id.0);
    }
    id.name(&mut response);
    response
}

async fn serve(desk: &Desk, id: RequestId, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(id);
    // The dialplan tells of every call from one address, and has a limit of its own.
    if parts.uri.path() != inbound::PATH
        && let Some(address) = auth::address(&parts)
        && let Err(problem) = desk.limits.admit_address(address)
    {
        return problem.into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}
