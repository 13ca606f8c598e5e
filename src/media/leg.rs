//! One call's frame path in both directions, without a socket or a clock: packets and times are arguments.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::inbound::InboundPath;
use super::path::{FramePath, Scratch};
use super::playout::Playout;
use super::port::{Backend, MediaEvent};
use super::sender::Sender;
use super::socket::UnexpectedPackets;
use crate::audio::codec::Format;
use crate::audio::prefetch::prefetch;
use crate::audio::vad::Thresholds;

/// The consumers of the caller's audio that get it without its noise. Echo detection and a [`Tap`](super::Tap) never do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NoiseSuppression {
    #[default]
    Off,
    /// The call, for speech recognition.
    Recognition,
    /// The call, and voice detection.
    RecognitionAndVoice,
}

/// The configuration of a leg.
#[derive(Debug, Clone, Copy)]
pub struct LegConfig {
    pub format: Format,
    pub thresholds: Thresholds,
    /// Frames that an echo of the agent explains are not taken for the caller's voice.
    pub echo_detection: bool,
    /// At the beginning; [`Port::suppress_noise`](super::Port::suppress_noise) changes it.
    pub noise_suppression: NoiseSuppression,
    /// How long a missing packet is waited for, in ticks of 20 ms.
    pub reorder_ticks: u32,
    /// Where the stream begins; random, so that it cannot be guessed (RFC 3550, section 5.1).
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
}

impl LegConfig {
    /// The defaults for `format`, with a stream that begins at zero.
    pub fn new(format: Format) -> LegConfig {
        LegConfig {
            format,
            thresholds: Thresholds::default(),
            echo_detection: true,
            noise_suppression: NoiseSuppression::Off,
            reorder_ticks: 2,
            ssrc: 1,
            sequence: 0,
            timestamp: 0,
        }
    }
}

/// Ticks between two updates of the counts that the call can read.
const PUBLISH: u32 = 50;

pub struct Leg {
    format: Format,
    inbound: InboundPath,
    playout: Playout,
    sender: Sender,
    back: Backend,
    since_publish: u32,
}

impl Leg {
    pub fn new(config: LegConfig, back: Backend) -> Leg {
        Leg {
            format: config.format,
            inbound: InboundPath::new(&config),
            playout: Playout::new(config.format.rate(), config.ssrc),
            sender: Sender::new(&config),
            back,
            since_publish: 0,
        }
    }
}

impl FramePath for Leg {
    fn prefetch_self(&self) {
        prefetch(self);
    }

    fn prefetch_buffers(&self) {
        self.inbound.prefetch();
        self.playout.prefetch();
        self.back.prefetch();
    }

    fn receive(&mut self, bytes: &[u8], now: Instant, scratch: &mut Scratch) {
        if self.inbound.receive(bytes, now, &mut self.back, scratch) {
            // The call sees at once that media flows.
            self.publish();
        }
    }

    fn tick<'a>(&'a mut self, now: Instant, ticks: u32, scratch: &'a mut Scratch) -> &'a [u8] {
        self.inbound.tick(now, &mut self.back, scratch);
        self.since_publish += 1;
        if self.since_publish >= PUBLISH {
            self.since_publish = 0;
            self.publish();
        }
        self.send(ticks, scratch)
    }

    fn count_unexpected(&mut self, unexpected: UnexpectedPackets) {
        let before = self.back.shared.unexpected.fetch_add(unexpected.packets, Relaxed);
        if before == 0 {
            self.back.send(MediaEvent::UnexpectedPackets { from: unexpected.from });
        }
    }

    fn is_closed(&self) -> bool {
        let closed = self.back.shared.closed.load(Relaxed);
        if closed {
            self.publish();
        }
        closed
    }
}

impl Leg {
    /// Makes the counts readable for the call.
    fn publish(&self) {
        let shared = &self.back.shared;
        shared.publish(self.inbound.quality(), self.format.clock());
        shared.publish_echo(self.inbound.echo());
    }

    /// The next packet.
    fn send<'a>(&mut self, ticks: u32, scratch: &'a mut Scratch) -> &'a [u8] {
        let frame = &mut scratch.frame[..self.format.frame_len()];
        let is_talking = self.playout.fill(frame, &mut self.back);
        self.back.tap_agent(frame, ticks);
        self.inbound.sent(frame, is_talking, ticks);
        let len = self.sender.write(frame, is_talking, ticks, &mut scratch.packet);
        self.back.shared.sent.store(self.sender.packets(), Relaxed);
        &scratch.packet[..len]
    }
}

#[cfg(test)]
mod tests;
