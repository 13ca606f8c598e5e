//! WebSockets of vendors, with the address, the headers and the errors of an [`Endpoint`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::{HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{StatusCode, Url};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config, connect_async_tls_with_config,
};

use super::openai::{Endpoint, Settings};
use super::server::{Auth, SettingsError};
use super::{EngineError, FailureReason, error_body};
use crate::egress::Guard;
use crate::transport::{TlsFiles, client_config};

/// The longest message that is read. Transcripts are some kilobytes.
const MAX_MESSAGE: usize = 1024 * 1024;

/// A connection on which nothing arrives for this long, not even a reply to a ping, is lost.
pub const SILENT: Duration = Duration::from_secs(13);

/// The longest time that one message may take to be written, and a close.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// An open WebSocket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The WebSockets of a vendor.
#[derive(Clone)]
pub struct SocketEndpoint {
    endpoint: Endpoint,
    headers: HeaderMap,
    /// None for an address without TLS.
    tls: Option<Arc<ClientConfig>>,
    connect_timeout: Duration,
    /// Of a tenant's server.
    guard: Option<Guard>,
}

impl SocketEndpoint {
    /// # Errors
    /// As of [`Endpoint::new`]; or the system has no trusted authorities.
    pub fn new(settings: &Settings, auth: Auth) -> Result<SocketEndpoint, SettingsError> {
        let endpoint = Endpoint::with_auth(settings, auth)?;
        let mut headers = settings.header_map(auth)?;
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("vca/", env!("CARGO_PKG_VERSION"))));
        let tls = match endpoint.url("").scheme() {
            "https" => Some(Arc::new(tls_config()?)),
            _ => None,
        };
        let connect_timeout = Duration::from_millis(settings.connect_timeout_ms);
        Ok(SocketEndpoint { endpoint, headers, tls, connect_timeout, guard: settings.guard.clone() })
    }

    /// Opens a WebSocket at a path below the base URL.
    ///
    /// # Errors
    /// The server cannot be reached in time, or refuses.
    pub async fn connect(&self, path: &str, query: &[(String, String)]) -> Result<Socket, EngineError> {
        let url = self.url(path, query);
        let mut request = url.as_str().into_client_request().map_err(|error| self.broken(error))?;
        request.headers_mut().extend(self.headers.clone());
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let connector = self.tls.clone().map_or(Connector::Plain, Connector::Rustls);
        let connecting = async {
            let Some(guard) = &self.guard else {
                return connect_async_tls_with_config(request, Some(config), true, Some(connector)).await;
            };
            let stream = guard.connect(&url).await?;
            stream.set_nodelay(true)?;
            client_async_tls_with_config(request, stream, Some(config), Some(connector)).await
        };
        let opened = timeout(self.connect_timeout, connecting).await;
        let opened = opened.map_err(|_| EngineError::Timeout(self.connect_timeout))?;
        opened.map(|(socket, _)| socket).map_err(|error| self.broken(error))
    }

    /// The next text message. The caller limits the time.
    ///
    /// # Errors
    /// The server closes the connection, or it breaks.
    pub async fn next_text(&self, socket: &mut Socket) -> Result<String, EngineError> {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(frame))) => return Err(self.closed(frame.as_ref())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(self.broken(error)),
                None => return Err(self.closed(None)),
            }
        }
    }

    /// The text of a message of an open connection, if it has one.
    ///
    /// # Errors
    /// The server closes the connection, or it breaks.
    pub fn text_of(&self, message: Option<Result<Message, Error>>) -> Result<Option<Utf8Bytes>, EngineError> {
        match message {
            Some(Ok(Message::Text(text))) => Ok(Some(text)),
            Some(Ok(Message::Close(frame))) => Err(self.closed(frame.as_ref())),
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(lost(&error)),
            None => Err(self.closed(None)),
        }
    }

    /// The meaning of a failure of the WebSocket.
    pub fn broken(&self, error: Error) -> EngineError {
        match error {
            Error::Http(response) => {
                let body = response.body().as_deref().unwrap_or_default();
                self.endpoint.refusal(response.status(), response.headers(), body)
            }
            Error::Url(_) | Error::HttpFormat(_) => {
                EngineError::Permanent(self.endpoint.without_key(&error.to_string()))
            }
            other => EngineError::Temporary(self.endpoint.without_key(&other.to_string())),
        }
    }

    /// The meaning of an error in a message, with the status that a response over HTTP would have.
    pub fn reported(&self, status: u16, body: &serde_json::Value) -> EngineError {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.endpoint.refusal(status, &HeaderMap::new(), body.to_string().as_bytes())
    }

    /// The text of a server's error, cut short, without the key.
    pub fn cleaned(&self, text: &str) -> String {
        self.endpoint.without_key(&error_body::message(text.as_bytes()))
    }

    /// The meaning of a close by the server. A policy violation (RFC 6455, 7.4.1) would be repeated on the next connection.
    pub fn closed(&self, frame: Option<&CloseFrame>) -> EngineError {
        let Some(frame) = frame else {
            return EngineError::Temporary("the server closed the connection".into());
        };
        let (code, reason) = (u16::from(frame.code), self.cleaned(&frame.reason));
        let text = format!("the server closed the connection: {code} {reason}");
        match frame.code {
            CloseCode::Policy | CloseCode::Unsupported | CloseCode::Invalid => {
                EngineError::refused(FailureReason::Refused, text)
            }
            _ => EngineError::Temporary(text),
        }
    }

    fn url(&self, path: &str, query: &[(String, String)]) -> Url {
        let mut url = self.endpoint.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        // Between special schemes of the same kind this cannot fail.
        let _ = url.set_scheme(if self.tls.is_some() { "wss" } else { "ws" });
        url
    }
}

/// Sends a message, within a time limit.
///
/// # Errors
/// The server does not take it in time, or the connection breaks.
pub async fn send(socket: &mut Socket, message: Message) -> Result<(), EngineError> {
    let sent = timeout(WRITE_LIMIT, socket.send(message)).await;
    sent.map_err(|_| EngineError::Timeout(WRITE_LIMIT))?.map_err(|error| lost(&error))
}

/// Closes a connection, within a time limit.
pub async fn close(socket: &mut Socket) {
    drop(timeout(WRITE_LIMIT, socket.close(None)).await);
}

fn lost(error: &Error) -> EngineError {
    EngineError::Temporary(format!("the connection broke: {error}"))
}

fn tls_config() -> Result<ClientConfig, SettingsError> {
    client_config(&TlsFiles::default()).map_err(|error| SettingsError::new("base_url", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_close_is_without_the_key() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings {
            base_url: "http://127.0.0.1:1/v1".into(),
            key: Some("secret-key".into()),
            ..Settings::default()
        };
        let endpoint = SocketEndpoint::new(&settings, Auth::Scheme("Bearer")).expect("an endpoint");
        let frame = CloseFrame { code: CloseCode::Policy, reason: "no such key: secret-key".into() };
        let error = endpoint.closed(Some(&frame));
        assert_eq!(error.to_string(), "the server closed the connection: 1008 no such key: [key]");
        assert!(!error.worth_retrying());
    }
}
