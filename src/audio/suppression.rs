//! Noise suppression with WebRTC's filter (`sonora-ns`), at the call's own rate.
//!
//! The filter estimates the noise in each of 129 bands and attenuates those without speech by 18 dB at most. It takes blocks of 160
//! samples: 10 ms at 16 kHz, for which it was made, and 20 ms at 8 kHz, where it adapts in twice the time and needs no resampling.

use sonora_ns::config::{NS_FRAME_SIZE, SuppressionLevel};
use sonora_ns::noise_suppressor::NoiseSuppressor;

/// Samples by which the suppressed audio is later: 12 ms at 8 kHz, 6 ms at 16 kHz.
pub const DELAY: usize = sonora_ns::config::OVERLAP_SIZE;

/// Suppresses the noise of one stream. Allocates only when it is created.
pub struct Suppressor {
    filter: Box<NoiseSuppressor>,
    /// The last frame.
    suppressed: Box<[i16]>,
}

impl Suppressor {
    /// For frames of `len` samples, a multiple of 160.
    pub fn new(len: usize) -> Suppressor {
        assert!(len > 0 && len.is_multiple_of(NS_FRAME_SIZE), "a frame has whole blocks");
        let filter = Box::new(NoiseSuppressor::with_level(SuppressionLevel::K18dB));
        Suppressor { filter, suppressed: vec![0; len].into() }
    }

    /// Takes the next frame. [`Suppressor::last`] then has as many samples, [`DELAY`] later.
    pub fn suppress(&mut self, frame: &[i16]) {
        let blocks = frame.chunks_exact(NS_FRAME_SIZE).zip(self.suppressed.chunks_exact_mut(NS_FRAME_SIZE));
        for (from, to) in blocks {
            let mut block = [0.0; NS_FRAME_SIZE];
            block.iter_mut().zip(from).for_each(|(place, sample)| *place = f32::from(*sample));
            self.filter.analyze(&block);
            self.filter.process(&mut block);
            // `as` saturates.
            to.iter_mut().zip(&block).for_each(|(place, sample)| *place = sample.round() as i16);
        }
    }

    /// The last frame without its noise.
    pub fn last(&self) -> &[i16] {
        &self.suppressed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audio::vad::mean_square;

    /// Noise with values from `-level` to `level`, the same in every run.
    fn noise(samples: usize, level: i32) -> Vec<i16> {
        let mut state = 0x2545_f491_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            i16::try_from((state >> 8) as i32 % (level + 1) * if state >> 31 == 0 { 1 } else { -1 })
        };
        (0..samples).map(next).collect::<Result<_, _>>().expect("a level of 16 bits")
    }

    fn suppressed(samples: &[i16], frame_len: usize) -> Vec<i16> {
        let mut suppressor = Suppressor::new(frame_len);
        let mut suppress = |frame| {
            suppressor.suppress(frame);
            suppressor.last().to_vec()
        };
        samples.chunks_exact(frame_len).flat_map(&mut suppress).collect()
    }

    #[test]
    fn steady_noise_is_attenuated_by_12_db_and_more_after_five_seconds() {
        for frame_len in [160, 320] {
            let noise = noise(300 * frame_len, 1_000);
            let heard = suppressed(&noise, frame_len);
            let (before, after) =
                (mean_square(&noise[250 * frame_len..]), mean_square(&heard[250 * frame_len..]));
            assert!(16 * after < before, "{frame_len}: {after} of {before}");
        }
    }

    #[test]
    fn suppressed_audio_is_later_by_its_delay() {
        for frame_len in [160, 320] {
            let mut samples = vec![0; 30 * frame_len];
            samples[4_000] = 20_000;
            let heard = suppressed(&samples, frame_len);
            let loudest = (0..heard.len()).max_by_key(|at| heard[*at].unsigned_abs());
            assert_eq!(loudest, Some(4_000 + DELAY), "{frame_len}");
        }
    }

    #[test]
    fn digital_silence_stays_silent() {
        assert!(suppressed(&[0; 16_000], 320).iter().all(|sample| *sample == 0));
    }

    proptest! {
        #[test]
        fn any_samples_are_taken(samples in proptest::collection::vec(any::<i16>(), 3_200)) {
            prop_assert_eq!(suppressed(&samples, 320).len(), 3_200);
        }
    }
}
