//! Headers that tenants set in the requests of their tools.

use std::collections::{BTreeMap, BTreeSet};

use crate::violation::Violation;

const MAX_HEADERS: usize = 20;
/// Of a header's value.
const MAX_VALUE: usize = 500;

/// Headers that the request has anyway, or that belong to the connection.
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The problems of the headers of requests.
pub(super) fn header_violations(
    headers: &BTreeMap<String, String>,
    secret_headers: &BTreeMap<String, String>,
) -> Vec<Violation> {
    let secret = headers_problem(secret_headers).or_else(|| repeated_header(headers, secret_headers));
    let found = [("headers", headers_problem(headers)), ("secret_headers", secret)];
    found.into_iter().filter_map(|(field, problem)| Some(Violation::new(field, problem?))).collect()
}

/// The problem of these headers.
fn headers_problem(headers: &BTreeMap<String, String>) -> Option<String> {
    if headers.len() > MAX_HEADERS {
        return Some(format!("{MAX_HEADERS} at most"));
    }
    headers.iter().find_map(|(name, value)| {
        // The characters of a token (RFC 9110, section 5.6.2).
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_token) {
            return Some(format!("{name:?} is no name of a header"));
        }
        if RESERVED.contains(&name.to_ascii_lowercase().as_str())
            || name.to_ascii_lowercase().starts_with("proxy-")
        {
            return Some(format!("{name} cannot be set"));
        }
        let is_plain = value.chars().all(|c| matches!(c, ' '..='~'));
        let fits = is_plain && !value.is_empty() && value.len() <= MAX_VALUE && value.trim() == value;
        (!fits).then(|| format!("{name}: 1 to {MAX_VALUE} visible ASCII characters"))
    })
}

/// A header that would be sent twice: servers differ in the value that they use.
fn repeated_header(
    headers: &BTreeMap<String, String>,
    secret_headers: &BTreeMap<String, String>,
) -> Option<String> {
    let mut names = BTreeSet::new();
    let all = headers.keys().chain(secret_headers.keys());
    let repeated = all.map(|name| name.to_ascii_lowercase()).find(|name| !names.insert(name.clone()));
    repeated.map(|name| format!("{name} is set twice"))
}
