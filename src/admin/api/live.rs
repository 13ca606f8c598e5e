//! Calls that are under way: which there are, what happens on them, and how to end one.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{BoxStream, StreamExt, once};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Desk;
use super::auth::{Administrator, Caller, Operator, Reader};
use super::calls::OfCall;
use super::extract::Ids;
use super::problem::{Problem, ProblemBody};
use crate::admin::Unwatched;
use crate::store::Scope;
use crate::tenancy::{Call, CallId, Happening, LiveEvent, TenantId};

/// A comment goes to who watches a call on which nothing happens, so that nobody on the way thinks it dead.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies that collect what they pass on are told not to.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
/// The id of a stream's last event.
const END: &str = "end";

pub fn router() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(list_all))
        .routes(routes!(hang_up))
        .routes(routes!(events))
}

/// Calls under way: never more than the daemon takes at once, so they come without pages.
#[derive(Debug, Serialize, ToSchema)]
struct Live {
    items: Vec<Call>,
}

/// List the tenant's calls that are under way, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/calls/live", tag = "live calls",
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, body = Live), (status = 404, body = ProblemBody)))]
async fn list(State(desk): State<Desk>, Reader { scope }: Reader) -> Json<Live> {
    Json(Live { items: desk.live.calls(Some(scope.tenant_id())) })
}

/// List everybody's calls that are under way, newest first.
#[utoipa::path(get, path = "/api/calls/live", tag = "live calls", responses((status = 200, body = Live)))]
async fn list_all(State(desk): State<Desk>, _: Operator) -> Json<Live> {
    Json(Live { items: desk.live.calls(None) })
}

/// End a call that is under way: the agent says goodbye and hangs up.
#[utoipa::path(post, path = "/api/tenants/{tenant_id}/calls/{call_id}/hang-up", tag = "live calls",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses((status = 202, description = "It is being ended."), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It is not under way.")))]
async fn hang_up(
    State(desk): State<Desk>,
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfCall>,
) -> Result<StatusCode, Problem> {
    let call = path.call_id;
    let tenant = scope.tenant_id();
    if desk.live.calls(Some(tenant)).iter().any(|live| live.id == call) {
        // Before the act, so that none is without its entry. A call that ends by itself meanwhile has one, too.
        scope.note_access(&actor, "hang_up", call).await?;
        if desk.live.hang_up(tenant, call) {
            return Ok(StatusCode::ACCEPTED);
        }
    }
    scope.has_call(call).await?;
    Err(Problem::new(StatusCode::CONFLICT, "call_not_live", "the call is not under way"))
}

/// Watch a call: server-sent events of what happens on it, from its first ring to its end.
///
/// Each event's data is a `LiveEvent`, its name that event's `type`. What has happened before comes first;
/// `Last-Event-ID` goes on after that event. The last event is `ended`; a call that is over answers with that one
/// alone, and with 204 to who has seen it. A reader who is too slow gets a `lagged` event in place of those lost.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/calls/{call_id}/events", tag = "live calls",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was read.")),
    responses((status = 200, content_type = "text/event-stream", body = LiveEvent),
        (status = 204, description = "The end was told."), (status = 404, body = ProblemBody),
        (status = 503, body = ProblemBody, description = "Too many watch this call.")))]
async fn events(
    State(desk): State<Desk>,
    Reader { scope }: Reader,
    Caller { actor, .. }: Caller,
    Ids(path): Ids<OfCall>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let call = path.call_id;
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let after = last.and_then(|id| id.parse().ok()).unwrap_or(0);
    let events = match desk.live.events(scope.tenant_id(), call, after) {
        Ok(events) => {
            scope.note_access(&actor, "watch", call).await?;
            events
        }
        Err(Unwatched::NotLive) => {
            let ended = ended(&scope, call).await?;
            if last == Some(END) {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            once(std::future::ready(ended)).boxed()
        }
        Err(Unwatched::TooManyReaders) => {
            return Err(Problem::unavailable("too_many_readers", "too many watch this call"));
        }
    };
    Ok(([UNBUFFERED], stream(events)).into_response())
}

fn stream(events: BoxStream<'static, LiveEvent>) -> impl IntoResponse {
    Sse::new(events.map(|event| Ok::<_, Infallible>(written(&event))))
        .keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE))
}

/// The end of a call that is on record.
async fn ended(scope: &Scope, call: CallId) -> Result<LiveEvent, Problem> {
    let (call, _) = scope.call(call).await?.ok_or_else(Problem::not_found)?;
    let at = call.ended_at.unwrap_or(call.started_at);
    Ok(LiveEvent::ended(1, call, at))
}

fn written(event: &LiveEvent) -> Event {
    let id = match event.what {
        Happening::Ended { .. } => END.to_owned(),
        _ => event.sequence.to_string(),
    };
    let written = Event::default().id(id).event(event.what.word()).json_data(event);
    written.unwrap_or_else(|error| Event::default().comment(error.to_string()))
}
