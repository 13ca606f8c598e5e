//! The caller's audio, kept until it is transcribed.

use crate::audio::Clip;

/// The newest audio of the caller, addressed by how many samples were heard before it.
pub struct Hearing {
    rate: u32,
    samples: Vec<i16>,
    /// The position of the first sample that is kept.
    start: u64,
}

/// The longest utterance that is kept.
const MAX_SECONDS: usize = 60;

impl Hearing {
    pub fn new(rate: u32) -> Hearing {
        Hearing { rate, samples: Vec::new(), start: 0 }
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The position after the newest sample.
    pub fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    pub fn append(&mut self, samples: &[i16]) {
        self.samples.extend_from_slice(samples);
        let limit = MAX_SECONDS * self.rate as usize;
        if self.samples.len() > limit + limit / 4 {
            self.forget(self.end() - limit as u64);
        }
    }

    /// Drops audio before `position`.
    pub fn forget(&mut self, position: u64) {
        let drop = position.saturating_sub(self.start).min(self.samples.len() as u64);
        self.samples.drain(..drop as usize);
        self.start += drop;
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
    fn positions_stay_true_when_the_old_is_forgotten() {
        let mut hearing = Hearing::new(8_000);
        let samples: Vec<i16> = (0..1_000).collect();
        hearing.append(&samples);
        hearing.forget(400);
        assert_eq!(hearing.clip(500, 503).samples[..], [500, 501, 502]);
        assert_eq!(hearing.clip(0, 401).samples[..], [400]);
        assert_eq!(hearing.clip(990, 5_000).samples.len(), 10);
        assert_eq!(hearing.clip(700, 600).samples.len(), 0);
        assert_eq!(hearing.end(), 1_000);
    }

    #[test]
    fn an_endless_utterance_is_bounded() {
        let mut hearing = Hearing::new(8_000);
        (0..200).for_each(|_| hearing.append(&[1; 8_000]));
        assert!(hearing.samples.len() <= 75 * 8_000);
        assert_eq!(hearing.end(), 1_600_000);
    }
}
