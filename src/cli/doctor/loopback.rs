//! A test of the media path: sends a sound through Asterisk and checks that it arrives at the other end, in both
//! directions.
//!
//! Two sockets, an external-media channel for each and a bridge between them, in a Stasis application of the
//! doctor's own: neither the dialplan nor a running daemon is involved. The objects are deleted in any case.

pub mod call;
mod circuit;
mod fault;
mod sound;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Finding;
use crate::ari::{self, Client};
use crate::media::{self, MediaSocket};
use circuit::Circuit;
use fault::LoopbackFault;
use sound::{FRAMES, LoopEnd};

const CHECK: &str = "media";

/// The whole of it, teardown aside.
const LIMIT: Duration = Duration::from_secs(5);
/// Signals that wait to be read; there are a dozen in all.
const SIGNALS: usize = 64;

/// The result of the test.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proof {
    /// There and back. 20 ms of it are the pace at which frames leave.
    round_trip: Duration,
    /// Frames of both sounds that did not arrive.
    lost: u32,
}

/// Sends a sound each way.
pub async fn examine(asterisk: &ari::Settings, media: &media::Settings) -> Finding {
    let app = format!("vca-doctor-{:08x}", rand::random::<u32>());
    let settings = ari::Settings { app, ..asterisk.clone() };
    match prove(&settings, media).await {
        Ok((proof, left)) => proof.finding(&left),
        Err(fault) => {
            let remedy = fault.remedy(&settings, media);
            Finding::fail(CHECK, fault, remedy)
        }
    }
}

/// The proof, and what Asterisk did not delete after it.
async fn prove(
    settings: &ari::Settings,
    media: &media::Settings,
) -> Result<(Proof, Vec<String>), LoopbackFault> {
    let client = Arc::new(Client::new(settings).map_err(LoopbackFault::Url)?);
    let sockets = [bind(media)?, bind(media)?];
    let (signals, inbox) = mpsc::channel(SIGNALS);
    let sink = move |signal| drop(signals.try_send(signal));
    let stop = CancellationToken::new();
    let listening = ari::listen(client.clone(), settings.clone(), sink, stop.clone());
    let mut circuit = Circuit::new(client, &settings.app, inbox);
    let trying = async {
        let trial = timeout(LIMIT, try_out(&mut circuit, sockets, media)).await;
        let outcome = trial.unwrap_or(Err(LoopbackFault::Slow(LIMIT)));
        let left = circuit.tear_down(outcome.is_err()).await;
        stop.cancel();
        outcome.map(|proof| (proof, left))
    };
    tokio::join!(trying, listening).0
}

fn bind(media: &media::Settings) -> Result<MediaSocket, LoopbackFault> {
    let bound = MediaSocket::bind(media.bind_address, media.ports, rand::random());
    bound.map_err(|error| LoopbackFault::NoPort { address: media.bind_address, error })
}

async fn try_out(
    circuit: &mut Circuit,
    sockets: [MediaSocket; 2],
    media: &media::Settings,
) -> Result<Proof, LoopbackFault> {
    let public = media.public_address.unwrap_or(media.bind_address);
    let threads =
        media::Threads::start(&media::Settings { threads: 1, calls_per_thread: 2, ..media.clone() });
    let threads = threads.map_err(LoopbackFault::NoThreads)?;
    let peers =
        circuit.build(sockets.each_ref().map(|socket| (public, socket.local().port()).into())).await?;
    let [a, b] = sockets;
    let mut ends =
        [LoopEnd::open(&threads, a, public, peers[0])?, LoopEnd::open(&threads, b, public, peers[1])?];
    circuit.close().await?;
    sound::exchange(&mut ends).await;
    judge(&ends.map(LoopEnd::into_heard))
}

/// The audio that one end received from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EndReport {
    /// VCA's address as Asterisk has it, and Asterisk's as VCA has it.
    ours: SocketAddr,
    theirs: SocketAddr,
    /// RTP arrived, with sound or silence.
    rtp: bool,
    /// Packets from other addresses arrived.
    unexpected: bool,
    /// Frames in which the other end's sound was, and how long the first was in progress.
    frames: u32,
    delay: Option<Duration>,
}

fn judge(ends: &[EndReport; 2]) -> Result<Proof, LoopbackFault> {
    let deaf: Vec<&EndReport> = ends.iter().filter(|end| end.frames == 0).collect();
    if let Some(&&EndReport { ours, theirs, .. }) = deaf.iter().find(|end| !end.rtp && end.unexpected) {
        return Err(LoopbackFault::UnexpectedSender { ours, theirs });
    }
    match *deaf.as_slice() {
        [] => {
            let round_trip = ends.iter().filter_map(|end| end.delay).sum();
            let lost = ends.iter().map(|end| FRAMES.saturating_sub(end.frames)).sum();
            Ok(Proof { round_trip, lost })
        }
        [a, b] if !a.rtp && !b.rtp => Err(LoopbackFault::NoRtp { ours: a.ours, theirs: a.theirs }),
        [_, _] => Err(LoopbackFault::NoSound),
        [end, ..] => Err(LoopbackFault::OneWay { ours: end.ours, theirs: end.theirs }),
    }
}

impl Proof {
    fn finding(&self, left: &[String]) -> Finding {
        let heard = format!("heard both ways, there and back in {} ms", self.round_trip.as_millis());
        if !left.is_empty() {
            let remedy =
                "look with `asterisk -rx 'core show channels'` and 'bridge show all', and at Asterisk's log";
            return Finding::warn(
                CHECK,
                format!("{heard}; Asterisk did not delete {}", left.join(", ")),
                remedy,
            );
        }
        if self.lost > 0 {
            let problem = format!("{heard}, but {} of {} packets were lost", self.lost, 2 * FRAMES);
            let remedy = "callers will hear gaps: is this machine, or the network to Asterisk, overloaded?";
            return Finding::warn(CHECK, problem, remedy);
        }
        Finding::ok(CHECK, format!("{heard}, nothing lost"))
    }
}
