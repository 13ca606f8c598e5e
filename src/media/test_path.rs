//! A frame path for the tests of media threads.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use super::path::{FramePath, Scratch};
use super::socket::{MediaSocket, UnexpectedPackets};

/// Calls a function at each tick.
pub struct TickingPath<F>(pub F);

impl<F: FnMut(u32) + Send> FramePath for TickingPath<F> {
    fn receive(&mut self, _: &[u8], _: Instant, _: &mut Scratch) {}

    fn tick<'a>(&'a mut self, _: Instant, ticks: u32, _: &'a mut Scratch) -> &'a [u8] {
        (self.0)(ticks);
        &[]
    }

    fn count_unexpected(&mut self, _: UnexpectedPackets) {}

    fn is_closed(&self) -> bool {
        false
    }
}

pub fn test_socket() -> MediaSocket {
    MediaSocket::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), (0, 0), 0).expect("a port")
}
