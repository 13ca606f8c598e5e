//! What one 20 ms frame costs, through the whole inbound and outbound path of a call.
//!
//! `cargo bench --bench frame`. Inbound: parse, order, decode, frame, two-opinion VAD, hand-over. Outbound:
//! playout, encode, header. Speech is the dear case: only then is the second detector asked.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark measures time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use vca::audio::codec::{Encoder, Format, MAX_PAYLOAD};
use vca::audio::frame::MAX_FRAME;
use vca::audio::resample::Stream;
use vca::audio::vad::{Earshot, TwoOpinions, VoiceDetector, Webrtc};
use vca::media::{AudioBuffer, FramePath, Leg, LegConfig, NoiseSuppression, Port, Scratch, SpeechTag, link};
use vca::rtp::packet::{HEADER, Packet, write_header};

fn main() {
    divan::main();
}

const FORMATS: [Format; 5] = Format::ALL;

/// A voice-like buzz: a pulse train through two resonances, which both detectors call speech.
fn voice(rate: u32, frames: usize) -> Vec<i16> {
    let (mut first, mut second) = (Resonance::new(rate, 600.0), Resonance::new(rate, 1_200.0));
    let period = rate as usize / 120;
    let pulse = |n: usize| if n.is_multiple_of(period) { 9_000.0 } else { 0.0 };
    (0..frames * rate as usize / 50).map(|n| second.filter(first.filter(pulse(n))) as i16).collect()
}

struct Resonance {
    a: [f32; 2],
    y: [f32; 2],
}

impl Resonance {
    fn new(rate: u32, hz: f32) -> Resonance {
        let (r, angle) = (0.96, std::f32::consts::TAU * hz / rate as f32);
        Resonance { a: [2.0 * r * angle.cos(), -r * r], y: [0.0; 2] }
    }

    fn filter(&mut self, x: f32) -> f32 {
        let y = 0.3 * x + self.a[0] * self.y[0] + self.a[1] * self.y[1];
        self.y = [y, self.y[0]];
        y.clamp(-20_000.0, 20_000.0)
    }
}

struct Call {
    leg: Leg,
    port: Port,
    buffer: AudioBuffer,
    packets: Vec<Vec<u8>>,
    next: usize,
    sequence: u16,
    now: Instant,
    scratch: Box<Scratch>,
}

impl Call {
    fn new(format: Format, samples: &[i16]) -> Call {
        Call::with_suppression(format, samples, NoiseSuppression::Off)
    }

    fn with_suppression(format: Format, samples: &[i16], noise_suppression: NoiseSuppression) -> Call {
        let (port, back) = link(format);
        let mut encoder = Encoder::new(format);
        let mut payload = [0; MAX_PAYLOAD];
        let packets = samples.chunks_exact(format.frame_len()).map(|frame| {
            let len = encoder.encode(frame, &mut payload);
            [&[0; HEADER], &payload[..len]].concat()
        });
        Call {
            packets: packets.collect(),
            leg: Leg::new(LegConfig { noise_suppression, ..LegConfig::new(format) }, back),
            port,
            buffer: AudioBuffer::new(format.rate()),
            next: 0,
            sequence: 0,
            now: Instant::now(),
            scratch: Box::default(),
        }
    }

    fn receive(&mut self, format: Format) {
        self.sequence = self.sequence.wrapping_add(1);
        self.now += Duration::from_millis(20);
        let packet = Packet {
            marker: false,
            payload_type: format.payload_type(),
            sequence: self.sequence,
            timestamp: u32::from(self.sequence) * format.clock() / 50,
            ssrc: 1,
            payload: &[],
        };
        let count = self.packets.len();
        let bytes = &mut self.packets[self.next];
        self.next = (self.next + 1) % count;
        if let Some(header) = bytes.first_chunk_mut::<HEADER>() {
            write_header(header, &packet);
        }
        self.leg.receive(bytes, self.now, &mut self.scratch);
        if self.next == 0 {
            self.attend();
        }
    }

    fn attend(&mut self) {
        while self.port.next_event().is_some() {}
        self.port.fetch(&mut self.buffer);
        self.buffer.forget(self.buffer.end());
    }
}

#[divan::bench(args = FORMATS.map(Format::name))]
fn inbound_speech(bencher: Bencher, format: &str) {
    let format = Format::from_name(format).expect("one of ours");
    let mut call = Call::new(format, &voice(format.rate(), 50));
    bencher.bench_local(|| call.receive(format));
}

#[divan::bench(args = FORMATS.map(Format::name))]
fn inbound_speech_without_noise(bencher: Bencher, format: &str) {
    let format = Format::from_name(format).expect("one of ours");
    let speech = voice(format.rate(), 50);
    let mut call = Call::with_suppression(format, &speech, NoiseSuppression::Recognition);
    bencher.bench_local(|| call.receive(format));
}

#[divan::bench(args = FORMATS.map(Format::name))]
fn inbound_silence(bencher: Bencher, format: &str) {
    let format = Format::from_name(format).expect("one of ours");
    let mut call = Call::new(format, &vec![0; format.frame_len() * 50]);
    bencher.bench_local(|| call.receive(format));
}

#[divan::bench(args = FORMATS.map(Format::name))]
fn outbound_speech(bencher: Bencher, format: &str) {
    let format = Format::from_name(format).expect("one of ours");
    let mut call = Call::new(format, &vec![0; format.frame_len()]);
    let clip: Arc<[i16]> = voice(format.rate(), 3_000).into();
    bencher.bench_local(|| {
        if call.port.has_room() {
            assert!(call.port.play(SpeechTag(1), clip.clone(), false));
        }
        while call.port.next_event().is_some() {}
        call.now += Duration::from_millis(20);
        black_box(call.leg.tick(call.now, 1, &mut call.scratch).len())
    });
}

/// A second of an engine's speech for a call of 8 kHz, by the engine's rate.
#[divan::bench(args = [8_000, 16_000, 24_000])]
fn speech_for_8k_from(bencher: Bencher, rate: u32) {
    let speech = voice(rate, 50);
    bencher.bench_local(|| {
        let (mut stream, mut fitted) = (Stream::new(rate, 8_000), Vec::new());
        stream.push(black_box(&speech), &mut fitted);
        stream.finish(&mut fitted);
        fitted.len()
    });
}

#[divan::bench]
fn webrtc_vad_8k(bencher: Bencher) {
    detector(bencher, Webrtc::new(8_000), 8_000);
}

#[divan::bench]
fn earshot_8k(bencher: Bencher) {
    detector(bencher, Earshot::new(8_000), 8_000);
}

#[divan::bench]
fn both_opinions_8k(bencher: Bencher) {
    detector(bencher, TwoOpinions::new(8_000), 8_000);
}

fn detector(bencher: Bencher, mut detector: impl VoiceDetector, rate: u32) {
    let samples = voice(rate, 50);
    let len = (rate as usize / 50).min(MAX_FRAME);
    let mut frames = samples.chunks_exact(len).cycle();
    bencher.bench_local(|| frames.next().map(|frame| detector.is_voice(black_box(frame))));
}
