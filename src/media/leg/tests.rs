//! Packets in, frames and events out; what is played, and the packets that it becomes.

mod timing;

use std::time::Duration;

use super::*;
use crate::audio::AudioBuffer;
use crate::media::caller_stream::FRAME;
use crate::media::port::{Port, SpeechTag, link};
use crate::rtp::packet::{HEADER, Packet, write_header};

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
