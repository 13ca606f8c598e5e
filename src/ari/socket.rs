//! The event WebSocket: keeps it open and alive, reconnects it, and reports every gap.
//!
//! After each connect the event filter is set and the application's channels and bridges are listed; events
//! meanwhile are held back and follow [`SignalKind::Connected`] in order. One task reads, and waits for no call:
//! Asterisk disconnects a reader that lags (`websocket_write_timeout`, 100 ms). The meaning of events is
//! elsewhere. Where another program has taken the application's name, that one is left alone until it is gone.

mod backoff;
mod session;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::answer::Inventory;
use super::client::Client;
use super::event::Event;
use super::ids::AsteriskId;
use super::request::Request;
use super::settings::Settings;
use backoff::Backoff;
use session::{Lost, Session};
use watch::{until_carried_out, watch};

/// First pause before checking whether another program still has the application's name; it doubles. Long, so that
/// two programs of one name do not take it from each other in turns.
const LOOK_PAUSE: Duration = Duration::from_secs(3);

/// A signal of the event WebSocket of one Asterisk.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    pub asterisk: AsteriskId,
    pub kind: SignalKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SignalKind {
    /// Events flow; this is what there was when they began to. Repeated after each reconnect, and when requests are carried
    /// out again after some failed.
    Connected(Arc<Inventory>),
    Event(Event),
    /// Events are missed from now on, until the next `Connected`.
    Disconnected,
}

/// Takes the signals.
pub trait Sink: Send + Sync {
    /// Must not block: it runs on the task that reads the WebSocket.
    fn deliver(&self, signal: Signal);
}

impl<F: Fn(Signal) + Send + Sync> Sink for F {
    fn deliver(&self, signal: Signal) {
        self(signal);
    }
}

/// Holds the event WebSocket until `stop`; failures are logged with their remedy, and the connection is retried.
pub async fn listen(client: Arc<Client>, settings: Settings, sink: impl Sink, stop: CancellationToken) {
    let longest = Duration::from_millis(settings.reconnect_max_ms);
    let mut backoff = Backoff::new(Duration::from_millis(settings.reconnect_min_ms), longest);
    gauge!("vca_ari_connected").set(0.0);
    let mut started = None;
    loop {
        let began = Instant::now();
        let lost = session(&client, &settings, &sink, &stop, &mut started).await;
        if stop.is_cancelled() {
            info!("event WebSocket closed");
            return;
        }
        if began.elapsed() > longest {
            backoff.reset();
        }
        counter!("vca_ari_disconnects_total", "why" => lost.as_str()).increment(1);
        if let Lost::Replaced = lost {
            error!(app = %settings.app, why = %lost, remedy = lost.remedy(), "another program receives the calls until it stops");
            tokio::select! {
                () = name_is_free(&client, &settings) => continue,
                () = stop.cancelled() => return,
            }
        }
        let pause = backoff.next(rand::random());
        warn!(why = %lost, remedy = lost.remedy(), again_in_ms = pause.as_millis() as u64, "no ARI events");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = client.new_login() => {}
            () = stop.cancelled() => return,
        }
        if lost.is_about_requests() {
            tokio::select! {
                () = until_carried_out(&client, &settings, || backoff.next(rand::random())) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Waits until no program has the application's name: then Asterisk lists no such application. It also lists one
/// while it has calls of a program that is gone; they end in time.
async fn name_is_free(client: &Client, settings: &Settings) {
    let mut backoff = Backoff::new(LOOK_PAUSE, Duration::from_millis(settings.reconnect_max_ms));
    loop {
        tokio::time::sleep(backoff.next(rand::random())).await;
        let looked = client.send(Request::application(&settings.app)).await;
        if looked.is_err_and(|error| error.is_gone()) {
            return;
        }
    }
}

/// One connection, from the handshake to its loss. `started` is when Asterisk started, as of the latest connect.
async fn session(
    client: &Client,
    settings: &Settings,
    sink: &impl Sink,
    stop: &CancellationToken,
    started: &mut Option<String>,
) -> Lost {
    let opening = async {
        let mut session = Session::open(client, settings).await?;
        let (inventory, held) = session.resync(client, started).await?;
        Ok((session, inventory, held))
    };
    let opened = tokio::select! {
        opened = opening => opened,
        () = stop.cancelled() => return Lost::Stopped,
    };
    let (mut session, mut inventory, mut held) = match opened {
        Ok(opened) => opened,
        Err(lost) => return lost,
    };
    let (channels, bridges) = (inventory.channels.len(), inventory.bridges.len());
    info!(app = %settings.app, channels, bridges, "ARI events flow");
    gauge!("vca_ari_connected").set(1.0);
    counter!("vca_ari_connects_total").increment(1);
    watch::carried_out(client);
    let deliver = |kind| sink.deliver(Signal { asterisk: client.asterisk().clone(), kind });
    let lost = loop {
        client.health().forget_doubts();
        deliver(SignalKind::Connected(Arc::new(inventory)));
        held.into_iter().map(SignalKind::Event).for_each(deliver);
        if let Err(lost) = session.pump(deliver, watch(client, settings), stop).await {
            break lost;
        }
        info!(
            "requests to Asterisk are carried out again: looking for channels and bridges of calls that have ended"
        );
        (inventory, held) = match session.resync(client, started).await {
            Ok(resynchronised) => resynchronised,
            Err(lost) => break lost,
        };
    };
    gauge!("vca_ari_connected").set(0.0);
    deliver(SignalKind::Disconnected);
    lost
}

#[cfg(test)]
mod tests;
