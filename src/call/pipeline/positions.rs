//! Positions in the caller's audio of the moments of a conversation.

use std::collections::VecDeque;
use std::time::Duration;

use crate::audio::samples_in;
use crate::conversation::At;

/// Moments that are remembered: several turns' worth.
const MARKS: usize = 64;

/// Converts moments to positions: exact at a mark, counted from the nearest mark elsewhere.
pub struct Positions {
    rate: u32,
    /// Samples so far.
    end: u64,
    /// Moments and the positions at them, oldest first.
    marks: VecDeque<(At, u64)>,
}

impl Positions {
    pub fn new(rate: u32) -> Positions {
        Positions { rate, end: 0, marks: VecDeque::new() }
    }

    /// Samples per second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// So many samples were received.
    pub fn advance(&mut self, samples: usize) {
        self.end += samples as u64;
    }

    /// Remembers the position of a moment.
    pub fn mark(&mut self, at: At, position: u64) {
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back((at, position));
    }

    /// The position of a moment; the newest audio when there is no mark.
    pub fn of(&self, at: At) -> u64 {
        let distance = |mark: &&(At, u64)| mark.0.0.abs_diff(at.0);
        match self.marks.iter().min_by_key(distance) {
            None => self.end,
            Some((mark, position)) if at >= *mark => position + self.samples(at.0 - mark.0),
            Some((mark, position)) => position.saturating_sub(self.samples(mark.0 - at.0)),
        }
    }

    /// The position of the moment `time` before the newest audio.
    pub fn before_end(&self, time: Duration) -> u64 {
        self.end.saturating_sub(self.samples(time))
    }

    fn samples(&self, time: Duration) -> u64 {
        samples_in(time, self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_found_in_the_audio() {
        let mut positions = Positions::new(8_000);
        let at = |millis| At(Duration::from_millis(millis));
        positions.advance(32_000);
        assert_eq!(positions.of(at(7)), 32_000, "without a mark, the newest audio");
        positions.mark(at(10_000), 8_000);
        positions.mark(at(11_000), 16_000);
        assert_eq!((positions.of(at(10_000)), positions.of(at(11_000))), (8_000, 16_000));
        assert_eq!((positions.of(at(11_500)), positions.of(at(9_500))), (20_000, 4_000));
        assert_eq!(positions.of(at(0)), 0);
        assert_eq!(positions.before_end(Duration::from_secs(3)), 8_000);
    }

    #[test]
    fn marks_are_bounded() {
        let mut positions = Positions::new(8_000);
        (0..1_000).for_each(|n| positions.mark(At(Duration::from_secs(n)), n));
        assert_eq!(positions.marks.len(), MARKS);
    }
}
