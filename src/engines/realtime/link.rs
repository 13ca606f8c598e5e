//! The connection of a session: connects, sends and reads events, and notices when it is lost.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::PollSender;
use tracing::Instrument;

use super::events::{ClientEvent, ResponseStatus, ServerError, ServerEvent, read};
use crate::engines::core::EngineError;
use crate::engines::core::retry::Policy;
use crate::engines::core::websocket::{SILENT, Socket, SocketEndpoint, close, send};
use crate::engines::stt::realtime::status_of;

/// Events that wait in either direction: some seconds of audio. Where audio is not read, the server waits.
const QUEUE: usize = 64;
/// The interval of pings.
const PING: Duration = Duration::from_secs(4);

/// An event of the connection.
#[derive(Debug)]
pub enum ConnectionEvent {
    Connected,
    Server(ServerEvent),
    /// The last event: it was not opened, or is lost.
    Lost(EngineError),
}

/// A session's end of its connection. Dropping it closes the connection.
pub struct SessionLink {
    pub outgoing: PollSender<ClientEvent>,
    pub events: mpsc::Receiver<ConnectionEvent>,
}

/// The other end.
pub struct LinkEnds {
    pub outgoing: mpsc::Receiver<ClientEvent>,
    pub events: mpsc::Sender<ConnectionEvent>,
}

impl SessionLink {
    /// Both ends of a connection.
    pub fn pair() -> (SessionLink, LinkEnds) {
        let (to_server, outgoing) = mpsc::channel(QUEUE);
        let (events, from_server) = mpsc::channel(QUEUE);
        let link = SessionLink { outgoing: PollSender::new(to_server), events: from_server };
        (link, LinkEnds { outgoing, events })
    }
}

/// The way to a server.
pub trait Transport: Send + Sync {
    /// Starts to connect for a model, within the limits of `policy`. `settings` are those of the session.
    fn open(&self, policy: Policy, model: &str, settings: Value) -> SessionLink;
}

impl Transport for SocketEndpoint {
    fn open(&self, policy: Policy, model: &str, settings: Value) -> SessionLink {
        let (link, ends) = SessionLink::pair();
        let (endpoint, model) = (self.clone(), model.to_owned());
        let run = async move {
            // The tenant's place among those of the engine is held as long as the connection.
            let connecting = policy.hold(|| connect(&endpoint, &model, &settings));
            let connected = tokio::select! {
                connected = connecting => connected,
                () = ends.events.closed() => return,
            };
            let error = match connected {
                Ok((socket, _place)) => pump(&endpoint, socket, ends.outgoing, &ends.events).await,
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                drop(ends.events.send(ConnectionEvent::Lost(error)).await);
            }
        };
        tokio::spawn(run.in_current_span());
        link
    }
}

/// Connects, until the server has taken the settings. The caller limits the time.
async fn connect(endpoint: &SocketEndpoint, model: &str, settings: &Value) -> Result<Socket, EngineError> {
    let query = [("model".to_owned(), model.to_owned())];
    let mut socket = endpoint.connect("/realtime", &query).await?;
    let update = ClientEvent::Update(settings.clone()).message(0);
    socket.send(Message::text(update)).await.map_err(|error| endpoint.broken(error))?;
    loop {
        let text = endpoint.next_text(&mut socket).await?;
        if server_event(endpoint, &text)? == ServerEvent::Updated {
            return Ok(socket);
        }
    }
}

/// Serves an open connection. Returns why it is lost; none when the session is over.
async fn pump(
    endpoint: &SocketEndpoint,
    mut socket: Socket,
    mut outgoing: mpsc::Receiver<ClientEvent>,
    events: &mpsc::Sender<ConnectionEvent>,
) -> Option<EngineError> {
    events.send(ConnectionEvent::Connected).await.ok()?;
    let mut ticks = interval(PING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut heard_at, mut number) = (Instant::now(), 0);
    loop {
        let message = tokio::select! {
            event = outgoing.recv() => {
                let Some(event) = event else {
                    close(&mut socket).await;
                    return None;
                };
                number += 1;
                Message::text(event.message(number))
            }
            message = socket.next() => {
                heard_at = Instant::now();
                match received(endpoint, message) {
                    Ok(Some(event)) => events.send(ConnectionEvent::Server(event)).await.ok()?,
                    Ok(None) => {}
                    Err(error) => return Some(error),
                }
                continue;
            }
            now = ticks.tick() => {
                if now - heard_at >= SILENT {
                    return Some(EngineError::Timeout(SILENT));
                }
                Message::Ping(Default::default())
            }
        };
        if let Err(error) = send(&mut socket, message).await {
            return Some(error);
        }
    }
}

/// The event of a message, if it matters here.
fn received(
    endpoint: &SocketEndpoint,
    message: Option<Result<Message, Error>>,
) -> Result<Option<ServerEvent>, EngineError> {
    let Some(text) = endpoint.text_of(message)? else { return Ok(None) };
    let event = server_event(endpoint, &text)?;
    Ok(Some(event).filter(|event| *event != ServerEvent::Other))
}

/// Reads an event. After an error of a request that matters, the state of the session is unknown: it ends.
fn server_event(endpoint: &SocketEndpoint, text: &str) -> Result<ServerEvent, EngineError> {
    match read(text)? {
        ServerEvent::Error { error } if error.is_harmless() => {
            tracing::debug!(error = %endpoint.cleaned(&error.body().to_string()), "the session goes on after an error");
            Ok(ServerEvent::Other)
        }
        ServerEvent::Error { error } | ServerEvent::TranscriptFailed { error } => {
            Err(reported(endpoint, error))
        }
        ServerEvent::ResponseDone { response } if response.status == ResponseStatus::Failed => {
            Err(reported(endpoint, response.status_details.error))
        }
        event => Ok(event),
    }
}

fn reported(endpoint: &SocketEndpoint, error: ServerError) -> EngineError {
    let body = error.body();
    endpoint.reported(status_of(&body["error"]), &body)
}
