//! One call's frame path in both directions, without a socket or a clock: packets and times are arguments.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::path::{FramePath, Scratch};
use super::playout::Playout;
use super::port::{Backend, MediaEvent};
use super::receiver::{AudioDelivery, Receiver};
use super::sender::Sender;
use super::socket::UnexpectedPackets;
use crate::audio::codec::{Format, MAX_READ_PAYLOAD};
use crate::audio::prefetch::prefetch;
use crate::audio::vad::Thresholds;
use crate::rtp::jitter::{Jitter, Next, PacketOutcome};
use crate::rtp::packet::Packet;
use crate::rtp::quality::Quality;

/// The configuration of a leg.
#[derive(Debug, Clone, Copy)]
pub struct LegConfig {
    pub format: Format,
    pub delivery: AudioDelivery,
    pub thresholds: Thresholds,
    /// How long a missing packet is waited for, in ticks of 20 ms.
    pub reorder_ticks: u32,
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
            delivery: AudioDelivery::Buffered,
            thresholds: Thresholds::default(),
            reorder_ticks: 2,
            ssrc: 1,
            sequence: 0,
            timestamp: 0,
        }
    }
}

/// Ticks without a packet after which the caller is taken to send nothing: the length of the longest packet in use.
const QUIET: u32 = 3;

/// Ticks between two updates of the counts that the call can read.
const PUBLISH: u32 = 50;

pub struct Leg {
    format: Format,
    jitter: Jitter<MAX_READ_PAYLOAD>,
    quality: Quality,
    receiver: Receiver,
    playout: Playout,
    sender: Sender,
    back: Backend,
    began: Option<Instant>,
    /// Frames received since the last tick.
    fresh: u32,
    /// Ticks in a row without a frame.
    quiet: u32,
    since_publish: u32,
}

impl Leg {
    pub fn new(config: LegConfig, back: Backend) -> Leg {
        let format = config.format;
        Leg {
            format,
            jitter: Jitter::new(config.reorder_ticks, format.clock()),
            quality: Quality::default(),
            receiver: Receiver::new(format, config.thresholds, config.delivery),
            playout: Playout::new(format.rate()),
            sender: Sender::new(&config),
            back,
            began: None,
            fresh: 0,
            quiet: 0,
            since_publish: 0,
        }
    }
}

impl FramePath for Leg {
    fn prefetch_self(&self) {
        prefetch(self);
    }

    fn prefetch_buffers(&self) {
        self.receiver.prefetch();
        self.playout.prefetch();
        self.back.prefetch();
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
            PacketOutcome::Due => self.decode(packet.payload, now, scratch),
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
                self.decode(packet.payload, now, scratch);
            }
        }
        self.quality.arrived(packet.timestamp, arrival as i64);
        self.drain(now, scratch);
        if is_first {
            // The call sees at once that media flows.
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
        self.send(ticks, scratch)
    }

    fn count_unexpected(&mut self, unexpected: UnexpectedPackets) {
        let before = self.back.shared.unexpected.fetch_add(unexpected.packets, Relaxed);
        if before == 0 {
            self.back.send(MediaEvent::UnexpectedPackets { from: unexpected.from });
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
        let Leg { jitter, receiver, quality, back, fresh, .. } = self;
        loop {
            match jitter.pop() {
                Next::Payload(payload) => match receiver.decode(payload, now, back, scratch) {
                    Ok(frames) => *fresh += frames,
                    Err(_) => quality.malformed += 1,
                },
                Next::Lost => {
                    quality.lost += 1;
                    *fresh += 1;
                    receiver.conceal(now, back);
                }
                Next::Wait => return,
            }
        }
    }

    fn decode(&mut self, payload: &[u8], now: Instant, scratch: &mut Scratch) {
        match self.receiver.decode(payload, now, &mut self.back, scratch) {
            Ok(frames) => self.fresh += frames,
            Err(_) => self.quality.malformed += 1,
        }
    }

    /// Fills the time in which the caller's device sends nothing with silence.
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
            self.receiver.push_missing(now, &mut self.back);
        }
    }

    /// The next packet.
    fn send<'a>(&mut self, ticks: u32, scratch: &'a mut Scratch) -> &'a [u8] {
        let frame = &mut scratch.frame[..self.format.frame_len()];
        let is_talking = self.playout.fill(frame, &mut self.back);
        self.back.tap_agent(frame, ticks);
        let len = self.sender.write(frame, is_talking, ticks, &mut scratch.packet);
        self.back.shared.sent.store(self.sender.packets(), Relaxed);
        &scratch.packet[..len]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audio::AudioBuffer;
    use crate::media::port::{Port, SpeechTag, link};
    use crate::media::receiver::FRAME;
    use crate::rtp::packet::{HEADER, write_header};

    /// A leg, its call's end and a clock that the test advances.
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

        fn received_samples(&mut self) -> u64 {
            let mut buffer = AudioBuffer::new(self.leg.format.rate());
            self.port.fetch(&mut buffer);
            buffer.end()
        }
    }

    #[test]
    fn every_frame_is_received_and_losses_are_concealed() {
        let mut bench = Bench::new(Format::Ulaw);
        for n in 0..100 {
            bench.packet((n % 10 != 5).then_some(&[0x55; 160]));
            bench.tick();
        }
        assert_eq!(bench.received_samples(), 100 * 160);
        bench.leg.publish();
        let report = bench.port.report();
        assert_eq!((report.received, report.lost, report.malformed), (90, 10, 0));
    }

    #[test]
    fn pressed_keys_are_not_loss() {
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
        bench.leg.count_unexpected(UnexpectedPackets { packets: 3, from });
        bench.leg.count_unexpected(UnexpectedPackets { packets: 4, from: "192.0.2.8:4000".parse().unwrap() });
        assert_eq!(bench.port.next_event(), Some(MediaEvent::UnexpectedPackets { from }));
        assert_eq!((bench.port.next_event(), bench.port.report().unexpected), (None, 7));
    }

    #[test]
    fn silence_of_a_device_that_sends_nothing_counts() {
        let mut bench = Bench::new(Format::Ulaw);
        bench.packet(Some(&[0x55; 160]));
        (0..11).for_each(|_| drop(bench.tick()));
        assert_eq!(bench.received_samples(), 11 * 160, "one frame was received, ten were silent");
    }

    #[test]
    fn no_audio_is_counted_before_the_first_packet() {
        let mut bench = Bench::new(Format::Slin16);
        (0..10).for_each(|_| drop(bench.tick()));
        assert_eq!(bench.received_samples(), 0);
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
        assert_eq!(bench.received_samples(), 0);
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
        assert_eq!(bench.port.next_event(), Some(MediaEvent::PlaybackStarted { speech: SpeechTag(1) }));
        let ended = MediaEvent::PlaybackEnded { speech: SpeechTag(1), position: Duration::from_millis(40) };
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
