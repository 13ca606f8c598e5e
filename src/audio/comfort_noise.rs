//! Comfort noise: a faint noise that shows a listener that the line is open (RFC 3389).

/// The level of the noise in dBov: that of a quiet room over a telephone.
pub const LEVEL_DBOV: i8 = -60;

/// The root mean square at [`LEVEL_DBOV`]: 32,768 / 1,000.
const RMS: f32 = 32.768;
/// The share of the last sample in the next: the noise of rooms falls off towards high frequencies.
const COLOUR: f32 = 0.7;
/// The factor for noise of [`COLOUR`], made of uniform samples in -1 to 1: the root of 3 (1 - COLOUR²).
const SCALE: f32 = RMS * 1.236_93;

/// Seconds in which the noise fades in and out.
const FADE_IN: f32 = 0.2;
const FADE_OUT: f32 = 0.1;

/// Makes comfort noise for one stream, without allocating.
pub struct ComfortNoise {
    /// The state of the generator (xorshift32), never zero.
    state: u32,
    sample: f32,
    /// From 0 to 1.
    gain: f32,
    /// Changes of the gain from sample to sample.
    rise: f32,
    fall: f32,
}

impl ComfortNoise {
    /// For `rate` samples a second. Streams with different seeds have different noise.
    pub fn new(rate: u32, seed: u32) -> ComfortNoise {
        let rate = rate as f32;
        let (rise, fall) = (1.0 / (FADE_IN * rate), 1.0 / (FADE_OUT * rate));
        ComfortNoise { state: seed | 1, sample: 0.0, gain: 0.0, rise, fall }
    }

    /// Adds noise to the frame: it fades in while it is wanted, and out otherwise.
    pub fn add(&mut self, frame: &mut [i16], is_wanted: bool) {
        if !is_wanted && self.gain == 0.0 {
            return;
        }
        for sample in frame {
            self.gain = if is_wanted { self.gain + self.rise } else { self.gain - self.fall }.clamp(0.0, 1.0);
            // `as` saturates.
            *sample = sample.saturating_add((self.next() * self.gain).round() as i16);
        }
    }

    fn next(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        // 24 bits, which are exact.
        let white = (self.state >> 8) as f32 / 8_388_608.0 - 1.0;
        self.sample = COLOUR * self.sample + white;
        SCALE * self.sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::vad::{TwoOpinions, VoiceDetector, mean_square};

    fn dbov(samples: &[i16]) -> f64 {
        10.0 * (f64::from(mean_square(samples)) / 32_768.0_f64.powi(2)).log10()
    }

    /// Frames of 20 ms in which noise is wanted, and as many in which it is not.
    fn noise(rate: u32, seed: u32, frames: usize) -> (Vec<i16>, Vec<i16>) {
        let mut noise = ComfortNoise::new(rate, seed);
        let mut take = |is_wanted| {
            let mut samples = vec![0; frames * rate as usize / 50];
            samples.chunks_exact_mut(rate as usize / 50).for_each(|frame| noise.add(frame, is_wanted));
            samples
        };
        (take(true), take(false))
    }

    #[test]
    fn the_noise_has_its_level_at_both_rates_after_it_has_faded_in() {
        for rate in [8_000, 16_000] {
            let (wanted, _) = noise(rate, 7, 500);
            let level = dbov(&wanted[rate as usize / 5..]);
            assert!((level - f64::from(LEVEL_DBOV)).abs() < 0.5, "{rate}: {level}");
        }
    }

    #[test]
    fn the_noise_fades_in_within_200_ms_and_out_within_100() {
        let (wanted, unwanted) = noise(8_000, 7, 50);
        assert!(dbov(&wanted[..400]) < -70.0, "{}", dbov(&wanted[..400]));
        assert!(dbov(&unwanted[..400]) > -68.0, "{}", dbov(&unwanted[..400]));
        assert!(unwanted[800..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn a_seed_makes_the_same_noise_again_and_another_seed_another() {
        assert_eq!(noise(8_000, 7, 10), noise(8_000, 7, 10));
        assert_ne!(noise(8_000, 7, 10), noise(8_000, 9, 10));
        assert_ne!(noise(8_000, 0, 10).0, vec![0; 1_600]);
    }

    #[test]
    fn no_detector_takes_the_noise_for_a_voice() {
        let (wanted, _) = noise(8_000, 7, 500);
        let mut detector = TwoOpinions::new(8_000);
        assert!(!wanted.chunks_exact(160).any(|frame| detector.is_voice(frame)));
    }

    #[test]
    fn loud_samples_do_not_overflow() {
        let mut noise = ComfortNoise::new(8_000, 7);
        let mut frame = [i16::MAX; 4_000];
        noise.add(&mut frame, true);
        assert!(frame.iter().all(|sample| *sample > 32_000));
    }
}
