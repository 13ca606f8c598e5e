//! The other side of the calls: one socket and one thread that send and receive for all of them.

use std::collections::HashMap;
use std::io::IoSlice;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, MultiHeaders, SockFlag, SockType, SockaddrIn, bind,
    getsockname, recvmmsg, sendmmsg, setsockopt, socket, sockopt,
};
use vca::audio::Clip;
use vca::audio::codec::{Encoder, Format, MAX_PAYLOAD};
use vca::audio::resample::convert;
use vca::rtp::packet::{HEADER, Packet, write_header};

/// A caller's side as frames of mu-law: someone who speaks two fifths of the time, as people on the
/// phone do (ITU-T P.59: 38.5 %), over a little noise.
pub fn speech() -> Vec<Vec<u8>> {
    const TEXT: &str =
        "Hello, I would like to know when you are open on Saturday, and whether I need an appointment.";
    let spoken = espeak(TEXT);
    let silence = spoken.samples.len() * 3 / 2;
    let mut seed = 1u32;
    let noise = (0..silence).map(|_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 27) as i16 - 16
    });
    let samples: Vec<i16> = spoken.samples.iter().copied().chain(noise).collect();
    let mut encoder = Encoder::new(Format::Ulaw);
    let mut payload = [0; MAX_PAYLOAD];
    let frames = samples.chunks_exact(160).map(|frame| {
        let len = encoder.encode(frame, &mut payload);
        payload[..len].to_vec()
    });
    frames.collect()
}

pub fn espeak(text: &str) -> Clip {
    let output = Command::new("espeak-ng")
        .args(["--stdout", text])
        .stderr(Stdio::null())
        .output()
        .expect("the benchmark's callers speak through espeak-ng: install the package espeak-ng");
    let samples: Vec<i16> =
        output.stdout[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    convert(&Clip::new(22_050, samples), 8_000)
}

/// What came back.
#[derive(Default)]
pub struct Received {
    /// Arrival times since the start, by call.
    pub arrivals: HashMap<u16, Vec<Duration>>,
}

pub struct Load {
    socket: OwnedFd,
    pub address: SocketAddrV4,
}

/// Packets that one system call sends or receives.
const BATCH: usize = 32;

impl Load {
    pub fn bind() -> Load {
        let socket =
            socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_NONBLOCK, None).expect("a socket");
        setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20))
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &(8 << 20)))
            .expect("a receive buffer");
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("time stamps");
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a port");
        let name: SockaddrIn = getsockname(socket.as_raw_fd()).expect("the port's number");
        Load { socket, address: SocketAddrV4::new(name.ip(), name.port()) }
    }

    /// Sends every call's packets evenly over each 20 ms, and receives, until `until`. What arrives before
    /// `from` is not kept. Returns what came and how many packets were sent to each call.
    pub fn run(
        &self,
        calls: &[SockaddrIn],
        speech: &[Vec<u8>],
        from: Instant,
        until: Instant,
    ) -> (Received, u64) {
        let mut sender = Sender::new(calls, speech);
        let mut receiver = Receiver::new();
        let slots = 40;
        let start = Instant::now();
        let mut round = 0u64;
        let mut received = Received::default();
        while Instant::now() < until {
            for slot in 0..slots {
                let due = start + Duration::from_micros(round * 20_000 + slot as u64 * 500);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let (first, last) = (calls.len() * slot / slots, calls.len() * (slot + 1) / slots);
                sender.send(&self.socket, first..last, round);
                receiver.receive(&self.socket, Instant::now() >= from, &mut received);
            }
            round += 1;
        }
        std::thread::sleep(Duration::from_millis(60));
        receiver.receive(&self.socket, true, &mut received);
        (received, round)
    }
}

struct Sender<'a> {
    calls: &'a [SockaddrIn],
    speech: &'a [Vec<u8>],
    headers: MultiHeaders<SockaddrIn>,
    packets: Vec<[u8; HEADER + 160]>,
}

impl<'a> Sender<'a> {
    fn new(calls: &'a [SockaddrIn], speech: &'a [Vec<u8>]) -> Sender<'a> {
        let packets = vec![[0; HEADER + 160]; calls.len().div_ceil(40) + 1];
        Sender { calls, speech, headers: MultiHeaders::preallocate(packets.len(), None), packets }
    }

    fn send(&mut self, socket: &OwnedFd, range: std::ops::Range<usize>, round: u64) {
        for (call, bytes) in range.clone().zip(self.packets.iter_mut()) {
            let frame = &self.speech[(round as usize + call * 37) % self.speech.len()];
            let (header, payload) = bytes.split_first_chunk_mut::<HEADER>().expect("room for a header");
            payload.copy_from_slice(frame);
            let packet = Packet {
                marker: false,
                payload_type: 0,
                sequence: round as u16,
                timestamp: round as u32 * 160,
                ssrc: call as u32,
                payload: &[],
            };
            write_header(header, &packet);
        }
        let slices: Vec<[IoSlice<'_>; 1]> =
            self.packets[..range.len()].iter().map(|p| [IoSlice::new(p)]).collect();
        let addresses: Vec<Option<SockaddrIn>> = self.calls[range].iter().copied().map(Some).collect();
        let flags = MsgFlags::empty();
        sendmmsg(socket.as_raw_fd(), &mut self.headers, &slices, &addresses, [], flags)
            .expect("packets leave");
    }
}

struct Receiver {
    headers: MultiHeaders<SockaddrIn>,
    buffers: Vec<[u8; 256]>,
}

impl Receiver {
    fn new() -> Receiver {
        let space = nix::cmsg_space!(nix::sys::time::TimeSpec);
        Receiver { headers: MultiHeaders::preallocate(BATCH, Some(space)), buffers: vec![[0; 256]; BATCH] }
    }

    fn receive(&mut self, socket: &OwnedFd, keep: bool, received: &mut Received) {
        loop {
            let mut slices: Vec<_> = self.buffers.iter_mut().map(|b| [std::io::IoSliceMut::new(b)]).collect();
            let batch = recvmmsg(
                socket.as_raw_fd(),
                &mut self.headers,
                slices.iter_mut(),
                MsgFlags::MSG_DONTWAIT,
                None,
            );
            let Ok(batch) = batch else { return };
            let mut count = 0;
            for message in batch {
                count += 1;
                let port = message.address.map_or(0, |address| address.port());
                let stamp = message.cmsgs().ok().and_then(|mut list| {
                    list.find_map(
                        |c| if let ControlMessageOwned::ScmTimestampns(t) = c { Some(t) } else { None },
                    )
                });
                if let (true, Some(stamp)) = (keep, stamp) {
                    let at = Duration::new(stamp.tv_sec() as u64, stamp.tv_nsec() as u32);
                    received.arrivals.entry(port).or_default().push(at);
                }
            }
            if count < BATCH {
                return;
            }
        }
    }
}
