//! The caller's telephone: a socket, and a thread that sends 20 ms every 20 ms and records the received audio.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::codec::{Codec, PhoneDecoder, PhoneEncoder};
use super::conversation::RecordedCall;
use super::keypress::{self, Keypress};
use super::line::{LineConditions, Packets};
use super::script::{CallerAction, CallerScript, Step};
use super::track::{Placement, Track};
use super::voice;
use crate::audio::Clip;
use crate::audio::resample::convert;

const FRAME: Duration = Duration::from_millis(20);
const HEADER: usize = 12;
const MAX_PACKET: usize = 2_048;

/// A telephone before its call: its address is known, because the SDP needs it.
#[derive(Debug)]
pub struct SimulatedCaller {
    socket: UdpSocket,
    address: SocketAddr,
    codec: Codec,
    /// Sends nothing in silence, as devices with silence suppression do.
    pub suppress_silence: bool,
    pub conditions: LineConditions,
}

/// A telephone in a call. Dropping it ends the call's media.
#[derive(Debug)]
pub struct RunningCaller {
    shared: Arc<CallerShared>,
    started: Instant,
    thread: Option<JoinHandle<RecordedCall>>,
}

#[derive(Debug, Default)]
struct CallerShared {
    peer: Mutex<Option<SocketAddr>>,
    stop: AtomicBool,
    hung_up: AtomicBool,
    utterances: AtomicUsize,
}

impl SimulatedCaller {
    /// Binds a free port of `address`.
    pub fn bind(address: Ipv4Addr, codec: Codec) -> std::io::Result<SimulatedCaller> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let conditions = LineConditions::default();
        Ok(SimulatedCaller { socket, address, codec, suppress_silence: false, conditions })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Starts the script. Audio is sent as soon as the peer's address is known, from [`RunningCaller::connect`] or from
    /// the first received packet.
    pub fn start(self, script: Vec<Step>) -> RunningCaller {
        let shared = Arc::new(CallerShared::default());
        let started = Instant::now();
        let line = TelephoneThread::new(self, script, Arc::clone(&shared), started);
        let thread = Some(std::thread::spawn(move || line.run()));
        RunningCaller { shared, started, thread }
    }
}

impl RunningCaller {
    /// The moment that the times of the [`RecordedCall`] are relative to.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The peer's address, from its SDP.
    pub fn connect(&self, peer: SocketAddr) {
        *self.shared.peer.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer);
    }

    /// Whether the script's `HangUp` was reached: then the SIP side has to hang up.
    pub fn has_hung_up(&self) -> bool {
        self.shared.hung_up.load(Ordering::Acquire)
    }

    /// How many of the script's `Say` have begun.
    pub fn utterances(&self) -> usize {
        self.shared.utterances.load(Ordering::Acquire)
    }

    /// Ends the media and returns the recorded conversation.
    pub fn finish(mut self) -> RecordedCall {
        self.shared.stop.store(true, Ordering::Release);
        let thread = self.thread.take().expect("only finish and drop take it");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for RunningCaller {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

/// The state of the telephone's thread.
struct TelephoneThread {
    socket: UdpSocket,
    codec: Codec,
    suppress_silence: bool,
    conditions: LineConditions,
    packets: Packets,
    shared: Arc<CallerShared>,
    started: Instant,
    script: CallerScript,
    clips: Vec<Clip>,
    saying: Option<Saying>,
    pressing: Option<Keypress>,
    encoder: PhoneEncoder,
    decoder: PhoneDecoder,
    placement: Placement,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    last_sequence: Option<u16>,
    /// The timestamp of the last key that the agent sent.
    last_key: Option<u32>,
    conversation: RecordedCall,
}

struct Saying {
    clip: Clip,
    position: usize,
    began: Duration,
}

impl TelephoneThread {
    fn new(
        caller: SimulatedCaller,
        steps: Vec<Step>,
        shared: Arc<CallerShared>,
        started: Instant,
    ) -> TelephoneThread {
        let codec = caller.codec;
        let clips = steps
            .iter()
            .filter_map(
                |step| if let Step::Say(clip) = step { Some(convert(clip, codec.rate())) } else { None },
            )
            .collect();
        TelephoneThread {
            socket: caller.socket,
            codec,
            suppress_silence: caller.suppress_silence,
            conditions: caller.conditions,
            packets: Packets::default(),
            shared,
            started,
            script: CallerScript::new(steps),
            clips,
            saying: None,
            pressing: None,
            encoder: codec.encoder(),
            decoder: codec.decoder(),
            placement: Placement::new(codec.clock()),
            sequence: rand::random(),
            timestamp: rand::random(),
            ssrc: rand::random(),
            last_sequence: None,
            last_key: None,
            conversation: RecordedCall {
                sent: Track::new(codec.rate()),
                received: Track::new(codec.rate()),
                said: Vec::new(),
                first_packet: None,
                pacing_errors: Vec::new(),
                packets: 0,
                lost: 0,
                missed: Vec::new(),
                keys: Vec::new(),
                hung_up: false,
            },
        }
    }

    /// Ticks are counted from the start, so lateness does not add up.
    fn run(mut self) -> RecordedCall {
        for tick in 0_u32.. {
            let due = FRAME * tick;
            self.receive_until(due);
            if self.shared.stop.load(Ordering::Acquire) {
                break;
            }
            self.tick(due);
        }
        self.conversation.missed = std::mem::take(&mut self.script.missed);
        self.conversation
    }

    /// Waits once for each packet, so that a call takes few system calls.
    fn receive_until(&mut self, due: Duration) {
        loop {
            self.send_due_packets();
            let until = self.packets.deadline().map_or(due, |packet| packet.min(due));
            let left = until.saturating_sub(self.started.elapsed()).min(FRAME);
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
            // An interrupted wait is only a shorter one.
            if poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout)) == Ok(1) {
                self.receive();
            } else if self.started.elapsed() >= due {
                return;
            }
        }
    }

    fn send_due_packets(&mut self) {
        let Some(peer) = *self.shared.peer.lock().unwrap_or_else(PoisonError::into_inner) else { return };
        while let Some(packet) = self.packets.due(self.started.elapsed()) {
            self.send(&packet, peer);
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; MAX_PACKET];
        // An error of the network is a lost packet.
        let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { return };
        let arrival = self.started.elapsed();
        let Some(packet) = ReceivedPacket::parse(&buffer[..length]) else { return };
        if packet.payload_type == keypress::PAYLOAD_TYPE {
            self.take_key(&packet);
        } else if packet.payload_type == self.codec.payload_type() {
            self.shared.peer.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(from);
            self.take(&packet, arrival);
        }
    }

    /// A key that the agent sends. Its last packet is repeated with the same timestamp.
    fn take_key(&mut self, packet: &ReceivedPacket<'_>) {
        self.last_sequence = self.last_sequence.map(|_| packet.sequence);
        if let Some(key) = Keypress::ended(packet.payload)
            && self.last_key.replace(packet.timestamp) != Some(packet.timestamp)
        {
            self.conversation.keys.push(key);
        }
    }

    fn take(&mut self, packet: &ReceivedPacket<'_>, arrival: Duration) {
        let samples = self.decoder.decode(packet.payload);
        let (at, error) = self.placement.place(packet.ssrc, packet.timestamp, arrival);
        self.conversation.received.put(at, &samples);
        self.conversation.first_packet.get_or_insert(arrival);
        self.conversation.pacing_errors.extend(error);
        self.conversation.packets += 1;
        if let Some(last) = self.last_sequence {
            let skipped = packet.sequence.wrapping_sub(last).wrapping_sub(1);
            // A lower number is a late packet, not a gap of 60,000.
            self.conversation.lost += u64::from(if skipped < 0x8000 { skipped } else { 0 });
        }
        self.last_sequence = Some(packet.sequence);
        if voice::is_voiced(&samples) {
            self.script.heard(arrival);
        }
    }

    fn tick(&mut self, now: Duration) {
        let peer = *self.shared.peer.lock().unwrap_or_else(PoisonError::into_inner);
        // Speech before the media is connected would be lost, so the script waits.
        if self.saying.is_none() && self.pressing.is_none() && peer.is_some() {
            self.follow_script(now);
        }
        let spoken = self.saying.is_some();
        let frame = self.next_frame(now);
        let timestamp = self.timestamp;
        self.timestamp = self.timestamp.wrapping_add(self.codec.clock() / 50);
        let Some(peer) = peer else { return };
        if let Some(event) = self.next_key_event(timestamp, now) {
            self.conversation.sent.put(now, &frame);
            return self.send(&event, peer);
        }
        if self.suppress_silence && !spoken {
            return;
        }
        self.conversation.sent.put(now, &frame);
        let frame = self.conditions.mix(now, &frame, &self.conversation.received);
        let payload = self.encoder.encode(&frame);
        let Some((timestamp, payload)) =
            self.packets.join(&payload, timestamp, self.conditions.packet_frames)
        else {
            return;
        };
        let packet = self.packet(self.codec.payload_type(), timestamp, &payload);
        if self.conditions.jitter.is_zero() {
            self.send(&packet, peer);
        } else {
            self.packets.delay(now, self.conditions.jitter, packet);
        }
    }

    /// A packet that cannot be sent is a lost one, as on any network.
    fn send(&self, packet: &[u8], peer: SocketAddr) {
        let _ = self.socket.send_to(packet, peer);
    }

    /// The next packet of the key that is pressed, which takes the place of audio.
    fn next_key_event(&mut self, timestamp: u32, now: Duration) -> Option<Vec<u8>> {
        let key = self.pressing.as_mut()?;
        let (started, payload) = key.next(timestamp, self.codec.clock() / 50);
        if key.is_over() {
            self.pressing = None;
            self.script.finished_saying(now + FRAME);
        }
        Some(self.packet(keypress::PAYLOAD_TYPE, started, &payload))
    }

    fn follow_script(&mut self, now: Duration) {
        match self.script.next(now) {
            CallerAction::Silence | CallerAction::Done => {}
            CallerAction::Speak(n) => {
                self.shared.utterances.store(n + 1, Ordering::Release);
                self.saying = Some(Saying { clip: self.clips[n].clone(), position: 0, began: now });
            }
            CallerAction::Press(key) => self.pressing = Keypress::of(key),
            CallerAction::HangUp => {
                self.conversation.hung_up = true;
                self.shared.hung_up.store(true, Ordering::Release);
            }
        }
    }

    fn next_frame(&mut self, now: Duration) -> Vec<i16> {
        let size = self.codec.frame();
        let Some(saying) = &mut self.saying else { return vec![0; size] };
        let end = (saying.position + size).min(saying.clip.samples.len());
        let mut frame = saying.clip.samples[saying.position..end].to_vec();
        frame.resize(size, 0);
        saying.position = end;
        if end == saying.clip.samples.len() {
            self.conversation.said.push((saying.began, now + FRAME));
            self.saying = None;
            self.script.finished_saying(now + FRAME);
        }
        frame
    }

    fn packet(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER + payload.len());
        packet.extend([0x80, payload_type]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

/// The parts of an RTP packet (RFC 3550, section 5.1) that a caller needs.
struct ReceivedPacket<'a> {
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &'a [u8],
}

impl<'a> ReceivedPacket<'a> {
    /// Without extension or padding, which Asterisk does not send; other packets are ignored.
    fn parse(bytes: &'a [u8]) -> Option<ReceivedPacket<'a>> {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        if header[0] & 0xf0 != 0x80 {
            return None;
        }
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        Some(ReceivedPacket {
            payload_type: header[1] & 0x7f,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: word(4),
            ssrc: word(8),
            payload: rest.get(usize::from(header[0] & 0x0f) * 4..)?,
        })
    }
}
