//! Entity tags (RFC 9110, 8.8.3) and `If-Match`: a change that rests on what its client has read is refused when that has
//! changed since.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use crate::tenancy::ApiKey;

/// Describes `If-Match` in the document.
pub const IF_MATCH: &str = "The `ETag` of the resource as it was read, or several, or `*`. The change is refused with 412 \
    when the resource has another one. Default: no condition.";

/// A resource, with its entity tag in the response.
pub struct Tagged<T>(pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        (entity_tag(&self.0), Json(self.0)).into_response()
    }
}

/// The header with a resource's entity tag, for a response that has more than the resource.
pub fn entity_tag<T: Serialize>(resource: &T) -> [(HeaderName, String); 1] {
    [(header::ETAG, tag(resource))]
}

/// An API key, with its entity tag in the response. Its last use is not a part of the tag: a key that is in use would
/// otherwise change every minute.
pub struct TaggedKey(pub ApiKey);

impl IntoResponse for TaggedKey {
    fn into_response(self) -> Response {
        (entity_tag(&without_use(&self.0)), Json(self.0)).into_response()
    }
}

fn without_use(key: &ApiKey) -> ApiKey {
    ApiKey { last_used_at: None, ..key.clone() }
}

/// The entity tag of a resource: a hash of its representation, in quotes.
fn tag<T: Serialize>(resource: &T) -> String {
    let written = serde_json::to_vec(resource).unwrap_or_default();
    let hash = Sha256::digest(&written);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// Which state of a resource a change is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Any: without `If-Match`, or with `*`.
    None,
    /// One with one of these entity tags.
    Tags(Vec<String>),
}

impl Precondition {
    /// # Errors
    /// 412 when the resource has another entity tag.
    pub fn check<T: Serialize>(&self, resource: &T) -> Result<(), Problem> {
        match self {
            Precondition::None => Ok(()),
            Precondition::Tags(tags) if tags.contains(&tag(resource)) => Ok(()),
            Precondition::Tags(_) => Err(changed()),
        }
    }

    /// For a change that creates the resource where it does not exist.
    ///
    /// # Errors
    /// 412 when the resource has another entity tag, or a tag is given and there is no resource.
    pub fn check_if_any<T: Serialize>(&self, resource: Option<&T>) -> Result<(), Problem> {
        match (self, resource) {
            (_, Some(resource)) => self.check(resource),
            (Precondition::None, None) => Ok(()),
            (Precondition::Tags(_), None) => Err(changed()),
        }
    }

    /// # Errors
    /// 412 when the key has another entity tag.
    pub fn check_key(&self, key: &ApiKey) -> Result<(), Problem> {
        self.check(&without_use(key))
    }

    /// Reads `If-Match`. Weak tags never match (RFC 9110, 13.1.1).
    fn of(headers: &HeaderMap) -> Precondition {
        let mut lines = headers.get_all(header::IF_MATCH).iter().peekable();
        if lines.peek().is_none() {
            return Precondition::None;
        }
        let tags = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let tags: Vec<String> = tags.map(|tag| tag.trim().to_owned()).collect();
        if tags.iter().any(|tag| tag == "*") { Precondition::None } else { Precondition::Tags(tags) }
    }
}

fn changed() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "changed_meanwhile",
        "the resource has changed since it was read: read it again, then repeat the change with its new ETag",
    )
}

impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Precondition, Problem> {
        Ok(Precondition::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&str]) -> Precondition {
        let lines = lines.iter().map(|line| (header::IF_MATCH, line.parse().expect("a header's value")));
        Precondition::of(&lines.collect())
    }

    #[test]
    fn a_precondition_holds_for_its_tags_only() {
        let resource = "a resource";
        let own = tag(&resource);
        for lines in [vec![], vec!["*"], vec![own.as_str()], vec!["\"x\"", own.as_str()]] {
            assert!(read(&lines).check(&resource).is_ok(), "{lines:?}");
        }
        let (several, weak) = (format!("\"x\", {own}"), format!("W/{own}"));
        assert!(read(&[&several]).check(&resource).is_ok());
        for lines in [vec!["\"x\""], vec![""], vec![weak.as_str()]] {
            let problem = read(&lines).check(&resource).expect_err("another tag");
            assert_eq!(problem.status, StatusCode::PRECONDITION_FAILED, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(line in "[ -~]{0,60}") {
            let _ = read(&[&line]);
        }
    }
}
