//! 8 kHz to 16 kHz for the voice detector, which serves a thousand calls at once.
//!
//! rubato's FFT resampler, which is used for all audio that people hear, takes several times as long and keeps
//! kilobytes for each call, which are not in the cache when they are needed. A half-band filter is sufficient for
//! a detector. It has to be steep, flat to 3.7 kHz and 60 dB down from 4.3 kHz: mirrored above 4 kHz, the noise of
//! G.711 makes a detector mistake DTMF for voices.

use crate::audio::frame::MAX_FRAME;

/// Taps on either side of an interpolated sample. At the given samples all taps but one are zero.
const SIDE: usize = 32;

/// Earlier samples that a frame needs.
const HISTORY: usize = 2 * SIDE - 1;

/// sin(x)/x under a Kaiser window (beta 8), halfway between two samples and outwards; the sum over both sides is
/// 1.
const TAPS: [f32; SIDE] = [
    0.636_052, -0.210_473, 0.124_448, -0.086_956, 0.065_670, -0.051_781, 0.041_904, -0.034_466, 0.028_633,
    -0.023_927, 0.020_051, -0.016_813, 0.014_079, -0.011_757, 0.009_778, -0.008_089, 0.006_650, -0.005_425,
    0.004_387, -0.003_513, 0.002_782, -0.002_175, 0.001_676, -0.001_270, 0.000_944, -0.000_685, 0.000_484,
    -0.000_331, 0.000_217, -0.000_134, 0.000_076, -0.000_037,
];

/// The longest frame that is doubled: 20 ms at 8 kHz.
const NARROW: usize = MAX_FRAME / 2;

/// Doubles the rate of a stream, with a delay of 4 ms.
pub struct Doubler {
    before: [i16; HISTORY],
}

impl Default for Doubler {
    fn default() -> Doubler {
        Doubler { before: [0; HISTORY] }
    }
}

impl Doubler {
    /// Writes two samples for each of `frame`, which has at most 160 (the rest is ignored). Returns the number
    /// written.
    pub fn double(&mut self, frame: &[i16], wide: &mut [i16; MAX_FRAME]) -> usize {
        let frame = &frame[..frame.len().min(NARROW)];
        let mut line = [0.0f32; HISTORY + NARROW];
        for (place, sample) in line.iter_mut().zip(self.before.iter().chain(frame)) {
            *place = f32::from(*sample);
        }
        let line = &line[..HISTORY + frame.len()];
        // One pass over the frame per tap, so that the compiler vectorises it.
        let mut between = [0.0f32; NARROW];
        for (side, tap) in TAPS.iter().enumerate() {
            let (left, right) = (&line[SIDE - 1 - side..], &line[SIDE + side..]);
            for ((sum, left), right) in between[..frame.len()].iter_mut().zip(left).zip(right) {
                *sum += tap * (left + right);
            }
        }
        let pairs = line[SIDE - 1..].iter().zip(&between);
        for (pair, (there, made)) in wide.chunks_exact_mut(2).zip(pairs).take(frame.len()) {
            // `as` saturates.
            (pair[0], pair[1]) = (*there as i16, *made as i16);
        }
        for (place, sample) in self.before.iter_mut().zip(&line[frame.len()..]) {
            *place = *sample as i16;
        }
        2 * frame.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone of `hz`, doubled: its power over that of what should have come, and the power of what should not.
    fn double(hz: f32) -> (f32, f32) {
        let wave = |n: usize, rate: f32| (n as f32 * hz * std::f32::consts::TAU / rate).sin() * 8_000.0;
        let narrow: Vec<i16> = (0..8_000).map(|n| wave(n, 8_000.0).round() as i16).collect();
        let (mut doubler, mut wide) = (Doubler::default(), Vec::new());
        for frame in narrow.chunks(NARROW) {
            let mut out = [0; MAX_FRAME];
            let len = doubler.double(frame, &mut out);
            wide.extend_from_slice(&out[..len]);
        }
        // The delay is that of one side.
        let wanted = |n: usize| wave(n, 16_000.0);
        let heard = wide[2 * SIDE..].iter().map(|sample| f32::from(*sample));
        let (mut kept, mut power, mut wrong) = (0.0, 0.0, 0.0);
        for (n, sample) in heard.enumerate().skip(100) {
            kept += sample * wanted(n);
            power += wanted(n).powi(2);
            wrong += (sample - wanted(n)).powi(2);
        }
        (kept / power, 10.0 * (wrong / power).log10())
    }

    #[test]
    fn the_band_of_a_telephone_passes_and_leaves_no_image() {
        for hz in [200.0, 300.0, 1_000.0, 2_000.0, 3_000.0, 3_600.0] {
            let (gain, fault_db) = double(hz);
            assert!((0.98..1.02).contains(&gain), "{hz} Hz: gain {gain}");
            assert!(fault_db < -50.0, "{hz} Hz: {fault_db} dB of something else");
        }
    }

    #[test]
    fn pieces_of_any_length_make_one_stream() {
        let samples: Vec<i16> = (0..1_000).map(|n| (n * 7_919 % 30_011) as i16).collect();
        let doubled = |piece: usize| {
            let mut doubler = Doubler::default();
            let mut out = [0; MAX_FRAME];
            let pieces = samples.chunks(piece).flat_map(|part| {
                let len = doubler.double(part, &mut out);
                out[..len].to_vec()
            });
            pieces.collect::<Vec<i16>>()
        };
        assert_eq!(doubled(160).len(), 2_000);
        for piece in [1, 7, 80, 159] {
            assert_eq!(doubled(piece), doubled(160), "in pieces of {piece}");
        }
    }

    #[test]
    fn the_loudest_does_not_wrap() {
        let mut out = [0; MAX_FRAME];
        let square: Vec<i16> = (0..160).map(|n| if n / 4 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        Doubler::default().double(&square, &mut out);
        let turns = out[40..].windows(2).filter(|pair| (pair[0] > 9_000) != (pair[1] > 9_000));
        assert!(turns.count() <= 2 * 160 / 4, "an overflow would add turns");
    }
}
