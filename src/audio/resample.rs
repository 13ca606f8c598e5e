//! Rate conversion of a whole clip at once.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

use super::Clip;

/// Input frames in one block of the transform: long enough for a steep filter.
const BLOCK: usize = 1_024;

/// The clip at `rate` samples a second, aligned with the original (the filter's delay is trimmed).
pub fn convert(clip: &Clip, rate: u32) -> Clip {
    if clip.rate == rate || clip.samples.is_empty() {
        return Clip { rate, samples: clip.samples.clone() };
    }
    let input: Vec<f32> = clip.samples.iter().map(|&s| f32::from(s)).collect();
    let frames = input.len();
    let mut resampler = Fft::<f32>::new(clip.rate as usize, rate as usize, BLOCK, 1, FixedSync::Both)
        .expect("both rates are above zero");
    let input = InterleavedSlice::new(&input, 1, frames).expect("one channel of as many frames");
    let output = resampler.process_all(&input, frames, None).expect("the buffers fit the resampler");
    Clip::new(rate, output.take_data().into_iter().map(|s| s.round() as i16).collect::<Vec<_>>())
}
