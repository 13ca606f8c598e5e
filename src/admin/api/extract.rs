//! What handlers take of a request: bodies and queries whose faults become problems, and pages.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::Problem;
use crate::store::{Page, Window};

/// How long the body of this request may take; put to it by whoever knows the settings.
#[derive(Debug, Clone, Copy)]
pub struct BodyPatience(pub Duration);

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let bytes = bytes(request, state).await?;
        // A list would pass for an object whose fields it fills in their order, or leaves out.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            let problem = "the body has to be a JSON object";
            return Err(Problem::new(axum::http::StatusCode::BAD_REQUEST, "invalid_body", problem));
        }
        let mut source = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut source).map_err(|error| {
            let field = error.path().to_string();
            let problem = error.into_inner().to_string();
            match field.as_str() {
                "." | "?" => Problem::new(StatusCode::BAD_REQUEST, "invalid_body", problem),
                _ => Problem::field(field, problem),
            }
        })?;
        source
            .end()
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid_body", error.to_string()))?;
        Ok(Body(value))
    }
}

/// The whole body, unless it is too large or too slow.
async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let patience = request.extensions().get::<BodyPatience>().map_or(Duration::MAX, |patience| patience.0);
    let read = tokio::time::timeout(patience, Bytes::from_request(request, state)).await;
    let read = read.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not come in time")
    })?;
    read.map_err(|rejection| {
        let status = rejection.status();
        let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "body_too_large" } else { "invalid_body" };
        Problem::new(status, code, rejection.body_text())
    })
}

/// A query string.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked<T>, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Asked(value)).map_err(|rejection| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid_query", rejection.body_text())
        })
    }
}

/// The ids of a path. One that is no id names nothing.
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
    /// How many at most: 1 to 500. Default 50.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
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
    pub items: Vec<T>,
    /// Give it as `cursor` for the next page; `null` on the last.
    pub next_cursor: Option<Uuid>,
}

impl<T> From<Page<T>> for Json<Listed<T>> {
    fn from(page: Page<T>) -> Json<Listed<T>> {
        Json(Listed { items: page.items, next_cursor: page.next })
    }
}
