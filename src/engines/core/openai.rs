//! The HTTP endpoint of OpenAI, of a server with the same API, or of another vendor.
//!
//! It maps HTTP's failures to [`EngineError`] and keeps its secrets to itself: neither the key nor a header's value is in
//! an error, a log line or `Debug` output.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use futures_util::{Stream, StreamExt};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::error_body::{ErrorBody, LONGEST};
use super::exchange::ServerConnections;
use super::server::{Auth, SettingsError};
use super::{EngineError, FailureReason, Refusal, delay};

pub use super::server::Settings;

/// The interval of pings on connections with HTTP/2, used or not: they find a dead one before a caller does.
const PING: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is taken to be open this long after a response. Servers close idle ones after a minute or later, as a rule.
const USED_LATELY: Duration = Duration::from_secs(45);
/// The time limit for opening a connection in advance, and the pause between attempts.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body that is read whole, in bytes.
const LONGEST_BODY: usize = 1024 * 1024;
/// How much of an error's body is read, in bytes.
const ERROR_BODY: usize = 16 * 1024;

/// A vendor, its connections kept open between requests.
#[derive(Debug, Clone)]
pub struct Endpoint {
    base_url: Url,
    /// The key and the values of configured headers, which no message repeats.
    secrets: Vec<SecretString>,
    http: Client,
    connections: ServerConnections,
}

impl Endpoint {
    /// An endpoint with OpenAI's authentication.
    ///
    /// # Errors
    /// The base URL is none, a header is malformed, or TLS cannot be set up.
    pub fn new(settings: &Settings) -> Result<Endpoint, SettingsError> {
        Endpoint::with_auth(settings, Auth::Scheme("Bearer"))
    }

    /// An endpoint with another vendor's authentication.
    ///
    /// # Errors
    /// As of [`Endpoint::new`].
    pub fn with_auth(settings: &Settings, auth: Auth) -> Result<Endpoint, SettingsError> {
        let mut base_url = Url::parse(&settings.base_url).map_err(|error| {
            SettingsError::new(
                "base_url",
                format!("this is no URL ({error}): write it as in https://host/v1"),
            )
        })?;
        if !matches!(base_url.scheme(), "http" | "https") {
            return Err(SettingsError::new("base_url", "the URL has to begin with http:// or https://"));
        }
        if let Some(guard) = &settings.guard {
            let checked = guard.check(&settings.base_url);
            checked.map_err(|refusal| SettingsError::new("base_url", refusal.to_string()))?;
        }
        if let Some(version) = &settings.api_version {
            base_url.query_pairs_mut().append_pair("api-version", version);
        }
        let builder = Client::builder().redirect(same_origin());
        let builder = settings.guard.iter().fold(builder, |builder, guard| guard.apply(builder));
        let http = builder
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .user_agent(concat!("vca/", env!("CARGO_PKG_VERSION")))
            .default_headers(settings.header_map(auth)?)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .build()
            .map_err(|error| SettingsError::new("base_url", described(error)))?;
        let secrets = settings.key.iter().chain(settings.headers.values()).cloned().collect();
        Ok(Endpoint { base_url, secrets, http, connections: ServerConnections::default() })
    }

    /// The base URL without its query, for messages.
    pub fn address(&self) -> String {
        let mut address = self.base_url.clone();
        address.set_query(None);
        address.as_str().trim_end_matches('/').to_owned()
    }

    /// A request to a path below the base URL, such as `/audio/speech`.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(self.url(path))
    }

    /// The same that only reads.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path))
    }

    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        let whole = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&whole);
        url
    }

    /// Sends a request and returns its answer's head when the status is a success. Cancelling it costs no connection.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, EngineError> {
        let response = match self.connections.send(request).await {
            Some(response) => response.map_err(|error| self.broken(error))?,
            None => return Err(EngineError::Temporary("the request was dropped".into())),
        };
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    /// The body of a response as it arrives. Cancelling it costs no connection.
    pub fn body(
        &self,
        response: Response,
    ) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + Unpin + use<> {
        let endpoint = self.clone();
        self.connections.body(response).map(move |piece| piece.map_err(|error| endpoint.broken(error)))
    }

    /// Reads the whole body of a response, a JSON value.
    ///
    /// # Errors
    /// Temporary when the connection breaks or the body is no such value; permanent when it is longer than [`LONGEST_BODY`].
    pub async fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, EngineError> {
        let (mut pieces, mut body) = (self.body(response), Vec::new());
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece?);
            if body.len() > LONGEST_BODY {
                return Err(EngineError::Permanent("the response is too long".into()));
            }
        }
        serde_json::from_slice(&body).map_err(|error| {
            EngineError::Temporary(self.without_key(&format!("malformed response: {error}")))
        })
    }

    /// Opens a connection for the next request, unless there was a response or an attempt a short time ago. A failure is left
    /// to that request.
    pub async fn connect(&self) {
        if self.connections.begin_opening(USED_LATELY, CONNECT_TIMEOUT) {
            let request = self.http.head(self.url("")).timeout(CONNECT_TIMEOUT);
            if let Some(Err(error)) = self.connections.send(request).await {
                tracing::debug!(
                    server = self.address(),
                    error = described(error),
                    "no connection in advance"
                );
            }
        }
    }

    #[cfg(test)]
    pub fn connections(&self) -> &ServerConnections {
        &self.connections
    }

    /// A failure on the way, such as a refused connection or a body that breaks off.
    pub fn broken(&self, error: reqwest::Error) -> EngineError {
        let hopeless = error.is_builder() || error.is_redirect();
        let text = self.without_key(&described(error));
        if hopeless { EngineError::Permanent(text) } else { EngineError::Temporary(text) }
    }

    async fn refused(&self, mut response: Response) -> EngineError {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > ERROR_BODY {
                break;
            }
        }
        self.refusal(status, &headers, &body)
    }

    /// The meaning of a response that is no success.
    pub(super) fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> EngineError {
        let problem = ErrorBody::read(body);
        let text = format!("HTTP {}: {}", status.as_u16(), self.without_key(problem.message()));
        let (reason, parameter) = (problem.reason(status), problem.unsupported_parameter(status));
        let is_final = reason == FailureReason::Quota
            || parameter.is_some()
            || delay::should_retry(headers) == Some(false);
        let is_temporary = worth_retrying(status) || delay::should_retry(headers) == Some(true);
        match delay::asked_for(headers, Utc::now()) {
            _ if is_final || !is_temporary => {
                EngineError::Refused(Box::new(Refusal { reason, parameter, text }))
            }
            Some(after) => EngineError::Busy { after, reason: text },
            None if reason == FailureReason::Busy => EngineError::RateLimited(text),
            None => EngineError::Temporary(text),
        }
    }

    /// An error that the server reported within a response, without the key.
    pub fn cleaned(&self, error: EngineError) -> EngineError {
        match error {
            EngineError::Temporary(text) => EngineError::Temporary(self.without_key(&text)),
            EngineError::RateLimited(text) => EngineError::RateLimited(self.without_key(&text)),
            EngineError::Permanent(text) => EngineError::Permanent(self.without_key(&text)),
            EngineError::Refused(mut refusal) => {
                refusal.text = self.without_key(&refusal.text);
                EngineError::Refused(refusal)
            }
            other => other,
        }
    }

    /// OpenAI repeats a masked form of a wrong key; a careless server might repeat the key itself.
    pub fn without_key(&self, text: &str) -> String {
        let secrets =
            self.secrets.iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty());
        let text = secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[key]"));
        let words = text.split(' ').map(|word| if word.starts_with("sk-") { "[key]" } else { word });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Follows redirects within the server only: another one would get the key.
fn same_origin() -> Policy {
    Policy::custom(|attempt| {
        let origin = |url: &Url| {
            (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
        };
        let is_same = attempt.previous().iter().all(|url| origin(url) == origin(attempt.url()));
        if is_same && attempt.previous().len() < 5 { attempt.follow() } else { attempt.stop() }
    })
}

fn worth_retrying(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 429) || status.is_server_error()
}

/// An error with its causes, without the URL.
fn described(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::core::vendor::{Vendor, answer};

    async fn refusal(head: &str, body: &str) -> EngineError {
        let vendor = Vendor::start(vec![answer(head, body)]).await;
        let endpoint = vendor.endpoint();
        endpoint.send(endpoint.post("/x")).await.expect_err("a refusal")
    }

    #[tokio::test]
    async fn a_wrong_key_is_permanent_and_not_repeated() {
        let body = r#"{"error":{"message":"Incorrect API key provided: sk-se*****et and secret-key."}}"#;
        let error = refusal("401 Unauthorized", body).await;
        assert_eq!(error.to_string(), "HTTP 401: Incorrect API key provided: [key] and [key].");
        assert_eq!((error.reason(), error.worth_retrying()), (FailureReason::Auth, false));
    }

    #[tokio::test]
    async fn a_delay_is_passed_on() {
        for (header, after) in
            [("Retry-After: 2", 2_000), ("Retry-After: 600", 600_000), ("retry-after-ms: 30", 30)]
        {
            let busy = refusal(&format!("429 Too Many Requests\r\n{header}"), "slow down").await;
            let (after, reason) = (Duration::from_millis(after), "HTTP 429: slow down".to_owned());
            assert_eq!(busy, EngineError::Busy { after, reason });
        }
    }

    #[tokio::test]
    async fn reasons_are_distinguished() {
        let coded = |code: &str| format!("{{\"error\":{{\"message\":\"m\",\"code\":\"{code}\"}}}}");
        for (head, body, reason, retry) in [
            ("429 X\r\nRetry-After: 1", coded("insufficient_quota"), FailureReason::Quota, false),
            ("429 X", coded("rate_limit_exceeded"), FailureReason::Busy, true),
            ("404 X", coded("model_not_found"), FailureReason::Model, false),
            ("404 X", "model 'm' not found".into(), FailureReason::Model, false),
            ("401 X", "{\"detail\":{\"status\":\"quota_exceeded\"}}".into(), FailureReason::Quota, false),
            ("403 X", String::new(), FailureReason::Auth, false),
            ("402 X", String::new(), FailureReason::Quota, false),
            ("503 X\r\nx-should-retry: false", String::new(), FailureReason::Unavailable, false),
            ("400 X\r\nx-should-retry: true", String::new(), FailureReason::Unavailable, true),
            ("400 X", String::new(), FailureReason::Refused, false),
        ] {
            let error = refusal(head, &body).await;
            assert_eq!((error.reason(), error.worth_retrying()), (reason, retry), "{head} {body}");
        }
    }

    #[tokio::test]
    async fn a_parameter_that_is_not_supported_is_named() {
        let by_code = r#"{"error":{"message":"m","code":"unsupported_parameter","param":"max_tokens"}}"#;
        let by_text = r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model."}}"#;
        for body in [by_code, by_text] {
            assert_eq!(refusal("400 X", body).await.unsupported_parameter(), Some("max_tokens"));
        }
        let too_many =
            r#"{"error":{"message":"max_tokens is too large","param":"max_tokens","code":"invalid_value"}}"#;
        assert_eq!(refusal("400 X", too_many).await.unsupported_parameter(), None);
        assert_eq!(refusal("401 X", by_code).await.unsupported_parameter(), None);
    }

    #[tokio::test]
    async fn a_base_url_may_have_a_query_and_a_version() {
        let vendor = Vendor::start(vec![answer("200 OK", "{}")]).await;
        let base_url = format!("{}/openai/deployments/d/?a=b", vendor.endpoint().address());
        let settings = Settings {
            base_url,
            key: Some("secret-key".into()),
            api_key_header: Some("api-key".into()),
            api_version: Some("2024-10-21".into()),
            ..Settings::default()
        };
        let endpoint = Endpoint::new(&settings).expect("an endpoint");
        endpoint.send(endpoint.post("/chat/completions")).await.expect("an answer");
        let request = &vendor.requests()[0];
        assert!(
            request.starts_with("POST /openai/deployments/d/chat/completions?a=b&api-version=2024-10-21 "),
            "{request}"
        );
        assert!(request.contains("api-key: secret-key") && !request.contains("Bearer"), "{request}");
        assert!(!endpoint.address().contains('?'), "{}", endpoint.address());
    }

    #[tokio::test]
    async fn statuses_decide_about_retries() {
        for (head, retry) in
            [("500 X", true), ("503 X", true), ("408 X", true), ("400 X", false), ("404 X", false)]
        {
            assert_eq!(refusal(head, "{}").await.worth_retrying(), retry, "{head}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_temporary() {
        let vendor = Vendor::start(vec![]).await;
        let endpoint = vendor.endpoint();
        vendor.stop().await;
        let error = endpoint.send(endpoint.post("/x")).await.expect_err("a refused connection");
        assert!(matches!(error, EngineError::Temporary(_)), "{error:?}");
    }

    #[test]
    fn the_key_is_not_printed() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings { key: Some("secret-key".into()), ..Settings::default() };
        let endpoint = Endpoint::new(&settings).expect("an endpoint");
        assert!(!format!("{settings:?} {endpoint:?}").contains("secret-key"));
    }

    #[test]
    fn bad_addresses_are_refused() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        for base_url in ["", "api.openai.com", "ftp://x/v1"] {
            let settings = Settings { base_url: base_url.into(), ..Settings::default() };
            assert!(Endpoint::new(&settings).is_err(), "{base_url:?}");
        }
    }
}
