//! The connection of a session: connects, sends frames, reads words, keeps the connection alive.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::PollSender;
use tracing::Instrument;

use super::{Frame, LiveConnection, Protocol, TranscriptEvent};
use crate::engines::core::EngineError;
use crate::engines::core::retry::Policy;
use crate::engines::core::websocket::{SILENT, close, send};
use crate::engines::stt::Hints;

/// Frames and events that wait: some seconds of audio.
const QUEUE: usize = 64;
/// The interval of pings, and of the vendor's message for a connection without audio: Deepgram wants one every 3 to 5 s.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// An event of the connection.
#[derive(Debug)]
pub enum LinkEvent {
    Connected,
    TranscriptEvent(TranscriptEvent),
    /// The last event: it was not opened, or is lost.
    Lost(EngineError),
}

/// A session's end of its connection. Dropping it closes the connection.
pub struct EngineLink {
    pub frames: PollSender<Frame>,
    pub events: mpsc::Receiver<LinkEvent>,
}

impl EngineLink {
    /// Starts to connect.
    pub fn open(protocol: Arc<dyn Protocol>, policy: Policy, rate: u32, hints: Hints) -> EngineLink {
        let (frames, frames_out) = mpsc::channel(QUEUE);
        let (events_in, events) = mpsc::channel(QUEUE);
        let run = async move {
            // The tenant's place among those of the engine is held as long as the connection.
            let connecting = policy.hold(|| protocol.connect(rate, &hints));
            let connected = tokio::select! {
                connected = connecting => connected,
                () = events_in.closed() => return,
            };
            let error = match connected {
                Ok((connection, _place)) => pump(connection, frames_out, &events_in).await,
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                drop(events_in.send(LinkEvent::Lost(error)).await);
            }
        };
        tokio::spawn(run.in_current_span());
        EngineLink { frames: PollSender::new(frames), events }
    }
}

/// Serves an open connection. Returns why it is lost; none when the session is over.
async fn pump(
    LiveConnection { endpoint, mut socket, mut dialogue }: LiveConnection,
    mut frames: mpsc::Receiver<Frame>,
    events: &mpsc::Sender<LinkEvent>,
) -> Option<EngineError> {
    events.send(LinkEvent::Connected).await.ok()?;
    let mut ticks = interval(KEEP_ALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let (mut heard_at, mut sent_at) = (Instant::now(), Instant::now());
    loop {
        let message = tokio::select! {
            frame = frames.recv() => {
                let Some(frame) = frame else {
                    close(&mut socket).await;
                    return None;
                };
                sent_at = Instant::now();
                dialogue.write(&frame)
            }
            message = socket.next() => {
                heard_at = Instant::now();
                let text = endpoint.text_of(message);
                let words = text.and_then(|text| text.map_or_else(|| Ok(Vec::new()), |text| dialogue.read(&text)));
                match words {
                    Ok(words) => for heard in words {
                        events.send(LinkEvent::TranscriptEvent(heard)).await.ok()?;
                    },
                    Err(error) => return Some(error),
                }
                continue;
            }
            now = ticks.tick() => {
                if now - heard_at >= SILENT {
                    return Some(EngineError::Timeout(SILENT));
                }
                if now - sent_at >= KEEP_ALIVE
                    && let Err(error) = send(&mut socket, dialogue.keep_alive()).await
                {
                    return Some(error);
                }
                Message::Ping(Default::default())
            }
        };
        if let Err(error) = send(&mut socket, message).await {
            return Some(error);
        }
    }
}
