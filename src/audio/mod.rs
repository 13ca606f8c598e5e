//! Samples: frames, codecs, resampling, voice activity, echo and noise.
//!
//! Pure: no clocks, no sockets, no imports of other rooms. Samples are 16-bit signed, mono.

mod buffer;
pub mod codec;
pub mod comfort_noise;
pub mod echo;
pub mod frame;
pub mod g722;
pub mod pitch;
pub mod prefetch;
pub mod resample;
pub mod suppression;
pub mod vad;

use std::sync::Arc;

pub use buffer::AudioBuffer;

/// A piece of mono audio that can be shared without copying.
#[derive(Clone, PartialEq, Eq)]
pub struct Clip {
    /// Samples per second.
    pub rate: u32,
    /// Mono, 16-bit signed.
    pub samples: Arc<[i16]>,
}

impl Clip {
    pub fn new(rate: u32, samples: impl Into<Arc<[i16]>>) -> Clip {
        assert!(rate > 0, "a clip has a rate");
        Clip { rate, samples: samples.into() }
    }

    pub fn duration(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.rate))
    }
}

impl std::fmt::Debug for Clip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clip({} Hz, {:?})", self.rate, self.duration())
    }
}

/// The number of samples in a time, at `rate` samples a second.
pub fn samples_in(time: std::time::Duration, rate: u32) -> u64 {
    time.as_micros() as u64 * u64::from(rate) / 1_000_000
}

/// Samples as 16-bit linear PCM, little-endian.
pub fn linear16(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// The position of the first sample that is louder than -50 dBFS.
pub fn first_sound(samples: &[i16]) -> Option<usize> {
    samples.iter().position(|sample| sample.unsigned_abs() > 104)
}
