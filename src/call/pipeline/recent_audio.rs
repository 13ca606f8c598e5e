//! The newest audio of the caller, for the judgement of an utterance's end.

use std::collections::VecDeque;

use crate::audio::Clip;

/// Audio by its position, counted in samples from the beginning of the call.
pub struct RecentAudio {
    rate: u32,
    /// The most samples that are kept.
    most: usize,
    samples: VecDeque<i16>,
    /// The position after the newest sample.
    end: u64,
}

impl RecentAudio {
    /// Audio from the position `from` on, of which the newest `seconds` are kept.
    pub fn new(rate: u32, seconds: u32, from: u64) -> RecentAudio {
        let most = (rate * seconds) as usize;
        RecentAudio { rate, most, samples: VecDeque::with_capacity(most), end: from }
    }

    /// Adds the next samples, and drops the oldest.
    pub fn push(&mut self, samples: &[i16]) {
        let newest = &samples[samples.len().saturating_sub(self.most)..];
        let surplus = (self.samples.len() + newest.len()).saturating_sub(self.most);
        self.samples.drain(..surplus);
        self.samples.extend(newest);
        self.end += samples.len() as u64;
    }

    /// The audio between two positions, as far as it is kept and has arrived.
    pub fn between(&self, from: u64, to: u64) -> Clip {
        let start = self.end - self.samples.len() as u64;
        let index =
            |position: u64| usize::try_from(position.clamp(start, self.end) - start).unwrap_or(usize::MAX);
        let (from, to) = (index(from), index(to));
        Clip::new(self.rate, self.samples.range(from..to.max(from)).copied().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_is_found_by_its_position_as_far_as_it_is_kept() {
        let mut audio = RecentAudio::new(10, 8, 0);
        for n in 0..100 {
            audio.push(&[n]);
        }
        assert_eq!(*audio.between(90, 93).samples, [90, 91, 92]);
        assert_eq!(*audio.between(98, 200).samples, [98, 99]);
        assert_eq!(*audio.between(0, 22).samples, [20, 21], "the oldest are dropped");
        assert!(audio.between(93, 90).samples.is_empty());
        assert_eq!(audio.samples.len(), 80);
        audio.push(&[7; 200]);
        assert_eq!((audio.samples.len(), audio.samples.capacity()), (80, 80), "more than is kept");
        assert_eq!(audio.between(299, 400).samples[..], [7]);
    }

    #[test]
    fn audio_that_begins_in_mid_call_has_the_positions_of_the_call() {
        let mut audio = RecentAudio::new(10, 8, 50);
        audio.push(&[50, 51, 52]);
        assert_eq!(*audio.between(51, 60).samples, [51, 52]);
        assert_eq!(*audio.between(0, 51).samples, [50]);
    }
}
