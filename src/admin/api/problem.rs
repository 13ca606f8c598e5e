//! Refusals and failures of the API: problem details (RFC 9457) with a stable code.
//!
//! Texts of a database error or of a bug do not leave the daemon: they are logged with the request's id.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::ControlError;
use crate::store::{Duplicate, NumberRefusal, StoreError};
use crate::violation::Violation;

/// Why a request was not served. It becomes a [`ProblemBody`] once the request's id is put to it.
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: StatusCode,
    /// Stable: programs may rely on it.
    pub code: &'static str,
    pub detail: String,
    pub errors: Vec<Violation>,
    /// The resource that the request has created or changed already.
    pub resource_id: Option<String>,
    /// After how many seconds it is worth another try.
    pub retry_after_s: Option<u64>,
}

/// `application/problem+json`
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Always `about:blank`: `code` identifies the problem.
    #[schema(examples("about:blank"))]
    pub r#type: &'static str,
    /// The status in words.
    #[schema(examples("Bad Request"))]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, examples(400))]
    pub status: u16,
    /// Stable: programs can rely on it.
    #[schema(examples("invalid_value"))]
    pub code: &'static str,
    /// The problem in a sentence, for people.
    #[schema(examples("plan: one of starter, growth, custom"))]
    pub detail: String,
    /// The fields that are not acceptable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Violation>,
    /// With `already_applied`: the id of the resource that the request has created or changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resource_id: Option<String>,
    /// The id of the request in the daemon's log.
    pub request_id: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            resource_id: None,
            retry_after_s: None,
        }
    }

    /// 404: the resource does not exist, or belongs to another tenant. The response is the same.
    pub fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such resource")
    }

    /// 400: the value of a field is not acceptable.
    pub fn field(field: impl Into<String>, problem: impl ToString) -> Problem {
        Problem::fields(vec![Violation::new(field, problem.to_string())])
    }

    /// 400: these fields are not acceptable.
    pub fn fields(errors: Vec<Violation>) -> Problem {
        let detail = match errors.as_slice() {
            [one] => one.to_string(),
            many => format!("{} fields are not acceptable", many.len()),
        };
        Problem { errors, ..Problem::new(StatusCode::BAD_REQUEST, "invalid_value", detail) }
    }

    /// 401
    pub fn unauthorized(detail: &str) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// 403
    pub fn forbidden(code: &'static str, detail: &str) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 500, with nothing but that. The reason goes to the log.
    pub fn internal(reason: impl std::fmt::Display) -> Problem {
        tracing::error!(%reason, "a request failed");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "internal error; see the log under this request id",
        )
    }

    /// 503
    pub fn unavailable(code: &'static str, detail: &str) -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Problem { retry_after_s: Some(1), ..problem }
    }

    /// With the id of the request.
    pub fn respond(self, request_id: &str) -> Response {
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Problem"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            errors: self.errors,
            resource_id: self.resource_id,
            request_id: request_id.to_owned(),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The body is written by the layer that knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::NotFound => Problem::not_found(),
            StoreError::Conflict { what } => {
                Problem::new(StatusCode::CONFLICT, conflict(what), what.to_string())
            }
            StoreError::Number(refusal) => number_refused(&refusal),
            StoreError::LimitReached(reached) => {
                let violation = Violation::new(reached.limit, format!("{} at most", reached.at_most));
                let problem = Problem::new(StatusCode::CONFLICT, "limit_reached", reached.to_string());
                Problem { errors: vec![violation], ..problem }
            }
            StoreError::Refused { code, what } => Problem::new(StatusCode::CONFLICT, code, what),
            StoreError::Invalid { what } => Problem::new(StatusCode::BAD_REQUEST, "invalid_value", what),
            StoreError::Unavailable { what } => {
                tracing::warn!(%what, "a request found no database");
                Problem::unavailable("database_unavailable", "the database does not answer: try again")
            }
            slow @ StoreError::TooSlow { .. } => {
                tracing::warn!(%slow, "a request asked for too much");
                Problem::unavailable(
                    "too_slow",
                    "the database takes too long for this: ask for less, such as a shorter period",
                )
            }
            fault @ (StoreError::Schema { .. } | StoreError::Other(_)) => Problem::internal(fault),
        }
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Problem {
        match error {
            ControlError::Invalid(violations) => Problem::fields(violations),
            ControlError::Store(error) => error.into(),
        }
    }
}

fn conflict(what: Duplicate) -> &'static str {
    match what {
        Duplicate::Number => "number_in_use",
        Duplicate::DefaultProfile => "default_profile_exists",
        Duplicate::InventoryNumber => "number_in_inventory",
        Duplicate::TargetName => "name_in_use",
        Duplicate::Key => "conflict",
        Duplicate::Successor(_) => "already_rotated",
    }
}

fn number_refused(refusal: &NumberRefusal) -> Problem {
    let (status, code) = match refusal {
        NumberRefusal::NotAssigned => (StatusCode::FORBIDDEN, "number_not_assigned"),
        NumberRefusal::Collides { .. } => (StatusCode::CONFLICT, "number_ambiguous"),
        NumberRefusal::HeldByAnother(_) | NumberRefusal::Held(_) => (StatusCode::CONFLICT, "number_in_use"),
    };
    Problem::new(status, code, refusal.to_string())
}
