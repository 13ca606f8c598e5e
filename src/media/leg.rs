//! One call's frame path, both ways, without a socket or a clock: packets and times are arguments.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::ear::Ear;
use super::line::Unexpected;
use super::playout::Playout;
use super::port::{Backend, Event};
use crate::audio::ahead;
use crate::audio::codec::{Encoder, Format, MAX_DECODED, MAX_PAYLOAD, MAX_READ_PAYLOAD};
use crate::audio::frame::MAX_FRAME;
use crate::audio::vad::Thresholds;
use crate::rtp::jitter::{Jitter, Next, PacketOutcome};
use crate::rtp::packet::{HEADER, Packet, write_header};
use crate::rtp::quality::Quality;

/// The configuration of a leg.
#[derive(Debug, Clone, Copy)]
pub struct LegConfig {
    pub format: Format,
    pub thresholds: Thresholds,
    /// Ticks of 20 ms that a missing packet is waited for.
    pub patience: u32,
    /// Where the stream begins; random, so that it cannot be guessed (RFC 3550, section 5.1).
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
}

impl LegConfig {
    /// The defaults for `format`, with a stream that begins at zero.
    pub fn new(format: Format) -> LegConfig {
        LegConfig {
            format,
            thresholds: Thresholds::default(),
            patience: 2,
            ssrc: 1,
            sequence: 0,
            timestamp: 0,
        }
    }
}

/// Ticks without a packet after which the caller is taken to send nothing at all: the time of the
/// longest packet that is in use.
const QUIET: u32 = 3;

/// Ticks between two updates of the counts that the call can read.
const PUBLISH: u32 = 50;

/// A client of a media thread: a call's leg, or in a benchmark something that does nothing.
pub trait Path: Send {
    /// It will be served next: what is needed of it may be fetched into the cache. A thousand calls do not fit
    /// there, and what is fetched while the kernel works for another call is not waited for.
    fn approach(&self) {}

    /// It is about to be served. Its own memory is there by now, and says what else will be needed.
    fn arrive(&self) {}

    /// Takes a packet from Asterisk.
    fn receive(&mut self, bytes: &[u8], now: Instant, scratch: &mut Scratch);

    /// 20 ms have passed, or `ticks` times that after a stall. Gives the packet to send.
    fn tick<'a>(&'a mut self, now: Instant, ticks: u32, scratch: &'a mut Scratch) -> &'a [u8];

    /// Packets from another address than Asterisk's were dropped.
    fn count_unexpected(&mut self, unexpected: Unexpected);

    /// The call has let go of its end.
    fn is_closed(&self) -> bool;
}

/// Working memory that the legs of a thread share, so that it stays in the cache.
pub struct Scratch {
    pub(super) decoded: [i16; MAX_DECODED],
    frame: [i16; MAX_FRAME],
    packet: [u8; HEADER + MAX_PAYLOAD],
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch { decoded: [0; MAX_DECODED], frame: [0; MAX_FRAME], packet: [0; HEADER + MAX_PAYLOAD] }
    }
}

pub struct Leg {
    format: Format,
    jitter: Jitter<MAX_READ_PAYLOAD>,
    quality: Quality,
    ear: Ear,
    playout: Playout,
    encoder: Encoder,
    back: Backend,
    began: Option<Instant>,
    /// Frames heard since the last tick.
    fresh: u32,
    /// Ticks in a row without one.
    quiet: u32,
    out: Out,
    since_publish: u32,
}

/// The stream that is sent.
struct Out {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// Was the last frame speech? The first of a talkspurt carries the marker (RFC 3551, section 4.1).
    talking: bool,
    packets: u64,
}

impl Leg {
    pub fn new(config: LegConfig, back: Backend) -> Leg {
        let LegConfig { format, thresholds, patience, ssrc, sequence, timestamp } = config;
        Leg {
            format,
            jitter: Jitter::new(patience, format.clock()),
            quality: Quality::default(),
            ear: Ear::new(format, thresholds),
            playout: Playout::new(format.rate()),
            encoder: Encoder::new(format),
            back,
            began: None,
            fresh: 0,
            quiet: 0,
            out: Out { ssrc, sequence, timestamp, talking: false, packets: 0 },
            since_publish: 0,
        }
    }
}

impl Path for Leg {
    fn approach(&self) {
        ahead::fetch(self);
    }

    fn arrive(&self) {
        self.ear.expect();
        self.playout.arrive();
        self.back.arrive();
    }

    fn receive(&mut self, bytes: &[u8], now: Instant, scratch: &mut Scratch) {
        let packet = match Packet::parse(bytes) {
            Ok(packet) if packet.payload_type == self.format.payload_type() => packet,
            _ => {
                self.quality.malformed += 1;
                return;
            }
        };
        let is_first = self.began.is_none();
        let began = *self.began.get_or_insert(now);
        let arrival = now.saturating_duration_since(began).as_secs_f64() * f64::from(self.format.clock());
        match self.jitter.insert(&packet) {
            PacketOutcome::Due => self.hear(packet.payload, now, scratch),
            PacketOutcome::Kept => {}
            PacketOutcome::Duplicate => {
                self.quality.duplicate += 1;
                return;
            }
            PacketOutcome::Late => {
                self.quality.late += 1;
                return;
            }
            PacketOutcome::Restarted { lost } => {
                self.quality.lost += u64::from(lost);
                self.quality.restarted();
                self.hear(packet.payload, now, scratch);
            }
        }
        self.quality.arrived(packet.timestamp, arrival as i64);
        self.drain(now, scratch);
        if is_first {
            // The call can see at once that media flows.
            self.publish();
        }
    }

    fn tick<'a>(&'a mut self, now: Instant, ticks: u32, scratch: &'a mut Scratch) -> &'a [u8] {
        self.jitter.tick();
        self.drain(now, scratch);
        self.keep_time(now);
        self.since_publish += 1;
        if self.since_publish >= PUBLISH {
            self.since_publish = 0;
            self.publish();
        }
        self.speak(ticks, scratch)
    }

    fn count_unexpected(&mut self, unexpected: Unexpected) {
        let before = self.back.shared.strangers.fetch_add(unexpected.packets, Relaxed);
        if before == 0 {
            self.back.tell(Event::UnexpectedPackets { from: unexpected.from });
        }
    }

    fn is_closed(&self) -> bool {
        let closed = self.back.shared.closed.load(Relaxed);
        if closed {
            self.publish();
        }
        closed
    }
}

impl Leg {
    /// Makes the counts readable for the call.
    fn publish(&self) {
        self.back.shared.publish(&self.quality, self.format.clock());
    }

    fn drain(&mut self, now: Instant, scratch: &mut Scratch) {
        let Leg { jitter, ear, quality, back, fresh, .. } = self;
        loop {
            match jitter.pop() {
                Next::Payload(payload) => match ear.hear(payload, now, back, scratch) {
                    Ok(frames) => *fresh += frames,
                    Err(_) => quality.malformed += 1,
                },
                Next::Lost => {
                    quality.lost += 1;
                    *fresh += 1;
                    ear.conceal(now, back);
                }
                Next::Wait => return,
            }
        }
    }

    fn hear(&mut self, payload: &[u8], now: Instant, scratch: &mut Scratch) {
        match self.ear.hear(payload, now, &mut self.back, scratch) {
            Ok(frames) => self.fresh += frames,
            Err(_) => self.quality.malformed += 1,
        }
    }

    /// A device that sends nothing is silent, and its silence counts like any other.
    fn keep_time(&mut self, now: Instant) {
        if std::mem::take(&mut self.fresh) > 0 || self.jitter.has_gap() || self.began.is_none() {
            self.quiet = 0;
            return;
        }
        self.quiet += 1;
        let missing = match self.quiet {
            QUIET => QUIET,
            quiet if quiet > QUIET => 1,
            _ => return,
        };
        self.quality.restarted();
        for _ in 0..missing {
            self.ear.hear_nothing(now, &mut self.back);
        }
    }

    /// The next packet. After a stall the timestamp says how long it was; nothing is sent twice as fast.
    fn speak<'a>(&mut self, ticks: u32, scratch: &'a mut Scratch) -> &'a [u8] {
        let frame = &mut scratch.frame[..self.format.frame_len()];
        let talking = self.playout.fill(frame, &mut self.back);
        let Some((header, payload)) = scratch.packet.split_first_chunk_mut::<HEADER>() else { return &[] };
        let Some(payload) = payload.first_chunk_mut::<MAX_PAYLOAD>() else { return &[] };
        let len = self.encoder.encode(frame, payload);
        let step = self.format.clock() / 50;
        self.out.timestamp = self.out.timestamp.wrapping_add(step * ticks);
        self.out.sequence = self.out.sequence.wrapping_add(1);
        let packet = Packet {
            marker: talking && !self.out.talking,
            payload_type: self.format.payload_type(),
            sequence: self.out.sequence,
            timestamp: self.out.timestamp,
            ssrc: self.out.ssrc,
            payload: &[],
        };
        write_header(header, &packet);
        self.out.talking = talking;
        self.out.packets += 1;
        self.back.shared.sent.store(self.out.packets, Relaxed);
        &scratch.packet[..HEADER + len]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::ear::FRAME;
    use crate::media::hearing::Hearing;
    use crate::media::port::{Port, SpeechTag, link};

    /// A leg, its call and a clock that stands still until it is told to go on.
    struct Bench {
        leg: Leg,
        port: Port,
        now: Instant,
        sequence: u16,
        timestamp: u32,
        scratch: Box<Scratch>,
    }

    impl Bench {
        fn new(format: Format) -> Bench {
            let (port, back) = link(format);
            let leg = Leg::new(LegConfig::new(format), back);
            Bench { leg, port, now: Instant::now(), sequence: 7, timestamp: 9, scratch: Box::default() }
        }

        /// One packet from Asterisk; `None` is lost on the way.
        fn packet(&mut self, payload: Option<&[u8]>) {
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(self.leg.format.clock() / 50);
            let Some(payload) = payload else { return };
            let mut header = [0; HEADER];
            let packet = Packet {
                marker: false,
                payload_type: self.leg.format.payload_type(),
                sequence: self.sequence,
                timestamp: self.timestamp,
                ssrc: 5,
                payload,
            };
            write_header(&mut header, &packet);
            self.leg.receive(&[&header[..], payload].concat(), self.now, &mut self.scratch);
        }

        fn tick(&mut self) -> Vec<u8> {
            self.now += FRAME;
            self.leg.tick(self.now, 1, &mut self.scratch).to_vec()
        }

        fn heard(&mut self) -> u64 {
            let mut hearing = Hearing::new(self.leg.format.rate());
            self.port.fetch(&mut hearing);
            hearing.end()
        }
    }

    #[test]
    fn every_frame_is_heard_and_losses_are_filled() {
        let mut bench = Bench::new(Format::Ulaw);
        for n in 0..100 {
            bench.packet((n % 10 != 5).then_some(&[0x55; 160]));
            bench.tick();
        }
        assert_eq!(bench.heard(), 100 * 160);
        bench.leg.publish();
        let report = bench.port.report();
        assert_eq!((report.received, report.lost, report.malformed), (90, 10, 0));
    }

    #[test]
    fn keypresses_are_no_loss() {
        let mut bench = Bench::new(Format::Ulaw);
        for _ in 0..10 {
            for _ in 0..10 {
                bench.packet(Some(&[0x55; 160]));
                bench.tick();
            }
            // A key is held for 200 ms: ten packets of the event, and two repetitions of the last one.
            (0..10).for_each(|_| {
                bench.packet(None);
                bench.tick();
            });
            bench.sequence += 2;
        }
        bench.packet(Some(&[0x55; 160]));
        bench.leg.publish();
        let report = bench.port.report();
        assert_eq!((report.received, report.lost, report.malformed), (101, 0, 0));
        assert!(report.mos > Some(4.3), "{report:?}");
    }

    #[test]
    fn a_call_without_packets_has_no_score() {
        let mut bench = Bench::new(Format::Ulaw);
        (0..100).for_each(|_| drop(bench.tick()));
        assert_eq!((bench.port.report().received, bench.port.report().mos), (0, None));
        bench.packet(Some(&[0x55; 160]));
        let report = bench.port.report();
        assert_eq!(report.received, 1, "the first packet is known at once");
        assert!(report.mos.is_some());
    }

    #[test]
    fn the_address_of_unexpected_packets_is_reported_once() {
        let mut bench = Bench::new(Format::Ulaw);
        let from = "192.0.2.7:4000".parse().unwrap();
        bench.leg.count_unexpected(Unexpected { packets: 3, from });
        bench.leg.count_unexpected(Unexpected { packets: 4, from: "192.0.2.8:4000".parse().unwrap() });
        assert_eq!(bench.port.next_event(), Some(Event::UnexpectedPackets { from }));
        assert_eq!((bench.port.next_event(), bench.port.report().strangers), (None, 7));
    }

    #[test]
    fn a_silent_line_keeps_time() {
        let mut bench = Bench::new(Format::Ulaw);
        bench.packet(Some(&[0x55; 160]));
        (0..11).for_each(|_| drop(bench.tick()));
        assert_eq!(bench.heard(), 11 * 160, "one frame came, ten were silent");
    }

    #[test]
    fn nothing_is_heard_before_the_first_packet() {
        let mut bench = Bench::new(Format::Slin16);
        (0..10).for_each(|_| drop(bench.tick()));
        assert_eq!(bench.heard(), 0);
    }

    #[test]
    fn garbage_is_counted_and_dropped() {
        let mut bench = Bench::new(Format::Opus);
        let now = bench.now;
        for bytes in [&b""[..], b"short", &[0xFF; 50], &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]] {
            bench.leg.receive(bytes, now, &mut bench.scratch);
        }
        bench.packet(Some(&[0xFF; 3]));
        bench.leg.publish();
        assert_eq!(bench.port.report().malformed, 5);
        assert_eq!(bench.heard(), 0);
    }

    #[test]
    fn packets_go_out_evenly_and_a_stall_shows_in_the_timestamp() {
        let mut bench = Bench::new(Format::Opus);
        let first = bench.tick();
        bench.now += 5 * FRAME;
        let second = bench.leg.tick(bench.now, 5, &mut bench.scratch).to_vec();
        let (first, second) = (Packet::parse(&first).unwrap(), Packet::parse(&second).unwrap());
        assert_eq!(second.sequence, first.sequence.wrapping_add(1));
        assert_eq!(second.timestamp - first.timestamp, 5 * 960);
    }

    #[test]
    fn a_talkspurt_begins_with_a_marker() {
        let mut bench = Bench::new(Format::Alaw);
        let marker = |bytes: Vec<u8>| Packet::parse(&bytes).unwrap().marker;
        assert!(!marker(bench.tick()));
        assert!(bench.port.play(SpeechTag(1), vec![900; 320].into(), true));
        assert!(marker(bench.tick()));
        assert!(!marker(bench.tick()));
        assert!(!marker(bench.tick()));
        assert_eq!(bench.port.next_event(), Some(Event::PlaybackStarted { speech: SpeechTag(1) }));
        let ended = Event::PlaybackEnded { speech: SpeechTag(1), position: Duration::from_millis(40) };
        assert_eq!(bench.port.next_event(), Some(ended));
    }

    #[test]
    fn a_leg_whose_call_is_gone_is_closed() {
        let Bench { leg, port, .. } = Bench::new(Format::Ulaw);
        assert!(!leg.is_closed());
        drop(port);
        assert!(leg.is_closed());
    }
}
