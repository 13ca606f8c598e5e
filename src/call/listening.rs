//! A call's audio as a stream of WAV: the caller in the left channel, the agent in the right.
//!
//! It reads a tap of the media thread, so a slow reader costs the call nothing: frames that it misses are silence.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use hound::{SampleFormat, WavSpec};
use tokio::time::sleep;

use crate::media::{MAX_SKEW, Speaker, Tap, TapFrame};

/// The interval between two pieces of the stream.
const INTERVAL: Duration = Duration::from_millis(100);
/// The longest gap that is filled with silence, in seconds. A longer one is left out.
const MAX_GAP: u64 = 5;

/// The audio from now on, until the call ends or the stream is dropped.
pub fn wav_stream(tap: Tap) -> impl Stream<Item = Bytes> + Send + 'static {
    let listener = Listener { interleaver: Interleaver::new(&tap), tap, state: ListenerState::Beginning };
    unfold(listener, |mut listener| async { Some((listener.next().await?, listener)) })
}

struct Listener {
    tap: Tap,
    interleaver: Interleaver,
    state: ListenerState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ListenerState {
    Beginning,
    Listening,
    Ended,
}

impl Listener {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.state {
                ListenerState::Beginning => {
                    self.state = ListenerState::Listening;
                    return Some(wav_header(self.tap.rate()));
                }
                ListenerState::Listening => sleep(INTERVAL).await,
                ListenerState::Ended => return None,
            }
            let is_closed = self.tap.is_closed();
            while let Some(frame) = self.tap.next_frame() {
                self.interleaver.add(&frame);
            }
            if is_closed {
                self.state = ListenerState::Ended;
                self.log_end();
            }
            let piece = self.interleaver.take(is_closed);
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    }

    fn log_end(&self) {
        let dropped = self.tap.dropped();
        if dropped > 0 {
            tracing::info!(dropped, "a listener's stream has gaps: frames dropped");
        }
    }
}

/// The header of 16-bit stereo PCM of unknown length.
fn wav_header(rate: u32) -> Bytes {
    let spec =
        WavSpec { channels: 2, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    spec.into_header_for_infinite_file().into()
}

/// Puts the frames of both parties side by side.
struct Interleaver {
    rate: u32,
    /// The caller's frames may be this many samples behind the agent's.
    held_back: u64,
    /// The position of the first sample in `samples`.
    start: u64,
    /// Caller and agent.
    samples: VecDeque<[i16; 2]>,
    /// The position after the agent's newest frame.
    agent_end: u64,
}

impl Interleaver {
    fn new(tap: &Tap) -> Interleaver {
        Interleaver::at(tap.rate(), tap.frame_len())
    }

    fn at(rate: u32, frame_len: usize) -> Interleaver {
        let held_back = MAX_SKEW * frame_len as u64;
        Interleaver { rate, held_back, start: 0, samples: VecDeque::new(), agent_end: 0 }
    }

    /// Adds a frame at its position. Samples before those that were taken are left out.
    fn add(&mut self, frame: &TapFrame) {
        let side = match frame.speaker {
            Speaker::Caller => 0,
            Speaker::Agent => 1,
        };
        let end = frame.position + frame.samples().len() as u64;
        if frame.position > self.start + self.samples.len() as u64 + MAX_GAP * u64::from(self.rate) {
            self.start = frame.position;
            self.samples.clear();
        }
        if side == 1 {
            self.agent_end = self.agent_end.max(end);
        }
        for (position, sample) in (frame.position..end).zip(frame.samples()) {
            let Some(index) = position.checked_sub(self.start) else { continue };
            let index = index as usize;
            if index >= self.samples.len() {
                self.samples.resize(index + 1, [0; 2]);
            }
            self.samples[index][side] = *sample;
        }
    }

    /// The samples that are complete, or at the end all of them, as 16-bit little endian.
    fn take(&mut self, is_end: bool) -> Bytes {
        let complete = self.agent_end.saturating_sub(self.held_back).saturating_sub(self.start) as usize;
        let count = if is_end { self.samples.len() } else { complete.min(self.samples.len()) };
        self.start += count as u64;
        self.samples.drain(..count).flatten().flat_map(i16::to_le_bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::audio::codec::Format;
    use crate::media::{FramePath, Leg, LegConfig, Scratch, SpeechTag, link};

    fn decoded(bytes: &[u8]) -> Vec<[i16; 2]> {
        let sample = |bytes: &[u8]| i16::from_le_bytes([bytes[0], bytes[1]]);
        bytes.chunks_exact(4).map(|pair| [sample(&pair[..2]), sample(&pair[2..])]).collect()
    }

    fn frame(speaker: Speaker, position: u64, value: i16) -> TapFrame {
        TapFrame::new(speaker, position, &[value; 160])
    }

    #[test]
    fn both_parties_are_aligned_by_position() {
        let mut interleaver = Interleaver::at(8_000, 160);
        for n in 0..12 {
            interleaver.add(&frame(Speaker::Agent, n * 160, 7));
        }
        // The caller's frames are late, and the second is missing.
        interleaver.add(&frame(Speaker::Caller, 0, 3));
        interleaver.add(&frame(Speaker::Caller, 320, 5));
        let taken = decoded(&interleaver.take(false));
        assert_eq!(taken.len(), 2 * 160, "the newest 200 ms are held back");
        assert_eq!((taken[0], taken[159], taken[160]), ([3, 7], [3, 7], [0, 7]));
        let rest = decoded(&interleaver.take(true));
        assert_eq!((rest.len(), rest[0], rest[160]), (10 * 160, [5, 7], [0, 7]));
    }

    #[test]
    fn samples_of_the_past_are_left_out_and_long_gaps_skipped() {
        let mut interleaver = Interleaver::at(8_000, 160);
        (0..20).for_each(|n| interleaver.add(&frame(Speaker::Agent, n * 160, 7)));
        interleaver.take(true);
        interleaver.add(&frame(Speaker::Caller, 0, 3));
        assert!(interleaver.take(true).is_empty());
        interleaver.add(&frame(Speaker::Agent, 8_000 * 3_600, 9));
        assert_eq!(decoded(&interleaver.take(true)), [[0, 9]; 160]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_calls_audio_is_streamed_until_its_end() {
        let (mut port, back) = link(Format::Ulaw);
        let mut leg = Leg::new(LegConfig::new(Format::Ulaw), back);
        let tap = port.tap_point().attach().expect("no other tap");
        let mut stream = Box::pin(wav_stream(tap));
        let header = stream.next().await.expect("a header");
        assert_eq!((header.len(), &header[..4], &header[8..12]), (44, &b"RIFF"[..], &b"WAVE"[..]));
        assert_eq!(u32::from_le_bytes([header[24], header[25], header[26], header[27]]), 8_000);
        let mut scratch = Box::<Scratch>::default();
        assert!(port.play(SpeechTag(1), vec![900; 320].into(), true));
        let now = std::time::Instant::now();
        leg.tick(now, 1, &mut scratch);
        for _ in 0..20 {
            leg.tick(now, 1, &mut scratch);
        }
        drop(port);
        let mut heard = Vec::new();
        while let Some(piece) = stream.next().await {
            heard.extend(decoded(&piece));
        }
        assert_eq!(heard.len(), 20 * 160);
        assert_eq!(heard.iter().filter(|sample| sample[1] == 900).count(), 160, "of the second frame");
    }
}
