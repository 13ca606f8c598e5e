//! The newest frames of both directions: their power, and the signs of their slope.

use super::signs::{FrameSigns, Slopes};
use crate::audio::prefetch::prefetch;
use crate::audio::vad::mean_square;

/// Frames of the sent audio that are kept: 1.28 s. A power of two.
const SENT: usize = 64;
/// Frames of the received audio that are compared with the sent: 320 ms.
pub const COMPARED: usize = 16;
/// The oldest frame that an echo can be of, counted back from the newest: 700 ms, and a room's reverberation of 400 ms.
pub const OLDEST: usize = 58;
/// Shifts of [`COMPARED`] frames within the frames that an echo can be of.
const SHIFTS: usize = 37;

/// The audio that was sent, which an echo repeats.
pub struct Sent {
    powers: [f32; SENT],
    /// Frames so far.
    count: u64,
    signs: Box<[FrameSigns; SENT]>,
    slopes: Slopes,
}

impl Default for Sent {
    fn default() -> Sent {
        Sent { powers: [0.0; SENT], count: 0, signs: Box::new([None; SENT]), slopes: Slopes::default() }
    }
}

impl Sent {
    pub fn prefetch(&self) {
        prefetch(&self.powers);
    }

    pub fn push(&mut self, frame: &[i16]) {
        let signs = self.slopes.push(frame);
        self.put(mean_square(frame) as f32, Some(signs));
    }

    pub fn push_silence(&mut self) {
        self.put(0.0, None);
    }

    fn put(&mut self, power: f32, signs: FrameSigns) {
        let place = self.count as usize % SENT;
        self.powers[place] = power;
        self.signs[place] = signs;
        self.count += 1;
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    fn place(&self, age: usize) -> usize {
        (self.count as usize + 2 * SENT - 1 - age.min(SENT - 1)) % SENT
    }

    /// The signs of the frame `age` frames before the newest.
    pub fn signs(&self, age: usize) -> FrameSigns {
        self.signs[self.place(age)]
    }

    /// The power of the loudest of the frames from `newest` to `oldest` frames before the newest.
    pub fn loudest(&self, newest: usize, oldest: usize) -> f32 {
        (newest..=oldest.min(SENT - 1)).map(|age| self.powers[self.place(age)]).fold(0.0, f32::max)
    }

    /// The mean power of [`COMPARED`] frames, the newest of them `age` frames before the newest.
    pub fn mean(&self, age: usize) -> f32 {
        (age..age + COMPARED).map(|age| self.powers[self.place(age)]).sum::<f32>() / COMPARED as f32
    }

    /// The least mean power of [`COMPARED`] frames in a row, of those that an echo can be of.
    pub fn quietest_mean(&self) -> f32 {
        let mut sum: f32 = (0..COMPARED).map(|age| self.powers[self.place(age)]).sum();
        let mut least = sum;
        for shift in 0..SHIFTS {
            sum += self.powers[self.place(shift + COMPARED)] - self.powers[self.place(shift)];
            least = least.min(sum);
        }
        least.max(0.0) / COMPARED as f32
    }
}

/// The newest audio that was received.
#[derive(Default)]
pub struct Received {
    powers: [f32; COMPARED],
    /// Frames so far.
    count: u64,
    /// Frames in a row that were received; those of a gap were not.
    unbroken: usize,
    signs: [FrameSigns; COMPARED],
    slopes: Slopes,
}

impl Received {
    pub fn prefetch(&self) {
        prefetch(self);
    }

    pub fn push(&mut self, frame: &[i16], power: u32) {
        let signs = self.slopes.push(frame);
        self.put(power as f32, (power > 0).then_some(signs));
        self.unbroken = (self.unbroken + 1).min(COMPARED);
    }

    pub fn push_missing(&mut self) {
        self.put(0.0, None);
        self.unbroken = 0;
    }

    fn put(&mut self, power: f32, signs: FrameSigns) {
        let place = self.count as usize % COMPARED;
        (self.powers[place], self.signs[place]) = (power, signs);
        self.count += 1;
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The signs of the frame `age` frames before the newest.
    pub fn signs(&self, age: usize) -> FrameSigns {
        self.signs[(self.count as usize + 2 * COMPARED - 1 - age) % COMPARED]
    }

    /// The power of the frame `age` frames before the newest.
    pub fn power(&self, age: usize) -> f32 {
        self.powers[(self.count as usize + 2 * COMPARED - 1 - age) % COMPARED]
    }

    pub fn mean(&self) -> f32 {
        self.powers.iter().sum::<f32>() / COMPARED as f32
    }

    /// The same, `None` after a gap.
    pub fn unbroken_mean(&self) -> Option<f32> {
        (self.unbroken >= COMPARED).then(|| self.mean())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_count_back_from_the_newest_frame() {
        let mut sent = Sent::default();
        (1..=100i16).for_each(|level| sent.push(&[level; 160]));
        assert_eq!(sent.loudest(0, 0), 100.0 * 100.0);
        assert_eq!(sent.loudest(10, 20), 90.0 * 90.0);
        sent.push_silence();
        assert_eq!((sent.loudest(0, 0), sent.loudest(0, 1)), (0.0, 100.0 * 100.0));
        assert_eq!(sent.signs(0), None);
        assert!(sent.signs(1).is_some());
    }

    #[test]
    fn a_pause_in_what_is_sent_makes_its_quietest_mean_small() {
        let mut sent = Sent::default();
        (0..64).for_each(|_| sent.push(&[100; 160]));
        assert_eq!(sent.quietest_mean(), 10_000.0);
        (0..8).for_each(|_| sent.push_silence());
        assert_eq!(sent.quietest_mean(), 5_000.0);
        (0..53).for_each(|_| sent.push(&[100; 160]));
        assert_eq!(sent.quietest_mean(), 10_000.0, "the pause is too long ago");
    }

    #[test]
    fn a_gap_in_what_is_received_has_no_power() {
        let mut received = Received::default();
        (0..16).for_each(|_| received.push(&[10; 160], 100));
        assert_eq!(received.unbroken_mean(), Some(100.0));
        received.push_missing();
        assert_eq!(received.unbroken_mean(), None);
        (0..16).for_each(|_| received.push(&[10; 160], 100));
        assert_eq!(received.unbroken_mean(), Some(100.0));
    }
}
