//! Taps of a leg: alignment, lag, attaching and detaching.

use std::time::Instant;

use super::*;
use crate::media::caller_stream::FRAME;
use crate::media::leg::{Leg, LegConfig};
use crate::media::path::{FramePath, Scratch};
use crate::media::port::{Port, SpeechTag, link};
use crate::rtp::packet::{HEADER, Packet, write_header};

const LEN: u64 = 160;

/// A leg in mu-law that receives one packet a tick.
struct TappedLeg {
    leg: Leg,
    port: Port,
    now: Instant,
    sequence: u16,
    scratch: Box<Scratch>,
}

impl TappedLeg {
    fn new() -> TappedLeg {
        let (port, back) = link(Format::Ulaw);
        let leg = Leg::new(LegConfig::new(Format::Ulaw), back);
        TappedLeg { leg, port, now: Instant::now(), sequence: 0, scratch: Box::default() }
    }

    /// A packet of the caller. The octet 0x00 is the loudest, 0xFF is silence.
    fn receive(&mut self, octet: u8) {
        self.sequence += 1;
        let mut header = [0; HEADER];
        let packet = Packet {
            marker: false,
            payload_type: 0,
            sequence: self.sequence,
            timestamp: u32::from(self.sequence) * 160,
            ssrc: 5,
            payload: &[],
        };
        write_header(&mut header, &packet);
        self.leg.receive(&[&header[..], &[octet; 160]].concat(), self.now, &mut self.scratch);
    }

    fn tick(&mut self, ticks: u32) {
        self.now += FRAME * ticks;
        self.leg.tick(self.now, ticks, &mut self.scratch);
    }

    fn both(&mut self, octet: u8) {
        self.receive(octet);
        self.tick(1);
    }
}

/// The frames so far: speaker, position in frames, and whether there is sound.
fn drain(tap: &mut Tap) -> Vec<(Speaker, u64, bool)> {
    let frames = std::iter::from_fn(|| tap.next_frame());
    let frames = frames.map(|frame| {
        assert_eq!(frame.position % LEN, 0);
        (frame.speaker, frame.position / LEN, frame.samples().iter().any(|sample| sample.unsigned_abs() > 8))
    });
    frames.collect()
}

fn of(frames: &[(Speaker, u64, bool)], speaker: Speaker) -> Vec<(u64, bool)> {
    frames.iter().filter(|frame| frame.0 == speaker).map(|frame| (frame.1, frame.2)).collect()
}

#[test]
fn both_directions_of_a_tick_have_one_position() {
    let mut leg = TappedLeg::new();
    (0..7).for_each(|_| leg.both(0xFF));
    let mut tap = leg.port.tap_point().attach().expect("no other tap");
    // The change is taken over at the end of a tick; the first frames are those of the next one.
    leg.both(0xFF);
    assert!(leg.port.play(SpeechTag(1), vec![900; 320].into(), true));
    leg.both(0xFF);
    leg.both(0x00);
    leg.both(0xFF);
    let frames = drain(&mut tap);
    let (caller, agent) = (of(&frames, Speaker::Caller), of(&frames, Speaker::Agent));
    let from = agent[0].0;
    assert_eq!(
        agent[agent.len() - 3..],
        [
            (from + agent.len() as u64 - 3, true),
            (from + agent.len() as u64 - 2, true),
            (from + agent.len() as u64 - 1, false)
        ]
    );
    // The caller's sound was received in the tick of the agent's second frame.
    let sound = caller.iter().find(|frame| frame.1).expect("the caller's sound");
    assert_eq!(sound.0, agent[agent.len() - 2].0);
    assert_eq!(tap.dropped(), 0);
}

#[test]
fn a_stall_moves_both_directions_alike() {
    let mut leg = TappedLeg::new();
    leg.both(0xFF);
    let mut tap = leg.port.tap_point().attach().expect("no other tap");
    (0..3).for_each(|_| leg.both(0xFF));
    drain(&mut tap);
    // Six ticks without service: the packets are read together afterwards.
    (0..6).for_each(|_| leg.receive(0xFF));
    leg.tick(6);
    leg.both(0xFF);
    let frames = drain(&mut tap);
    let (caller, agent) = (of(&frames, Speaker::Caller), of(&frames, Speaker::Agent));
    assert_eq!((caller.len(), agent.len()), (7, 2));
    assert_eq!(caller.last(), agent.last());
    assert_eq!(agent[1].0 - agent[0].0, 1);
    assert_eq!(tap.dropped(), 0);
}

#[test]
fn a_burst_beyond_the_clock_is_dropped_and_counted() {
    let mut leg = TappedLeg::new();
    leg.both(0xFF);
    let mut tap = leg.port.tap_point().attach().expect("no other tap");
    leg.both(0xFF);
    drain(&mut tap);
    (0..30).for_each(|_| leg.receive(0xFF));
    let ahead = of(&drain(&mut tap), Speaker::Caller).len() as u64;
    assert_eq!(tap.dropped(), 30 - ahead);
    assert!(ahead <= MAX_SKEW + 1, "{ahead}");
}

#[test]
fn silence_after_the_callers_last_packet_ends_in_a_gap_at_most() {
    let mut leg = TappedLeg::new();
    leg.both(0xFF);
    let mut tap = leg.port.tap_point().attach().expect("no other tap");
    leg.both(0xFF);
    (0..20).for_each(|_| leg.tick(1));
    leg.both(0x00);
    let frames = drain(&mut tap);
    let (caller, agent) = (of(&frames, Speaker::Caller), of(&frames, Speaker::Agent));
    let (caller, agent) = (caller.last().expect("frames").0, agent.last().expect("frames").0);
    assert!(caller.abs_diff(agent) <= MAX_SKEW, "{caller} and {agent}");
}

#[test]
fn a_consumer_that_lags_loses_frames_and_learns_how_many() {
    let mut leg = TappedLeg::new();
    let mut tap = leg.port.tap_point().attach().expect("no other tap");
    leg.tick(1);
    drain(&mut tap);
    (0..150).for_each(|_| leg.both(0xFF));
    assert_eq!(tap.dropped(), 300 - FRAMES as u64);
    assert_eq!(drain(&mut tap).len(), FRAMES);
    leg.both(0xFF);
    let agent = of(&drain(&mut tap), Speaker::Agent);
    // The position shows the gap.
    assert!(agent[0].0 >= 150, "{agent:?}");
}

#[test]
fn a_call_has_one_tap_at_a_time() {
    let mut leg = TappedLeg::new();
    let point = leg.port.tap_point();
    let first = point.attach().expect("no other tap");
    assert!(point.attach().is_none());
    leg.both(0xFF);
    drop(first);
    // Also before the media thread has taken the change over.
    let second = point.attach().expect("the first is detached");
    drop(second);
    let mut third = point.attach().expect("the second is detached");
    leg.both(0xFF);
    leg.both(0xFF);
    assert!(!drain(&mut third).is_empty());
    drop(third);
    leg.both(0xFF);
    let mut fourth = point.attach().expect("the third is detached");
    leg.both(0xFF);
    leg.both(0xFF);
    assert!(!drain(&mut fourth).is_empty());
}

#[test]
fn a_held_lock_delays_a_tap_and_not_the_media_thread() {
    let mut leg = TappedLeg::new();
    let point = leg.port.tap_point();
    let mut tap = point.attach().expect("no other tap");
    let lock = point.shared.tap.lock();
    leg.both(0xFF);
    leg.both(0xFF);
    assert!(tap.next_frame().is_none());
    drop(lock);
    leg.both(0xFF);
    leg.both(0xFF);
    assert!(tap.next_frame().is_some());
}

#[test]
fn the_end_of_a_call_closes_its_tap() {
    let leg = TappedLeg::new();
    let point = leg.port.tap_point();
    let tap = point.attach().expect("no other tap");
    assert!(!tap.is_closed());
    drop(leg);
    assert!(tap.is_closed());
    drop(tap);
    assert!(point.attach().is_none());
}
