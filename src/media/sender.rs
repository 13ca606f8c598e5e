//! The outbound stream of a leg: frames to RTP packets.

use super::leg::LegConfig;
use crate::audio::codec::{Encoder, Format, MAX_PAYLOAD};
use crate::rtp::packet::{HEADER, Packet, write_header};

pub struct Sender {
    format: Format,
    encoder: Encoder,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// The last frame had speech. The first of a talkspurt has the marker (RFC 3551, section 4.1).
    is_talking: bool,
    packets: u64,
}

impl Sender {
    pub fn new(config: &LegConfig) -> Sender {
        Sender {
            format: config.format,
            encoder: Encoder::new(config.format),
            ssrc: config.ssrc,
            sequence: config.sequence,
            timestamp: config.timestamp,
            is_talking: false,
            packets: 0,
        }
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Writes the next packet and returns its length. `ticks` frames of time have passed since the last one: after a
    /// stall the timestamp jumps by its length, and packets are never sent faster than one per tick.
    pub fn write(
        &mut self,
        frame: &[i16],
        is_talking: bool,
        ticks: u32,
        packet: &mut [u8; HEADER + MAX_PAYLOAD],
    ) -> usize {
        let Some((header, payload)) = packet.split_first_chunk_mut::<HEADER>() else { return 0 };
        let Some(payload) = payload.first_chunk_mut::<MAX_PAYLOAD>() else { return 0 };
        let len = self.encoder.encode(frame, payload);
        let step = self.format.clock() / 50;
        self.timestamp = self.timestamp.wrapping_add(step * ticks);
        self.sequence = self.sequence.wrapping_add(1);
        let packet = Packet {
            marker: is_talking && !self.is_talking,
            payload_type: self.format.payload_type(),
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload: &[],
        };
        write_header(header, &packet);
        self.is_talking = is_talking;
        self.packets += 1;
        HEADER + len
    }
}
