//! Ports for the servers and programs that tests start.
//!
//! They lie below the range that the kernel gives to outgoing connections, so that no connection takes one before its
//! server does, and no two test programs choose the same one. Any other program may still be faster: a starter asks
//! for further ports until one is not taken ([`TRIES`]).

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

use rand::Rng;

const RANGE: Range<u16> = 12_000..32_000;
/// How many ports a program is started with before that counts as a failure.
pub const TRIES: usize = 8;

/// The ports that this process has chosen, each held until it ends.
static CHOSEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port that is free for both TCP and UDP on every address, and that no other test program has chosen.
pub fn free() -> u16 {
    (0..1_000)
        .map(|_| rand::rng().random_range(RANGE))
        .find(|&port| is_free(port) && choose(port))
        .expect("a thousand tries found no free port")
}

/// The first of `size` ports for RTP. Some may be taken: Asterisk passes over those by itself.
pub fn block(size: u16) -> u16 {
    rand::rng().random_range(RANGE.start..RANGE.end - size) & !1
}

/// On every address, as sipp's control socket is bound to all of them.
pub fn is_free(port: u16) -> bool {
    let any = (Ipv4Addr::UNSPECIFIED, port);
    TcpListener::bind(any).is_ok() && UdpSocket::bind(any).is_ok()
}

/// Holds a port against the other test programs: an abstract socket named after it ends with its process.
fn choose(port: u16) -> bool {
    let name = SocketAddr::from_abstract_name(format!("vca-test-port-{port}")).expect("a short name");
    let held = UnixListener::bind_addr(&name);
    held.map(|held| CHOSEN.lock().unwrap_or_else(PoisonError::into_inner).push(held)).is_ok()
}
