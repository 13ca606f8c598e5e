//! Finds what was received within what was sent.

use std::f32::consts::FRAC_PI_2;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::history::{COMPARED, Received, Sent};
use super::signs::{SIGNS, spread};

/// Signs of the sent audio that are searched: 1.02 s. The received ones are as long as a part of them, so that the
/// correlation does not wrap around.
const LENGTH: usize = 4_096;
const RECEIVED: usize = COMPARED * SIGNS;
/// The longest lag: 704 ms.
const LAGS: usize = LENGTH - RECEIVED;
/// Frames of the longest lag, the last of them in part.
const LAG_FRAMES: usize = LAGS.div_ceil(SIGNS);
/// The least number of the compared frames in which there was sound to echo. With fewer, as at the beginning of a response,
/// any sound resembles the few, relative to the silence at all other lags.
const LEAST_SOUND: usize = COMPARED / 4;

/// The lag at which the received audio resembles the sent audio most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Signs between the end of the received and the end of its counterpart in the sent audio.
    pub lag: usize,
    /// The correlation relative to the root mean square of that at all lags. Two unrelated voices reach 4.7.
    pub score: f32,
    /// The share of the received power that its counterpart explains, 0 to 1.
    pub share: f32,
}

/// Working memory for correlations, which the calls of a thread share: nothing is allocated for one.
pub struct Correlator {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    sent: Vec<f32>,
    received: Vec<f32>,
    sent_spectrum: Vec<Complex<f32>>,
    received_spectrum: Vec<Complex<f32>>,
    working: Vec<Complex<f32>>,
    /// Comparisons that are still permitted.
    permitted: u32,
}

impl Default for Correlator {
    fn default() -> Correlator {
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(LENGTH), planner.plan_fft_inverse(LENGTH));
        let working = forward.get_scratch_len().max(inverse.get_scratch_len());
        Correlator {
            sent: forward.make_input_vec(),
            received: forward.make_input_vec(),
            sent_spectrum: forward.make_output_vec(),
            received_spectrum: forward.make_output_vec(),
            working: vec![Complex::default(); working],
            forward,
            inverse,
            permitted: u32::MAX,
        }
    }
}

impl Correlator {
    /// Permits so many comparisons until the next call of this function. A new correlator permits any number.
    pub fn permit(&mut self, comparisons: u32) {
        self.permitted = comparisons;
    }

    /// Takes one of the permitted comparisons. Returns false when none is left.
    pub fn take_permit(&mut self) -> bool {
        let is_permitted = self.permitted > 0;
        self.permitted = self.permitted.saturating_sub(1);
        is_permitted
    }

    /// Compares the newest 320 ms received with the second that was sent last. `None` when one of them is silent.
    pub fn compare(&mut self, sent: &Sent, received: &Received) -> Option<Peak> {
        self.load(sent, received);
        self.correlate()?;
        let (lag, score) = self.best_lag(&has_sound(sent))?;
        // The transforms use their input as working memory.
        self.load(sent, received);
        Some(Peak { lag, score, share: self.share(lag, received) })
    }

    /// The shares of the single frames, by their power: signs of a faint frame count as much as those of a loud one, and the
    /// caller's first syllable over an echo is loud.
    fn share(&self, lag: usize, received: &Received) -> f32 {
        let frames = self.received[LAGS..].chunks_exact(SIGNS);
        let counterparts = self.sent[LAGS - lag..LENGTH - lag].chunks_exact(SIGNS);
        let agreements: [f32; COMPARED] = collect(frames.zip(counterparts).map(|(a, b)| agreement(a, b)));
        let is_inverted = agreements.iter().sum::<f32>() < 0.0;
        let shares = agreements.map(|sum| explained(if is_inverted { -sum } else { sum }));
        let (mut explained, mut total) = (0.0, 0.0);
        for (share, age) in shares.iter().rev().zip(0..) {
            let power = received.power(age);
            (explained, total) = (explained + share * power, total + power);
        }
        explained / total.max(1.0)
    }

    fn load(&mut self, sent: &Sent, received: &Received) {
        self.sent.fill(0.0);
        for (age, place) in self.sent.rchunks_exact_mut(SIGNS).enumerate() {
            spread(sent.signs(age), place);
        }
        self.received.fill(0.0);
        for (age, place) in self.received.rchunks_exact_mut(SIGNS).take(COMPARED).enumerate() {
            spread(received.signs(age), place);
        }
    }

    /// Leaves the correlation in `sent`, that of lag n at the n-th place from the end, that of lag 0 at the first. Each
    /// frequency is divided by the square root of its magnitude, halfway to the phase transform, so that a few strong ones
    /// do not decide.
    fn correlate(&mut self) -> Option<()> {
        let Correlator {
            forward, inverse, sent, received, sent_spectrum, received_spectrum, working, ..
        } = self;
        forward.process_with_scratch(sent, sent_spectrum, working).ok()?;
        forward.process_with_scratch(received, received_spectrum, working).ok()?;
        for (sent, received) in sent_spectrum.iter_mut().zip(received_spectrum.iter()) {
            let product = *sent * received.conj();
            let magnitude = product.norm_sqr().sqrt().max(1e-6);
            *sent = product / magnitude.sqrt();
        }
        // Those of a real signal are real: rounding must not say otherwise.
        if let [first, .., last] = &mut sent_spectrum[..] {
            (first.im, last.im) = (0.0, 0.0);
        }
        inverse.process_with_scratch(sent_spectrum, sent, working).ok()
    }

    /// Of the lags at which there was sound to echo.
    fn best_lag(&self, has_sound: &[bool; LAG_FRAMES]) -> Option<(usize, f32)> {
        let (mut best, mut square, mut count) = ((0, 0.0), 0.0, 0u32);
        for lag in (0..LAGS).filter(|lag| has_sound[lag / SIGNS]) {
            let value = self.sent[(LENGTH - lag) % LENGTH].abs();
            (square, count) = (square + value * value, count + 1);
            if value > best.1 {
                best = (lag, value);
            }
        }
        (square > 0.0).then(|| (best.0, best.1 / (square / count as f32).sqrt()))
    }
}

fn collect(values: impl Iterator<Item = f32>) -> [f32; COMPARED] {
    let mut all = [0.0; COMPARED];
    all.iter_mut().zip(values).for_each(|(place, value)| *place = value);
    all
}

/// The signs that agree less those that differ.
fn agreement(received: &[f32], sent: &[f32]) -> f32 {
    received.iter().zip(sent).map(|(a, b)| a * b).sum()
}

/// The share of a frame's power that its counterpart explains: the square of the correlation coefficient, less the mean of
/// that of unrelated signals. By the arcsine law, the correlation of the signs of two Gaussian signals is 2/π times the
/// arcsine of theirs.
fn explained(agreement: f32) -> f32 {
    const UNRELATED: f32 = FRAC_PI_2 * FRAC_PI_2 / SIGNS as f32;
    let coefficient = (agreement.max(0.0) / SIGNS as f32 * FRAC_PI_2).sin();
    ((coefficient * coefficient - UNRELATED) / (1.0 - UNRELATED)).max(0.0)
}

/// By lags in frames, whether enough of the compared frames had sound.
fn has_sound(sent: &Sent) -> [bool; LAG_FRAMES] {
    let is_sound = |age: &usize| sent.signs(*age).is_some();
    std::array::from_fn(|lag| (lag..lag + COMPARED).filter(is_sound).count() >= LEAST_SOUND)
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::audio::vad::mean_square;

    const FRAME: usize = 160;
    /// Frames between sending and receiving: 100 ms.
    const DELAY: usize = 5;

    fn noise(seed: u64, frames: usize, level: f32) -> Vec<f32> {
        let mut random = SmallRng::seed_from_u64(seed);
        (0..frames * FRAME).map(|_| level * (random.random::<f32>() * 2.0 - 1.0)).collect()
    }

    fn whole(samples: &[f32]) -> Vec<i16> {
        samples.iter().map(|sample| *sample as i16).collect()
    }

    /// The peak where the caller's side returns the agent's voice times `gain`, with `other` added to the last frames.
    fn peak(gain: f32, other: &[f32]) -> Peak {
        const FRAMES: usize = 60;
        let agent = noise(1, FRAMES, 8_000.0);
        let mut echo: Vec<f32> = agent.iter().map(|sample| gain * sample).collect();
        echo.splice(0..0, vec![0.0; DELAY * FRAME]);
        echo.truncate(agent.len());
        let last = echo.len() - other.len();
        echo[last..].iter_mut().zip(other).for_each(|(sample, other)| *sample += other);
        let (mut sent, mut received) = (Sent::default(), Received::default());
        for (out, back) in whole(&agent).chunks_exact(FRAME).zip(whole(&echo).chunks_exact(FRAME)) {
            sent.push(out);
            received.push(back, mean_square(back));
        }
        Correlator::default().compare(&sent, &received).expect("both have sound")
    }

    #[test]
    fn an_echo_alone_explains_all_of_its_power() {
        for gain in [1.0, 0.1, -0.1] {
            let peak = peak(gain, &[]);
            assert_eq!(peak.lag, DELAY * SIGNS, "{gain}");
            assert!(peak.share > 0.9, "{gain}: {peak:?}");
        }
    }

    #[test]
    fn an_echo_explains_its_part_of_the_power() {
        for (level, expected) in [(800.0, 0.5), (400.0, 0.8), (1_600.0, 0.2)] {
            // The echo is of noise at 800.
            let peak = peak(0.1, &noise(2, COMPARED, level));
            assert_eq!(peak.lag, DELAY * SIGNS, "{level}");
            assert!((peak.share - expected).abs() < 0.12, "{level}: {peak:?}");
        }
    }

    #[test]
    fn an_echo_explains_next_to_nothing_of_another_voice() {
        for seed in 2..10 {
            let peak = peak(0.0, &noise(seed, COMPARED, 800.0));
            assert!(peak.share < 0.2, "{seed}: {peak:?}");
        }
    }

    /// Fourteen of sixteen frames are the echo's alone.
    #[test]
    fn loud_frames_count_by_their_power() {
        let peak = peak(0.1, &noise(2, 2, 8_000.0));
        assert_eq!(peak.lag, DELAY * SIGNS);
        assert!(peak.share < 0.2, "{peak:?}");
    }
}
