//! The loop in Asterisk: two external-media channels and the bridge between them, by ids of our own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::fault::LoopbackFault;
use crate::ari::answer::{Application, ExternalMedia};
use crate::ari::request::{NewCall, NewMedia};
use crate::ari::{BridgeId, ChannelId, Client, Event, Reason, Request, Signal, SignalKind};

/// The time limit for opening the event WebSocket and for a channel's event; Asterisk needs milliseconds.
const SIGNAL_LIMIT: Duration = Duration::from_secs(2);
/// After this, objects with an abandoned creation exist.
const AFTERMATH: Duration = Duration::from_millis(300);
/// How long all of it may take to go, and the pause between two looks.
const CLEAR_LIMIT: Duration = Duration::from_secs(2);
const CLEAR_PAUSE: Duration = Duration::from_millis(20);

/// How a call went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallProgress {
    Answered,
    /// With a Q.850 cause, and Asterisk's text for it.
    Refused {
        cause: u16,
        text: String,
    },
}

pub struct Circuit {
    client: Arc<Client>,
    app: String,
    channels: [ChannelId; 2],
    bridge: BridgeId,
    inbox: mpsc::Receiver<Signal>,
}

impl Circuit {
    pub fn new(client: Arc<Client>, app: &str, inbox: mpsc::Receiver<Signal>) -> Circuit {
        let channels = ["a", "b"].map(|end| ChannelId::new(&format!("{app}-{end}")));
        let bridge = BridgeId::new(&format!("{app}-bridge"));
        Circuit { client, app: app.to_owned(), channels, bridge, inbox }
    }

    /// Makes the channels, each towards one of our sockets. Where Asterisk has its own ends of them.
    pub async fn build(&mut self, ours: [SocketAddr; 2]) -> Result<[SocketAddr; 2], LoopbackFault> {
        let is_connected = |signal: &Signal| matches!(signal.kind, SignalKind::Connected(_));
        if !self.hears(is_connected).await {
            return Err(LoopbackFault::NoEvents);
        }
        Ok([self.make(0, ours[0]).await?, self.make(1, ours[1]).await?])
    }

    async fn make(&mut self, n: usize, ours: SocketAddr) -> Result<SocketAddr, LoopbackFault> {
        let id = self.channels[n].clone();
        let new = NewMedia { channel_id: &id, app: &self.app, external_host: ours, format: "ulaw" };
        let made = self.client.ask::<ExternalMedia>(Request::external_media(&new)).await;
        let made = made.map_err(LoopbackFault::NoChannel)?;
        let has_started = |signal: &Signal| matches!(&signal.kind, SignalKind::Event(Event::StasisStart { channel, .. }) if channel.id == id);
        if self.hears(has_started).await { Ok(made.local) } else { Err(LoopbackFault::NoStart) }
    }

    /// Has Asterisk call an endpoint, in place of the first channel. Returns when it answers or is refused.
    ///
    /// # Errors
    /// Asterisk opens no event WebSocket, or does not place the call.
    pub async fn call(&mut self, endpoint: &str, limit: Duration) -> Result<CallProgress, LoopbackFault> {
        if !self.hears(|signal| matches!(signal.kind, SignalKind::Connected(_))).await {
            return Err(LoopbackFault::NoEvents);
        }
        let (channel, far_end) = (self.channels[0].clone(), self.far_end());
        let new = NewCall {
            caller_id: "",
            channel_id: &channel,
            other_channel_id: Some(&far_end),
            endpoint,
            app: &self.app,
            app_args: "",
            timeout_s: limit.as_secs().try_into().unwrap_or(u32::MAX),
            variables: &[],
        };
        self.client.send(Request::originate(&new)).await.map_err(LoopbackFault::NoCall)?;
        while let Some(signal) = self.inbox.recv().await {
            match signal.kind {
                SignalKind::Event(Event::StasisStart { channel: started, .. }) if started.id == channel => {
                    return Ok(CallProgress::Answered);
                }
                SignalKind::Event(Event::ChannelDestroyed { channel: ended, cause, cause_txt, .. })
                    if ended.id == channel =>
                {
                    return Ok(CallProgress::Refused { cause, text: cause_txt });
                }
                _ => {}
            }
        }
        Err(LoopbackFault::NoEvents)
    }

    /// The channel of a Local call that the dialplan has.
    pub fn far_end(&self) -> ChannelId {
        ChannelId::new(&format!("{}-far", self.app))
    }

    /// Creates the second channel, towards one of our sockets, beside a call.
    pub async fn attach(&mut self, ours: SocketAddr) -> Result<SocketAddr, LoopbackFault> {
        self.make(1, ours).await
    }

    /// Joins the channels.
    pub async fn close(&self) -> Result<(), LoopbackFault> {
        let [a, b] = &self.channels;
        let joined = async {
            self.client.send(Request::create_bridge(&self.bridge)).await?;
            self.client.send(Request::add_to_bridge(&self.bridge, &[a, b])).await
        };
        joined.await.map(drop).map_err(LoopbackFault::NoBridge)
    }

    /// Deletes everything, and waits until it is gone: Asterisk keeps an application after its WebSocket is closed
    /// while it still has objects. Returns the remaining ones. With `in_doubt`, deletes objects that are created
    /// late as well.
    pub async fn tear_down(&self, in_doubt: bool) -> Vec<String> {
        self.delete_all().await;
        if in_doubt {
            sleep(AFTERMATH).await;
            self.delete_all().await;
        }
        let until = Instant::now() + CLEAR_LIMIT;
        loop {
            let left = self.left().await;
            if left.is_empty() || Instant::now() >= until {
                return left;
            }
            sleep(CLEAR_PAUSE).await;
        }
    }

    /// Requests the deletion of each. The result shows in the remaining objects.
    async fn delete_all(&self) {
        let [a, b] = &self.channels;
        let _ = tokio::join!(
            self.client.send(Request::destroy_bridge(&self.bridge)),
            self.client.send(Request::hang_up(a, Reason::NormalClearing)),
            self.client.send(Request::hang_up(b, Reason::NormalClearing)),
        );
    }

    async fn left(&self) -> Vec<String> {
        match self.client.ask::<Application>(Request::application(&self.app)).await {
            Ok(held) => names(&held.channel_ids, &held.bridge_ids),
            Err(error) if error.is_gone() => Vec::new(),
            Err(_) => names(&self.channels, [&self.bridge]),
        }
    }

    /// Waits for a signal; false when it does not arrive.
    async fn hears(&mut self, is_wanted: impl Fn(&Signal) -> bool) -> bool {
        let waiting = async {
            while let Some(signal) = self.inbox.recv().await {
                if is_wanted(&signal) {
                    return true;
                }
            }
            false
        };
        timeout(SIGNAL_LIMIT, waiting).await.unwrap_or(false)
    }
}

fn names<'a>(
    channels: impl IntoIterator<Item = &'a ChannelId>,
    bridges: impl IntoIterator<Item = &'a BridgeId>,
) -> Vec<String> {
    let channels = channels.into_iter().map(ToString::to_string);
    channels.chain(bridges.into_iter().map(ToString::to_string)).collect()
}
