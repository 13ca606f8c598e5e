//! Signals reduced to the signs of their slope, at 4,000 samples a second.
//!
//! An echo is found by correlation. The signs are enough for that: they do not depend on the level, survive a clipping
//! loudspeaker and the noise of a telephone codec, and a second of them has 500 bytes. The slope instead of the signal
//! emphasises high frequencies, without which the correlation of two voices is high at many lags.

/// Samples a second.
pub const RATE: usize = 4_000;
/// Signs of 20 ms.
pub const SIGNS: usize = RATE / 50;

/// The signs of one frame. `None` for digital silence, which has none.
pub type FrameSigns = Option<u128>;

/// Reduces a stream of frames to signs.
#[derive(Default)]
pub struct Slopes {
    /// The sum of the samples that the last sign was made of.
    before: i32,
}

impl Slopes {
    /// The signs of a frame of 20 ms at a multiple of [`RATE`].
    pub fn push(&mut self, frame: &[i16]) -> u128 {
        let (mut low, mut high) = (0u64, 0u64);
        let mut before = self.before;
        for (n, group) in frame.chunks_exact((frame.len() / SIGNS).max(1)).take(SIGNS).enumerate() {
            let sum: i32 = group.iter().map(|sample| i32::from(*sample)).sum();
            let bit = u64::from(sum > before);
            before = sum;
            if n < 64 { low |= bit << n } else { high |= bit << (n - 64) }
        }
        self.before = before;
        u128::from(high) << 64 | u128::from(low)
    }
}

/// Writes the signs of a frame as numbers: 1, -1, and 0 for silence.
pub fn spread(signs: FrameSigns, out: &mut [f32]) {
    match signs {
        Some(signs) => {
            let (low, high) = (signs as u64, (signs >> 64) as u64);
            for (n, place) in out.iter_mut().enumerate() {
                let bit = if n < 64 { low >> n } else { high >> (n - 64) } & 1;
                *place = bit as f32 * 2.0 - 1.0;
            }
        }
        None => out.fill(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_slope_has_ones_at_both_rates() {
        for len in [160, 320] {
            let frame: Vec<i16> =
                (0..len as i16).map(|n| if n < len as i16 / 2 { n } else { len as i16 - n }).collect();
            let signs = Slopes { before: -1 }.push(&frame);
            assert_eq!(signs, (1 << (SIGNS / 2 + 1)) - 1, "{signs:b}");
        }
    }

    #[test]
    fn signs_become_numbers() {
        let mut out = [9.0; SIGNS];
        spread(Some(1 << 79 | 1), &mut out);
        assert_eq!((out[0], out[1], out[78], out[79]), (1.0, -1.0, -1.0, 1.0));
        spread(None, &mut out);
        assert_eq!(out, [0.0; SIGNS]);
    }
}
