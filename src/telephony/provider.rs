//! A client of a provider's HTTP API: credentials, timeouts and retries.
//!
//! All requests are idempotent, so a request that failed in transit is repeated. The credentials are in one header
//! that no error, log line or `Debug` output contains.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::TelephonyError;
use super::settings::Requests;

/// The longest response that is read, in bytes, and the longest error message that is repeated, in characters.
const LARGEST_ANSWER: usize = 1 << 20;
const LONGEST_REASON: usize = 200;

/// The operator's credentials at the provider.
#[derive(Debug, Clone)]
pub enum Credentials {
    Basic { user: String, password: SecretString },
    Bearer(SecretString),
}

#[derive(Debug, Clone)]
pub struct Provider {
    name: &'static str,
    http: Client,
    credentials: Credentials,
    requests: Requests,
}

/// Why an attempt failed, and whether it is worth repeating.
struct AttemptFailure {
    error: TelephonyError,
    /// The provider's `Retry-After`.
    after: Option<Duration>,
}

impl Provider {
    /// # Errors
    /// `Unavailable` when TLS cannot be set up.
    pub fn new(
        name: &'static str,
        credentials: Credentials,
        requests: &Requests,
    ) -> Result<Provider, TelephonyError> {
        let built = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("vca/", env!("CARGO_PKG_VERSION")))
            .build();
        let http = built.map_err(|error| TelephonyError::Unavailable {
            provider: name,
            reason: error.without_url().to_string(),
        })?;
        Ok(Provider { name, http, credentials, requests: requests.clone() })
    }

    /// Sends a request, and parses the response.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        dress: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, TelephonyError> {
        let answer = self.send(method, url, dress).await?;
        serde_json::from_slice(&answer).map_err(|error| TelephonyError::Unreadable {
            provider: self.name,
            // The position of the error; the response is not repeated.
            reason: format!("line {} column {}", error.line(), error.column()),
        })
    }

    /// Sends a request until there is a response, a permanent failure, no attempt left, or no time left.
    pub async fn send(
        &self,
        method: Method,
        url: Url,
        dress: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Vec<u8>, TelephonyError> {
        let budget = Duration::from_millis(self.requests.budget_ms);
        let attempts = self.attempts(|| dress(self.signed(self.http.request(method.clone(), url.clone()))));
        let answer = timeout(budget, attempts).await;
        answer.unwrap_or_else(|_| {
            Err(self.unavailable(format!("no response within {} ms", budget.as_millis())))
        })
    }

    async fn attempts(&self, request: impl Fn() -> RequestBuilder) -> Result<Vec<u8>, TelephonyError> {
        let mut failures = 0;
        loop {
            let AttemptFailure { error, after } = match self.attempt(request()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            failures += 1;
            let pause = after.unwrap_or_else(|| self.backoff(failures));
            let too_long = pause > Duration::from_millis(self.requests.max_wait_ms);
            let last = !error.is_passing() || failures > self.requests.retries || too_long;
            tracing::warn!(
                provider = self.name,
                attempt = failures,
                last,
                kind = error.as_str(),
                "provider failed"
            );
            if last {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    async fn attempt(&self, request: RequestBuilder) -> Result<Vec<u8>, AttemptFailure> {
        let limit = Duration::from_millis(self.requests.timeout_ms);
        let exchange = async {
            let response = request.send().await.map_err(|error| self.broken(error))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = self.body(response).await?;
            if status.is_success() { Ok(body) } else { Err(self.refused(status, &headers, &body)) }
        };
        timeout(limit, exchange).await.unwrap_or_else(|_| {
            let error = self.unavailable(format!("no response within {} ms", limit.as_millis()));
            Err(AttemptFailure { error, after: None })
        })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, AttemptFailure> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.broken(error))? {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST_ANSWER {
                let reason = "it is too large".to_owned();
                let error = TelephonyError::Unreadable { provider: self.name, reason };
                return Err(AttemptFailure { error, after: None });
            }
        }
        Ok(body)
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password.expose_secret())),
            Credentials::Bearer(key) => request.bearer_auth(key.expose_secret()),
        }
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> AttemptFailure {
        let reason = match self.without_secret(&message(body)) {
            words if words.is_empty() => format!("HTTP {}", status.as_u16()),
            words => format!("HTTP {}: {words}", status.as_u16()),
        };
        let provider = self.name;
        let error = match status.as_u16() {
            401 | 403 => TelephonyError::Credentials { provider, reason },
            404 => TelephonyError::NotFound { provider },
            409 => TelephonyError::InUse { provider, by: reason },
            408 | 429 | 500.. => TelephonyError::Unavailable { provider, reason },
            _ => TelephonyError::Refused { provider, reason },
        };
        let after = headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, Utc::now()));
        AttemptFailure { error, after }
    }

    /// A failure of the connection: not established, or broken during the response.
    fn broken(&self, error: reqwest::Error) -> AttemptFailure {
        let reason = if error.is_connect() { "no connection" } else { "the connection broke" };
        AttemptFailure { error: self.unavailable(reason.to_owned()), after: None }
    }

    fn unavailable(&self, reason: String) -> TelephonyError {
        TelephonyError::Unavailable { provider: self.name, reason }
    }

    /// Half to all of the doubled pause, at random.
    fn backoff(&self, failures: u32) -> Duration {
        let doubled = self.requests.backoff_ms.saturating_mul(1 << (failures - 1).min(16));
        let pause = Duration::from_millis(doubled.min(self.requests.max_wait_ms));
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }

    fn without_secret(&self, text: &str) -> String {
        let (Credentials::Basic { password: secret, .. } | Credentials::Bearer(secret)) = &self.credentials;
        text.replace(secret.expose_secret(), "[secret]")
    }
}

/// The URL of a path below `base`, with each segment percent-encoded.
pub fn url(base: &str, path: &[&str]) -> Option<Url> {
    let mut url = Url::parse(base.trim_end_matches('/')).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    Some(url)
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(value.trim()).ok()?;
    Some((at.with_timezone(&Utc) - now).to_std().unwrap_or_default())
}

/// The provider's error message, cut short: Twilio's `message`, Telnyx's `errors[].detail`.
fn message(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let first = json.pointer("/errors/0");
    let telnyx = first.and_then(|error| error.get("detail").or_else(|| error.get("title")));
    let words = json.get("message").or(telnyx).and_then(Value::as_str).unwrap_or_default();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc2822("Wed, 21 Oct 2015 07:28:00 GMT").unwrap().to_utc();
        assert_eq!(retry_after("3", now), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:09 GMT", now), Some(Duration::from_secs(9)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:27:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn the_words_of_both_vendors_are_found() {
        assert_eq!(message(br#"{"code":20003,"message":"Authenticate","status":401}"#), "Authenticate");
        assert_eq!(
            message(br#"{"errors":[{"code":"10009","title":"Auth failed","detail":"No such key"}]}"#),
            "No such key"
        );
        assert_eq!(message(br#"{"errors":[{"title":"Auth failed"}]}"#), "Auth failed");
        assert_eq!(message(b"<html>"), "");
    }

    #[test]
    fn an_id_stays_in_its_segment() {
        let made = url("https://api.example/v2/", &["phone_numbers", "a/b?c"]).unwrap();
        assert_eq!(made.as_str(), "https://api.example/v2/phone_numbers/a%2Fb%3Fc");
        assert!(url("ftp://x", &[]).is_none() && url("nonsense", &[]).is_none());
    }

    proptest! {
        #[test]
        fn any_body_gives_short_words(body: Vec<u8>) {
            prop_assert!(message(&body).chars().count() <= LONGEST_REASON);
        }

        #[test]
        fn any_header_is_read_or_not(value: String) {
            let _ = retry_after(&value, DateTime::UNIX_EPOCH);
        }
    }
}
