//! The sound that goes through the loop, and the ends that make and hear it.

use std::f64::consts::TAU;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use uuid::Uuid;

use super::EndReport;
use super::fault::LoopbackFault;
use crate::audio::codec::Format;
use crate::media::{
    self, AudioBuffer, AudioDelivery, MediaEvent, MediaSocket, NoiseSuppression, Port, SpeechTag,
};

/// The sound's length in frames of 20 ms.
pub const FRAMES: u32 = 25;
const LENGTH: Duration = Duration::from_millis(20 * FRAMES as u64);
const RATE: u32 = 8_000;
const FRAME: usize = 160;
/// How long RTP may take to begin, in both directions.
const RTP_LIMIT: Duration = Duration::from_millis(1_500);
/// How long a sound may be in progress.
const DELAY_LIMIT: Duration = Duration::from_millis(400);
/// How finely arrivals are timed.
const GLANCE: Duration = Duration::from_millis(1);
/// Mean square above which a frame is the sound: 20 dB below it, and far above silence.
const LOUD: i64 = 600 * 600;
/// Mean square above which a frame is speech, not noise of a socket.
const AUDIBLE: i64 = 150 * 150;

/// One end of the loop.
pub struct LoopEnd {
    port: Port,
    buffer: AudioBuffer,
    /// The samples examined so far.
    seen: u64,
    heard: EndReport,
}

impl LoopEnd {
    /// Connects the socket to Asterisk's end and lets it run.
    pub fn open(
        threads: &media::Threads,
        socket: MediaSocket,
        public: IpAddr,
        theirs: SocketAddr,
    ) -> Result<LoopEnd, LoopbackFault> {
        let ours = SocketAddr::new(public, socket.local().port());
        socket.connect(theirs).map_err(|error| LoopbackFault::Unreachable { theirs, error })?;
        let port = threads
            .open(socket, Format::Ulaw, AudioDelivery::Buffered, (NoiseSuppression::Off, Uuid::nil()))
            .unwrap_or_else(|_| unreachable!("the threads have room for two"));
        let heard = EndReport { ours, theirs, rtp: false, unexpected: false, frames: 0, delay: None };
        Ok(LoopEnd { port, buffer: AudioBuffer::new(RATE), seen: 0, heard })
    }

    pub fn into_heard(self) -> EndReport {
        EndReport { unexpected: self.port.report().unexpected > 0, ..self.heard }
    }

    /// The frames since the last call.
    fn look(&mut self) -> Vec<Arc<[i16]>> {
        self.port.fetch(&mut self.buffer);
        self.heard.rtp |= self.buffer.end() > 0;
        let mut frames = Vec::new();
        while self.seen + FRAME as u64 <= self.buffer.end() {
            frames.push(self.buffer.clip(self.seen, self.seen + FRAME as u64).samples);
            self.seen += FRAME as u64;
        }
        frames
    }

    /// Waits until the other end says something; false when it is silent for the whole time.
    pub async fn first_sound(&mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if self.look().iter().any(|frame| power(frame) > AUDIBLE) {
                return true;
            }
            sleep(GLANCE).await;
        }
        false
    }

    /// Has the sound begun to leave, since this was last asked?
    fn has_begun(&mut self) -> bool {
        let mut begun = false;
        while let Some(event) = self.port.next_event() {
            begun |= matches!(event, MediaEvent::PlaybackStarted { .. });
        }
        begun
    }
}

/// Waits until RTP flows, then sends the sound one way and then the other.
pub async fn exchange([a, b]: &mut [LoopEnd; 2]) {
    let until = Instant::now() + RTP_LIMIT;
    while !(a.heard.rtp && b.heard.rtp) && Instant::now() < until {
        sleep(GLANCE).await;
        a.look();
        b.look();
    }
    send(a, b).await;
    send(b, a).await;
}

async fn send(from: &mut LoopEnd, to: &mut LoopEnd) {
    let until = Instant::now() + LENGTH + DELAY_LIMIT;
    let mut begun = None;
    // The queue is empty: it has room.
    let _ = from.port.play(SpeechTag(0), sound(), true);
    while to.heard.frames < FRAMES && Instant::now() < until {
        sleep(GLANCE).await;
        if from.has_begun() {
            begun.get_or_insert_with(Instant::now);
        }
        for _ in to.look().iter().filter(|frame| is_loud(frame)) {
            to.heard.frames += 1;
            to.heard.delay = to.heard.delay.or(begun.map(|at| at.elapsed()));
        }
    }
}

/// Two tones together, as in a vowel: nothing that an echo canceller or a silence suppressor takes away.
fn sound() -> Arc<[i16]> {
    let sample = |n: usize| {
        let time = n as f64 / f64::from(RATE);
        let (low, high) = ((TAU * 440.0 * time).sin(), (TAU * 1_320.0 * time).sin());
        (6_000.0 * low + 3_000.0 * high) as i16
    };
    (0..FRAME * FRAMES as usize).map(sample).collect()
}

fn is_loud(frame: &[i16]) -> bool {
    power(frame) > LOUD
}

/// The mean square of the samples.
fn power(frame: &[i16]) -> i64 {
    let square: i64 = frame.iter().map(|&sample| i64::from(sample).pow(2)).sum();
    square / FRAME as i64
}
