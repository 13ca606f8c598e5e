//! One connection of the event WebSocket: handshake, resynchronisation, reading, keepalive.
//!
//! Reconnecting is elsewhere.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use metrics::counter;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::SignalKind;
use crate::ari::answer::{Application, AriError, Continuity, Info, Inventory};
use crate::ari::client::Client;
use crate::ari::event::Event;
use crate::ari::probe::Trouble;
use crate::ari::request::Request;
use crate::ari::settings::Settings;

/// Events that a resynchronisation may hold back before it counts as failed.
const MAX_HELD: usize = 10_000;
/// The time limit for writing a ping or a close. They are a few bytes: if they take longer, nothing is sent at
/// all.
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// Why there are no events.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("Asterisk could not be reached: {0}")]
    Unreachable(std::io::ErrorKind),
    #[error("Asterisk did not open the event WebSocket within {0:?}")]
    Slow(Duration),
    #[error("Asterisk refused the event WebSocket with HTTP {0}")]
    Http(u16),
    #[error("TLS failed")]
    Tls,
    #[error("resynchronisation failed: {0}")]
    Resync(AriError),
    #[error("more than {MAX_HELD} events came during resynchronisation")]
    Flood,
    #[error("nothing was heard from Asterisk for {0:?}")]
    Idle(Duration),
    #[error("an event was larger than the limit")]
    TooLarge,
    #[error("Asterisk closed the event WebSocket")]
    Closed,
    #[error("the WebSocket protocol was violated")]
    Protocol,
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error("another program took the Stasis application")]
    Replaced,
    #[error("stopped")]
    Stopped,
}

pub(super) struct Session {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    app: String,
    ping: Duration,
    idle: Duration,
}

impl Session {
    /// Opens the WebSocket: Asterisk registers the application with it.
    pub async fn open(client: &Client, settings: &Settings) -> Result<Session, Lost> {
        let (url, authorization) = client.events(&settings.app);
        let mut request = url.into_client_request()?;
        request.headers_mut().insert(AUTHORIZATION, authorization);
        let limit = settings.max_event_bytes;
        let config = WebSocketConfig::default().max_message_size(Some(limit)).max_frame_size(Some(limit));
        let within = Duration::from_millis(settings.request_timeout_ms);
        let connecting =
            connect_async_tls_with_config(request, Some(config), true, Some(Connector::Rustls(client.tls())));
        let (socket, _) = timeout(within, connecting).await.map_err(|_| Lost::Slow(within))??;
        Ok(Session {
            socket,
            app: settings.app.clone(),
            ping: Duration::from_millis(settings.ping_interval_ms.max(1)),
            idle: Duration::from_millis(settings.idle_limit_ms),
        })
    }

    /// Sets the event filter, then asks for the application's channels and bridges, and when Asterisk started, which is kept
    /// in `started`. Returns the events that arrived meanwhile as well.
    pub async fn resync(
        &mut self,
        client: &Client,
        started: &mut Option<String>,
    ) -> Result<(Inventory, Vec<Event>), Lost> {
        let app = self.app.clone();
        let asking = async {
            client.send(Request::event_filter(&app, &Event::KINDS)).await?;
            let asked_at = std::time::Instant::now();
            let Application { channel_ids, bridge_ids, .. } = client.ask(Request::application(&app)).await?;
            // Without res_ari_asterisk there is no answer; nothing else depends on it.
            let now =
                client.ask::<Info>(Request::info()).await.ok().and_then(|info| info.status.startup_time);
            let continuity = Continuity::between(started.as_deref(), now.as_deref());
            *started = now.or_else(|| started.take());
            Ok(Inventory { asked_at, channels: channel_ids, bridges: bridge_ids, continuity })
        };
        tokio::pin!(asking);
        let mut held = Vec::new();
        loop {
            tokio::select! {
                inventory = &mut asking => return inventory.map(|it| (it, held)).map_err(Lost::Resync),
                message = self.socket.next() => held.extend(decode(message)?),
            }
            if held.len() > MAX_HELD {
                return Err(Lost::Flood);
            }
        }
    }

    /// Delivers events until the watch ends, which asks for a resynchronisation. Any frame is a sign of life.
    ///
    /// # Errors
    /// Why the connection is lost: the watch found trouble, it broke, or `stop`.
    pub async fn pump(
        &mut self,
        deliver: impl Fn(SignalKind),
        watch: impl Future<Output = Result<(), Trouble>>,
        stop: &CancellationToken,
    ) -> Result<(), Lost> {
        tokio::pin!(watch);
        let mut ping = interval_at(Instant::now() + self.ping, self.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                message = self.socket.next() => {
                    heard = Instant::now();
                    match decode(message) {
                        Ok(Some(event)) => deliver(SignalKind::Event(event)),
                        Ok(None) => {}
                        Err(lost) => return Err(lost),
                    }
                }
                watched = &mut watch => {
                    if watched.is_err() {
                        let _ = self.write(Message::Close(None)).await;
                    }
                    return watched.map_err(Lost::from);
                }
                _ = ping.tick() => {
                    self.write(Message::Ping(Bytes::new())).await?;
                }
                () = sleep_until(heard + self.idle) => return Err(Lost::Idle(self.idle)),
                () = stop.cancelled() => {
                    let _ = self.write(Message::Close(None)).await;
                    return Err(Lost::Stopped);
                }
            }
        }
    }

    async fn write(&mut self, message: Message) -> Result<(), Lost> {
        match timeout(WRITE_LIMIT, self.socket.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Lost::Idle(WRITE_LIMIT)),
        }
    }
}

impl Lost {
    /// Requests fail: opening the WebSocket is pointless before they are carried out.
    pub fn is_about_requests(&self) -> bool {
        matches!(self, Lost::Trouble(_) | Lost::Resync(_))
    }

    /// The label of a metric.
    pub fn as_str(&self) -> &'static str {
        match self {
            Lost::Unreachable(_) => "unreachable",
            Lost::Slow(_) => "slow",
            Lost::Http(_) => "http",
            Lost::Tls => "tls",
            Lost::Resync(_) => "resync",
            Lost::Flood => "flood",
            Lost::Idle(_) => "idle",
            Lost::TooLarge => "too_large",
            Lost::Closed => "closed",
            Lost::Protocol => "protocol",
            Lost::Trouble(Trouble::Refused { .. }) => "requests_refused",
            Lost::Trouble(Trouble::Unanswered { .. }) => "requests_unanswered",
            Lost::Replaced => "replaced",
            Lost::Stopped => "stopped",
        }
    }

    /// The remedy for an operator.
    pub fn remedy(&self) -> &'static str {
        match self {
            Lost::Unreachable(_) => {
                "is Asterisk running, http.conf enabled=yes, and ari.url its bindaddr and bindport?"
            }
            Lost::Http(401 | 403) => "ari.username and ari.password have to be a user's in ari.conf",
            Lost::Http(404) => "ari.conf needs enabled=yes, and res_ari_events and res_http_websocket loaded",
            Lost::Http(400) => "ari.url has to be Asterisk's HTTP server; ari.app must not be empty",
            Lost::Tls => {
                "Asterisk's certificate has to be for the host of ari.url, and trusted by this machine or ari.tls.ca"
            }
            Lost::Resync(AriError::Status { code: 401 | 403, .. }) => {
                "the user in ari.conf needs read_only=no"
            }
            Lost::Trouble(Trouble::Refused { error: AriError::Status { code: 401 | 403, .. }, .. }) => {
                "ari.username and ari.password have to be a user's in ari.conf, with read_only=no"
            }
            Lost::Trouble(Trouble::Refused { .. }) => {
                "ari.conf needs enabled=yes, and Asterisk the modules res_ari_applications, res_ari_channels and \
                 res_ari_bridges"
            }
            Lost::Trouble(Trouble::Unanswered { .. }) => {
                "Asterisk hangs or is overloaded: see its log and `asterisk -rx 'core show taskprocessors'`"
            }
            Lost::Resync(AriError::Status { code: 404, .. }) => "Asterisk needs res_ari_applications loaded",
            Lost::TooLarge => "raise ari.max_event_bytes if Asterisk really sends such events",
            Lost::Replaced => "stop the other program, or give one of the two another name (ari.app)",
            _ => "none, unless it happens repeatedly",
        }
    }
}

impl From<Error> for Lost {
    fn from(error: Error) -> Lost {
        match error {
            Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Lost::Tls,
            Error::Io(error) => Lost::Unreachable(error.kind()),
            Error::Http(response) => Lost::Http(response.status().as_u16()),
            Error::Tls(_) => Lost::Tls,
            Error::Capacity(CapacityError::MessageTooLong { .. }) => Lost::TooLarge,
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Lost::Closed,
            _ => Lost::Protocol,
        }
    }
}

/// Decodes one frame. Unreadable ones are counted and skipped; only the connection's end is an error, and the loss
/// of the application's name, after which there are no more events.
fn decode(message: Option<Result<Message, Error>>) -> Result<Option<Event>, Lost> {
    let text = match message {
        None | Some(Ok(Message::Close(_))) => return Err(Lost::Closed),
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(Message::Text(text))) => text,
        Some(Ok(_)) => return Ok(None),
    };
    match Event::decode(&text) {
        Ok(event) => {
            counter!("vca_ari_events_total", "kind" => event.kind()).increment(1);
            match &event {
                Event::ApplicationReplaced => return Err(Lost::Replaced),
                Event::Unknown { kind } => debug!(?kind, "event kind ignored"),
                _ => {}
            }
            Ok(Some(event))
        }
        Err(error) => {
            counter!("vca_ari_undecoded_events_total").increment(1);
            warn!(%error, bytes = text.len(), "event not decoded");
            Ok(None)
        }
    }
}
