//! Ports that are free now, from below the range that the kernel gives to outgoing connections, so that no
//! connection takes one before its server does.

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;

use rand::Rng;

const RANGE: Range<u16> = 12_000..32_000;

/// A port that is free for both TCP and UDP.
pub fn free() -> u16 {
    (0..1_000)
        .map(|_| rand::rng().random_range(RANGE))
        .find(|&port| is_free(port))
        .expect("a thousand tries found no free port")
}

/// The first of `size` ports for RTP. Some may be taken: Asterisk passes over those by itself.
pub fn block(size: u16) -> u16 {
    rand::rng().random_range(RANGE.start..RANGE.end - size) & !1
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
}
