//! Calls in progress: which there are, their events, and their audio.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{BoxStream, StreamExt, once};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::auth::{Administrator, Caller, Operator, Reader};
use super::calls::OfCall;
use super::extract::Ids;
use super::problem::{Problem, ProblemBody};
use crate::admin::WatchError;
use crate::store::Scope;
use crate::tenancy::{Actor, Call, CallId, LiveEvent, LiveEventKind, TenantId};

/// The interval of SSE comments on a quiet stream, so that proxies do not time it out.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks proxies not to buffer the stream.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
/// The id of a stream's last event.
const END: &str = "end";

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(list_all))
        .routes(routes!(events))
        .routes(routes!(listen))
        .routes(routes!(listen_as_tenant))
}

/// Calls in progress. The daemon limits their number, so they are not paged.
#[derive(Debug, Serialize, ToSchema)]
struct LiveCallList {
    items: Vec<Call>,
    /// Those of the calls whose agents are muted.
    muted: Vec<CallId>,
}

/// List the tenant's calls in progress, newest first.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/calls/live", operation_id = "listLiveCalls", tag = "live calls",
    params(("tenant_id" = TenantId, Path)),
    responses((status = 200, description = "The calls in progress.", body = LiveCallList)))]
async fn list(State(api): State<ApiState>, Reader { scope }: Reader) -> Json<LiveCallList> {
    Json(calls(&api, Some(scope.tenant_id())))
}

/// List all tenants' calls in progress, newest first.
#[utoipa::path(get, path = "/api/calls/live", operation_id = "listAllLiveCalls", tag = "live calls",
    responses((status = 200, description = "The calls in progress.", body = LiveCallList)))]
async fn list_all(State(api): State<ApiState>, _: Operator) -> Json<LiveCallList> {
    Json(calls(&api, None))
}

fn calls(api: &ApiState, tenant: Option<TenantId>) -> LiveCallList {
    LiveCallList { items: api.live.calls(tenant), muted: api.live.muted(tenant) }
}

/// Watch a call: a stream of server-sent events from its start to its end.
///
/// The data of each event is a `LiveEvent`; the event's name is its `type`. Past events are sent first;
/// `Last-Event-ID` continues after that event. The last event is `ended`; a call that has ended is answered with this
/// event alone, or with 204 if `Last-Event-ID` was it. A reader that is too slow gets a `lagged` event in place of those
/// that were dropped.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/calls/{call_id}/events", operation_id = "watchCall",
    tag = "live calls",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was read: a number, or `end`.")),
    responses(
        (status = 200, description = "The stream of events.", content_type = "text/event-stream", body = LiveEvent),
        (status = 204, description = "The call has ended and `Last-Event-ID` was its last event."),
        (status = 503, body = ProblemBody, description = "The call has too many readers (`too_many_readers`), or the database does not answer.")))]
async fn events(
    State(api): State<ApiState>,
    Reader { scope }: Reader,
    Caller { actor, .. }: Caller,
    Ids(path): Ids<OfCall>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let call = path.call_id;
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let after = last.and_then(|id| id.parse().ok()).unwrap_or(0);
    let events = match api.live.events(scope.tenant_id(), call, after) {
        Ok(events) => {
            scope.note_access(&actor, "watch", "call", call.0).await?;
            events
        }
        Err(WatchError::NotLive) => {
            let ended = ended(&scope, call).await?;
            if last == Some(END) {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            once(std::future::ready(ended)).boxed()
        }
        Err(WatchError::TooManyReaders) => {
            return Err(Problem::unavailable("too_many_readers", "too many watch this call"));
        }
    };
    Ok(([UNBUFFERED], stream(events)).into_response())
}

/// The bytes of a WAV file of unknown length.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
struct CallAudio(Body);

impl IntoResponse for CallAudio {
    fn into_response(self) -> Response {
        ([UNBUFFERED, (CONTENT_TYPE, HeaderValue::from_static("audio/wav"))], self.0).into_response()
    }
}

/// Listen to a call in progress: its audio from now on, until it ends.
///
/// 16-bit WAV of unknown length, with the caller in the left channel and the agent in the right. A call has one listener
/// at a time. Each use is recorded in the tenant's audit log. The law of the country may require the parties' consent.
#[utoipa::path(get, path = "/api/calls/{call_id}/audio", operation_id = "listenToCall", tag = "live calls",
    params(("call_id" = CallId, Path)),
    responses(
        (status = 200, description = "The audio.", content_type = "audio/wav", body = inline(CallAudio)),
        (status = 404, body = ProblemBody, description = "No such call is in progress: `not_found`."),
        (status = 409, body = ProblemBody, description = "The call has no audio, because it is not answered yet: `no_audio`."),
        (status = 503, body = ProblemBody, description = "The call has a listener already: `too_many_readers`.")))]
async fn listen(
    State(api): State<ApiState>,
    Operator(actor): Operator,
    Ids(path): Ids<OfCall>,
) -> Result<CallAudio, Problem> {
    let id = path.call_id;
    let call = api.live.calls(None).into_iter().find(|call| call.id == id).ok_or_else(Problem::not_found)?;
    audio(&api, &api.store.scope(call.tenant_id), &actor, id).await
}

/// Listen to one of the tenant's calls in progress: its audio from now on, until it ends.
///
/// Format and rules are those of `listenToCall`.
#[utoipa::path(get, path = "/api/tenants/{tenant_id}/calls/{call_id}/audio", operation_id = "listenToTenantCall",
    tag = "live calls",
    params(("tenant_id" = TenantId, Path), ("call_id" = CallId, Path)),
    responses(
        (status = 200, description = "The audio.", content_type = "audio/wav", body = inline(CallAudio)),
        (status = 409, body = ProblemBody, description = "The call is not in progress (`call_not_live`), or has no audio, because it is not answered yet (`no_audio`)."),
        (status = 503, body = ProblemBody, description = "The call has a listener already: `too_many_readers`.")))]
async fn listen_as_tenant(
    State(api): State<ApiState>,
    Administrator { scope, actor }: Administrator,
    Ids(path): Ids<OfCall>,
) -> Result<CallAudio, Problem> {
    check_live(&api, &scope, path.call_id).await?;
    audio(&api, &scope, &actor, path.call_id).await
}

/// The audio of a tenant's call, with an entry in the audit log.
async fn audio(api: &ApiState, scope: &Scope, actor: &Actor, call: CallId) -> Result<CallAudio, Problem> {
    let audio = api.live.audio(scope.tenant_id(), call).map_err(|reason| match reason {
        WatchError::NotLive => Problem::new(StatusCode::CONFLICT, "no_audio", "the call is not answered yet"),
        WatchError::TooManyReaders => {
            Problem::unavailable("too_many_readers", "the call has a listener already")
        }
    })?;
    scope.note_access(actor, "listen", "call", call.0).await?;
    Ok(CallAudio(Body::from_stream(audio.map(Ok::<_, Infallible>))))
}

/// # Errors
/// 404 when the tenant has no such call, 409 when it is not in progress.
pub async fn check_live(api: &ApiState, scope: &Scope, call: CallId) -> Result<(), Problem> {
    if api.live.calls(Some(scope.tenant_id())).iter().any(|live| live.id == call) {
        return Ok(());
    }
    scope.has_call(call).await?;
    Err(Problem::new(StatusCode::CONFLICT, "call_not_live", "the call is not in progress"))
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
        LiveEventKind::Ended { .. } => END.to_owned(),
        _ => event.sequence.to_string(),
    };
    let written = Event::default().id(id).event(event.what.as_str()).json_data(event);
    written.unwrap_or_else(|error| Event::default().comment(error.to_string()))
}
