//! The floor: a path that answers every tick with the same packet and looks at nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use vca::media::{FramePath, Scratch, UnexpectedPackets};
use vca::rtp::packet::{HEADER, Packet, write_header};

pub struct Bare {
    pub received: Arc<AtomicU64>,
    pub closed: Arc<AtomicBool>,
    sequence: u16,
    ssrc: u32,
    packet: [u8; HEADER + 160],
}

impl Bare {
    pub fn new(received: Arc<AtomicU64>, closed: Arc<AtomicBool>) -> Bare {
        Bare { received, closed, sequence: 0, ssrc: rand::random(), packet: [0xFF; HEADER + 160] }
    }
}

impl FramePath for Bare {
    fn receive(&mut self, _bytes: &[u8], _now: Instant, _scratch: &mut Scratch) {
        self.received.fetch_add(1, Relaxed);
    }

    fn tick<'a>(&'a mut self, _now: Instant, _ticks: u32, _scratch: &'a mut Scratch) -> &'a [u8] {
        self.sequence = self.sequence.wrapping_add(1);
        let packet = Packet {
            marker: false,
            payload_type: 0,
            sequence: self.sequence,
            timestamp: 0,
            ssrc: self.ssrc,
            payload: &[],
        };
        if let Some(header) = self.packet.first_chunk_mut::<HEADER>() {
            write_header(header, &packet);
        }
        &self.packet
    }

    fn count_unexpected(&mut self, _unexpected: UnexpectedPackets) {}

    fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}
