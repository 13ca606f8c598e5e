//! The interface between a media thread and the frame paths that it serves.

use std::time::Instant;

use super::socket::UnexpectedPackets;
use crate::audio::codec::{MAX_DECODED, MAX_PAYLOAD};
use crate::audio::echo::Correlator;
use crate::audio::frame::MAX_FRAME;
use crate::rtp::packet::HEADER;

/// A frame path that a media thread serves: a call's leg, or in a benchmark one that does nothing.
pub trait FramePath: Send {
    /// Prefetches the value itself: it is served next. A thousand calls do not fit into the cache; memory that is fetched
    /// while the kernel works for another call is not waited for.
    fn prefetch_self(&self) {}

    /// Prefetches the memory that the value refers to: it is about to be served.
    fn prefetch_buffers(&self) {}

    /// Takes a packet from Asterisk.
    fn receive(&mut self, bytes: &[u8], now: Instant, scratch: &mut Scratch);

    /// Returns the packet to send. 20 ms have passed since the last tick, or `ticks` times that after a stall.
    fn tick<'a>(&'a mut self, now: Instant, ticks: u32, scratch: &'a mut Scratch) -> &'a [u8];

    /// Counts dropped packets from another address than Asterisk's.
    fn count_unexpected(&mut self, unexpected: UnexpectedPackets);

    /// The call has dropped its end.
    fn is_closed(&self) -> bool;
}

/// Working memory that the legs of a thread share, so that it stays in the cache.
pub struct Scratch {
    pub(super) decoded: [i16; MAX_DECODED],
    pub(super) frame: [i16; MAX_FRAME],
    pub(super) packet: [u8; HEADER + MAX_PAYLOAD],
    pub(super) correlator: Correlator,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch {
            decoded: [0; MAX_DECODED],
            frame: [0; MAX_FRAME],
            packet: [0; HEADER + MAX_PAYLOAD],
            correlator: Correlator::default(),
        }
    }
}
