//! The quadrature mirror filters: they split 16 kHz audio into two bands at 8 kHz and join them again (sections
//! 3.1 and 4.4). Analysis and synthesis together delay by 22 samples.

use super::tables::H;

/// The last 24 values, the newest at the end, in pairs: samples on the way in, and on the way out the sum
/// and the difference of the bands.
#[derive(Debug, Clone, Default)]
pub struct Qmf([[i16; 2]; 12]);

impl Qmf {
    /// Two samples to one of the lower band (XL) and one of the higher (XH).
    pub fn analyse(&mut self, samples: [i16; 2]) -> (i16, i16) {
        let [odd, even] = self.filter(samples);
        (limit((even + odd) >> 14), limit((even - odd) >> 14))
    }

    /// One value of the lower band (RL) and one of the higher (RH) to two samples.
    pub fn synthesise(&mut self, lower: i16, higher: i16) -> [i16; 2] {
        let (lower, higher) = (limit(lower.into()), limit(higher.into()));
        let [odd, even] = self.filter([lower + higher, lower - higher]);
        [saturate(even >> 11), saturate(odd >> 11)]
    }

    /// Shifts a pair in. Returns the sums over the first values and over the second values of all pairs. The taps
    /// are symmetric, so they can be applied in the order of the values.
    fn filter(&mut self, newest: [i16; 2]) -> [i32; 2] {
        self.0.copy_within(1.., 0);
        self.0[11] = newest;
        let (taps, _) = H.as_chunks::<2>();
        self.0.iter().zip(taps).fold([0; 2], |[odd, even], (pair, taps)| {
            let term = |n: usize| i32::from(pair[n]) * i32::from(taps[n]);
            [odd + term(0), even + term(1)]
        })
    }
}

/// LIMIT: a band holds 15 bits, so that both together hold 16.
fn limit(value: i32) -> i16 {
    value.clamp(-16_384, 16_383) as i16
}

fn saturate(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}
