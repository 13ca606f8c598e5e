//! The 20 ms path allocates nothing: shown by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vca::audio::codec::{Decoder, Encoder, Format, MAX_DECODED, MAX_PAYLOAD};
use vca::audio::resample::convert;
use vca::audio::vad::mean_square;
use vca::media::{
    AudioBuffer, FramePath, Leg, LegConfig, NoiseSuppression, Port, Scratch, SpeechTag, Tap, link,
};
use vca::rtp::packet::{HEADER, Packet, write_header};

use super::support::clips;

/// Counts what each thread takes from the heap and gives back to it.
struct Counting;

thread_local! {
    static TOUCHES: Cell<u64> = const { Cell::new(0) };
}

fn touch() {
    // A thread that is ending has no counter any more, and it is not read then.
    let _ = TOUCHES.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        touch();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        touch();
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        touch();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A caller's packets: speech with pauses, every twentieth lost and every thirtieth out of order.
fn packets(format: Format) -> Vec<Vec<u8>> {
    let speech = convert(&clips::flite("I would like to make an appointment, please.", "slt"), format.rate());
    let mut samples = speech.samples.to_vec();
    samples.resize(samples.len() + format.rate() as usize, 0);
    let mut encoder = Encoder::new(format);
    let mut payload = [0; MAX_PAYLOAD];
    let mut packets = Vec::new();
    for (n, frame) in samples.chunks_exact(format.frame_len()).enumerate() {
        let len = encoder.encode(frame, &mut payload);
        let mut header = [0; HEADER];
        let packet = Packet {
            marker: false,
            payload_type: format.payload_type(),
            sequence: n as u16,
            timestamp: n as u32 * format.clock() / 50,
            ssrc: 1,
            payload: &[],
        };
        write_header(&mut header, &packet);
        packets.push([&header[..], &payload[..len]].concat());
    }
    (1..packets.len()).filter(|n| n % 30 == 7).for_each(|n| packets.swap(n, n - 1));
    packets.into_iter().enumerate().filter(|(n, _)| n % 20 != 13).map(|(_, packet)| packet).collect()
}

/// When a second consumer listens, and noise suppression changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listening {
    Never,
    /// From a tick in the middle to another one.
    Meanwhile,
}

/// The mean squares of frames with comfort noise, which has 1,074; and of the least of them that have to be measured.
const NOISE: std::ops::Range<u32> = 50..10_000;
const LEAST_NOISE: usize = 40;

/// The media thread's heap operations while the caller speaks, first with the agent and then over comfort noise.
fn touches(format: Format, listening: Listening, noise_suppression: NoiseSuppression) -> u64 {
    let (mut port, back) = link(format);
    let mut leg = Leg::new(LegConfig { noise_suppression, ..LegConfig::new(format) }, back);
    port.begin_noise();
    let answer: Arc<[i16]> = vec![700; format.rate() as usize].into();
    assert!(port.play(SpeechTag(1), answer, true));
    let (packets, mut now) = (packets(format), Instant::now());
    let mut buffer = AudioBuffer::new(format.rate());
    let (mut counted, mut scratch) = (0, Box::<Scratch>::default());
    let (mut tap, mut tapped) = (None, 0);
    let (mut decoder, mut decoded, mut noisy) = (Decoder::new(format), [0; MAX_DECODED], 0);
    for (n, packet) in packets.iter().enumerate() {
        now += Duration::from_millis(20);
        if listening == Listening::Meanwhile {
            match n {
                20 | 80 => tap = port.tap_point().attach(),
                60 | 120 => tap = None,
                40 => port.suppress_noise(NoiseSuppression::RecognitionAndVoice),
                100 => port.suppress_noise(NoiseSuppression::Off),
                _ => {}
            }
        }
        let before = TOUCHES.get();
        leg.receive(packet, now, &mut scratch);
        let sent = leg.tick(now, 1, &mut scratch);
        // The first frames are not the steady state: codecs and detectors settle.
        if n >= 10 {
            counted += TOUCHES.get() - before;
        }
        let len = decoder.decode(&sent[HEADER..], &mut decoded).expect("a payload");
        noisy += usize::from(n >= 10 && NOISE.contains(&mean_square(&decoded[..len])));
        attend(&mut port, &mut buffer);
        tapped += tap.as_mut().map_or(0, |tap: &mut Tap| std::iter::from_fn(|| tap.next_frame()).count());
    }
    assert!(buffer.end() > 0, "nothing was heard");
    assert!(noisy >= LEAST_NOISE, "{noisy} frames of comfort noise");
    assert_eq!(tapped > 100, listening == Listening::Meanwhile, "{tapped} frames from the tap");
    counted
}

/// The call's side. Its allocations do not count.
fn attend(port: &mut Port, buffer: &mut AudioBuffer) {
    while port.next_event().is_some() {}
    port.fetch(buffer);
}

#[test]
fn a_frame_in_and_out_allocates_nothing() {
    for format in Format::ALL {
        for (listening, suppression) in [
            (Listening::Never, NoiseSuppression::Off),
            (Listening::Never, NoiseSuppression::RecognitionAndVoice),
            (Listening::Meanwhile, NoiseSuppression::Recognition),
        ] {
            let touches = touches(format, listening, suppression);
            assert_eq!(
                touches,
                0,
                "heap operations on the 20 ms path of {}, {listening:?}, {suppression:?}",
                format.name()
            );
        }
    }
}
