//! Spectral features of sounds: the level of each band in each frame, relative to the frame's mean.

use std::f32::consts::TAU;
use std::sync::LazyLock;

/// Samples from one frame to the next.
pub const FRAME: usize = 160;
/// Samples of a frame's window.
const WINDOW: usize = 256;
pub const BANDS: usize = 12;
/// The middle of the lowest and of the highest band, in Hz.
const LOWEST: f32 = 300.0;
const HIGHEST: f32 = 3_300.0;

/// A vector of bands for each frame.
#[derive(Debug, Default)]
pub struct Features(pub Vec<[f32; BANDS]>);

/// The sine and cosine of each band, windowed.
static KERNELS: LazyLock<Vec<[Vec<f32>; 2]>> = LazyLock::new(|| {
    let ratio = (HIGHEST / LOWEST).powf(1.0 / (BANDS as f32 - 1.0));
    (0..BANDS).map(|band| kernel(LOWEST * ratio.powi(band as i32))).collect()
});

fn kernel(frequency: f32) -> [Vec<f32>; 2] {
    // Short enough for the band's width, so that a voice's harmonics are not resolved.
    let width = (8_000.0 * 3.0 / frequency).clamp(48.0, WINDOW as f32);
    let at = |n: usize, phase: f32| {
        let offset = n as f32 - WINDOW as f32 / 2.0;
        let window = if offset.abs() * 2.0 < width { 0.5 + 0.5 * (TAU * offset / width).cos() } else { 0.0 };
        window * (TAU * frequency * offset / 8_000.0 + phase).cos()
    };
    [0.0, TAU / 4.0].map(|phase| (0..WINDOW).map(|n| at(n, phase)).collect())
}

/// Frames before and after one that decide how loud it is there.
const AROUND: usize = 14;
/// The part of the loudest power around a frame below which its bands do not count: silence between words has no spectrum.
const FLOOR: f32 = 0.002;

impl Features {
    pub fn of(samples: &[f32]) -> Features {
        let frames = samples.len().div_ceil(FRAME);
        let powers: Vec<[f32; BANDS]> = (0..frames).map(|n| powers(samples, n * FRAME)).collect();
        let loudness: Vec<f32> =
            powers.iter().map(|bands| bands.iter().fold(0.0, |a, &b| f32::max(a, b))).collect();
        let shape = |(n, bands): (usize, &[f32; BANDS])| {
            let around = &loudness[n.saturating_sub(AROUND)..(n + AROUND).min(frames)];
            let floor = 100.0 + FLOOR * around.iter().fold(0.0, |a, &b| f32::max(a, b));
            let levels = bands.map(|power| (power + floor).ln());
            let mean = levels.iter().sum::<f32>() / BANDS as f32;
            levels.map(|level| level - mean)
        };
        Features(powers.iter().enumerate().map(shape).collect())
    }
}

fn powers(samples: &[f32], from: usize) -> [f32; BANDS] {
    let end = (from + WINDOW).min(samples.len());
    let window = &samples[from..end];
    let mut bands = [0.0; BANDS];
    for (band, kernels) in bands.iter_mut().zip(KERNELS.iter()) {
        *band = kernels.iter().map(|kernel| dot(window, kernel).powi(2)).sum();
    }
    bands
}

/// The sum of products, as far as both reach.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = if a.len() == b.len() {
        a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum()
    } else {
        0.0
    };
    let mut sums = [0.0_f32; 8];
    for (a, b) in a8.zip(b8) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + rest
}

/// The waveform with its high frequencies raised, so that the strong low ones of a voice do not decide alone.
pub fn emphasise(samples: &[i16]) -> Vec<f32> {
    let mut last = 0.0;
    let raise = |&sample: &i16| {
        let raised = f32::from(sample) - 0.95 * last;
        last = f32::from(sample);
        raised
    };
    samples.iter().map(raise).collect()
}
