//! A call's UDP socket, which receives from Asterisk only, and a second one for all other packets.
//!
//! The socket is connected to the address that Asterisk announced, so the kernel keeps unexpected packets out of its queue,
//! however many there are. The second socket, the sentry, shares the port and receives just those: they are counted, and
//! the address of one is kept.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};

pub struct Line {
    socket: UdpSocket,
    sentry: UdpSocket,
    local: SocketAddr,
}

/// Packets from another address than Asterisk's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unexpected {
    pub packets: u64,
    /// The sender of one of them.
    pub from: SocketAddr,
}

/// Bytes that the kernel queues: 250 ms of 16-bit linear is 8 kB; packets count with their overhead.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// The sentry counts; it need not keep a flood.
const SENTRY_BUFFER: usize = 4 * 1024;

impl Line {
    /// Binds a free port of `address`, within `ports` unless that is `0..=0`.
    pub fn bind(address: IpAddr, ports: (u16, u16), start: u16) -> io::Result<Line> {
        let (first, last) = ports;
        if first == 0 {
            return Line::bind_port(SocketAddr::new(address, 0));
        }
        let count = u32::from(last.saturating_sub(first)) + 1;
        let candidates = (0..count).map(|n| first + ((u32::from(start) + n) % count) as u16);
        let mut fault = io::Error::from(io::ErrorKind::AddrInUse);
        for port in candidates {
            match Line::bind_port(SocketAddr::new(address, port)) {
                Ok(line) => return Ok(line),
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    /// A first socket without a shared port finds out whether the port is free, then gives way to two.
    fn bind_port(address: SocketAddr) -> io::Result<Line> {
        let local = UdpSocket::bind(address)?.local_addr()?;
        let socket = open(local, RECEIVE_BUFFER)?;
        let sentry = open(local, SENTRY_BUFFER)?;
        Ok(Line { socket, sentry, local })
    }

    /// Where Asterisk is to send to.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Accepts packets from `peer` alone from now on, and drops earlier ones.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.socket.connect(peer)?;
        let mut scrap = [0; 16];
        while self.socket.recv(&mut scrap).is_ok() {}
        Ok(())
    }

    /// A packet of Asterisk's, if one is there.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<usize> {
        self.socket.recv(buffer).ok()
    }

    /// Sends a packet. A full queue or an unreachable peer loses it, as the network might.
    pub fn send(&self, packet: &[u8]) -> bool {
        self.socket.send(packet).is_ok()
    }

    /// The unexpected packets that are waiting, up to a bound; they are dropped.
    pub fn unexpected(&self) -> Option<Unexpected> {
        let mut scrap = [0; 16];
        let mut found: Option<Unexpected> = None;
        for _ in 0..64 {
            let Ok((_, from)) = self.sentry.recv_from(&mut scrap) else { break };
            found.get_or_insert(Unexpected { packets: 0, from }).packets += 1;
        }
        found
    }
}

fn open(address: SocketAddr, buffer: usize) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    sockopt::set_socket_reuseport(&socket, true)?;
    sockopt::set_socket_recv_buffer_size(&socket, buffer)?;
    bind(&socket, &address)?;
    Ok(UdpSocket::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn strangers_are_counted_and_not_heard() {
        let line = Line::bind(HOME, (0, 0), 0).unwrap();
        let (peer, stranger) = (UdpSocket::bind((HOME, 0)).unwrap(), UdpSocket::bind((HOME, 0)).unwrap());
        stranger.send_to(b"early", line.local()).unwrap();
        line.connect(peer.local_addr().unwrap()).unwrap();
        for _ in 0..3 {
            stranger.send_to(b"forged", line.local()).unwrap();
        }
        peer.send_to(b"true", line.local()).unwrap();
        let mut buffer = [0; 32];
        assert_eq!(line.receive(&mut buffer).map(|len| buffer[..len].to_vec()), Some(b"true".to_vec()));
        assert_eq!(line.receive(&mut buffer), None);
        let unexpected = line.unexpected().unwrap();
        assert!(unexpected.packets >= 3);
        assert_eq!(unexpected.from, stranger.local_addr().unwrap());
        assert_eq!(line.unexpected(), None);
        assert!(line.send(b"hello"));
        assert_eq!(peer.recv(&mut buffer).unwrap(), 5);
    }

    #[test]
    fn a_range_that_is_used_up_is_an_error() {
        let first = Line::bind(HOME, (0, 0), 0).unwrap();
        let port = first.local().port();
        assert!(Line::bind(HOME, (port, port), 0).is_err());
    }
}
