//! Extractors of handlers: bodies and queries with faults that become problems, and pages.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::expected::Operation;
use super::inbound;
use super::problem::Problem;
use crate::store::{Page, Window};

/// The timeout of this request's body, set by a layer that has the settings.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub Duration);

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        check_media_type(&request)?;
        let operation = Operation::of(request.method(), request.extensions());
        let bytes = bytes(request, state).await?;
        read(&bytes, operation).map(Body)
    }
}

/// Reads a JSON object.
fn read<T: DeserializeOwned>(bytes: &[u8], operation: Operation) -> Result<T, Problem> {
    let invalid = |problem: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid_body", problem);
    // A list would be read as an object's fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(invalid("the body has to be a JSON object"));
    }
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut source);
    let body: Result<Value, _> = serde_json::from_slice(bytes);
    let read = match (read, &body) {
        (Err(error), Ok(body)) if is_worth_a_second_reading(error.inner()) => read_again(body.clone()),
        (read, _) => read,
    };
    let value = read.map_err(|error| operation.refuse_body(error.path(), error.inner()))?;
    let body = body.map_err(|_| invalid("the body has to be one JSON object and nothing else"))?;
    operation.check_objects(&body)?;
    Ok(value)
}

/// For JSON Schema `4.0` is an integer, for serde it is none; and `null` in place of a word is an error of syntax for
/// serde.
fn is_worth_a_second_reading(error: &serde_json::Error) -> bool {
    error.is_syntax() || error.to_string().starts_with("invalid type: floating point")
}

/// Reads a body that is valid JSON, with whole numbers as integers.
fn read_again<T: DeserializeOwned>(
    mut body: Value,
) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    make_integers(&mut body);
    serde_path_to_error::deserialize(body)
}

fn make_integers(value: &mut Value) {
    /// Up to here each integer is a number of its own in 64-bit floating point.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Array(items) => items.iter_mut().for_each(make_integers),
        Value::Object(fields) => fields.values_mut().for_each(make_integers),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= LARGEST);
            if let Some(whole) = whole.filter(|_| number.is_f64()) {
                *value = Value::from(whole as i64);
            }
        }
        _ => {}
    }
}

/// The body has to be JSON. A request without a `Content-Type` is taken to be; so is every announcement of a call, since
/// Asterisk's `CURL` sends them as a form.
fn check_media_type(request: &Request) -> Result<(), Problem> {
    let named = request.headers().get(CONTENT_TYPE).filter(|_| request.uri().path() != inbound::PATH);
    let Some(named) = named else { return Ok(()) };
    let essence = named.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "the body has to be JSON: send Content-Type: application/json",
    ))
}

/// The whole body, unless it is too large or too slow.
pub async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let timeout = request.extensions().get::<BodyTimeout>().map_or(Duration::MAX, |timeout| timeout.0);
    let read = tokio::time::timeout(timeout, Bytes::from_request(request, state)).await;
    let read = read.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not arrive in time")
    })?;
    read.map_err(|rejection| {
        let status = rejection.status();
        let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "body_too_large" } else { "invalid_body" };
        let problem = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "the body is too large: 256 KiB at most",
            _ => "the body cannot be read",
        };
        Problem::new(status, code, problem)
    })
}

/// A query string.
pub struct ValidQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ValidQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ValidQuery<T>, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let source = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(source).map(ValidQuery).map_err(|error| {
            let operation = Operation::of(&parts.method, &parts.extensions);
            operation.refuse_query(error.path(), &error.inner().to_string())
        })
    }
}

/// Refuses a request with a query parameter that its operation does not know.
pub async fn refuse_unknown_parameters(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    match Operation::of(request.method(), request.extensions()).check_query(query) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The ids of a path. An invalid id is 404.
pub struct Ids<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Ids<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Ids<T>, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(ids)| Ids(ids)).map_err(|_| Problem::not_found())
    }
}

/// Which part of a list: `?limit=50&cursor=…`.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Highest number of items.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the previous page.
    pub cursor: Option<Uuid>,
}

const LONGEST_PAGE: u32 = 500;

impl Paging {
    pub fn window(self) -> Result<Window, Problem> {
        let limit = self.limit.unwrap_or(50);
        if !(1..=LONGEST_PAGE).contains(&limit) {
            return Err(Problem::field("limit", format_args!("1 to {LONGEST_PAGE}")));
        }
        Ok(Window { after: self.cursor, limit })
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listed<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// The `cursor` of the next page; `null` on the last one.
    pub next_cursor: Option<Uuid>,
}

impl<T> From<Page<T>> for Json<Listed<T>> {
    fn from(page: Page<T>) -> Json<Listed<T>> {
        Json(Listed { items: page.items, next_cursor: page.next })
    }
}
