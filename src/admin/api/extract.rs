//! What handlers take of a request: bodies and queries whose faults become problems, and pages.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::Problem;
use crate::store::{Page, Window};

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = rejection.status();
            let code = if status.as_u16() == 413 { "body_too_large" } else { "invalid_body" };
            Problem::new(status, code, rejection.body_text())
        })?;
        let mut source = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut source).map_err(|error| {
            let field = error.path().to_string();
            let problem = error.into_inner().to_string();
            match field.as_str() {
                "." | "?" => Problem::new(axum::http::StatusCode::BAD_REQUEST, "invalid_body", problem),
                _ => Problem::field(field, problem),
            }
        })?;
        source.end().map_err(|error| {
            Problem::new(axum::http::StatusCode::BAD_REQUEST, "invalid_body", error.to_string())
        })?;
        Ok(Body(value))
    }
}

/// A query string.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked<T>, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Asked(value)).map_err(|rejection| {
            Problem::new(axum::http::StatusCode::BAD_REQUEST, "invalid_query", rejection.body_text())
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
