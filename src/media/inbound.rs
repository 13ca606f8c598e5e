//! The inbound direction of a leg: packets in any order to the caller's audio, which is as long as the time.

use std::time::Instant;

use super::leg::LegConfig;
use super::pace::Pace;
use super::path::Scratch;
use super::port::Backend;
use super::receiver::Receiver;
use crate::audio::codec::{Format, MAX_READ_PAYLOAD};
use crate::audio::echo::EchoPath;
use crate::rtp::jitter::{Jitter, Next, PacketOutcome};
use crate::rtp::packet::Packet;
use crate::rtp::quality::Quality;

pub struct InboundPath {
    format: Format,
    jitter: Jitter<MAX_READ_PAYLOAD>,
    stream: OrderedStream,
    began: Option<Instant>,
}

/// Packets in order.
struct OrderedStream {
    quality: Quality,
    pace: Pace,
    receiver: Receiver,
}

impl InboundPath {
    pub fn new(config: &LegConfig) -> InboundPath {
        let format = config.format;
        let stream = OrderedStream {
            quality: Quality::default(),
            pace: Pace::new(format, config.thresholds.pause),
            receiver: Receiver::new(config),
        };
        InboundPath { format, jitter: Jitter::new(config.reorder_ticks, format.clock()), stream, began: None }
    }

    pub fn prefetch(&self) {
        self.stream.receiver.prefetch();
    }

    pub fn quality(&self) -> &Quality {
        &self.stream.quality
    }

    /// The echo that was found in the caller's audio.
    pub fn echo(&self) -> Option<EchoPath> {
        self.stream.receiver.echo()
    }

    /// Takes a datagram. Returns true for the first packet of the call.
    pub fn receive(&mut self, bytes: &[u8], now: Instant, back: &mut Backend, scratch: &mut Scratch) -> bool {
        let packet = match Packet::parse(bytes) {
            Ok(packet) if packet.payload_type == self.format.payload_type() => packet,
            _ => {
                self.stream.quality.malformed += 1;
                return false;
            }
        };
        let is_first = self.began.is_none();
        let began = *self.began.get_or_insert(now);
        let arrival = now.saturating_duration_since(began).as_secs_f64() * f64::from(self.format.clock());
        let stream = &mut self.stream;
        match self.jitter.insert(&packet) {
            PacketOutcome::Due => stream.packet(packet.payload, packet.timestamp, now, back, scratch),
            PacketOutcome::Kept => {}
            PacketOutcome::Duplicate => {
                stream.quality.duplicate += 1;
                return is_first;
            }
            PacketOutcome::Late => {
                stream.quality.late += 1;
                return is_first;
            }
            PacketOutcome::Restarted { lost } => {
                stream.restarted(lost);
                stream.packet(packet.payload, packet.timestamp, now, back, scratch);
            }
        }
        stream.quality.arrived(packet.timestamp, arrival as i64);
        stream.pace.arrived(packet.timestamp, arrival as i64);
        self.drain(now, back, scratch);
        is_first
    }

    /// 20 ms have passed.
    pub fn tick(&mut self, now: Instant, back: &mut Backend, scratch: &mut Scratch) {
        self.jitter.tick();
        self.drain(now, back, scratch);
        self.stream.keep_time(self.jitter.has_gap(), now, back);
    }

    /// Takes the agent's frame that is sent now, which an echo may return.
    pub fn sent(&mut self, frame: &[i16], has_sound: bool, ticks: u32) {
        self.stream.receiver.sent(frame, has_sound, ticks);
    }

    fn drain(&mut self, now: Instant, back: &mut Backend, scratch: &mut Scratch) {
        loop {
            match self.jitter.pop() {
                Next::Payload { payload, timestamp } => {
                    self.stream.packet(payload, timestamp, now, back, scratch);
                }
                Next::Lost => self.stream.lost(now, back, scratch),
                Next::Wait => return,
            }
        }
    }
}

impl OrderedStream {
    fn restarted(&mut self, lost: u32) {
        self.quality.lost += u64::from(lost);
        self.quality.restarted();
        if lost == 0 {
            self.pace.restarted();
        }
    }

    fn packet(
        &mut self,
        payload: &[u8],
        timestamp: u32,
        now: Instant,
        back: &mut Backend,
        scratch: &mut Scratch,
    ) {
        let silence = self.pace.silence_before(timestamp);
        (0..silence).for_each(|_| self.receiver.push_missing(now, back));
        match self.receiver.decode(payload, now, back, scratch) {
            Ok(samples) => {
                let surplus = self.pace.received(timestamp, samples);
                self.receiver.take_back(surplus);
            }
            Err(_) => self.quality.malformed += 1,
        }
    }

    fn lost(&mut self, now: Instant, back: &mut Backend, scratch: &mut Scratch) {
        self.quality.lost += 1;
        let samples = self.pace.lost();
        self.receiver.conceal(samples as usize, now, back, scratch);
    }

    /// Puts in silence for the time in which the caller's device sends nothing.
    fn keep_time(&mut self, has_gap: bool, now: Instant, back: &mut Backend) {
        let silence = self.pace.tick(has_gap);
        if silence > 0 {
            self.quality.restarted();
        }
        (0..silence).for_each(|_| self.receiver.push_missing(now, back));
    }
}
