//! Log-mel features as Whisper computes them: 80 bands, a window of 25 ms every 10 ms, of eight seconds at 16 kHz.

use realfft::{RealFftPlanner, RealToComplex};
use std::sync::Arc;

pub const RATE: u32 = 16_000;
/// Eight seconds.
pub const SAMPLES: usize = 128_000;
pub const BANDS: usize = 80;
pub const FRAMES: usize = SAMPLES / HOP;
const WINDOW: usize = 400;
const HOP: usize = 160;
const BINS: usize = WINDOW / 2 + 1;

pub struct Features {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    bands: Vec<Band>,
}

/// A triangular filter over the bins from `first` on.
struct Band {
    first: usize,
    weights: Vec<f64>,
}

impl Features {
    pub fn new() -> Features {
        let angle = |n: usize| std::f64::consts::TAU * n as f64 / WINDOW as f64;
        Features {
            fft: RealFftPlanner::new().plan_fft_forward(WINDOW),
            window: (0..WINDOW).map(|n| 0.5 - 0.5 * angle(n).cos()).collect(),
            bands: bands(),
        }
    }

    /// The features of the last eight seconds of `samples`, with silence before a shorter clip: [`BANDS`] rows of [`FRAMES`].
    pub fn of(&self, samples: &[f32]) -> Vec<f32> {
        let audio = centred(&normalised(samples));
        let mut features = vec![0.0_f64; BANDS * FRAMES];
        let mut input = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        for frame in 0..FRAMES {
            let windowed = audio[frame * HOP..].iter().zip(&self.window);
            input.iter_mut().zip(windowed).for_each(|(input, (sample, weight))| *input = sample * weight);
            self.fft.process(&mut input, &mut spectrum).expect("the buffers are the plan's own");
            let power: Vec<f64> = spectrum.iter().map(|bin| bin.norm_sqr()).collect();
            for (row, band) in self.bands.iter().enumerate() {
                features[row * FRAMES + frame] = band.energy(&power).max(1e-10).log10();
            }
        }
        let floor = features.iter().copied().fold(f64::MIN, f64::max) - 8.0;
        features.into_iter().map(|value| ((value.max(floor) + 4.0) / 4.0) as f32).collect()
    }
}

impl Band {
    fn energy(&self, power: &[f64]) -> f64 {
        power[self.first..].iter().zip(&self.weights).map(|(power, weight)| power * weight).sum()
    }
}

/// The last eight seconds with a mean of zero and a variance of one; silence before a shorter clip counts.
fn normalised(samples: &[f32]) -> Vec<f64> {
    let samples = &samples[samples.len().saturating_sub(SAMPLES)..];
    let count = SAMPLES as f64;
    let mean = samples.iter().map(|sample| f64::from(*sample)).sum::<f64>() / count;
    let silence = vec![0.0; SAMPLES - samples.len()];
    let all = || silence.iter().chain(samples).map(|sample| f64::from(*sample) - mean);
    let variance = all().map(|sample| sample * sample).sum::<f64>() / count;
    let scale = (variance + 1e-7).sqrt();
    all().map(|sample| sample / scale).collect()
}

/// Half a window of reflected audio on both sides, so that frames are centred.
fn centred(audio: &[f64]) -> Vec<f64> {
    let half = WINDOW / 2;
    let before = audio[1..=half].iter().rev();
    let after = audio[audio.len() - half - 1..audio.len() - 1].iter().rev();
    before.chain(audio).chain(after).copied().collect()
}

/// The filters: triangles of equal width on Slaney's mel scale, each of unit area.
fn bands() -> Vec<Band> {
    let highest = mel(f64::from(RATE) / 2.0);
    let edges: Vec<f64> = (0..BANDS + 2).map(|n| hertz(highest * n as f64 / (BANDS + 1) as f64)).collect();
    let bin = |n: usize| f64::from(RATE) / 2.0 * n as f64 / (BINS - 1) as f64;
    let weight = |edges: &[f64], frequency: f64| {
        let rise = (frequency - edges[0]) / (edges[1] - edges[0]);
        let fall = (edges[2] - frequency) / (edges[2] - edges[1]);
        rise.min(fall).max(0.0) * 2.0 / (edges[2] - edges[0])
    };
    let band = |edges: &[f64]| {
        let first = (0..BINS).find(|n| weight(edges, bin(*n)) > 0.0).unwrap_or(0);
        let weights =
            (first..BINS).map(|n| weight(edges, bin(n))).take_while(|weight| *weight > 0.0).collect();
        Band { first, weights }
    };
    edges.windows(3).map(band).collect()
}

/// Slaney's scale: linear up to 1 kHz, logarithmic above.
fn mel(hertz: f64) -> f64 {
    if hertz < 1_000.0 { hertz * 3.0 / 200.0 } else { 15.0 + (hertz / 1_000.0).ln() * 27.0 / 6.4_f64.ln() }
}

fn hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1_000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, samples: usize) -> Vec<f32> {
        let angle = std::f64::consts::TAU * hertz / f64::from(RATE);
        (0..samples).map(|n| (0.3 * (angle * n as f64).sin()) as f32).collect()
    }

    /// The band with the most energy of a frame.
    fn loudest(features: &[f32], frame: usize) -> usize {
        let at = |band: usize| features[band * FRAMES + frame];
        (0..BANDS).max_by(|a, b| at(*a).total_cmp(&at(*b))).expect("there are bands")
    }

    #[test]
    fn a_tone_is_loudest_in_its_band_at_its_time() {
        let features = Features::new().of(&tone(1_000.0, 16_000));
        assert_eq!(features.len(), BANDS * FRAMES);
        // 1 kHz is 15 mel, of 45.2 mel in 81 steps.
        assert_eq!(loudest(&features, FRAMES - 50), 26);
        let highest = loudest(&Features::new().of(&tone(7_900.0, 16_000)), FRAMES - 50);
        assert!(highest >= 78, "{highest}");
        let before = (0..BANDS).map(|band| features[band * FRAMES + 100]).fold(f32::MIN, f32::max);
        assert!(before < features[26 * FRAMES + FRAMES - 50] - 1.0, "silence precedes a short clip");
    }

    #[test]
    fn silence_and_long_clips_have_finite_features_of_the_last_eight_seconds() {
        for samples in [vec![], vec![0.0; 10], tone(440.0, 3 * SAMPLES)] {
            assert!(Features::new().of(&samples).iter().all(|value| value.is_finite()));
        }
        let long = [tone(3_000.0, 16_000), tone(500.0, SAMPLES)].concat();
        assert_eq!(Features::new().of(&long), Features::new().of(&tone(500.0, SAMPLES)));
    }
}
