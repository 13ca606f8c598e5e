//! The HTTP endpoint of OpenAI, of a server with the same API, or of another vendor.
//!
//! It maps HTTP's failures to [`EngineError`] and keeps its secrets to itself: neither the key nor a header's value is in
//! an error, a log line or `Debug` output.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::EngineError;
use super::server::{Auth, SettingsError};

pub use super::server::Settings;

/// The longest `Retry-After` that a caller on the line can wait for; beyond it the ordinary backoff applies.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// How much of an error's body is read, in bytes, and how much of its message repeated, in characters.
const ERROR_BODY: usize = 16 * 1024;
const ERROR_MESSAGE: usize = 200;
/// A vendor, its connections kept open between requests.
#[derive(Debug, Clone)]
pub struct Endpoint {
    base_url: Url,
    /// The key and the values of configured headers, which no message repeats.
    secrets: Vec<SecretString>,
    http: Client,
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
        if let Some(version) = &settings.api_version {
            base_url.query_pairs_mut().append_pair("api-version", version);
        }
        let http = Client::builder()
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .user_agent(concat!("vca/", env!("CARGO_PKG_VERSION")))
            .default_headers(settings.header_map(auth)?)
            .redirect(same_origin())
            .build()
            .map_err(|error| SettingsError::new("base_url", described(error)))?;
        let secrets = settings.key.iter().chain(settings.headers.values()).cloned().collect();
        Ok(Endpoint { base_url, secrets, http })
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

    fn url(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        let whole = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&whole);
        url
    }

    /// Sends a request and returns its answer's head when the status is a success.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, EngineError> {
        let response = request.send().await.map_err(|e| self.broken(e))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    /// A failure on the way, such as a refused connection or a body that breaks off.
    pub fn broken(&self, error: reqwest::Error) -> EngineError {
        let hopeless = error.is_builder() || error.is_redirect();
        let text = self.without_key(&described(error));
        if hopeless { EngineError::Permanent(text) } else { EngineError::Temporary(text) }
    }

    /// Asks for the list of models: proves address and key, and says whether `model` is among them.
    /// It costs nothing.
    pub async fn probe(&self, model: &str) -> Result<String, EngineError> {
        #[derive(Deserialize)]
        struct Models {
            data: Vec<Model>,
        }
        #[derive(Deserialize)]
        struct Model {
            id: String,
        }
        let models: Models =
            self.send(self.get("/models")).await?.json().await.map_err(|e| self.broken(e))?;
        if models.data.iter().any(|m| m.id == model) {
            return Ok(format!("{}, model {model}", self.address()));
        }
        Err(EngineError::Permanent(format!("{} has no model {model}: choose another one", self.address())))
    }

    async fn refused(&self, mut response: Response) -> EngineError {
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let mut body = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > ERROR_BODY {
                break;
            }
        }
        let reason = format!("HTTP {}: {}", status.as_u16(), self.without_key(&message(&body)));
        match (worth_retrying(status), wait.map(Duration::from_secs)) {
            (true, Some(after)) if after <= LONGEST_WAIT => EngineError::Busy { after, reason },
            (true, _) => EngineError::Temporary(reason),
            (false, _) => EngineError::Permanent(reason),
        }
    }

    /// OpenAI repeats a masked form of a wrong key; a careless server might repeat the key itself.
    fn without_key(&self, text: &str) -> String {
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

/// The vendor's own words in an error's body, cut short.
pub fn message(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let stated = json.as_ref().and_then(|json| {
        let error = json.get("error").unwrap_or(json);
        error.get("message").unwrap_or(error).as_str()
    });
    let text = stated.map_or_else(|| String::from_utf8_lossy(body), std::borrow::Cow::Borrowed);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(ERROR_MESSAGE).collect()
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
    text.chars().take(ERROR_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        assert_eq!(
            refusal("401 Unauthorized", body).await,
            EngineError::Permanent("HTTP 401: Incorrect API key provided: [key] and [key].".into())
        );
    }

    #[tokio::test]
    async fn a_short_retry_after_is_honoured_a_long_one_not() {
        let busy = refusal("429 Too Many Requests\r\nRetry-After: 2", "slow down").await;
        let reason = "HTTP 429: slow down".to_owned();
        assert_eq!(busy, EngineError::Busy { after: Duration::from_secs(2), reason: reason.clone() });
        let busy = refusal("429 Too Many Requests\r\nRetry-After: 600", "slow down").await;
        assert_eq!(busy, EngineError::Temporary(reason));
    }

    #[tokio::test]
    async fn statuses_are_told_apart() {
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
        let error = endpoint.send(endpoint.post("/x")).await.expect_err("nobody is there");
        assert!(matches!(error, EngineError::Temporary(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_probe_looks_for_the_model() {
        let list = r#"{"object":"list","data":[{"id":"gpt-4"}]}"#;
        let vendor = Vendor::start(vec![answer("200 OK", list), answer("200 OK", list)]).await;
        let endpoint = vendor.endpoint();
        assert!(endpoint.probe("gpt-4").await.is_ok());
        let error = endpoint.probe("gpt-5").await.expect_err("no such model");
        assert!(!error.worth_retrying(), "{error:?}");
        assert!(vendor.requests()[0].starts_with("GET /models "), "{:?}", vendor.requests());
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

    proptest! {
        #[test]
        fn any_body_gives_a_short_message(body: Vec<u8>) {
            prop_assert!(message(&body).chars().count() <= ERROR_MESSAGE);
        }
    }
}
