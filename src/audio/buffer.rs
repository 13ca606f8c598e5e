//! The caller's audio, kept until it is transcribed.

use std::time::Duration;

use super::{Clip, samples_in};

/// The caller's newest audio. A position is the number of samples received before it.
pub struct AudioBuffer {
    rate: u32,
    samples: Vec<i16>,
    /// The position of the first sample that is kept.
    start: u64,
}

/// The longest audio that is kept.
const MAX_SECONDS: usize = 60;
/// The longest audio for which memory is kept unused.
const UNUSED_SECONDS: usize = 2;

impl AudioBuffer {
    pub fn new(rate: u32) -> AudioBuffer {
        AudioBuffer { rate, samples: Vec::new(), start: 0 }
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The position after the newest sample.
    pub fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    /// The number of samples in a time.
    pub fn samples_in(&self, time: Duration) -> u64 {
        samples_in(time, self.rate)
    }

    /// Grows by a second at a time: doubling would leave half of the memory of a call's audio unused.
    pub fn append(&mut self, samples: &[i16]) {
        if self.samples.capacity() - self.samples.len() < samples.len() {
            self.samples.reserve_exact(samples.len().max(self.rate as usize));
        }
        self.samples.extend_from_slice(samples);
        let limit = MAX_SECONDS * self.rate as usize;
        if self.samples.len() > limit + limit / 4 {
            self.forget(self.end() - limit as u64);
        }
    }

    /// Drops audio before `position`, and frees the memory of a long utterance.
    pub fn forget(&mut self, position: u64) {
        let drop = position.saturating_sub(self.start).min(self.samples.len() as u64);
        self.samples.drain(..drop as usize);
        self.start += drop;
        let second = self.rate as usize;
        if self.samples.capacity() > self.samples.len() + UNUSED_SECONDS * second {
            self.samples.shrink_to(self.samples.len() + second);
        }
    }

    /// The audio between two positions, as far as it is kept.
    pub fn clip(&self, from: u64, to: u64) -> Clip {
        let index = |position: u64| position.clamp(self.start, self.end()) - self.start;
        let (from, to) = (index(from) as usize, index(to.max(from)) as usize);
        Clip::new(self.rate, &self.samples[from..to])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_the_audio_that_is_kept() {
        let mut buffer = AudioBuffer::new(8_000);
        (0..350).for_each(|_| buffer.append(&[1; 160]));
        assert_eq!(buffer.samples.capacity(), 56_000, "seven seconds");
        (0..2_000).for_each(|_| buffer.append(&[1; 160]));
        buffer.forget(buffer.end() - 24_000);
        assert_eq!(buffer.samples.capacity(), 32_000, "one second more than is kept");
        assert_eq!(buffer.clip(0, u64::MAX).samples.len(), 24_000);
    }

    #[test]
    fn positions_stay_valid_when_old_audio_is_dropped() {
        let mut buffer = AudioBuffer::new(8_000);
        let samples: Vec<i16> = (0..1_000).collect();
        buffer.append(&samples);
        buffer.forget(400);
        assert_eq!(buffer.clip(500, 503).samples[..], [500, 501, 502]);
        assert_eq!(buffer.clip(0, 401).samples[..], [400]);
        assert_eq!(buffer.clip(990, 5_000).samples.len(), 10);
        assert_eq!(buffer.clip(700, 600).samples.len(), 0);
        assert_eq!(buffer.end(), 1_000);
    }

    #[test]
    fn the_buffer_of_an_endless_utterance_is_bounded() {
        let mut buffer = AudioBuffer::new(8_000);
        (0..200).for_each(|_| buffer.append(&[1; 8_000]));
        assert!(buffer.samples.len() <= 75 * 8_000);
        assert_eq!(buffer.end(), 1_600_000);
    }
}
