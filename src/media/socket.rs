//! A call's UDP socket, which receives from Asterisk only, and a second one for all other packets.
//!
//! The socket is connected to the address that Asterisk announced, so the kernel keeps unexpected packets out of its queue,
//! however many there are. The second socket shares the port and receives only those: they are counted, and the address of
//! one is kept.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};

pub struct MediaSocket {
    socket: UdpSocket,
    unexpected: UdpSocket,
    local: SocketAddr,
}

/// Packets from another address than Asterisk's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnexpectedPackets {
    pub packets: u64,
    /// The sender of one of them.
    pub from: SocketAddr,
}

/// Bytes that the kernel queues: 250 ms of 16-bit linear is 8 kB; packets count with their overhead.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// Of the second socket, which only counts packets.
const UNEXPECTED_BUFFER: usize = 4 * 1024;

impl MediaSocket {
    /// Binds a free port of `address`, within `ports` unless that is `0..=0`.
    pub fn bind(address: IpAddr, ports: (u16, u16), start: u16) -> io::Result<MediaSocket> {
        let (first, last) = ports;
        if first == 0 {
            return MediaSocket::bind_port(SocketAddr::new(address, 0));
        }
        let count = u32::from(last.saturating_sub(first)) + 1;
        let candidates = (0..count).map(|n| first + ((u32::from(start) + n) % count) as u16);
        let mut fault = io::Error::from(io::ErrorKind::AddrInUse);
        for port in candidates {
            match MediaSocket::bind_port(SocketAddr::new(address, port)) {
                Ok(socket) => return Ok(socket),
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    /// Binds an exclusive socket first, which fails when the port is in use, and replaces it by the two that share the port.
    fn bind_port(address: SocketAddr) -> io::Result<MediaSocket> {
        let local = UdpSocket::bind(address)?.local_addr()?;
        let socket = open(local, RECEIVE_BUFFER)?;
        let unexpected = open(local, UNEXPECTED_BUFFER)?;
        Ok(MediaSocket { socket, unexpected, local })
    }

    /// The address to which Asterisk sends.
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

    /// The next packet from Asterisk, if one is queued.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<usize> {
        self.socket.recv(buffer).ok()
    }

    /// Sends a packet. A full queue or an unreachable peer loses it, as the network might.
    pub fn send(&self, packet: &[u8]) -> bool {
        self.socket.send(packet).is_ok()
    }

    /// Drops the queued unexpected packets, up to a bound, and returns their number.
    pub fn drain_unexpected(&self) -> Option<UnexpectedPackets> {
        let mut scrap = [0; 16];
        let mut found: Option<UnexpectedPackets> = None;
        for _ in 0..64 {
            let Ok((_, from)) = self.unexpected.recv_from(&mut scrap) else { break };
            found.get_or_insert(UnexpectedPackets { packets: 0, from }).packets += 1;
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

    const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn unexpected_packets_are_counted_and_dropped() {
        let ours = MediaSocket::bind(LOCALHOST, (0, 0), 0).unwrap();
        let (peer, other) =
            (UdpSocket::bind((LOCALHOST, 0)).unwrap(), UdpSocket::bind((LOCALHOST, 0)).unwrap());
        other.send_to(b"early", ours.local()).unwrap();
        ours.connect(peer.local_addr().unwrap()).unwrap();
        for _ in 0..3 {
            other.send_to(b"forged", ours.local()).unwrap();
        }
        peer.send_to(b"true", ours.local()).unwrap();
        let mut buffer = [0; 32];
        assert_eq!(ours.receive(&mut buffer).map(|len| buffer[..len].to_vec()), Some(b"true".to_vec()));
        assert_eq!(ours.receive(&mut buffer), None);
        let unexpected = ours.drain_unexpected().unwrap();
        assert!(unexpected.packets >= 3);
        assert_eq!(unexpected.from, other.local_addr().unwrap());
        assert_eq!(ours.drain_unexpected(), None);
        assert!(ours.send(b"hello"));
        assert_eq!(peer.recv(&mut buffer).unwrap(), 5);
    }

    #[test]
    fn a_range_that_is_used_up_is_an_error() {
        let first = MediaSocket::bind(LOCALHOST, (0, 0), 0).unwrap();
        let port = first.local().port();
        assert!(MediaSocket::bind(LOCALHOST, (port, port), 0).is_err());
    }
}
