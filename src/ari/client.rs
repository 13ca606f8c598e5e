//! Sends requests to ARI, a bounded number at once, each with a timeout.
//!
//! Repeats nothing by itself: the caller decides whether a request may be repeated. The password is in one header
//! that no log, URL or `Debug` output contains.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use metrics::{counter, histogram};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Response, Url};
use rustls::ClientConfig;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use super::answer::AriError;
use super::ids::AsteriskId;
use super::probe::{ProbeHealth, Trouble};
use super::request::{Method, Request};
use super::settings::Settings;
use super::tls;
use crate::current::Current;

/// Largest response that is read: an application with some ten thousand channels.
const MAX_ANSWER: usize = 4 << 20;
/// Asterisk closes an idle connection after 15 s (`session_keep_alive`); be first, or a request is lost in it.
const POOL_IDLE: Duration = Duration::from_secs(10);

/// The HTTP client of one Asterisk. Share it by `Arc`.
pub struct Client {
    asterisk: AsteriskId,
    http: reqwest::Client,
    /// Scheme, host, port and prefix, with `/ari`, without a slash at its end.
    base: Url,
    authorization: Current<HeaderValue>,
    /// Notified when `authorization` is another one.
    new_login: Notify,
    tls: Arc<ClientConfig>,
    timeout: Duration,
    places: Semaphore,
    health: ProbeHealth,
}

/// Why [`Settings::url`] is not usable. Its text does not repeat the URL, which might hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error("the ARI URL is not a URL such as http://127.0.0.1:8088")]
    Syntax,
    #[error("the ARI URL has to begin with http:// or https://")]
    Scheme,
    #[error("the ARI URL must not hold a user or password: they have settings of their own")]
    Credentials,
    #[error("the ARI user name or password holds characters that no header can carry")]
    Header,
    #[error("TLS is not usable: {0}")]
    Tls(String),
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(settings: &Settings) -> Result<Client, BadUrl> {
        let base = base(&settings.url)?;
        let tls = tls::config(settings, base.scheme() == "https")
            .map_err(|error| BadUrl::Tls(error.to_string()))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(&tls))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_idle_timeout(POOL_IDLE)
            .build()
            .map_err(unusable)?;
        let authorization = Current::new(authorization(&http, &base, settings)?);
        let timeout = Duration::from_millis(settings.request_timeout_ms);
        let places = Semaphore::new(settings.max_requests.max(1));
        Ok(Client {
            asterisk: AsteriskId::default(),
            http,
            base,
            authorization,
            new_login: Notify::new(),
            tls,
            timeout,
            places,
            health: ProbeHealth::default(),
        })
    }

    /// The Asterisk that it sends to.
    pub fn asterisk(&self) -> &AsteriskId {
        &self.asterisk
    }

    /// Sends the user and password of `settings` with every request from now on, and with the next event WebSocket. An open
    /// WebSocket stays open.
    ///
    /// # Errors
    /// A user name or password that no header can carry; then the former ones stay in use.
    pub fn set_login(&self, settings: &Settings) -> Result<(), BadUrl> {
        self.authorization.set(authorization(&self.http, &self.base, settings)?);
        self.new_login.notify_one();
        Ok(())
    }

    /// Waits for another user or password: requests that were refused may now be carried out.
    pub(super) async fn new_login(&self) {
        self.new_login.notified().await;
    }

    /// Sends one request, once. The result is `Null` where the response has no body.
    pub async fn send(&self, request: Request) -> Result<Value, AriError> {
        let operation = request.operation;
        let exchange = async {
            let _place = self.places.acquire().await.unwrap_or_else(|_| unreachable!("it is never closed"));
            self.exchange(request).await
        };
        self.in_time(operation, exchange).await
    }

    /// Like [`Client::send`], without waiting for a place among the requests of calls.
    pub(super) async fn send_at_once(&self, request: Request) -> Result<Value, AriError> {
        self.in_time(request.operation, self.exchange(request)).await
    }

    async fn in_time(
        &self,
        operation: &'static str,
        exchange: impl Future<Output = Result<Value, AriError>>,
    ) -> Result<Value, AriError> {
        let asked_at = Instant::now();
        let result = match tokio::time::timeout(self.timeout, exchange).await {
            Ok(result) => result,
            Err(_) => Err(AriError::Timeout(self.timeout)),
        };
        if let Err(error) = &result {
            self.health.note(error);
        }
        let outcome = result.as_ref().map_or_else(AriError::outcome, |_| "ok");
        counter!("vca_ari_requests_total", "operation" => operation, "outcome" => outcome).increment(1);
        histogram!("vca_ari_request_seconds", "operation" => operation)
            .record(asked_at.elapsed().as_secs_f64());
        result
    }

    /// Sends one request and parses its response.
    pub async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, AriError> {
        let answer = self.send(request).await?;
        T::deserialize(answer).map_err(|_| AriError::Decode("a field is missing or of another type"))
    }

    /// Why Asterisk does not carry out requests, by the latest probe; `None` where it does.
    pub fn trouble(&self) -> Option<Trouble> {
        self.health.trouble()
    }

    pub(super) fn health(&self) -> &ProbeHealth {
        &self.health
    }

    /// The TLS configuration of its connections.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }

    /// The address of the event WebSocket, and the header that opens it.
    pub(super) fn events(&self, app: &str) -> (String, HeaderValue) {
        let scheme = if self.base.scheme() == "https" { "wss" } else { "ws" };
        let rest = &self.base.as_str()[self.base.scheme().len()..];
        let mut url = format!("{scheme}{rest}/events?subscribeAll=false&app=");
        super::request::encode(app, &mut url);
        (url, HeaderValue::clone(&self.authorization.get()))
    }

    async fn exchange(&self, request: Request) -> Result<Value, AriError> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let url = format!("{}{}", self.base, request.target);
        let authorization = HeaderValue::clone(&self.authorization.get());
        let mut builder = self.http.request(method, url).header(AUTHORIZATION, authorization);
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let response = builder.send().await.map_err(broken)?;
        let code = response.status();
        let body = body(response).await?;
        match code.is_success() {
            true if body.is_empty() => Ok(Value::Null),
            true => serde_json::from_slice(&body).map_err(|_| AriError::Decode("it is not JSON")),
            false => Err(AriError::Status { code: code.as_u16(), message: message(&body) }),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

fn base(url: &str) -> Result<Url, BadUrl> {
    let url = Url::parse(url.trim_end_matches('/')).map_err(|_| BadUrl::Syntax)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BadUrl::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadUrl::Credentials);
    }
    let mut base = url.clone();
    base.set_path(&format!("{}/ari", url.path().trim_end_matches('/')));
    base.set_query(None);
    base.set_fragment(None);
    Ok(base)
}

/// The header as reqwest makes it, marked as sensitive.
fn authorization(http: &reqwest::Client, base: &Url, settings: &Settings) -> Result<HeaderValue, BadUrl> {
    let request =
        http.get(base.clone()).basic_auth(&settings.username, Some(settings.password.expose_secret()));
    let request = request.build().map_err(|_| BadUrl::Header)?;
    let mut value = request.headers().get(AUTHORIZATION).cloned().ok_or(BadUrl::Header)?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable(error: reqwest::Error) -> BadUrl {
    BadUrl::Tls(error.without_url().to_string())
}

fn broken(error: reqwest::Error) -> AriError {
    match tls_error(&error) {
        Some(error) => AriError::Tls(error.to_string()),
        None if error.is_connect() => AriError::Refused,
        None => AriError::Broken,
    }
}

/// The failure of TLS that a failed request is due to, if it is: an untrusted certificate, a name that is not the
/// certificate's, or a server that wants a certificate of ours.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // The source of an `io::Error` is that of the error inside, not the error inside.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    None
}

async fn body(mut response: Response) -> Result<Vec<u8>, AriError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| AriError::Broken)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(AriError::Decode("it is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Asterisk's text for a failure, shortened.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct AriErrorBody {
        #[serde(alias = "error")]
        message: String,
    }
    serde_json::from_slice::<AriErrorBody>(body)
        .map_or_else(|_| String::new(), |it| it.message.chars().take(200).collect())
}

#[cfg(test)]
mod tests;
