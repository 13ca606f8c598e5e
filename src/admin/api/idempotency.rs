//! `Idempotency-Key` on POST (draft-ietf-httpapi-idempotency-key-header): a request that is repeated with its key is carried
//! out once, and gets the same response again.
//!
//! A layer before the handlers, which know nothing of it: it claims the key, passes the attempt to them in the request's
//! extensions, and stores their response. The store records an attempt with the change that it makes.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use sha2::{Digest, Sha256};
use tracing::warn;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required};
use uuid::{Builder, Uuid};

use super::extract;
use super::problem::Problem;
use super::{ApiState, auth, inbound};
use crate::store::{ChangedResource, ClaimOutcome, IdempotentRequest, IdempotentRequests, StoredResponse};
use crate::tenancy::{RequestAttempt, TenantId};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// On a response that is sent again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Characters of a key.
const LONGEST_KEY: usize = 255;
/// The longest response of a POST; a profile may have 256 KiB.
const LONGEST_RESPONSE: usize = 4 * 1024 * 1024;
/// The longest response that is stored.
const LONGEST_STORED: usize = 64 * 1024;

const ABOUT: &str = "A key of the client's choice, such as a UUID, that is new for each request. For 24 hours the request \
    can be repeated with the same API key, path and body: it is carried out once, and the repetition gets the same response \
    with `Idempotency-Replayed: true`. Responses other than 2xx are not stored. Where the response is not stored (it held a \
    secret or a caller's words, or the daemon died before it was sent), the repetition gets 409 `already_applied` with \
    `resource_id`. Default: a repeated request is carried out again.";

/// The meaning of a 409 beside the operation's own reasons.
pub const CONFLICTS: &str = "The `Idempotency-Key` is in use by a request in progress: `request_in_progress`, \
    `request_taken_over`; or its request was carried out and the response is not stored: `already_applied`, with \
    `resource_id`.";

/// A response with a secret or a caller's words, which is not stored for repeated requests.
pub struct Unstored<T>(pub T);

#[derive(Debug, Clone, Copy)]
struct KeepsNothing;

impl<T: IntoResponse> IntoResponse for Unstored<T> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.extensions_mut().insert(KeepsNothing);
        response
    }
}

/// Carries out a POST with an `Idempotency-Key` once. The dialplan's announcements have an id of their own.
pub async fn apply(State(api): State<ApiState>, request: Request, next: Next) -> Response {
    let is_meant = request.method() == Method::POST && request.uri().path() != inbound::PATH;
    if !is_meant || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    match admit(&api, request).await {
        Ok(AdmittedRequest { requests, attempt, request }) => {
            let response = next.run(request).await;
            settle(&requests, attempt, response).await
        }
        Err(response) => *response,
    }
}

/// A request with a claimed key.
struct AdmittedRequest {
    requests: IdempotentRequests,
    attempt: RequestAttempt,
    request: Request,
}

/// Claims the key of a request, or responds in place of the handler.
async fn admit(api: &ApiState, request: Request) -> Result<AdmittedRequest, Box<Response>> {
    let (parts, body, owner, described) = describe(api, request).await.map_err(respond)?;
    let requests = match owner {
        Some(tenant) => api.store.scope(tenant).idempotent_requests(),
        None => api.store.idempotent_requests(),
    };
    let claim = requests.claim(&described, Utc::now()).await.map_err(|error| respond(error.into()))?;
    match claim {
        ClaimOutcome::Granted(attempt) => {
            let mut parts = parts;
            auth::set_attempt(&mut parts, attempt);
            Ok(AdmittedRequest { requests, attempt, request: Request::from_parts(parts, Body::from(body)) })
        }
        ClaimOutcome::InProgress => Err(respond(in_progress())),
        ClaimOutcome::OtherRequest => Err(respond(other_request())),
        ClaimOutcome::Changed(resource) => Err(respond(already_applied(resource))),
        ClaimOutcome::Finished(stored) => Err(Box::new(replay(stored))),
    }
}

fn respond(problem: Problem) -> Box<Response> {
    Box::new(problem.into_response())
}

type Described = (Parts, Bytes, Option<TenantId>, IdempotentRequest);

/// Reads a request: who sends it, about which tenant, with which key and which content.
async fn describe(api: &ApiState, request: Request) -> Result<Described, Problem> {
    let key = read_key(request.headers())?;
    let (mut parts, body) = request.into_parts();
    let (caller, owner) = auth::owner(&mut parts, api).await?;
    let secret = auth::bearer(&parts).unwrap_or_default().to_owned();
    let body = extract::bytes(Request::from_parts(parts.clone(), body), api).await?;
    let tenant = owner.map_or(Uuid::nil(), |tenant| tenant.0);
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let id = digest([b"id", secret.as_bytes(), tenant.as_bytes(), key.as_bytes()]);
    let described = IdempotentRequest {
        id: id_of(id),
        api_key: caller.presented.key.id,
        fingerprint: digest([b"request", secret.as_bytes(), target.as_bytes(), &body]),
    };
    Ok((parts, body, owner, described))
}

/// The key: visible ASCII, with or without the quotes of a structured field's string (RFC 9651, 3.3.3).
fn read_key(headers: &HeaderMap) -> Result<String, Problem> {
    let invalid = || {
        let detail = format!("Idempotency-Key: one value of 1 to {LONGEST_KEY} visible ASCII characters");
        Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail)
    };
    let mut values = headers.get_all(KEY).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(invalid()) };
    let text = value.to_str().map_err(|_| invalid())?.trim();
    if text.is_empty() || text.len() > LONGEST_KEY {
        return Err(invalid());
    }
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Ok(quoted.filter(|inner| !inner.is_empty()).unwrap_or(text).to_owned())
}

/// A hash of texts, each with its length, so that no two lists of texts read the same. The secret in it keeps the hash of
/// short contents, such as a caller's number, from being found by trial.
fn digest(texts: [&[u8]; 4]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

/// The first half of a hash as an id (UUID version 8, RFC 9562).
fn id_of(hash: [u8; 32]) -> Uuid {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    Builder::from_custom_bytes(half).into_uuid()
}

/// Stores a success; after a refusal the key can be used again. The client gets its response in either case.
async fn settle(requests: &IdempotentRequests, attempt: RequestAttempt, response: Response) -> Response {
    if !response.status().is_success() {
        if let Err(error) = requests.release(attempt).await {
            warn!(%error, "idempotency key not released: it can be used again in a minute");
        }
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = match to_bytes(body, LONGEST_RESPONSE).await {
        Ok(body) => body,
        Err(error) => return Problem::internal(error).into_response(),
    };
    let is_stored = parts.extensions.get::<KeepsNothing>().is_none() && body.len() <= LONGEST_STORED;
    let stored = StoredResponse {
        status: parts.status.as_u16(),
        etag: parts.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned),
        body: is_stored.then(|| String::from_utf8(body.to_vec()).ok()).flatten(),
    };
    if let Err(error) = requests.finish(attempt, stored).await {
        warn!(%error, "response not stored: a repeated request gets 409");
    }
    Response::from_parts(parts, Body::from(body))
}

fn replay(stored: StoredResponse) -> Response {
    let body = stored.body.unwrap_or_default();
    let has_body = !body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(tag) = stored.etag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        headers.insert(ETAG, tag);
    }
    response
}

fn in_progress() -> Problem {
    let detail = "a request with this Idempotency-Key is in progress: repeat it later";
    let problem = Problem::new(StatusCode::CONFLICT, "request_in_progress", detail);
    Problem { retry_after_s: Some(1), ..problem }
}

fn other_request() -> Problem {
    let detail = "this Idempotency-Key was used for another request: use a new one for each request";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
}

fn already_applied(resource: Option<ChangedResource>) -> Problem {
    let detail = match &resource {
        Some(ChangedResource { kind, id }) => {
            format!("the request was carried out, and its response is not stored: see {kind} {id}")
        }
        None => "the request was carried out, and its response is not stored".to_owned(),
    };
    let problem = Problem::new(StatusCode::CONFLICT, "already_applied", detail);
    Problem { resource_id: resource.map(|resource| resource.id), ..problem }
}

/// Adds the header to the description of an operation, and the header of responses that are sent again.
pub fn document(operation: &mut Operation) {
    operation.parameters.get_or_insert_default().push(parameter().into());
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with('2')
        {
            let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["true"]));
            let about = "Present when the response is sent again for a repeated `Idempotency-Key`.";
            let header = HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build();
            response.headers.insert("Idempotency-Replayed".to_owned(), header.into());
        }
    }
}

fn parameter() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(LONGEST_KEY))
        .pattern(Some("^[!-~]([ -~]*[!-~])?$"))
        .examples(["8e03978e-40d5-43dd-bc93-6894a57f9324"]);
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(ABOUT))
        .schema(Some(schema))
        .build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Result<String, StatusCode> {
        let values = values.iter().filter_map(|value| HeaderValue::from_str(value).ok());
        read_key(&values.map(|value| (KEY, value)).collect()).map_err(|problem| problem.status)
    }

    #[test]
    fn a_key_is_one_text_with_or_without_quotes() {
        assert_eq!(read(&["\"8e03978e\""]), Ok("8e03978e".to_owned()));
        assert_eq!(read(&[" 8e03978e "]), Ok("8e03978e".to_owned()));
        assert_eq!(read(&["\"\""]), Ok("\"\"".to_owned()));
        assert_eq!(read(&["\""]), Ok("\"".to_owned()));
        assert_eq!(read(&[&"x".repeat(255)]), Ok("x".repeat(255)));
        for values in [vec![""], vec!["  "], vec!["a", "b"], vec!["ü"], vec![&*"x".repeat(256)]] {
            assert_eq!(read(&values), Err(StatusCode::BAD_REQUEST), "{values:?}");
        }
    }

    #[test]
    fn texts_are_hashed_apart() {
        assert_ne!(digest([b"a", b"bc", b"", b""]), digest([b"a", b"b", b"c", b""]));
        assert_eq!(id_of(digest([b"a", b"", b"", b""])).get_version_num(), 8);
    }

    proptest! {
        /// As the document describes it.
        #[test]
        fn every_described_key_is_read(key in "[!-~]([ -~]{0,253}[!-~])?") {
            prop_assert!(read(&[&key]).is_ok());
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = read_key(&[(KEY, value)].into_iter().collect());
            }
        }
    }
}
