//! The requests of an MCP session, through `egress`: public addresses only, no redirects, bounded responses.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::common::client_side_sse::BoxedSseResponse;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use serde_json::Value;
use tokio::time::timeout;

use super::events::EventReader;
use crate::egress::{DestinationError, EgressError, EgressResponse, TenantClient};

/// The longest response, in bytes: a page of the list of tools, or the result of one.
const MAX_RESPONSE: usize = 256 * 1024;

/// The time limit of a request, its response included, exceeds that of the tool by this: the tool's is the first to end.
const MARGIN: Duration = Duration::from_secs(1);

/// The field of a request's `_meta` with its idempotency key, which is a header as well.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotencyKey";

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// Why a server did not respond as the protocol wants. Neither addresses nor contents.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum McpHttpError {
    #[error(transparent)]
    Egress(#[from] EgressError),
    #[error("HTTP {0}")]
    Status(u16),
    #[error("HTTP {0}: redirects are not followed")]
    Redirect(u16),
    #[error("the response is neither JSON nor a stream of events")]
    ContentType,
    #[error("the response is no message of the protocol")]
    Unreadable,
    #[error("the stream of events ended without a response")]
    NoResponse,
}

impl From<DestinationError> for McpHttpError {
    fn from(error: DestinationError) -> McpHttpError {
        McpHttpError::Egress(error.into())
    }
}

impl From<McpHttpError> for StreamableHttpError<McpHttpError> {
    fn from(error: McpHttpError) -> Self {
        StreamableHttpError::Client(error)
    }
}

/// The HTTP client of one session.
#[derive(Clone)]
pub(super) struct McpHttp {
    client: TenantClient,
    /// Of a request, its response included. The task of `rmcp` does not end with the tool that waits for it while it begins a
    /// session.
    limit: Duration,
    /// The latest failure: the errors of `rmcp` describe it for programmers.
    failure: Arc<Mutex<Option<McpHttpError>>>,
}

impl McpHttp {
    /// `tool_limit` is the time limit of the server's tools.
    pub fn new(client: TenantClient, tool_limit: Duration) -> McpHttp {
        McpHttp { client, limit: tool_limit + MARGIN, failure: Arc::default() }
    }

    /// The latest failure since the last question.
    pub fn take_failure(&self) -> Option<McpHttpError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn post(
        &self,
        url: &str,
        message: &ClientJsonRpcMessage,
        session: Option<&str>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<EgressResponse, McpHttpError> {
        let body = serde_json::to_value(message).map_err(|_| McpHttpError::Unreadable)?;
        let mut headers = HeaderMap::from_iter(headers);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let key = body["params"]["_meta"][IDEMPOTENCY_KEY].as_str();
        let own = [(HeaderName::from_static("idempotency-key"), key), (SESSION, session)];
        for (name, value) in own {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        let request = self.client.request(Method::POST, url)?.headers(headers).json(&body);
        Ok(self.client.send(request).await?)
    }

    async fn delete(
        &self,
        url: &str,
        session: &str,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), McpHttpError> {
        let request = self.client.request(Method::DELETE, url)?.headers(HeaderMap::from_iter(headers));
        self.client.send(request.header(SESSION, session)).await?.drain().await;
        Ok(())
    }
}

/// Reads the response to a message.
async fn read(
    response: EgressResponse,
    message: &ClientJsonRpcMessage,
) -> Result<StreamableHttpPostResponse, McpHttpError> {
    let status = response.status();
    if status.is_redirection() {
        return Err(McpHttpError::Redirect(status.as_u16()));
    }
    let is_request = matches!(message, JsonRpcMessage::Request(_));
    if status.is_success() && (!is_request || status == StatusCode::ACCEPTED) {
        response.drain().await;
        return Ok(StreamableHttpPostResponse::Accepted);
    }
    let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let session = header(SESSION).map(str::to_owned);
    let kind = header(CONTENT_TYPE).and_then(|kind| kind.split(';').next());
    let kind = kind.map(|kind| kind.trim().to_ascii_lowercase());
    let answer = match kind.as_deref() {
        Some("application/json") => parsed(&response.read(MAX_RESPONSE).await?),
        Some("text/event-stream") if status.is_success() => from_events(response).await,
        _ if status.is_success() => Err(McpHttpError::ContentType),
        _ => Err(McpHttpError::Status(status.as_u16())),
    };
    match answer {
        Ok(message) if status.is_success() => Ok(StreamableHttpPostResponse::Json(message, session)),
        Ok(message @ JsonRpcMessage::Error(_)) if status != StatusCode::UNAUTHORIZED => {
            Ok(StreamableHttpPostResponse::Json(message, session))
        }
        Err(error) if status.is_success() => Err(error),
        _ => Err(McpHttpError::Status(status.as_u16())),
    }
}

fn parsed(body: &[u8]) -> Result<ServerJsonRpcMessage, McpHttpError> {
    serde_json::from_slice(body).map_err(|_| McpHttpError::Unreadable)
}

/// The response of a stream of events. Notifications and requests before it are left out: this client offers nothing that a
/// server could ask for.
async fn from_events(response: EgressResponse) -> Result<ServerJsonRpcMessage, McpHttpError> {
    let mut pieces = pin!(response.pieces(MAX_RESPONSE));
    let mut reader = EventReader::default();
    while let Some(piece) = pieces.try_next().await? {
        for data in reader.read(&piece) {
            let message = match serde_json::from_str::<Value>(&data) {
                Ok(message) => message,
                // Events without a message are allowed.
                Err(_) if data.trim().is_empty() => continue,
                Err(_) => return Err(McpHttpError::Unreadable),
            };
            if message.get("method").is_none() {
                return serde_json::from_value(message).map_err(|_| McpHttpError::Unreadable);
            }
        }
    }
    Err(McpHttpError::NoResponse)
}

impl StreamableHttpClient for McpHttp {
    type Error = McpHttpError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<McpHttpError>> {
        let exchange = async {
            let response = self.post(&uri, &message, session_id.as_deref(), custom_headers).await?;
            // The specification's answer to a session that has ended; `rmcp` begins another one.
            if response.status() == StatusCode::NOT_FOUND && session_id.is_some() {
                return Err(StreamableHttpError::SessionExpired);
            }
            Ok(read(response, &message).await?)
        };
        let late = |_| Err(StreamableHttpError::Client(EgressError::TimedOut(self.limit).into()));
        let result: Result<_, StreamableHttpError<McpHttpError>> =
            timeout(self.limit, exchange).await.unwrap_or_else(late);
        if let Err(StreamableHttpError::Client(error)) = &result {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        }
        result
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), StreamableHttpError<McpHttpError>> {
        Ok(self.delete(&uri, &session_id, custom_headers).await?)
    }

    /// Servers may send messages of their own by this stream. There is no use for them within a call, and each stream would hold
    /// a connection.
    async fn get_stream(
        &self,
        _uri: Arc<str>,
        _session_id: Option<Arc<str>>,
        _last_event_id: Option<String>,
        _auth_header: Option<String>,
        _custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxedSseResponse, StreamableHttpError<McpHttpError>> {
        Err(StreamableHttpError::ServerDoesNotSupportSse)
    }
}
